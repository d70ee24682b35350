//! Two shards with one validator each, and what they certify.

use commit::{Descriptor, Verdict, Vote, VoteProof};
use primitives::{Digest, Epoch, Height, NetworkId, ShardId, Time};
use proof::{
    Certificate, HEADER_VERSION, Header, Leaf, LeafKind, Message, Outbox, Receipt, ReceiptVerifier, SecretKey, Signer,
    ValidatorSet, domain_of,
};

/// The network of all tests.
pub(crate) const NETWORK: NetworkId = NetworkId(1337);

fn secret(shard: ShardId) -> SecretKey {
    SecretKey::from_bytes(&[shard.0 as u8 + 1; 32]).unwrap()
}

/// The validators of `shard`.
pub(crate) fn validators(shard: ShardId) -> ValidatorSet {
    ValidatorSet::new(Epoch(1), vec![secret(shard).public()]).unwrap()
}

/// Checks receipts of shards 0 and 1.
pub(crate) fn verifier() -> ReceiptVerifier {
    ReceiptVerifier::with(NETWORK, [0, 1].map(|shard| (ShardId(shard), validators(ShardId(shard)))))
}

/// An attempt on shards 0 and 1; 0 is the home.
pub(crate) fn descriptor() -> Descriptor {
    Descriptor {
        network: NETWORK,
        participants: [(ShardId(0), Epoch(1)), (ShardId(1), Epoch(1))].into(),
        homes: [ShardId(0)].into(),
        payload: Digest::new([9; 32]),
        number: 1,
        deadline: Time(1_700_000_000_000),
    }
}

/// Block 1 of `shard`, which says `leaf`.
pub(crate) fn block(shard: ShardId, leaf: Leaf) -> (Header, Certificate, Receipt) {
    let outbox = Outbox::new(NETWORK, shard, Height(1), vec![leaf]).unwrap();
    let header = Header {
        version: HEADER_VERSION,
        network: NETWORK,
        shard,
        epoch: Epoch(1),
        height: Height(1),
        parent: Header::genesis_parent(NETWORK, shard),
        time: Time(1_600_000_000_000),
        settled_through: Time(0),
        ended_before: 0,
        log_root: Digest::new([1; 32]),
        outcome_root: Digest::new([2; 32]),
        outbox_root: outbox.root(),
        outbox_count: outbox.count(),
        history_root: Header::genesis_history_root(NETWORK, shard),
        state_root: Digest::new([3; 32]),
        state_height: Height(0),
    };
    let certificate = Signer::new(secret(shard), &validators(shard)).unwrap().certify(&header).unwrap();
    let receipt = outbox.receipt(0, &header, &certificate).unwrap();
    (header, certificate, receipt)
}

/// The receipt of a leaf that `shard` says.
pub(crate) fn receipt(shard: ShardId, kind: LeafKind, body: Vec<u8>) -> Receipt {
    block(shard, Leaf { kind, body }).2
}

/// What `voter` says in the name of `vote.shard`.
pub(crate) fn said(voter: ShardId, vote: Vote) -> VoteProof {
    let evidence = receipt(voter, LeafKind::Vote, primitives::encode(&vote)).to_bytes();
    VoteProof { vote, evidence }
}

/// The vote of `shard` on `descriptor`.
pub(crate) fn vote(descriptor: &Descriptor, shard: ShardId, verdict: Verdict) -> VoteProof {
    said(shard, Vote { attempt: descriptor.id(), shard, epoch: Epoch(1), verdict })
}

/// A message from shard 0 to shard 1.
pub(crate) fn message() -> Message {
    Message {
        nonce: 5,
        origin: domain_of(NETWORK, ShardId(0)),
        sender: alloy_primitives::B256::left_padding_from(&[0x11; 20]),
        destination: domain_of(NETWORK, ShardId(1)),
        recipient: alloy_primitives::B256::left_padding_from(&[0x22; 20]),
        body: b"hello".to_vec(),
        gas_limit: 100_000,
        deadline: Time(1_700_000_000_000),
        value: alloy_primitives::U256::from(9),
    }
}
