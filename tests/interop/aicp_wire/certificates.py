"""Section 11: whom the authority of a mesh vouches for."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from . import records, signatures
from .ids import is_name
from .refusal import Refused, require

USES = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
SECOND = 1_000_000_000


def _public(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    require(isinstance(key, Ed25519PublicKey), "certificate", "another kind of key")
    return key.public_bytes_raw()


def _name(certificate: x509.Certificate) -> str:
    names = [attribute.value for attribute in certificate.subject]
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    require(len(names) == 1 and len(common) == 1 and is_name(names[0]), "certificate", "names")
    return str(names[0])


def _judge(record: records.Record, certificate: x509.Certificate, authority: x509.Certificate) -> None:
    require(_public(certificate) == record.values[1], "certificate", "another key")
    require(_name(certificate) == record.values[2], "certificate", "another name")
    others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    require(others.get_values_for_type(x509.DNSName) == [record.values[2]], "certificate", "two names")
    require(len(list(others)) == 1, "certificate", "two names")
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    require(USES <= set(uses), "certificate", "uses")
    basic = [e.value.ca for e in certificate.extensions if isinstance(e.value, x509.BasicConstraints)]
    require(basic in ([], [False]), "certificate", "it may sign others")
    require(certificate.issuer == authority.subject, "certificate", "another issuer")
    signatures.verify(_public(authority), certificate.tbs_certificate_bytes, certificate.signature)
    last = int(certificate.not_valid_after_utc.timestamp()) * SECOND
    require(record.values[10] <= last, "certificate", "the record counts longer")


def read_member(data: bytes, authority: bytes) -> records.Record:
    """A node's record, and that the authority of this certificate says that the node belongs."""
    record = records.read_record(data)
    require(8 in record.values, "certificate", "there is none")
    try:
        certificate = x509.load_der_x509_certificate(record.values[8][0])
        _judge(record, certificate, x509.load_der_x509_certificate(authority))
    except (ValueError, x509.ExtensionNotFound, Refused) as fault:
        raise Refused("certificate", str(fault)) from None
    return record
