//! Invitations: a ticket for one newcomer, made here and known to whoever keeps the authority's key before anybody gets it.

use bytes::Bytes;
use keys::ticket::Ticket;
use mesh::Unanswered;
use proto::control::{Invitation, Invite, schema};
use proto::member::MemberSaid;
use proto::{ErrorCode, NodeId, limits};

use super::holder::TOO_MANY;
use super::orders::body;
use super::task::{Asker, Errand, MemberTask, not_kept, refused};
use super::tickets::Issued;

impl MemberTask {
    pub(super) fn invite(&mut self, asker: Asker, asked: &Invite) -> Result<Option<Bytes>, Unanswered> {
        let inside = self.inside()?;
        let life = match asked.life_ms {
            0 => limits::TICKET_LIFE,
            ms => ms.saturating_mul(limits::SECOND / 1000).min(limits::TICKET_LIFE_MAX),
        };
        let addresses = self.shared.members.view().addresses.clone();
        if !self.shared.members.view().is_up || addresses.is_empty() {
            return Err(refused(ErrorCode::POLICY, "nobody can reach this node: it is down; fix: aicpctl up"));
        }
        let (us, now) = (self.shared.node, self.now());
        let expiry = (now + life) / limits::SECOND;
        let ticket = Ticket::make(inside.authority.mesh(), us, addresses.iter().cloned(), expiry)
            .map_err(|error| refused(ErrorCode::SERVER, error.to_string()))?;
        let key = ticket.key();
        let guest = key.guest();
        let invitation = Invitation {
            schema: schema::INVITE.into(),
            ticket: ticket.to_string(),
            expires_ms: expiry * 1000,
            inviter: self.shared.name.to_string(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
        };
        let told = body(asker, &invitation);
        if self.key.is_some() {
            self.open_ticket(guest, Issued { expiry, inviter: us, holder: us, used_by: None })?;
            return Ok(Some(told));
        }
        let (link, member) = self.holder().ok_or_else(|| {
            refused(
                ErrorCode::NO_ROUTE,
                "no node that keeps the authority's key is linked with this one, and a ticket needs one; fix: aicpctl \
                 peers says which are there",
            )
        })?;
        self.open_ticket(guest, Issued { expiry, inviter: us, holder: member.id(), used_by: None })?;
        let said = MemberSaid::Invite { ticket_key: *key.public().as_bytes(), expiry };
        let mut call = self.own.calls.ask(&self.shared, link, &member, said);
        self.beside("invitation", async move {
            let done = match call.answer().await {
                Ok(MemberSaid::Invited) => Ok(told),
                Ok(_) => Err(refused(ErrorCode::SERVER, format!("{} answered something else", call.member.name))),
                Err(why) => Err(refused(ErrorCode::NO_ROUTE, why)),
            };
            Errand::Invited(asker, guest, done)
        });
        Ok(None)
    }

    /// Whoever keeps the authority's key knows the ticket now, or the ticket is of no use and nobody gets it.
    pub(super) fn invited(&mut self, asker: Asker, guest: NodeId, done: Result<Bytes, Unanswered>) {
        if done.is_err() {
            self.tickets.close(guest);
            self.refresh_trust();
        }
        self.answer(asker, done);
    }

    fn open_ticket(&mut self, guest: NodeId, issued: Issued) -> Result<(), Unanswered> {
        let now = self.now();
        if !self.tickets.open(guest, issued, now).map_err(|error| not_kept(&error))? {
            return Err(refused(ErrorCode::FULL, TOO_MANY));
        }
        self.refresh_trust();
        Ok(())
    }
}
