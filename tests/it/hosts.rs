//! Real daemons, real agents, real disks.

mod backup;
mod errors;
mod fsck;
mod kill;
mod metrics;
mod restore;
mod two;
