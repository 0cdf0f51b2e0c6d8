//! A daemon whose state lies on a disk of ours.

use std::path::Path;

use referee::fuse::{Chance, Disk, Image};
use referee::hosts::Host;

/// A daemon whose state lies on a disk of ours.
pub(super) struct Machine {
    pub(super) host: Host,
    disk: Option<Disk>,
    /// Sectors and names that cuts could take away.
    pub(super) at_stake: usize,
}

impl Machine {
    pub(super) fn make(parent: &Path, name: &str, chance: &mut Chance) -> Self {
        let state = parent.join(name).join("state");
        let disk = Disk::mount(Image::blank(), &state, chance.below(u64::MAX));
        Self { host: Host::make(parent, name), disk: Some(disk), at_stake: 0 }
    }

    /// Two that know each other, running and linked.
    pub(super) fn two(parent: &Path, chance: &mut Chance) -> (Self, Self) {
        let (mut alpha, mut beta) = (Self::make(parent, "alpha", chance), Self::make(parent, "beta", chance));
        alpha.host.configure(&[&beta.host]);
        beta.host.configure(&[&alpha.host]);
        alpha.host.start();
        beta.host.start();
        alpha.host.await_peer("beta");
        beta.host.await_peer("alpha");
        (alpha, beta)
    }

    /// What was written and not synced when the daemon ended may be lost, torn, or there.
    pub(super) fn cut(&mut self, chance: &mut Chance) {
        if self.host.process().is_some() {
            self.host.kill();
        }
        let disk = self.disk.take().expect("it is mounted");
        self.at_stake += disk.unsynced();
        let survived = disk.cut();
        self.insert(survived, chance);
    }

    /// Messages that wait for an agent here.
    pub(super) fn waiting(&self, name: &str) -> u64 {
        let status = self.host.status();
        let agents = status["agents"].as_array().expect("agents");
        let agent = agents.iter().find(|agent| agent["name"] == name).expect("an agent of this node");
        agent["waiting"].as_u64().expect("a number")
    }

    pub(super) fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("it is mounted")
    }

    /// Takes the disk out in order; the daemon has ended.
    pub(super) fn eject(&mut self) -> Image {
        self.disk.take().expect("it is mounted").unmount()
    }

    /// Puts a disk in.
    pub(super) fn insert(&mut self, image: Image, chance: &mut Chance) {
        self.disk = Some(Disk::mount(image, &self.host.state(), chance.below(u64::MAX)));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Before its disk goes; nobody who waits for a disk can be killed.
        if let Some(disk) = &self.disk {
            disk.hang(false);
        }
        if self.host.process().is_some() {
            self.host.kill();
        }
    }
}
