//! Real daemons, real agents, real disks.

mod backup;
mod closed;
mod errors;
mod forged;
mod fsck;
mod hostile;
mod kill;
mod kill3;
mod metrics;
mod net;
mod operate;
mod replay;
mod restore;
mod scale;
mod secrets;
mod terminal;
mod two;
