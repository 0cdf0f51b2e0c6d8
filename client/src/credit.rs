//! Credit on one connection, both ways: how many deliveries the daemon may bring, and how much it takes of what is
//! written. Counts since the connection began, and decides when to say more; it never touches a queue.

use proto::limits;

/// Deliveries or frames, and their bytes with their headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Amount {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// What may lie in the inbox.
const WINDOW: Amount =
    Amount { count: limits::LIBRARY_INBOX_MESSAGES as u64, bytes: limits::LIBRARY_INBOX_BYTES as u64 };
/// Credit is said in steps of this, and this much of it is left while somebody waits for an answer: that comes as a
/// delivery too, and may not be stopped by what nobody receives.
const STEP: Amount = Amount { count: WINDOW.count / 4, bytes: WINDOW.bytes / 4 };

/// The account of one connection.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    arrived: Amount,
    told: Amount,
    written: Amount,
    /// How much may be written; `None` if the daemon does not speak of it.
    allowed: Option<Amount>,
}

impl Credit {
    /// For a connection on which nothing is written yet.
    pub(crate) fn new(inbox: Amount) -> Self {
        let mut new = Self::default();
        new.renew(inbox, true);
        new
    }

    /// How much the daemon was told last that it may bring.
    pub(crate) const fn told(&self) -> Amount {
        self.told
    }

    /// A delivery came.
    pub(crate) const fn note_arrived(&mut self, bytes: usize) {
        self.arrived.count += 1;
        self.arrived.bytes += bytes as u64;
    }

    /// A frame was written.
    pub(crate) const fn note_written(&mut self, bytes: usize) {
        self.written.count += 1;
        self.written.bytes += bytes as u64;
    }

    /// More is allowed. Credit is never taken back.
    pub(crate) fn allow(&mut self, to: Amount) {
        let before = self.allowed.unwrap_or_default();
        self.allowed = Some(Amount { count: to.count.max(before.count), bytes: to.bytes.max(before.bytes) });
    }

    /// Whether a submission may be written. It may go beyond the bytes if it begins below.
    pub(crate) fn may_write(&self) -> bool {
        let Amount { count, bytes } = self.written;
        self.allowed.is_none_or(|allowed| count < allowed.count && bytes < allowed.bytes)
    }

    /// What to tell the daemon now, if it is worth a frame.
    pub(crate) fn renew(&mut self, inbox: Amount, is_waited_for: bool) -> Option<Amount> {
        let reach = |arrived: u64, window: u64, inbox: u64, step: u64| {
            let room = window.saturating_sub(inbox);
            arrived + if is_waited_for { room.max(step) } else { room }
        };
        let reach = Amount {
            count: reach(self.arrived.count, WINDOW.count, inbox.count, STEP.count),
            bytes: reach(self.arrived.bytes, WINDOW.bytes, inbox.bytes, STEP.bytes),
        };
        let is_worth = reach.count >= self.told.count + STEP.count || reach.bytes >= self.told.bytes + STEP.bytes;
        if !is_worth {
            return None;
        }
        self.told = Amount { count: reach.count.max(self.told.count), bytes: reach.bytes.max(self.told.bytes) };
        Some(self.told)
    }
}
