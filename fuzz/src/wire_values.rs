//! Protobuf messages as values: what converts is sent as what it came from, and comes back as it was.

use crate::sample::{self, Speaker};
use evm::StateKey;
use primitives::{Epoch, Height, ShardId};
use proof::Leaf;
use prost::{Message, Name};
use std::fmt::Debug;
use wire::proto::v1;
use wire::{coordinator, participant, relay, shard, state};

/// One kind of message: the check, and a message to start from.
struct Kind {
    check: fn(&[u8]),
    sample: fn() -> Vec<u8>,
}

macro_rules! kinds {
    ($($message:ty => $value:ty, $sample:expr;)*) => {
        /// Messages that peers answer with, or that requests are made of.
        const KINDS: &[Kind] = &[$(Kind {
            check: check::<$message, $value>,
            sample: || { let sample: $message = $sample; sample.encode_to_vec() },
        },)*];
    };
}

kinds! {
    v1::StateKey => StateKey, StateKey::Account(sample::user(1).address()).into();
    v1::FreshValue => state::FreshValue, fresh().into();
    v1::AccountValue => evm::AccountState, evm::AccountState::with_balance(sample::ETHER).into();
    v1::OutcomeRecord => state::OutcomeRecord, v1::OutcomeRecord::default();
    v1::Prepare => participant::Prepare, prepare().into();
    v1::DecisionProof => participant::DecisionClaim, claim().into();
    v1::LifeEvent => coordinator::LifeEvent, v1::LifeEvent { number: 1, stage: 4, attempt: vec![1; 32].into(), ..Default::default() };
    v1::GetTransactionResponse => coordinator::Submission, submission();
    v1::ShardInfo => coordinator::ShardInfo, info().into();
    v1::GetNetworkResponse => coordinator::Network, network().into();
    v1::TraceEvent => relay::TraceEvent, v1::TraceEvent { stage: 2, detail: "sent".to_owned(), ..Default::default() };
    v1::TraceMessageResponse => relay::Trace, trace().into();
    v1::Route => relay::Route, v1::Route { source: 1, destination: 2, cursor: Some(v1::OutboxCursor::default()), ..Default::default() };
    v1::DeadLetter => relay::DeadLetter, v1::DeadLetter { message_id: vec![1; 32].into(), reason: "no".to_owned(), ..Default::default() };
    v1::GetStatusResponse => shard::ShardStatus, status();
    v1::ProveStateResponse => shard::StateProofs, proofs().into();
    v1::ListOutcomesResponse => shard::OutcomePage, v1::ListOutcomesResponse::default();
    v1::TellLogResponse => shard::LogPage, v1::TellLogResponse { next: Some(v1::OutcomePlace::default()), open_slot: 7, ..Default::default() };
    v1::Block => shard::CertifiedBlock, block().into();
    v1::GetOutboxResponse => shard::OutboxPage, outbox().into();
    v1::GetMessageResponse => shard::MessageLife, v1::GetMessageResponse { status: 1, detail: "ok".to_owned(), ..Default::default() };
}

fn speaker() -> Speaker {
    let mut speaker = Speaker::new(1, 4);
    let message = sample::message(ShardId(1), ShardId(0), 5);
    speaker.say(vec![Leaf { kind: proof::LeafKind::Message, body: message.to_bytes() }]);
    speaker
}

fn fresh() -> state::FreshValue {
    let key = StateKey::Slot(sample::user(1).address(), sample::ETHER);
    state::FreshValue { key, value: state::StateValue::Slot(sample::ETHER) }
}

fn claim() -> participant::DecisionClaim {
    let descriptor = sample::descriptor(2, 1);
    let votes = vec![Speaker::new(0, 1).vote(&descriptor, commit::Verdict::Yes)];
    participant::DecisionClaim { descriptor, votes }
}

fn prepare() -> participant::Prepare {
    let participant::DecisionClaim { descriptor, votes } = claim();
    participant::Prepare { descriptor, payload: vec![1, 2, 3].into(), homes: votes }
}

fn submission() -> v1::GetTransactionResponse {
    let last = v1::LifeEvent { number: 2, stage: 7, ..Default::default() };
    let outcome = primitives::encode(&crate::payloads::effects().outcomes[0]);
    let outcomes = vec![v1::TransactionOutcome { outcome: outcome.into(), ..Default::default() }];
    v1::GetTransactionResponse {
        last: Some(last),
        participants: vec![0, 1],
        outcomes,
        rejection: None,
        decision: Some(claim().into()),
    }
}

fn info() -> coordinator::ShardInfo {
    coordinator::ShardInfo {
        shard: ShardId(1),
        endpoint: "http://a:1".to_owned(),
        validators: sample::set(ShardId(1), 2),
    }
}

fn network() -> coordinator::Network {
    let placement = evm::Placement::new(1, 2, [(sample::user(1).address(), ShardId(1))].into()).expect("sound");
    coordinator::Network { params: sample::params(), placement, shards: vec![info()] }
}

fn trace() -> relay::Trace {
    relay::Trace { message: sample::message(ShardId(1), ShardId(0), 5), events: Vec::new() }
}

fn status() -> v1::GetStatusResponse {
    let status = shard::ShardStatus {
        network: sample::NETWORK,
        shard: ShardId(1),
        validators: sample::set(ShardId(1), 2),
        head: Height(1),
        head_time: sample::START,
        attested: sample::START,
        open: primitives::Slot(3),
        history: primitives::Slot(1),
        clock: Some(sample::START),
        header: Some(speaker().blocks[0].0.clone()),
        placement_version: 1,
        environments: evm::Environments::Slots,
        terms: shard::Terms { digest: sample::digest("terms"), text: "slots of 250 ms".to_owned() },
    };
    assert_eq!(status.validators.epoch(), Epoch(1));
    status.into()
}

fn proofs() -> shard::StateProofs {
    let shard::CertifiedBlock { header, certificate } = block();
    let proof = shard::StateProof { value: vec![1], proof: vec![2, 3] };
    shard::StateProofs { header, certificate, proofs: vec![proof] }
}

fn block() -> shard::CertifiedBlock {
    let (header, certificate, _) = speaker().blocks[0].clone();
    shard::CertifiedBlock { header, certificate }
}

fn outbox() -> shard::OutboxPage {
    let place = state::LeafPlace { height: Height(1), index: 0 };
    shard::OutboxPage {
        leaves: vec![shard::OutboxLeaf { place, receipt: speaker().receipt(Height(1), 0) }],
        next: place,
        head: Height(1),
    }
}

/// What decodes within its bounds and converts, converts back to a message of the same value.
fn check<M, V>(bytes: &[u8])
where
    M: Message + Name + Default + From<V>,
    V: TryFrom<M> + Clone + PartialEq + Debug,
{
    let Ok(message) = wire::codec::decode::<M>(bytes) else { return };
    let Ok(value) = V::try_from(message) else { return };
    let again = wire::codec::decode::<M>(&M::from(value.clone()).encode_to_vec());
    let again = again.expect("what we send is within the bounds of what we take");
    assert_eq!(V::try_from(again).ok(), Some(value));
}

/// A message by the first byte.
pub fn wire_values(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let kind = &KINDS[usize::from(*first) % KINDS.len()];
    (kind.check)(bytes);
    let mut choice = crate::choice::Choice::new(bytes);
    (kind.check)(&choice.edited(&(kind.sample)()));
}

pub(crate) fn wire_values_seeds() -> Vec<Vec<u8>> {
    let seed = |(place, kind): (usize, &Kind)| [&[place as u8], &(kind.sample)()[..]].concat();
    KINDS.iter().enumerate().map(seed).collect()
}
