//! What the tests of this crate share: three shards, an attempt over them, votes believed because the test says so, and a
//! store in memory.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use dovetail_commit::{Descriptor, Participant, Verdict, Vote, VoteProof};
use primitives::{Digest, Domain, Epoch, NetworkId, Read, ShardId, Space, Time, Verified, Verifier, Write};
use std::collections::BTreeMap;
use std::convert::Infallible;

pub const DEADLINE: Time = Time(10_000);
pub const PAYLOAD: &[u8] = b"a swap";

pub fn payload_digest(payload: &[u8]) -> Digest {
    Domain::new("a payload of the tests").hash(payload)
}

/// Believes every vote: the tests are about what follows from believed votes.
struct Gullible;

impl Verifier<VoteProof> for Gullible {
    type Fact = VoteProof;
    type Error = Infallible;

    fn verify(&self, claim: VoteProof) -> Result<VoteProof, Infallible> {
        Ok(claim)
    }
}

/// The vote as a fact.
pub fn believed(vote: Vote) -> Verified<VoteProof> {
    match Verified::by(&Gullible, VoteProof { vote, evidence: Vec::new() }) {
        Ok(proof) => proof,
        Err(never) => match never {},
    }
}

pub fn epochs(shards: u32) -> BTreeMap<ShardId, Epoch> {
    (0..shards).map(|shard| (ShardId(shard), Epoch(1))).collect()
}

/// An attempt over shards 0 to `shards - 1`, with shard 0 as its home.
pub fn attempt(shards: u32) -> Descriptor {
    Descriptor {
        network: NetworkId(7),
        participants: epochs(shards),
        homes: [ShardId(0)].into(),
        payload: payload_digest(PAYLOAD),
        number: 1,
        deadline: DEADLINE,
    }
}

/// Shard `shard` of a network of `shards`.
pub fn participant(shard: u32, shards: u32) -> Participant {
    Participant::new(NetworkId(7), ShardId(shard), epochs(shards))
}

pub fn vote(descriptor: &Descriptor, shard: u32, verdict: Verdict) -> Vote {
    Vote { attempt: descriptor.id(), shard: ShardId(shard), epoch: Epoch(1), verdict }
}

pub fn yes(descriptor: &Descriptor, shard: u32) -> Verified<VoteProof> {
    believed(vote(descriptor, shard, Verdict::Yes))
}

pub fn no(descriptor: &Descriptor, shard: u32) -> Verified<VoteProof> {
    believed(vote(descriptor, shard, Verdict::No(dovetail_commit::Refusal::Stale)))
}

/// An ordered store in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory(BTreeMap<(Space, Vec<u8>), Vec<u8>>);

impl Memory {
    pub fn write(&mut self, writes: &[Write]) {
        for write in writes.iter().cloned() {
            match write {
                Write::Put { space, key, value } => self.0.insert((space, key), value),
                Write::Delete { space, key } => self.0.remove(&(space, key)),
            };
        }
    }

    pub fn count(&self, space: Space) -> usize {
        self.0.keys().filter(|(at, _)| *at == space).count()
    }
}

impl Read for Memory {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(&(space, key.to_vec())).cloned()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0
            .range((space, from.to_vec())..)
            .take_while(|((at, _), _)| *at == space)
            .filter(|((_, key), _)| key.starts_with(prefix))
            .take(count_max)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// A stream of numbers that depends on its seed alone (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
