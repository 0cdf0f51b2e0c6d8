//! What it takes until all members of a mesh know a new one: time, and records on control streams.

use proto::NodeId;
use proto::record::{CarriedRecord, NodeRecord, RecordKind};

use crate::forge;
use crate::time::{MILLI, SECOND, seconds};
use crate::world::World;

/// What the joining of one node took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spread {
    /// How many nodes the mesh has with it.
    pub nodes: usize,
    /// Until the last of the others knew it and its agent, in ns after its start.
    pub known_after: u64,
    /// Until it knew all others and their agents.
    pub knows_after: u64,
    /// Messages that carried a record of the new node itself, until all was quiet again.
    pub own: u64,
    /// Their bytes.
    pub own_bytes: u64,
    /// All messages with records meanwhile: of links that changed, and what the new node was told.
    pub all: u64,
    /// Their bytes.
    pub all_bytes: u64,
}

impl Spread {
    /// Lets one node join a mesh of so many that have settled, and looks on for half a minute.
    #[must_use]
    pub fn of(seed: u64, nodes: usize) -> Self {
        let mut world = World::mesh(seed, nodes, None);
        let new = nodes.saturating_sub(1);
        world.hold_start(new);
        world.run_for(nodes as u64 * SECOND + seconds(40));
        let Some(id) = world.hosts.get(new).map(|host| host.id) else { return Self::default() };
        world.spread = Some((id, Self { nodes, ..Self::default() }));
        let begin = world.now;
        world.restart(new);
        let (mut known_after, mut knows_after) = (None, None);
        while world.now < begin + seconds(30) {
            world.run_for(MILLI);
            if known_after.is_none() && (0..new).all(|node| world.is_known(node, new)) {
                known_after = Some(world.now - begin);
            }
            if knows_after.is_none() && (0..new).all(|node| world.is_known(new, node)) {
                knows_after = Some(world.now - begin);
            }
        }
        let counted = world.spread.map(|(_, spread)| spread).unwrap_or_default();
        let never = u64::MAX;
        Self { known_after: known_after.unwrap_or(never), knows_after: knows_after.unwrap_or(never), ..counted }
    }
}

impl World {
    pub(crate) fn count_record(&mut self, carried: &CarriedRecord) {
        let Some((node, spread)) = &mut self.spread else { return };
        let bytes = carried.as_bytes().len() as u64;
        spread.all += 1;
        spread.all_bytes += bytes;
        let is_own = carried.kind() == RecordKind::Node
            && NodeRecord::read(carried.body())
                .is_ok_and(|record| NodeId::new(forge::id_of(&record.public_key)) == *node);
        if is_own {
            spread.own += 1;
            spread.own_bytes += bytes;
        }
    }
}
