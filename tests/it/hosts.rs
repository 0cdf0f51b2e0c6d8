//! Real daemons, real agents, real disks.

mod backup;
mod errors;
mod fsck;
mod kill;
mod metrics;
mod net;
mod restore;
mod two;
