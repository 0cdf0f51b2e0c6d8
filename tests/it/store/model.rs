//! The simple account of what a store must hold, and a random life to hold it against.

use std::collections::BTreeMap;

use store::{Disk, Recovery, Store, StoreError, Transaction};

use super::disk::Chance;
use super::number;

/// By number, the bytes.
pub(super) type Records = BTreeMap<u64, Vec<u8>>;

/// One transaction, as the model understands it.
#[derive(Clone, Default, Debug)]
pub(super) struct Change {
    puts: Vec<(u64, Vec<u8>)>,
    forgets: Vec<u64>,
}

impl Change {
    fn apply(&self, records: &mut Records) {
        records.extend(self.puts.iter().cloned());
        for forget in &self.forgets {
            records.remove(forget);
        }
    }

    fn transaction(&self) -> Transaction {
        let mut transaction = Transaction::new();
        for (at, body) in &self.puts {
            transaction = transaction.put(number(*at), body.clone());
        }
        for forget in &self.forgets {
            transaction = transaction.forget(number(*forget));
        }
        transaction
    }
}

#[derive(Default, Debug)]
pub(super) struct Model {
    pub(super) synced: Records,
    /// Appended since, in order. After a crash, the first so many of them happened.
    pub(super) pending: Vec<Change>,
    /// Forgets little.
    pub(super) hoards: bool,
}

impl Model {
    pub(super) fn now(&self) -> Records {
        let mut records = self.synced.clone();
        for change in &self.pending {
            change.apply(&mut records);
        }
        records
    }

    pub(super) fn synced(&mut self) {
        self.synced = self.now();
        self.pending.clear();
    }

    /// What a reopened store holds must be what was synced and a first part of what came after. It is the new truth.
    pub(super) fn judge(&mut self, store: &Store<impl Disk>, recovery: &Recovery) {
        assert!(recovery.damaged.is_empty(), "a crash is not damage: {:?}", recovery.damaged);
        let mut found = Records::new();
        for at in &recovery.records {
            found.insert(at.get(), store.load(*at).expect("it was listed").to_vec());
        }
        let mut records = self.synced.clone();
        let mut may_be = records == found;
        for change in &self.pending {
            change.apply(&mut records);
            may_be |= records == found;
        }
        let keys = |records: &Records| records.keys().copied().collect::<Vec<_>>();
        assert!(
            may_be,
            "holds {:?}; synced {:?}; then {} changes up to {:?}",
            keys(&found),
            keys(&self.synced),
            self.pending.len(),
            keys(&records)
        );
        self.synced = found;
        self.pending.clear();
    }

    /// Appends something by chance. What fails half way may have happened or not.
    pub(super) fn append(&mut self, store: &mut Store<impl Disk>, chance: &mut Chance) -> Result<(), StoreError> {
        let now = self.now();
        let mut change = Change::default();
        let mut next = store.highest().get();
        // One in eight is not there; forgetting it must do no harm.
        for _ in 0..chance.below(if self.hoards { 2 } else { 4 }) {
            let known = now.keys().nth(chance.index(now.len().max(1)));
            let forget = if chance.below(8) == 0 { Some(chance.below(next + 1)) } else { known.copied() };
            change.forgets.extend(forget);
        }
        for _ in 0..chance.below(4).min(1 + chance.below(3)) {
            next += 1 + chance.below(2);
            let length = if chance.below(6) == 0 { 2500 } else { 200 };
            let length = chance.index(length);
            change.puts.push((next, (0..length).map(|_| chance.next().to_be_bytes()[7]).collect()));
        }
        let result = store.append(change.transaction());
        match &result {
            Ok(_) | Err(StoreError::Failed { .. }) => self.pending.push(change),
            Err(StoreError::Full { .. } | StoreError::NoSpace { .. } | StoreError::Poisoned) => {}
            Err(error) => panic!("{error}"),
        }
        result.map(|_| ())
    }
}
