//! The one task that owns what this node keeps of its mesh. It waits for the disk where it is: that is seldom, and
//! short. For the network it never waits: what takes its time runs beside it and comes back as an errand's end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use keys::share::ShareKey;
use keys::ticket::{Ticket, TicketFileError};
use keys::{AuthorityKey, AuthorityTrust};
use mesh::{ClientId, Input, LinkId, Summary, Unanswered};
use proto::control::ControlBody;
use proto::member::{JoinAnswer, MemberMessage, MemberSaid};
use proto::record::{CarriedRecord, Revocations};
use proto::{Content, ContentType, ErrorCode, Header, NodeId};
use tokio::sync::{mpsc, oneshot};

use super::calls::{Calls, link_to_holder};
use super::files::MeshFiles;
use super::handed::Handed;
use super::newcomer::{Joined, NotJoined};
use super::place::Place;
use super::tickets::Tickets;
use super::{Inside, LinkedMembers, Member, ToMembers, say};
use crate::StartError;
use crate::agent::{answer, content_type_of_answer, error_frame};
use crate::peer::PeerDoor;
use crate::shared::{Ask, Shared};

/// What the configuration says that orders have to heed.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Peers are pinned there.
    pub(crate) has_pins: bool,
    /// `mesh.listen`.
    pub(crate) listen: Option<SocketAddr>,
}

/// The task and what it owns.
#[derive(Debug)]
pub(crate) struct MemberTask {
    pub(crate) shared: Arc<Shared>,
    pub(crate) files: MeshFiles,
    pub(crate) queue: mpsc::Receiver<ToMembers>,
    pub(crate) peers: Option<PeerDoor>,
    pub(crate) given: Given,
    pub(crate) place: Place,
    pub(crate) key: Option<Arc<AuthorityKey>>,
    pub(crate) tickets: Tickets,
    /// What the service manager hands over to join by.
    pub(crate) handed: Option<Result<Ticket, TicketFileError>>,
    pub(crate) revoked: Option<Revoked>,
    pub(crate) own: Own,
}

/// What only the task itself begins with and changes.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(super) links: LinkedMembers,
    pub(super) calls: Calls,
    /// Keys that were made to take the authority's key with, by the link over which it was offered.
    pub(super) shares: BTreeMap<LinkId, ShareKey>,
    /// Which holder of the authority's key was asked last.
    pub(super) asked: Option<NodeId>,
    /// One said that it holds it since a renewal was asked for last.
    pub(super) holder_came: bool,
    /// A join or a leave is under way, or a restart.
    pub(super) is_busy: bool,
    /// What was changed counts from the next start on.
    pub(super) restarts: bool,
}

/// Who is shut out, and the bytes that say so.
#[derive(Clone, Debug)]
pub(crate) struct Revoked {
    pub(crate) list: Revocations,
    pub(crate) carried: CarriedRecord,
}

/// Who is to be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(super) client: ClientId,
    pub(super) header: Header,
}

/// What ran beside the task.
#[derive(Debug)]
pub(crate) enum Errand {
    /// This node asked to join.
    Join(Asker, Place, Result<Box<Joined>, NotJoined>),
    /// The same, by the ticket that the service manager hands over.
    JoinByHanded(Handed, Result<Box<Joined>, NotJoined>),
    /// It is time to try that again.
    TryHanded(Handed),
    /// It asked for a new certificate.
    Renew(Result<Bytes, String>),
    /// The others have heard that it leaves.
    Leave(Asker),
    /// A ticket is known to whoever keeps the authority's key, or is not.
    Invited(Asker, NodeId, Result<Bytes, Unanswered>),
    /// Something for an administrator is done, or is not.
    Order(Asker, Result<Bytes, Unanswered>),
}

impl MemberTask {
    /// Runs until the daemon ends.
    pub(crate) async fn run(mut self) {
        self.refresh_trust();
        self.take_handed();
        while let Some(said) = self.queue.recv().await {
            match said {
                ToMembers::Order { client, is_admin, content } => {
                    let asker = Asker { client, header: content.header };
                    let done = if is_admin { self.order(asker, &content).await } else { Err(not_admin()) };
                    if let Some(body) = done.transpose() {
                        self.answer(asker, body);
                    }
                }
                ToMembers::Guest { guest, ask, reply } => self.guest(guest, ask, reply).await,
                ToMembers::Said { link, member, message } => self.said(link, &member, message).await,
                ToMembers::LinkUp { link, member } => self.link_up(link, member),
                ToMembers::LinkDown { link } => self.link_down(link),
                ToMembers::Renew => self.renew(),
                ToMembers::Revoked(carried) => self.keep_revoked(carried).await,
                ToMembers::Ended(errand) => self.ended(errand).await,
                ToMembers::Stop => break,
            }
            // Once what was answered is handed over.
            if std::mem::take(&mut self.own.restarts) {
                self.shared.restart();
            }
        }
    }

    async fn ended(&mut self, errand: Errand) {
        match errand {
            Errand::Join(asker, place, joined) => self.joined(asker, &place, joined),
            Errand::JoinByHanded(handed, joined) => self.joined_by_handed(handed, joined),
            Errand::TryHanded(handed) => self.join_by_handed(handed),
            Errand::Renew(renewed) => self.renewed(renewed).await,
            Errand::Leave(asker) => self.left(asker),
            Errand::Invited(asker, guest, done) => self.invited(asker, guest, done),
            Errand::Order(asker, done) => self.answer(asker, done),
        }
    }

    /// Runs beside this task.
    pub(super) fn beside(&self, name: &'static str, work: impl Future<Output = Errand> + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(name, async move {
            tokio::select! {
                errand = work => shared.members.tell(ToMembers::Ended(errand)).await,
                // Nobody would hear of it.
                () = shared.members.over() => {}
            }
        });
    }

    pub(super) fn answer(&self, asker: Asker, done: Result<Bytes, Unanswered>) {
        let content_type = content_type_of_answer(asker.header.content_type());
        let frame = match done {
            Ok(body) => answer(&self.shared, &asker.header, content_type, &body),
            Err(Unanswered { code, words }) => {
                let (id, source) = (asker.header.id(), asker.header.source());
                error_frame(&self.shared, id, source, content_type, code, &words)
            }
        };
        if let Some(frame) = frame {
            self.shared.sessions.answer(asker.client, frame);
        }
    }

    /// What the core knows.
    pub(super) async fn summary(&self) -> Option<Box<Summary>> {
        let (reply, told) = oneshot::channel();
        self.shared.to_node.send(Ask::Summary(reply)).await.ok()?;
        told.await.ok()
    }

    /// The node of that name, or that id.
    pub(super) async fn find(&self, text: &str) -> Result<NodeId, Unanswered> {
        let text = text.trim();
        let summary = self.summary().await.ok_or_else(stopping)?;
        let by_name = summary.peers.iter().find(|peer| peer.name.as_str() == text).map(|peer| peer.node);
        let found = by_name.or_else(|| text.parse().ok());
        let found = found.ok_or_else(|| refused(ErrorCode::OFFLINE, format!("no node {text:?} is known here")))?;
        if found == self.shared.node {
            return Err(refused(ErrorCode::MALFORMED, "that is this node itself"));
        }
        Ok(found)
    }

    /// The mesh, or that there is none.
    pub(super) fn inside(&self) -> Result<Arc<Inside>, Unanswered> {
        self.shared.members.inside.clone().ok_or_else(|| {
            refused(ErrorCode::MALFORMED, "this node is in no mesh; fix: aicpctl up, or aicpctl join TICKET")
        })
    }

    /// Lets in whoever may come in from now on.
    pub(super) fn refresh_trust(&self) {
        let Some(inside) = &self.shared.members.inside else { return };
        let mut trust = AuthorityTrust::new(Arc::clone(&inside.authority));
        let list = self.revoked.as_ref().map(|revoked| &revoked.list);
        trust.revoked = list.map(|list| list.nodes.clone()).unwrap_or_default();
        trust.guests = self.tickets.guests(self.shared.node);
        inside.set_trust(trust);
        self.shared.members.change_view(|view| {
            view.epoch = list.map_or(0, |list| list.epoch);
            view.revoked = list.map(|list| list.nodes.clone()).unwrap_or_default();
            view.is_holder = self.key.is_some();
        });
        if let Some(peers) = &self.peers {
            peers.refresh();
        }
    }

    fn link_up(&mut self, link: LinkId, member: Arc<Member>) {
        if self.key.is_some() {
            say(&self.shared, link, MemberMessage { request: 0, said: MemberSaid::Holder });
        }
        self.own.links.insert(link, member);
    }

    fn link_down(&mut self, link: LinkId) {
        self.own.calls.lost(link);
        self.own.shares.remove(&link);
        let Some(gone) = self.own.links.remove(&link) else { return };
        let is_linked = self.own.links.values().any(|member| member.id() == gone.id());
        if !is_linked {
            self.shared.members.change_view(|view| view.holders.retain(|holder| *holder != gone.id()));
        }
    }

    async fn said(&mut self, link: LinkId, member: &Arc<Member>, message: MemberMessage) {
        let MemberMessage { request, said } = message;
        tracing::debug!(peer = ?member.id(), request, what = name_of(&said), "a member said something");
        let answer = match said {
            MemberSaid::Holder => {
                self.shared.members.change_view(|view| view.holders.extend([member.id()]));
                self.own.holder_came = true;
                self.renew_now();
                return;
            }
            MemberSaid::Invite { ticket_key, expiry } => self.promise(member, &ticket_key, expiry),
            MemberSaid::Join { ask } => {
                let answer = self.judge(ask, member.id()).await;
                answer.write().map(|answer| MemberSaid::Joined { answer }).map_err(|refusal| refusal.reason().into())
            }
            MemberSaid::Renew => self.renew_for(member),
            MemberSaid::ShareOffer => self.take_offer(link, member),
            MemberSaid::Share { sealed } => self.take_share(link, member, &sealed),
            said @ (MemberSaid::Invited
            | MemberSaid::Joined { .. }
            | MemberSaid::Renewed { .. }
            | MemberSaid::ShareWanted { .. }
            | MemberSaid::ShareTaken
            | MemberSaid::Refused { .. }) => return self.own.calls.answered(link, request, said),
        };
        let said = answer.unwrap_or_else(|words: String| {
            tracing::info!(peer = ?member.id(), words, "a member was refused something");
            MemberSaid::Refused { code: ErrorCode::POLICY, words: words.into() }
        });
        say(&self.shared, link, MemberMessage { request, said });
    }

    /// A newcomer asks. Whoever answers for its ticket decides.
    async fn guest(&mut self, guest: NodeId, ask: Bytes, reply: oneshot::Sender<Bytes>) {
        let us = self.shared.node;
        let holder = self.tickets.find(guest).map_or(us, |issued| issued.holder);
        if holder == us {
            let answer = self.judge_guest(guest, ask, us).await;
            drop(reply.send(self.with_us(answer)));
            return;
        }
        let Some((&link, member)) = self.own.links.iter().find(|(_, member)| member.id() == holder) else {
            let words = "the node that answers for this ticket cannot be reached at the moment; fix: try again later";
            drop(reply.send(self.with_us(self.refusal(words))));
            return;
        };
        let mut call = self.own.calls.ask(&self.shared, link, member, MemberSaid::Join { ask });
        let (shared, time) = (Arc::clone(&self.shared), self.now());
        self.shared.tasks.spawn("a newcomer's question", async move {
            let answer = match call.answer().await {
                Ok(MemberSaid::Joined { answer }) => {
                    JoinAnswer::read(&answer).map_err(|refusal| refusal.reason().into())
                }
                Ok(said) => Err(format!("{} answered something else: {}", call.member.name, name_of(&said))),
                Err(why) => Err(why),
            };
            let refusal = |words: String| JoinAnswer::Refused { code: ErrorCode::NO_ROUTE, words: words.into(), time };
            drop(reply.send(with_record(&shared, answer.unwrap_or_else(refusal))));
        });
    }

    pub(super) fn with_us(&self, answer: JoinAnswer) -> Bytes {
        with_record(&self.shared, answer)
    }

    /// Whose clock and record the newcomer is told are those of the node that it asks.
    pub(super) fn now(&self) -> u64 {
        self.shared.clock.now().wall.0
    }

    pub(super) fn holder(&mut self) -> Option<(LinkId, Arc<Member>)> {
        let view = self.shared.members.view();
        let (link, member) = link_to_holder(&self.own.links, &view.holders, self.own.asked)?;
        self.own.asked = Some(member.id());
        Some((link, Arc::clone(member)))
    }

    /// A list that the core has taken.
    async fn keep_revoked(&mut self, carried: CarriedRecord) {
        let Some(inside) = self.shared.members.inside.clone() else { return };
        let Ok(list) = keys::verify::revocations(carried.clone(), inside.authority.key()) else { return };
        let list = list.into_inner().record;
        let before = self.revoked.take();
        let missing: Vec<NodeId> =
            before.iter().flat_map(|before| before.list.nodes.difference(&list.nodes).copied()).collect();
        if before.as_ref().is_some_and(|before| before.list.epoch >= list.epoch) {
            self.revoked = before;
            return;
        }
        tracing::warn!(epoch = list.epoch, nodes = list.nodes.len(), "a newer list of those that are shut out");
        self.revoked = Some(Revoked { list, carried: carried.clone() });
        // Who is out need not wait for the disk: whoever brought the list brings it again.
        self.refresh_trust();
        if let Err(error) = self.files.save_revoked(&carried) {
            tracing::error!(%error, "the list of those that are shut out was not kept");
        }
        // Two holders shut nodes out at the same time, and neither knew of the other.
        if !missing.is_empty()
            && self.key.is_some()
            && let Err(refusal) = self.shut_out(&missing).await
        {
            tracing::error!(why = %refusal.words, "the lists of two holders were not put together");
        }
    }

    /// Signs a list with some more, keeps it, and has the core spread it.
    pub(super) async fn shut_out(&mut self, nodes: &[NodeId]) -> Result<Revocations, Unanswered> {
        let inside = self.inside()?;
        let key = self.key.clone().ok_or_else(|| refused(ErrorCode::POLICY, "the authority's key is not here"))?;
        let mut list = self.revoked.as_ref().map_or_else(
            || Revocations { mesh: inside.authority.mesh(), epoch: 0, nodes: Default::default() },
            |revoked| revoked.list.clone(),
        );
        list.nodes.extend(nodes);
        // Lists of different holders are numbered by their clocks, so that the later one counts.
        list.epoch = (list.epoch + 1).max(mesh::millis(self.now()));
        let signed = keys::sign::revocations(&key, &list);
        let carried = signed.map_err(|_| refused(ErrorCode::FULL, "the list of those that are shut out is full"))?;
        let proof = keys::verify::revocations(carried.clone(), inside.authority.key());
        let proof = proof.map_err(|refusal| refused(ErrorCode::SERVER, refusal.reason()))?;
        self.files.save_revoked(&carried).map_err(|error| not_kept(&error))?;
        self.revoked = Some(Revoked { list: list.clone(), carried });
        self.refresh_trust();
        self.shared.tell(Input::Revoked(keys::Attested::known(proof).boxed())).await;
        Ok(list)
    }
}

/// The inviter's own record and clock, whoever decided.
fn with_record(shared: &Shared, answer: JoinAnswer) -> Bytes {
    let time = shared.clock.now().wall.0;
    let own = shared.own_record.borrow().clone();
    let answer = match (answer, own) {
        (JoinAnswer::Joined(mut joined), Some(own)) => {
            (joined.inviter, joined.time) = (own, time);
            JoinAnswer::Joined(joined)
        }
        (JoinAnswer::Joined(_), None) => {
            JoinAnswer::Refused { code: ErrorCode::SERVER, words: "this node is only just starting".into(), time }
        }
        (JoinAnswer::Refused { code, words, .. }, _) => JoinAnswer::Refused { code, words, time },
    };
    answer.write().unwrap_or_default()
}

/// What stands in an order.
pub(super) fn read<B: ControlBody>(content: &Content) -> Result<B, Unanswered> {
    if content.body.is_empty() && content.header.content_type() == ContentType::None {
        return Ok(B::default());
    }
    let body = B::read(content.header.content_type(), &content.body);
    body.ok_or_else(|| refused(ErrorCode::MALFORMED, "the body of the order cannot be read"))
}

pub(super) fn refused(code: ErrorCode, words: impl Into<std::borrow::Cow<'static, str>>) -> Unanswered {
    Unanswered { code, words: words.into() }
}

pub(super) fn stopping() -> Unanswered {
    refused(ErrorCode::SERVER, "the daemon is stopping")
}

pub(super) fn not_kept(error: &StartError) -> Unanswered {
    refused(ErrorCode::STORAGE, error.to_string())
}

fn not_admin() -> Unanswered {
    refused(
        ErrorCode::POLICY,
        "only administrators change which mesh this node is in and who may be in it: root, the user that runs the \
         daemon, or a member of the group that `[socket] admin_group` of its configuration names",
    )
}

fn name_of(said: &MemberSaid) -> &'static str {
    match said {
        MemberSaid::Holder => "holder",
        MemberSaid::Invite { .. } => "invite",
        MemberSaid::Invited => "invited",
        MemberSaid::Join { .. } => "join",
        MemberSaid::Joined { .. } => "joined",
        MemberSaid::Renew => "renew",
        MemberSaid::Renewed { .. } => "renewed",
        MemberSaid::ShareOffer => "share offer",
        MemberSaid::ShareWanted { .. } => "share wanted",
        MemberSaid::Share { .. } => "share",
        MemberSaid::ShareTaken => "share taken",
        MemberSaid::Refused { .. } => "refused",
    }
}
