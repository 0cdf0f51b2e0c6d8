//! A node's id is bound to its TLS key on both sides (G14): here where nodes are pinned. Real handshakes, in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use keys::NodeKey;
use keys::certificate::{node_of, self_signed};
use keys::tls::{Shown, Trust, dialer, listener};
use proto::NodeId;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

mod authority;

struct Host {
    key: Arc<NodeKey>,
    certificate: CertificateDer<'static>,
}

impl Host {
    fn new(name: &str) -> Self {
        let key = Arc::new(NodeKey::make().expect("randomness"));
        let certificate = self_signed(&key, &name.parse().expect("a name")).expect("a certificate");
        Self { key, certificate }
    }

    fn shown(&self) -> Shown {
        Shown::new(Arc::clone(&self.key), self.certificate.clone())
    }

    fn listens_for(&self, nodes: &[NodeId]) -> ServerConfig {
        listener(&self.shown(), Trust::Pinned(nodes.iter().copied().collect::<BTreeSet<_>>())).expect("a listener")
    }

    fn dials(&self, meant: NodeId) -> ClientConfig {
        dialer(&self.shown(), meant).expect("a dialer")
    }
}

/// Both ends, if the handshake went through on both sides.
fn shake(client: ClientConfig, server: ServerConfig) -> Result<(Connection, Connection), String> {
    let name = ServerName::try_from("node.invalid").expect("a name");
    let mut client =
        Connection::from(ClientConnection::new(Arc::new(client), name).map_err(|error| error.to_string())?);
    let mut server = Connection::from(ServerConnection::new(Arc::new(server)).map_err(|error| error.to_string())?);
    for _ in 0..10 {
        pass(&mut client, &mut server).map_err(|error| format!("listener: {error}"))?;
        pass(&mut server, &mut client).map_err(|error| format!("dialer: {error}"))?;
    }
    if client.is_handshaking() || server.is_handshaking() {
        return Err("unfinished".into());
    }
    Ok((client, server))
}

fn pass(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).expect("memory");
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).expect("memory");
        to.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn two_nodes_that_know_each_other_link_by_tls_1_3_and_see_each_others_id() {
    let (a, b) = (Host::new("alpha"), Host::new("beta"));
    let (client, server) = shake(a.dials(b.key.id()), b.listens_for(&[a.key.id()])).expect("linked");
    for (end, other) in [(&client, &b), (&server, &a)] {
        assert_eq!(end.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        assert_eq!(end.alpn_protocol(), Some(&b"aicp/1"[..]));
        let leaf = &end.peer_certificates().expect("a certificate")[0];
        assert_eq!(node_of(leaf), Ok(other.key.id()));
    }
}

#[test]
fn a_node_that_answers_in_anothers_place_is_not_dialled() {
    let (a, b, meant) = (Host::new("alpha"), Host::new("beta"), Host::new("gamma"));
    let error = shake(a.dials(meant.key.id()), b.listens_for(&[a.key.id()])).expect_err("refused");
    assert!(error.starts_with("dialer:"), "{error}");
}

#[test]
fn a_node_that_nobody_knows_is_not_let_in() {
    let (a, b, known) = (Host::new("alpha"), Host::new("beta"), Host::new("gamma"));
    let error = shake(a.dials(b.key.id()), b.listens_for(&[known.key.id()])).expect_err("refused");
    assert!(error.starts_with("listener:"), "{error}");
    assert!(shake(a.dials(b.key.id()), b.listens_for(&[])).is_err());
}

#[test]
fn a_node_without_a_certificate_is_not_let_in() {
    let b = Host::new("beta");
    let anyone = dialer_without_certificate(&b);
    let error = shake(anyone, b.listens_for(&[b.key.id()])).expect_err("refused");
    assert!(error.starts_with("listener:"), "{error}");
}

fn dialer_without_certificate(meant: &Host) -> ClientConfig {
    let mut config = meant.dials(meant.key.id());
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    config
}

/// Nothing is shown.
#[derive(Debug)]
pub(crate) struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn a_stolen_certificate_without_its_key_is_worth_nothing() {
    let (a, b) = (Host::new("alpha"), Host::new("beta"));
    let thief = Host { key: Arc::new(NodeKey::make().expect("randomness")), certificate: a.certificate.clone() };
    let error = shake(thief.dials(b.key.id()), b.listens_for(&[a.key.id()])).expect_err("refused");
    assert!(error.starts_with("listener:"), "{error}");
    let thief = Host { key: Arc::new(NodeKey::make().expect("randomness")), certificate: b.certificate.clone() };
    let error = shake(a.dials(b.key.id()), thief.listens_for(&[a.key.id()])).expect_err("refused");
    assert!(error.starts_with("dialer:"), "{error}");
}

#[test]
fn another_protocol_on_the_same_port_is_refused() {
    let (a, b) = (Host::new("alpha"), Host::new("beta"));
    let mut other = a.dials(b.key.id());
    other.alpn_protocols = vec![b"h3".to_vec()];
    assert!(shake(other, b.listens_for(&[a.key.id()])).is_err());
}

#[test]
fn a_dialer_that_would_resume_a_session_gets_no_ticket_and_shakes_hands_in_full() {
    let (a, b) = (Host::new("alpha"), Host::new("beta"));
    let (mut client, server) = (a.dials(b.key.id()), b.listens_for(&[a.key.id()]));
    client.resumption = rustls::client::Resumption::in_memory_sessions(8);
    for _ in 0..2 {
        let (client, server) = shake(client.clone(), server.clone()).expect("linked");
        assert_eq!(server.handshake_kind(), Some(rustls::HandshakeKind::Full));
        let Connection::Client(client) = client else { panic!("it dialled") };
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}

#[test]
fn certificates_beside_the_nodes_own_are_refused() {
    let (a, b) = (Host::new("alpha"), Host::new("beta"));
    let mut chained = a.dials(b.key.id());
    let own = chained.client_auth_cert_resolver.resolve(&[], &[rustls::SignatureScheme::ED25519]).expect("its own");
    let chain = vec![a.certificate.clone(), b.certificate.clone()];
    let both = rustls::sign::CertifiedKey::new(chain, Arc::clone(&own.key));
    chained.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(both));
    let error = shake(chained, b.listens_for(&[a.key.id()])).expect_err("refused");
    assert!(error.starts_with("listener:"), "{error}");
}

#[test]
fn a_certificate_names_a_node_only_by_a_sound_ed25519_key() {
    let host = Host::new("alpha");
    assert_eq!(node_of(&host.certificate), Ok(host.key.id()));
    let der = host.certificate.to_vec();
    let public = host.key.public().as_bytes();
    let at = der.windows(32).position(|window| window == public).expect("its key");
    for point in referee::forge::small_order_points() {
        let mut grafted = der.clone();
        grafted[at..at + 32].copy_from_slice(&point);
        assert_eq!(node_of(&CertificateDer::from(grafted)).err(), Some(proto::Refusal::Key));
    }
    for cut in 0..der.len() {
        assert!(node_of(&CertificateDer::from(der[..cut].to_vec())).is_err(), "{cut} bytes");
    }
    // id-X25519 instead of id-Ed25519: the same length, another kind of key.
    let mut other = der;
    other[at - 4] = 0x6e;
    assert!(node_of(&CertificateDer::from(other)).is_err());
}
