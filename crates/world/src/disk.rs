//! What a disk may do to a store.
//!
//! ```text
//!   batch ─> record ─> [ 1 | 2 | … | n-1 | n ]     each with its number, a checksum, and a link to the one before
//!                        synced ──────┘  │
//!                                        └ being written, or written and not synced (a coordinator's log: docs/decisions/0010)
//! ```
//!
//! Modelled on `store` over RocksDB with the settings of `store/src/options.rs`. Promise: what opening finds here is what
//! opening finds there.
//!
//! - A record at the end of which only a part is there fails its checksum and is dropped: the batch never was.
//! - Records that were not synced may be gone after a loss of power, the last first; a killed process loses none.
//! - A flipped bit, and a record in another's place, fail checksum or link: the store does not open. The operator replaces
//!   the disk by its mirror, which was written synchronously and so has every synced batch, the damaged one included;
//!   the shard is away meanwhile. It is *not* restored from an older copy: that one would be behind what it signed, and
//!   the guard beside the store refuses it.
//! - A failed sync stops the process; the record may be there or not.
//!
//! Reads between the damage and the next opening: a flipped bit is found by the next read that meets it, so the process
//! stops at its next step; a misdirected record is read from memory until then.

use primitives::{Memory, Read, Space, Time, Write};
use std::collections::VecDeque;

/// When a batch is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is committed: shards and relays.
    Synced,
    /// Some time later: coordinators.
    Buffered,
}

/// Most batches of a buffered store that a loss of power may take: the system writes back what is older.
const UNSYNCED_COUNT_MAX: usize = 64;

/// What is wrong with records that are on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    /// A record fails its checksum.
    Checksum,
    /// A record is where another should be.
    Link,
}

/// A store's disk, beside what is readable of it.
#[derive(Debug)]
pub(crate) struct Disk {
    durability: Durability,
    /// How to undo the batches that were not synced, oldest first.
    unsynced: VecDeque<Vec<Write>>,
    pub(crate) damage: Option<Damage>,
    /// No room until then.
    pub(crate) full_until: Option<Time>,
    /// Batches take longer until then.
    pub(crate) stalled_until: Option<Time>,
}

impl Disk {
    pub(crate) fn new(durability: Durability) -> Self {
        Self { durability, unsynced: VecDeque::new(), damage: None, full_until: None, stalled_until: None }
    }

    /// Writes a batch.
    pub(crate) fn commit(&mut self, store: &mut Memory, writes: Vec<Write>) {
        if self.durability == Durability::Buffered {
            self.unsynced.push_back(undo(store, &writes));
            if self.unsynced.len() > UNSYNCED_COUNT_MAX {
                self.unsynced.pop_front();
            }
        }
        for write in writes {
            store.apply(write);
        }
    }

    /// How many batches a loss of power may take.
    pub(crate) fn unsynced_count(&self) -> usize {
        self.unsynced.len()
    }

    /// Power fails: the last `count` of the batches that were not synced are gone; the others are on the disk now.
    pub(crate) fn lose(&mut self, store: &mut Memory, count: usize) {
        for _ in 0..count {
            let Some(undo) = self.unsynced.pop_back() else { break };
            for write in undo {
                store.apply(write);
            }
        }
        self.unsynced.clear();
    }

    /// Whether it has no room at `now`.
    pub(crate) fn is_full(&self, now: Time) -> bool {
        self.full_until.is_some_and(|until| now < until)
    }

    /// Whether it stalls at `now`.
    pub(crate) fn is_stalled(&self, now: Time) -> bool {
        self.stalled_until.is_some_and(|until| now < until)
    }
}

/// The writes that undo `writes`, in the order to apply them.
fn undo(store: &Memory, writes: &[Write]) -> Vec<Write> {
    let mut undo: Vec<Write> = Vec::with_capacity(writes.len());
    let before = |space: Space, key: &[u8]| match store.get(space, key) {
        Some(value) => Write::put(space, key, value),
        None => Write::delete(space, key),
    };
    for write in writes {
        match write {
            Write::Put { space, key, .. } | Write::Delete { space, key } => undo.push(before(*space, key)),
        }
    }
    undo
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: Space = Space("test");

    fn written(durability: Durability) -> (Disk, Memory) {
        let (mut disk, mut store) = (Disk::new(durability), Memory::new());
        for number in 0..4_u8 {
            let writes = vec![Write::put(SPACE, [0], [number]), Write::put(SPACE, [number], [number])];
            disk.commit(&mut store, writes);
        }
        (disk, store)
    }

    #[test]
    fn a_synced_batch_is_never_lost() {
        let (mut disk, mut store) = written(Durability::Synced);
        disk.lose(&mut store, 4);
        assert_eq!(store, written(Durability::Synced).1);
    }

    #[test]
    fn what_was_not_synced_is_lost_from_the_end() {
        let (mut disk, mut store) = written(Durability::Buffered);
        disk.lose(&mut store, 2);
        assert_eq!((store.get(SPACE, &[0]), store.get(SPACE, &[1])), (Some(vec![1]), Some(vec![1])));
        assert_eq!((store.get(SPACE, &[2]), store.get(SPACE, &[3])), (None, None));
        assert_eq!(disk.unsynced_count(), 0, "what was left is on the disk");
    }

    #[test]
    fn losing_everything_leaves_an_empty_disk() {
        let (mut disk, mut store) = written(Durability::Buffered);
        disk.lose(&mut store, 9);
        assert_eq!(store.entries(SPACE).count(), 0);
    }
}
