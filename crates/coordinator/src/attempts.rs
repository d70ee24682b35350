//! Submissions that concern several shards: attempts, their votes, and what follows from the decision.

use crate::claims::Turn;
use crate::coordinator::{Coordinator, Draft};
use crate::input::{Committed, Event, Votes};
use crate::pending::{Attempt, Stage};
use crate::refusal::Refusal;
use crate::settings::{EAGER_TRIES_COUNT_MAX, FEES_READ_ATTEMPT, SHARED_TRIES_COUNT_MAX};
use commit::coordinator::{BeginError, Input as CommitInput, Objection, Reply as CommitReply};
use commit::{Decision, DecisionProof, Descriptor, PARTICIPANTS_COUNT_MAX, PAYLOAD_BYTES_MAX, Verdict, Vote};
use evm::{Executed, Prepared, StateKey};
use primitives::{AttemptId, Epoch, Millis, ShardId, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Coordinator {
    /// Begins the next attempt at a run over several shards, or on the word of others about their codes, whose keys it
    /// holds.
    pub(crate) fn begin(&mut self, turn: Turn, executed: Arc<Executed>, draft: &mut Draft) {
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let payload = pending.payload.payload().clone();
        let lent = executed.witness.fixed.keys();
        let cache = self.cache.read();
        let proofs = lent.filter_map(|address| Some((*address, cache.code_proof(*address)?))).collect();
        drop(cache);
        let payload: Arc<[u8]> = encode(&Prepared { payload, witness: executed.witness.clone(), proofs }).into();
        let epochs = epochs(&executed.participants, &self.settings.epochs, payload.len());
        let participants = match epochs {
            Ok(participants) => participants,
            Err(refusal) => return self.refuse(turn, refusal, draft),
        };
        pending.tries += 1;
        let longest = if executed.witness.fees.is_empty() { Millis(u64::MAX) } else { FEES_READ_ATTEMPT };
        let descriptor = Descriptor {
            network: self.settings.params.network,
            participants,
            homes: executed.homes.clone(),
            payload: executed.digest(),
            number: pending.tries,
            deadline: draft.now.after(self.settings.timing.attempt.min(longest)),
        };
        let id = descriptor.id();
        let preparing = Event::Preparing { attempt: id, number: pending.tries };
        self.tell(turn, &preparing, draft);
        self.batches.begun(&executed);
        draft.commit.push(CommitInput::Begin { descriptor, payload });
        let attempt = Attempt { id, executed, proof: None, voted: BTreeSet::new(), objection: None };
        self.enter(turn, Stage::Attempt(Box::new(attempt)), Some(draft.now.after(self.settings.timing.answer)));
        self.attempts.insert(id, turn);
    }

    pub(crate) fn votes(&mut self, Votes { votes, hints }: Votes, draft: &mut Draft) {
        let mut stale = BTreeSet::new();
        for proof in &votes {
            let Vote { attempt, shard, verdict, .. } = &proof.vote;
            let Some(turn) = self.attempts.get(attempt).copied() else { continue };
            let Some(pending) = self.pending.get_mut(&turn) else { continue };
            let (attempt, shard, verdict) = (*attempt, *shard, verdict.clone());
            if let Verdict::No(commit::Refusal::Slot { taken }) = verdict {
                pending.slot_refused(taken);
            }
            if let Some(attempt) = pending.attempt() {
                attempt.voted.insert(shard);
            }
            self.tell(turn, &Event::Voted { attempt, shard, verdict: verdict.clone() }, draft);
            if let Verdict::No(commit::Refusal::Stale | commit::Refusal::Conflict { .. }) = verdict
                && let Some(attempt) = self.attempt_of(attempt)
            {
                let executed = attempt.executed.clone();
                stale.insert(shard);
                self.forget_read(&executed, shard);
            }
        }
        for (key, value) in hints {
            // Whoever said that the witness is stale may say what is so; and only of itself.
            if stale.contains(&self.settings.placement.owner(key)) {
                self.cache.write().learn(key, value, self.stamp, self.stamp);
            }
        }
        draft.commit.push(CommitInput::Votes(votes));
    }

    pub(crate) fn rejected(&mut self, id: AttemptId, shard: ShardId, objection: Objection, draft: &mut Draft) {
        if let (Some(attempt), Objection::Never(reason)) = (self.attempt_of(id), &objection) {
            attempt.objection.get_or_insert_with(|| (shard, reason.clone()));
        }
        draft.commit.push(CommitInput::Rejected { attempt: id, shard, objection });
    }

    pub(crate) fn applied(&mut self, id: AttemptId, shard: ShardId, draft: &mut Draft) {
        draft.commit.push(CommitInput::Applied { attempt: id, shard });
        let Some(turn) = self.attempts.get(&id).copied() else { return };
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let tries = pending.tries;
        let decision = pending.attempt().and_then(|attempt| attempt.proof.as_ref()).map(|proof| proof.decide());
        if decision == Some(Decision::Commit) || (decision.is_some() && !keeps_claims(tries)) {
            self.release_keys_of(turn, shard);
        }
    }

    /// The shard has released its locks: whoever waits for its keys alone need not wait for the other shards.
    fn release_keys_of(&mut self, turn: Turn, shard: ShardId) {
        let placement = &self.settings.placement;
        let free = self.claims.release_part(turn, |key| placement.owner(key) == shard);
        self.wake(free);
    }

    pub(crate) fn commit_reply(&mut self, reply: CommitReply, draft: &mut Draft) {
        match reply {
            CommitReply::Refused { attempt, reason } => self.not_begun(attempt, &reason, draft),
            CommitReply::HomesReserved { .. } => {}
            CommitReply::Decided { proof } => self.decided(&proof, draft),
            CommitReply::Finished { attempt, decision } => self.ended(attempt, decision, draft),
            CommitReply::Left { attempt } => self.left(attempt, draft),
            CommitReply::Abandoned { attempt, shard, reason } => {
                let is_objection = self.attempt_of(attempt).is_some_and(|attempt| attempt.objection.is_some());
                match self.attempts.get(&attempt).copied() {
                    Some(turn) if is_objection => self.refuse(turn, Refusal::Objected { shard, reason }, draft),
                    _ => self.left(attempt, draft), // It is over without a word of how: the next run meets what it did.
                }
            }
        }
    }

    fn not_begun(&mut self, id: AttemptId, reason: &BeginError, draft: &mut Draft) {
        let Some(turn) = self.attempts.get(&id).copied() else { return };
        match reason {
            BeginError::PayloadTooLong { actual } => {
                self.refuse(turn, Refusal::TooLong { actual: *actual }, draft);
            }
            BeginError::Busy | BeginError::Known | BeginError::Descriptor(_) => {
                let free = self.claims.release(turn);
                self.wake(free);
                self.contended(turn, id, (ShardId(0), commit::Refusal::Busy), draft);
            }
        }
    }

    /// An attempt was left undecided to its participants. Until they end it, its locks are in the way of the next.
    fn left(&mut self, id: AttemptId, draft: &mut Draft) {
        let Some(turn) = self.attempts.get(&id).copied() else { return };
        let waits_for = self.attempt_of(id).map(|attempt| attempt.waits_for()).unwrap_or_default();
        let Some(shard) = waits_for.first().copied() else { return };
        let free = self.claims.release(turn);
        self.wake(free);
        self.again(turn, salt(id), Refusal::Undecided { shard }, draft);
    }

    fn decided(&mut self, proof: &Arc<DecisionProof>, draft: &mut Draft) {
        let Some(turn) = self.attempts.get(&proof.attempt()).copied() else { return };
        let (id, decision, last_agent) = (proof.attempt(), proof.decide(), proof.descriptor().last_agent());
        let proof = proof.clone();
        self.tell(turn, &Event::Decided { attempt: id, decision, proof: proof.clone() }, draft);
        let Some(attempt) = self.attempt_of(id) else { return };
        attempt.proof = Some(proof);
        let executed = attempt.executed.clone();
        self.batches.decided(&executed);
        if decision == Decision::Commit {
            self.learn_commit(&executed.effects.changes);
        }
        if let (Decision::Commit, Some(last)) = (decision, last_agent) {
            self.release_keys_of(turn, last); // Its vote was its commit.
        }
        // A decision is a function of votes: whoever does not acknowledge it in time is not waited for.
        self.look_again(turn, draft.now.after(self.settings.timing.answer));
    }

    /// An attempt is decided, and everybody has carried it out or does not say so.
    pub(crate) fn ended(&mut self, id: AttemptId, decision: Decision, draft: &mut Draft) {
        let Some(turn) = self.attempts.get(&id).copied() else { return };
        let Some(pending) = self.pending.get_mut(&turn) else { return };
        let Stage::Attempt(attempt) = std::mem::replace(&mut pending.stage, Stage::Backoff) else { return };
        self.attempts.remove(&id);
        match decision {
            Decision::Commit => {
                let committed = Committed::of(&attempt.executed, attempt.proof);
                self.finish(turn, Event::Committed(Box::new(committed)), draft);
            }
            Decision::Abort => self.aborted(turn, *attempt, draft),
        }
    }

    fn aborted(&mut self, turn: Turn, attempt: Attempt, draft: &mut Draft) {
        if let Some((shard, reason)) = attempt.objection {
            return self.refuse(turn, Refusal::Objected { shard, reason }, draft);
        }
        let Some((shard, refusal)) = attempt.proof.as_ref().and_then(|proof| first_no(proof)) else { return };
        if !refusal.is_retryable() {
            return self.refuse(turn, Refusal::Voted { shard, refusal }, draft);
        }
        let tries = self.pending.get(&turn).map_or(0, |pending| pending.tries);
        if !keeps_claims(tries) || is_of_silence(&refusal) {
            let free = self.claims.release(turn);
            self.wake(free);
        }
        self.contended(turn, attempt.id, (shard, refusal), draft);
    }

    fn contended(&mut self, turn: Turn, id: AttemptId, (shard, last): (ShardId, commit::Refusal), draft: &mut Draft) {
        let tries = self.pending.get(&turn).map_or(0, |pending| pending.tries);
        self.again(turn, salt(id), Refusal::Contended { tries, shard, last }, draft);
    }

    pub(crate) fn attempt_of(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        let turn = self.attempts.get(&id)?;
        self.pending.get_mut(turn)?.attempt()
    }

    /// Forgets what a run read of `shard`: it is not so any more.
    pub(crate) fn forget_read(&mut self, executed: &Executed, shard: ShardId) {
        let placement = &self.settings.placement;
        let own: Vec<StateKey> = executed.witness.keys().filter(|key| placement.owner(*key) == shard).collect();
        for key in &own {
            self.cache.write().forget(key);
        }
    }
}

/// Whether a submission that was aborted so often keeps its keys from the others here until its next try.
fn keeps_claims(tries: u32) -> bool {
    (SHARED_TRIES_COUNT_MAX + 1..=EAGER_TRIES_COUNT_MAX).contains(&tries)
}

/// Whether it was aborted because somebody did not vote: then its keys were in nobody's way but its own.
fn is_of_silence(refusal: &commit::Refusal) -> bool {
    use commit::Refusal::{AbortRequested, AlreadyAborted, Expired};
    matches!(refusal, AbortRequested | AlreadyAborted | Expired { .. })
}

fn salt(id: AttemptId) -> u64 {
    id.0.as_bytes()[..8].iter().fold(0, |salt, byte| salt << 8 | u64::from(*byte))
}

/// The participants with their epochs, if an attempt may name them and carry so much.
fn epochs(
    participants: &BTreeSet<ShardId>,
    known: &BTreeMap<ShardId, Epoch>,
    payload_bytes: usize,
) -> Result<BTreeMap<ShardId, Epoch>, Refusal> {
    if participants.len() > PARTICIPANTS_COUNT_MAX {
        return Err(Refusal::Participants { actual: participants.len() });
    }
    if payload_bytes > PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLong { actual: payload_bytes });
    }
    let epoch = |shard: &ShardId| known.get(shard).map(|epoch| (*shard, *epoch));
    let unknown = |shard: &ShardId| Refusal::UnknownShard { shard: *shard };
    participants.iter().map(|shard| epoch(shard).ok_or_else(|| unknown(shard))).collect()
}

fn first_no(proof: &DecisionProof) -> Option<(ShardId, commit::Refusal)> {
    proof.votes().iter().find_map(|proof| match &proof.vote.verdict {
        Verdict::No(refusal) => Some((proof.vote.shard, refusal.clone())),
        Verdict::Yes => None,
    })
}

/// A number that differs from try to try and from salt to salt (splitmix64).
pub(crate) fn jitter(salt: u64, tries: u32) -> u64 {
    let mut z = salt.wrapping_add(u64::from(tries).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
