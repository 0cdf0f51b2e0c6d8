//! A newcomer at the peers' door: it has shown the key of a ticket, asks once, and is answered once. What it may have is
//! decided elsewhere.

use bytes::Bytes;
use proto::{ErrorCode, NodeId, limits};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::oneshot;

use super::ToMembers;
use crate::clock::duration;
use crate::peer::LinkEnd;
use crate::shared::Shared;

/// Serves it until it has its answer.
pub(crate) async fn serve(shared: &Shared, connection: &Connection, guest: NodeId) {
    let talking = tokio::time::timeout(duration(limits::JOIN_WAIT), talk(shared, connection, guest)).await;
    let end = match talking {
        Ok(Ok(())) => LinkEnd::quiet("answered"),
        Ok(Err(end)) => end,
        Err(_) => LinkEnd::new(ErrorCode::TIMEOUT, "a newcomer took too long"),
    };
    end.close(connection);
    tracing::debug!(?guest, why = end.why, "a newcomer was at the door");
}

async fn talk(shared: &Shared, connection: &Connection, guest: NodeId) -> Result<(), LinkEnd> {
    let quiet = |error: quinn::ConnectionError| LinkEnd::quiet(crate::peer::describe(&error));
    let (send, receive) = connection.accept_bi().await.map_err(quiet)?;
    let ask = read(receive).await?;
    let (reply, answer) = oneshot::channel();
    shared.members.tell(ToMembers::Guest { guest, ask, reply }).await;
    let answer = answer.await.map_err(|_| LinkEnd::new(ErrorCode::SERVER, "stopping"))?;
    write(send, answer).await
}

async fn read(mut receive: RecvStream) -> Result<Bytes, LinkEnd> {
    let read = receive.read_to_end(limits::JOIN_ASK_BYTES_MAX).await;
    read.map(Bytes::from).map_err(|error| LinkEnd::new(ErrorCode::MALFORMED, error.to_string()))
}

/// Until the newcomer has all of it, nothing is closed.
async fn write(mut send: SendStream, answer: Bytes) -> Result<(), LinkEnd> {
    send.write_chunk(answer).await.map_err(|error| LinkEnd::quiet(error.to_string()))?;
    drop(send.finish());
    drop(send.stopped().await);
    Ok(())
}
