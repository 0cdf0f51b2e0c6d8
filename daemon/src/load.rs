//! What was said, for frames that are about to be made: from memory, or from the journal with one question for a whole
//! batch. An entry that cannot be read is told to the node.

use mesh::{Input, Load, Outgoing};
use proto::entry::{EntryNumber, Parts};

use crate::shared::Shared;

/// Answers of the journal for one batch, in its order.
pub(crate) struct Loaded {
    parts: std::vec::IntoIter<Option<Parts>>,
    /// The journal has ended: that nothing was loaded says nothing about the entries.
    has_ended: bool,
}

/// Asks for all that lies in the journal.
pub(crate) async fn load<'a>(shared: &Shared, batch: impl Iterator<Item = &'a Outgoing>) -> Loaded {
    let entries: Vec<EntryNumber> = batch
        .filter_map(|outgoing| match outgoing.load {
            Load::Entry(entry) => Some(entry),
            Load::Here(_) => None,
        })
        .collect();
    let answer = if entries.is_empty() { Some(Vec::new()) } else { shared.journal.load(entries).await };
    Loaded { has_ended: answer.is_none(), parts: answer.unwrap_or_default().into_iter() }
}

impl Loaded {
    /// For the next frame of the batch.
    pub(crate) async fn parts(&mut self, shared: &Shared, outgoing: &Outgoing) -> Option<Parts> {
        let entry = match &outgoing.load {
            Load::Here(parts) => return Some(parts.clone()),
            Load::Entry(entry) => *entry,
        };
        let parts = self.parts.next().flatten();
        if parts.is_none() && !self.has_ended {
            shared.tell(Input::Unreadable { entry }).await;
        }
        parts
    }
}
