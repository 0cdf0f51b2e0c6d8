//! What lies between nodes: connections with latency, and what happens to single frames on the way. It never looks
//! into a frame.

use std::collections::VecDeque;

use mesh::{Control, LinkId};
use proto::Content;

use crate::chance::Chance;
use crate::shape::Frames;
use crate::time::{MILLI, SECOND};

/// Old frames that may come again, of each direction.
const OLD_FRAMES: usize = 400;

/// A frame on its way, and the prekey that it was sealed to.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The node it comes from.
    pub from: usize,
    /// The node it goes to.
    pub to: usize,
    /// What its receiver will read, if it can.
    pub content: Content,
    /// The prekey of the destination; clear frames have none.
    pub sealed_to: Option<[u8; 32]>,
}

/// What happens to a frame, as somebody decides who writes a schedule by hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// What chance decides.
    Chance,
    /// It arrives as usual.
    Arrives,
    /// It is lost.
    Lost,
    /// It arrives that many ns later, and others overtake it.
    Late(u64),
    /// It arrives, and again after that many ns.
    Twice(u64),
}

/// A connection between two nodes.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Which nodes; the first one dialed.
    pub(crate) nodes: [usize; 2],
    /// The start of each at which the connection was made.
    pub(crate) incarnations: [u32; 2],
    pub(crate) links: [LinkId; 2],
    /// Whether each side was told that it is up, and not that it is down.
    pub(crate) is_up: [bool; 2],
    pub(crate) is_open: bool,
    /// When what was sent last arrives at each side: frames, and the control stream.
    pub(crate) frames_at: [u64; 2],
    pub(crate) control_at: [u64; 2],
    /// When each side hears that it is up. Nothing arrives before.
    pub(crate) up_at: [u64; 2],
}

/// Something on its way.
#[derive(Clone, Debug)]
pub(crate) enum Carried {
    Frame(Box<Parcel>),
    Control(Box<Control>),
}

/// All connections, and what is between them.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) wires: Vec<Wire>,
    pub(crate) frames: Frames,
    /// Until when nothing passes between two nodes, with the lower number first.
    partitions: Vec<((usize, usize), u64)>,
    old: Vec<((usize, usize), VecDeque<Parcel>)>,
}

impl Network {
    pub(crate) const fn new(frames: Frames) -> Self {
        Self { wires: Vec::new(), frames, partitions: Vec::new(), old: Vec::new() }
    }

    pub(crate) fn is_parted(&self, a: usize, b: usize, now: u64) -> bool {
        let pair = (a.min(b), a.max(b));
        self.partitions.iter().any(|(between, until)| *between == pair && now < *until)
    }

    pub(crate) fn part(&mut self, a: usize, b: usize, until: u64) {
        self.heal(a, b);
        self.partitions.push(((a.min(b), a.max(b)), until));
    }

    pub(crate) fn heal(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        self.partitions.retain(|(between, _)| *between != pair);
    }

    pub(crate) fn heal_all(&mut self) {
        self.partitions.clear();
    }

    pub(crate) fn latency(&self, chance: &mut Chance) -> u64 {
        let usual = self.frames.latency_ms * MILLI;
        usual / 2 + chance.skewed(0, usual * 4) + chance.below(MILLI)
    }

    /// The delays after which a frame arrives: none, one or several. The flag says whether it keeps its place.
    pub(crate) fn fates(&self, fate: Fate, chance: &mut Chance) -> Vec<(u64, bool)> {
        let usual = self.latency(chance);
        match fate {
            Fate::Arrives => vec![(usual, true)],
            Fate::Lost => Vec::new(),
            Fate::Late(by) => vec![(usual + by, false)],
            Fate::Twice(after) => vec![(usual, true), (usual + after, false)],
            Fate::Chance => {
                if chance.permille(self.frames.loss) {
                    return Vec::new();
                }
                let mut fates = Vec::with_capacity(2);
                if chance.permille(self.frames.reorder) {
                    fates.push((usual + chance.skewed(0, 2 * SECOND), false));
                } else {
                    fates.push((usual, true));
                }
                if chance.permille(self.frames.repeat) {
                    fates.push((usual + chance.skewed(0, 5 * SECOND), false));
                }
                fates
            }
        }
    }

    /// Remembers a frame, and perhaps brings an old one back, which comes after that many ns.
    pub(crate) fn remember(&mut self, parcel: &Parcel, chance: &mut Chance) -> Option<(Parcel, u64)> {
        if self.frames.late == 0 {
            return None;
        }
        let way = (parcel.from, parcel.to);
        if !self.old.iter().any(|(known, _)| *known == way) {
            self.old.push((way, VecDeque::new()));
        }
        let (_, old) = self.old.iter_mut().find(|(known, _)| *known == way)?;
        if old.len() >= OLD_FRAMES {
            old.pop_front();
        }
        old.push_back(parcel.clone());
        if !chance.permille(self.frames.late) {
            return None;
        }
        let at = chance.index(old.len());
        let parcel = old.get(at)?.clone();
        Some((parcel, chance.skewed(0, 300 * SECOND)))
    }

    /// The connection that is open between two nodes and up on the side of the first.
    pub(crate) fn open(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        self.wires.iter().enumerate().rev().find_map(|(at, wire)| {
            let side = wire.nodes.iter().position(|node| *node == from)?;
            let other = wire.nodes.get(1 - side)?;
            (wire.is_open && *other == to).then_some((at, side))
        })
    }
}

impl Wire {
    pub(crate) fn node(&self, side: usize) -> usize {
        self.nodes.get(side).copied().unwrap_or(usize::MAX)
    }

    pub(crate) fn incarnation(&self, side: usize) -> u32 {
        self.incarnations.get(side).copied().unwrap_or(u32::MAX)
    }

    pub(crate) fn link(&self, side: usize) -> LinkId {
        self.links.get(side).copied().unwrap_or(LinkId(u64::MAX))
    }

    pub(crate) fn is_up(&self, side: usize) -> bool {
        self.is_up.get(side).copied().unwrap_or(false)
    }

    pub(crate) fn set_up(&mut self, side: usize, is_up: bool) {
        if let Some(place) = self.is_up.get_mut(side) {
            *place = is_up;
        }
    }

    /// When something that is sent now and takes `latency` arrives at `side`, behind what was sent before.
    pub(crate) fn arrival(&mut self, side: usize, at: u64, is_control: bool) -> u64 {
        let last = if is_control { self.control_at.get_mut(side) } else { self.frames_at.get_mut(side) };
        let up = self.up_at.get(side).copied().unwrap_or(0);
        let Some(last) = last else { return at };
        *last = at.max(*last).max(up);
        *last
    }
}
