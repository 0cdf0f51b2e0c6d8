//! Who speaks to whom, and in which of the two kinds of flow.

use proto::{AgentId, FlowId, FlowKind, Shape};

/// One direction between two agents, and the kind of what goes there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Pair {
    pub(crate) source: AgentId,
    pub(crate) destination: AgentId,
    pub(crate) kind: FlowKind,
}

impl Pair {
    pub(crate) const fn messages(source: AgentId, destination: AgentId) -> Self {
        Self { source, destination, kind: FlowKind::Messages }
    }

    pub(crate) const fn answers(source: AgentId, destination: AgentId) -> Self {
        Self { source, destination, kind: FlowKind::Answers }
    }

    /// The lowest flow of this kind that is above `floor`, and not below the clock.
    pub(crate) fn flow_above(self, floor: Option<FlowId>, wall: u64) -> Option<FlowId> {
        let bit = match self.kind {
            FlowKind::Messages => 0,
            FlowKind::Answers => 1,
        };
        let wanted = floor.map_or(0, |floor| floor.get().saturating_add(2)).max(wall).max(2);
        FlowId::new((wanted & !1) | bit)
    }

    pub(crate) const fn shape(self) -> Shape {
        Shape::Durable(self.kind)
    }
}
