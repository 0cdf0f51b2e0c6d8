//! Real daemons, real agents, real disks.

mod backup;
mod cli;
mod closed;
mod codes;
mod credit;
mod disk;
mod errors;
mod forged;
mod fsck;
mod full;
mod hostile;
mod kill;
mod kill3;
mod machine;
mod metrics;
mod net;
mod operate;
mod power;
mod replay;
mod restore;
mod scale;
mod secrets;
mod systemd;
mod terminal;
mod traffic;
mod two;
