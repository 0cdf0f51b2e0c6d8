//! A life from a seed to its judgement.

use mesh::Rule;

use crate::fault::Fault;
use crate::model::Tally;
use crate::shape::Shape;
use crate::story::Story;
use crate::time::minutes;
use crate::world::World;

/// More events than any life needs: a world that has more does not come to rest.
const EVENTS_MAX: u64 = 3_000_000;

/// What a life came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed that decided it.
    pub seed: u64,
    /// The name of its shape.
    pub shape: &'static str,
    /// Events that happened.
    pub events: u64,
    /// The hash of all of them, in order.
    pub trace: u64,
    /// Promises that were broken.
    pub faults: Vec<Fault>,
    /// What was tried.
    pub tally: Tally,
    /// The counters of the cores that ran at the end.
    pub stats: Vec<(&'static str, u64)>,
    /// What happened, if that was asked for.
    pub story: Vec<String>,
}

impl Report {
    /// What happened to the message of the first fault, and to the nodes meanwhile: the lines that name it.
    #[must_use]
    pub fn history(&self) -> Vec<&str> {
        let id = self.faults.iter().find_map(|fault| fault.key).map(|key| key.id.to_string());
        let matters = |line: &&String| {
            let of_message = id.as_ref().is_some_and(|id| line.contains(id.as_str()));
            of_message || ["START", "CRASH", "TROUBLE", "STOPPED", "up to"].iter().any(|word| line.contains(word))
        };
        self.story.iter().filter(matters).map(String::as_str).collect()
    }
}

/// Lives the life of a seed, in a world of that shape.
#[must_use]
pub fn run(seed: u64, shape: &Shape) -> Report {
    live(seed, shape, None, false)
}

/// The same, with a rule left out and the story told, as asked.
#[must_use]
pub fn live(seed: u64, shape: &Shape, without: Option<Rule>, tells: bool) -> Report {
    let mut world = World::with(seed, shape.clone(), without);
    if tells {
        world.story = Story::told();
    }
    world.plan_life();
    let mut until = shape.length();
    pass(&mut world, until);
    world.mend_all();
    // A clock that has jumped is trusted after ten minutes; what is full is tried again within one.
    until += minutes(if shape.clocks.jump_ms > 0 { 25 } else { 10 });
    pass(&mut world, until);
    if world.model.faults.is_empty() {
        world.check();
    }
    Report {
        seed,
        shape: shape.name,
        events: world.events,
        trace: world.trace.get(),
        stats: world.stats(),
        story: world.story.lines().to_vec(),
        tally: world.model.tally,
        faults: world.model.faults,
    }
}

/// Stops at the first fault: what follows it tells nothing.
fn pass(world: &mut World, until: u64) {
    while world.model.faults.is_empty() && world.step(until) {
        if world.events > EVENTS_MAX {
            world.model.fault(crate::fault::Promise::ItSettles, None, None, "it never ends");
        }
    }
    world.now = until;
    world.model.now = until;
}
