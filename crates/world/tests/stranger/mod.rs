//! A stranger with a network connection: it plays coordinator and relay by the calls that anybody can make.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use commit::{Descriptor, Verdict, VoteProof};
use dovetail_world::{DecisionClaim, Done, PrepareClaim, Rejection, Request, Response, World};
use evm::{Payload, Prepared, execute};
use primitives::{Epoch, Millis, ShardId, encode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a stranger waits for an answer.
const PATIENCE: Millis = Millis(5_000);

/// How far ahead a stranger sets its deadlines.
pub const DEADLINE_AHEAD: Millis = Millis(10_000);

/// An attempt, with the votes that were collected on it.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub descriptor: Arc<Descriptor>,
    pub payload: Arc<[u8]>,
    pub votes: BTreeMap<ShardId, VoteProof>,
}

/// What an honest coordinator would prepare: the payload executed over the network as it is now.
pub fn attempt(world: &World, payload: &Payload, number: u32) -> Attempt {
    let recovered = world.checks().payload(payload.clone()).unwrap();
    let plan = world.plan();
    let executed = execute(&plan.params, &plan.placement, &recovered, &world.state()).unwrap();
    let descriptor = Descriptor {
        network: plan.params.network,
        participants: executed.participants.iter().map(|shard| (*shard, Epoch(1))).collect(),
        homes: executed.homes.clone(),
        payload: executed.digest(),
        number,
        deadline: world.now().after(DEADLINE_AHEAD),
    };
    let prepared = Prepared { payload: payload.clone(), witness: executed.witness, proofs: BTreeMap::new() };
    Attempt { descriptor: Arc::new(descriptor), payload: encode(&prepared).into(), votes: BTreeMap::new() }
}

/// Calls a shard and waits for its answers.
pub fn ask(world: &mut World, shard: ShardId, request: Request) -> Vec<Result<Done, Rejection>> {
    let call = world.call(shard, request);
    let limit = world.now().after(PATIENCE);
    assert!(world.run_until(limit, |world| world.answer(call).is_some()), "shard {shard} does not answer");
    match world.answer(call) {
        Some(Response::Done(items)) => items.clone(),
        other => panic!("no answers: {other:?}"),
    }
}

/// Calls a shard about one thing.
pub fn ask_one(world: &mut World, shard: ShardId, request: Request) -> Result<Done, Rejection> {
    let mut answers = ask(world, shard, request);
    assert_eq!(answers.len(), 1, "one answer to one item");
    answers.remove(0)
}

/// The vote in an answer, if it is one.
pub fn vote_of(answer: &Result<Done, Rejection>) -> Option<VoteProof> {
    match answer {
        Ok(Done::Voted { proof, .. }) => Some(proof.clone()),
        _ => None,
    }
}

impl Attempt {
    /// The request to vote on it, with the votes of the homes that were collected.
    pub fn prepare(&self) -> Request {
        let homes = self.descriptor.homes.iter().filter_map(|home| self.votes.get(home).cloned()).collect();
        Request::Prepare(vec![PrepareClaim {
            descriptor: Arc::clone(&self.descriptor),
            payload: Arc::clone(&self.payload),
            homes,
        }])
    }

    /// The request to vote no on it.
    pub fn abort_request(&self) -> Request {
        Request::RequestAbort(vec![(&*self.descriptor).into()])
    }

    /// The decision that `votes` are said to make.
    pub fn claim(&self, votes: Vec<VoteProof>) -> Request {
        Request::Decide(vec![DecisionClaim { descriptor: (*self.descriptor).clone(), votes }])
    }

    /// The decision that all collected votes make.
    pub fn decide(&self) -> Request {
        self.claim(self.votes.values().cloned().collect())
    }

    /// Its participants, homes first.
    pub fn order(&self) -> Vec<ShardId> {
        let homes = self.descriptor.homes.iter().copied();
        let others =
            self.descriptor.participants.keys().copied().filter(|shard| !self.descriptor.homes.contains(shard));
        homes.chain(others).collect()
    }

    /// Asks `shard` to vote, and keeps its vote.
    pub fn collect(&mut self, world: &mut World, shard: ShardId) -> Option<Verdict> {
        let answer = ask_one(world, shard, self.prepare());
        let proof = vote_of(&answer)?;
        let verdict = proof.vote.verdict.clone();
        self.votes.insert(shard, proof);
        Some(verdict)
    }

    /// Asks everybody to vote, homes first.
    pub fn collect_all(&mut self, world: &mut World) {
        for shard in self.order() {
            self.collect(world, shard);
        }
    }

    /// Tells everybody the decision that the collected votes make.
    pub fn finish(&self, world: &mut World) {
        for shard in self.order() {
            let answer = ask_one(world, shard, self.decide());
            assert!(matches!(answer, Ok(Done::Decided(_))), "shard {shard}: {answer:?}");
        }
    }

    /// The whole way of it.
    pub fn commit(&mut self, world: &mut World) {
        self.collect_all(world);
        self.finish(world);
    }
}
