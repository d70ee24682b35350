//! What a host counts and measures: `dovetail_host_…`, in a registry whose prefix is `dovetail`.

use crate::CallError;
use primitives::ShardId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The instruments of one host. Clones count into the same.
#[derive(Debug, Clone)]
pub struct Instruments {
    pub(crate) steps: Counter,
    pub(crate) batches: Counter,
    pub(crate) step_inputs: Histogram,
    pub(crate) step_seconds: Histogram,
    pub(crate) commit_seconds: Histogram,
    pub(crate) queue_depth: Gauge,
    pub(crate) sends_dropped: Counter,
    pub(crate) disk_full: Gauge,
    pub(crate) calls: Counter,
    calls_refused: Family<Refusal, Counter>,
    accepted_refused: Counter,
    decisions: Family<DecisionLabel, Counter>,
    decided: Family<DecisionLabel, Counter>,
    equivocations: Counter,
    behind: Gauge,
    shards_behind: Family<ShardLabel, Gauge>,
    routes_paused: Family<RouteLabel, Gauge>,
    routes_taken_over: Family<RouteLabel, Counter>,
    handed_over: Counter,
    handed_over_again: Counter,
    reloads: Family<Outcome, Counter>,
    certificate_until: Gauge,
    logs_refused: Family<ShardLabel, Counter>,
    spans_taken: Counter,
    spans_lost: Family<Refusal, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    source: u32,
    destination: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabel {
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refusal {
    reason: &'static str,
}

impl Instruments {
    /// Makes the instruments and enters them in `registry`, the whole process's, whose prefix is `dovetail`.
    pub fn register(registry: &mut Registry) -> Self {
        let instruments = Self {
            steps: Counter::default(),
            batches: Counter::default(),
            step_inputs: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            // 10 µs to 5 s: a step is computation, a commit is one sync.
            step_seconds: Histogram::new(exponential_buckets(1e-5, 2.0, 20)),
            commit_seconds: Histogram::new(exponential_buckets(1e-5, 2.0, 20)),
            queue_depth: Gauge::default(),
            sends_dropped: Counter::default(),
            disk_full: Gauge::default(),
            calls: Counter::default(),
            calls_refused: Family::default(),
            accepted_refused: Counter::default(),
            decisions: Family::default(),
            decided: Family::default(),
            equivocations: Counter::default(),
            behind: Gauge::default(),
            shards_behind: Family::default(),
            routes_paused: Family::default(),
            routes_taken_over: Family::default(),
            handed_over: Counter::default(),
            handed_over_again: Counter::default(),
            reloads: Family::default(),
            certificate_until: Gauge::default(),
            logs_refused: Family::default(),
            spans_taken: Counter::default(),
            spans_lost: Family::default(),
        };
        let host = registry.sub_registry_with_prefix("host");
        host.register("steps", "Steps of the machine", instruments.steps.clone());
        host.register(
            "batches",
            "Batches written, each with one sync where the store syncs",
            instruments.batches.clone(),
        );
        host.register("step_inputs", "Inputs per step", instruments.step_inputs.clone());
        host.register("step_seconds", "Time in the machine per step", instruments.step_seconds.clone());
        host.register(
            "commit_seconds",
            "Time to commit a step's batch, sync included",
            instruments.commit_seconds.clone(),
        );
        host.register("queue_depth", "Inputs that wait for a step", instruments.queue_depth.clone());
        host.register("sends_dropped", "Sends dropped because no sender took them", instruments.sends_dropped.clone());
        host.register("disk_full", "1 while the disk is too full for new work", instruments.disk_full.clone());
        host.register("calls", "gRPC calls that came in, whatever became of them", instruments.calls.clone());
        host.register("calls_refused", "Calls refused before the machine saw them", instruments.calls_refused.clone());
        let text = "Times that settings were taken anew while the process ran (applied), or were not because one was wrong (refused)";
        host.register("reloads", text, instruments.reloads.clone());
        let text = "Until when the certificate in use is valid, in seconds since 1970; 0 where there is none";
        host.register("certificate_until_seconds", text, instruments.certificate_until.clone());
        let submissions = registry.sub_registry_with_prefix("submissions");
        let text = "Submissions that were accepted and ended without a commit; the log has each";
        submissions.register("accepted_refused", text, instruments.accepted_refused.clone());
        let commit = registry.sub_registry_with_prefix("commit");
        commit.register("decisions", "Attempts that a coordinator knows to be decided", instruments.decisions.clone());
        commit.register("decided", "Submissions in those attempts, once for each", instruments.decided.clone());
        let seen = registry.sub_registry_with_prefix("seen");
        let text = "Times that a shard was seen to have certified two blocks of one height";
        seen.register("equivocations", text, instruments.equivocations.clone());
        let text = "1 once this process's own store is known to be an old copy";
        seen.register("store_behind", text, instruments.behind.clone());
        let text = "1 while a shard's newest block is below what this process has seen of it";
        seen.register("shard_behind", text, instruments.shards_behind.clone());
        let relay = registry.sub_registry_with_prefix("relay");
        let text = "1 while an operator has a relay's route from one shard to another paused";
        relay.register("route_paused", text, instruments.routes_paused.clone());
        let text = "Times that this relay began to carry in the place of another that was silent, by where it carries from and to";
        relay.register("takeovers", text, instruments.routes_taken_over.clone());
        let text = "Receipts that this relay handed to shards and that were answered";
        relay.register("handed_over", text, instruments.handed_over.clone());
        let text = "Receipts among them that the shard had already: redundant";
        relay.register("handed_over_again", text, instruments.handed_over_again.clone());
        let index = registry.sub_registry_with_prefix("index");
        let text = "Pages of a shard's log that were refused because what proves them did not hold";
        index.register("logs_refused", text, instruments.logs_refused.clone());
        let traces = registry.sub_registry_with_prefix("traces");
        let text = "Spans of traces that the collector has taken";
        traces.register("spans_taken", text, instruments.spans_taken.clone());
        let text =
            "Spans of traces that were lost: the queue was full (queue_full), or no collector took them (not_taken)";
        traces.register("spans_lost", text, instruments.spans_lost.clone());
        instruments
    }

    /// Settings were changed while the process ran, and taken or not.
    pub(crate) fn reloaded(&self, is_applied: bool) {
        let outcome = if is_applied { "applied" } else { "refused" };
        self.reloads.get_or_create(&Outcome { outcome }).inc();
    }

    /// Until when the certificate in use is valid.
    pub(crate) fn certificate_until(&self, until_s: i64) {
        self.certificate_until.set(until_s);
    }

    /// A page of a shard's log was refused: it is not what the shard certified.
    pub fn log_refused(&self, shard: ShardId) {
        self.logs_refused.get_or_create(&ShardLabel { shard: shard.0 }).inc();
    }

    /// A relay carries in another's place.
    pub fn route_taken_over(&self, from: ShardId, to: ShardId) {
        let label = RouteLabel { source: from.0, destination: to.0 };
        self.routes_taken_over.get_or_create(&label).inc();
    }

    /// A shard has answered `count` receipts, of which it had `again` before.
    pub fn handed_over(&self, count: u64, again: u64) {
        self.handed_over.inc_by(count);
        self.handed_over_again.inc_by(again);
    }

    /// Whether an operator has a route paused.
    pub fn route_paused(&self, source: ShardId, destination: ShardId, is_paused: bool) {
        let label = RouteLabel { source: source.0, destination: destination.0 };
        self.routes_paused.get_or_create(&label).set(i64::from(is_paused));
    }

    /// Whether a shard's newest block is below what this process has seen of it.
    pub fn shard_behind(&self, shard: ShardId, is_behind: bool) {
        self.shards_behind.get_or_create(&ShardLabel { shard: shard.0 }).set(i64::from(is_behind));
    }

    /// A shard was seen to have certified two blocks of one height.
    pub fn equivocation(&self) {
        self.equivocations.inc();
    }

    /// This process's own store is an old copy.
    pub fn store_behind(&self) {
        self.behind.set(1);
    }

    /// An accepted submission ended without a commit.
    pub fn accepted_refused(&self) {
        self.accepted_refused.inc();
    }

    /// An attempt with so many submissions in it was decided.
    pub fn decided(&self, decision: &'static str, submissions: u64) {
        let label = DecisionLabel { decision };
        self.decisions.get_or_create(&label).inc();
        self.decided.get_or_create(&label).inc_by(submissions);
    }

    /// The collector has taken spans of traces.
    pub(crate) fn spans_taken(&self, count: u64) {
        self.spans_taken.inc_by(count);
    }

    /// Spans of traces were lost.
    pub(crate) fn spans_lost(&self, reason: &'static str, count: u64) {
        self.spans_lost.get_or_create(&Refusal { reason }).inc_by(count);
    }

    pub(crate) fn call_refused(&self, error: CallError) {
        let reason = match error {
            CallError::Busy => "busy",
            CallError::DiskFull => "disk_full",
            CallError::Stopped => "stopped",
        };
        self.calls_refused.get_or_create(&Refusal { reason }).inc();
    }
}
