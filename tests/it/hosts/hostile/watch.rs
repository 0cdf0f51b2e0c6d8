//! What a daemon takes of its machine, as the kernel tells it, and how honest agents fare meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::Agent;
use referee::hosts::{Host, until};

/// One daemon that must outlive all that is done to it.
pub(super) struct Watch<'a> {
    host: &'a Host,
    pid: u32,
    begin: u64,
    files: usize,
}

impl<'a> Watch<'a> {
    /// From here on its memory is counted.
    pub(super) fn begin(host: &'a Host) -> Self {
        let pid = host.process().expect("it runs");
        let mut watch = Self { host, pid, begin: 0, files: 0 };
        watch.files = watch.open_files();
        watch.begin = watch.field("VmRSS");
        watch.forget_peak();
        watch
    }

    /// Its memory is counted anew.
    pub(super) fn again(&mut self) {
        self.begin = self.field("VmRSS");
        self.forget_peak();
    }

    /// Bytes that it took at most beyond those that it began with, since the last call.
    pub(super) fn peak(&self) -> u64 {
        let peak = self.field("VmHWM").saturating_sub(self.begin);
        self.forget_peak();
        peak
    }

    /// The kernel's mark of the most memory begins anew from what is there now.
    fn forget_peak(&self) {
        std::fs::write(self.proc("clear_refs"), "5").expect("the kernel forgets its mark");
    }

    /// It is the same process, nothing in it has panicked, and it holds as many files as in the beginning.
    pub(super) fn assert_unharmed(&self) {
        assert_eq!(self.host.process(), Some(self.pid));
        assert!(self.proc("status").exists(), "the daemon has ended:\n{}", self.host.log());
        until("every connection is gone", Duration::from_secs(20), || (self.open_files() <= self.files).then_some(()));
        let log = self.host.log();
        for word in ["panicked", " ERROR "] {
            assert!(!log.contains(word), "{}", log.lines().filter(|line| line.contains(word)).collect::<String>());
        }
    }

    /// Files that it has open beyond those that it began with.
    pub(super) fn more_files(&self) -> usize {
        self.open_files().saturating_sub(self.files)
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).map_or(0, Iterator::count)
    }

    fn field(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(self.proc("status")).expect("it runs");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a field of the kernel's");
        let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
        kib.parse::<u64>().expect("a number") << 10
    }

    fn proc(&self, what: &str) -> PathBuf {
        format!("/proc/{}/{what}", self.pid).into()
    }
}

/// An answer that has not come by then does not come.
const LOST: Duration = Duration::from_secs(5);

/// How asks went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fared {
    pub(super) per_second: f64,
    pub(super) p99: Duration,
}

/// Asks one after another while `work` runs, at most for `most`. None may fail.
#[expect(clippy::disallowed_methods, reason = "real answers are timed by a real clock")]
pub(super) fn fare(asker: &Agent, to: &str, most: Duration) -> Fared {
    let runtime = tokio::runtime::Handle::current();
    let (mut times, mut lost) = (Vec::new(), 0);
    let begun = Instant::now();
    while begun.elapsed() < most {
        let asked = Instant::now();
        // What goes at most once may be lost with a link that another one replaces; that is a slow answer, and a rare one.
        while let Err(_lost) = runtime.block_on(tokio::time::timeout(LOST, ask(asker, to))) {
            lost += 1;
            assert!(lost < 3, "nobody answers");
        }
        times.push(asked.elapsed());
    }
    let took = begun.elapsed();
    times.sort();
    let p99 = times[(times.len() - 1) * 99 / 100];
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let per_second = times.len() as f64 / took.as_secs_f64();
    Fared { per_second, p99 }
}

async fn ask(asker: &Agent, to: &str) {
    asker.ask(to, "hello", "there").await.expect("honest agents are served");
}

/// Does something over and over in a thread of its own, until dropped.
pub(super) struct Meanwhile {
    ends: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Meanwhile {
    /// `work` says how often it did what it does.
    pub(super) fn again(mut work: impl FnMut() -> u64 + Send + 'static) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            while !told.load(Ordering::Relaxed) {
                count += work();
            }
            count
        });
        Self { ends, thread: Some(thread) }
    }

    /// `work` does something `count` times; it is called as often as that makes `rate` a second.
    #[expect(clippy::disallowed_methods, reason = "a pace is kept by a real clock")]
    pub(super) fn paced(count: u64, rate: u64, mut work: impl FnMut() -> u64 + Send + 'static) -> Self {
        let pause = Duration::from_nanos(count * 1_000_000_000 / rate);
        Self::again(move || {
            let begun = Instant::now();
            let done = work();
            std::thread::sleep(pause.saturating_sub(begun.elapsed()));
            done
        })
    }

    /// Does something once.
    pub(super) fn once(work: impl FnOnce() -> u64 + Send + 'static) -> Self {
        Self { ends: Arc::default(), thread: Some(std::thread::spawn(work)) }
    }

    /// Whether it has been done.
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(std::thread::JoinHandle::is_finished)
    }

    /// Ends it, and says how often it was done.
    pub(super) fn end(mut self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().expect("the generator does not panic"))
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}
