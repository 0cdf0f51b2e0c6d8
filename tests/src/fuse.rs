//! A disk that lies: a file system of our own under `/dev/fuse`, which real daemons write to. It keeps what was synced
//! apart from what was only written, and forgets the rest when the power is cut; it fails when it is told to, and
//! counts how often it did; it fills up; what lies on it rots. What it holds stands in memory (`image.rs` says by which
//! rules), so that nothing but a mount point is left to clean up, and that goes when the disk is dropped.
//!
//! Supported is what the daemon does: reads and writes at a place, truncation, `fallocate`, `fsync`, `fdatasync`, sync of
//! folders, rename and hard link within a folder. There is no `mmap` of shared pages, no rename from one folder to another.

mod chance;
mod image;
mod serve;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fuser::{BackgroundSession, Config, Errno, MountOption};

pub use chance::Chance;
pub use image::Image;

/// What can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `fsync` and `fdatasync`, of files and of folders. What should have been written is not written later either.
    Sync,
    /// Writes. Some of the bytes may have arrived.
    Write,
    /// Renames and hard links.
    Rename,
}

/// A mounted disk. Unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    mount: Option<BackgroundSession>,
    at: PathBuf,
}

#[derive(Debug)]
pub(crate) struct State {
    image: Image,
    chance: Chance,
    is_dead: bool,
    /// How many in a hundred fail, in the order of `Fault`.
    percent: [u64; 3],
    /// How many did.
    fired: [u64; 3],
    /// Nothing may grow. What is given up does not help: somebody else takes it at once.
    is_full: bool,
    /// How often there was no room.
    was_full: u64,
    /// Nobody is answered.
    is_hanging: bool,
    /// How often somebody had to wait for that.
    was_hanging: u64,
}

/// Whether disks can be mounted here. If not, says so, or fails where `AICP_NEED_ROOT` is 1.
///
/// # Panics
/// Where it must be possible and is not.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says whether they may be skipped")]
pub fn can_mount() -> bool {
    let can = rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists();
    if !can {
        assert!(std::env::var("AICP_NEED_ROOT").as_deref() != Ok("1"), "root and /dev/fuse are needed");
        #[expect(clippy::print_stdout, reason = "whoever reads the results wants to see it")]
        let () = println!("skipped: needs root and /dev/fuse");
    }
    can
}

impl Disk {
    /// Mounts what lies on `image` at a folder, which is made if it is not there.
    ///
    /// # Panics
    /// If it cannot be mounted.
    #[must_use]
    pub fn mount(image: Image, at: &Path, seed: u64) -> Self {
        std::fs::create_dir_all(at).expect("a folder");
        let chance = Chance::new(seed);
        let state = State {
            image,
            chance,
            is_dead: false,
            percent: [0; 3],
            fired: [0; 3],
            is_full: false,
            was_full: 0,
            is_hanging: false,
            was_hanging: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("aicp-test".into()), MountOption::DefaultPermissions];
        let served = serve::Served(Arc::clone(&state));
        let mount = fuser::spawn_mount(served, at, &config).expect("/dev/fuse can be mounted");
        Self { state, mount: Some(mount), at: at.into() }
    }

    /// From now on, so many in a hundred fail. The count of those that did begins anew.
    pub fn fail(&self, fault: Fault, percent: u64) {
        let mut state = self.state();
        state.percent[fault as usize] = percent;
        state.fired[fault as usize] = 0;
    }

    /// How often it has failed so.
    #[must_use]
    pub fn fired(&self, fault: Fault) -> u64 {
        self.state().fired[fault as usize]
    }

    /// From now on there is no room for one byte more, or there is again. What has its room already can be written.
    pub fn fill(&self, is_full: bool) {
        let mut state = self.state();
        state.is_full = is_full;
        if is_full {
            state.was_full = 0;
        }
    }

    /// From now on whoever wants something of the disk waits, or what they wanted is done after all.
    pub fn hang(&self, is_hanging: bool) {
        self.state().is_hanging = is_hanging;
    }

    /// How often somebody had to wait.
    #[must_use]
    pub fn was_hanging(&self) -> u64 {
        self.state().was_hanging
    }

    /// How often there was no room since it was filled.
    #[must_use]
    pub fn was_full(&self) -> u64 {
        self.state().was_full
    }

    /// Cuts the power: nothing is taken or given any more. Gives what is on the disk when the power comes back.
    /// Whoever wrote to it must have been killed.
    #[must_use]
    pub fn cut(self) -> Image {
        let mut state = self.state();
        state.is_dead = true;
        let mut chance = state.chance.clone();
        state.image.after_a_cut(&mut chance)
    }

    /// Unmounts it in order: all that was written is there.
    #[must_use]
    pub fn unmount(self) -> Image {
        self.state().image.settled()
    }

    /// How much a cut could take away now: sectors, and changes of names.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state().image.unsynced()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let Some(mount) = self.mount.take() else { return };
        self.hang(false);
        if mount.umount_and_join().is_err() {
            // Somebody still has a file open. The name goes at once, the rest when they have ended.
            let _gone = std::process::Command::new("umount").arg("--lazy").arg(&self.at).status();
        }
    }
}

impl State {
    fn fails(&mut self, fault: Fault) -> bool {
        let fails = self.chance.percent(self.percent[fault as usize]);
        self.fired[fault as usize] += u64::from(fails);
        fails
    }

    fn take_room(&mut self, bytes: usize) -> Result<(), Errno> {
        if bytes == 0 || !self.is_full {
            return Ok(());
        }
        self.was_full += 1;
        Err(Errno::ENOSPC)
    }
}
