//! What was sent at most once, remembered so that nothing can be replayed. Memory is bounded and nothing is forgotten
//! silently: what has to make way raises a low-water mark, and whatever is not newer than that is refused.

use alloc::collections::{BTreeSet, VecDeque};

use proto::limits::{ONCE_MEMORY, ONCE_MEMORY_MAX};
use proto::{AgentId, MessageId};

use crate::chance::Chance;
use crate::time::Mono;

/// One message: its timestamp, and a tag of who said it to whom under which type and id.
type Seen = (u64, u64);

/// What left lately at most once, and may be answered by an ERROR. The oldest make way: nothing but a late word is lost.
#[derive(Debug)]
pub(crate) struct Asked {
    tagger: Tagger,
    tags: BTreeSet<u64>,
    order: VecDeque<(Mono, u64)>,
}

impl Asked {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        Self { tagger: Tagger::new(chance), tags: BTreeSet::new(), order: VecDeque::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn add(&mut self, ours: AgentId, theirs: AgentId, id: MessageId, now: Mono) {
        let tag = self.tagger.tag(ours, theirs, 0, id);
        // An id that is asked about again is the same question.
        if !self.tags.insert(tag) {
            return;
        }
        self.order.push_back((now, tag));
        if self.order.len() > ONCE_MEMORY_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.tags.remove(&oldest);
        }
    }

    /// Whether it was asked. It is forgotten then.
    pub(crate) fn remove(&mut self, ours: AgentId, theirs: AgentId, id: MessageId) -> bool {
        self.tags.remove(&self.tagger.tag(ours, theirs, 0, id))
    }

    /// Forgets what nobody waits for any more; says when to look again.
    pub(crate) fn forget(&mut self, now: Mono) -> Option<Mono> {
        while let Some((at, tag)) = self.order.front().copied() {
            if now.since(at) < ONCE_MEMORY {
                return Some(at.after(ONCE_MEMORY));
            }
            self.tags.remove(&tag);
            self.order.pop_front();
        }
        None
    }
}

/// Gives each message a tag. Two share one with a chance of 2^-64, and nobody outside can look for such a pair.
#[derive(Debug)]
struct Tagger([u64; 2]);

impl Tagger {
    fn new(chance: &mut Chance) -> Self {
        Self([chance.number(), chance.number() | 1])
    }

    fn tag(&self, source: AgentId, destination: AgentId, message_type: u8, id: MessageId) -> u64 {
        let [start, multiplier] = self.0;
        let words = source.as_bytes().as_chunks::<8>().0.iter().chain(destination.as_bytes().as_chunks::<8>().0);
        let words = words.map(|word| u64::from_le_bytes(*word));
        words.chain([id.get(), message_type.into()]).fold(start, |tag, word| {
            let mixed = (tag ^ word).wrapping_mul(multiplier);
            mixed ^ (mixed >> 29)
        })
    }
}

/// What was delivered lately.
#[derive(Debug)]
pub(crate) struct Recent {
    tagger: Tagger,
    tags: BTreeSet<u64>,
    /// The same, the oldest timestamp first.
    seen: BTreeSet<Seen>,
    order: VecDeque<(Mono, Seen)>,
    /// Nothing with this timestamp or an earlier one is delivered any more.
    low_water: u64,
}

impl Recent {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let tagger = Tagger::new(chance);
        Self { tagger, tags: BTreeSet::new(), seen: BTreeSet::new(), order: VecDeque::new(), low_water: 0 }
    }

    pub(crate) fn tag(&self, source: AgentId, destination: AgentId, message_type: u8, id: MessageId) -> u64 {
        self.tagger.tag(source, destination, message_type, id)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether it is new. Then it is remembered.
    pub(crate) fn add(&mut self, timestamp: u64, tag: u64, now: Mono) -> bool {
        if timestamp <= self.low_water || !self.tags.insert(tag) {
            return false;
        }
        let seen = (timestamp, tag);
        self.seen.insert(seen);
        self.order.push_back((now, seen));
        if self.seen.len() > ONCE_MEMORY_MAX
            && let Some((oldest, tag)) = self.seen.pop_first()
        {
            self.tags.remove(&tag);
            self.low_water = oldest;
        }
        // What made way above still stands in the order of arrival; that is bounded too.
        if self.order.len() > ONCE_MEMORY_MAX + ONCE_MEMORY_MAX / 4
            && let Some((_, oldest)) = self.order.pop_front()
            && self.remove(oldest.0, oldest.1)
        {
            self.low_water = self.low_water.max(oldest.0);
        }
        true
    }

    /// Forgets one.
    fn remove(&mut self, timestamp: u64, tag: u64) -> bool {
        self.seen.remove(&(timestamp, tag)) && self.tags.remove(&tag)
    }

    /// Forgets what is old enough to be refused for its age; says when to look again.
    pub(crate) fn forget(&mut self, now: Mono) -> Option<Mono> {
        while let Some((at, seen)) = self.order.front().copied() {
            if now.since(at) < ONCE_MEMORY {
                return Some(at.after(ONCE_MEMORY));
            }
            self.remove(seen.0, seen.1);
            self.order.pop_front();
        }
        None
    }
}
