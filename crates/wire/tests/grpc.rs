//! Servers and clients of all services over loopback TCP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the other test binary")]
mod support;

use dovetail_wire as wire;

use alloy_primitives::{Address, B256, U256, keccak256};
use commit::{Descriptor, Refusal, Verdict};
use evm::{
    AccountState, Data, Environment, Environments, Funding, NetworkParams, Outcome, Payload, Placement, Spec, StateKey,
    Status, SystemTransaction,
};
use futures_util::StreamExt;
use primitives::{AttemptId, Digest, Height, Millis, ShardId, Slot, Time};
use proof::{DeliveryStatus, ForeignReceipt, Leaf, LeafKind, MessageId, Receipt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use support::{NETWORK, block, descriptor, message, receipt, validators, vote};
use tokio::sync::oneshot;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use wire::client::{ClientSettings, Connection, Deadlines};
use wire::coordinator::{
    BundleAccepted, CoordinatorApi, CoordinatorClient, LifeEvent, LifeStage, Network, ShardInfo, Submission,
    SubmissionId,
};
use wire::hops::{Hop, Sight, Standing, Step};
use wire::limits::{PREPARED_BYTES_MAX, PREPARES_COUNT_MAX};
use wire::operator::{Letter, OperatorApi, OperatorClient, Way};
use wire::participant::{AbortRequest, Answers, DecisionClaim, ParticipantApi, ParticipantClient, Prepare, VoteAnswer};
use wire::proto::v1;
use wire::relay::{DeadLetter, RelayApi, RelayClient, Route, RouteKey, Taken, Trace, TraceEvent, TraceStage};
use wire::server::{Access, Listener, ServerBuilder, ServerSettings};
use wire::shard::{
    CertifiedBlock, Delivered, HotKey, LockCounts, LogPage, Mark, MessageLife, Novelty, OldLeaves, OutboxLeaf,
    OutboxPage, OutcomeCursor, OutcomePage, OutcomePlace, OutcomeQuery, OwnPayload, ShardApi, ShardClient, ShardStatus,
    StateProof, StateProofs, StateRead, Terms, ToldBlock, ToldOutcome, ToldPage,
};
use wire::state::{FreshValue, LeafPlace, OutcomeRecord, ReadValue, StateValue};
use wire::{Reason, Rejection};

/// A block that is told from `from` on: a signed transaction, and one of the protocol's own.
fn told(from: OutcomePlace) -> ToldPage {
    let (header, certificate, _) = block(ShardId(0), Leaf { kind: LeafKind::Vote, body: vec![1] });
    let cause = shard::Cause::Delivery(message().id());
    let own = OwnPayload { cause, payload: Payload::signed(evm::Environment::Slot(Slot(3)), vec![1, 2]) };
    let outcomes =
        vec![ToldOutcome { record: record(), own: None }, ToldOutcome { record: record(), own: Some(Box::new(own)) }];
    let blocks = vec![ToldBlock { header, outcomes }];
    ToldPage { blocks, certificate: Some(certificate), next: Some(from), head: Height(9) }
}

/// All services at once, answering from constants.
struct Everything;

fn attempt() -> AttemptId {
    descriptor().id()
}

fn outcome() -> Outcome {
    Outcome {
        transaction: Some(B256::repeat_byte(1)),
        kind: 2,
        status: Status::Success,
        gas_used: 21_000,
        gas_price: 7,
        output: Data::default(),
        logs: Vec::new(),
        created: None,
    }
}

fn record() -> OutcomeRecord {
    OutcomeRecord {
        transaction: B256::repeat_byte(1),
        bytes: vec![2].into(),
        sender: Address::repeat_byte(3),
        outcome: outcome(),
        number: 4,
        shown: Slot(4),
        height: Height(1),
        index: 0,
        time: Time(5),
        leaf: LeafPlace { height: Height(1), index: 0 },
        attempt: Some(attempt()),
        participants: vec![ShardId(0), ShardId(1)],
        called: None,
    }
}

fn locks() -> LockCounts {
    let hot = |key| HotKey { key, count: 7 };
    let hottest = vec![hot(StateKey::Account(Address::repeat_byte(1))), hot(StateKey::Slot(Address::ZERO, U256::ONE))];
    LockCounts { keys_count: 3, holders_count: 2, waiting_count: 1, hottest }
}

fn own_call() -> SystemTransaction {
    SystemTransaction::Call {
        caller: Address::repeat_byte(4),
        target: Address::repeat_byte(5),
        input: vec![6].into(),
        gas_limit: 7,
        value: U256::from(8),
        funding: Funding::Minted,
    }
}

fn status() -> ShardStatus {
    let (header, ..) = block(ShardId(0), Leaf { kind: LeafKind::Vote, body: vec![1] });
    ShardStatus {
        network: NETWORK,
        shard: ShardId(0),
        validators: validators(ShardId(0)),
        head: Height(1),
        head_time: header.time,
        attested: Time(header.time.0 + 1),
        open: Slot(3),
        history: Slot(1),
        clock: Some(Time(7)),
        header: Some(header),
        placement_version: 1,
        environments: Environments::Slots,
        terms: Terms { digest: Digest::new([9; 32]), text: "slots of 250 ms".to_owned() },
    }
}

fn no(descriptor: &Descriptor) -> VoteAnswer {
    let key = StateKey::Account(Address::repeat_byte(1));
    let value = StateValue::Account(Some(AccountState::EMPTY));
    let proof = vote(descriptor, ShardId(0), Verdict::No(Refusal::Stale));
    VoteAnswer::Vote { proof, hint: vec![FreshValue { key, value }] }
}

fn decision() -> DecisionClaim {
    let descriptor = descriptor();
    let votes = [0, 1].map(|shard| vote(&descriptor, ShardId(shard), Verdict::Yes)).into();
    DecisionClaim { descriptor, votes }
}

impl ParticipantApi for Everything {
    async fn prepare(&self, prepares: Vec<Prepare>) -> Result<Answers<VoteAnswer>, Rejection> {
        let answer = |prepare: Prepare| match prepare.payload.len() {
            0 => Err(Rejection::new(Reason::WrongPayload, "an empty payload")),
            _ => Ok(no(&prepare.descriptor)),
        };
        Ok(prepares.into_iter().map(answer).collect())
    }

    async fn query_votes(&self, attempts: Vec<AttemptId>) -> Result<Answers<VoteAnswer>, Rejection> {
        let answer = |id| if id == attempt() { no(&descriptor()) } else { VoteAnswer::Unknown };
        Ok(attempts.into_iter().map(|id| Ok(answer(id))).collect())
    }

    async fn decide(&self, decisions: Vec<DecisionClaim>) -> Result<Answers<Height>, Rejection> {
        Ok(decisions.into_iter().map(|claim| Ok(Height(claim.votes.len() as u64))).collect())
    }

    async fn request_abort(&self, requests: Vec<AbortRequest>) -> Result<Answers<VoteAnswer>, Rejection> {
        Ok(requests.iter().map(|request| Ok(no(&request.descriptor))).collect())
    }
}

impl ShardApi for Everything {
    async fn status(&self) -> Result<ShardStatus, Rejection> {
        Ok(status())
    }

    async fn submit_local(&self, payloads: Vec<Payload>) -> Result<Answers<Vec<OutcomeRecord>>, Rejection> {
        let executed = |payload: Payload| match payload.environment {
            Environment::Slot(Slot(0)) => Err(Rejection::new(Reason::WrongEnvironment, "slot 0 is over")),
            _ => Ok(vec![record()]),
        };
        Ok(payloads.into_iter().map(executed).collect())
    }

    async fn read_state(
        &self,
        keys: Vec<StateKey>,
        code_hashes: BTreeSet<B256>,
        after: Option<Slot>,
    ) -> Result<StateRead, Rejection> {
        let value = |key: StateKey| match key {
            StateKey::Account(_) => StateValue::Account(None),
            StateKey::Slot(_, slot) => StateValue::Slot(slot),
            StateKey::Fees(_) => StateValue::Fees(U256::from(7)),
        };
        let values = keys.into_iter().map(|key| ReadValue { value: value(key), locked_by: Some(attempt()) });
        let code = Data::from(vec![0x60, 0x00]);
        let codes: BTreeMap<B256, Data> = [(keccak256(&*code), code)].into();
        Ok(StateRead {
            height: Height(after.map_or(1, |slot| slot.0)),
            time: Time(2),
            values: values.collect(),
            codes: codes.into_iter().filter(|(hash, _)| code_hashes.contains(hash)).collect(),
        })
    }

    async fn prove_state(&self, _: Address, slots: Vec<U256>) -> Result<StateProofs, Rejection> {
        let (header, certificate, _) = block(ShardId(0), Leaf { kind: LeafKind::Vote, body: vec![1] });
        let proof = StateProof { value: vec![1], proof: vec![2] };
        Ok(StateProofs { header, certificate, proofs: vec![proof; slots.len() + 1] })
    }

    async fn outcome(&self, transaction: B256) -> Result<OutcomeRecord, Rejection> {
        if transaction == record().transaction {
            return Ok(record());
        }
        Err(Rejection::new(Reason::NotFound, format!("no outcome of {transaction}")).with("transaction", transaction))
    }

    async fn own_call(&self, transaction: B256) -> Result<SystemTransaction, Rejection> {
        if transaction == record().transaction {
            return Ok(own_call());
        }
        Err(Rejection::new(Reason::NotFound, "no call of the protocol's own"))
    }

    async fn locks(&self) -> Result<LockCounts, Rejection> {
        Ok(locks())
    }

    async fn outcomes(&self, query: OutcomeQuery) -> Result<OutcomePage, Rejection> {
        let next = OutcomeCursor { shown: query.from, height: Height(1), index: query.count_max as u32 };
        Ok(OutcomePage { outcomes: vec![record()], next: Some(next), open: query.to.unwrap_or(Slot(7)) })
    }

    async fn tell_log(&self, from: OutcomePlace, count_max: usize) -> Result<LogPage, Rejection> {
        assert_eq!(count_max, wire::limits::OUTCOMES_COUNT_MAX);
        Ok(LogPage { told: told(from), open: Slot(7) })
    }

    async fn blocks(&self, from: Height, count_max: usize) -> Result<Vec<CertifiedBlock>, Rejection> {
        let (mut header, certificate, _) = block(ShardId(0), Leaf { kind: LeafKind::Vote, body: vec![1] });
        header.height = from;
        Ok(vec![CertifiedBlock { header, certificate }; count_max.min(1)])
    }

    async fn wait_block(&self, height: Height) -> Result<(), Rejection> {
        if height > Height(3) { std::future::pending().await } else { Ok(()) }
    }

    async fn outbox(
        &self,
        cursor: LeafPlace,
        count_max: usize,
        kinds: BTreeSet<LeafKind>,
        _: OldLeaves,
    ) -> Result<OutboxPage, Rejection> {
        let leaves = kinds
            .iter()
            .take(count_max)
            .map(|kind| OutboxLeaf { place: cursor, receipt: receipt(ShardId(0), *kind, vec![1]) });
        Ok(OutboxPage {
            leaves: leaves.collect(),
            next: LeafPlace { height: cursor.height.next(), index: 0 },
            head: cursor.height,
        })
    }

    async fn receipt(&self, kind: LeafKind, id: B256) -> Result<Receipt, Rejection> {
        Ok(receipt(ShardId(0), kind, id.to_vec()))
    }

    async fn message(&self, _: MessageId) -> Result<MessageLife, Rejection> {
        let mark = Some(Mark { height: Height(1), time: Time(2) });
        let status = Some(DeliveryStatus::Failed);
        Ok(MessageLife {
            message: Some(message()),
            dispatched: mark,
            delivered: None,
            acknowledged: mark,
            status,
            detail: "no".into(),
        })
    }

    async fn sighting(&self, shard: ShardId) -> Result<Option<CertifiedBlock>, Rejection> {
        let (header, certificate, _) = block(shard, Leaf { kind: LeafKind::Vote, body: vec![1] });
        Ok((shard == ShardId(1)).then_some(CertifiedBlock { header, certificate }))
    }

    async fn show_sighting(&self, newest: CertifiedBlock) -> Result<Height, Rejection> {
        Ok(newest.header.height)
    }

    async fn admit(&self, receipts: Vec<ForeignReceipt>) -> Result<Answers<Delivered>, Rejection> {
        let taken = |_| Ok(Delivered { novelty: Novelty::New, height: Height(2), receipt: None });
        Ok(receipts.into_iter().map(taken).collect())
    }

    async fn deliver(&self, receipts: Vec<Receipt>) -> Result<Answers<Delivered>, Rejection> {
        let taken = |receipt: Receipt| match receipt.leaf.kind {
            LeafKind::Message => Ok(Delivered { novelty: Novelty::New, height: Height(2), receipt: Some(receipt) }),
            LeafKind::Delivery => Ok(Delivered { novelty: Novelty::Already, height: Height(1), receipt: None }),
            LeafKind::Vote | LeafKind::Outcome => Err(Rejection::new(Reason::WrongLeaf, "not for an inbox")),
        };
        Ok(receipts.into_iter().map(taken).collect())
    }
}

fn event(number: u32, stage: LifeStage) -> LifeEvent {
    LifeEvent { number, time: Time(1), stage, attempt: Some(attempt()), shard: Some(ShardId(0)), detail: "yes".into() }
}

fn network() -> Network {
    let params = NetworkParams {
        network: NETWORK,
        genesis: Time(0),
        slot_length: Millis(500),
        base_fee: 7,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    };
    let shards = [0, 1].map(|shard| ShardInfo {
        shard: ShardId(shard),
        endpoint: "http://127.0.0.1:1".into(),
        validators: validators(ShardId(shard)),
    });
    Network { params, placement: Placement::new(1, 2, BTreeMap::new()).unwrap(), shards: shards.into() }
}

impl CoordinatorApi for Everything {
    async fn submit_transaction(&self, transaction: Data) -> Result<SubmissionId, Rejection> {
        Ok(keccak256(&*transaction))
    }

    async fn submit_bundle(&self, transactions: Vec<Data>) -> Result<BundleAccepted, Rejection> {
        let transactions = transactions.iter().map(|bytes| keccak256(&**bytes)).collect();
        Ok(BundleAccepted { id: B256::repeat_byte(9), transactions })
    }

    async fn submit_payload(&self, _: Payload) -> Result<SubmissionId, Rejection> {
        Err(Rejection::new(Reason::WrongEnvironment, "this network takes slots only"))
    }

    async fn wait_events(&self, _: SubmissionId, after: u32) -> Result<Vec<LifeEvent>, Rejection> {
        let life = [LifeStage::Accepted, LifeStage::Executed, LifeStage::Preparing, LifeStage::Committed];
        let events = (1..).zip(life).map(|(number, stage)| event(number, stage));
        Ok(events.skip(after as usize).take(2).collect())
    }

    async fn submission(&self, id: SubmissionId) -> Result<Submission, Rejection> {
        if id == B256::repeat_byte(0xff) {
            return Err(Rejection::new(Reason::NotFound, "never seen"));
        }
        Ok(Submission {
            last: event(4, LifeStage::Committed),
            participants: [ShardId(0), ShardId(1)].into(),
            outcomes: vec![outcome()],
            rejection: Some(Rejection::new(Reason::Stale, "at first")),
            decision: Some(decision()),
        })
    }

    async fn network(&self) -> Result<Network, Rejection> {
        Ok(network())
    }
}

const ROUTE: RouteKey = RouteKey { source: 1, destination: 2 };

fn route() -> Route {
    Route {
        key: ROUTE,
        paused: true,
        cursor: LeafPlace { height: Height(3), index: 4 },
        queued_count: 5,
        dead_count: 6,
        acknowledged_count: 7,
        oldest: Some(Time(4)),
        progress: Some(Time(8)),
        last_error: "unreachable".into(),
    }
}

fn dead_letter() -> DeadLetter {
    let message = MessageId(B256::repeat_byte(1));
    DeadLetter { message, route: ROUTE, attempts_count: 3, reason: "refused".into(), time: Time(9) }
}

fn trace() -> Trace {
    let event = TraceEvent { time: Time(1), stage: TraceStage::Retrying, attempt_number: 2, detail: "busy".into() };
    Trace { message: message(), events: vec![event] }
}

fn way() -> Way {
    Way {
        name: "in".into(),
        ends: "chain 31337 to every shard".into(),
        paused: Some("a drill".into()),
        waiting_count: 3,
        oldest: Millis(1_500),
        done_count: 4,
        moved: Some(Millis(0)),
        letters_count: 1,
        trouble: "fund it".into(),
    }
}

fn letter(seed: u64) -> Letter {
    let id = B256::from(U256::from(seed));
    let (message, proof) = (vec![1; 80], vec![2; 90]);
    Letter { id, way: "out".into(), tries_count: 3, why: "it reverted".into(), message, proof }
}

fn sight() -> Sight {
    let hop = |(step, state), transaction, block| Hop { step, state, transaction, block, block_hash: transaction };
    let hash = B256::repeat_byte(5);
    let hops = vec![
        hop((Step::Dispatched, Standing::Final), None, Some(0)),
        hop((Step::Processed, Standing::Reverted), Some(hash), Some(7)),
        hop((Step::Processed, Standing::Mined), Some(hash), Some(8)),
        hop((Step::Answered, Standing::UnderWay), Some(hash), None),
    ];
    Sight { chain_id: 31_337, hops, why: Some("it waits".into()) }
}

impl OperatorApi for Everything {
    async fn ways(&self) -> Result<Vec<Way>, Rejection> {
        Ok(vec![way(), Way { name: "0-1".into(), paused: None, moved: None, ..way() }])
    }

    async fn letters(&self, after: Option<B256>, count_max: usize) -> Result<Vec<Letter>, Rejection> {
        let after = after.map_or(0, |id| U256::from_be_bytes(id.0).to::<u64>());
        let bare = |seed| Letter { message: Vec::new(), proof: Vec::new(), ..letter(seed) };
        Ok((after + 1..=300).take(count_max).map(bare).collect())
    }

    async fn letter(&self, id: B256) -> Result<Letter, Rejection> {
        if id == letter(1).id {
            Ok(letter(1))
        } else {
            Err(Rejection::new(Reason::NotFound, "there is no such letter"))
        }
    }

    async fn retry(&self, id: B256, gas_min: u64) -> Result<(), Rejection> {
        assert_eq!((id, gas_min), (letter(1).id, 70_000));
        Ok(())
    }

    async fn refund(&self, _: B256) -> Result<(), Rejection> {
        Err(Rejection::new(Reason::Unsupported, "the mailbox there keeps no deadline"))
    }

    async fn drop_letter(&self, id: B256, reason: String) -> Result<(), Rejection> {
        assert_eq!((id, reason.as_str()), (letter(1).id, "its contract is broken"));
        Ok(())
    }

    async fn pause(&self, way: String, reason: String) -> Result<(), Rejection> {
        assert_eq!((way.as_str(), reason.as_str()), ("in", "a drill"));
        Ok(())
    }

    async fn resume(&self, way: String) -> Result<(), Rejection> {
        Err(Rejection::new(Reason::NoRoute, format!("there is no way {way:?} here")))
    }

    async fn rescan(&self, way: String, from: u64, to: u64) -> Result<(), Rejection> {
        assert_eq!((way.as_str(), from, to), ("in", 5, 7));
        Ok(())
    }

    async fn explain(&self, _: B256) -> Result<Sight, Rejection> {
        Ok(sight())
    }
}

impl RelayApi for Everything {
    async fn submit_receipts(&self, receipts: Vec<Receipt>) -> Result<Answers<Taken>, Rejection> {
        Ok(receipts.iter().map(|_| Ok(Taken { message: message().id(), novelty: Novelty::Already })).collect())
    }

    async fn trace(&self, _: MessageId) -> Result<Trace, Rejection> {
        Ok(trace())
    }

    async fn routes(&self) -> Result<Vec<Route>, Rejection> {
        Ok(vec![route()])
    }

    async fn dead_letters(&self, after: Option<MessageId>, _: usize) -> Result<Vec<DeadLetter>, Rejection> {
        Ok(if after.is_none() { vec![dead_letter()] } else { Vec::new() })
    }

    async fn retry_dead_letter(&self, _: MessageId) -> Result<(), Rejection> {
        Ok(())
    }

    async fn pause(&self, route: RouteKey) -> Result<(), Rejection> {
        if route == ROUTE { Ok(()) } else { Err(Rejection::new(Reason::NoRoute, "no such route")) }
    }

    async fn resume(&self, _: RouteKey) -> Result<(), Rejection> {
        Ok(())
    }
}

/// A running server.
struct Running {
    endpoint: String,
    shutdown: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

async fn serve(settings: ServerSettings) -> Running {
    serve_for(settings, wire::limits::CONNECTIONS_COUNT_MAX).await
}

async fn serve_for(settings: ServerSettings, connections_count_max: usize) -> Running {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let listener = Listener::bind_for("127.0.0.1:0".parse().unwrap(), connections_count_max).await.unwrap();
    let endpoint = format!("{scheme}://{}", listener.address());
    let api = Arc::new(Everything);
    let builder = ServerBuilder::new(settings).unwrap();
    let builder = builder
        .participant(Arc::clone(&api))
        .shard(Arc::clone(&api))
        .coordinator(Arc::clone(&api))
        .relay(Arc::clone(&api))
        .operator(api);
    let (shutdown, signal) = oneshot::channel();
    let served = tokio::spawn(async move {
        let signal = async {
            let _ = signal.await;
        };
        builder.serve(listener, signal).await.unwrap();
    });
    Running { endpoint, shutdown, served }
}

fn connect(running: &Running) -> Connection {
    Connection::open(&ClientSettings::plain(running.endpoint.clone())).unwrap()
}

/// A generated client, for what the typed clients never send.
async fn raw(running: &Running) -> tonic::transport::Channel {
    tonic::transport::Endpoint::from_shared(running.endpoint.clone()).unwrap().connect().await.unwrap()
}

fn prepare(payload: &'static [u8]) -> Prepare {
    let descriptor = descriptor();
    let homes = vec![vote(&descriptor, ShardId(0), Verdict::Yes)];
    Prepare { descriptor, payload: payload.into(), homes }
}

#[tokio::test]
async fn a_participant_answers_every_call() {
    let server = serve(ServerSettings::default()).await;
    let client = ParticipantClient::new(connect(&server));
    let answers = client.prepare(vec![prepare(b"payload"), prepare(b"")]).await.unwrap();
    assert_eq!(answers[0], Ok(no(&descriptor())));
    assert_eq!(answers[1].as_ref().unwrap_err().reason, Reason::WrongPayload);
    let unknown = AttemptId(primitives::Digest::new([1; 32]));
    let answers = client.query_votes(vec![attempt(), unknown]).await.unwrap();
    assert_eq!(answers, [Ok(no(&descriptor())), Ok(VoteAnswer::Unknown)]);
    assert_eq!(client.decide(vec![decision()]).await.unwrap(), [Ok(Height(2))]);
    assert_eq!(client.request_abort(vec![(&descriptor()).into()]).await.unwrap(), [Ok(no(&descriptor()))]);
}

#[tokio::test]
async fn a_batch_over_the_bound_is_split() {
    let server = serve(ServerSettings::default()).await;
    let client = ParticipantClient::new(connect(&server));
    let answers = client.prepare(vec![prepare(b"x"); PREPARES_COUNT_MAX + 1]).await.unwrap();
    assert_eq!(answers.len(), PREPARES_COUNT_MAX + 1);
    assert!(answers.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_shard_answers_every_call() {
    let server = serve(ServerSettings::default()).await;
    let client = ShardClient::new(connect(&server));
    assert_eq!(client.status().await.unwrap(), status());
    let payload = |slot| Payload::signed(Environment::Slot(Slot(slot)), vec![1]);
    let results = client.submit_local(&[payload(1), payload(0)]).await.unwrap();
    assert_eq!(results[0], Ok(vec![record()]));
    assert_eq!(results[1].as_ref().unwrap_err().reason, Reason::WrongEnvironment);
    let keys = [StateKey::Slot(Address::ZERO, U256::from(3)), StateKey::Account(Address::ZERO)];
    let code = keccak256([0x60, 0x00]);
    let read = client.read_state(&keys, &[code].into()).await.unwrap();
    assert_eq!(read.values[0], ReadValue { value: StateValue::Slot(U256::from(3)), locked_by: Some(attempt()) });
    assert_eq!(read.values[1].value, StateValue::Account(None));
    assert_eq!(read.codes[&code], Data::from(vec![0x60, 0x00]));
    let after = client.read_state_after(&keys, &BTreeSet::new(), Some(Slot(0))).await.unwrap();
    assert_eq!((read.height, after.height), (Height(1), Height(0)), "slot 0 is one, and none is another thing");
    assert_eq!(client.prove_state(Address::ZERO, &[U256::ZERO]).await.unwrap().proofs.len(), 2);
    assert_eq!(client.outcome(record().transaction).await.unwrap(), record());
    assert_eq!(client.own_call(record().transaction).await.unwrap(), own_call());
    assert_eq!(client.locks().await.unwrap(), locks());
    assert_eq!(client.own_call(B256::repeat_byte(2)).await.unwrap_err().reason, Reason::NotFound);
    let query = OutcomeQuery { from: Slot(1), to: Some(Slot(2)), cursor: None, count_max: 3 };
    let page = client.outcomes(query).await.unwrap();
    assert_eq!(page.next, Some(OutcomeCursor { shown: Slot(1), height: Height(1), index: 3 }));
    let place = OutcomePlace { height: Height(3), index: 2 };
    assert_eq!(client.tell_log(place).await.unwrap(), LogPage { told: told(place), open: Slot(7) });
    assert_eq!(client.blocks(Height(5), 1).await.unwrap()[0].header.height, Height(5));
    let cursor = LeafPlace { height: Height(1), index: 0 };
    let page =
        client.outbox(cursor, 10, &[LeafKind::Message, LeafKind::Delivery].into(), OldLeaves::All).await.unwrap();
    assert_eq!(page.leaves.len(), 2);
    assert_eq!(page.next, LeafPlace { height: Height(2), index: 0 });
    let found = client.receipt(LeafKind::Outcome, B256::repeat_byte(7)).await.unwrap();
    assert_eq!(found, receipt(ShardId(0), LeafKind::Outcome, vec![7; 32]));
    let life = client.message(message().id()).await.unwrap();
    assert_eq!(life, Everything.message(message().id()).await.unwrap());
    let of = |kind| receipt(ShardId(0), kind, vec![1]);
    let results = client.deliver(&[of(LeafKind::Message), of(LeafKind::Delivery), of(LeafKind::Vote)]).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap().novelty, Novelty::New);
    assert_eq!(results[1], Ok(Delivered { novelty: Novelty::Already, height: Height(1), receipt: None }));
    assert_eq!(results[2].as_ref().unwrap_err().reason, Reason::WrongLeaf);
}

#[tokio::test]
async fn a_refusal_arrives_as_it_was_made() {
    let server = serve(ServerSettings::default()).await;
    let client = ShardClient::new(connect(&server));
    let unknown = B256::repeat_byte(5);
    let refused = client.outcome(unknown).await.unwrap_err();
    assert_eq!(refused, Everything.outcome(unknown).await.unwrap_err());
    assert_eq!(refused.metadata["transaction"], unknown.to_string());
}

#[tokio::test]
async fn a_block_stream_has_no_gaps_and_ends_with_a_drain() {
    let server = serve(ServerSettings::default()).await;
    let client = ShardClient::new(connect(&server));
    let mut blocks = Box::pin(client.stream_blocks(Height(1)).await.unwrap());
    for height in 1..=3 {
        assert_eq!(blocks.next().await.unwrap().unwrap().header.height, Height(height));
    }
    // The stream now waits for block 4, which never comes; the drain ends it, and with it the server.
    server.shutdown.send(()).unwrap();
    assert!(blocks.next().await.is_none_or(|item| item.is_err()));
    tokio::time::timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_coordinator_answers_every_call() {
    let server = serve(ServerSettings::default()).await;
    let client = CoordinatorClient::new(connect(&server));
    let transaction = Data::from(vec![1, 2]);
    let accepted = client.submit_transaction(transaction.clone()).await.unwrap();
    let id = accepted.id;
    assert_eq!(id, keccak256([1, 2]));
    assert_eq!(accepted.ended, Some(Everything.submission(id).await.unwrap()), "it has ended by then");
    let bundle = client.submit_bundle(vec![transaction]).await.unwrap();
    assert_eq!(bundle, BundleAccepted { id: B256::repeat_byte(9), transactions: vec![id] });
    assert_eq!(client.submit_bundle(vec![]).await.unwrap_err().reason, Reason::InvalidArgument);
    let payload = Payload::signed(Environment::Slot(Slot(1)), vec![1]);
    assert_eq!(client.submit_payload(&payload).await.unwrap_err().reason, Reason::WrongEnvironment);
    let events: Vec<_> = client.watch(id, 1).await.unwrap().collect().await;
    let stages: Vec<_> = events.into_iter().map(|event| event.unwrap().stage).collect();
    assert_eq!(stages, [LifeStage::Executed, LifeStage::Preparing, LifeStage::Committed]);
    assert_eq!(client.wait_final(id).await.unwrap(), Everything.submission(id).await.unwrap());
    let unknown = B256::repeat_byte(0xff);
    assert_eq!(client.watch(unknown, 0).await.err().unwrap().reason, Reason::NotFound);
    assert_eq!(client.network().await.unwrap(), network());
}

#[tokio::test]
async fn a_relay_answers_every_call() {
    let server = serve(ServerSettings::default()).await;
    let client = RelayClient::new(connect(&server));
    let taken = client.submit_receipts(&[receipt(ShardId(0), LeafKind::Message, vec![1])]).await.unwrap();
    assert_eq!(taken, [Ok(Taken { message: message().id(), novelty: Novelty::Already })]);
    assert_eq!(client.trace(message().id()).await.unwrap(), trace());
    assert_eq!(client.routes().await.unwrap(), [route()]);
    assert_eq!(client.dead_letters(None).await.unwrap(), [dead_letter()]);
    assert_eq!(client.dead_letters(Some(message().id())).await.unwrap(), []);
    client.retry_dead_letter(message().id()).await.unwrap();
    client.pause(ROUTE).await.unwrap();
    client.resume(ROUTE).await.unwrap();
    let nowhere = RouteKey { source: 9, destination: 9 };
    assert_eq!(client.pause(nowhere).await.unwrap_err().reason, Reason::NoRoute);
}

#[tokio::test]
async fn an_operators_node_answers_every_call_and_refuses_in_words() {
    let server = serve(ServerSettings::default()).await;
    let client = OperatorClient::new(&connect(&server));
    assert_eq!(client.ways().await.unwrap(), [way(), Way { name: "0-1".into(), paused: None, moved: None, ..way() }]);
    let letters = client.letters().await.unwrap();
    assert!(letters.iter().map(|letter| letter.id).eq((1..=300).map(|seed| letter(seed).id)), "page after page");
    assert_eq!(client.letter(letter(1).id).await.unwrap(), letter(1));
    assert_eq!(client.letter(letter(2).id).await.unwrap_err().reason, Reason::NotFound);
    client.retry(letter(1).id, 70_000).await.unwrap();
    client.drop_letter(letter(1).id, "its contract is broken".into()).await.unwrap();
    client.pause("in".into(), "a drill".into()).await.unwrap();
    client.rescan("in".into(), 5, 7).await.unwrap();
    assert_eq!(client.explain(letter(1).id).await.unwrap(), sight());
    let said = |refused: Result<(), Rejection>| refused.unwrap_err().to_string();
    assert!(said(client.refund(letter(1).id).await).contains("keeps no deadline"));
    assert!(said(client.resume("up".into()).await).contains("there is no way \"up\""));
    assert!(said(client.drop_letter(letter(1).id, "  ".into()).await).contains("for a reason"));
    assert!(said(client.rescan("in".into(), 7, 5).await).contains("is after block 5"));
}

#[tokio::test]
async fn a_message_over_a_field_bound_is_refused_whole() {
    let server = serve(ServerSettings::default()).await;
    let mut client = v1::participant_service_client::ParticipantServiceClient::new(raw(&server).await);
    let many = v1::PrepareRequest { prepares: vec![v1::Prepare::default(); PREPARES_COUNT_MAX + 1] };
    let refused = client.prepare(many).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
    assert_eq!(Rejection::from(refused).reason, Reason::OverBound);
    let long = v1::Prepare { payload: vec![0; PREPARED_BYTES_MAX + 1].into(), ..v1::Prepare::default() };
    let refused = client.prepare(v1::PrepareRequest { prepares: vec![long] }).await.unwrap_err();
    assert_eq!(Rejection::from(refused).reason, Reason::OverBound);
}

#[tokio::test]
async fn a_message_over_its_services_size_is_refused() {
    let server = serve(ServerSettings::default()).await;
    let mut client = v1::participant_service_client::ParticipantServiceClient::new(raw(&server).await);
    let prepares = vec![v1::Prepare { payload: vec![0; PREPARED_BYTES_MAX].into(), ..v1::Prepare::default() }; 5];
    let refused = client.prepare(v1::PrepareRequest { prepares }).await.unwrap_err();
    assert_eq!(Rejection::from(refused).reason, Reason::OverBound);
}

#[tokio::test]
async fn a_malformed_item_is_refused_at_its_place() {
    let server = serve(ServerSettings::default()).await;
    let mut client = v1::participant_service_client::ParticipantServiceClient::new(raw(&server).await);
    let sound = v1::Prepare::from(prepare(b"payload"));
    let broken = v1::Prepare { descriptor: vec![1, 2, 3].into(), ..sound.clone() };
    let answers =
        client.prepare(v1::PrepareRequest { prepares: vec![broken, sound] }).await.unwrap().into_inner().answers;
    let Some(v1::vote_answer::Answer::Rejection(rejection)) = &answers[0].answer else { panic!("{answers:?}") };
    assert_eq!(rejection.reason, "MALFORMED");
    assert!(matches!(answers[1].answer, Some(v1::vote_answer::Answer::Vote(_))));
}

#[tokio::test]
async fn health_and_reflection_are_there() {
    let server = serve(ServerSettings::default()).await;
    let channel = raw(&server).await;
    for service in ["", "dovetail.v1.ShardService", "dovetail.v1.RelayService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner().status;
        assert_eq!(status, tonic_health::ServingStatus::Serving as i32, "{service:?}");
    }
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|service| service.name == "dovetail.v1.CoordinatorService"));
}

#[tokio::test]
async fn half_open_connections_lock_nobody_out_and_leave_calls_in_work_alone() {
    let server = serve_for(ServerSettings::default(), 4).await;
    let address = server.endpoint.trim_start_matches("http://").to_owned();
    let shard = ShardClient::new(connect(&server));
    let mut blocks = Box::pin(shard.stream_blocks(Height(1)).await.unwrap());
    assert!(blocks.next().await.unwrap().is_ok());
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        // Every other one gets as far as HTTP/2's preface.
        if held.len() % 2 == 0 {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        }
        held.push(stream);
    }
    assert!(ShardClient::new(connect(&server)).status().await.is_ok(), "others are served");
    assert!(blocks.next().await.unwrap().is_ok(), "a stream goes on");
}

#[tokio::test]
async fn a_call_without_the_token_is_refused() {
    let access = Access::default().with_token("secret");
    let server = serve(ServerSettings { access, ..ServerSettings::default() }).await;
    let refused = ShardClient::new(connect(&server)).status().await.unwrap_err();
    assert_eq!(refused.reason, Reason::Unauthenticated);
    let settings = ClientSettings { token: Some("secret".into()), ..ClientSettings::plain(server.endpoint.clone()) };
    assert_eq!(ShardClient::new(Connection::open(&settings).unwrap()).status().await.unwrap(), status());
    let health = HealthClient::new(raw(&server).await).check(HealthCheckRequest { service: String::new() }).await;
    assert!(health.is_ok());
}

#[tokio::test]
async fn a_peer_that_is_not_allowed_is_refused() {
    let access = Access::default().with_peers(["10.9.8.7".parse().unwrap()]);
    let server = serve(ServerSettings { access, ..ServerSettings::default() }).await;
    let refused = ShardClient::new(connect(&server)).status().await.unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied);
    assert_eq!(refused.metadata["peer"], "127.0.0.1");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_within_the_deadline() {
    let connection = Connection::open(&ClientSettings::plain("http://127.0.0.1:1")).unwrap();
    let deadlines = Deadlines { read: Duration::from_secs(1), write: Duration::from_secs(1) };
    let refused = ShardClient::new(connection.with_deadlines(deadlines)).status().await.unwrap_err();
    assert_eq!(refused.reason, Reason::Unavailable);
}
