//! What a load left on the disks: each shard's store once it is compacted, and by what it is for.

use cluster::Node;
use eyre::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of stopped nodes' stores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    /// Of each shard.
    pub(crate) shards: Vec<u64>,
    /// Of all shards, by space: bytes and rows.
    pub(crate) spaces: BTreeMap<String, (u64, u64)>,
    /// Of the coordinators' chain indexes.
    pub(crate) indexes: u64,
    /// Committed since the stores were made.
    pub(crate) committed: u64,
}

impl Disk {
    /// Of the stopped network in `dir`, whose shards committed so many transactions (or messages) among them.
    ///
    /// # Errors
    /// A store that is still open, or damaged.
    pub(crate) fn of(dir: &Path, shards: u32, committed: u64) -> Result<Self> {
        let mut disk = Self { committed, ..Self::default() };
        for shard in 0..shards {
            let extents = store::settled_extents(&dir.join(Node::Executor(shard).to_string()))?;
            disk.shards.push(extents.values().map(|extent| extent.bytes).sum());
            for (space, extent) in extents {
                let (bytes, rows) = disk.spaces.entry(space).or_default();
                *bytes += extent.bytes;
                *rows += extent.rows;
            }
        }
        let index = dir.join(Node::Coordinator(0).to_string()).join("index");
        disk.indexes = store::settled_extents(&index)?.values().map(|extent| extent.bytes).sum();
        Ok(disk)
    }

    /// Of `bytes`, what one of those committed took.
    pub(crate) fn each(&self, bytes: u64) -> f64 {
        bytes as f64 / self.committed.max(1) as f64
    }
}
