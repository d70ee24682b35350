//! How far a carrier has come with each attestor's words: what it need not hear again after a restart.
//!
//! Promise: a place is passed only once all that was heard up to it from that attestor is settled, so losing the file, or having an
//! old one, costs questions and nothing else.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// By attestor's URL, and shard for words that leave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Places {
    /// The last foreign block.
    inbound: BTreeMap<String, u64>,
    /// The first index.
    outbound: BTreeMap<String, BTreeMap<u32, u32>>,
}

/// The file behind one direction's places.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    places: Places,
    is_changed: bool,
}

impl Cursor {
    /// The places in the file at `path`; none where it is not there, or is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let places = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Places::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), places, is_changed: false })
    }

    /// The last foreign block that need not be heard from this attestor again.
    pub(crate) fn block(&self, attestor: &str) -> Option<u64> {
        self.places.inbound.get(attestor).copied()
    }

    /// The first index of this shard that has to be heard from it.
    pub(crate) fn index(&self, attestor: &str, shard: u32) -> u32 {
        self.places.outbound.get(attestor).and_then(|shards| shards.get(&shard)).copied().unwrap_or(0)
    }

    /// How many attestors' words on this block need not be heard again: it is settled if enough to bring it said something of it.
    pub(crate) fn passed_block_count(&self, block: u64) -> usize {
        self.places.inbound.values().filter(|heard| **heard >= block).count()
    }

    /// The same for this index of a shard.
    pub(crate) fn passed_index_count(&self, shard: u32, index: u32) -> usize {
        let of_shard = self.places.outbound.values().filter_map(|shards| shards.get(&shard));
        of_shard.filter(|next| **next > index).count()
    }

    /// All up to this block is settled.
    pub(crate) fn set_block(&mut self, attestor: &str, block: u64) {
        let before = self.places.inbound.insert(attestor.to_owned(), block);
        self.is_changed |= before != Some(block);
    }

    /// All before this index is settled.
    pub(crate) fn set_index(&mut self, attestor: &str, shard: u32, index: u32) {
        let before = self.places.outbound.entry(attestor.to_owned()).or_default().insert(shard, index);
        self.is_changed |= before != Some(index);
    }

    /// Forgets everything from this block on.
    pub(crate) fn go_back(&mut self, block: u64) {
        for heard in self.places.inbound.values_mut() {
            *heard = (*heard).min(block.saturating_sub(1));
        }
        self.is_changed = true;
    }

    /// Writes the file, if there is something new.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_changed) {
            chains::journal::write_synced(&self.path, &serde_json::to_vec(&self.places)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_outlives_a_restart_and_a_file_that_is_none_is_a_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor.json");
        let mut cursor = Cursor::open(&path).unwrap();
        cursor.set_block("http://a", 7);
        cursor.set_index("http://b", 1, 3);
        cursor.save().unwrap();
        let cursor = Cursor::open(&path).unwrap();
        assert_eq!((cursor.block("http://a"), cursor.block("http://b")), (Some(7), None));
        assert_eq!((cursor.index("http://b", 1), cursor.index("http://b", 2)), (3, 0));
        std::fs::write(&path, "half a fi").unwrap();
        assert_eq!(Cursor::open(&path).unwrap().block("http://a"), None);
    }
}
