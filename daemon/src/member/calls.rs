//! Questions to other members over the control streams of their links, and the answers that are awaited.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh::LinkId;
use proto::member::{MemberMessage, MemberSaid};
use proto::{NodeId, limits};
use tokio::sync::oneshot;

use super::{LinkedMembers, Member, say};
use crate::clock::duration;
use crate::shared::Shared;

/// All questions that are under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    awaited: BTreeMap<u64, Awaited>,
    last: u64,
}

#[derive(Debug)]
struct Awaited {
    link: LinkId,
    reply: oneshot::Sender<MemberSaid>,
}

/// An answer that is awaited.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) member: Arc<Member>,
    answer: oneshot::Receiver<MemberSaid>,
}

impl Calls {
    /// Asks the member at the other end of a link.
    pub(super) fn ask(&mut self, shared: &Shared, link: LinkId, member: &Arc<Member>, said: MemberSaid) -> Call {
        let (reply, answer) = oneshot::channel();
        let request = self.expect(link, reply);
        say(shared, link, MemberMessage { request, said });
        Call { member: Arc::clone(member), answer }
    }

    /// Waits for one more answer to a question.
    pub(super) fn expect(&mut self, link: LinkId, reply: oneshot::Sender<MemberSaid>) -> u64 {
        self.awaited.retain(|_, awaited| !awaited.reply.is_closed());
        self.last += 1;
        self.awaited.insert(self.last, Awaited { link, reply });
        self.last
    }

    /// An answer came. One that nobody waits for, or from somebody else, is dropped.
    pub(super) fn answered(&mut self, link: LinkId, request: u64, said: MemberSaid) {
        if self.awaited.get(&request).is_some_and(|awaited| awaited.link == link)
            && let Some(awaited) = self.awaited.remove(&request)
        {
            // Whoever asked may have given up.
            drop(awaited.reply.send(said));
        }
    }

    /// Nobody answers over a link that has ended.
    pub(super) fn lost(&mut self, link: LinkId) {
        self.awaited.retain(|_, awaited| awaited.link != link);
    }
}

impl Call {
    /// Waits for it.
    pub(super) async fn answer(&mut self) -> Result<MemberSaid, String> {
        let name = &self.member.name;
        match tokio::time::timeout(duration(limits::MEMBER_ANSWER_WAIT), &mut self.answer).await {
            Ok(Ok(MemberSaid::Refused { words, .. })) => Err(format!("{name} refuses: {}", words.escape_default())),
            Ok(Ok(said)) => Ok(said),
            Ok(Err(_)) => Err(format!("the link with {name} ended before it answered")),
            Err(_) => Err(format!("{name} did not answer in time")),
        }
    }
}

/// A link to one of those who say that they hold the authority's key, and to another one each time: whoever says so and
/// never answers stands in nobody's way for long.
pub(super) fn link_to_holder<'a>(
    links: &'a LinkedMembers,
    holders: &BTreeSet<NodeId>,
    asked: Option<NodeId>,
) -> Option<(LinkId, &'a Arc<Member>)> {
    let linked = links.iter().filter(|(_, member)| holders.contains(&member.id()));
    let next = linked.min_by_key(|(_, member)| (Some(member.id()) <= asked, member.id()));
    next.map(|(link, member)| (*link, member))
}
