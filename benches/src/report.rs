//! The table: rates beside their ratio to plain revm, latencies, and what each transaction cost.

use crate::backlog::{self, Backlog, Cost, Idle};
use crate::disk::Disk;
use crate::exchange::Costs;
use crate::inbox::{self, Inbox};
use crate::inside::{self, Mainnet};
use crate::load::Load;
use crate::meter::Spent;
use crate::reads::{self, Reads};
use eyre::{Result, WrapErr};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How many spaces of the stores are told.
const SPACES_TOLD_COUNT: usize = 14;

/// Prints as it goes.
#[derive(Debug)]
pub(crate) struct Report {
    lines: Vec<String>,
}

impl Report {
    /// Says what it runs on.
    pub(crate) fn begin() -> Self {
        let machine = format!("machine: {}; load and network share them", machine());
        let profile = if cfg!(debug_assertions) { "debug assertions on: not for quoting" } else { "release" };
        let mut report = Self { lines: Vec::new() };
        report.line(machine);
        report.line(format!("build: {profile}"));
        report
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
        self.line(format!(
            "{:<58} {:>10.0}/s  x{:<9.5} p50 {:>6.1} ms  p90 {:>6.1}  p99 {:>6.1}  p99.9 {:>6.1}  max {:>6.1}  refused {}",
            load.name,
            load.per_second(),
            load.per_second() / plain,
            load.millis(0.5),
            load.millis(0.9),
            load.millis(0.99),
            load.millis(0.999),
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
        if let Some(disk) = &load.disk {
            self.disk(disk);
        }
    }

    fn cost(&mut self, load: &Load) {
        let count = load.latency.len().max(1) as f64;
        let (usage, network) = (&load.usage, load.usage.network());
        self.line(format!(
            "    each: cpu {:.0} µs of the network ({:.0} in the kernel), {:.0} of the clients; {:.2} syncs, {:.2} steps, \
             {:.2} inputs, {:.2} calls, {:.1} context switches; {}{:.2} cores idle",
            network.cpu / count * 1e6,
            network.kernel / count * 1e6,
            usage.clients / count * 1e6,
            network.syncs / count,
            network.steps / count,
            network.inputs / count,
            network.calls / count,
            usage.switches / count,
            attempts(&network),
            usage.idle / load.elapsed.as_secs_f64(),
        ));
        for (node, spent) in &usage.nodes {
            self.line(format!(
                "      {node:<16} cpu {:>5.0} µs ({:>4.0} in the kernel)  {:>6.0} syncs/s  {:>6.1} inputs a step of {:.0} µs, its batch {:.0} µs",
                spent.cpu / count * 1e6,
                spent.kernel / count * 1e6,
                spent.syncs / load.elapsed.as_secs_f64(),
                spent.inputs / spent.steps.max(1.0),
                spent.stepping / spent.steps.max(1.0) * 1e6,
                spent.committing / spent.steps.max(1.0) * 1e6,
            ));
        }
    }

    /// What is on the disks for each transaction, the largest spaces first.
    fn disk(&mut self, disk: &Disk) {
        let shards: Vec<String> = disk.shards.iter().map(|bytes| format!("{:.0}", disk.each(*bytes))).collect();
        self.line(format!(
            "    disk: {} bytes of its shards, each of {} committed, compacted; {:.0} of the chain index",
            shards.join(" + "),
            disk.committed,
            disk.each(disk.indexes),
        ));
        let mut spaces: Vec<_> = disk.spaces.iter().collect();
        spaces.sort_by_key(|(_, (bytes, _))| std::cmp::Reverse(*bytes));
        let told = |(name, (bytes, rows)): &(&String, &(u64, u64))| {
            let name = name.trim_start_matches("shard_");
            format!("{name} {:.0} ({:.2} rows)", disk.each(*bytes), disk.each(*rows))
        };
        let told: Vec<String> = spaces.iter().take(SPACES_TOLD_COUNT).map(told).collect();
        self.line(format!("      {}", told.join(", ")));
    }

    /// CPU of one transaction by the number of shards, and how much more it is than over the fewest.
    pub(crate) fn costs(&mut self, name: &str, costs: &[(u32, f64)]) {
        self.line(name.to_owned());
        let least = costs.first().map_or(f64::NAN, |(_, cost)| *cost);
        for (shards, cost) in costs {
            self.line(format!("    {shards:>3} shards {:>7.0} µs of CPU each  x{:.2}", cost * 1e6, cost / least));
        }
    }

    /// What a message cost, phase by phase, in each part of an exchange.
    pub(crate) fn exchange(&mut self, name: &str, parts: &[Costs]) {
        self.line(format!("{name}: µs of CPU each, in each of {} parts of it", parts.len()));
        let of = |what: &dyn Fn(&Costs) -> Duration| {
            let each = parts.iter().map(|part| format!("{:>8.1}", what(part).as_secs_f64() * 1e6));
            each.collect::<String>()
        };
        for phase in parts.first().into_iter().flat_map(Costs::keys) {
            self.line(format!("    {phase:<34}{}", of(&|part| part.get(phase).copied().unwrap_or_default())));
        }
        self.line(format!("    {:<34}{}", "all", of(&|part| part.values().sum())));
    }

    /// Blocks of Ethereum over shards, beside one plain EVM.
    pub(crate) fn mainnet(&mut self, mainnet: &Mainnet) {
        let (sharded, plain) = (mainnet.sharded.as_secs_f64(), mainnet.plain.as_secs_f64());
        self.line(format!(
            "{}: {} blocks, {} transactions, {:.2} participants each: {:.2} s, plain revm {:.3} s, x{:.2}, that is {:.2} x (1 + participants)",
            inside::MAINNET_NAME,
            mainnet.blocks,
            mainnet.transactions,
            mainnet.participants,
            sharded,
            plain,
            sharded / plain,
            sharded / plain / (1.0 + mainnet.participants),
        ));
    }

    /// Receipts from outbox to inbox, and where their time went.
    pub(crate) fn inbox(&mut self, inbox: &Inbox, plain: f64) {
        self.rate(inbox::NAME, inbox.per_second(), plain);
        let each = |spent: Duration| spent.as_secs_f64() / inbox.receipts as f64 * 1e6;
        let phases = inbox.costs.iter().map(|(phase, spent)| format!("{phase} {:.1} µs", each(*spent)));
        self.line(format!(
            "    each: {}; {:.0} a second by the clock",
            phases.collect::<Vec<_>>().join(", "),
            inbox.receipts as f64 / inbox.elapsed.as_secs_f64()
        ));
    }

    /// How a relay came through a backlog.
    pub(crate) fn backlog(&mut self, backlog: &Backlog, nats: Result<Duration, String>) {
        let Backlog { waiting, sent, ready, newest, before_newest, all, cpu } = backlog;
        self.line(format!(
            "{}/{waiting} messages, sent in {:.0} s; a relay with an empty folder: ready after {:.1} s, the newest acknowledged after {:.1} s \
             ({:.1} % of the others were), all after {:.0} s, {:.0} a second, cpu {:.0} µs each",
            backlog::NAME,
            sent.as_secs_f64(),
            ready.as_secs_f64(),
            newest.as_secs_f64(),
            *before_newest as f64 / *waiting as f64 * 100.0,
            all.as_secs_f64(),
            *waiting as f64 / all.as_secs_f64(),
            cpu / *waiting as f64 * 1e6,
        ));
        match nats {
            Ok(all) => self.line(format!(
                "    NATS JetStream, sync always: a consumer had all of as many after {:.1} s, in their order, the newest last",
                all.as_secs_f64()
            )),
            Err(reason) => self.skipped("    NATS JetStream", &reason),
        }
    }

    /// What routes cost on which nothing is sent.
    pub(crate) fn idle(&mut self, idle: &Idle) {
        let seconds = idle.elapsed.as_secs_f64();
        self.line(format!(
            "{}/{} routes for {seconds:.0} s, shards and relays together",
            backlog::IDLE_NAME,
            idle.routes
        ));
        for (name, Cost { batches, disk_bytes, cpu }) in [("two relays", idle.with), ("no relay", idle.without)] {
            let cpu = cpu / seconds * 1e3;
            self.line(format!(
                "    {name:<12} {batches:>6.0} batches  {disk_bytes:>9} bytes to disks  cpu {cpu:>6.1} ms a second"
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

    /// All of it once more, together, and into a file if one is named.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn end(self, file: Option<&Path>) -> Result<()> {
        let text = self.lines.join("\n");
        host::say!("\n{text}");
        let written = file.map(|path| fs::write(path, text + "\n").wrap_err_with(|| path.display().to_string()));
        written.unwrap_or(Ok(()))
    }
}

/// What it runs on.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}", model.trim_matches([' ', '\t', ':']))
}

/// How many went together, and how many of those that went had to go again.
fn attempts(network: &Spent) -> String {
    if network.decisions < 1.0 {
        return String::new();
    }
    let (batch, aborted) = (network.decided / network.decisions, network.aborted / network.decided * 100.0);
    format!("{batch:.2} in an attempt, {aborted:.2} % aborted; ")
}
