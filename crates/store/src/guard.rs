//! The guard: a small file beside the database that says which batch was synced last.
//!
//! ```text
//! batch n synced -> guard says n        opening: the database ends before n? it lost what was promised: refuse.
//! ```
//!
//! It is written after the sync it speaks of, so it is never ahead of what the disk had; it goes to the system at every
//! batch and to the disk at every [`GUARD_SYNC_BATCHES`]th, so after power loss it may be a little behind, and guards a
//! little less. Two slots, written in turn, each with its own checksum: a torn write costs one of them.

use crate::error::End;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Domain, decode, encode};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

/// How many batches may pass between two syncs of the guard itself.
pub(crate) const GUARD_SYNC_BATCHES: u64 = 64;

/// The canonical length of a slot: sequence, digest, checksum.
const SLOT_BYTES: usize = 8 + 32 + 32;
/// Where the second slot starts: another sector than the first.
const SLOT_STRIDE_BYTES: u64 = 4096;

static SLOT: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 store guard"));

#[derive(BorshSerialize, BorshDeserialize)]
struct Slot {
    sequence: u64,
    digest: Digest,
    checksum: Digest,
}

/// The open guard file.
#[derive(Debug)]
pub(crate) struct Guard {
    file: File,
}

impl Guard {
    /// Opens the guard at `path`, and what it says; nothing if it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Option<(Self, Option<End>)>> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => {
                let end = read(&file);
                Ok(Some((Self { file }, end)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the guard at `path` say `end`, on the disk.
    pub(crate) fn create(path: &Path, end: End) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let guard = Self { file };
        guard.write(end)?;
        guard.file.sync_all()?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(guard)
    }

    /// Notes that batch `end` was synced.
    pub(crate) fn note(&self, end: End) -> io::Result<()> {
        self.write(end)?;
        if end.sequence.is_multiple_of(GUARD_SYNC_BATCHES) { self.sync() } else { Ok(()) }
    }

    /// Brings what was noted to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, end: End) -> io::Result<()> {
        let checksum = checksum(end.sequence, &end.digest);
        let bytes = encode(&Slot { sequence: end.sequence, digest: end.digest, checksum });
        self.file.write_all_at(&bytes, (end.sequence % 2) * SLOT_STRIDE_BYTES)
    }
}

/// The later of the whole slots.
fn read(file: &File) -> Option<End> {
    [0, 1].into_iter().filter_map(|slot| read_slot(file, slot * SLOT_STRIDE_BYTES)).max_by_key(|end| end.sequence)
}

fn read_slot(file: &File, offset: u64) -> Option<End> {
    let mut bytes = [0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, offset).ok()?;
    let slot: Slot = decode(&bytes, SLOT_BYTES).ok()?;
    (slot.checksum == checksum(slot.sequence, &slot.digest))
        .then_some(End { sequence: slot.sequence, digest: slot.digest })
}

fn checksum(sequence: u64, digest: &Digest) -> Digest {
    SLOT.hash_of(&(sequence, *digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(sequence: u64) -> End {
        End { sequence, digest: SLOT.hash_of(&sequence) }
    }

    #[test]
    fn the_latest_note_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        assert!(Guard::open(&path).unwrap().is_none());
        let guard = Guard::create(&path, end(0)).unwrap();
        for sequence in 1..=5 {
            guard.note(end(sequence)).unwrap();
        }
        assert_eq!(Guard::open(&path).unwrap().unwrap().1, Some(end(5)));
    }

    #[test]
    fn a_torn_note_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard");
        let guard = Guard::create(&path, end(0)).unwrap();
        guard.note(end(1)).unwrap();
        guard.file.write_all_at(&[0xFF; 20], SLOT_STRIDE_BYTES + 4).unwrap();
        assert_eq!(Guard::open(&path).unwrap().unwrap().1, Some(end(0)));
    }
}
