//! What a load has cost: CPU by process, synced batches, steps, inputs, and how idle the machine was.

use cluster::counters::Counters;
use cluster::{Cluster, Node};
use eyre::{Result, WrapErr, eyre};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Sub;

/// Clock ticks per second in `/proc/<pid>/stat`: fixed in Linux's user interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// One process so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// Seconds in user mode and in the kernel.
    pub(crate) cpu: f64,
    /// Of which in the kernel.
    pub(crate) kernel: f64,
    /// Synced batches.
    pub(crate) syncs: f64,
    /// Steps of its machine.
    pub(crate) steps: f64,
    /// Inputs of those.
    pub(crate) inputs: f64,
    /// Calls that came in.
    pub(crate) calls: f64,
    /// Attempts that were decided.
    pub(crate) decisions: f64,
    /// Submissions in those.
    pub(crate) decided: f64,
    /// Of these, in attempts that were aborted.
    pub(crate) aborted: f64,
    /// Seconds in steps.
    pub(crate) stepping: f64,
    /// Seconds in committing what steps wrote, synced where the store syncs.
    pub(crate) committing: f64,
}

/// All processes, the clients' and the machine so far; the difference of two is what was between.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage {
    /// The network's processes.
    pub(crate) nodes: BTreeMap<Node, Spent>,
    /// CPU seconds of this process: clients, their signatures and their ends of the calls.
    pub(crate) clients: f64,
    /// CPU seconds of a baseline's processes.
    pub(crate) beside: f64,
    /// Core seconds that nobody wanted.
    pub(crate) idle: f64,
    /// Context switches of the whole machine.
    pub(crate) switches: f64,
}

impl Usage {
    /// Now.
    pub(crate) fn now(cluster: &Cluster) -> Result<Self> {
        let nodes = cluster.nodes().map(|(node, pid)| Ok((node, Spent::now(cluster, node, pid)?)));
        let stat = fs::read_to_string("/proc/stat")?;
        let line = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().filter_map(|field| field.parse().ok()).collect::<Vec<f64>>()
        };
        Ok(Self {
            nodes: nodes.collect::<Result<_>>()?,
            clients: cpu(std::process::id())?.0,
            beside: 0.0,
            // user, nice, system, idle, iowait
            idle: line("cpu ").iter().skip(3).take(2).sum::<f64>() / TICKS_PER_SECOND,
            switches: line("ctxt ").iter().sum(),
        })
    }

    /// The network's processes together.
    pub(crate) fn network(&self) -> Spent {
        let beside = Spent { cpu: self.beside, ..Spent::default() };
        self.nodes.values().fold(beside, |sum, spent| sum.with(spent, |a, b| a + b))
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let since = |(node, spent): (Node, Spent)| {
            let before = before.nodes.get(&node).copied().unwrap_or_default();
            (node, spent.with(&before, |a, b| a - b))
        };
        Self {
            nodes: self.nodes.into_iter().map(since).collect(),
            clients: self.clients - before.clients,
            beside: self.beside - before.beside,
            idle: self.idle - before.idle,
            switches: self.switches - before.switches,
        }
    }
}

impl Spent {
    fn now(cluster: &Cluster, node: Node, pid: u32) -> Result<Self> {
        let (cpu, kernel) = cpu(pid)?;
        let counters = Counters::read(cluster, node)?;
        Ok(Self {
            cpu,
            kernel,
            syncs: counters.get("dovetail_host_batches_total"),
            steps: counters.get("dovetail_host_steps_total"),
            inputs: counters.get("dovetail_host_step_inputs_sum"),
            calls: counters.get("dovetail_host_calls_total"),
            decisions: counters.sum("dovetail_commit_decisions_total"),
            decided: counters.sum("dovetail_commit_decided_total"),
            aborted: counters.get("dovetail_commit_decided_total{decision=\"abort\"}"),
            stepping: counters.get("dovetail_host_step_seconds_sum"),
            committing: counters.get("dovetail_host_commit_seconds_sum"),
        })
    }

    fn with(&self, other: &Self, both: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            cpu: both(self.cpu, other.cpu),
            kernel: both(self.kernel, other.kernel),
            syncs: both(self.syncs, other.syncs),
            steps: both(self.steps, other.steps),
            inputs: both(self.inputs, other.inputs),
            calls: both(self.calls, other.calls),
            decisions: both(self.decisions, other.decisions),
            decided: both(self.decided, other.decided),
            aborted: both(self.aborted, other.aborted),
            stepping: both(self.stepping, other.stepping),
            committing: both(self.committing, other.committing),
        }
    }
}

/// CPU seconds of a process so far, and those in the kernel.
pub(crate) fn cpu(pid: u32) -> Result<(f64, f64)> {
    let [user, kernel, ..] = times(pid)?;
    Ok((user + kernel, kernel))
}

/// CPU seconds of a process and of all its children, those that have ended included.
pub(crate) fn cpu_with_children(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(&path).wrap_err(path)?;
    let mut sum = times(pid)?.iter().sum();
    for child in children.split_whitespace() {
        // One that has ended since is its parent's by now, or will be counted next time.
        sum += times(child.parse()?).map_or(0.0, |times| times[..2].iter().sum());
    }
    Ok(sum)
}

/// CPU seconds of a process in user mode and in the kernel, and the same of its children that have ended.
fn times(pid: u32) -> Result<[f64; 4]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).wrap_err_with(|| format!("process {pid} is gone"))?;
    // The second field may have spaces; what follows its closing parenthesis has none inside fields.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(4).map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
    let ticks = <[f64; 4]>::try_from(ticks).map_err(|_| eyre!("process {pid} has no times"))?;
    Ok(ticks.map(|ticks| ticks / TICKS_PER_SECOND))
}
