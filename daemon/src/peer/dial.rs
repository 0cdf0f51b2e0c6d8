//! One dial: the configured name is resolved, each address is tried in turn, and the node hears if none answered. It
//! does not try again; when to do that is the core's decision. It ends early if the peer links to us meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh::Input;
use proto::{NodeId, limits};
use quinn::Connection;

use super::door::{Inner, Target, peer_of};
use super::{describe, link};
use crate::clock::duration;
use crate::shared::Shared;

/// TLS does not look at it, and it is not sent: the node id is what counts.
const SERVER_NAME: &str = "node.invalid";

/// Dials a peer and serves the link that comes of it.
pub(super) async fn dial(shared: Arc<Shared>, door: Arc<Inner>, peer: NodeId) {
    let Some(target) = door.targets.get(&peer) else {
        return shared.tell(Input::DialFailed { peer }).await;
    };
    let board = shared.peers.board(peer);
    let connection = tokio::select! {
        attempt = tokio::time::timeout(duration(limits::DIAL_WAIT), reach(&door, target)) => {
            attempt.unwrap_or_else(|_| Err("nobody answers".into()))
        }
        // They were quicker. A second link would only replace that one, and all that is under way on it.
        () = board.linked.notified() => return shared.tell(Input::DialFailed { peer }).await,
    };
    match connection {
        Ok(connection) if peer_of(&connection) == Some(peer) => link::run(shared, connection, peer, true).await,
        Ok(connection) => {
            super::LinkEnd::new(proto::ErrorCode::UNAUTHENTICATED, "another node").close(&connection);
            shared.tell(Input::DialFailed { peer }).await;
        }
        Err(why) => {
            tracing::debug!(?peer, why, "a dial failed");
            board.said.lock().last_error = why;
            shared.tell(Input::DialFailed { peer }).await;
        }
    }
}

async fn reach(door: &Inner, target: &Target) -> Result<Connection, String> {
    let address = target.address.as_deref().ok_or("it has no address, and has to dial us")?;
    let found = tokio::net::lookup_host(address).await.map_err(|error| format!("{address}: {error}"))?;
    let mut why = format!("{address}: there is no such host");
    for address in found {
        match connect(door, target, address).await {
            Ok(connection) => return Ok(connection),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

async fn connect(door: &Inner, target: &Target, address: SocketAddr) -> Result<Connection, String> {
    let connecting =
        door.endpoint.connect_with(target.config.clone(), address, SERVER_NAME).map_err(|error| error.to_string())?;
    connecting.await.map_err(|error| describe(&error))
}
