//! What dashboards and alerts look at is there: each metric that they name is one that running nodes export, and each alert has a runbook
//! entry.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use alloy_primitives::{Address, U256};
use cluster::{Cluster, Node, Plan, endpoint};
use dovetail_tests::testnet::program;
use fixtures::wallet::{Call, Wallet};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wire::client::{ClientSettings, Connection};
use wire::relay::RelayClient;

/// Exported from the first time that it happens: a span that is lost, a call that is refused, a reload, a shard or a log that is not
/// believed.
const SELDOM: [&str; 5] = [
    "dovetail_traces_spans_lost_total",
    "dovetail_host_calls_refused_total",
    "dovetail_host_reloads_total",
    "dovetail_seen_shard_behind",
    "dovetail_index_logs_refused_total",
];

/// A carrier's, which needs a foreign chain: held against where they are registered.
const BRIDGE: &str = "dovetail_bridge_";

/// How long an attempt may take to be counted.
const COUNTED: Duration = Duration::from_secs(10);

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s/components/monitoring")
}

/// Every metric that a text names, without the endings of a histogram's series.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let metrics = words.filter(|word| word.starts_with("dovetail_"));
    metrics.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

/// Every metric that `node` exports, as a query names it.
fn exported(cluster: &Cluster, node: Node) -> BTreeSet<String> {
    let (_, body) = endpoint::get(cluster, node, "/metrics").unwrap();
    let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect()
}

/// The expressions of a dashboard's panels and variables.
fn expressions(value: &Value, told: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "expr" || name == "query" => {
                        told.push_str(text);
                        told.push('\n');
                    }
                    _ => expressions(field, told),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, told)),
        _ => {}
    }
}

fn dashboards() -> Vec<(String, BTreeSet<String>)> {
    let files = std::fs::read_dir(monitoring().join("dashboards")).unwrap();
    let each = files.map(|file| {
        let path = file.unwrap().path();
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let mut told = String::new();
        expressions(&dashboard, &mut told);
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), named(&told))
    });
    each.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_of_a_dashboard_or_an_alert_is_one_that_nodes_export() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { relays: 1, program: program().unwrap(), ..Plan::development(2).unwrap() };
    let network = plan.network;
    let cluster = Cluster::start(plan, dir.path()).unwrap();
    let relay = Connection::open(&ClientSettings::plain(cluster.endpoint(Node::Relay(0)))).unwrap();
    let routes = RelayClient::new(relay.clone()).routes().await.unwrap();
    RelayClient::new(relay).pause(routes[0].key).await.unwrap();
    let (client, mut wallet) = (cluster.client(0).unwrap(), Wallet::development(network, 0).unwrap());
    // Recipients on both shards, so that one attempt at least is decided.
    for recipient in 1..=8 {
        client
            .succeed(&mut wallet, &Call::to(Address::repeat_byte(recipient), []).with_value(U256::ONE))
            .await
            .unwrap();
    }
    let mut all = BTreeSet::new();
    let begun = Instant::now();
    let nodes = [Node::Executor(0), Node::Coordinator(0), Node::Relay(0)];
    while !(all.contains("dovetail_relay_route_paused") && all.contains("dovetail_commit_decided_total"))
        && begun.elapsed() < COUNTED
    {
        all.extend(nodes.iter().flat_map(|node| exported(&cluster, *node)));
    }
    let alerts = std::fs::read_to_string(monitoring().join("alerts.yaml")).unwrap();
    let looked = dashboards().into_iter().chain([("alerts".to_owned(), named(&alerts))]);
    let mut roles = BTreeSet::new();
    for (role, names) in looked {
        assert!(!names.is_empty(), "{role} looks at nothing");
        for name in names.iter().filter(|name| !SELDOM.contains(&&***name) && !name.starts_with(BRIDGE)) {
            assert!(all.contains(name), "{role} looks at {name}, which no node exports; they export {all:?}");
        }
        roles.insert(role);
    }
    assert!(
        ["shard", "coordinator", "relay", "bridge", "alerts"].iter().all(|role| roles.contains(*role)),
        "{roles:?}"
    );
    cluster.stop().unwrap();
}

#[test]
fn what_is_exported_seldom_is_registered_under_that_name() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (host, bridge) = (read("../crates/host/src/metrics.rs"), read("../services/bridge/src/metrics.rs"));
    let of_bridge = dashboards().into_iter().flat_map(|(_, names)| names).filter(|name| name.starts_with(BRIDGE));
    for name in SELDOM.iter().map(|name| (*name).to_owned()).chain(of_bridge) {
        let source = if name.starts_with(BRIDGE) { &bridge } else { &host };
        let own = name.trim_start_matches("dovetail_").split_once('_').unwrap().1.trim_end_matches("_total");
        assert!(source.contains(&format!("register(\"{own}\"")), "nothing registers {name}");
    }
}

#[test]
fn each_alert_has_a_runbook_entry() {
    let alerts = std::fs::read_to_string(monitoring().join("alerts.yaml")).unwrap();
    let runbook = std::fs::read_to_string(monitoring().join("../../../docs/runbook.md")).unwrap();
    let named: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(named.len() > 10);
    for alert in named {
        assert!(runbook.lines().any(|line| line == format!("## {alert}")), "docs/runbook.md has no entry for {alert}");
    }
}
