//! A ticket that the service manager hands over (`aicp.join-ticket`): a node that is in no mesh joins by it when it
//! starts, and tries again until the ticket expires. Whatever comes of it, the daemon runs on for the agents of this
//! host. The ticket itself is told to nobody.

use std::sync::Arc;

use keys::ticket::Ticket;
use proto::limits;

use super::newcomer::{self, Joined, NotJoined};
use super::place::Place;
use super::task::{Errand, MemberTask};
use crate::StartError;
use crate::clock::duration;

/// One attempt, and what the next one begins with.
#[derive(Debug)]
pub(crate) struct Handed {
    ticket: Ticket,
    /// Where this node would listen.
    place: Place,
    /// Before the next attempt, in ns.
    pause: u64,
}

/// What to do about one that is of no use.
const NEW_TICKET: &str = "fix: aicpctl invite on a member, the new ticket in the place of this one, and a restart of \
                          aicpd; or aicpctl join TICKET";

impl MemberTask {
    /// Looks at it, when the daemon starts.
    pub(super) fn take_handed(&mut self) {
        let Some(handed) = &self.handed else { return };
        if let Some(inside) = &self.shared.members.inside
            && inside.certificate().validity.not_after >= self.now()
        {
            tracing::info!(mesh = %inside.authority.name(), "a ticket was handed over, and is left alone: this node is a member");
            return;
        }
        let ticket = match handed {
            Ok(ticket) => ticket.clone(),
            Err(error) => return self.not_joined(format!("{error}; {NEW_TICKET}")),
        };
        match self.files.is_spent(ticket.key().guest()) {
            Ok(false) => self.join_by_handed(Handed { ticket, place: Place::default(), pause: limits::JOIN_PAUSE }),
            Ok(true) => self.not_joined(format!("it was used before, and this node has left since; {NEW_TICKET}")),
            Err(error) => self.not_joined(error.to_string()),
        }
    }

    pub(super) fn join_by_handed(&mut self, mut handed: Handed) {
        if self.own.is_busy {
            return self.try_again(handed);
        }
        let place = self.may_join(&handed.ticket).and_then(|()| self.asked_place("", &[]));
        handed.place = match place {
            Ok(place) => place,
            Err(refusal) => return self.not_joined(refusal.words.into_owned()),
        };
        tracing::info!(ticket = ?handed.ticket, "joining by the ticket that was handed over");
        let (shared, ticket, name) = (Arc::clone(&self.shared), handed.ticket.clone(), self.shared.name.clone());
        self.beside("join by a ticket that was handed over", async move {
            Errand::JoinByHanded(handed, newcomer::join(shared, ticket, name).await)
        });
    }

    pub(super) fn joined_by_handed(&mut self, handed: Handed, joined: Result<Box<Joined>, NotJoined>) {
        match joined {
            // Somebody orders something else at this moment. Whoever used a ticket may do so again.
            Ok(_) if self.own.is_busy => self.try_again(handed),
            Ok(joined) => match self.become_member(&handed.place, &joined) {
                Ok(()) => self.restart(),
                Err(refusal) => self.not_joined(refusal.words.into_owned()),
            },
            Err(NotJoined(why)) if handed.ticket.expiry.saturating_mul(limits::SECOND) < self.now() => {
                let what = why.split_once("; fix: ").map_or(&*why, |(what, _)| what);
                self.not_joined(format!("{what}; {NEW_TICKET}"));
            }
            Err(NotJoined(why)) => {
                let (what, fix) =
                    why.split_once("; fix: ").unwrap_or((&why, "aicpctl invite on a member, for a new one"));
                self.not_joined(format!(
                    "{what}, and until the ticket expires it is tried again by itself; fix: {fix}"
                ));
                self.try_again(handed);
            }
        }
    }

    fn try_again(&self, handed: Handed) {
        let pause = handed.pause;
        let handed = Handed { pause: (2 * pause).min(limits::JOIN_PAUSE_MAX), ..handed };
        self.beside("a pause before another attempt to join", async move {
            tokio::time::sleep(duration(pause)).await;
            Errand::TryHanded(handed)
        });
    }

    /// Says so, in the log and to whoever asks for the status.
    fn not_joined(&self, why: String) {
        let view = self.shared.members.view();
        if view.handed.as_ref() != Some(&why) {
            tracing::warn!(why, "the ticket that was handed over did not make this node a member");
            self.shared.members.change_view(|view| view.handed = Some(why));
        }
    }

    /// This node leaves. What is handed over at the next start is not to bring it back.
    pub(super) fn spend_handed(&self) -> Result<(), StartError> {
        match &self.handed {
            Some(Ok(ticket)) => self.files.save_spent(ticket.key().guest()),
            Some(Err(_)) | None => Ok(()),
        }
    }
}
