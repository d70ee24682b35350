//! One step's view of the store: reads see what the step has written, and all of it becomes one batch.

use crate::{
    record::{Leg, Record},
    settings::spaces,
};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Read, Space, Write, encode};
use proof::MessageId;
use std::collections::BTreeMap;

/// The store as of this moment of the step.
#[derive(Debug)]
pub(crate) struct Draft<'r, R> {
    read: &'r R,
    changes: BTreeMap<Space, BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    /// Records that changed, kept decoded: one step may touch one several times.
    records: BTreeMap<MessageId, Record>,
}

impl<'r, R: Read> Draft<'r, R> {
    pub(crate) fn new(read: &'r R) -> Self {
        Self { read, changes: BTreeMap::new(), records: BTreeMap::new() }
    }

    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        match self.changes.get(&space).and_then(|changes| changes.get(key)) {
            Some(change) => change.clone(),
            None => self.read.get(space, key),
        }
    }

    pub(crate) fn value<T: BorshDeserialize>(&self, space: Space, key: &[u8]) -> Option<T> {
        self.get(space, key).map(|bytes| own(space, &bytes))
    }

    pub(crate) fn put(&mut self, space: Space, key: &[u8], value: Vec<u8>) {
        self.changes.entry(space).or_default().insert(key.to_vec(), Some(value));
    }

    pub(crate) fn put_value<T: BorshSerialize>(&mut self, space: Space, key: &[u8], value: &T) {
        self.put(space, key, encode(value));
    }

    pub(crate) fn delete(&mut self, space: Space, key: &[u8]) {
        self.changes.entry(space).or_default().insert(key.to_vec(), None);
    }

    pub(crate) fn record(&self, id: MessageId) -> Option<Record> {
        self.records.get(&id).cloned().or_else(|| self.value(spaces::RECORDS, id.0.as_slice()))
    }

    pub(crate) fn put_record(&mut self, id: MessageId, record: Record) {
        self.records.insert(id, record);
    }

    /// Changes the record of `id`, which exists whenever something of it is queued or dead.
    pub(crate) fn change_record(&mut self, id: MessageId, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.records.get_mut(&id) {
            return change(record);
        }
        if let Some(mut record) = self.record(id) {
            change(&mut record);
            self.records.insert(id, record);
        }
    }

    /// Forgets a message of which nothing is to be carried any more: its receipts are gone.
    pub(crate) fn delete_record(&mut self, id: MessageId) {
        self.records.remove(&id);
        self.delete(spaces::RECORDS, id.0.as_slice());
        self.delete(spaces::MESSAGES, id.0.as_slice());
    }

    pub(crate) fn delete_receipt(&mut self, leg: Leg, id: MessageId) {
        self.delete(spaces::RECEIPTS, &receipt_key(leg, id));
    }

    /// The step's batch.
    pub(crate) fn into_writes(self) -> Vec<Write> {
        let write = |space, (key, value)| match value {
            Some(value) => Write::Put { space, key, value },
            None => Write::Delete { space, key },
        };
        let changes = self.changes.into_iter();
        let changes = changes.flat_map(|(space, changes)| changes.into_iter().map(move |change| write(space, change)));
        // A record comes after a deletion of the same key: it was made anew.
        let records =
            self.records.into_iter().map(|(id, record)| Write::put(spaces::RECORDS, id.0.as_slice(), encode(&record)));
        changes.chain(records).collect()
    }
}

pub(crate) fn receipt_key(leg: Leg, id: MessageId) -> Vec<u8> {
    encode(&(leg, id))
}

/// A value this relay wrote itself.
///
/// # Panics
/// If the bytes are not what it writes: the store is not to be gone on with.
pub(crate) fn own<T: BorshDeserialize>(space: Space, bytes: &[u8]) -> T {
    match T::try_from_slice(bytes) {
        Ok(value) => value,
        Err(error) => panic!("an entry of {space:?} is malformed, stop and restore the store: {error}"),
    }
}
