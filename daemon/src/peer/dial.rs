//! One dial: names are resolved, each place is tried, and the node hears if nobody answered. It
//! does not try again; when to do that is the core's decision. It ends early if the peer links to us meanwhile.

use std::sync::Arc;

use mesh::Input;
use proto::{NodeId, limits};
use quinn::{ClientConfig, Connection, Endpoint};
use tokio::task::JoinSet;

use super::door::{Inner, peer_of};
use super::{describe, link};
use crate::clock::duration;
use crate::shared::Shared;

/// TLS does not look at it, and it is not sent: the node id is what counts.
pub(crate) const SERVER_NAME: &str = "node.invalid";

/// Dials a peer and serves the link that comes of it.
pub(super) async fn dial(shared: Arc<Shared>, door: Arc<Inner>, peer: NodeId) {
    let board = shared.peers.board(peer);
    let connection = tokio::select! {
        attempt = reach(&shared, &door, peer) => attempt,
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

/// Tries all places where the peer may be, each a little later than the one before. The first that answers counts.
async fn reach(shared: &Shared, door: &Inner, peer: NodeId) -> Result<Connection, String> {
    let config = door.client(shared, peer)?;
    let mut attempts = JoinSet::new();
    for (address, turn) in places(shared, door, peer).into_iter().zip(0..) {
        let (endpoint, config) = (door.endpoint.clone(), config.clone());
        attempts.spawn(async move {
            tokio::time::sleep(duration(limits::DIAL_STAGGER) * turn).await;
            reach_at(&endpoint, &config, &address).await
        });
    }
    if attempts.is_empty() {
        return Err("it has no address, and has to dial us".into());
    }
    let mut why = None;
    let first = async {
        while let Some(ended) = attempts.join_next().await {
            match ended {
                Ok(Ok(connection)) => return Some(connection),
                Ok(Err(error)) => why = why.take().or(Some(error)),
                Err(_) => {}
            }
        }
        None
    };
    let found = tokio::time::timeout(duration(limits::DIAL_WAIT), first).await.ok().flatten();
    found.ok_or_else(|| why.unwrap_or_else(|| "nobody answers".into()))
}

/// Where it came from last, and where it says that it is.
fn places(shared: &Shared, door: &Inner, peer: NodeId) -> Vec<Box<str>> {
    let board = shared.peers.board(peer);
    let said = board.said.lock();
    let last = Some(said.address.as_str()).filter(|address| door.dials_back() && !address.is_empty());
    let mut places: Vec<Box<str>> = last.map(Into::into).into_iter().collect();
    for address in &said.addresses {
        if !places.contains(address) {
            places.push(address.clone());
        }
    }
    places
}

async fn reach_at(endpoint: &Endpoint, config: &ClientConfig, address: &str) -> Result<Connection, String> {
    let found = tokio::net::lookup_host(address).await.map_err(|error| format!("{address}: {error}"))?;
    let mut why = format!("{address}: there is no such host");
    for address in found {
        let connecting = endpoint.connect_with(config.clone(), address, SERVER_NAME);
        let connected = match connecting {
            Ok(connecting) => connecting.await.map_err(|error| describe(&error)),
            Err(error) => Err(error.to_string()),
        };
        match connected {
            Ok(connection) => return Ok(connection),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}
