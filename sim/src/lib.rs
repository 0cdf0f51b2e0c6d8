//! The world that the core lives in, simulated: disks that forget and lie, links that lose and repeat, agents that die
//! and come back, and clocks, all decided by one seed; and a model that judges what the core makes of it by the
//! delivery contract. It has no clock, no socket, no file and no thread of its own. `docs/SIMULATION.md` says how to
//! use it.
//!
//! - [`run()`] lives the life of a seed in a world of some [`Shape`] and reports what it came to.
//! - [`World`] is for schedules by hand: submit, crash, restart, part, and look.

mod account;
mod agent;
mod answers;
mod by_hand;
pub mod chance;
mod checks;
pub mod disk;
mod door;
mod fault;
mod forge;
mod host;
mod hunt;
mod library;
mod links;
mod machine;
mod members;
mod model;
mod network;
mod process;
mod run;
mod schedule;
mod shape;
mod shapes;
mod shell;
mod show;
mod spread;
mod story;
pub mod time;
mod trace;
mod trouble;
mod world;

pub use account::{Key, PairKey};
pub use agent::Answer;
pub use by_hand::{BY_HAND, ByHand};
pub use fault::{Fault, Promise};
pub use hunt::{Finder, Found, hunt};
pub use machine::Crash;
pub use model::{End, Mail, Tally};
pub use network::{Fate, Parcel};
pub use run::{Report, live, run};
pub use schedule::Wish;
pub use shape::{Clocks, Frames, Handling, Shape, Talk, Trouble, Troubles};
pub use spread::Spread;
pub use world::{Fates, Sent, World};
