//! The control stream on its way in: records are verified here, and what does not verify is dropped and counted. A
//! notice is the peer's own word and proves nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use keys::PublicKey;
use keys::verify::{self, Attested};
use mesh::{Input, PeerSaid};
use proto::link::ControlMessage;
use proto::record::{AgentRecord, CarriedRecord, RecordKind};
use proto::{ErrorCode, NodeId, Refusal, limits};

use super::LinkEnd;
use super::hello::{Control, judge_node};
use super::link::LinkState;
use crate::member::{Member, ToMembers};
use crate::shared::Shared;
use crate::telemetry::counters::Reason;

/// Reads until the link ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    state: Arc<LinkState>,
    mut control: Control,
    peer: Arc<Member>,
) -> LinkEnd {
    let mut hosts = Hosts(BTreeMap::from([(peer.id(), peer.key)]));
    loop {
        let message = match control.next().await {
            Ok(message) => message,
            Err(end) => return end,
        };
        let said = match message {
            ControlMessage::Hello(_) => return LinkEnd::new(ErrorCode::MALFORMED, "a second HELLO"),
            ControlMessage::Record(record) => hosts.judge(&shared, record),
            ControlMessage::Want(agent) => Ok(PeerSaid::Want(agent)),
            ControlMessage::Notice(notice) => {
                let (code, id, text) = (notice.code, notice.id, notice.text.escape_default());
                tracing::debug!(peer = ?state.peer, %code, %id, %text, "a notice");
                let (source, destination) = (notice.source, notice.destination);
                Ok(PeerSaid::Notice(mesh::Notice { code, id, source, destination }))
            }
            ControlMessage::Explain(id) => Ok(PeerSaid::Explain(id)),
            ControlMessage::Story(story) => Ok(PeerSaid::Story(story)),
            ControlMessage::Member(message) => {
                if shared.members.inside.is_some() {
                    let (link, member, message) = (state.link, Arc::clone(&peer), *message);
                    shared.members.tell(ToMembers::Said { link, member, message }).await;
                }
                continue;
            }
            ControlMessage::Unknown(kind) => {
                tracing::debug!(peer = ?state.peer, kind, "a control message of a kind that is not known here");
                continue;
            }
        };
        match said {
            Ok(said) => shared.tell_with(Input::PeerSaid { link: state.link, said }, None, &state.turns).await,
            Err(reason) => state.note_dropped(&shared, reason),
        }
    }
}

/// Keys of nodes whose records came over this link. The node's task learns them too, a moment later.
struct Hosts(BTreeMap<NodeId, PublicKey>);

impl Hosts {
    fn judge(&mut self, shared: &Shared, record: CarriedRecord) -> Result<PeerSaid, Reason> {
        match record.kind() {
            RecordKind::Node => {
                let record = judge_node(shared, record).map_err(Reason::Refused)?;
                let key = record.get().key;
                if self.0.len() < usize::try_from(limits::LINKS_MAX).unwrap_or(0) {
                    self.0.insert(key.node_id(), key);
                }
                Ok(PeerSaid::Node(Attested::known(record).boxed()))
            }
            RecordKind::Agent => {
                let host = AgentRecord::read(record.body()).map_err(Reason::Refused)?.host;
                let key = self.0.get(&host).copied().or_else(|| shared.keys.find(host.agent()));
                let record =
                    verify::agent_record(record, &key.ok_or(Reason::UnknownSource)?).map_err(Reason::Refused)?;
                Ok(PeerSaid::Agent(Attested::known(record).boxed()))
            }
            RecordKind::Revocations => {
                // Without an authority nobody can be shut out.
                let inside = shared.members.inside.as_ref().ok_or(Reason::Refused(Refusal::RecordForm))?;
                let list = verify::revocations(record, inside.authority.key()).map_err(Reason::Refused)?;
                Ok(PeerSaid::Revoked(Attested::known(list).boxed()))
            }
        }
    }
}
