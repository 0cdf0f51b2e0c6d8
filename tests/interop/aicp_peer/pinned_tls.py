"""Section 11 on top of aioquic: both sides with a self-signed Ed25519 certificate, the node id pinned.

aioquic asks clients for no certificate and judges servers by names and authorities, so two of its classes are
extended here. What is overridden: the context's three places where a certificate is met, and the connection's
place where the context is made. Tickets and 0-RTT are off because no handler for tickets is ever given.
"""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable
from typing import Any

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from aicp_wire import points, signatures
from aicp_wire.refusal import Refused

ALPN = "aicp/1"
IDLE_SECONDS = 30.0
# SubjectPublicKeyInfo of Ed25519, up to the 32 bytes of the key: OID 1.3.101.112, no parameters
SPKI_FRONT = bytes.fromhex("302a300506032b6570032100")

Accepts = Callable[[bytes], bool]


class CertificateRequired(tls.Alert):
    description = tls.AlertDescription.certificate_required


def self_signed(signer: signatures.Signer) -> x509.Certificate:
    """Names and dates are judged by nobody."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "aicp node")])
    start = datetime.datetime(2020, 1, 1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(signer.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
    )
    return builder.sign(signer.key, None)


def public_of_leaf(certificate: x509.Certificate) -> bytes:
    """The admitted key of a leaf; an Alert if it is of another kind."""
    try:
        spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except Exception as error:
        raise tls.AlertUnsupportedCertificate("a key that cannot be read") from error
    if not spki.startswith(SPKI_FRONT) or len(spki) != len(SPKI_FRONT) + 32:
        raise tls.AlertUnsupportedCertificate("not an Ed25519 key")
    public = spki[len(SPKI_FRONT) :]
    try:
        points.admit(public)
    except Refused as refused:
        raise tls.AlertBadCertificate(str(refused)) from None
    return public


class PinnedContext(tls.Context):
    """`accepts` says whether a node id is one that may be at the other end."""

    accepts: Accepts
    peer_public: bytes | None

    def _set_peer_certificate(self, certificate: tls.Certificate) -> None:
        super()._set_peer_certificate(certificate)
        if self._peer_certificate_chain:
            raise tls.AlertBadCertificate("further certificates")
        assert self._peer_certificate is not None
        public = public_of_leaf(self._peer_certificate)
        if not self.accepts(signatures.agent_id(public)):
            raise tls.AlertBadCertificate("a key of another node")
        self.peer_public = public

    def _server_handle_certificate(self, input_buf: Any) -> None:
        super()._server_handle_certificate(input_buf)
        if self._peer_certificate is None:
            raise CertificateRequired("a client without a certificate")

    def _check_certificate_verify_signature(self, verify: tls.CertificateVerify) -> None:
        """What the library does, and then the strict rules of section 5."""
        super()._check_certificate_verify_signature(verify)
        context = tls.SERVER_CONTEXT_STRING if self._is_client else tls.CLIENT_CONTEXT_STRING
        assert self.key_schedule is not None
        message = self.key_schedule.certificate_verify_data(context)
        try:
            signatures.verify(self.peer_public or b"", message, verify.signature)
        except Refused as refused:
            raise tls.AlertDecryptError(str(refused)) from None


class PinnedConnection(QuicConnection):
    """A connection whose TLS context is a PinnedContext."""

    accepts: Accepts
    tls: PinnedContext

    def _initialize(self, peer_cid: bytes) -> None:
        # the dialer opens the one bidirectional stream, the listener none
        bidirectional = self._local_max_streams_bidi
        bidirectional.value = bidirectional.sent = 0 if self._is_client else 1
        super()._initialize(peer_cid)
        self.tls.__class__ = PinnedContext
        self.tls.accepts = self.accepts
        self.tls.peer_public = None
        self.tls._request_client_certificate = not self._is_client
        self.tls._signature_algorithms = [tls.SignatureAlgorithm.ED25519]

    @property
    def peer_public(self) -> bytes | None:
        return self.tls.peer_public


def pin(connection: QuicConnection, accepts: Accepts) -> PinnedConnection:
    """A connection that has not begun, with its peer pinned. (The library's server makes them of its own class.)"""
    connection.__class__ = PinnedConnection
    assert isinstance(connection, PinnedConnection)
    connection.accepts = accepts
    return connection


def configuration(signer: signatures.Signer | None, is_client: bool) -> QuicConfiguration:
    """Without a signer there is no certificate, which only a faulty client does."""
    result = QuicConfiguration(is_client=is_client, alpn_protocols=[ALPN], idle_timeout=IDLE_SECONDS)
    result.supported_versions = [QuicProtocolVersion.VERSION_1]
    result.verify_mode = ssl.CERT_NONE  # of names, dates and authorities; PinnedContext judges the key
    if signer is not None:
        result.certificate = self_signed(signer)
        result.private_key = signer.key
    return result
