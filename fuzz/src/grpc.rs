//! Every gRPC method with any bytes for a request: what reaches a service is within its bounds, and what is refused is
//! refused with a reason.

use crate::jsonrpc::runtime;
use crate::sample;
use alloy_primitives::{Address, B256, U256, keccak256};
use commit::Descriptor;
use evm::{Data, Payload, StateKey, SystemTransaction};
use http_body_util::{BodyExt, Full};
use primitives::{AttemptId, Height, ShardId, Slot};
use proof::{ForeignReceipt, LeafKind, MessageId, Receipt};
use prost::Message as _;
use prost::bytes::Bytes;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tonic::service::Routes;
use tower::ServiceExt as _;
use wire::coordinator::{BundleAccepted, CoordinatorApi, LifeEvent, Network, Submission, SubmissionId};
use wire::limits;
use wire::participant::{AbortRequest, Answers, DecisionClaim, ParticipantApi, Prepare, VoteAnswer};
use wire::proto::v1;
use wire::relay::{DeadLetter, RelayApi, Route, RouteKey, Taken, Trace};
use wire::server::{ServerBuilder, ServerSettings};
use wire::shard::{
    CertifiedBlock, Delivered, LockCounts, LogPage, MessageLife, Novelty, OldLeaves, OutboxPage, OutcomePage,
    OutcomePlace, OutcomeQuery, ShardApi, ShardStatus, StateProofs, StateRead, ToldPage,
};
use wire::state::{LeafPlace, OutcomeRecord, ReadValue, StateValue};
use wire::{Reason, Rejection};

/// Methods by the first byte of the input.
const METHODS: &[&str] = &[
    "ParticipantService/Prepare",
    "ParticipantService/QueryVotes",
    "ParticipantService/Decide",
    "ParticipantService/RequestAbort",
    "ShardService/GetStatus",
    "ShardService/SubmitLocal",
    "ShardService/ReadState",
    "ShardService/ProveState",
    "ShardService/GetOutcome",
    "ShardService/ListOutcomes",
    "ShardService/TellLog",
    "ShardService/GetBlocks",
    "ShardService/StreamBlocks",
    "ShardService/GetOutbox",
    "ShardService/GetReceipt",
    "ShardService/GetMessage",
    "ShardService/Deliver",
    "CoordinatorService/SubmitTransaction",
    "CoordinatorService/SubmitBundle",
    "CoordinatorService/SubmitPayload",
    "CoordinatorService/WatchTransaction",
    "CoordinatorService/GetTransaction",
    "CoordinatorService/GetNetwork",
    "RelayService/SubmitReceipts",
    "RelayService/TraceMessage",
    "RelayService/ListRoutes",
    "RelayService/ListDeadLetters",
    "RelayService/RetryDeadLetter",
    "RelayService/PauseRoute",
    "RelayService/ResumeRoute",
    "ShardService/GetOwnCall",
];

thread_local! {
    static SERVER: RefCell<(tokio::runtime::Runtime, Routes)> = RefCell::new((runtime(), routes()));
}

fn routes() -> Routes {
    let api = Arc::new(Strict);
    let server = ServerBuilder::new(ServerSettings::default()).expect("its own descriptors");
    server.participant(Arc::clone(&api)).shard(Arc::clone(&api)).coordinator(Arc::clone(&api)).relay(api).routes()
}

/// A method by the first byte, and its request.
pub fn grpc(data: &[u8]) {
    let Some((first, message)) = data.split_first() else { return };
    let method = METHODS[usize::from(*first) % METHODS.len()];
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), message].concat();
    let status = call(method, framed);
    let own_faults = [tonic::Code::Unknown, tonic::Code::Internal, tonic::Code::Unimplemented];
    assert!(!own_faults.contains(&status), "{method} answers {status:?}");
    call(method, message.to_vec()); // Frames that nobody cut.
}

/// The status of a call with this body.
fn call(method: &str, body: Vec<u8>) -> tonic::Code {
    let request = http::Request::post(format!("http://a/dovetail.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Full::new(Bytes::from(body))))
        .expect("a request");
    SERVER.with_borrow(|(runtime, routes)| {
        runtime.block_on(async {
            let Ok(response) = routes.clone().oneshot(request).await;
            assert_eq!(response.status(), http::StatusCode::OK);
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("a body that ends");
            let trailers = body.trailers().cloned().unwrap_or_default();
            let code = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
            tonic::Code::from_bytes(code.expect("a status").as_bytes())
        })
    })
}

/// Services that hold what they are handed to its bounds, and answer something.
struct Strict;

fn within(count: usize, count_max: usize) {
    assert!(count <= count_max, "{count} items where {count_max} are the bound");
}

fn unknown<T>() -> Result<T, Rejection> {
    Err(Rejection::new(Reason::NotFound, "nothing is here"))
}

fn check_descriptor(descriptor: &Descriptor) {
    assert_eq!(descriptor.check(), Ok(()));
}

impl ParticipantApi for Strict {
    async fn prepare(&self, prepares: Vec<Prepare>) -> Result<Answers<VoteAnswer>, Rejection> {
        within(prepares.len(), limits::PREPARES_COUNT_MAX);
        for prepare in &prepares {
            check_descriptor(&prepare.descriptor);
            within(prepare.homes.len(), limits::PARTICIPANTS_COUNT_MAX);
            within(prepare.payload.len(), limits::PREPARED_BYTES_MAX);
        }
        let answer = |prepare: Prepare| match prepare.homes.into_iter().next() {
            Some(proof) => Ok(VoteAnswer::Vote { proof, hint: Vec::new() }),
            None => Ok(VoteAnswer::Unknown),
        };
        Ok(prepares.into_iter().map(answer).collect())
    }

    async fn query_votes(&self, attempts: Vec<AttemptId>) -> Result<Answers<VoteAnswer>, Rejection> {
        within(attempts.len(), limits::QUERIES_COUNT_MAX);
        assert!(attempts.iter().all(|attempt| !attempt.0.is_zero()));
        Ok(attempts.iter().map(|_| Ok(VoteAnswer::Unknown)).collect())
    }

    async fn decide(&self, decisions: Vec<DecisionClaim>) -> Result<Answers<Height>, Rejection> {
        within(decisions.len(), limits::DECISIONS_COUNT_MAX);
        for claim in &decisions {
            check_descriptor(&claim.descriptor);
            within(claim.votes.len(), limits::PARTICIPANTS_COUNT_MAX);
        }
        Ok(decisions.iter().map(|_| Ok(Height(1))).collect())
    }

    async fn request_abort(&self, requests: Vec<AbortRequest>) -> Result<Answers<VoteAnswer>, Rejection> {
        within(requests.len(), limits::ABORTS_COUNT_MAX);
        for request in &requests {
            check_descriptor(&request.descriptor);
        }
        Ok(requests.iter().map(|_| unknown()).collect())
    }
}

impl ShardApi for Strict {
    async fn status(&self) -> Result<ShardStatus, Rejection> {
        unknown()
    }

    async fn submit_local(&self, payloads: Vec<Payload>) -> Result<Answers<Vec<OutcomeRecord>>, Rejection> {
        within(payloads.len(), limits::TRANSACTIONS_COUNT_MAX);
        Ok(payloads.iter().map(|_| Ok(Vec::new())).collect())
    }

    async fn read_state(
        &self,
        keys: Vec<StateKey>,
        code_hashes: BTreeSet<B256>,
        _after: Option<Slot>,
    ) -> Result<StateRead, Rejection> {
        within(keys.len(), limits::STATE_KEYS_COUNT_MAX);
        within(code_hashes.len(), limits::CODES_COUNT_MAX);
        let value = |key: StateKey| match key {
            StateKey::Account(_) => StateValue::Account(None),
            StateKey::Slot(_, index) => StateValue::Slot(index),
            StateKey::Fees(_) => StateValue::Fees(U256::MAX),
        };
        let values = keys.into_iter().map(|key| ReadValue { value: value(key), locked_by: None }).collect();
        Ok(StateRead { height: Height(1), time: sample::START, values, codes: BTreeMap::new() })
    }

    async fn prove_state(&self, _: Address, slots: Vec<U256>) -> Result<StateProofs, Rejection> {
        within(slots.len(), limits::PROOF_SLOTS_COUNT_MAX);
        unknown()
    }

    async fn outcome(&self, _: B256) -> Result<OutcomeRecord, Rejection> {
        unknown()
    }

    async fn own_call(&self, _: B256) -> Result<SystemTransaction, Rejection> {
        unknown()
    }

    async fn locks(&self) -> Result<LockCounts, Rejection> {
        Ok(LockCounts::default())
    }

    async fn outcomes(&self, query: OutcomeQuery) -> Result<OutcomePage, Rejection> {
        within(query.count_max, limits::OUTCOMES_COUNT_MAX);
        Ok(OutcomePage { outcomes: Vec::new(), next: query.cursor, open: query.from })
    }

    async fn tell_log(&self, from: OutcomePlace, count_max: usize) -> Result<LogPage, Rejection> {
        within(count_max, limits::OUTCOMES_COUNT_MAX);
        let told = ToldPage { blocks: Vec::new(), certificate: None, next: Some(from), head: from.height };
        Ok(LogPage { told, open: Slot(0) })
    }

    async fn blocks(&self, _: Height, count_max: usize) -> Result<Vec<CertifiedBlock>, Rejection> {
        within(count_max, limits::BLOCKS_COUNT_MAX);
        Ok(Vec::new())
    }

    async fn wait_block(&self, _: Height) -> Result<(), Rejection> {
        unknown()
    }

    async fn outbox(
        &self,
        next: LeafPlace,
        count_max: usize,
        _: BTreeSet<LeafKind>,
        _: OldLeaves,
    ) -> Result<OutboxPage, Rejection> {
        within(count_max, limits::OUTBOX_COUNT_MAX);
        Ok(OutboxPage { leaves: Vec::new(), head: next.height, next })
    }

    async fn receipt(&self, _: LeafKind, _: B256) -> Result<Receipt, Rejection> {
        unknown()
    }

    async fn message(&self, _: MessageId) -> Result<MessageLife, Rejection> {
        Ok(MessageLife::default())
    }

    async fn sighting(&self, _: ShardId) -> Result<Option<CertifiedBlock>, Rejection> {
        Ok(None)
    }

    async fn show_sighting(&self, newest: CertifiedBlock) -> Result<Height, Rejection> {
        Ok(newest.header.height)
    }

    async fn admit(&self, receipts: Vec<ForeignReceipt>) -> Result<Answers<Delivered>, Rejection> {
        within(receipts.len(), limits::RECEIPTS_COUNT_MAX);
        let taken = |_| Ok(Delivered { novelty: Novelty::New, height: Height(2), receipt: None });
        Ok(receipts.into_iter().map(taken).collect())
    }

    async fn deliver(&self, receipts: Vec<Receipt>) -> Result<Answers<Delivered>, Rejection> {
        within(receipts.len(), limits::RECEIPTS_COUNT_MAX);
        let delivered = |receipt| Ok(Delivered { novelty: Novelty::New, height: Height(1), receipt: Some(receipt) });
        Ok(receipts.into_iter().map(delivered).collect())
    }
}

impl CoordinatorApi for Strict {
    async fn submit_transaction(&self, transaction: Data) -> Result<SubmissionId, Rejection> {
        within(transaction.len(), limits::TRANSACTION_BYTES_MAX);
        Ok(keccak256(&*transaction))
    }

    async fn submit_bundle(&self, transactions: Vec<Data>) -> Result<BundleAccepted, Rejection> {
        within(transactions.len(), limits::BUNDLE_COUNT_MAX);
        let transactions = transactions.iter().map(|bytes| keccak256(&**bytes)).collect();
        Ok(BundleAccepted { id: B256::repeat_byte(1), transactions })
    }

    async fn submit_payload(&self, payload: Payload) -> Result<SubmissionId, Rejection> {
        Ok(B256::new(*payload.digest().as_bytes()))
    }

    async fn wait_events(&self, _: SubmissionId, _: u32) -> Result<Vec<LifeEvent>, Rejection> {
        unknown()
    }

    async fn submission(&self, _: SubmissionId) -> Result<Submission, Rejection> {
        unknown()
    }

    async fn network(&self) -> Result<Network, Rejection> {
        unknown()
    }
}

impl RelayApi for Strict {
    async fn submit_receipts(&self, receipts: Vec<Receipt>) -> Result<Answers<Taken>, Rejection> {
        within(receipts.len(), limits::RECEIPTS_COUNT_MAX);
        let taken = Taken { message: MessageId(B256::repeat_byte(1)), novelty: Novelty::Already };
        Ok(receipts.iter().map(|_| Ok(taken)).collect())
    }

    async fn trace(&self, _: MessageId) -> Result<Trace, Rejection> {
        Ok(Trace { message: sample::message(ShardId(0), ShardId(1), 1), events: Vec::new() })
    }

    async fn routes(&self) -> Result<Vec<Route>, Rejection> {
        Ok(Vec::new())
    }

    async fn dead_letters(&self, _: Option<MessageId>, count_max: usize) -> Result<Vec<DeadLetter>, Rejection> {
        within(count_max, limits::DEAD_LETTERS_COUNT_MAX);
        Ok(Vec::new())
    }

    async fn retry_dead_letter(&self, _: MessageId) -> Result<(), Rejection> {
        unknown()
    }

    async fn pause(&self, _: RouteKey) -> Result<(), Rejection> {
        unknown()
    }

    async fn resume(&self, _: RouteKey) -> Result<(), Rejection> {
        Ok(())
    }
}

pub(crate) fn grpc_seeds() -> Vec<Vec<u8>> {
    let claim = crate::votes::decision_seeds().remove(0);
    let claim = v1::DecisionProof::decode(&claim[..]).expect("a message");
    let (descriptor, votes) = (claim.descriptor.clone(), claim.votes.clone());
    let receipt: Bytes = crate::receipts::receipt_seeds().remove(0).into();
    let payload: Bytes = primitives::encode(&sample::payload(sample::transactions().into_iter().take(1))).into();
    let word: Bytes = vec![1; 32].into();
    let waits = votes.first().cloned().unwrap_or_default();
    let abort = v1::AbortRequest { descriptor: descriptor.clone(), waits };
    let prepare = v1::Prepare { descriptor: descriptor.clone(), payload: payload.clone(), home_votes: votes };
    let slot = v1::SlotKey { address: vec![2; 20].into(), index: word.clone() };
    let key = v1::StateKey { key: Some(v1::state_key::Key::Slot(slot)) };
    let requests: Vec<(&str, Vec<u8>)> = vec![
        ("Prepare", v1::PrepareRequest { prepares: vec![prepare] }.encode_to_vec()),
        ("QueryVotes", v1::QueryVotesRequest { attempts: vec![word.clone(); 3] }.encode_to_vec()),
        ("Decide", v1::DecideRequest { decisions: vec![claim] }.encode_to_vec()),
        ("RequestAbort", v1::RequestAbortRequest { requests: vec![abort] }.encode_to_vec()),
        ("SubmitLocal", v1::SubmitLocalRequest { payloads: vec![payload.clone()] }.encode_to_vec()),
        (
            "ReadState",
            v1::ReadStateRequest { keys: vec![key], code_hashes: vec![word.clone()], after_slot: Some(3) }
                .encode_to_vec(),
        ),
        (
            "ProveState",
            v1::ProveStateRequest { address: vec![2; 20].into(), slots: vec![word.clone()] }.encode_to_vec(),
        ),
        ("ListOutcomes", v1::ListOutcomesRequest { to_slot: 9, count_max: 5, ..Default::default() }.encode_to_vec()),
        ("TellLog", v1::TellLogRequest { from: Some(v1::OutcomePlace { height: 2, index: 1 }) }.encode_to_vec()),
        (
            "GetOutbox",
            v1::GetOutboxRequest { kinds: vec![1, 2], count_max: 5, cursor: None, open: true }.encode_to_vec(),
        ),
        ("GetReceipt", v1::GetReceiptRequest { kind: 2, id: word.clone() }.encode_to_vec()),
        ("Deliver", v1::DeliverRequest { receipts: vec![receipt.clone()] }.encode_to_vec()),
        ("SubmitBundle", v1::SubmitBundleRequest { transactions: vec![word.clone(); 2] }.encode_to_vec()),
        ("SubmitPayload", v1::SubmitPayloadRequest { payload }.encode_to_vec()),
        ("SubmitReceipts", v1::SubmitReceiptsRequest { receipts: vec![receipt] }.encode_to_vec()),
        ("ListDeadLetters", v1::ListDeadLettersRequest { after: word, count_max: 3 }.encode_to_vec()),
        ("PauseRoute", v1::PauseRouteRequest { source: 1, destination: 2 }.encode_to_vec()),
    ];
    let place = |name: &str| METHODS.iter().position(|method| method.ends_with(name)).unwrap_or_default() as u8;
    requests.into_iter().map(|(method, bytes)| [&[place(method)][..], &bytes].concat()).collect()
}
