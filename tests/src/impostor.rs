//! Members of a mesh that came in with a good certificate, and show another one at a door of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keys::tls::{Shown, Trust, listener};
use keys::{AuthorityCertificate, AuthorityKey};
use proto::NodeId;
use proto::link::ControlMessage;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, ServerConfig};

use crate::hosts::{Host, until};
use crate::peer::Peer;

/// How long a daemon may take for what it does at once.
const SOON: Duration = Duration::from_secs(20);

/// One of them. It answers whoever dials it, as far as that goes.
#[derive(Debug)]
pub struct Impostor {
    /// Who it is.
    pub peer: Peer,
    endpoint: Endpoint,
}

impl Impostor {
    /// A member that shows these nodes whatever certificate.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn new(
        name: &str,
        authority: &(AuthorityKey, AuthorityCertificate),
        to: &[&Host],
        shows: impl FnOnce(&Peer) -> Vec<u8>,
    ) -> Self {
        let peer = Peer::enrolled(name, authority);
        let shown = Shown::new(Arc::clone(peer.key()), shows(&peer).into());
        let nodes = to.iter().map(|host| host.id.parse::<NodeId>().expect("an id")).collect();
        let tls = QuicServerConfig::try_from(listener(&shown, Trust::Pinned(nodes)).expect("TLS"));
        let config = ServerConfig::with_crypto(Arc::new(tls.expect("a cipher for the first packet")));
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).expect("a socket");
        let door = endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = door.accept().await {
                tokio::spawn(async move {
                    if let Ok(connection) = incoming.await {
                        connection.closed().await;
                    }
                });
            }
        });
        Self { peer, endpoint }
    }

    /// Links with a daemon as it should, says that it is to be dialed at its own address, and goes.
    ///
    /// # Panics
    /// If the daemon does not take it.
    pub async fn comes_and_goes(&self, host: &Host) {
        let own = self.endpoint.local_addr().expect("an address");
        comes_and_goes(&self.peer, self.endpoint.clone(), host, own).await;
    }
}

/// A member links with a daemon as it should, from this socket, says that it is to be dialed at that address, and goes.
///
/// # Panics
/// If the daemon does not take it.
pub async fn comes_and_goes(peer: &Peer, from: Endpoint, host: &Host, at: SocketAddr) {
    let mut link = peer.dial_from(from, host).await;
    let address: Box<str> = at.to_string().into();
    let record = peer.record_with(|record| record.addresses = vec![address.clone()]);
    link.say(&ControlMessage::Record(record)).await;
    until("it is known where it is", SOON, || {
        let told = crate::members::peers(host);
        let ours = told["peers"].as_array()?.iter().find(|known| known["name"] == peer.name.as_str())?.clone();
        (ours["addresses"] == serde_json::json!([address])).then_some(())
    });
}
