//! Why a store refuses. Every refusal at opening says what to do about it.

use crate::Identity;
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::Digest;
use std::path::PathBuf;

/// Why a store did not open, or did not take a batch.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A process holds the store: this one or another.
    #[error(
        "another process ({owner}) has the store at {path} open: stop it, or give this one a folder of its own",
        path = path.display()
    )]
    Held {
        /// The store's folder.
        path: PathBuf,
        /// What the holder wrote into the lock file about itself.
        owner: String,
    },
    /// A later version wrote this store.
    #[error(
        "the store at {path} has format {found}, this version knows up to {known}: run the version that wrote it",
        path = path.display()
    )]
    NewerFormat {
        /// The store's folder.
        path: PathBuf,
        /// The format it has.
        found: u32,
        /// The newest format this version knows.
        known: u32,
    },
    /// The store belongs to another shard, network or key.
    #[error(
        "the store at {path} belongs to {found}, not to {expected}: point the configuration to the right folder or key; \
         nothing was changed",
        path = path.display()
    )]
    OtherIdentity {
        /// The store's folder.
        path: PathBuf,
        /// Who opened it.
        expected: Box<Identity>,
        /// Who made it.
        found: Box<Identity>,
    },
    /// Stored bytes are not what was written.
    #[error(
        "the store at {path} is damaged ({reason}): do not delete anything; bring back the mirror of its disk. An older \
         copy is no replacement: it is behind what was signed with its key",
        path = path.display()
    )]
    Damaged {
        /// The store's folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The store ends before the last batch it said was synced: what was signed since would be signed again, differently.
    #[error(
        "the store at {path} ends at batch {store}, but batch {guard} was synced before: it lost writes, or an old copy \
         was put in its place; put the newest store back, with its guard file",
        path = path.display()
    )]
    Behind {
        /// The store's folder.
        path: PathBuf,
        /// The last batch in the store.
        store: u64,
        /// The last batch that was synced.
        guard: u64,
    },
    /// The store ends before what its signer's mark, which is kept elsewhere, says was signed (R14).
    #[error(
        "the store at {path} ends at block {store} (batch {batch}), but its key has signed up to block {marked} (batch \
         {batch_marked}), says the mark {mark}: an old copy was put in its place. Put the newest store back. If that is \
         lost, this key must sign nothing any more: the shard can come back only under a new key in a new epoch, which \
         this version cannot do yet; do not delete the mark",
        path = path.display(),
        mark = mark.display()
    )]
    BehindMark {
        /// The store's folder.
        path: PathBuf,
        /// The mark.
        mark: PathBuf,
        /// The block that the store ends with.
        store: u64,
        /// The batch that the store ends with.
        batch: u64,
        /// The last block that was signed.
        marked: u64,
        /// The batch it was in, or a later one.
        batch_marked: u64,
    },
    /// The mark is not of this store's making.
    #[error(
        "the mark {mark} is not of the store at {path} ({reason}): another store was put in its place, or another key or \
         network has used the same mark. Put the right store back, or give this one a mark of its own (the setting \
         `mark`); do not delete a mark whose key is in use",
        path = path.display(),
        mark = mark.display()
    )]
    OtherMark {
        /// The store's folder.
        path: PathBuf,
        /// The mark.
        mark: PathBuf,
        /// How they differ.
        reason: &'static str,
    },
    /// The disk has less room than new work may use; what is under way may still end.
    #[error(
        "the disk of {path} has {bytes_free} bytes free, new work needs {bytes_free_min}: free some space; work under \
         way goes on",
        path = path.display()
    )]
    Full {
        /// The store's folder.
        path: PathBuf,
        /// What is free.
        bytes_free: u64,
        /// What new work leaves free.
        bytes_free_min: u64,
    },
    /// The spaces asked for cannot be had.
    #[error("the spaces of a store: {reason}")]
    Spaces {
        /// What is wrong with them.
        reason: String,
    },
    /// The disk failed, now or before; the state is that of the last synced batch. Stop the process, never retry.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The disk, or RocksDB on it, failed. Nothing may be sent on the strength of what came after.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store at {path} failed while {doing} ({reason}): stop the process, look at the disk, start again", path = path.display())]
pub struct Fault {
    /// The store's folder.
    pub path: PathBuf,
    /// What it was doing.
    pub doing: &'static str,
    /// What the system said.
    pub reason: String,
}

/// The link a store ends in, or the guard's note of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct End {
    /// Which batch.
    pub(crate) sequence: u64,
    /// Its digest.
    pub(crate) digest: Digest,
}
