//! What is kept of a test suite's time over a restart: the legs of contracts' time, how far it is ahead, and whether the shards
//! were just going back.
//!
//! Promise: what is read is what was written last, whole: the file is written beside itself and moved over itself. Not synced: who
//! loses power loses a test run.

use borsh::{BorshDeserialize, BorshSerialize};
use evm::{Leg, Travels};
use primitives::Slot;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name in the data folder.
const NAME: &str = "travels";

/// The file of a network with cheats cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}", path = path.display())]
pub struct KeptError {
    path: PathBuf,
    source: io::Error,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub(super) struct Known {
    legs: Vec<Leg>,
    /// How far contracts' time is ahead of the host's clock, in milliseconds.
    pub(super) shift_ms: i64,
    reverting: Option<Slot>,
}

impl Known {
    pub(super) fn travels(&self) -> Travels {
        Travels::new(self.legs.clone())
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    reverting: Option<Slot>,
}

impl Kept {
    /// The file in the folder `data`, and what it says; nothing where there is none.
    pub(super) fn open(data: &Path) -> Result<(Self, Known), KeptError> {
        let path = data.join(NAME);
        let known = match std::fs::read(&path) {
            Ok(bytes) => borsh::from_slice(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Known::default()),
            Err(error) => Err(error),
        };
        match known {
            Ok(known) => Ok((Self { path, reverting: known.reverting }, known)),
            Err(source) => Err(KeptError { path, source }),
        }
    }

    /// The slot that the shards were going back to when this was opened, if they were.
    pub(super) fn reverting(&self) -> Option<Slot> {
        self.reverting
    }

    /// Keeps this instead of what was kept.
    pub(super) fn write(&self, travels: &Travels, shift_ms: i64, reverting: Option<Slot>) -> io::Result<()> {
        let bytes = primitives::encode(&Known { legs: travels.legs().to_vec(), shift_ms, reverting });
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::{Millis, Time};

    #[test]
    fn what_was_written_last_is_read_back_by_the_next() {
        let data = tempfile::tempdir().unwrap();
        let (kept, known) = Kept::open(data.path()).unwrap();
        assert_eq!((known, kept.reverting()), (Known::default(), None));
        let legs = vec![Leg { slot: Slot(3), begin: Time(9_000), step: Millis(0) }];
        kept.write(&Travels::new(legs.clone()), -5, Some(Slot(2))).unwrap();
        let (kept, known) = Kept::open(data.path()).unwrap();
        assert_eq!((known.travels().legs(), known.shift_ms, kept.reverting()), (&legs[..], -5, Some(Slot(2))));
    }

    #[test]
    fn a_file_that_is_none_stops_the_start() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(NAME), [7; 3]).unwrap();
        assert!(Kept::open(data.path()).unwrap_err().to_string().contains("travels"));
    }
}
