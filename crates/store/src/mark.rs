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
use crate::guard::{Guard, Note};
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

/// The mark of one open store; clones are the same.
#[derive(Debug, Clone)]
pub struct Mark {
    path: PathBuf,
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
    pub(crate) fn new(marking: Marking, file: Option<Guard<Marked>>, latest: Marked) -> Self {
        let state = Arc::new(Mutex::new(State { file, latest }));
        Self { path: marking.path, of_batch: marking.count.of_batch, state }
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
