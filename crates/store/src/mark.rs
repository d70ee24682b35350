//! The signer's mark: what was signed last, said by a file outside the store's folder.
//!
//! ```text
//!   batch n synced -> guard in the folder says n -> mark outside the folder says n -> the step is handed out
//!   folder put back from a copy: its guard agrees with it, the mark does not: refuse (R14)
//! ```
//!
//! Promise: of a store whose mark agrees, nothing was signed that it does not have; but for what power loss takes of the
//! mark itself, which is synced as rarely as the guard. Where there is no mark the store opens and says so: whoever signs
//! asks others first, and sets the mark when they have shown that the store is the newest.
//! Knows nothing of what a block is: it keeps the owner's own count beside the batch's number, for sentences.

use crate::error::End;
use crate::guard::{GUARD_SYNC_BATCHES, Guard, Note};
use crate::{Fault, Reader};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a store's owner counts what it signs.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    /// Where a store is.
    pub of_store: fn(&Reader) -> u64,
    /// Where a batch brings it, if it does.
    pub of_batch: fn(&[Write]) -> Option<u64>,
}

/// Where a mark is to be kept, and how it counts.
#[derive(Debug, Clone)]
pub struct Marking {
    /// The file; it may not be there yet.
    pub path: PathBuf,
    /// How its owner counts.
    pub count: Count,
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Marked {
    /// The last batch.
    pub(crate) end: End,
    /// The owner's own count at that batch.
    pub(crate) count: u64,
    /// Whose store it is of: the digest that its chain of batches begins with.
    pub(crate) owner: Digest,
}

impl Note for Marked {
    const BYTES: usize = End::BYTES + 8 + 32;

    fn sequence(&self) -> u64 {
        self.end.sequence
    }
}

/// What there was of the mark when its store was opened, and did not speak against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// None, of a store with no batch but the one that made it: nothing was signed yet.
    New,
    /// It ends where the store ends.
    Agrees,
    /// It ends a little earlier, as after a kill or a loss of power: it is written after the batch and synced rarely.
    Late {
        /// By how many batches, at most [`MARK_LATE_BATCHES_MAX`].
        batches: u64,
    },
    /// It ends earlier than that: it is not the newest mark of this store.
    Old {
        /// By how many batches.
        batches: u64,
    },
    /// None, of a store that has more batches.
    Missing,
    /// There is one, and nobody can read it.
    Unreadable,
}

/// The last batch that the mark at `path` knows of; none if there is no mark, or none that can be read.
pub fn marked_batch(path: &Path) -> Option<u64> {
    let (_, marked) = Guard::<Marked>::open(path).ok().flatten()?;
    marked.map(|marked| marked.end.sequence)
}

/// Up to how many batches a mark may be late by itself: as many as may pass between two syncs of it.
pub const MARK_LATE_BATCHES_MAX: u64 = GUARD_SYNC_BATCHES;

impl Found {
    /// Of a mark that ends with batch `marked` beside a store that ends with batch `last`.
    pub(crate) fn of(marked: u64, last: u64) -> Self {
        match last.saturating_sub(marked) {
            0 => Self::Agrees,
            batches @ 1..=MARK_LATE_BATCHES_MAX => Self::Late { batches },
            batches => Self::Old { batches },
        }
    }

    /// Where there is no mark beside a store that ends with batch `last`.
    pub(crate) fn none(last: u64) -> Self {
        if last <= 1 { Self::New } else { Self::Missing }
    }
}

/// The mark of one open store; clones are the same.
#[derive(Debug, Clone)]
pub struct Mark {
    path: PathBuf,
    found: Found,
    of_batch: fn(&[Write]) -> Option<u64>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// None where the mark is not set.
    file: Option<Guard<Marked>>,
    latest: Marked,
}

impl Mark {
    pub(crate) fn new(marking: Marking, found: Found, file: Option<Guard<Marked>>, latest: Marked) -> Self {
        let state = Arc::new(Mutex::new(State { file, latest }));
        Self { path: marking.path, found, of_batch: marking.count.of_batch, state }
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What there was of it when the store was opened.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Whether there is a mark: one that the store was found to agree with, or that was set since.
    pub fn is_set(&self) -> bool {
        self.state().file.is_some()
    }

    /// Sets the mark where there is none: from now on it says that this store is the newest.
    ///
    /// # Errors
    /// [`Fault`] if it cannot be written.
    pub fn set(&self) -> Result<(), Fault> {
        let mut state = self.state();
        if state.file.is_none() {
            let file =
                Guard::create(&self.path, state.latest).map_err(|error| self.fault("setting the mark", &error))?;
            state.file = Some(file);
        }
        Ok(())
    }

    /// Notes that the batch that ends with `end` was synced.
    pub(crate) fn note(&self, end: End, writes: &[Write]) -> Result<(), Fault> {
        let mut state = self.state();
        let count = (self.of_batch)(writes).unwrap_or(state.latest.count);
        state.latest = Marked { end, count, ..state.latest };
        let Some(file) = &state.file else { return Ok(()) };
        file.note(state.latest).map_err(|error| self.fault("writing the mark", &error))
    }

    /// Brings what was noted to the disk.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        let state = self.state();
        let synced = state.file.as_ref().map_or(Ok(()), Guard::sync);
        synced.map_err(|error| self.fault("syncing the mark", &error))
    }

    fn fault(&self, doing: &'static str, reason: &impl ToString) -> Fault {
        Fault { path: self.path.clone(), doing, reason: reason.to_string() }
    }

    /// What is behind the lock is whole after every operation, so a panic elsewhere does not spoil it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a store's mark is kept unless its settings say otherwise: beside its folder, so that a copy of the folder is a
/// copy without it.
pub fn mark_beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".signed");
    folder.with_file_name(name)
}
