//! A bad path for UDP: every datagram is held back for a while of its own, so that they overtake each other, and some
//! go twice. Nothing is lost here. Its chances come from a seed; what comes of them is up to the clock.

use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How bad the path is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Every datagram is held back at least this long,
    pub delay: Duration,
    /// and up to this much longer, each by chance.
    pub jitter: Duration,
    /// So many of a hundred go twice.
    pub doubled: u64,
}

/// A path from whoever sends to [`Proxy::address`] to one place, and back. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where it is entered.
    pub address: SocketAddr,
    path: Arc<Path>,
    threads: Vec<JoinHandle<()>>,
}

/// Datagrams on their way, and the two sockets: datagrams from `near` leave through `far`, and the other way round.
#[derive(Debug)]
struct Path {
    near: UdpSocket,
    far: UdpSocket,
    /// Who entered last: answers go there.
    from: Mutex<Option<SocketAddr>>,
    held: Mutex<Held>,
    more: Condvar,
    has_ended: AtomicBool,
    overtakes: AtomicU64,
}

#[derive(Debug)]
struct Held {
    datagrams: BinaryHeap<Datagram>,
    seed: u64,
    numbers: u64,
    weather: Weather,
}

/// One on its way. The heap gives out the one that is due first.
#[derive(PartialEq, Eq, Debug)]
struct Datagram {
    due: Instant,
    number: u64,
    forth: bool,
    bytes: Vec<u8>,
}

impl Ord for Datagram {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Proxy {
    /// Opens a path over loopback.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn open(to: SocketAddr, weather: Weather, seed: u64) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        far.connect(to).expect("an address");
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(LOOK)).expect("a time-out");
        }
        let address = near.local_addr().expect("an address");
        let held = Held { datagrams: BinaryHeap::new(), seed: seed | 1, numbers: 0, weather };
        let path = Arc::new(Path {
            near,
            far,
            from: Mutex::new(None),
            held: Mutex::new(held),
            more: Condvar::new(),
            has_ended: AtomicBool::new(false),
            overtakes: AtomicU64::new(0),
        });
        let threads = [Path::take_forth, Path::take_back, Path::give].map(|work| {
            let path = Arc::clone(&path);
            std::thread::spawn(move || work(&path))
        });
        Self { address, path, threads: threads.into() }
    }

    /// How often a datagram left before one that had come earlier.
    #[must_use]
    pub fn overtakes(&self) -> u64 {
        self.path.overtakes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.path.has_ended.store(true, Ordering::Relaxed);
        self.path.more.notify_all();
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(50);
/// Longest datagram.
const DATAGRAM_BYTES: usize = 1 << 16;

impl Path {
    fn take_forth(&self) {
        self.take(&self.near, true);
    }

    fn take_back(&self) {
        self.take(&self.far, false);
    }

    fn take(&self, socket: &UdpSocket, forth: bool) {
        let mut bytes = vec![0; DATAGRAM_BYTES];
        while !self.has_ended.load(Ordering::Relaxed) {
            // A time-out, or word that nobody listens at the other end yet.
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
            if forth {
                *self.from.lock().expect("nobody panics with it") = Some(from);
            }
            self.held.lock().expect("nobody panics with it").hold(&bytes[..length], forth);
            self.more.notify_one();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "real datagrams are held back by a real clock")]
    fn give(&self) {
        let mut latest = 0;
        let mut held = self.held.lock().expect("nobody panics with it");
        while !self.has_ended.load(Ordering::Relaxed) {
            let now = Instant::now();
            let next = held.datagrams.peek().map(|first| first.due.saturating_duration_since(now));
            if next.is_none_or(|wait| !wait.is_zero()) {
                let wait = next.unwrap_or(LOOK).min(LOOK);
                held = self.more.wait_timeout(held, wait).expect("nobody panics with it").0;
                continue;
            }
            let Some(datagram) = held.datagrams.pop() else { continue };
            drop(held);
            if datagram.number < latest {
                self.overtakes.fetch_add(1, Ordering::Relaxed);
            }
            latest = latest.max(datagram.number);
            self.send(&datagram);
            held = self.held.lock().expect("nobody panics with it");
        }
    }

    fn send(&self, datagram: &Datagram) {
        let from = *self.from.lock().expect("nobody panics with it");
        // A place where nobody listens any more is no fault of the path.
        let _sent = match (datagram.forth, from) {
            (true, _) => self.far.send(&datagram.bytes),
            (false, Some(from)) => self.near.send_to(&datagram.bytes, from),
            (false, None) => Ok(0),
        };
    }
}

impl Held {
    #[expect(clippy::disallowed_methods, reason = "real datagrams are held back by a real clock")]
    fn hold(&mut self, bytes: &[u8], forth: bool) {
        let copies = if self.below(100) < self.weather.doubled { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = u64::try_from(self.weather.jitter.as_micros()).expect("short");
            let held = self.weather.delay + Duration::from_micros(self.below(jitter + 1));
            self.numbers += 1;
            let (due, number) = (Instant::now() + held, self.numbers);
            self.datagrams.push(Datagram { due, number, forth, bytes: bytes.to_vec() });
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % bound
    }
}
