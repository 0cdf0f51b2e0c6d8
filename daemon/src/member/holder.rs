//! What a node does that holds the authority's key, for newcomers and other members; and how its own certificate is
//! renewed, by itself or by one that holds the key.

use std::sync::Arc;

use bytes::Bytes;
use keys::share::{self, Ends, ShareKey};
use keys::verify::{self, Asked};
use keys::{PublicKey, certificate};
use mesh::{Input, LinkId};
use proto::member::{JoinAnswer, Joined, MemberMessage, MemberSaid, SignedAsk};
use proto::{ErrorCode, Name, NodeId, limits};
use rustls::pki_types::CertificateDer;

use super::task::{Errand, MemberTask};
use super::tickets::Issued;
use super::{Certified, Inside, Member, say};

impl MemberTask {
    /// Somebody who gave out a ticket asks us to answer for it.
    pub(super) fn promise(
        &mut self,
        inviter: &Member,
        ticket: &[u8; limits::PUBLIC_KEY_BYTES],
        expiry: u64,
    ) -> Result<MemberSaid, String> {
        if self.key.is_none() {
            return Err(NOT_HELD.into());
        }
        let ticket = PublicKey::admit(ticket).map_err(|refusal| refusal.reason().to_owned())?;
        let now = self.now();
        if expiry > (now + limits::TICKET_LIFE_MAX + limits::CLOCKS_APART_MAX) / limits::SECOND {
            return Err("a ticket that would be good for too long; are both clocks right?".into());
        }
        let issued = Issued { expiry, inviter: inviter.id(), holder: self.shared.node, used_by: None };
        if self.tickets.find(ticket.node_id()).is_some() {
            return Err("that ticket is known already".into());
        }
        match self.tickets.open(ticket.node_id(), issued, now) {
            Ok(true) => Ok(MemberSaid::Invited),
            Ok(false) => Err(TOO_MANY.into()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Judges what a newcomer asks that shows the key of a ticket.
    pub(super) async fn judge_guest(&mut self, guest: NodeId, ask: Bytes, inviter: NodeId) -> JoinAnswer {
        match SignedAsk::read(ask.clone()).and_then(|signed| verify::join_ask(&signed)) {
            Ok(asked) if asked.get().ticket.node_id() == guest => self.judge(ask, inviter).await,
            Ok(_) => self.refusal("this is asked with another ticket than the one that was shown"),
            Err(refusal) => self.refusal(refusal.reason()),
        }
    }

    /// Judges what a newcomer asks of the inviter. The ticket is burnt, on disk, before anything is signed.
    pub(super) async fn judge(&mut self, ask: Bytes, inviter: NodeId) -> JoinAnswer {
        let asked = SignedAsk::read(ask).and_then(|signed| verify::join_ask(&signed));
        let answer = match asked {
            Ok(asked) => self.admit(asked.get(), inviter).await,
            Err(refusal) => Err(refusal.reason().to_owned()),
        };
        answer.unwrap_or_else(|words| {
            tracing::warn!(inviter = ?inviter, words, "a newcomer was refused");
            self.refusal(&words)
        })
    }

    async fn admit(&mut self, asked: &Asked, inviter: NodeId) -> Result<JoinAnswer, String> {
        let inside = self.shared.members.inside.clone().ok_or("this node is in no mesh")?;
        let Asked { ask, ticket, node } = asked;
        let (guest, id, now) = (ticket.node_id(), node.node_id(), self.now());
        if self.key.is_none() {
            return Err(NOT_HELD.into());
        }
        if ask.mesh != inside.authority.mesh() || ask.inviter != inviter {
            return Err("the ticket is for another mesh".into());
        }
        let issued = self.tickets.find(guest).filter(|issued| issued.inviter == inviter).cloned();
        let issued = issued.ok_or("the ticket is not known here; fix: aicpctl invite, for a new one")?;
        match &issued.used_by {
            Some((user, _)) if *user != id => {
                return Err("the ticket was used already; fix: aicpctl invite, for a new one".into());
            }
            Some(_) => {}
            None if issued.expiry.saturating_mul(limits::SECOND) < now => {
                return Err("the ticket has expired; fix: aicpctl invite, for a new one".into());
            }
            None => {}
        }
        if ask.time.abs_diff(now) > limits::CLOCKS_APART_MAX {
            return Err(clocks_apart(ask.time, now));
        }
        if inside.trust().revoked.contains(&id) {
            return Err("this node was shut out of the mesh".into());
        }
        self.free_name(&ask.name, id).await?;
        self.tickets.burn(guest, id, ask.name.clone()).map_err(|error| error.to_string())?;
        let certificate = self.certify(&inside, node, &ask.name)?;
        tracing::info!(node = ?id, name = %ask.name, "a node became a member");
        let own = self.shared.own_record.borrow().clone().ok_or("this node is only just starting")?;
        Ok(JoinAnswer::Joined(Box::new(Joined {
            authority: Bytes::copy_from_slice(inside.authority.der()),
            certificate,
            revocations: self.revoked.as_ref().map(|revoked| revoked.carried.clone()),
            inviter: own,
            time: now,
        })))
    }

    /// A name is one node's. Those that have just become members are not in the directory yet.
    async fn free_name(&self, name: &Name, id: NodeId) -> Result<(), String> {
        let summary = self.summary().await.ok_or("this node is stopping")?;
        let in_use = summary.peers.iter().map(|peer| (&peer.name, peer.node));
        let newcomers = self.tickets.newcomers().map(|(node, name)| (name, *node));
        let own = std::iter::once((&self.shared.name, self.shared.node));
        let revoked = self.shared.members.view().revoked.clone();
        let mut others = in_use.chain(newcomers).chain(own).filter(|(_, node)| *node != id && !revoked.contains(node));
        match others.find(|(used, _)| *used == name) {
            Some((_, node)) => Err(format!(
                "the name {name} is taken in this mesh by {}; fix: aicpctl join TICKET --name OTHER",
                node.agent().short()
            )),
            None => Ok(()),
        }
    }

    fn certify(&self, inside: &Inside, node: &PublicKey, name: &Name) -> Result<Bytes, String> {
        let key = self.key.as_ref().ok_or(NOT_HELD)?;
        let made = certificate::of_node(key, &inside.authority, node, name, self.now());
        made.map(|certificate| Bytes::copy_from_slice(&certificate)).map_err(|error| error.to_string())
    }

    pub(super) fn refusal(&self, words: &str) -> JoinAnswer {
        JoinAnswer::Refused { code: ErrorCode::POLICY, words: words.into(), time: self.now() }
    }

    /// A member wants a new certificate, for the key that TLS has seen and the name that it has.
    pub(super) fn renew_for(&self, member: &Member) -> Result<MemberSaid, String> {
        let inside = self.shared.members.inside.as_ref().ok_or(NOT_HELD)?;
        if inside.trust().revoked.contains(&member.id()) {
            return Err("this node was shut out of the mesh".into());
        }
        let certificate = self.certify(inside, &member.key, &member.name)?;
        tracing::info!(node = ?member.id(), name = %member.name, "a member's certificate is renewed");
        Ok(MemberSaid::Renewed { certificate })
    }

    /// The core says that it is time.
    pub(super) fn renew(&mut self) {
        let Some(inside) = self.shared.members.inside.clone() else { return };
        self.own.holder_came = false;
        if self.key.is_some() {
            let made = self.certify(&inside, self.shared.node_key.public(), &self.shared.name);
            return self.beside("renewal", async move { Errand::Renew(made) });
        }
        let Some((link, member)) = self.holder() else {
            let why = "no node that keeps the authority's key is linked with this one".to_owned();
            return self.beside("renewal", async move { Errand::Renew(Err(why)) });
        };
        let mut call = self.own.calls.ask(&self.shared, link, &member, MemberSaid::Renew);
        self.beside("renewal", async move {
            Errand::Renew(match call.answer().await {
                Ok(MemberSaid::Renewed { certificate }) => Ok(certificate),
                Ok(_) => Err(format!("{} answered something else", call.member.name)),
                Err(why) => Err(why),
            })
        });
    }

    /// Somebody came who can help, and help was needed.
    pub(super) fn renew_now(&mut self) {
        if self.shared.members.view().renewal.is_some() {
            self.renew();
        }
    }

    pub(super) async fn renewed(&mut self, renewed: Result<Bytes, String>) {
        let taken = match renewed {
            Ok(certificate) => self.take_certificate(&certificate),
            Err(why) => Err(why),
        };
        match taken {
            Ok(certified) => {
                tracing::info!(until = certified.validity.not_after, "this node has a new certificate");
                self.shared.members.change_view(|view| view.renewal = None);
                self.shared.tell(Input::Certified(certified.validity)).await;
            }
            Err(why) => {
                tracing::warn!(why, "the certificate of this node was not renewed");
                self.shared.members.change_view(|view| view.renewal = Some(why));
                // It was asked over a link that another one has replaced since.
                if self.own.holder_came {
                    self.renew();
                }
            }
        }
    }

    fn take_certificate(&self, der: &[u8]) -> Result<Certified, String> {
        let inside = self.shared.members.inside.as_ref().ok_or("this node is in no mesh")?;
        let about = inside.trust().judge(der, self.now()).map_err(|fault| format!("what came is no use: {fault}"))?;
        if about.key != *self.shared.node_key.public() || about.name != self.shared.name {
            return Err("what came is another node's certificate".into());
        }
        self.files.save_certificate(der).map_err(|error| error.to_string())?;
        let certified = Certified { der: CertificateDer::from(der.to_vec()), validity: about.validity };
        inside.set_certificate(certified.clone());
        if let Some(peers) = &self.peers {
            peers.refresh();
        }
        Ok(certified)
    }

    /// One that holds the authority's key would give it to us.
    pub(super) fn take_offer(&mut self, link: LinkId, member: &Member) -> Result<MemberSaid, String> {
        let ends = self.ends(member.id(), self.shared.node).ok_or("this node is in no mesh")?;
        let made = ShareKey::make().map_err(|error| error.to_string())?;
        let wanted =
            MemberSaid::ShareWanted { public: *made.public(), signature: made.sign(&self.shared.node_key, &ends) };
        self.own.shares.insert(link, made);
        Ok(wanted)
    }

    /// Here it is: from now on this node decides who is a member.
    pub(super) fn take_share(&mut self, link: LinkId, member: &Member, sealed: &[u8]) -> Result<MemberSaid, String> {
        let made = self.own.shares.remove(&link).ok_or("nothing was offered")?;
        let ends = self.ends(member.id(), self.shared.node).ok_or("this node is in no mesh")?;
        let key = made.open(sealed, &ends).map_err(|error| error.to_string())?;
        self.files.save_key(&key).map_err(|error| error.to_string())?;
        tracing::warn!(from = %member.name, "this node keeps the key of the mesh's authority from now on");
        self.key = Some(Arc::new(key));
        self.refresh_trust();
        for link in self.own.links.keys() {
            say(&self.shared, *link, MemberMessage { request: 0, said: MemberSaid::Holder });
        }
        self.renew_now();
        Ok(MemberSaid::ShareTaken)
    }

    pub(super) fn ends(&self, holder: NodeId, receiver: NodeId) -> Option<Ends> {
        let mesh = self.shared.members.inside.as_ref()?.authority.mesh();
        Some(Ends { mesh, holder, receiver })
    }

    /// What the receiver wants is answered with the key, sealed to what it signed.
    pub(super) fn seal_share(
        key: &keys::AuthorityKey,
        ends: &Ends,
        receiver: &Member,
        said: MemberSaid,
    ) -> Result<MemberSaid, String> {
        let MemberSaid::ShareWanted { public, signature } = said else {
            return Err(format!("{} answered something else", receiver.name));
        };
        let sealed = share::seal(key, ends, &receiver.key, &public, &signature).map_err(|error| error.to_string())?;
        Ok(MemberSaid::Share { sealed })
    }
}

const NOT_HELD: &str = "this node does not keep the key of the mesh's authority";
pub(super) const TOO_MANY: &str = "too many tickets are open; fix: wait until some expire";

/// In words that say which of the two is probably wrong: the mesh is more than one.
pub(super) fn clocks_apart(theirs: u64, ours: u64) -> String {
    let way = if theirs < ours { "behind" } else { "ahead of" };
    let apart = theirs.abs_diff(ours) / limits::SECOND;
    let (amount, unit) = match apart {
        0..7200 => (apart / 60, "minutes"),
        7200..172_800 => (apart / 3600, "hours"),
        _ => (apart / 86_400, "days"),
    };
    format!(
        "the clock of the new node is {amount} {unit} {way} that of the mesh, and at most 10 minutes are fine; \
         fix: set the clock right (timedatectl set-ntp true) and join again; the ticket was not used up"
    )
}
