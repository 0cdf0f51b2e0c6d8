//! Whether a link's peer is heard. While it is not, what was sent is still on its way in QUIC, and to repeat it would
//! be of no use: the node hears when a peer falls silent, and when it is heard again. Looked at now and then, so that
//! no packet costs anything.

use std::sync::Arc;

use mesh::{Input, Mono};
use proto::limits;
use quinn::Connection;
use tokio::time::{MissedTickBehavior, interval};

use super::LinkEnd;
use super::link::LinkState;
use crate::clock::duration;
use crate::shared::Shared;

/// Looks until the link ends.
pub(super) async fn run(shared: Arc<Shared>, state: Arc<LinkState>, connection: Connection) -> LinkEnd {
    let mut looks = interval(duration(limits::LINK_LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hearing = Hearing::default();
    loop {
        looks.tick().await;
        let stats = connection.stats();
        let (link, peer) = (state.link, state.peer);
        match hearing.look(stats.udp_rx.datagrams, stats.udp_tx.datagrams, shared.clock.now().mono) {
            Some(Change::Silent) => {
                tracing::debug!(?peer, link = link.0, "nothing is heard");
                shared.tell(Input::LinkSilent { link }).await;
            }
            Some(Change::Heard) => {
                tracing::debug!(?peer, link = link.0, "heard again");
                shared.tell(Input::LinkHeard { link }).await;
            }
            None => {}
        }
    }
}

/// What was heard and sent when something was heard last. An idle link is not silent: nothing on it wants an answer.
#[derive(Default, Debug)]
struct Hearing {
    heard: u64,
    sent: u64,
    /// Since when something that was sent has no answer.
    unanswered: Option<Mono>,
    is_silent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Silent,
    Heard,
}

impl Hearing {
    /// What has changed, if so many datagrams were heard and sent by now.
    fn look(&mut self, heard: u64, sent: u64, now: Mono) -> Option<Change> {
        if heard != self.heard {
            let was_silent = self.is_silent;
            *self = Self { heard, sent, unanswered: None, is_silent: false };
            return was_silent.then_some(Change::Heard);
        }
        if sent == self.sent || self.is_silent {
            return None;
        }
        let since = *self.unanswered.get_or_insert(now);
        self.is_silent = now.since(since) >= limits::LINK_SILENCE;
        self.is_silent.then_some(Change::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(looks: &[(u64, u64)]) -> Vec<(u64, Change)> {
        let mut hearing = Hearing::default();
        let looks = (1..).zip(looks);
        looks
            .filter_map(|(second, &(heard, sent))| {
                let change = hearing.look(heard, sent, Mono(second * limits::SECOND))?;
                Some((second, change))
            })
            .collect()
    }

    #[test]
    fn a_peer_that_answers_nothing_is_silent_after_two_seconds_and_heard_with_its_next_packet() {
        let looks = [
            (1, 1),
            (2, 4),
            (2, 5),
            (2, 6),
            (2, 7),
            (2, 7),
            (2, 8),
            (3, 9),
            (3, 10),
            (4, 10),
            (4, 11),
            (4, 11),
            (4, 11),
        ];
        assert_eq!(told(&looks), [(5, Change::Silent), (8, Change::Heard), (13, Change::Silent)]);
    }

    #[test]
    fn a_link_on_which_nothing_is_said_is_not_silent() {
        assert_eq!(told(&[(3, 3); 60]), []);
    }
}
