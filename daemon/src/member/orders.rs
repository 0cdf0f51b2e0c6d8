//! What administrators order about the mesh: up, down, invite, join, leave, block, forget, revoke, share.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::Bytes;
use keys::certificate::{self, CertificateError};
use keys::ticket::Ticket;
use keys::{AuthorityCertificate, AuthorityKey};
use mesh::{Input, Unanswered, millis};
use proto::control::{ControlBody, Done, Join, JoinReply, PeerOrder, Revoked, Up, UpReply, schema, subject};
use proto::member::MemberSaid;
use proto::{Content, ErrorCode, Name, limits};
use tokio::sync::oneshot;

use super::files::NewMembership;
use super::newcomer::{self, Joined, NotJoined};
use super::place::{PORT, Place};
use super::task::{Asker, Errand, MemberTask, not_kept, read, refused};
use crate::agent::content_type_of_answer;
use crate::clock::duration;

/// What people call a mesh that nobody named.
const MESH_NAME: &str = "mesh";

impl MemberTask {
    /// Does what is ordered. Nothing is answered yet where something has to be waited for.
    pub(super) async fn order(&mut self, asker: Asker, content: &Content) -> Result<Option<Bytes>, Unanswered> {
        if self.own.is_busy {
            return Err(refused(
                ErrorCode::FULL,
                "another order about the mesh is under way; fix: try again in a moment",
            ));
        }
        match content.metadata.subject() {
            Some(subject::UP) => self.up(asker, &read(content)?).map(Some),
            Some(subject::DOWN) => self.down(asker).map(Some),
            Some(subject::INVITE) => self.invite(asker, &read(content)?),
            Some(subject::JOIN) => self.join(asker, &read(content)?).map(|()| None),
            Some(subject::LEAVE) => self.leave(asker).await.map(|()| None),
            Some(subject::PEER_BLOCK) => self.block(asker, &read(content)?).await.map(Some),
            Some(subject::PEER_FORGET) => self.forget(asker, &read(content)?).await.map(Some),
            Some(subject::REVOKE) => self.revoke(asker, &read(content)?).await.map(Some),
            Some(subject::AUTHORITY_SHARE) => self.share(asker, &read(content)?).await.map(|()| None),
            Some(_) | None => Err(refused(ErrorCode::MALFORMED, "this is no order about the mesh")),
        }
    }

    fn up(&mut self, asker: Asker, asked: &Up) -> Result<Bytes, Unanswered> {
        self.refuse_pins()?;
        let place = self.asked_place(&asked.listen, &asked.advertise)?;
        let inside = self.shared.members.inside.clone();
        let name = self.asked_name(&asked.name)?;
        let is_up = self.shared.members.view().is_up;
        let (authority, made) = match &inside {
            Some(inside) => {
                if name != self.shared.name {
                    return Err(refused(
                        ErrorCode::POLICY,
                        format!(
                            "this node is {} in its mesh, and the name is in its certificate; fix: aicpctl leave, then \
                             aicpctl join TICKET --name {name}",
                            self.shared.name
                        ),
                    ));
                }
                (AuthorityCertificate::clone(&inside.authority), false)
            }
            None => (self.make_mesh(&asked.mesh_name, &name, &place)?, true),
        };
        let restarts = made || !is_up || place != self.place;
        if !made {
            self.files
                .save_place(&place)
                .and_then(|()| self.files.set_down(false))
                .map_err(|error| not_kept(&error))?;
        }
        let reply = UpReply {
            schema: schema::UP.into(),
            node_id: self.shared.node.to_string(),
            node_name: name.to_string(),
            mesh_id: hex(&authority.mesh()),
            mesh_name: authority.name().to_string(),
            listen: self.given.listen.or(place.listen).map_or_else(String::new, |listen| listen.to_string()),
            made,
            restarts,
        };
        if restarts {
            self.restart();
        }
        Ok(body(asker, &reply))
    }

    /// A mesh of which this node is the first.
    fn make_mesh(&self, mesh: &str, name: &Name, place: &Place) -> Result<AuthorityCertificate, Unanswered> {
        let mesh: Name =
            if mesh.is_empty() { MESH_NAME } else { mesh }.parse().map_err(|error: proto::NameError| {
                refused(ErrorCode::MALFORMED, format!("{mesh:?} cannot be the name of a mesh: {error}"))
            })?;
        let failed = |error: CertificateError| refused(ErrorCode::SERVER, error.to_string());
        let key = AuthorityKey::make().map_err(|error| refused(ErrorCode::SERVER, error.to_string()))?;
        let now = self.now();
        let authority = AuthorityCertificate::make(&key, &mesh, now).map_err(failed)?;
        let own = certificate::of_node(&key, &authority, self.shared.node_key.public(), name, now).map_err(failed)?;
        let new = NewMembership {
            authority: &authority,
            key: Some(&key),
            certificate: &own,
            revoked: None,
            seeds: Vec::new(),
            place,
            name,
        };
        self.files.save(&new).map_err(|error| not_kept(&error))?;
        Ok(authority)
    }

    fn down(&mut self, asker: Asker) -> Result<Bytes, Unanswered> {
        self.inside()?;
        self.files.set_down(true).map_err(|error| not_kept(&error))?;
        if self.shared.members.view().is_up {
            self.restart();
        }
        Ok(done(asker))
    }

    fn join(&mut self, asker: Asker, asked: &Join) -> Result<(), Unanswered> {
        let ticket: Ticket = asked.ticket.parse().map_err(|error: keys::ticket::TicketError| {
            let words = format!("{error}; fix: copy all of what aicpctl invite printed, or make a new one there");
            refused(ErrorCode::MALFORMED, words)
        })?;
        self.may_join(&ticket)?;
        let place = self.asked_place(&asked.listen, &asked.advertise)?;
        let name = self.asked_name(&asked.name)?;
        self.own.is_busy = true;
        let shared = Arc::clone(&self.shared);
        self.beside("join", async move { Errand::Join(asker, place, newcomer::join(shared, ticket, name).await) });
        Ok(())
    }

    /// Whether this node can be a member by that ticket.
    pub(super) fn may_join(&self, ticket: &Ticket) -> Result<(), Unanswered> {
        self.refuse_pins()?;
        if let Some(inside) = &self.shared.members.inside {
            // Whoever was off for too long comes back with a new ticket.
            let is_over = inside.certificate().validity.not_after < self.now();
            let is_same = inside.authority.mesh() == ticket.mesh;
            if !is_over || !is_same {
                let words =
                    format!("this node is in mesh {} already; fix: aicpctl leave, then join", inside.authority.name());
                return Err(refused(ErrorCode::MALFORMED, words));
            }
        }
        if ticket.inviter == self.shared.node {
            let words = "this is a ticket of this very node; fix: use it on the other host";
            return Err(refused(ErrorCode::MALFORMED, words));
        }
        Ok(())
    }

    pub(super) fn joined(&mut self, asker: Asker, place: &Place, joined: Result<Box<Joined>, NotJoined>) {
        self.own.is_busy = false;
        let joined = match joined {
            Ok(joined) => joined,
            Err(NotJoined(why)) => return self.answer(asker, Err(refused(ErrorCode::UNAUTHENTICATED, why))),
        };
        if let Err(refusal) = self.become_member(place, &joined) {
            return self.answer(asker, Err(refusal));
        }
        let reply = JoinReply {
            schema: schema::JOIN.into(),
            node_id: self.shared.node.to_string(),
            node_name: joined.name.to_string(),
            mesh_id: hex(&joined.authority.mesh()),
            mesh_name: joined.authority.name().to_string(),
            inviter_id: joined.inviter.to_string(),
            inviter_name: joined.inviter_name.to_string(),
            clock_apart_ms: millis(joined.apart),
            certificate_until_ms: millis(joined.validity.not_after),
        };
        self.answer(asker, Ok(body(asker, &reply)));
        self.restart();
    }

    /// Keeps what was given. It counts from the restart on that has to follow.
    pub(super) fn become_member(&self, place: &Place, joined: &Joined) -> Result<(), Unanswered> {
        let new = NewMembership {
            authority: &joined.authority,
            key: None,
            certificate: &joined.certificate,
            revoked: joined.revoked.as_ref(),
            seeds: joined.seeds.clone(),
            place,
            name: &joined.name,
        };
        self.files.save(&new).map_err(|error| not_kept(&error))?;
        tracing::info!(mesh = %joined.authority.name(), name = %joined.name, "this node is a member");
        Ok(())
    }

    /// The others hear of it first, as far as they can be reached.
    async fn leave(&mut self, asker: Asker) -> Result<(), Unanswered> {
        self.inside()?;
        self.own.is_busy = true;
        self.shared.tell(Input::Leave).await;
        self.beside("leave", async move {
            tokio::time::sleep(duration(limits::LEAVE_WAIT)).await;
            Errand::Leave(asker)
        });
        Ok(())
    }

    pub(super) fn left(&mut self, asker: Asker) {
        match self.spend_handed().and_then(|()| self.files.leave()) {
            Ok(()) => {
                self.answer(asker, Ok(done(asker)));
                self.restart();
            }
            Err(error) => {
                self.own.is_busy = false;
                self.answer(asker, Err(not_kept(&error)));
            }
        }
    }

    async fn block(&mut self, asker: Asker, asked: &PeerOrder) -> Result<Bytes, Unanswered> {
        let peer = self.find(&asked.node).await?;
        let mut blocked = self.shared.members.view().blocked.clone();
        if asked.blocked {
            blocked.insert(peer)
        } else {
            blocked.remove(&peer)
        };
        self.files.save_blocked(&blocked).map_err(|error| not_kept(&error))?;
        self.shared.members.change_view(|view| view.blocked = blocked);
        self.shared.tell(Input::Block { peer, is_blocked: asked.blocked }).await;
        Ok(done(asker))
    }

    async fn forget(&mut self, asker: Asker, asked: &PeerOrder) -> Result<Bytes, Unanswered> {
        self.inside()?;
        let peer = self.find(&asked.node).await?;
        self.shared.tell(Input::Forget { peer }).await;
        Ok(done(asker))
    }

    async fn revoke(&mut self, asker: Asker, asked: &PeerOrder) -> Result<Bytes, Unanswered> {
        self.inside()?;
        let node = self.find(&asked.node).await?;
        if self.key.is_none() {
            return Err(self.not_holder("shuts nodes out"));
        }
        let list = self.shut_out(&[node]).await?;
        tracing::warn!(?node, epoch = list.epoch, "a node is shut out");
        let nodes = list.nodes.iter().map(ToString::to_string).collect();
        Ok(body(asker, &Revoked { schema: schema::REVOKED.into(), epoch: list.epoch, nodes }))
    }

    /// Says to which node to go.
    fn not_holder(&self, what: &str) -> Unanswered {
        let holders = self.shared.members.view().holders.clone();
        let names = self.own.links.values().filter(|member| holders.contains(&member.id()));
        let mut names: Vec<String> = names.map(|member| member.name.to_string()).collect();
        names.sort();
        names.dedup();
        let fix = match names.as_slice() {
            [] => "on the node that keeps it, which is not linked with this one now".to_owned(),
            names => format!("run it on {}", names.join(" or ")),
        };
        refused(ErrorCode::POLICY, format!("only a node that keeps the authority's key {what}; fix: {fix}"))
    }

    async fn share(&mut self, asker: Asker, asked: &PeerOrder) -> Result<(), Unanswered> {
        self.inside()?;
        let node = self.find(&asked.node).await?;
        let Some(key) = self.key.clone() else { return Err(self.not_holder("shares it")) };
        let found = self.own.links.iter().find(|(_, member)| member.id() == node);
        let (link, member) = found.map(|(link, member)| (*link, Arc::clone(member))).ok_or_else(|| {
            refused(ErrorCode::NO_ROUTE, "there is no link with that node now; fix: aicpctl peers says which are up")
        })?;
        let ends = self.ends(self.shared.node, node).ok_or_else(super::task::stopping)?;
        let mut offer = self.own.calls.ask(&self.shared, link, &member, MemberSaid::ShareOffer);
        let (reply, taken) = oneshot::channel();
        let request = self.own.calls.expect(link, reply);
        let shared = Arc::clone(&self.shared);
        self.beside("share", async move {
            let sharing = async {
                let wanted = offer.answer().await?;
                let said = Self::seal_share(&key, &ends, &member, wanted)?;
                super::say(&shared, link, proto::member::MemberMessage { request, said });
                match tokio::time::timeout(duration(limits::MEMBER_ANSWER_WAIT), taken).await {
                    Ok(Ok(MemberSaid::ShareTaken)) => Ok(()),
                    Ok(Ok(MemberSaid::Refused { words, .. })) => Err(words.escape_default().to_string()),
                    Ok(_) | Err(_) => Err(format!("{} did not say that it has the key", member.name)),
                }
            };
            let done = sharing.await.map(|()| done(asker)).map_err(|why| refused(ErrorCode::NO_ROUTE, why));
            Errand::Order(asker, done)
        });
        Ok(())
    }

    /// What is changed counts from the next start on; nothing else is taken before.
    pub(super) const fn restart(&mut self) {
        self.own.is_busy = true;
        self.own.restarts = true;
    }

    fn refuse_pins(&self) -> Result<(), Unanswered> {
        if self.given.has_pins {
            return Err(refused(
                ErrorCode::POLICY,
                "peers are pinned in mesh.peers of the configuration, and a node uses one kind of trust; fix: remove \
                 mesh.peers there and restart aicpd",
            ));
        }
        Ok(())
    }

    fn asked_name(&self, name: &str) -> Result<Name, Unanswered> {
        if name.is_empty() {
            return Ok(self.shared.name.clone());
        }
        let parsed = name.parse();
        parsed.map_err(|error: proto::NameError| refused(ErrorCode::MALFORMED, format!("{name:?} is no name: {error}")))
    }

    /// Where this node will listen. A port that somebody else has is found now, and not after a restart.
    pub(super) fn asked_place(&self, listen: &str, advertise: &[String]) -> Result<Place, Unanswered> {
        let mut place = self.place.clone();
        if !listen.is_empty() {
            if self.given.listen.is_some() {
                let words = "mesh.listen stands in the configuration; fix: change it there";
                return Err(refused(ErrorCode::POLICY, words));
            }
            let parsed = listen.parse();
            let wrong =
                |_| refused(ErrorCode::MALFORMED, format!("{listen:?} is no IP address with a port, like [::]:7727"));
            place.listen = Some(parsed.map_err(wrong)?);
        }
        if !advertise.is_empty() {
            place.advertise = advertise.iter().map(|address| address.as_str().into()).collect();
        }
        let most = usize::try_from(limits::ADDRESSES_MAX).unwrap_or(0);
        if let Some(wrong) = place.advertise.iter().find(|address| !config::is_address(address)) {
            return Err(refused(ErrorCode::MALFORMED, format!("{wrong:?} is no HOST:PORT")));
        }
        if place.advertise.len() > most {
            return Err(refused(ErrorCode::MALFORMED, format!("at most {most} addresses")));
        }
        if self.given.listen.is_none() && (place.listen.is_none() || place != self.place) {
            let ours = self.peers.as_ref().and_then(crate::peer::PeerDoor::listens_on);
            place.listen = Some(free_place(place.listen, ours)?);
        }
        Ok(place)
    }
}

/// The address if nobody else has it; without one, any address and the usual port.
fn free_place(asked: Option<SocketAddr>, ours: Option<SocketAddr>) -> Result<SocketAddr, Unanswered> {
    let usual = [SocketAddr::from(([0_u16; 8], PORT)), SocketAddr::from(([0_u8; 4], PORT))];
    let tried: Vec<SocketAddr> = asked.map_or_else(|| usual.to_vec(), |asked| vec![asked]);
    let mut why = String::new();
    for address in tried {
        if ours.is_some_and(|ours| ours.port() == address.port()) {
            return Ok(address);
        }
        match UdpSocket::bind(address) {
            // A port that was left to the system is kept from here on.
            Ok(socket) => return Ok(socket.local_addr().unwrap_or(address)),
            Err(error) => {
                why = format!(
                    "UDP {address}: {error}; fix: another address or port, by --listen or mesh.listen of the configuration"
                )
            }
        }
    }
    Err(refused(ErrorCode::POLICY, why))
}

pub(super) fn body(asker: Asker, body: &impl ControlBody) -> Bytes {
    body.write(content_type_of_answer(asker.header.content_type()))
}

fn done(asker: Asker) -> Bytes {
    body(asker, &Done { schema: schema::DONE.into(), count: 1 })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
