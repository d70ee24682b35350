//! One attempt in the coordinator's hands.

use super::{ATTEMPTS, OpenError, Send, VOTES};
use crate::decision::counts;
use crate::{Decision, DecisionProof, Descriptor, EVIDENCE_BYTES_MAX, PARTICIPANTS_COUNT_MAX, PAYLOAD_BYTES_MAX};
use crate::{VOTE_BYTES_MAX, VoteProof};
use primitives::{AttemptId, Digest, Millis, Read, ShardId, Space, Time, Verified, Verifier, Write, decode, encode};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

/// Entries read from the store at a time when it is opened.
const SCAN_COUNT: usize = 64;
/// Most bytes of one attempt in the log.
const ATTEMPT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (64 << 10);
/// Most bytes of one attempt's votes in the log.
const VOTES_BYTES_MAX: usize = PARTICIPANTS_COUNT_MAX * (EVIDENCE_BYTES_MAX + VOTE_BYTES_MAX);

/// An attempt not yet forgotten.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) descriptor: Arc<Descriptor>,
    id: AttemptId,
    payload: Arc<[u8]>,
    stage: Stage,
    /// Who may have been sent a prepare, and so may hold a lock.
    asked: BTreeSet<ShardId>,
    /// Who objects to voting on it; once anyone does, the silent are asked to abort.
    objecting: BTreeSet<ShardId>,
    /// When to say it again.
    pub(super) due: Time,
    /// How often this stage has been said.
    pub(super) said: u32,
}

#[derive(Debug)]
enum Stage {
    /// Collecting votes: the homes' first, then everybody's.
    Voting { votes: BTreeMap<ShardId, Verified<VoteProof>> },
    /// Decided; waiting for those that may hold a lock.
    Deciding { proof: Arc<DecisionProof>, waiting: BTreeSet<ShardId> },
}

/// What a vote changed.
pub(super) enum Recorded {
    /// Nothing to say about it.
    Nothing,
    /// It was the last home's yes: the rest is asked now.
    HomesReserved,
    /// It decided the attempt.
    Decided(Arc<DecisionProof>),
    /// It came after the decision and is a no: its shard holds no lock and needs no decision.
    NeedsNoDecision,
}

/// What an objection changed.
pub(super) enum Objected {
    /// Nothing to say about it.
    Nothing,
    /// It cannot commit any more: the silent are asked to abort.
    GivesUp,
    /// Of the silent, all object to that too.
    Hopeless,
}

impl Attempt {
    pub(super) fn new(descriptor: Descriptor, payload: Arc<[u8]>) -> Self {
        let asked = descriptor.homes.clone();
        Self::at(descriptor, payload, Stage::Voting { votes: BTreeMap::new() }, asked)
    }

    fn at(descriptor: Descriptor, payload: Arc<[u8]>, stage: Stage, asked: BTreeSet<ShardId>) -> Self {
        let id = descriptor.id();
        let (descriptor, objecting) = (Arc::new(descriptor), BTreeSet::new());
        Self { descriptor, id, payload, stage, asked, objecting, due: Time(0), said: 0 }
    }

    /// The log entry that is written before the first prepare goes out; not synced (`docs/decisions/0010`).
    pub(super) fn begun(&self) -> Write {
        Write::put(ATTEMPTS, *self.id.0.as_bytes(), encode(&(&*self.descriptor, &*self.payload)))
    }

    /// How it was decided, if it is.
    pub(super) fn decision(&self) -> Option<Decision> {
        match &self.stage {
            Stage::Voting { .. } => None,
            Stage::Deciding { proof, .. } => Some(proof.decide()),
        }
    }

    /// How it ended, if nobody is waited for any more.
    pub(super) fn finished(&self) -> Option<Decision> {
        match &self.stage {
            Stage::Deciding { proof, waiting } if waiting.is_empty() => Some(proof.decide()),
            _ => None,
        }
    }

    /// Takes a vote into account.
    pub(super) fn record(&mut self, proof: Verified<VoteProof>) -> Recorded {
        if !counts(&self.descriptor, self.id, &proof.vote) {
            return Recorded::Nothing; // R3, R9
        }
        let shard = proof.vote.shard;
        let no = !proof.vote.verdict.is_yes();
        match &mut self.stage {
            Stage::Deciding { waiting, .. } => {
                if no && waiting.remove(&shard) {
                    Recorded::NeedsNoDecision
                } else {
                    Recorded::Nothing
                }
            }
            Stage::Voting { votes } => {
                let homes_waited_for = missing_homes(&self.descriptor, votes).next().is_some();
                votes.insert(shard, proof);
                let homes_reserved = homes_waited_for && missing_homes(&self.descriptor, votes).next().is_none();
                self.advance(homes_reserved.then_some(Recorded::HomesReserved))
            }
        }
    }

    /// R1: the decision follows from the votes and from nothing else; `otherwise` is what is new without one.
    fn advance(&mut self, otherwise: Option<Recorded>) -> Recorded {
        let Stage::Voting { votes } = &self.stage else { return Recorded::Nothing };
        if let Ok(proof) = DecisionProof::new((*self.descriptor).clone(), votes.values().cloned().collect()) {
            let proof = Arc::new(proof);
            self.decide(proof.clone());
            return Recorded::Decided(proof);
        }
        if otherwise.is_some() {
            self.asked.extend(self.descriptor.participants.keys());
        }
        otherwise.unwrap_or(Recorded::Nothing)
    }

    fn decide(&mut self, proof: Arc<DecisionProof>) {
        let mut waiting = self.asked.clone();
        if let Stage::Voting { votes } = &self.stage {
            // Whoever said no holds no lock; whoever said yes holds one, whoever asked for it.
            waiting.retain(|shard| votes.get(shard).is_none_or(|proof| proof.vote.verdict.is_yes()));
            waiting.extend(votes.values().filter(|proof| proof.vote.verdict.is_yes()).map(|proof| proof.vote.shard));
            // The last agent's yes was its commit; its no locked nothing.
            waiting.retain(|shard| self.descriptor.last_agent() != Some(*shard) || !votes.contains_key(shard));
        }
        self.stage = Stage::Deciding { proof, waiting };
    }

    pub(super) fn applied(&mut self, shard: ShardId) {
        if let Stage::Deciding { waiting, .. } = &mut self.stage {
            waiting.remove(&shard);
        }
    }

    /// What is to be said now.
    pub(super) fn say(&self, now: Time) -> Vec<Send> {
        match &self.stage {
            Stage::Deciding { proof, waiting } => {
                waiting.iter().map(|to| Send::Decide { to: *to, proof: proof.clone() }).collect()
            }
            // R4: neither an objection nor the deadline decides; the silent are asked to.
            // All of them: a no of any decides (R5), so one dead home does not keep the others' keys from their users.
            Stage::Voting { votes } if !self.objecting.is_empty() || now >= self.descriptor.deadline => {
                self.voteless(votes).map(|to| self.request_abort(to)).collect()
            }
            Stage::Voting { votes } => self.silent(votes).into_iter().map(|to| self.prepare(to, votes)).collect(),
        }
    }

    /// Takes into account that a participant will never act on what it was last sent.
    pub(super) fn object(&mut self, shard: ShardId) -> Objected {
        let Stage::Voting { votes } = &self.stage else { return Objected::Nothing };
        if votes.contains_key(&shard) || self.descriptor.epoch(shard).is_none() {
            return Objected::Nothing;
        }
        if self.objecting.is_empty() {
            self.objecting.insert(shard);
            return Objected::GivesUp;
        }
        self.objecting.insert(shard);
        if self.voteless(votes).all(|silent| self.objecting.contains(&silent)) {
            Objected::Hopeless
        } else {
            Objected::Nothing
        }
    }

    /// When to say it again after saying it at `now`: after `wait`, but not sleeping through the deadline.
    pub(super) fn next_due(&self, now: Time, wait: Millis) -> Time {
        let due = now.after(wait);
        match self.stage {
            Stage::Voting { .. } if now < self.descriptor.deadline => due.min(self.descriptor.deadline),
            _ => due,
        }
    }

    /// Those who have not voted.
    fn voteless(&self, votes: &BTreeMap<ShardId, Verified<VoteProof>>) -> impl Iterator<Item = ShardId> {
        self.descriptor.participants.keys().copied().filter(|shard| !votes.contains_key(shard))
    }

    /// Those of the present stage who have not voted: homes as long as one is silent, then everybody (R11).
    fn silent(&self, votes: &BTreeMap<ShardId, Verified<VoteProof>>) -> Vec<ShardId> {
        let homes: Vec<_> = missing_homes(&self.descriptor, votes).collect();
        if !homes.is_empty() {
            return homes;
        }
        self.voteless(votes).collect()
    }

    fn prepare(&self, to: ShardId, votes: &BTreeMap<ShardId, Verified<VoteProof>>) -> Send {
        let homes = if self.descriptor.homes.contains(&to) {
            Vec::new()
        } else {
            self.descriptor.homes.iter().filter_map(|home| votes.get(home)).cloned().collect()
        };
        Send::Prepare { to, descriptor: self.descriptor.clone(), payload: self.payload.clone(), homes }
    }

    fn request_abort(&self, to: ShardId) -> Send {
        Send::RequestAbort { to, descriptor: self.descriptor.clone() }
    }
}

/// The homes that have not voted.
fn missing_homes(
    descriptor: &Descriptor,
    votes: &BTreeMap<ShardId, Verified<VoteProof>>,
) -> impl Iterator<Item = ShardId> {
    descriptor.homes.iter().copied().filter(|home| !votes.contains_key(home))
}

/// The log entry of a decision's votes, written before the first decide goes out; not synced (`docs/decisions/0010`).
pub(super) fn decided(proof: &DecisionProof) -> Write {
    let votes: Vec<&VoteProof> = proof.votes().iter().map(|vote| &**vote).collect();
    Write::put(VOTES, *proof.attempt().0.as_bytes(), encode(&votes))
}

/// The unfinished attempts in a store. Of an undecided one no vote is known: participants answer theirs again (R2).
pub(super) fn recover(read: &impl Read) -> Result<BTreeMap<AttemptId, Attempt>, OpenError> {
    let mut attempts = BTreeMap::new();
    let mut from: Vec<u8> = Vec::new();
    loop {
        let entries = read.scan(ATTEMPTS, &[], &from, SCAN_COUNT);
        let Some((last, _)) = entries.last() else { return Ok(attempts) };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in entries {
            let attempt = recover_one(&key, &value, read)?;
            attempts.insert(attempt.id, attempt);
        }
    }
}

fn recover_one(key: &[u8], value: &[u8], read: &impl Read) -> Result<Attempt, OpenError> {
    let (descriptor, payload): (Descriptor, Vec<u8>) =
        decode(value, ATTEMPT_BYTES_MAX).map_err(|error| damaged(ATTEMPTS, key, &error))?;
    if descriptor.id().0.as_bytes().as_slice() != key {
        return Err(damaged(ATTEMPTS, key, &"the key is not the attempt's id"));
    }
    // Who was asked is not in the log; anybody may have been.
    let asked = descriptor.participants.keys().copied().collect();
    let mut attempt = Attempt::at(descriptor, payload.into(), Stage::Voting { votes: BTreeMap::new() }, asked);
    if let Some(bytes) = read.get(VOTES, key) {
        let votes: Vec<VoteProof> = decode(&bytes, VOTES_BYTES_MAX).map_err(|error| damaged(VOTES, key, &error))?;
        let votes = votes.into_iter().map(OwnLog::read_back).collect();
        let proof =
            DecisionProof::new((*attempt.descriptor).clone(), votes).map_err(|error| damaged(VOTES, key, &error))?;
        attempt.decide(Arc::new(proof));
    }
    Ok(attempt)
}

pub(super) fn damaged(space: Space, key: &[u8], reason: &impl ToString) -> OpenError {
    let key = <[u8; 32]>::try_from(key).map_or_else(|_| format!("{key:?}"), |key| Digest::new(key).to_string());
    OpenError { space, key, reason: reason.to_string() }
}

/// Believes the coordinator's own log: what is in it was verified before it was written. Participants verify again.
struct OwnLog;

impl OwnLog {
    fn read_back(proof: VoteProof) -> Verified<VoteProof> {
        match Verified::by(&Self, proof) {
            Ok(proof) => proof,
            Err(never) => match never {},
        }
    }
}

impl Verifier<VoteProof> for OwnLog {
    type Fact = VoteProof;
    type Error = Infallible;

    fn verify(&self, claim: VoteProof) -> Result<VoteProof, Infallible> {
        Ok(claim)
    }
}
