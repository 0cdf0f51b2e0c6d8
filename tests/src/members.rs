//! Nodes of one mesh, made as people make them: `aicpctl up`, `invite`, `join`. And newcomers of our own making, who say
//! at the door what no honest one would.

use std::convert::Infallible;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use keys::ticket::Ticket;
use keys::tls::{Shown, dialer, join_dialer};
use keys::{AuthorityCertificate, AuthorityKey, NodeKey, sign, vault};
use proto::link::ControlMessage;
use proto::member::{JoinAnswer, JoinAsk};
use proto::{AgentId, Name, NodeId, limits};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint};
use serde_json::Value;

use crate::hosts::{Host, until};
use crate::peer::wall;

/// How long a daemon may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node that is in no mesh yet, running.
#[must_use]
pub fn alone(parent: &Path, name: &str) -> Host {
    let mut host = Host::make(parent, name);
    host.configure(&[]);
    host.start();
    host
}

/// Nodes of one mesh: the first made it, the others joined.
#[must_use]
pub fn mesh(parent: &Path, names: &[&str]) -> Vec<Host> {
    let hosts: Vec<Host> = names.iter().map(|name| alone(parent, name)).collect();
    let [first, others @ ..] = hosts.as_slice() else { return hosts };
    said(&first.ctl(&["up"]));
    for other in others {
        said(&other.ctl(&["join", &ticket(first)]));
    }
    hosts
}

/// Waits until each of them is linked with each other one.
pub fn all_are_linked(hosts: &[Host]) {
    for host in hosts {
        for other in hosts.iter().filter(|other| other.name != host.name) {
            host.await_peer(&other.name);
        }
    }
}

/// What a command printed.
///
/// # Panics
/// If it failed.
pub fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// What a command that failed said about that.
///
/// # Panics
/// If it did not.
#[must_use]
pub fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stdout));
    text
}

/// A new ticket of a member.
///
/// # Panics
/// If it gives out none.
#[must_use]
pub fn ticket(host: &Host) -> String {
    let invitation: Value = serde_json::from_str(&said(&host.ctl(&["invite", "--json"]))).expect("JSON");
    invitation["ticket"].as_str().expect("a ticket").to_owned()
}

/// What a member tells of the others.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn peers(host: &Host) -> Value {
    serde_json::from_str(&said(&host.ctl(&["peers", "--json"]))).expect("JSON")
}

/// Whether an agent of another node answers, at once or soon.
pub fn echo_answers(host: &Host, agent: &str) {
    until("an answer", PATIENCE, || {
        let answer = host.ctl(&["ask", agent, "hello"]);
        (answer.status.success() && answer.stdout.starts_with(b"hello")).then_some(())
    });
}

/// What a holder of the authority's key keeps.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn authority(host: &Host) -> (AuthorityKey, AuthorityCertificate) {
    let folder = host.state().join("mesh");
    let key = vault::load_authority(&folder.join("authority.key")).expect("the authority's key");
    let der = std::fs::read(folder.join("authority.crt")).expect("the authority's certificate");
    (key, AuthorityCertificate::read(der.into()).expect("a certificate"))
}

/// The seed of that key, as it lies in its file: with it the test makes what no authority would.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn authority_seed(host: &Host) -> [u8; 32] {
    const BEFORE: usize = b"AICPKEY1".len() + 1;
    let file = std::fs::read(host.state().join("mesh/authority.key")).expect("the authority's key");
    file[BEFORE..BEFORE + 32].try_into().expect("32 bytes")
}

/// Somebody with a ticket, whose key the test holds.
#[derive(Debug)]
pub struct Newcomer {
    /// What it wants to be called.
    pub name: Name,
    /// How far its clock is from ours, in ns.
    pub moved: i64,
    /// Its key.
    pub key: NodeKey,
}

impl Newcomer {
    /// One that nobody knows.
    ///
    /// # Panics
    /// Where names cannot be made of it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.parse().expect("a name"), moved: 0, key: NodeKey::make().expect("randomness") }
    }

    /// Asks with a ticket. Nothing where the door is closed on it.
    ///
    /// # Panics
    /// If what is needed cannot be made.
    pub async fn ask(&self, ticket: &Ticket) -> Option<JoinAnswer> {
        let key = ticket.key();
        let asked = JoinAsk {
            mesh: ticket.mesh,
            inviter: ticket.inviter,
            ticket_key: *key.public().as_bytes(),
            public_key: *self.key.public().as_bytes(),
            name: self.name.clone(),
            time: wall().saturating_add_signed(self.moved),
        };
        let signed = sign::join_ask(&key, &self.key, &asked).expect("signed");
        let tls = join_dialer(&key, ticket.inviter).expect("TLS");
        let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
        let address = ticket.addresses.first()?.parse().expect("an address");
        let connection = endpoint.connect_with(config(tls), address, "node.invalid").expect("a dial").await.ok()?;
        let (mut send, mut receive) = connection.open_bi().await.ok()?;
        send.write_all(signed.as_bytes()).await.ok()?;
        send.finish().ok()?;
        let answer = tokio::time::timeout(PATIENCE, receive.read_to_end(limits::JOIN_ANSWER_BYTES_MAX)).await;
        JoinAnswer::read(&answer.expect("in time").ok()?).ok()
    }
}

/// Whether a daemon lets somebody in who shows this certificate: the handshake holds at both ends, and it waits for a
/// HELLO. It is told something else, so that it says what it makes of that; a closed door hears nothing of it.
///
/// # Panics
/// If nothing answers at all.
pub async fn lets_in(host: &Host, key: &Arc<NodeKey>, certificate: Vec<u8>) -> Result<(), String> {
    let node: NodeId = host.id.parse().expect("an id");
    lets_in_by(host, dialer(&Shown::new(Arc::clone(key), certificate.into()), node).expect("TLS")).await
}

/// The same for a handshake of any kind.
///
/// # Panics
/// If nothing answers at all.
pub async fn lets_in_by(host: &Host, tls: rustls::ClientConfig) -> Result<(), String> {
    let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
    let address = ([127, 0, 0, 1], host.port).into();
    let dialing = endpoint.connect_with(config(tls), address, "node.invalid");
    let connection = dialing.expect("a dial").await.map_err(|error| error.to_string())?;
    let talking = async {
        let (mut send, _receive) = connection.open_bi().await?;
        let mut no_hello = BytesMut::new();
        ControlMessage::Want(AgentId::ZERO).write(&mut no_hello).expect("within the bound");
        // Whoever is refused by then hears why below.
        drop(send.write_all(&no_hello).await);
        Err(connection.closed().await)
    };
    let closed: Result<Infallible, ConnectionError> = tokio::time::timeout(PATIENCE, talking).await.expect("in time");
    match closed {
        Err(ConnectionError::ApplicationClosed(close)) if close.reason.as_ref() == b"no HELLO" => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(never) => match never {},
    }
}

fn config(tls: rustls::ClientConfig) -> quinn::ClientConfig {
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("a cipher for the first packet")))
}
