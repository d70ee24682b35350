//! A coordinator that follows no rule: it begins attempts of its own at payloads that passed, shows each shard what suits it,
//! tells one that all is decided and asks another to abort, and stops wherever it likes.
//!
//! ```text
//!   a prepare that passed ── begin ──> homes ── their votes ──> some of the others ── each vote ──> decide here, abort there
//! ```
//!
//! Promise: it says nothing that a stranger could not say; what shards make of it is for the checks to see.

use crate::call::{CallId, DecisionClaim, Done, PrepareClaim, Request, Response};
use crate::world::World;
use commit::{Descriptor, VoteProof};
use primitives::{AttemptId, Millis, ShardId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many attempts of its own it remembers; it stops at the oldest.
const LIES_COUNT_MAX: usize = 16;

/// Tries that an honest coordinator does not come to within a run.
const FIRST_NUMBER: u32 = 1_000;

/// An attempt that is not meant well.
#[derive(Debug)]
struct Lie {
    claim: PrepareClaim,
    votes: BTreeMap<ShardId, VoteProof>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Lies {
    under_way: BTreeMap<AttemptId, Lie>,
    calls: BTreeMap<CallId, (AttemptId, ShardId)>,
    begun: u32,
}

impl World {
    /// Begins an attempt of its own at a payload that passed; whether one did.
    pub(crate) fn lie(&mut self) -> bool {
        let claims = self.recorded.iter().filter_map(|(_, request)| match request {
            Request::Prepare(claims) => claims.first().cloned(),
            _ => None,
        });
        let claims: Vec<PrepareClaim> = claims.collect();
        let Some(claim) = self.chaos_dice.pick(&claims).cloned() else { return false };
        self.lies.begun += 1;
        let descriptor = Descriptor {
            number: FIRST_NUMBER + self.lies.begun,
            deadline: self.now.after(Millis(self.chaos_dice.between(500, 20_000))),
            ..(*claim.descriptor).clone()
        };
        let (attempt, homes) = (descriptor.id(), descriptor.homes.clone());
        let claim = PrepareClaim { descriptor: Arc::new(descriptor), homes: Vec::new(), ..claim };
        if self.lies.under_way.len() >= LIES_COUNT_MAX {
            self.lies.under_way.pop_first();
        }
        self.lies.under_way.insert(attempt, Lie { claim: claim.clone(), votes: BTreeMap::new() });
        for home in homes {
            self.ask_vote(attempt, home, claim.clone());
        }
        true
    }

    fn ask_vote(&mut self, attempt: AttemptId, shard: ShardId, claim: PrepareClaim) {
        let call = self.call_unrecorded(shard, Request::Prepare(vec![claim]));
        self.lies.calls.insert(call, (attempt, shard));
    }

    /// A shard answers one of its prepares.
    pub(crate) fn liar_hears(&mut self, call: CallId, response: &Response) {
        let Some((attempt, shard)) = self.lies.calls.remove(&call) else { return };
        let Response::Done(items) = response else { return };
        let Some(Ok(Done::Voted { proof, .. })) = items.first() else { return };
        let Some(lie) = self.lies.under_way.get_mut(&attempt) else { return };
        lie.votes.insert(shard, proof.clone());
        let (claim, votes) = (lie.claim.clone(), lie.votes.clone());
        self.press_on(attempt, shard, &claim, &votes);
        self.contradict(&votes, attempt);
    }

    /// With the homes' votes, asks most of the others, and some of them not.
    fn press_on(
        &mut self,
        attempt: AttemptId,
        heard: ShardId,
        claim: &PrepareClaim,
        votes: &BTreeMap<ShardId, VoteProof>,
    ) {
        let homes = &claim.descriptor.homes;
        let given: Vec<VoteProof> = homes.iter().filter_map(|home| votes.get(home).cloned()).collect();
        if !homes.contains(&heard) || given.len() < homes.len() {
            return;
        }
        let others = claim.descriptor.participants.keys().filter(|shard| !homes.contains(shard));
        for shard in others.copied().collect::<Vec<_>>() {
            if self.chaos_dice.chance(800_000) {
                self.ask_vote(attempt, shard, PrepareClaim { homes: given.clone(), ..claim.clone() });
            }
        }
    }

    /// Tells one participant that the votes at hand decide, all of them or not, and asks another to abort.
    fn contradict(&mut self, votes: &BTreeMap<ShardId, VoteProof>, attempt: AttemptId) {
        let Some(descriptor) = self.lies.under_way.get(&attempt).map(|lie| (*lie.claim.descriptor).clone()) else {
            return;
        };
        let participants: Vec<ShardId> = descriptor.participants.keys().copied().collect();
        if self.chaos_dice.chance(500_000)
            && let Some(shard) = self.chaos_dice.pick(&participants).copied()
        {
            let claim = DecisionClaim { descriptor: descriptor.clone(), votes: votes.values().cloned().collect() };
            self.call_unrecorded(shard, Request::Decide(vec![claim]));
        }
        if self.chaos_dice.chance(500_000)
            && let Some(shard) = self.chaos_dice.pick(&participants).copied()
        {
            self.call_unrecorded(shard, Request::RequestAbort(vec![(&descriptor).into()]));
        }
    }
}
