//! Real daemons, real agents, real disks.

mod errors;
mod kill;
mod metrics;
mod two;
