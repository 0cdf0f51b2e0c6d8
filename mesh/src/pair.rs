//! Who speaks to whom, and in which of the two kinds of flow.

use proto::{AgentId, FlowId, FlowKind, Shape};

use crate::chance::Chance;

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

    /// A flow of this kind that is above `floor`: the clock, or where that is behind, a number drawn above the floor.
    /// A fixed step would lead to the same flow each time the same floor is heard of, and reuse its places.
    pub(crate) fn flow_above(self, floor: Option<FlowId>, wall: u64, chance: &mut Chance) -> Option<FlowId> {
        const STEP_MAX: u64 = 1 << 32;
        let bit = match self.kind {
            FlowKind::Messages => 0,
            FlowKind::Answers => 1,
        };
        let floor = floor.map_or(0, FlowId::get);
        let wanted = if wall > floor.saturating_add(1) {
            wall.max(2)
        } else {
            floor.saturating_add(chance.between(2, STEP_MAX)).saturating_add(1)
        };
        FlowId::new((wanted & !1) | bit)
    }

    pub(crate) const fn shape(self) -> Shape {
        Shape::Durable(self.kind)
    }
}
