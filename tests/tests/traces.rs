//! One transaction, and one message, seen whole by whoever collects traces; and a collector that nobody waits for.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use cluster::{Cluster, Node, Plan};
use dovetail_tests::operator::{log, metric, until};
use dovetail_tests::testnet::program;
use evm::{Outcome, mailbox_address};
use fixtures::contracts::{Artifact, Ping};
use fixtures::wallet::{Call, Wallet};
use host::{Ratio, TracesSettings};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use primitives::ShardId;
use proof::{MessageId, domain_of};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// How long spans may be on their way.
const ARRIVE_WITHIN: Duration = Duration::from_secs(20);

/// A transaction of two shards, on busy cores; a collector may take longer.
const COMMIT_WITHIN: Duration = Duration::from_secs(4);

/// What was told, and by whom: "shard 1".
#[derive(Debug, Clone)]
struct Told {
    by: String,
    span: Span,
}

/// A collector that keeps what it is told.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<Told>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for told in request.into_inner().resource_spans {
            let resource = told.resource.unwrap_or_default();
            let attribute = |key: &str| {
                let value = resource.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
                if let Value::StringValue(text) = value { Some(text) } else { None }
            };
            let by = match attribute("service.name").unwrap().as_str() {
                "shard" => format!("shard {}", attribute("service.instance.id").unwrap()),
                other => other.to_owned(),
            };
            let spans = told.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| Told { by: by.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = incoming.local_addr().unwrap();
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        (collector, address)
    }

    /// The spans of the trace of what has this id.
    fn of(&self, id: B256) -> Vec<Told> {
        self.0.lock().unwrap().iter().filter(|told| told.span.trace_id == id[..16]).cloned().collect()
    }

    /// Waits until each of `names` was told by the node beside it, and gives the whole trace.
    async fn whole(&self, id: B256, names: &[(&str, &str)]) -> Vec<Told> {
        let missing = |spans: &[Told]| {
            let is_told =
                |(by, name): &&(&str, &str)| spans.iter().any(|told| told.by == *by && told.span.name == *name);
            names.iter().filter(|name| !is_told(name)).copied().collect::<Vec<_>>()
        };
        let whole = until("whole trace", ARRIVE_WITHIN, async || {
            let spans = self.of(id);
            Ok(missing(&spans).is_empty().then_some(spans))
        });
        whole.await.unwrap_or_else(|error| panic!("{error}: {:?} of {:#?}", missing(&self.of(id)), named(&self.of(id))))
    }
}

fn named(spans: &[Told]) -> Vec<(String, String)> {
    spans.iter().map(|told| (told.by.clone(), told.span.name.clone())).collect()
}

/// Who told the span that `of` is below, and its name.
fn above<'a>(spans: &'a [Told], of: &Span) -> Option<(&'a str, &'a str)> {
    let above = spans.iter().find(|told| told.span.span_id == of.parent_span_id)?;
    Some((above.by.as_str(), above.span.name.as_str()))
}

/// Those that a node told by this name.
fn told<'a>(spans: &'a [Told], by: &str, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|told| told.by == by && told.span.name == name).map(|told| &told.span).collect()
}

/// Two shards, a coordinator and a relay that tell a collector everything; the first account is on shard 0, as is all that it
/// deploys, but its second contract.
fn network(endpoint: SocketAddr, dir: &std::path::Path) -> (Cluster, Wallet) {
    let wallet = Wallet::development(Plan::new(2).unwrap().network, 0).unwrap();
    let address = wallet.address();
    let traces = TracesSettings { endpoint: format!("http://{endpoint}"), ratio: Ratio::try_from(1.0).unwrap() };
    let plan = Plan {
        relays: 1,
        pinned: [(address, 0), (address.create(0), 0), (address.create(1), 1), (payee(), 1)].into(),
        traces: Some(traces),
        environment: vec![("DOVETAIL_LOG_FORMAT".to_owned(), "json".to_owned())],
        program: program().unwrap(),
        ..Plan::development(2).unwrap()
    };
    (Cluster::start(plan, dir).unwrap(), wallet)
}

fn payee() -> Address {
    Address::repeat_byte(0x77)
}

fn payment() -> Call {
    Call::to(payee(), []).with_value(U256::ONE).with_gas_limit(21_000)
}

fn message_of(outcome: &Outcome) -> MessageId {
    let dispatch = keccak256("Dispatch(bytes32,bytes,uint64,uint64,uint256)");
    MessageId(outcome.logs.iter().find(|log| log.topics[0] == dispatch).unwrap().topics[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_two_shards_and_a_message_are_each_one_trace() {
    let (collector, endpoint) = Collector::start();
    let dir = tempfile::tempdir().unwrap();
    let (cluster, mut wallet) = network(endpoint, dir.path());
    let client = cluster.client(0).unwrap();
    for (artifact, shard) in [(Artifact::PING, 0), (Artifact::PONG, 1)] {
        let code = artifact.init_code(&mailbox_address(ShardId(shard)).abi_encode()).unwrap();
        client.succeed(&mut wallet, &Call::create(code)).await.unwrap();
    }

    let paid = client.succeed(&mut wallet, &payment()).await.unwrap();
    let names = [
        ("coordinator", "submission"),
        ("coordinator", "execute"),
        ("coordinator", "attempt"),
        ("coordinator", "prepare"),
        ("coordinator", "decide"),
        ("shard 0", "ParticipantService/Prepare"),
        ("shard 1", "ParticipantService/Prepare"),
        ("shard 0", "check"),
        ("shard 1", "step"),
    ];
    let spans = collector.whole(paid.id, &names).await;
    for shard in ["shard 0", "shard 1"] {
        let prepared = told(&spans, shard, "ParticipantService/Prepare");
        assert!(prepared.iter().all(|span| above(&spans, span) == Some(("coordinator", "prepare"))), "{shard}");
    }
    let [submission] = told(&spans, "coordinator", "submission")[..] else { panic!("{:?}", named(&spans)) };
    assert!(submission.parent_span_id.is_empty(), "it is the first");
    let [attempt] = told(&spans, "coordinator", "attempt")[..] else { panic!("{:?}", named(&spans)) };
    assert_eq!(above(&spans, attempt), Some(("coordinator", "submission")));
    assert!(attempt.events.iter().filter(|event| event.name.ends_with("voted yes")).count() == 2, "{attempt:?}");
    for told in &spans {
        let Span { name, start_time_unix_nano, end_time_unix_nano, .. } = &told.span;
        assert!(end_time_unix_nano >= start_time_unix_nano, "{name}");
        assert!(told.span.parent_span_id.is_empty() || above(&spans, &told.span).is_some(), "{name} hangs nowhere");
    }
    let trace_id = hex::encode(&paid.id[..16]);
    for node in [Node::Coordinator(0), Node::Executor(0), Node::Executor(1)] {
        let lines = log(&cluster, node).unwrap();
        let line = lines.lines().find(|line| line.contains(&trace_id));
        let line: serde_json::Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{node}: {lines}"))).unwrap();
        let ids = [&line["span"]["trace_id"], &line["fields"]["trace_id"]];
        assert!(ids.iter().any(|id| id.as_str().is_some_and(|id| id.contains(&trace_id))), "{line}");
    }

    let send = Ping::sendManyCall {
        destination: domain_of(cluster.network().params.network, ShardId(1)),
        recipient: wallet.address().create(1).into_word(),
        count: U256::ONE,
        gasLimit: 300_000,
        deadlineMs: u64::MAX,
    };
    let call = Call::to(wallet.address().create(0), send.abi_encode());
    let settled = client.succeed(&mut wallet, &call).await.unwrap();
    let message = message_of(settled.first().unwrap());
    client.acknowledged(ShardId(0), message).await.unwrap();
    let names = [
        ("shard 0", "message in the outbox"),
        ("relay", "deliver"),
        ("shard 1", "ShardService/Deliver"),
        ("relay", "acknowledge"),
        ("shard 0", "ShardService/Deliver"),
    ];
    let spans = collector.whole(message.0, &names).await;
    let [first] = told(&spans, "shard 0", "message in the outbox")[..] else { panic!("{:?}", named(&spans)) };
    assert!(first.parent_span_id.is_empty(), "it is the first");
    let over = |by, name| above(&spans, told(&spans, by, name)[0]);
    assert_eq!(over("relay", "deliver"), Some(("shard 0", "message in the outbox")));
    assert_eq!(over("shard 1", "ShardService/Deliver"), Some(("relay", "deliver")));
    assert_eq!(over("shard 0", "ShardService/Deliver"), Some(("relay", "acknowledge")));
    // Whoever looks at the transaction finds the message.
    let spans = collector.whole(settled.id, &[("coordinator", "submission")]).await;
    let [submission] = told(&spans, "coordinator", "submission")[..] else { panic!("{:?}", named(&spans)) };
    assert!(submission.links.iter().any(|link| link.trace_id == message.0[..16]), "{submission:?}");
    let lost = |reason| format!("dovetail_traces_spans_lost_total{{reason=\"{reason}\"}}");
    for node in [Node::Coordinator(0), Node::Executor(0), Node::Relay(0)] {
        assert_eq!(metric(&cluster, node, &lost("not_taken")).unwrap(), 0, "{node}");
        // The collector has the spans before the node has its answer.
        let taken = async || Ok((metric(&cluster, node, "dovetail_traces_spans_taken_total")? > 0).then_some(()));
        until("count of spans taken", ARRIVE_WITHIN, taken).await.unwrap_or_else(|error| panic!("{node}: {error}"));
    }
    cluster.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_delays_nobody_and_what_it_does_not_take_is_counted() {
    // The system takes connections, and nobody answers them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cluster, mut wallet) = network(silent.local_addr().unwrap(), dir.path());
    let client = cluster.client(0).unwrap();
    let lost = || {
        let count = |node| metric(&cluster, node, "dovetail_traces_spans_lost_total{reason=\"not_taken\"}").unwrap();
        [Node::Coordinator(0), Node::Executor(0), Node::Executor(1)].map(count)
    };
    // Longer than a collector is waited for.
    let begun = Instant::now();
    while lost().contains(&0) {
        let asked = Instant::now();
        client.succeed(&mut wallet, &payment()).await.unwrap();
        assert!(asked.elapsed() < COMMIT_WITHIN, "{:?}", asked.elapsed());
        assert!(begun.elapsed() < ARRIVE_WITHIN, "{:?} lost", lost());
    }
    let asked = Instant::now();
    cluster.stop().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(15), "they drained within {:?}", asked.elapsed());
}
