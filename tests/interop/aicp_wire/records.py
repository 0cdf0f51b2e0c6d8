"""Section 9: records of agents and nodes, and lists of revocations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import points, signatures
from .ids import is_name
from .metadata import encode_metadata
from .refusal import Refused, require
from .strict_msgpack import Item, Malformed, walk_map

AGENT, NODE, REVOCATIONS = 1, 2, 3
KINDS = {AGENT: "agent", NODE: "node", REVOCATIONS: "revocations"}
BODY_MOST = 32_768
CHAIN_MOST = 16_384

FIELDS = {
    1: "public_key",
    2: "name",
    3: "capabilities",
    4: "topics",
    5: "prekey",
    6: "prekey_not_after",
    7: "host",
    8: "chain",
    9: "sequence",
    10: "expiry",
    11: "addresses",
    12: "links",
}

MUST = {AGENT: {1, 2, 3, 4, 7, 9, 10}, NODE: {1, 2, 9, 10, 11, 12}}
MAY = {AGENT: {5, 6, 8}, NODE: {8}}
CERTIFICATE_MOST = 2048
REVOKED_MOST = 900
LIST_FIELDS = {1: "mesh", 2: "epoch", 3: "nodes"}


@dataclass
class Record:
    kind: int
    body: bytes
    values: dict[int, Any]
    signature: bytes
    countersignature: bytes = b""

    @property
    def id(self) -> bytes:
        return signatures.agent_id(self.values[1])

    def described(self) -> dict[str, Any]:
        """The fields as the vectors write them."""
        result: dict[str, Any] = {}
        for key, value in self.values.items():
            if key in (6, 9, 10):
                value = str(value)
            elif isinstance(value, bytes):
                value = value.hex()
            elif key in (8, 12):
                value = [entry.hex() for entry in value]
            result[FIELDS[key]] = value
        return result


def _texts(item: Item, count: int, most: int) -> bool:
    return item.kind == "array" and len(item.value) <= count and all(e.is_text(most) for e in item.value)


def value_fits(key: int, item: Item) -> bool:
    if key in (1, 5, 7):
        return item.is_bin(32)
    if key == 2:
        return item.kind == "str" and is_name(item.value)
    if key == 3:
        return _texts(item, 32, 64)
    if key == 4:
        return _texts(item, 64, 255)
    if key in (6, 9, 10):
        return item.is_uint()
    if key == 11:
        return _texts(item, 16, 255)  # how an address is written is judged when it is dialled
    if item.kind != "array":
        return False
    if key == 12:
        return len(item.value) <= 512 and all(e.is_bin(32) for e in item.value)
    whole = all(e.kind == "bin" for e in item.value) and 1 <= len(item.value) <= 4
    return whole and sum(len(e.value) for e in item.value) <= CHAIN_MOST


def split(data: bytes) -> tuple[int, bytes, bytes]:
    """Kind, body and signatures."""
    require(len(data) >= 3 and data[0] in KINDS, "record-form", "kind")
    length = int.from_bytes(data[1:3], "big")
    signed = 128 if data[0] == AGENT else 64
    require(length <= BODY_MOST and len(data) == 3 + length + signed, "record-form", "length")
    return data[0], data[3 : 3 + length], data[3 + length :]


def parse_body(kind: int, body: bytes) -> dict[int, Any]:
    try:
        pairs = walk_map(body)
    except Malformed as malformed:
        raise Refused("record-form", str(malformed)) from None
    last = -1
    for key, _ in pairs:
        require(key.is_uint(0, 127) and key.value > last, "record-form", "keys or their order")
        last = key.value
    if kind == REVOCATIONS:
        return _parse_list(pairs)
    values: dict[int, Any] = {}
    for key, item in pairs:
        if key.value not in FIELDS:
            continue
        require(key.value in MUST[kind] | MAY[kind], "record-value", f"key {key.value} must not stand")
        require(value_fits(key.value, item), "record-value", f"key {key.value}")
        if kind == NODE and key.value == 8:
            require([len(e.value) <= CERTIFICATE_MOST for e in item.value] == [True], "record-value", "key 8")
        values[key.value] = [e.value for e in item.value] if item.kind == "array" else item.value
    require(MUST[kind] <= values.keys(), "record-value", "a field is missing")
    require((5 in values) == (6 in values), "record-value", "5 and 6 stand together")
    return values


def _parse_list(pairs: list[tuple[Item, Item]]) -> dict[int, Any]:
    values: dict[int, Any] = {}
    for key, item in pairs:
        if key.value == 1:
            require(item.is_bin(32), "record-value", "the mesh id")
        elif key.value == 2:
            require(item.is_uint(), "record-value", "the epoch")
        elif key.value == 3:
            whole = item.kind == "array" and len(item.value) <= REVOKED_MOST and all(e.is_bin(32) for e in item.value)
            require(whole, "record-value", "the nodes")
            ids = [e.value for e in item.value]
            require(all(low < high for low, high in zip(ids, ids[1:])), "record-value", "their order")
        if key.value in LIST_FIELDS:
            values[key.value] = [e.value for e in item.value] if item.kind == "array" else item.value
    require(values.keys() == LIST_FIELDS.keys(), "record-value", "a field is missing")
    return values


def read_revocations(data: bytes, authority_public: bytes) -> dict[str, Any]:
    """A list, judged by the authority's key, as the vectors write it."""
    kind, body, signature = split(data)
    require(kind == REVOCATIONS, "record-form", "kind")
    values = parse_body(kind, body)
    points.admit(authority_public)
    require(values[1] == signatures.agent_id(authority_public), "wrong-key", "another mesh")
    _verify(authority_public, signatures.REVOCATION + body, signature, "record-signature")
    return {"mesh": values[1].hex(), "epoch": str(values[2]), "nodes": [entry.hex() for entry in values[3]]}


def read_record(data: bytes, host_public: bytes | None = None) -> Record:
    """All of a record judged. An agent record counts only with both signatures, so `host_public` is needed for it."""
    kind, body, tail = split(data)
    record = Record(kind, body, parse_body(kind, body), tail[:64], tail[64:])
    public = record.values[1]
    points.admit(public)
    context = signatures.AGENT_RECORD if kind == AGENT else signatures.NODE_RECORD
    _verify(public, context + body, record.signature, "record-signature")
    if kind == AGENT:
        if host_public is None:
            raise ValueError("the hosting node's key is missing")
        points.admit(host_public)
        require(signatures.agent_id(host_public) == record.values[7], "countersignature", "another host")
        message = signatures.HOSTING + body + record.signature
        _verify(host_public, message, record.countersignature, "countersignature")
    return record


def _verify(public: bytes, message: bytes, signature: bytes, reason: str) -> None:
    try:
        signatures.verify(public, message, signature)
    except Refused as refused:
        raise Refused(reason, refused.detail) from None


def make_record(
    kind: int, values: dict[int, Any], signer: signatures.Signer, host: signatures.Signer | None = None
) -> bytes:
    """A record of these values, unjudged."""
    body = encode_metadata(dict(sorted(values.items())))
    context = signatures.AGENT_RECORD if kind == AGENT else signatures.NODE_RECORD
    signature = signer.sign_in(context, body)
    result = bytes([kind]) + len(body).to_bytes(2, "big") + body + signature
    if host is not None:
        result += host.sign_in(signatures.HOSTING, body + signature)
    return result
