//! Claims become facts only if every part of them holds, and canonical bytes have one form.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the other test binary")]
mod support;

use dovetail_wire as wire;

use commit::{Decision, Descriptor, Refusal, Undecided, Verdict, Vote};
use primitives::{Epoch, ShardId, Verified};
use proof::{LeafKind, Receipt};
use proptest::prelude::*;
use prost::Message as _;
use shard::{VoteError, VoteVerifier};
use support::{descriptor, message, receipt, said, verifier, vote};
use wire::codec::decode;
use wire::convert::{ConvertError, canonical};
use wire::limits::RECEIPT_BYTES_MAX;
use wire::participant::{DecisionClaim, Prepare};
use wire::proto::v1;

fn no() -> Verdict {
    Verdict::No(Refusal::Busy)
}

#[test]
fn a_certified_vote_is_a_fact() {
    let (verifier, descriptor) = (verifier(), descriptor());
    let proof = vote(&descriptor, ShardId(1), Verdict::Yes);
    assert_eq!(*Verified::by(&VoteVerifier::new(&verifier), proof.clone()).unwrap(), proof);
}

#[test]
fn a_vote_in_another_shards_name_is_refused() {
    let (verifier, descriptor) = (verifier(), descriptor());
    let forged =
        said(ShardId(0), Vote { attempt: descriptor.id(), shard: ShardId(1), epoch: Epoch(1), verdict: Verdict::Yes });
    let refused = Verified::by(&VoteVerifier::new(&verifier), forged);
    assert_eq!(refused, Err(VoteError::Shard { named: ShardId(1), said: ShardId(0) }));
}

#[test]
fn a_vote_of_another_epoch_is_refused() {
    let (verifier, descriptor) = (verifier(), descriptor());
    let vote = Vote { attempt: descriptor.id(), shard: ShardId(1), epoch: Epoch(2), verdict: Verdict::Yes };
    let refused = Verified::by(&VoteVerifier::new(&verifier), said(ShardId(1), vote));
    assert_eq!(refused, Err(VoteError::Epoch { named: Epoch(2), certified: Epoch(1) }));
}

#[test]
fn evidence_for_another_vote_is_refused() {
    let (verifier, descriptor) = (verifier(), descriptor());
    let mut proof = vote(&descriptor, ShardId(1), no());
    proof.vote.verdict = Verdict::Yes;
    assert_eq!(Verified::by(&VoteVerifier::new(&verifier), proof), Err(VoteError::OtherVote));
}

#[test]
fn evidence_of_another_kind_is_refused_before_its_signature_is_checked() {
    let verifier = verifier();
    let mut proof = vote(&descriptor(), ShardId(1), Verdict::Yes);
    let mut receipt = receipt(ShardId(1), LeafKind::Outcome, primitives::encode(&proof.vote));
    receipt.certificate.signatures.clear();
    proof.evidence = receipt.to_bytes();
    let refused = Verified::by(&VoteVerifier::new(&verifier), proof);
    assert_eq!(refused, Err(VoteError::Kind { actual: LeafKind::Outcome }));
}

#[test]
fn all_yes_votes_decide_to_commit_and_one_no_to_abort() {
    let (verifier, descriptor) = (verifier(), descriptor());
    let verifier = VoteVerifier::new(&verifier);
    let yes = |shard| vote(&descriptor, ShardId(shard), Verdict::Yes);
    let commit = verifier.decision(descriptor.clone(), vec![yes(0), yes(1)]).unwrap();
    assert_eq!(commit.decide(), Decision::Commit);
    assert_eq!(
        DecisionClaim::from(&commit),
        DecisionClaim { descriptor: descriptor.clone(), votes: vec![yes(0), yes(1)] }
    );
    let abort = verifier.decision(descriptor.clone(), vec![vote(&descriptor, ShardId(1), no())]).unwrap();
    assert_eq!(abort.decide(), Decision::Abort);
    let open = verifier.decision(descriptor.clone(), vec![yes(0)]);
    assert_eq!(open, Err(VoteError::Undecided(Undecided { votes: 1, participants: 2 })));
}

#[test]
fn a_vote_on_another_attempt_has_no_place_in_a_decision() {
    let (verifier, descriptor) = (verifier(), descriptor());
    let other = Descriptor { number: 2, ..descriptor.clone() };
    let votes = vec![vote(&descriptor, ShardId(0), Verdict::Yes), vote(&other, ShardId(1), Verdict::Yes)];
    let refused = VoteVerifier::new(&verifier).decision(descriptor.clone(), votes);
    assert_eq!(refused, Err(VoteError::OtherAttempt { expected: descriptor.id(), actual: other.id() }));
}

fn prepare() -> Prepare {
    let descriptor = descriptor();
    let homes = vec![vote(&descriptor, ShardId(0), Verdict::Yes)];
    Prepare { descriptor, payload: vec![1, 2, 3].into(), homes }
}

#[test]
fn a_prepare_survives_the_wire() {
    let bytes = v1::PrepareRequest { prepares: vec![prepare().into()] }.encode_to_vec();
    let mut request: v1::PrepareRequest = decode(&bytes).unwrap();
    assert_eq!(Prepare::try_from(request.prepares.remove(0)), Ok(prepare()));
}

/// One length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    // An over-long varint: the same length, one byte more than it needs.
    bytes.extend([content.len() as u8 | 0x80, (content.len() >> 7) as u8 | 0x80, 0x00]);
    bytes.extend(content);
    bytes
}

#[test]
fn other_protobuf_bytes_of_one_prepare_give_the_same_attempt() {
    let message = v1::Prepare::from(prepare());
    let usual = message.encode_to_vec();
    // Fields in another order, over-long varints, an unknown field: protobuf takes all that as the same message.
    let unusual = [
        field(15, b"later version"),
        field(3, &message.home_votes[0]),
        field(2, &message.payload),
        field(1, &message.descriptor),
    ]
    .concat();
    assert_ne!(usual, unusual);
    let taken = |bytes: &[u8]| Prepare::try_from(decode::<v1::Prepare>(bytes).unwrap()).unwrap();
    assert_eq!(taken(&usual), taken(&unusual));
    assert_eq!(taken(&unusual).descriptor.id(), descriptor().id());
}

#[test]
fn a_prepare_with_a_home_vote_of_another_kind_is_refused() {
    let mut message = v1::Prepare::from(prepare());
    message.home_votes = vec![receipt(ShardId(0), LeafKind::Outcome, vec![]).to_bytes().into()];
    assert!(matches!(Prepare::try_from(message), Err(ConvertError::Invalid { field: "home_votes", .. })));
}

proptest! {
    /// Whatever decodes has exactly the bytes it was decoded from: nothing that is hashed or signed has two forms.
    #[test]
    fn bytes_of_a_receipt_have_one_form(place in 0_usize..400, change in 1_u8..) {
        let mut bytes = receipt(ShardId(0), LeafKind::Vote, vec![7; 40]).to_bytes();
        let place = place % bytes.len();
        bytes[place] ^= change;
        if let Ok(receipt) = canonical::<Receipt>("receipt", &bytes, RECEIPT_BYTES_MAX) {
            prop_assert_eq!(receipt.to_bytes(), bytes);
        }
    }

    /// A changed receipt may still be a receipt, but never a fact.
    #[test]
    fn a_changed_receipt_is_never_believed(place in 0_usize..2000, change in 1_u8..) {
        let mut bytes = receipt(ShardId(0), LeafKind::Message, message().to_bytes()).to_bytes();
        let place = place % bytes.len();
        bytes[place] ^= change;
        let believed = canonical("receipt", &bytes, RECEIPT_BYTES_MAX)
            .is_ok_and(|receipt: Receipt| Verified::by(&verifier(), receipt).is_ok());
        prop_assert!(!believed);
    }

    /// No bytes make the bounds or the decoder panic.
    #[test]
    fn any_bytes_are_a_message_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<v1::PrepareRequest>(&bytes);
        let _ = decode::<v1::ReadStateResponse>(&bytes);
        let _ = decode::<v1::GetNetworkResponse>(&bytes);
    }
}
