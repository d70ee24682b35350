//! The order of a step, as types: what hands out takes a [`Committed`], and only [`Stepped::commit`] makes one.

use crate::crash::Saboteur;
use primitives::{Output, Time};
use store::{Fault, Store};

/// What a machine asked for, with nothing of it done.
pub(crate) struct Stepped<S, R>(Output<S, R>);

/// What a machine asked for, with its writes on the disk.
pub(crate) struct Committed<S, R> {
    /// The store's last batch.
    pub(crate) sequence: u64,
    /// For other parties.
    pub(crate) sends: Vec<S>,
    /// For callers.
    pub(crate) replies: Vec<R>,
    /// When to step again.
    pub(crate) wake: Option<Time>,
}

impl<S, R> Stepped<S, R> {
    pub(crate) fn new(output: Output<S, R>) -> Self {
        Self(output)
    }

    /// Commits the writes as one batch. A failure of a read during the step is found here too, whether it writes or not.
    pub(crate) fn commit(self, store: &mut Store, saboteur: &mut Saboteur) -> Result<Committed<S, R>, Fault> {
        let Output { writes, sends, replies, wake } = self.0;
        if !writes.is_empty() {
            saboteur.before_commit();
        }
        // R2: written and synced before anything that says so is sent.
        let sequence = store.commit(&writes)?;
        if !writes.is_empty() {
            saboteur.after_commit();
        }
        Ok(Committed { sequence, sends, replies, wake })
    }
}
