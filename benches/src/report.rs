//! The table: rates beside their ratio to plain revm, latencies, and what each transaction cost.

use crate::load::Load;
use crate::reads::{self, Reads};
use std::fs;
use std::time::Duration;

/// Prints as it goes.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Vec<String>,
}

impl Report {
    /// Says what it runs on.
    pub(crate) fn begin() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_matches([' ', '\t', ':']);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        host::say!("machine: {cores} cores, {model}; load and network share them");
        let profile = if cfg!(debug_assertions) { "debug assertions on: not for quoting" } else { "release" };
        host::say!("build: {profile}");
        Self { lines: Vec::new() }
    }

    /// A rate, and its ratio to plain revm.
    pub(crate) fn rate(&mut self, name: &str, per_second: f64, plain: f64) {
        self.line(format!("{name:<58} {per_second:>10.0}/s  x{:<9.5}", per_second / plain));
    }

    /// A row that cannot be run here, and why.
    pub(crate) fn skipped(&mut self, name: &str, why: &str) {
        self.line(format!("{name:<58} skipped: {why}"));
    }

    /// A load's goodput, latencies and cost.
    pub(crate) fn load(&mut self, load: &Load, plain: f64) {
        let ms = |quantile| load.latency.value_at_quantile(quantile) as f64 / 1000.0;
        self.line(format!(
            "{:<58} {:>10.0}/s  x{:<9.5} p50 {:>6.1} ms  p90 {:>6.1}  p99 {:>6.1}  p99.9 {:>6.1}  max {:>6.1}  refused {}",
            load.name,
            load.per_second(),
            load.per_second() / plain,
            ms(0.5),
            ms(0.9),
            ms(0.99),
            ms(0.999),
            load.latency.max() as f64 / 1000.0,
            load.refused,
        ));
        let windows: Vec<String> = load.windows_per_second().map(|rate| format!("{rate:.0}")).collect();
        self.line(format!(
            "    per second in each sixth of {:.0} s: {}",
            load.elapsed.as_secs_f64(),
            windows.join(" ")
        ));
        self.cost(load);
    }

    fn cost(&mut self, load: &Load) {
        let count = load.latency.len().max(1) as f64;
        let (usage, network) = (&load.usage, load.usage.network());
        self.line(format!(
            "    each: cpu {:.0} µs of the network ({:.0} in the kernel), {:.0} of the clients; {:.2} syncs, {:.2} steps, \
             {:.2} inputs, {:.2} calls, {:.1} context switches; {:.2} cores idle",
            network.cpu / count * 1e6,
            network.kernel / count * 1e6,
            usage.clients / count * 1e6,
            network.syncs / count,
            network.steps / count,
            network.inputs / count,
            network.calls / count,
            usage.switches / count,
            usage.idle / load.elapsed.as_secs_f64(),
        ));
        for (node, spent) in &usage.nodes {
            self.line(format!(
                "      {node:<16} cpu {:>5.0} µs ({:>4.0} in the kernel)  {:>6.0} syncs/s  {:>6.1} inputs a step",
                spent.cpu / count * 1e6,
                spent.kernel / count * 1e6,
                spent.syncs / load.elapsed.as_secs_f64(),
                spent.inputs / spent.steps.max(1.0),
            ));
        }
    }

    /// Answers a second to each question, beside anvil's, and what the history takes.
    pub(crate) fn reads(&mut self, reads: &Reads) {
        let history = reads.history as f64;
        self.line(format!("{} over {} transactions", reads::NAME, reads.history));
        if let Err(reason) = &reads.anvil {
            self.line(format!("    anvil skipped: {reason}"));
        }
        for (number, question) in reads::QUESTIONS.iter().enumerate() {
            let ours = reads.ours[number];
            let beside = reads.anvil.as_ref().ok().map(|(rates, _)| rates[number]);
            let beside = beside.map(|rate| format!("   anvil {rate:>8.0}/s  x{:.2}", ours / rate)).unwrap_or_default();
            self.line(format!("    {question:<44} {ours:>8.0}/s{beside}"));
        }
        let made = |filled: Duration| history / filled.as_secs_f64();
        let beside =
            reads.anvil.as_ref().map(|(_, filled)| format!(", anvil {:.0}/s", made(*filled))).unwrap_or_default();
        self.line(format!("    the history was made at {:.0} transactions/s{beside}", made(reads.filled)));
        self.line(format!(
            "    chain index {:.0} bytes a transaction, shard {:.0}; an index that was deleted is whole again after {:.1} s, {:.0} transactions/s",
            reads.index_bytes as f64 / history,
            reads.shard_bytes as f64 / history,
            reads.caught_up.as_secs_f64(),
            history / reads.caught_up.as_secs_f64(),
        ));
    }

    fn line(&mut self, line: String) {
        host::say!("{line}");
        self.lines.push(line);
    }

    /// All of it once more, together.
    pub(crate) fn end(self) {
        host::say!("\n{}", self.lines.join("\n"));
    }
}
