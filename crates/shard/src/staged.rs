//! The store as the current step sees it: what was synced, and over it what the step is about to write.
//!
//!   get ---> pending (this step) ---> read (synced)
//!
//! Promise: a later input of a step sees what an earlier one wrote, and the batch that the step hands out is exactly what
//! was seen: one change for each key, in key order.
//! Knows nothing of what keys and values mean.

use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Read, Space, Write};
use std::collections::BTreeMap;

/// A store with the step's own writes on top.
#[derive(Debug)]
pub(crate) struct Staged<'a, R> {
    read: &'a R,
    pending: BTreeMap<Space, BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
}

impl<'a, R: Read> Staged<'a, R> {
    /// Nothing staged yet.
    pub(crate) fn new(read: &'a R) -> Self {
        Self { read, pending: BTreeMap::new() }
    }

    /// Sets `key` to `value`.
    pub(crate) fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.pending.entry(space).or_default().insert(key.into(), Some(value));
    }

    /// Sets `key` to the canonical bytes of `value`.
    pub(crate) fn put_value<T: BorshSerialize + ?Sized>(&mut self, space: Space, key: impl Into<Vec<u8>>, value: &T) {
        self.put(space, key, primitives::encode(value));
    }

    /// Removes `key`.
    pub(crate) fn delete(&mut self, space: Space, key: impl Into<Vec<u8>>) {
        self.pending.entry(space).or_default().insert(key.into(), None);
    }

    /// Takes over writes made elsewhere.
    pub(crate) fn extend(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { space, key, value } => self.put(space, key, value),
                Write::Delete { space, key } => self.delete(space, key),
            }
        }
    }

    /// Whether the step writes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The batch.
    pub(crate) fn into_writes(self) -> Vec<Write> {
        let in_space = |(space, entries): (Space, BTreeMap<Vec<u8>, Option<Vec<u8>>>)| {
            entries.into_iter().map(move |(key, value)| match value {
                Some(value) => Write::Put { space, key, value },
                None => Write::Delete { space, key },
            })
        };
        self.pending.into_iter().flat_map(in_space).collect()
    }
}

impl<R: Read> Read for Staged<'_, R> {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        match self.pending.get(&space).and_then(|entries| entries.get(key)) {
            Some(pending) => pending.clone(),
            None => self.read.get(space, key),
        }
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let start = from.max(prefix);
        let pending: Vec<_> = match self.pending.get(&space) {
            None => return self.read.scan(space, prefix, from, count_max),
            Some(entries) => entries
                .range(start.to_vec()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        };
        // Each pending change hides at most one synced entry.
        let synced = self.read.scan(space, prefix, from, count_max.saturating_add(pending.len()));
        let mut merged: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            synced.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.extend(pending);
        merged.into_iter().filter_map(|(key, value)| Some((key, value?))).take(count_max).collect()
    }
}

/// The value of `key`, which this machine wrote.
///
/// # Panics
/// If the bytes are not what this machine writes: the store is corrupt or of another format, and to go on would be to
/// sign what nobody computed.
pub(crate) fn get_value<T: BorshDeserialize>(read: &impl Read, space: Space, key: &[u8]) -> Option<T> {
    read.get(space, key).map(|bytes| own_value(space, &bytes))
}

/// The value that `bytes`, out of this machine's own store, are.
///
/// # Panics
/// As [`get_value`].
pub(crate) fn own_value<T: BorshDeserialize>(space: Space, bytes: &[u8]) -> T {
    match primitives::decode(bytes, usize::MAX) {
        Ok(value) => value,
        Err(error) => panic!("the store's space {space:?} holds bytes this machine never wrote: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Memory;

    const SPACE: Space = Space("test");

    fn store() -> Memory {
        let mut store = Memory::default();
        store.commit(&[
            Write::put(SPACE, [1, 1], [10]),
            Write::put(SPACE, [1, 2], [20]),
            Write::put(SPACE, [2, 1], [30]),
        ]);
        store
    }

    #[test]
    fn a_step_sees_its_own_writes() {
        let store = store();
        let mut staged = Staged::new(&store);
        staged.put(SPACE, [1, 2], vec![21]);
        staged.delete(SPACE, [1, 1]);
        assert_eq!(staged.get(SPACE, &[1, 2]), Some(vec![21]));
        assert_eq!(staged.get(SPACE, &[1, 1]), None);
        assert_eq!(staged.get(SPACE, &[2, 1]), Some(vec![30]));
    }

    #[test]
    fn a_scan_merges_what_is_pending() {
        let store = store();
        let mut staged = Staged::new(&store);
        staged.delete(SPACE, [1, 1]);
        staged.put(SPACE, [1, 3], vec![40]);
        assert_eq!(staged.scan(SPACE, &[1], &[], 8), vec![(vec![1, 2], vec![20]), (vec![1, 3], vec![40])]);
        assert_eq!(staged.scan(SPACE, &[1], &[], 1), vec![(vec![1, 2], vec![20])]);
        assert_eq!(staged.scan(SPACE, &[1], &[1, 3], 8), vec![(vec![1, 3], vec![40])]);
    }

    #[test]
    fn a_key_written_twice_is_written_once() {
        let store = store();
        let mut staged = Staged::new(&store);
        staged.put(SPACE, [9], vec![1]);
        staged.put(SPACE, [9], vec![2]);
        assert_eq!(staged.into_writes(), vec![Write::put(SPACE, [9], [2])]);
    }
}
