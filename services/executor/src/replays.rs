//! What a prepare meets before anybody replays it: a replay costs as much as the transaction, a look costs nothing.
//!
//! ```text
//!   prepare ──> voted on? ── yes ──> the vote that stands
//!                 └──> may be voted on, not over and forgotten (R7), the homes' yes is there? ── no ──> refused
//!                        └──> in work already? ── yes ──> later
//!                               └──> replayed
//! ```
//!
//! Promise: nothing is decided here. What is refused the machine would refuse too, and what passes it looks at again.

use crate::node::Node;
use crate::participant::known;
use commit::{Descriptor, Participant, VoteProof};
use primitives::{AttemptId, Read, ShardId, Time};
use shard::queries;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wire::participant::{Prepare, VoteAnswer};
use wire::{Reason, Rejection};

/// Block time is for the machine to compare deadlines with (R10).
const WHENEVER: Time = Time(u64::MAX / 2);

/// The attempts that are being replayed; as many as calls in work hold.
#[derive(Debug, Default)]
pub(crate) struct Replays(Mutex<BTreeSet<AttemptId>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    replays: &'a Replays,
    attempt: AttemptId,
}

impl Replays {
    /// The right to replay an attempt; none while another call has it.
    pub(crate) fn begin(&self, attempt: AttemptId) -> Option<Replay<'_>> {
        // What is not had is not made either: dropped, it would take the right from the call that has it.
        let is_free = self.lock().insert(attempt);
        is_free.then(|| Replay { replays: self, attempt })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<AttemptId>> {
        // A set is whole after every operation.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        self.replays.lock().remove(&self.attempt);
    }
}

impl Node {
    /// The right to replay a prepare, or the answer that needs no replay.
    #[allow(clippy::result_large_err, reason = "it is the answer of a call, made once")]
    pub(crate) fn before_replay(
        &self,
        read: &impl Read,
        prepare: &Prepare,
    ) -> Result<Replay<'_>, Result<VoteAnswer, Rejection>> {
        let attempt = prepare.descriptor.id();
        if let Some(answer) = known(read, attempt) {
            return Err(answer);
        }
        let participant = self.participant();
        participant.admit(&prepare.descriptor, WHENEVER).map_err(|rejection| Err(rejection.into()))?;
        if queries::is_settled(read, participant, &prepare.descriptor) {
            return Err(Err(commit::Rejection::Settled { attempt }.into()));
        }
        if let Some(home) = silent_home(&prepare.descriptor, &prepare.homes).filter(|_| !self.is_home(prepare)) {
            return Err(Err(commit::Rejection::HomesMissing { home }.into()));
        }
        let busy = || Err(Rejection::new(Reason::Busy, format!("{attempt} is being replayed for another call")));
        self.replays.begin(attempt).ok_or_else(busy)
    }

    fn is_home(&self, prepare: &Prepare) -> bool {
        prepare.descriptor.homes.contains(&self.me)
    }

    fn participant(&self) -> Participant {
        let epochs = self.network.validators.iter().map(|(shard, set)| (*shard, set.epoch())).collect();
        Participant::new(self.network.params.network, self.me, epochs)
    }
}

/// A home whose yes is not there, not even as a claim: claims are checked before the replay too.
fn silent_home(descriptor: &Descriptor, homes: &[VoteProof]) -> Option<ShardId> {
    let attempt = descriptor.id();
    let said_yes = |home: ShardId| {
        homes
            .iter()
            .any(|proof| proof.vote.attempt == attempt && proof.vote.shard == home && proof.vote.verdict.is_yes())
    };
    descriptor.homes.iter().copied().find(|home| !said_yes(*home))
}

#[cfg(test)]
mod tests {
    use super::*;
    use commit::{Refusal, Verdict, Vote};
    use primitives::{Digest, Epoch, NetworkId};

    fn descriptor() -> Descriptor {
        Descriptor {
            network: NetworkId(1),
            participants: (0..3).map(|shard| (ShardId(shard), Epoch(1))).collect(),
            homes: [ShardId(0), ShardId(1)].into(),
            payload: Digest::new([7; 32]),
            number: 1,
            deadline: Time(1_000),
        }
    }

    fn vote(descriptor: &Descriptor, shard: u32, verdict: Verdict) -> VoteProof {
        let vote = Vote { attempt: descriptor.id(), shard: ShardId(shard), epoch: Epoch(1), verdict };
        VoteProof { vote, evidence: Vec::new() }
    }

    #[test]
    fn an_attempt_is_replayed_by_one_call_at_a_time() {
        let (replays, attempt) = (Replays::default(), descriptor().id());
        let first = replays.begin(attempt);
        assert!(first.is_some() && replays.begin(attempt).is_none());
        drop(first);
        assert!(replays.begin(attempt).is_some());
    }

    #[test]
    fn a_prepare_without_the_yes_of_every_home_is_not_replayed() {
        let attempt = descriptor();
        let yes = |shard| vote(&attempt, shard, Verdict::Yes);
        assert_eq!(silent_home(&attempt, &[yes(0), yes(1)]), None);
        assert_eq!(silent_home(&attempt, &[yes(0)]), Some(ShardId(1)));
        let no = vote(&attempt, 1, Verdict::No(Refusal::Busy));
        assert_eq!(silent_home(&attempt, &[yes(0), no]), Some(ShardId(1)));
        let other = Descriptor { number: 2, ..descriptor() };
        assert_eq!(silent_home(&attempt, &[yes(0), vote(&other, 1, Verdict::Yes)]), Some(ShardId(1)));
    }
}
