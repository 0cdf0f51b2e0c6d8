//! What goes at most once: that it comes no more often, not late, and is refused by nobody but its destination.

use proto::{AgentId, Content, ErrorCode, Header, MessageId};

use super::Model;
use crate::fault::Promise;
use crate::time::SECOND;

/// Who said it to whom, of which type, under which id.
pub(super) type OnceKey = (AgentId, AgentId, u8, MessageId);

/// What became of something that was said at most once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SaidOnce {
    /// How its destination refused it, as its sender is to hear it.
    declined: Option<ErrorCode>,
    /// How often whoever said it heard an ERROR about it.
    refusals: u32,
}

impl Model {
    pub(crate) fn said_once(&mut self, header: &Header) {
        self.said_once.entry((header.source(), header.destination(), header.id())).or_default();
    }

    /// Its destination will not do it.
    pub(crate) fn declined_once(&mut self, content: &Content) {
        let header = &content.header;
        let is_for_good =
            Self::code_of(content).filter(|code| matches!(*code, ErrorCode::POLICY | ErrorCode::MALFORMED));
        if let Some(said) = self.said_once.get_mut(&(header.destination(), header.source(), header.id())) {
            said.declined = Some(is_for_good.unwrap_or(ErrorCode::SERVER));
        }
    }

    /// An ERROR in the name of its destination.
    pub(super) fn refused_once(&mut self, node: usize, header: &Header, code: ErrorCode) {
        let said = self.said_once.get_mut(&(header.destination(), header.source(), header.id()));
        let Some(said) = said else {
            let what = format!("an ERROR {code} about {}, which its agent never said", header.id());
            return self.fault(Promise::EndsAreTrue, Some(node), None, what);
        };
        said.refusals += 1;
        let SaidOnce { declined, refusals } = *said;
        if declined == Some(code) {
            self.tally.declined += 1;
        } else if matches!(code, ErrorCode::SERVER | ErrorCode::MALFORMED) {
            let what = format!("{code} about {}, which its destination never said", header.id());
            self.fault(Promise::EndsAreTrue, Some(node), None, what);
        }
        if refusals > 1 {
            let what = format!("an ERROR about {} came twice, and was said at most once", header.id());
            self.fault(Promise::AtMostOnce, Some(node), None, what);
        }
    }

    pub(super) fn delivered_once(&mut self, node: usize, content: &Content, wall: u64) {
        let header = &content.header;
        let key: OnceKey = (header.source(), header.destination(), header.message_type() as u8, header.id());
        let count = self.once.entry(key).or_insert(0);
        *count += 1;
        let is_repeated = *count > 1;
        self.tally.once += 1;
        if is_repeated {
            let what = format!("{} came twice, and was said at most once", header.id());
            self.fault(Promise::AtMostOnce, Some(node), None, what);
        }
        // A second for what lies between the door and the agent.
        let oldest = wall.saturating_sub(proto::limits::ONCE_AGE_MAX + SECOND);
        if header.timestamp() < oldest && !self.clocks_jump {
            let what = format!("{} came when it was more than a minute old", header.id());
            self.fault(Promise::AtMostOnce, Some(node), None, what);
        }
    }
}
