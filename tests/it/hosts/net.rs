//! Bad networks: packets that are lost, cut off, late, doubled and out of order. Nothing is lost, the order holds, what
//! waited is there soon after the network is well again, and little is sent twice.
//!
//! `AICP_NET=full` takes longer, and cuts for longer than a link lives without a word.

use std::path::Path;
use std::time::{Duration, Instant};

use referee::agents::{Load, drained};
use referee::hosts::{Host, until};
use referee::net::proxy::{Proxy, Weather};
use referee::net::{Carried, Wire};

/// Messages in a second, each way.
const RATE: usize = 50;
/// What is waiting when a network is well again is gone in this time.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// A test is given up after this.
const PATIENCE: Duration = Duration::from_secs(180);
/// What a host hands to its links, against what is needed.
const CARRIED_MOST: f64 = 1.2;

#[test]
fn with_a_fifth_of_all_packets_lost_each_way_nothing_is_lost_and_the_order_holds() {
    let Some(wire) = Wire::lay() else { return };
    let mut world = World::on(&wire);
    wire.lose(20);
    world.load(short_or_full(5, 60));
    world.all_is_submitted();
    // It need not even end.
    world.judge("20 % lost");
}

#[test]
fn after_a_cut_all_that_was_accepted_meanwhile_on_both_sides_is_there_within_a_minute() {
    let Some(wire) = Wire::lay() else { return };
    // A link lives through 30 s of silence.
    let cuts: &[u64] = if is_full() { &[3, 8, 14, 29, 45] } else { &[4] };
    for cut in cuts {
        let mut world = World::on(&wire);
        world.load(cut + 1);
        pause(1000);
        wire.cut();
        pause(cut * 1000);
        assert!(world.alpha.awaits() > 0 && world.beta.awaits() > 0, "nothing waits for the network");
        wire.heal();
        world.judge(&format!("cut for {cut} s"));
    }
}

#[test]
fn over_a_link_that_comes_and_goes_nothing_is_lost_and_the_order_holds() {
    let Some(wire) = Wire::lay() else { return };
    let mut world = World::on(&wire);
    let seconds = short_or_full(5, 60);
    world.load(seconds);
    let begun = Instant::now();
    // Cut for most of the time, at moments that fall in with nothing else.
    for (cut, whole) in [(700, 350), (330, 250), (1100, 500)].into_iter().cycle() {
        if begun.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        wire.cut();
        pause(cut);
        wire.heal();
        pause(whole);
    }
    world.judge("a link that comes and goes");
}

#[test]
fn late_doubled_and_overtaking_packets_change_neither_order_nor_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = hosts(folder.path());
    let weather = Weather { delay: Duration::from_millis(20), jitter: Duration::from_millis(60), doubled: 10 };
    let proxy = Proxy::open((beta.address, beta.port).into(), weather, 0x00C0_FFEE);
    // Beta is to be reached through the bad path alone, and cannot dial around it.
    alpha.configure_with(&[format!("beta={}@{}", beta.id, proxy.address)]);
    beta.configure_with(&[format!("alpha={}", alpha.id)]);
    let mut world = World::started(folder, alpha, beta);
    world.load(short_or_full(5, 60));
    world.all_is_submitted();
    let overtakes = proxy.overtakes();
    assert!(overtakes > 0, "no packet overtook another");
    world.judge(&format!("{overtakes} packets overtaken"));
}

/// Two linked hosts, and a load each way.
struct World {
    alpha: Host,
    beta: Host,
    loads: Vec<Load>,
    /// Outlives the rest.
    folder: tempfile::TempDir,
}

fn hosts(folder: &Path) -> (Host, Host) {
    let (mut alpha, mut beta) = (Host::make(folder, "alpha"), Host::make(folder, "beta"));
    alpha.log_frames();
    beta.log_frames();
    (alpha, beta)
}

impl World {
    fn on(wire: &Wire) -> Self {
        wire.heal();
        let folder = tempfile::tempdir().expect("a folder");
        let (mut alpha, mut beta) = hosts(folder.path());
        let [one, other] = wire.ends();
        alpha.live_at(one);
        beta.live_at(other);
        alpha.configure(&[&beta]);
        beta.configure(&[&alpha]);
        Self::started(folder, alpha, beta)
    }

    fn started(folder: tempfile::TempDir, mut alpha: Host, mut beta: Host) -> Self {
        alpha.start();
        beta.start();
        alpha.await_peer("beta");
        beta.await_peer("alpha");
        Self { alpha, beta, loads: Vec::new(), folder }
    }

    fn load(&mut self, seconds: u64) {
        let count = usize::try_from(seconds).expect("a number") * RATE;
        let Self { folder, alpha, beta, .. } = self;
        self.loads = vec![
            Load::start(folder.path(), alpha, beta, count, RATE),
            Load::start(folder.path(), beta, alpha, count, RATE),
        ];
    }

    fn all_is_submitted(&self) {
        for load in &self.loads {
            until("all is submitted", PATIENCE, || (load.submitted() == load.count()).then_some(()));
        }
    }

    /// The network is well, or as well as it gets: what was submitted by now ends soon, and all of it well.
    fn judge(&mut self, what: &str) {
        let well = Instant::now();
        let submitted: Vec<_> = self.loads.iter().map(Load::submitted).collect();
        for (load, submitted) in self.loads.iter().zip(&submitted) {
            until("what was submitted has ended", PATIENCE, || load.has_heard(*submitted).then_some(()));
        }
        let took = well.elapsed();
        self.loads.iter_mut().for_each(|load| load.finish(PATIENCE));
        drained(&[&self.alpha, &self.beta], PATIENCE);
        for load in &self.loads {
            assert_eq!(load.judge().marked, 0, "nobody failed: no delivery is marked");
        }
        let carried = [&self.alpha, &self.beta].map(Carried::by);
        let ratio = Carried::ratio(&carried);
        #[expect(clippy::print_stdout, reason = "figures for whoever runs the full count")]
        let () = println!("{what}: {took:.1?} until {submitted:?} had ended; {ratio:.3} times the bytes: {carried:?}");
        assert!(took < DRAINED_WITHIN, "drained after {took:?}");
        assert!(ratio <= CARRIED_MOST, "{ratio:.2} times the bytes were sent: {carried:?}");
    }
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[expect(clippy::disallowed_methods, reason = "how long is asked for by whoever runs the test")]
fn is_full() -> bool {
    std::env::var("AICP_NET").is_ok_and(|value| value == "full")
}

fn short_or_full(short: u64, full: u64) -> u64 {
    if is_full() { full } else { short }
}
