//! Shards that do not answer, and what waits for them without standing in others' way.
//!
//! ```text
//!   fetch, vote or local answer is late ──> silent ── anything comes from it ──> (not silent)
//!                                             │
//!                   a run touches it ─────────┴──> it is asked for the run's values first, with no key claimed
//! ```
//!
//! Promise: what waits for a silent shard claims no keys, so that those of the others keep their users (I6). Silence is a
//! guess by the clock and decides nothing (R4): it costs one more fetch when it is wrong.

use crate::claims::Turn;
use crate::coordinator::{Coordinator, Draft};
use crate::input::{Input, LocalAnswer};
use crate::pending::Stage;
use crate::refusal::Refusal;
use evm::{Executed, Missing, StateKey};
use primitives::ShardId;
use std::collections::BTreeSet;

impl Coordinator {
    /// Notes who is alive by what came from it.
    pub(crate) fn hear(&mut self, input: &Input) {
        if self.silent.is_empty() {
            return;
        }
        let heard: BTreeSet<ShardId> = match input {
            Input::Fetched { fetch, .. } | Input::FetchedProofs { fetch, .. } | Input::FetchRefused { fetch, .. } => {
                self.fetches.shard_of(*fetch).into_iter().collect()
            }
            Input::Votes(votes) => votes.votes.iter().map(|proof| proof.vote.shard).collect(),
            Input::Rejected { shard, .. } | Input::Applied { shard, .. } => [*shard].into(),
            Input::Local { ticket, answer } if *answer != LocalAnswer::Unreachable => {
                self.shard_asked_by(*ticket).into_iter().collect()
            }
            Input::Submit { .. }
            | Input::Travel(_)
            | Input::Forget
            | Input::Ran(_)
            | Input::FetchFailed { .. }
            | Input::Local { .. } => BTreeSet::new(),
        };
        for shard in heard {
            self.silent.remove(&shard);
        }
    }

    /// One of the shards that is silent.
    pub(crate) fn silent_among(&self, shards: &BTreeSet<ShardId>) -> Option<ShardId> {
        self.silent.intersection(shards).next().copied()
    }

    /// Asks a silent shard for what a run needs of it, before any key is claimed for the run.
    pub(crate) fn ask_first(&mut self, turn: Turn, executed: &Executed, shard: ShardId, draft: &mut Draft) {
        self.free_keys_of([turn]);
        let keys = executed.witness.keys().chain(executed.effects.changes.keys().map(|(key, _)| key));
        let owned = keys.filter(|key| self.settings.placement.owner(*key) == shard);
        let keys: BTreeSet<StateKey> = owned.collect();
        for key in &keys {
            self.cache.write().forget(key);
        }
        if keys.is_empty() {
            return self.again(turn, shard.0.into(), Refusal::Unreachable { shard }, draft);
        }
        let missing = keys.into_iter().map(Missing::Key).collect();
        self.fetch(turn, &missing, draft);
    }

    /// Whether a submission that nobody was promised anything about may wait for values of these shards.
    pub(crate) fn may_wait(&self, turn: Turn, missing: &BTreeSet<Missing>) -> Result<(), Refusal> {
        let is_kept = self.pending.get(&turn).is_none_or(|pending| pending.kept.is_some());
        if is_kept || self.silent.is_empty() {
            return Ok(());
        }
        let Some(shard) = self.silent_among(&self.owners(missing)) else { return Ok(()) };
        if self.fetches.waiters(shard).len() < crate::SILENT_WAITERS_COUNT_MAX {
            return Ok(());
        }
        Err(Refusal::Unreachable { shard })
    }

    /// Leaves their keys and their places at them to others: they wait for a shard that is silent.
    pub(crate) fn free_keys_of(&mut self, turns: impl IntoIterator<Item = Turn>) {
        for turn in turns {
            let free = self.claims.release(turn);
            self.wake(free);
        }
    }

    /// Who is to be asked for these.
    pub(crate) fn owners(&self, missing: &BTreeSet<Missing>) -> BTreeSet<ShardId> {
        let owner = |missing: &Missing| match missing {
            Missing::Key(key) => self.settings.placement.owner(*key),
            Missing::CodeProof(account) | Missing::Code { account, .. } => self.settings.placement.shard_of(*account),
        };
        missing.iter().map(owner).collect()
    }

    /// A submission has waited for others' keys for a while: it goes on waiting, unless what it needs besides is silent.
    pub(crate) fn queue_is_long(&mut self, turn: Turn, draft: &mut Draft) {
        let Some(pending) = self.pending.get(&turn) else { return };
        let Stage::Queued { participants } = &pending.stage else { return };
        if draft.now.since(pending.since) >= self.settings.timing.lifetime {
            return self.refuse(turn, Refusal::Waited, draft);
        }
        if self.silent_among(participants).is_some() {
            return self.enter(turn, Stage::Ready, None); // It runs again, and asks first.
        }
        self.look_again(turn, draft.now.after(self.settings.timing.answer));
    }

    /// Votes are late, or acknowledgements: what can go on without them goes on.
    pub(crate) fn attempt_is_late(&mut self, turn: Turn, draft: &mut Draft) {
        let timing = self.settings.timing;
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let since = pending.since;
        let Some(attempt) = pending.attempt() else { return };
        let (id, asked, waits_for) = (attempt.id, attempt.asked(), attempt.waits_for());
        if let Some(proof) = &attempt.proof {
            let decision = proof.decide();
            return self.ended(id, decision, draft); // The commit machine tells the rest.
        }
        if let Some(shard) = waits_for.first().copied()
            && draft.now.since(since) >= timing.lifetime
        {
            return self.refuse(turn, Refusal::Undecided { shard }, draft);
        }
        self.silent.extend(waits_for);
        // Nothing is locked where nobody was asked yet.
        let placement = &self.settings.placement;
        let free = self.claims.release_part(turn, |key| !asked.contains(&placement.owner(key)));
        self.wake(free);
        self.look_again(turn, draft.now.after(timing.answer));
    }
}
