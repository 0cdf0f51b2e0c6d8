//! Real daemons, real agents, real disks.

mod backup;
mod errors;
mod forged;
mod fsck;
mod kill;
mod metrics;
mod net;
mod restore;
mod two;
