//! Decisions that this node took or was shown, with the votes that make them and the blocks that applied them.
//!
//! Shards forget an attempt once it is over on all of them, and its votes can be asked for no more; what proves them is here still, as the
//! shards gave it.
//!
//! Promise: bounded: [`DECISIONS_COUNT_MAX`] decisions, the newest; in memory, gone with the process.

use commit::{Decision, DecisionProof};
use primitives::{AttemptId, Height, ShardId};
use proof::Receipt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many are kept: each has a receipt of some 700 bytes for each shard, which its submission's life has too.
const DECISIONS_COUNT_MAX: usize = 16_384;

/// One decision.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    proof: Arc<DecisionProof>,
    /// The block that applied it, of each shard that said so.
    pub(super) applied: BTreeMap<ShardId, Height>,
}

impl Decided {
    /// The receipt of a shard's vote, if that is among those which make the decision.
    pub(super) fn receipt(&self, shard: ShardId) -> Option<Receipt> {
        let proof = self.proof.votes().iter().find(|proof| proof.vote.shard == shard)?;
        Receipt::from_bytes(&proof.evidence).ok()
    }

    /// The shard that applied it with its vote, where one did.
    pub(super) fn last_agent(&self) -> Option<ShardId> {
        self.proof.descriptor().last_agent().filter(|_| self.proof.decide() == Decision::Commit)
    }
}

/// The newest decisions.
#[derive(Debug, Default)]
pub(crate) struct Decisions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    decided: BTreeMap<AttemptId, Decided>,
    order: VecDeque<AttemptId>,
}

impl Decisions {
    /// Keeps a decision.
    pub(crate) fn note(&self, proof: &Arc<DecisionProof>) {
        let (mut kept, attempt) = (self.lock(), proof.attempt());
        if kept.decided.contains_key(&attempt) {
            return;
        }
        kept.decided.insert(attempt, Decided { proof: Arc::clone(proof), applied: BTreeMap::new() });
        kept.order.push_back(attempt);
        if kept.order.len() > DECISIONS_COUNT_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.decided.remove(&oldest);
        }
    }

    /// Keeps in which block `shard` applied a decision that is kept; the first word counts.
    pub(crate) fn note_applied(&self, attempt: AttemptId, shard: ShardId, height: Height) {
        if let Some(decided) = self.lock().decided.get_mut(&attempt) {
            decided.applied.entry(shard).or_insert(height);
        }
    }

    /// What is kept of an attempt.
    pub(super) fn of(&self, attempt: AttemptId) -> Option<Decided> {
        self.lock().decided.get(&attempt).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Each change leaves a whole table behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
