//! Votes and decisions: only votes that were cast count, and only what they decide is decided (R1, R3, R9).

use crate::choice::Choice;
use crate::sample::{self, Speaker};
use commit::{Decision, Descriptor, Refusal, Verdict, VoteProof};
use primitives::{Epoch, ShardId, Time, Verified, Verifier};
use proof::ReceiptVerifier;
use prost::Message as _;
use shard::VoteVerifier;
use std::sync::LazyLock;
use wire::participant::DecisionClaim;
use wire::proto::v1;

/// Three attempts: one that all vote yes on, one with a no, one without its last vote.
struct Genuine {
    verifier: ReceiptVerifier,
    descriptors: [Descriptor; 3],
    votes: Vec<VoteProof>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let mut speakers = [Speaker::new(0, 1), Speaker::new(1, 4), Speaker::new(2, 1)];
    let descriptors = [1, 2, 3].map(|number| sample::descriptor(3, number));
    let [all_yes, one_no, open] = &descriptors;
    let mut votes = Vec::new();
    for speaker in &mut speakers {
        votes.push(speaker.vote(all_yes, Verdict::Yes));
        let no = Verdict::No(Refusal::Stale);
        votes.push(speaker.vote(one_no, if speaker.id == ShardId(1) { no } else { Verdict::Yes }));
        if speaker.id != ShardId(2) {
            votes.push(speaker.vote(open, Verdict::Yes));
        }
    }
    Genuine { verifier: sample::verifier(&speakers), descriptors, votes }
});

/// Bytes that claim to be the receipt of a vote: the input as it is, and a genuine one changed.
pub fn vote(data: &[u8]) {
    check_vote(data.to_vec());
    let mut choice = Choice::new(data);
    let base = &choice.of(&GENUINE.votes).evidence;
    let edited = choice.edited(base);
    assert!(!check_vote(edited.clone()) || edited == *base, "a vote was changed and still counts");
    check_claim(&mut choice);
}

fn check_vote(evidence: Vec<u8>) -> bool {
    let Ok(proof) = VoteVerifier::new(&GENUINE.verifier).verify(evidence) else { return false };
    assert!(GENUINE.votes.contains(&proof), "nobody cast {proof:?}");
    let again = Verified::by(&VoteVerifier::new(&GENUINE.verifier), proof.clone());
    assert_eq!(again.as_deref(), Ok(&proof), "a vote that its evidence shows");
    true
}

/// A vote that claims something else than its evidence says.
fn check_claim(choice: &mut Choice<'_>) {
    let mut claim = choice.of(&GENUINE.votes).clone();
    match choice.below(4) {
        0 => claim.vote.shard = ShardId(choice.number() as u32),
        1 => claim.vote.epoch = Epoch(choice.number()),
        2 => claim.vote.verdict = Verdict::Yes,
        _ => claim.vote.attempt = choice.of(&GENUINE.descriptors).id(),
    }
    let is_cast = GENUINE.votes.contains(&claim);
    assert_eq!(VoteVerifier::new(&GENUINE.verifier).verify(claim).is_ok(), is_cast, "evidence of another vote");
}

/// A decision: a protobuf message from the input, and one put together from genuine votes as the input says.
pub fn decision(data: &[u8]) {
    if let Ok(message) = wire::codec::decode::<v1::DecisionProof>(data)
        && let Ok(claim) = DecisionClaim::try_from(message)
    {
        check_decision(claim);
    }
    let mut choice = Choice::new(data);
    let descriptor = edited_descriptor(&mut choice);
    let votes = (0..choice.below(8)).map(|_| choice.of(&GENUINE.votes).clone()).collect();
    check_decision(DecisionClaim { descriptor, votes });
}

/// A genuine descriptor, often with one field changed.
fn edited_descriptor(choice: &mut Choice<'_>) -> Descriptor {
    let mut descriptor = choice.of(&GENUINE.descriptors).clone();
    match choice.below(12) {
        0 => drop(descriptor.participants.pop_last()),
        1 => drop(descriptor.participants.pop_first()),
        2 => drop(descriptor.participants.insert(ShardId(choice.number() as u32), Epoch(1))),
        3 => drop(descriptor.homes.insert(ShardId(choice.number() as u32))),
        4 => descriptor.number = choice.number() as u32,
        5 => descriptor.deadline = Time(choice.number()),
        6 => descriptor.network.0 = choice.number(),
        7 => descriptor.payload = sample::digest("another payload"),
        8 => drop(descriptor.participants.insert(ShardId(1), Epoch(choice.number()))),
        _ => {}
    }
    descriptor
}

fn check_decision(claim: DecisionClaim) {
    let bytes = v1::DecisionProof::from(claim.clone()).encode_to_vec();
    let message = wire::codec::decode::<v1::DecisionProof>(&bytes);
    if claim.descriptor.check().is_ok() {
        assert_eq!(message.map(DecisionClaim::try_from), Ok(Ok(claim.clone())), "a claim survives its bytes");
    }
    let Ok(proof) = VoteVerifier::new(&GENUINE.verifier).decision(claim.descriptor, claim.votes) else { return };
    let [all_yes, one_no, _] = &GENUINE.descriptors;
    match proof.decide() {
        Decision::Commit => assert_eq!(proof.descriptor(), all_yes, "only one attempt has a yes of everybody"),
        Decision::Abort => assert_eq!(proof.descriptor(), one_no, "only one attempt has a no"),
    }
}

pub(crate) fn vote_seeds() -> Vec<Vec<u8>> {
    GENUINE.votes.iter().step_by(2).map(|vote| vote.evidence.clone()).collect()
}

pub(crate) fn decision_seeds() -> Vec<Vec<u8>> {
    let of = |descriptor: &Descriptor| {
        let votes = GENUINE.votes.iter().filter(|proof| proof.vote.attempt == descriptor.id()).cloned().collect();
        v1::DecisionProof::from(DecisionClaim { descriptor: descriptor.clone(), votes }).encode_to_vec()
    };
    GENUINE.descriptors.iter().map(of).collect()
}
