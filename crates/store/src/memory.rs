//! A store without a disk: the same reads and the same batches, for simulators and tests.

use primitives::{Read, Space, Write};
use std::collections::BTreeMap;

/// Ordered spaces in memory. A clone is a copy: what a disk would hold at that moment.
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
            match write {
                Write::Put { space, key, value } => {
                    self.spaces.entry(*space).or_default().insert(key.clone(), value.clone());
                }
                Write::Delete { space, key } => {
                    self.spaces.entry(*space).or_default().remove(key);
                }
            }
        }
    }
}

impl Read for Memory {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.spaces.get(&space)?.get(key).cloned()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(entries) = self.spaces.get(&space) else { return Vec::new() };
        entries
            .range(prefix.max(from).to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(count_max)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
