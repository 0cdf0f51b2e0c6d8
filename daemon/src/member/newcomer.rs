//! This node as a newcomer: it dials the node that gave out its ticket, asks, and believes nothing of the answer that does
//! not prove itself by the ticket.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use config::Peer;
use keys::join::{Admission, JoinFault};
use keys::ticket::Ticket;
use keys::tls::join_dialer;
use keys::{AuthorityCertificate, sign};
use proto::member::{JoinAnswer, JoinAsk, Validity};
use proto::record::CarriedRecord;
use proto::{Name, limits};
use tokio::task::JoinSet;

use crate::clock::duration;
use crate::peer::{any_port, describe, newcomer_config};
use crate::shared::Shared;

/// What was given, and proved.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(super) authority: AuthorityCertificate,
    pub(super) certificate: Bytes,
    pub(super) validity: Validity,
    pub(super) revoked: Option<CarriedRecord>,
    pub(super) name: Name,
    pub(super) inviter_name: Name,
    pub(super) inviter: proto::NodeId,
    /// Where it is to be dialed from now on.
    pub(super) seeds: Vec<Peer>,
    /// How far its clock is from ours, in ns.
    pub(super) apart: u64,
}

/// Why this node is no member. Words for people, with what to do.
#[derive(Debug)]
pub(crate) struct NotJoined(pub(super) String);

/// Attempts where the way to the inviter broke after it was asked: it may have burnt the ticket for us.
const ATTEMPTS: u32 = 3;

/// Asks to join.
pub(super) async fn join(shared: Arc<Shared>, ticket: Ticket, name: Name) -> Result<Box<Joined>, NotJoined> {
    let mut why = NotJoined(String::new());
    for _ in 0..ATTEMPTS {
        let asking = tokio::time::timeout(duration(limits::JOIN_WAIT), ask(&shared, &ticket, &name)).await;
        match asking {
            Ok(Ok(answer)) => return judge(&shared, &ticket, name, &answer).map(Box::new),
            Ok(Err(Lost { why: said, may_repeat })) => {
                why = NotJoined(said);
                if !may_repeat {
                    break;
                }
            }
            Err(_) => {
                why = NotJoined("the node that gave out the ticket did not answer in time; fix: try again".into())
            }
        }
    }
    Err(why)
}

/// No answer came.
struct Lost {
    why: String,
    may_repeat: bool,
}

async fn ask(shared: &Shared, ticket: &Ticket, name: &Name) -> Result<Bytes, Lost> {
    let lost = |may_repeat| move |why: String| Lost { why, may_repeat };
    let key = ticket.key();
    let asked = JoinAsk {
        mesh: ticket.mesh,
        inviter: ticket.inviter,
        ticket_key: *key.public().as_bytes(),
        public_key: *shared.node_key.public().as_bytes(),
        name: name.clone(),
        time: shared.clock.now().wall.0,
    };
    let signed =
        sign::join_ask(&key, &shared.node_key, &asked).map_err(|refusal| lost(false)(refusal.reason().into()))?;
    let tls = join_dialer(&key, ticket.inviter).map_err(|error| lost(false)(error.to_string()))?;
    let endpoint = any_port().map_err(|error| lost(false)(error.to_string()))?;
    let config = newcomer_config(tls).map_err(|error| lost(false)(error.to_string()))?;
    let connection = reach(shared, &endpoint, &config, ticket).await.map_err(lost(false))?;
    let talking = async {
        let (mut send, mut receive) = connection.open_bi().await.map_err(|error| told(shared, ticket, &error))?;
        match send.write_chunk(signed.as_bytes().clone()).await {
            Err(quinn::WriteError::ConnectionLost(error)) => return Err(told(shared, ticket, &error)),
            written => written.map_err(|error| error.to_string())?,
        }
        drop(send.finish());
        let read = receive.read_to_end(limits::JOIN_ANSWER_BYTES_MAX).await;
        match read {
            Ok(answer) if !answer.is_empty() => Ok(Bytes::from(answer)),
            Ok(_) => Err("the node that gave out the ticket had no answer; fix: try again".into()),
            Err(quinn::ReadToEndError::Read(quinn::ReadError::ConnectionLost(error))) => {
                Err(told(shared, ticket, &error))
            }
            Err(error) => Err(error.to_string()),
        }
    };
    let answer = talking.await.map_err(lost(true));
    connection.close(quinn::VarInt::from_u32(0), b"thanks");
    drop(tokio::time::timeout(duration(limits::SECOND / 2), endpoint.wait_idle()).await);
    answer
}

/// Tries all addresses of the ticket, each a little later than the one before.
async fn reach(
    shared: &Shared,
    endpoint: &quinn::Endpoint,
    config: &quinn::ClientConfig,
    ticket: &Ticket,
) -> Result<quinn::Connection, String> {
    let mut attempts = JoinSet::new();
    for (address, turn) in ticket.addresses.iter().cloned().zip(0..) {
        let (endpoint, config) = (endpoint.clone(), config.clone());
        attempts.spawn(async move {
            tokio::time::sleep(duration(limits::DIAL_STAGGER) * turn).await;
            let failed = |error: std::io::Error| format!("{address}: {error}");
            let found: Vec<SocketAddr> = tokio::net::lookup_host(&*address).await.map_err(failed)?.collect();
            let mut why = format!("{address}: there is no such host");
            for found in found {
                match endpoint.connect_with(config.clone(), found, crate::peer::SERVER_NAME) {
                    Ok(connecting) => match connecting.await {
                        Ok(connection) => return Ok(connection),
                        Err(error) => why = format!("{found}: {}", describe(&error)),
                    },
                    Err(error) => why = format!("{found}: {error}"),
                }
            }
            Err(why)
        });
    }
    let mut whys = Vec::new();
    while let Some(ended) = attempts.join_next().await {
        match ended {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(why)) => whys.push(why),
            Err(_) => {}
        }
    }
    let expired = expired(shared, ticket).map_or_else(String::new, |words| format!("; {words}"));
    Err(format!(
        "the node that gave out the ticket cannot be reached: {}{expired}; fix: UDP has to get through to it, or it has \
         to say where it is reached: aicpctl up --advertise HOST:PORT",
        whys.join("; ")
    ))
}

/// A door that is closed on a ticket says no more than that.
fn told(shared: &Shared, ticket: &Ticket, error: &quinn::ConnectionError) -> String {
    let is_closed = matches!(error, quinn::ConnectionError::ConnectionClosed(close)
        if (0x0100..0x0200).contains(&u64::from(close.error_code)));
    if !is_closed {
        return describe(error);
    }
    expired(shared, ticket).unwrap_or_else(|| {
        "the node that gave out the ticket does not know it any more; fix: aicpctl invite there, for a new one".into()
    })
}

fn expired(shared: &Shared, ticket: &Ticket) -> Option<String> {
    let late = (shared.clock.now().wall.0 / limits::SECOND).checked_sub(ticket.expiry)?;
    Some(format!(
        "by the clock of this host the ticket expired {} minutes ago; fix: aicpctl invite there, for a new one",
        late / 60
    ))
}

fn judge(shared: &Shared, ticket: &Ticket, name: Name, answer: &[u8]) -> Result<Joined, NotJoined> {
    let wrong = |what: &str| NotJoined(format!("what came for an answer proves nothing: {what}"));
    let answer = JoinAnswer::read(answer).map_err(|refusal| wrong(refusal.reason()))?;
    let joined = match answer {
        JoinAnswer::Joined(joined) => joined,
        JoinAnswer::Refused { words, .. } => {
            return Err(NotJoined(words.chars().filter(|c| !c.is_control()).collect()));
        }
    };
    let now = shared.clock.now().wall.0;
    let admitted = ticket.admit(&joined, shared.node_key.public(), &name, now);
    let Admission { trust, about, inviter, revocations } = admitted.map_err(|fault| match fault {
        JoinFault::Clock { .. } => NotJoined(super::holder::clocks_apart(now, joined.time)),
        JoinFault::OtherMesh
        | JoinFault::Certificate(_)
        | JoinFault::OtherNode
        | JoinFault::Inviter
        | JoinFault::Revocations => wrong(&fault.to_string()),
    })?;
    let record = inviter.into_inner().record;
    let addresses = record.addresses.iter().chain(&ticket.addresses);
    let mut seeds: Vec<Peer> = Vec::new();
    for address in addresses {
        if !seeds.iter().any(|seed| seed.address.as_ref() == Some(address)) {
            seeds.push(Peer { name: record.name.clone(), node: ticket.inviter, address: Some(address.clone()) });
        }
    }
    Ok(Joined {
        authority: trust.authority().clone(),
        certificate: joined.certificate,
        validity: about.validity,
        revoked: revocations.map(|list| list.into_inner().carried),
        name,
        inviter_name: record.name,
        inviter: ticket.inviter,
        seeds,
        apart: joined.time.abs_diff(now),
    })
}
