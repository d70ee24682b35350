//! `dovetail status`: how a network is, on one screen.
//!
//! ```text
//! every shard, and the coordinators and relays that are named --asked at once--> a line each, what is open, what is wrong
//! ```
//!
//! A node that is not the one that the network file speaks of is named as what it is, and counts as one that is not well.

use crate::credentials::Credentials;
use crate::identity::{self, COORDINATOR, RELAY};
use eyre::{Result, ensure};
use futures_util::future::join_all;
use host::network::Network;
use host::{PEER_SILENT_MAX, Security, wall};
use primitives::{ShardId, Time};
use std::collections::BTreeSet;
use std::fmt::{Arguments as Text, Write as _};
use std::path::PathBuf;
use wire::Rejection;
use wire::client::Deadlines;
use wire::coordinator::CoordinatorClient;
use wire::node::{NodeClient, NodeState, OpenAttempt};
use wire::relay::{RelayClient, Route};
use wire::shard::{LockCounts, ShardClient, ShardStatus};

/// Clocks that are further apart than this are told.
const CLOCKS_APART_MS_MAX: u64 = 500;
/// A certificate that ends sooner is told.
const CERTIFICATE_DAYS_MIN: u64 = 14;
/// Open attempts of one shard that are told.
const ATTEMPTS_TOLD_COUNT_MAX: usize = 5;

/// Shows a network's health.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The network file.
    #[arg(long)]
    network: PathBuf,
    /// A coordinator's gRPC endpoint; may be given more than once.
    #[arg(long = "coordinator")]
    coordinators: Vec<String>,
    /// A relay's gRPC endpoint; may be given more than once.
    #[arg(long = "relay")]
    relays: Vec<String>,
    #[command(flatten)]
    credentials: Credentials,
}

/// Prints it; ends non-zero if something is wrong.
pub async fn run(arguments: Arguments) -> Result<()> {
    let network = Network::load(&arguments.network)?;
    let security = arguments.credentials.open(&network)?;
    let shards =
        join_all(network.endpoints.iter().map(|(shard, endpoint)| of_shard(&network, &security, *shard, endpoint)));
    let coordinators =
        join_all(arguments.coordinators.iter().map(|endpoint| of_coordinator(&network, &security, endpoint)));
    let relays = join_all(arguments.relays.iter().map(|endpoint| of_relay(&network, &security, endpoint)));
    let (shards, coordinators, relays) = tokio::join!(shards, coordinators, relays);
    let nodes: Vec<Seen> = shards.into_iter().chain(coordinators).chain(relays).collect();
    let (text, faults) = told(&nodes, wall());
    host::output::write(format_args!("{text}"));
    ensure!(faults == 0, "{faults} of {} nodes need a look", nodes.len());
    Ok(())
}

/// One node, as far as it answered.
struct Seen {
    name: String,
    node: Result<NodeState, String>,
    shard: Option<ShardStatus>,
    /// None of a shard of an earlier build too.
    locks: Option<LockCounts>,
    routes: Vec<Route>,
    /// That it is not the node that is looked for.
    difference: Option<String>,
}

impl Seen {
    fn of(name: String, node: Result<NodeState, String>) -> Self {
        Self { name, node, shard: None, locks: None, routes: Vec::new(), difference: None }
    }

    fn silent(name: String, reason: &dyn std::fmt::Display) -> Self {
        Self::of(name, Err(reason.to_string()))
    }

    fn other(name: String, node: NodeState, difference: String) -> Self {
        Self { difference: Some(difference), ..Self::of(name, Ok(node)) }
    }
}

pub(crate) fn patient(security: &Security, endpoint: &str) -> Result<wire::client::Connection, String> {
    let deadlines = Deadlines { read: PEER_SILENT_MAX, ..Deadlines::default() };
    security.connect(endpoint).map(|connection| connection.with_deadlines(deadlines)).map_err(|error| error.to_string())
}

async fn of_shard(network: &Network, security: &Security, shard: ShardId, endpoint: &str) -> Seen {
    let name = identity::shard_name(shard);
    let connection = match patient(security, endpoint) {
        Ok(connection) => connection,
        Err(reason) => return Seen::silent(name, &reason),
    };
    let (node, status) = (NodeClient::new(connection.clone()), ShardClient::new(connection));
    let (node, status, locks) = tokio::join!(node.state(), status.status(), status.locks());
    let (node, status) = match told_by(name.clone(), &name, node, status) {
        Ok(told) => told,
        Err(seen) => return *seen,
    };
    let difference = identity::other_shard(network, shard, &status);
    Seen { shard: Some(status), locks: locks.ok(), difference, ..Seen::of(name, Ok(node)) }
}

/// What a node says of itself and what its kind of node says besides, if it answers and is what is `expected`.
///
/// # Errors
/// What is seen of any other: one of another kind has no more to say, and may have said that it lacks the other's service.
fn told_by<T>(
    name: String,
    expected: &str,
    node: Result<NodeState, Rejection>,
    more: Result<T, Rejection>,
) -> Result<(NodeState, T), Box<Seen>> {
    let node = match node {
        Ok(node) => node,
        Err(rejection) => return Err(Box::new(Seen::silent(name, &rejection))),
    };
    if let Some(difference) = identity::other_node(expected, &node) {
        return Err(Box::new(Seen::other(name, node, difference)));
    }
    match more {
        Ok(more) => Ok((node, more)),
        Err(rejection) => Err(Box::new(Seen::silent(name, &rejection))),
    }
}

async fn of_coordinator(network: &Network, security: &Security, endpoint: &str) -> Seen {
    let name = format!("coordinator at {endpoint}");
    let connection = match patient(security, endpoint) {
        Ok(connection) => connection,
        Err(reason) => return Seen::silent(name, &reason),
    };
    let (node, coordinator) = (NodeClient::new(connection.clone()), CoordinatorClient::new(connection));
    let (node, told) = tokio::join!(node.state(), coordinator.network());
    match told_by(name.clone(), COORDINATOR, node, told) {
        Ok((node, told)) => {
            Seen { difference: identity::other_coordinator(network, &told), ..Seen::of(name, Ok(node)) }
        }
        Err(seen) => *seen,
    }
}

async fn of_relay(network: &Network, security: &Security, endpoint: &str) -> Seen {
    let name = format!("relay at {endpoint}");
    let connection = match patient(security, endpoint) {
        Ok(connection) => connection,
        Err(reason) => return Seen::silent(name, &reason),
    };
    let (node, relay) = (NodeClient::new(connection.clone()), RelayClient::new(connection));
    let (node, routes) = tokio::join!(node.state(), relay.routes());
    match told_by(name.clone(), RELAY, node, routes) {
        Ok((node, routes)) => {
            Seen { difference: identity::other_network(network, &node), routes, ..Seen::of(name, Ok(node)) }
        }
        Err(seen) => *seen,
    }
}

/// The screen, and how many nodes are not well.
fn told(nodes: &[Seen], now: Time) -> (String, usize) {
    let mut text = String::new();
    let mut faults = 0;
    // Another network counts its slots otherwise.
    let ours = nodes.iter().filter(|seen| seen.difference.is_none());
    let slots = ours.filter_map(|seen| seen.shard.as_ref()).map(|status| status.open.0);
    let furthest = slots.max().unwrap_or_default();
    for seen in nodes {
        let complaints = match &seen.node {
            Ok(node) => one(&mut text, seen, node, furthest, now),
            Err(reason) => {
                line(&mut text, format_args!("{:<28} does not answer: {reason}", seen.name));
                vec![String::new()]
            }
        };
        faults += usize::from(!complaints.is_empty());
        for complaint in complaints.iter().filter(|complaint| !complaint.is_empty()) {
            line(&mut text, format_args!("  ! {complaint}"));
        }
        for route in &seen.routes {
            line(&mut text, format_args!("  {}", route_line(route, now)));
        }
    }
    let versions: BTreeSet<&str> =
        nodes.iter().filter_map(|seen| seen.node.as_ref().ok()).map(|node| node.version.as_str()).collect();
    if versions.len() > 1 {
        let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
        line(&mut text, format_args!("versions differ: {versions}"));
    }
    (text, faults)
}

/// A node's lines; gives back what is wrong with it.
fn one(text: &mut String, seen: &Seen, node: &NodeState, furthest: u64, now: Time) -> Vec<String> {
    let mut complaints: Vec<String> = seen.difference.iter().cloned().collect();
    let readiness = match (&seen.difference, node.is_ready) {
        (Some(_), _) => "NOT OURS",
        (None, true) => "ready",
        (None, false) => "NOT READY",
    };
    let shard = seen.shard.as_ref().map(|status| {
        let lag = furthest.saturating_sub(status.open.0);
        format!("  block {:<10} slot {:<12} {lag} behind", status.head.0, status.open.0)
    });
    let running = duration(node.running.0);
    let shard = shard.unwrap_or_default();
    line(text, format_args!("{:<28} {readiness:<10} {:<8} up {running:<10}{shard}", seen.name, node.version));
    if !node.is_ready || node.remarks.lines().count() > 1 {
        complaints.extend(node.remarks.lines().map(str::to_owned));
    }
    let apart = node.clock.0.abs_diff(now.0);
    if apart > CLOCKS_APART_MS_MAX + PEER_SILENT_MAX.as_millis() as u64 {
        complaints.push(format!("its clock is {} from this machine's", duration(apart)));
    }
    if node.certificate_until_s > 0 {
        let left_s = node.certificate_until_s.saturating_sub(now.0 / 1_000);
        if left_s < CERTIFICATE_DAYS_MIN * 86_400 {
            complaints.push(format!("its certificate ends in {}", duration(left_s * 1_000)));
        }
    }
    // A deadline is compared with the shard's own time (R10).
    let now = seen.shard.as_ref().map_or(now, |status| status.attested);
    let late = node.open_attempts.iter().filter(|attempt| attempt.deadline < now).count();
    if node.open_attempts_count > 0 {
        line(text, format_args!("  {} attempts are open", node.open_attempts_count));
        for attempt in node.open_attempts.iter().take(ATTEMPTS_TOLD_COUNT_MAX) {
            line(text, format_args!("    {}", attempt_line(attempt, now)));
        }
    }
    if let Some(locks) = seen.locks.as_ref().filter(|locks| locks.keys_count > 0 || locks.waiting_count > 0) {
        line(text, format_args!("  {}", locks_line(locks)));
    }
    if late > 0 {
        complaints.push(format!("{late} attempts are past their deadline and hold locks"));
    }
    complaints
}

fn line(text: &mut String, told: Text<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(told).and_then(|()| text.write_char('\n'));
}

/// An attempt, its age, and what it waits for.
fn attempt_line(attempt: &OpenAttempt, now: Time) -> String {
    let shards = attempt.participants.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let why = if attempt.deadline < now {
        format!(
            "{} past its deadline: waits for the votes of the others, who are asked",
            duration(now.0 - attempt.deadline.0)
        )
    } else {
        format!("{} to its deadline: waits for its coordinator's decision", duration(attempt.deadline.0 - now.0))
    };
    format!("{} of shards {shards}, {why}", attempt.id)
}

fn locks_line(locks: &LockCounts) -> String {
    let hottest =
        locks.hottest.first().map_or(String::new(), |hot| format!("; most met: {}, {} times", hot.key, hot.count));
    let LockCounts { keys_count, holders_count, waiting_count, .. } = locks;
    format!("{keys_count} keys are locked by {holders_count} attempts, {waiting_count} messages wait for one{hottest}")
}

fn route_line(route: &Route, now: Time) -> String {
    let Route { key, queued_count, dead_count, acknowledged_count, .. } = route;
    let paused = if route.paused { ", PAUSED" } else { "" };
    let oldest = route.oldest.map_or(String::new(), |time| format!(", the oldest for {}", duration(now.since(time).0)));
    let moved = route.progress.map_or(String::new(), |time| format!(", moved {} ago", duration(now.since(time).0)));
    let error = if route.last_error.is_empty() { String::new() } else { format!("; last: {}", route.last_error) };
    format!(
        "{} -> {}: {queued_count} under way{oldest}, {acknowledged_count} carried, {dead_count} given up{moved}{paused}{error}",
        key.source, key.destination
    )
}

/// So many milliseconds, for a person.
fn duration(ms: u64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Height;
    use wire::relay::RouteKey;
    use wire::shard::HotKey;
    use wire::state::LeafPlace;

    fn node(change: impl FnOnce(&mut NodeState)) -> Seen {
        let mut node = crate::sample::node("coordinator", NOW);
        change(&mut node);
        Seen::of("coordinator at http://x".to_owned(), Ok(node))
    }

    const NOW: Time = Time(1_000_000_000);

    #[test]
    fn a_network_that_is_well_has_a_line_for_each_node_and_no_fault() {
        let (text, faults) = told(&[node(|_| ())], NOW);
        assert_eq!(faults, 0, "{text}");
        assert!(
            text.contains("coordinator at http://x") && text.contains("ready") && text.contains("up 65 s"),
            "{text}"
        );
    }

    #[test]
    fn a_node_of_another_kind_is_named_as_what_it_is_and_is_a_fault() {
        let Ok(relay) = node(|node| node.name = "relay".to_owned()).node else { panic!("it answers") };
        let lacks = Err(Rejection::new(wire::Reason::Unsupported, "no such service"));
        let name = "coordinator at http://x".to_owned();
        let seen = told_by::<()>(name, COORDINATOR, Ok(relay), lacks).unwrap_err();
        let (text, faults) = told(&[*seen], NOW);
        assert_eq!(faults, 1, "{text}");
        assert!(text.contains("NOT OURS") && text.contains("! it is not coordinator: it says it is relay"), "{text}");
        assert!(!text.contains("no such service"), "{text}");
    }

    #[test]
    fn what_is_locked_and_what_moved_last_is_told() {
        let key = evm::StateKey::Account(alloy_primitives::Address::repeat_byte(7));
        let hottest = vec![HotKey { key, count: 9 }];
        let mut seen = node(|_| ());
        seen.locks = Some(LockCounts { keys_count: 12, holders_count: 3, waiting_count: 2, hottest });
        seen.routes = vec![Route {
            key: RouteKey { source: 1, destination: 2 },
            paused: false,
            cursor: LeafPlace { height: Height(1), index: 0 },
            queued_count: 4,
            dead_count: 0,
            acknowledged_count: 5,
            oldest: Some(Time(NOW.0 - 9_000)),
            progress: Some(Time(NOW.0 - 7_000)),
            last_error: String::new(),
        }];
        let (text, faults) = told(&[seen], NOW);
        assert_eq!(faults, 0, "{text}");
        assert!(text.contains("12 keys are locked by 3 attempts, 2 messages wait for one; most met: "), "{text}");
        let route = "1 -> 2: 4 under way, the oldest for 9 s, 5 carried, 0 given up, moved 7 s ago";
        assert!(text.contains(route), "{text}");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_node() {
        let silent = Seen::silent("shard 1".to_owned(), &"no answer");
        let late = OpenAttempt {
            id: alloy_primitives::B256::ZERO,
            participants: vec![ShardId(0), ShardId(1)],
            deadline: Time(NOW.0 - 90_000),
        };
        let nodes = [
            silent,
            node(|node| (node.is_ready, node.remarks) = (false, "starting".to_owned())),
            node(|node| node.clock = Time(NOW.0 + 3_600_000)),
            node(|node| node.certificate_until_s = NOW.0 / 1_000 + 86_400),
            node(|node| (node.open_attempts, node.open_attempts_count) = (vec![late], 1)),
            node(|node| node.version = "2.0.0".to_owned()),
        ];
        let (text, faults) = told(&nodes, NOW);
        assert_eq!(faults, 5, "{text}");
        for words in [
            "shard 1                      does not answer: no answer",
            "! starting",
            "! its clock is 60 min from this machine's",
            "! its certificate ends in 24 h",
            "90 s past its deadline: waits for the votes of the others",
            "! 1 attempts are past their deadline and hold locks",
            "versions differ: 1.0.0, 2.0.0",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
    }
}
