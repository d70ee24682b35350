//! A store without a disk: the same reads and the same batches as a real one, for simulators and tests.
//!
//! Promise: it reads as `store`'s RocksDB does, which a test of that crate compares. A clone is what a disk would hold at
//! that moment.

use crate::{Read, Space, Write};
use std::collections::BTreeMap;

/// Ordered spaces in memory. A clone is a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    spaces: BTreeMap<Space, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one batch in order.
    pub fn commit(&mut self, writes: &[Write]) {
        for write in writes {
            self.apply(write.clone());
        }
    }

    /// Applies one change, without copying it.
    pub fn apply(&mut self, write: Write) {
        match write {
            Write::Put { space, key, value } => {
                self.spaces.entry(space).or_default().insert(key, value);
            }
            Write::Delete { space, key } => {
                if let Some(entries) = self.spaces.get_mut(&space) {
                    entries.remove(&key);
                }
            }
        }
    }

    /// How many keys `space` has.
    pub fn count(&self, space: Space) -> usize {
        self.spaces.get(&space).map_or(0, BTreeMap::len)
    }

    /// The entries of `space`, in key order.
    pub fn entries(&self, space: Space) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spaces.get(&space).into_iter().flatten().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }
}

impl Read for Memory {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.spaces.get(&space)?.get(key).cloned()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(entries) = self.spaces.get(&space) else { return Vec::new() };
        entries
            .range::<[u8], _>((std::ops::Bound::Included(prefix.max(from)), std::ops::Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(count_max)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space("test");

    fn store() -> Memory {
        let mut store = Memory::new();
        store.commit(&[
            Write::put(SPACE, *b"a", *b"1"),
            Write::put(SPACE, *b"ab", *b"2"),
            Write::put(SPACE, *b"b", *b"3"),
        ]);
        store
    }

    #[test]
    fn the_later_of_two_changes_to_one_key_wins() {
        let mut store = store();
        store.commit(&[Write::delete(SPACE, *b"a"), Write::put(SPACE, *b"a", *b"9"), Write::delete(SPACE, *b"b")]);
        assert_eq!((store.get(SPACE, b"a"), store.get(SPACE, b"b")), (Some(b"9".to_vec()), None));
    }

    #[test]
    fn a_scan_keeps_to_its_prefix_its_start_and_its_count() {
        let keys = |prefix: &[u8], from: &[u8], count_max| -> Vec<Vec<u8>> {
            store().scan(SPACE, prefix, from, count_max).into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(b"a", b"", 9), [b"a".to_vec(), b"ab".to_vec()]);
        assert_eq!(keys(b"a", b"aa", 9), [b"ab".to_vec()]);
        assert_eq!(keys(b"", b"", 1), [b"a".to_vec()]);
        assert_eq!(keys(b"c", b"", 9), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_clone_keeps_what_was_there() {
        let mut store = store();
        let copy = store.clone();
        store.commit(&[Write::delete(SPACE, *b"a")]);
        assert_eq!((copy.count(SPACE), store.count(SPACE)), (3, 2));
    }
}
