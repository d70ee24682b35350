//! A store in memory for this crate's tests.

use primitives::{Read, Space, Write};
use std::collections::BTreeMap;

/// Ordered spaces in memory; what is synced here is what a crash leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemoryStore {
    spaces: BTreeMap<Space, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryStore {
    /// Applies one batch.
    pub(crate) fn sync(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { space, key, value } => {
                    self.spaces.entry(space).or_default().insert(key, value);
                }
                Write::Delete { space, key } => {
                    self.spaces.entry(space).or_default().remove(&key);
                }
            }
        }
    }

    /// How many keys `space` has.
    pub(crate) fn count(&self, space: Space) -> usize {
        self.spaces.get(&space).map_or(0, BTreeMap::len)
    }
}

impl Read for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.spaces.get(&space)?.get(key).cloned()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(entries) = self.spaces.get(&space) else { return Vec::new() };
        entries
            .range(from.max(prefix).to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(count_max)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
