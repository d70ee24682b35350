//! Canonical bytes of every public type: what decodes is encoded to the very bytes it was decoded from.

use crate::choice::Choice;
use crate::sample::{self, Speaker};
use alloy_primitives::{Address, B256, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{AccountState, FeesKey, StateKey};
use primitives::{AttemptId, Epoch, Height, ShardId, decode, encode};
use proof::{Delivery, DeliveryStatus, Leaf, LeafKind};
use std::fmt::Debug;
use std::sync::LazyLock;

/// Most bytes that are decoded.
const BYTES_MAX: usize = 1 << 20;

/// One type: its name for a person, a value of it in bytes, and the check.
struct Type {
    #[cfg_attr(not(test), allow(dead_code, reason = "told when a test fails"))]
    name: &'static str,
    sample: fn() -> Vec<u8>,
    check: fn(&[u8]),
}

macro_rules! types {
    ($($type:ty = $sample:expr;)*) => {
        /// Every public type with canonical bytes.
        const TYPES: &[Type] = &[$(Type {
            name: stringify!($type),
            sample: || { let sample: $type = $sample; encode(&sample) },
            check: check::<$type>,
        },)*];
    };
}

types! {
    // primitives
    primitives::Digest = sample::digest("x");
    primitives::AttemptId = attempt();
    primitives::Time = sample::START;
    // proof
    proof::Header = speaker().blocks[0].0.clone();
    proof::Certificate = speaker().blocks[0].1.clone();
    proof::Receipt = speaker().receipt_through(Height(1), 0, Height(2));
    proof::Equivocation = proof::Equivocation { first: block(0), second: block(1) };
    proof::ValidatorSet = sample::set(ShardId(1), 4);
    proof::PossessionProof = sample::secrets(ShardId(1), 1)[0].prove_possession(sample::NETWORK);
    proof::Leaf = Leaf { kind: LeafKind::Vote, body: b"yes".to_vec() };
    proof::Message = message();
    proof::Delivery = delivery();
    // commit
    commit::Descriptor = sample::descriptor(3, 1);
    commit::VoteProof = speaker().vote(&sample::descriptor(2, 1), commit::Verdict::Yes);
    commit::Vote = vote();
    commit::Refusal = commit::Refusal::invalid(7, "no funds");
    commit::Rejection = commit::Rejection::UnknownShard { shard: ShardId(9) };
    commit::participant::Record = commit::participant::Record::Prepared { descriptor: sample::descriptor(2, 1) };
    // evm
    evm::Payload = sample::payload(sample::transactions());
    evm::Prepared = crate::payloads::prepared();
    evm::Witness = crate::payloads::prepared().witness;
    evm::Effects = crate::payloads::effects();
    evm::NetworkParams = sample::params();
    evm::Placement = evm::Placement::new(1, 3, [(Address::ZERO, ShardId(2))].into()).expect("sound");
    evm::StateKey = StateKey::Fees(FeesKey { shard: ShardId(1), beneficiary: Address::ZERO });
    evm::AccountState = AccountState::with_balance(U256::from(3));
    evm::SystemTransaction = evm::SystemTransaction::Burn { account: Address::ZERO, value: U256::from(1) };
    evm::BlockEnvironment = sample::params().block_of(primitives::Slot(5));
    // shard
    shard::Entry = shard::Entry::Voted { attempt: attempt(), yes: true };
    shard::LeafPlace = place();
    shard::Tip = shard::Tip { height: Height(2), digest: sample::digest("tip"), time: sample::START };
    shard::OutcomeLeaf = outcome_leaf();
    shard::OutcomeRecord = outcome_record();
    shard::AttemptRecord = shard::AttemptRecord { record: refused(), vote: place(), decided: Some(Height(4)) };
    shard::SentRecord = shard::SentRecord { message: message(), leaf: place(), time: sample::START, end: Some(end()) };
    shard::ConsumedRecord = shard::ConsumedRecord { message: message(), delivery: delivery(), leaf: place(), time: sample::START };
    shard::Applied = applied();
    shard::ValueTotals = shard::ValueTotals::default();
    // relay
    relay::Cursor = relay::Cursor { height: Height(3), index: 4 };
    relay::Event = event();
    relay::Life = relay::Life::Ended;
}

fn speaker() -> Speaker {
    let mut speaker = Speaker::new(1, 4);
    for _ in 0..2 {
        speaker.say(vec![Leaf { kind: LeafKind::Message, body: message().to_bytes() }]);
    }
    speaker
}

fn block(place: usize) -> (proof::Header, proof::Certificate) {
    let speaker = speaker();
    (speaker.blocks[place].0.clone(), speaker.blocks[place].1.clone())
}

fn attempt() -> AttemptId {
    sample::descriptor(2, 1).id()
}

fn message() -> proof::Message {
    sample::message(ShardId(1), ShardId(0), 5)
}

fn delivery() -> Delivery {
    Delivery::of(&message(), DeliveryStatus::Failed, b"reverted", 30_000)
}

fn vote() -> commit::Vote {
    let verdict = commit::Verdict::No(commit::Refusal::Conflict { holder: attempt() });
    commit::Vote { attempt: attempt(), shard: ShardId(1), epoch: Epoch(1), verdict }
}

fn refused() -> commit::participant::Record {
    commit::participant::Record::Refused { vote: vote(), deadline: sample::START }
}

fn place() -> shard::LeafPlace {
    shard::LeafPlace { height: Height(3), index: 1 }
}

fn end() -> shard::Acknowledgement {
    let (delivery, handler) = (delivery(), shard::HandlerEnd::Ran);
    shard::Acknowledgement { delivery, height: Height(5), time: sample::START, handler }
}

fn outcome_leaf() -> shard::OutcomeLeaf {
    shard::OutcomeLeaf {
        transaction: B256::repeat_byte(1),
        attempt: Some(attempt()),
        status: evm::Status::Success,
        gas_used: 21_000,
        outcome: sample::digest("outcome"),
    }
}

fn outcome_record() -> shard::OutcomeRecord {
    shard::OutcomeRecord {
        transaction: B256::repeat_byte(1),
        bytes: sample::transactions().remove(2).into(),
        sender: Address::repeat_byte(2),
        outcome: crate::payloads::effects().outcomes.remove(0),
        number: 7,
        shown: primitives::Slot(7),
        height: Height(3),
        index: 0,
        time: sample::START,
        leaf: place(),
        attempt: None,
        participants: vec![ShardId(1)],
        called: None,
    }
}

fn applied() -> shard::Applied {
    static APPLIED: LazyLock<shard::Applied> = LazyLock::new(crate::shards::applied);
    APPLIED.clone()
}

fn event() -> relay::Event {
    relay::Event { time: sample::START, stage: relay::Stage::Sent, attempt: 2, detail: "refused".to_owned() }
}

/// One encoding for a value: bytes that decode are what their value encodes to, and that decodes to the value.
fn check<T: BorshSerialize + BorshDeserialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = decode::<T>(bytes, BYTES_MAX) else { return };
    assert_eq!(encode(&value), bytes, "a second encoding of {value:?}");
    assert_eq!(decode::<T>(bytes, BYTES_MAX), Ok(value));
}

/// A type by the first byte, and its bytes: as they come, and a value of it changed as they say.
pub fn canonical(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let of = &TYPES[usize::from(*first) % TYPES.len()];
    (of.check)(bytes);
    let mut choice = Choice::new(bytes);
    (of.check)(&choice.edited(&(of.sample)()));
    identities(bytes);
}

/// Values with ids of their own: different values, different ids.
fn identities(bytes: &[u8]) {
    if let Ok(message) = proof::Message::from_bytes(bytes) {
        let packed = proof::Message::from_packed(&message.packed(), message.gas_limit, message.deadline, message.value);
        assert_eq!(packed.as_ref(), Ok(&message), "a message survives Hyperlane's bytes");
        assert_eq!(message.id(), packed.unwrap_or_else(|_| self::message()).id());
    }
    let other = proof::Message::from_packed(bytes, 1, sample::START, U256::ZERO);
    if let Ok(message) = other {
        assert_eq!(message.packed(), bytes, "Hyperlane's bytes are one encoding");
        assert_eq!(proof::Message::from_bytes(&message.to_bytes()), Ok(message));
    }
}

pub(crate) fn canonical_seeds() -> Vec<Vec<u8>> {
    let seed = |(place, of): (usize, &Type)| [&[place as u8], &(of.sample)()[..]].concat();
    TYPES.iter().enumerate().map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_decodes_to_itself() {
        for of in TYPES {
            let bytes = (of.sample)();
            assert!(!bytes.is_empty(), "{}", of.name);
            (of.check)(&bytes);
        }
    }

    #[test]
    #[should_panic(expected = "a second encoding")]
    fn a_type_with_two_encodings_is_caught() {
        /// Any byte but zero is true.
        #[derive(Debug, PartialEq, BorshSerialize)]
        struct Lax(bool);
        impl BorshDeserialize for Lax {
            fn deserialize_reader<R: std::io::Read>(reader: &mut R) -> std::io::Result<Self> {
                Ok(Self(u8::deserialize_reader(reader)? != 0))
            }
        }
        check::<Lax>(&[2]);
    }
}
