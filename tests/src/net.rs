//! A network for tests: two namespaces of the kernel with a wire between them, on which packets can be lost or cut
//! off. Nothing in it reaches any other network. It needs root and the tools `ip` and `nft`.

pub mod proxy;
mod wire;

pub use wire::{End, Wire};

use std::collections::BTreeMap;

use crate::hosts::Host;

/// What one host handed to its links of messages and answers with a place in a flow, by its own log: see
/// [`Host::log_frames`]. What QUIC repeats below does not count; what the host repeats does.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Carried {
    /// Frames, each time that they were handed over.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that were handed over at least once.
    pub different: u64,
    /// Their bytes, once.
    pub needed: u64,
}

impl Carried {
    /// Reads the log of a host that logs its frames.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn by(host: &Host) -> Self {
        const HEADER_BYTES: u64 = proto::limits::HEADER_BYTES as u64;
        let log = host.log();
        let mut seen = BTreeMap::new();
        let mut carried = Self::default();
        let durable = log.lines().filter(|line| line.contains("TRACE") && line.contains("shape: Durable"));
        for line in durable {
            let Some((_, frame)) = line.split_once("frame=Header { ") else { continue };
            let payload = frame.split_once("payload: ").and_then(|(_, rest)| rest.split_once(','));
            let payload: u64 = payload.and_then(|(digits, _)| digits.parse().ok()).expect("the payload's length");
            let (who, _) = frame.split_once("payload: ").expect("a frame");
            let bytes = HEADER_BYTES + payload;
            carried.frames += 1;
            carried.bytes += bytes;
            seen.entry(who.to_owned()).or_insert(bytes);
        }
        carried.different = seen.len() as u64;
        carried.needed = seen.values().sum();
        assert!(carried.frames > 0, "{} does not log its frames", host.name);
        carried
    }

    /// How many times what was needed was handed over, at all hosts together.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio of small numbers")]
    pub fn ratio(all: &[Self]) -> f64 {
        let (bytes, needed) = all.iter().fold((0, 0), |(bytes, needed), one| (bytes + one.bytes, needed + one.needed));
        bytes as f64 / needed as f64
    }
}
