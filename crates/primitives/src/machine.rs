//! The contract between what decides and what touches the world.
//!
//!   host:   drain queue -> step -> sync `writes` as one batch -> hand out `sends` and `replies` -> arm `wake`
//!                                 ^ crash point 1            ^ crash point 2
//!
//! Promise: durability order is this struct, not a comment. A machine cannot send before it has written, because it has
//! nothing to send with; it returns what it wants sent, and the host syncs first (R2).

use crate::Time;
use std::fmt;

/// A named, ordered set of keys in a store: a column family. The constants live with the machine that owns the space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub &'static str);

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// One change of a store. Changes of one batch apply in order: of two to one key the later wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets `key` to `value`.
    Put {
        /// Where.
        space: Space,
        /// Which key.
        key: Vec<u8>,
        /// To what.
        value: Vec<u8>,
    },
    /// Removes `key`; removing what is not there is no error.
    Delete {
        /// Where.
        space: Space,
        /// Which key.
        key: Vec<u8>,
    },
}

impl Write {
    /// A put, from anything that makes bytes.
    pub fn put(space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { space, key: key.into(), value: value.into() }
    }

    /// A delete.
    pub fn delete(space: Space, key: impl Into<Vec<u8>>) -> Self {
        Self::Delete { space, key: key.into() }
    }
}

/// Reads of a store, all as of one moment: the end of the last synced batch.
///
/// A read that fails because the disk failed gives nothing back and poisons the reader; the host asks for that before it
/// syncs the step's batch, and stops the process. A machine therefore never sees an I/O error.
pub trait Read {
    /// The value of `key`, if it has one.
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>>;

    /// Up to `count_max` entries with keys from `from` (inclusive) that start with `prefix`, in key order.
    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)>;
}

impl<R: Read + ?Sized> Read for &R {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        (**self).get(space, key)
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        (**self).scan(space, prefix, from, count_max)
    }
}

/// What one step asks of its host: sync `writes` as one batch, then hand out `sends` and `replies`, then arm `wake`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output<S, R> {
    /// One atomic batch. Empty: nothing to sync.
    pub writes: Vec<Write>,
    /// To other parties; may be lost, doubled, reordered.
    pub sends: Vec<S>,
    /// To whoever gave the inputs.
    pub replies: Vec<R>,
    /// When to step again even without input. `None`: only on input.
    pub wake: Option<Time>,
}

impl<S, R> Output<S, R> {
    /// Nothing asked.
    pub fn new() -> Self {
        Self { writes: Vec::new(), sends: Vec::new(), replies: Vec::new(), wake: None }
    }
}

impl<S, R> Default for Output<S, R> {
    fn default() -> Self {
        Self::new()
    }
}

/// A deterministic state machine: same store, same inputs, same times give the same outputs, on any machine (I11, I18).
///
/// What it keeps in memory is a cache of its store: `open` on the store after any synced batch gives a machine that goes
/// on as this one would have (I12).
pub trait Machine {
    /// What comes in.
    type Input;
    /// What goes to other parties.
    type Send;
    /// What goes back to whoever gave an input.
    type Reply;

    /// Takes `inputs` in order at `now`, which never decreases, and says what must be written, sent and answered.
    fn step(&mut self, now: Time, inputs: Vec<Self::Input>, read: &impl Read) -> Output<Self::Send, Self::Reply>;
}
