//! What was said, for frames that are about to be made: from memory, or from the journal with one question for a whole
//! batch, or for as much of it as goes into memory together. An entry that cannot be read is told to the node.

use std::collections::VecDeque;

use mesh::{Input, Load, Outgoing};
use proto::entry::{EntryNumber, Parts};

use crate::shared::Shared;

/// Answers of the journal for one batch, in its order.
pub(crate) struct Loaded {
    parts: std::vec::IntoIter<Option<Parts>>,
    /// What the journal was not asked for yet, or had too much to give at once.
    left: VecDeque<EntryNumber>,
    /// The journal has ended: that nothing was loaded says nothing about the entries.
    has_ended: bool,
}

/// Asks for all that lies in the journal.
pub(crate) async fn load<'a>(shared: &Shared, batch: impl Iterator<Item = &'a Outgoing>) -> Loaded {
    let left = batch
        .filter_map(|outgoing| match outgoing.load {
            Load::Entry(entry) => Some(entry),
            Load::Here(_) => None,
        })
        .collect();
    let mut loaded = Loaded { parts: Vec::new().into_iter(), left, has_ended: false };
    loaded.load_more(shared).await;
    loaded
}

impl Loaded {
    async fn load_more(&mut self, shared: &Shared) {
        if self.left.is_empty() || self.has_ended {
            return;
        }
        match shared.journal.load(self.left.iter().copied().collect()).await {
            Some(parts) => {
                self.left.drain(..parts.len().min(self.left.len()));
                self.parts = parts.into_iter();
            }
            None => self.has_ended = true,
        }
    }

    /// For the next frame of the batch.
    pub(crate) async fn parts(&mut self, shared: &Shared, outgoing: &Outgoing) -> Option<Parts> {
        let entry = match &outgoing.load {
            Load::Here(parts) => return Some(parts.clone()),
            Load::Entry(entry) => *entry,
        };
        if self.parts.len() == 0 {
            self.load_more(shared).await;
        }
        let parts = self.parts.next().flatten();
        if parts.is_none() && !self.has_ended {
            shared.tell(Input::Unreadable { entry }).await;
        }
        parts
    }
}
