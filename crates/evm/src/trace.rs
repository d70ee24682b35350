//! What a run does inside: the tracers of geth and of Parity, over calls and over transactions that were committed.
//!
//! ```text
//! slot n: [ earlier transactions: run, each compared with its receipt ] ── traced: run under an inspector, compared too ── told
//!         over the state after slot n - 1
//! ```
//!
//! A block shows what ran on different shards in the order of their clocks. Where that is not the order in which it ran, a
//! transaction does not come to its receipt: then one of the next [`REORDERED_COUNT_MAX`] that does is run first.
//!
//! Promise: a trace of a committed transaction is of a run that used the gas, ended as and wrote the logs that its receipt says;
//! else it is not told ([`TraceError::Differs`]). What a trace may take is bounded: [`TRACE_BYTES_MAX`], [`REPLAY_GAS_MAX`].
//! Knows nothing of JSON.
//! Source: geth, "Built-in tracers"; `OpenEthereum`, "JSONRPC trace module"; the crate revm-inspectors.

mod gauge;

use crate::bench::{Bench, Ran, Rules};
use crate::execute::{call_env, finished, foreseen};
use crate::simulate::{prepared, tx_env};
use crate::{CallRequest, ExecuteError, Funding, Ground, Outcome, Step, SystemTransaction, View};
use alloy_primitives::map::HashSet;
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::TransactionInfo;
use gauge::Gauge;
use primitives::Slot;
use revm::context::{BlockEnv, TxEnv};
use revm::context_interface::result::{ExecutionResult, HaltReason};
use revm_inspectors::tracing::{
    DebugInspector, TraceLimitBehavior, TraceLimits, TracingInspector, TracingInspectorConfig, TransactionContext,
};
use std::borrow::Cow;

pub use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
pub use alloy_rpc_types_trace::parity::{LocalizedTransactionTrace, TraceResults, TraceType};

/// The most bytes that one trace holds while it is made: stacks, memory, inputs.
pub const TRACE_BYTES_MAX: usize = 64 << 20;

/// The most gas that the transactions of a block may have used of which one or all are traced: all before it run again.
pub const REPLAY_GAS_MAX: u64 = 1_000_000_000;

/// Of how many transactions of a block all that they surely read is fetched at once.
const PREFETCHED_COUNT_MAX: usize = 100;

/// How far behind the first transaction that is still to run one may be that is run before it: an attempt of several homes is shown
/// home by home.
pub const REORDERED_COUNT_MAX: usize = crate::BATCH_COUNT_MAX;

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It does not run, or the view lacks values.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The tracer is not one of those that are known, or its settings are not its own.
    #[error("{reason}")]
    Tracer {
        /// What is wrong with it.
        reason: String,
    },
    /// The trace has too many bytes.
    #[error(
        "the trace holds more than {TRACE_BYTES_MAX} bytes: ask for less, by `limit`, `disableStack` or another tracer"
    )]
    TooLarge,
    /// Too much would have to run again.
    #[error("the block's transactions up to it used too much gas: at most {REPLAY_GAS_MAX} are run again for a trace")]
    TooMuch,
    /// It is the protocol's own, and what it called is not known.
    #[error("transaction {transaction} is the protocol's own, and its shard does not say what it called")]
    System {
        /// Its id.
        transaction: B256,
    },
    /// Runs came to something else than receipts say.
    #[error("transaction {transaction} did not come to its receipt when it was run again{}", if *.after_system {
        ", after a call of the protocol's own in its block that cannot be run again"
    } else {
        ""
    })]
    Differs {
        /// Which.
        transaction: B256,
        /// Whether something before it could not be run.
        after_system: bool,
    },
}

/// A transaction as a block shows it.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its place in the block that shows it.
    pub place: usize,
    /// Its hash.
    pub hash: B256,
    /// The slot that it ran at, which may be before that of the block that shows it.
    pub slot: Slot,
    /// What its receipt says.
    pub outcome: Outcome,
    /// What ran; none of the protocol's own where that is not known.
    pub transaction: Option<Step>,
}

impl Committed {
    /// What revm runs of it, by which rules, and the wei that come into being with it; none if it cannot be run.
    fn runnable(&self) -> Option<(Cow<'_, TxEnv>, Rules, U256)> {
        match self.transaction.as_ref()? {
            Step::Signed(signed) => {
                let rules = if signed.impersonates() { Rules::Named } else { Rules::Signed };
                Some((Cow::Borrowed(&signed.env), rules, U256::ZERO))
            }
            Step::System(SystemTransaction::Call { caller, target, input, gas_limit, value, funding }) => {
                let call = call_env((*caller, *target), input, *gas_limit, *value);
                let minted = if *funding == Funding::Minted { *value } else { U256::ZERO };
                Some((Cow::Owned(call), Rules::Own, minted))
            }
            // Nothing is told of what moves wei alone: no block shows it.
            Step::System(_) => None,
        }
    }
}

/// Who looks at a run.
#[derive(Debug, Clone)]
pub enum Tracer {
    /// One of geth's.
    Geth(Box<GethDebugTracingOptions>),
    /// Parity's calls, one after the other.
    Flat,
    /// Parity's `trace`, `vmTrace` and `stateDiff`.
    Parity(HashSet<TraceType>),
}

/// What was seen.
#[derive(Debug, Clone)]
pub enum Trace {
    /// By [`Tracer::Geth`].
    Geth(Box<GethTrace>),
    /// By [`Tracer::Flat`].
    Flat(Vec<LocalizedTransactionTrace>),
    /// By [`Tracer::Parity`].
    Parity(Box<TraceResults>),
}

/// Which transactions of a block are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    All,
    /// The one at this index of those that are given.
    One(usize),
}

impl Wanted {
    fn includes(self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::One(wanted) => wanted == index,
        }
    }
}

/// What `tracer` sees of `call` over `view`, and what the call comes to.
pub fn trace_call(
    ground: &Ground<'_>,
    call: &CallRequest,
    tracer: &Tracer,
    view: &dyn View,
) -> Result<(Outcome, Trace), TraceError> {
    let mut bench = prepared(ground, call, view)?;
    let most = ground.params.transaction_gas_max();
    let tx = tx_env(ground, call, call.gas_limit.map_or(most, |limit| limit.min(most)));
    let (ran, trace) = watched(&mut bench, &tx, Rules::Call, tracer, TransactionInfo::default())?;
    Ok((finished(ran.result), trace))
}

/// What `tracer` sees of the `wanted` ones of `block`, which is all that ran at one slot, in order, over the state before it.
///
/// The answer has one trace for each that was wanted and of which it is known what ran, by its place.
pub fn trace_block(
    ground: &Ground<'_>,
    block: &[Committed],
    wanted: Wanted,
    tracer: &Tracer,
    view: &dyn View,
) -> Result<Vec<(usize, Trace)>, TraceError> {
    if let Wanted::One(index) = wanted
        && let Some(lost) = block.get(index).filter(|committed| committed.runnable().is_none())
    {
        return Err(TraceError::System { transaction: lost.hash });
    }
    let mut replay = Replay { bench: Bench::new(ground, view), tracer, wanted, after_system: false, gas: 0 };
    let known = block.iter().take(PREFETCHED_COUNT_MAX).filter_map(|committed| committed.transaction.as_ref());
    replay.bench.prefetch(known.flat_map(foreseen))?;
    let mut seen = replay.all(block)?;
    seen.sort_by_key(|(place, _)| *place);
    Ok(seen)
}

/// A block that is being run again.
struct Replay<'a, 't> {
    bench: Bench<'a>,
    tracer: &'t Tracer,
    wanted: Wanted,
    after_system: bool,
    gas: u64,
}

/// What running a transaction again came to.
enum Came {
    /// To its receipt.
    Back(Option<Trace>),
    /// To something else.
    Elsewhere,
}

impl Replay<'_, '_> {
    fn all(&mut self, block: &[Committed]) -> Result<Vec<(usize, Trace)>, TraceError> {
        let mut waiting: Vec<usize> = (0..block.len()).collect();
        let mut seen = Vec::new();
        while !waiting.is_empty() && (self.wanted == Wanted::All || seen.is_empty()) {
            let (place, trace) = self.first_of(block, &waiting)?;
            let index = waiting.remove(place);
            seen.extend(trace.map(|trace| (block[index].place, trace)));
        }
        Ok(seen)
    }

    /// Runs the first of those `waiting` that comes to its receipt; says which, and what was seen of it.
    fn first_of(&mut self, block: &[Committed], waiting: &[usize]) -> Result<(usize, Option<Trace>), TraceError> {
        for (place, index) in waiting.iter().take(REORDERED_COUNT_MAX + 1).enumerate() {
            // What cannot be run is passed over in its own place, not before.
            if place > 0 && block[*index].runnable().is_none() {
                continue;
            }
            if let Came::Back(trace) = self.one(*index, &block[*index])? {
                return Ok((place, trace));
            }
        }
        let transaction = waiting.first().map_or(B256::ZERO, |index| block[*index].hash);
        Err(TraceError::Differs { transaction, after_system: self.after_system })
    }

    fn one(&mut self, index: usize, committed: &Committed) -> Result<Came, TraceError> {
        let Some((tx, rules, minted)) = committed.runnable() else {
            self.after_system = true;
            return Ok(Came::Back(None));
        };
        self.gas = self.gas.saturating_add(committed.outcome.gas_used);
        if self.gas > REPLAY_GAS_MAX {
            return Err(TraceError::TooMuch);
        }
        self.bench.block = self.block_of(committed);
        let unminted = if minted.is_zero() { None } else { Some(self.bench.mint(tx.caller, minted)?) };
        let came = match self.run(index, committed, &tx, rules) {
            Ok((Ran { result, .. }, _)) if !is_as_committed(&result, &committed.outcome) => Came::Elsewhere,
            Ok((Ran { state, .. }, trace)) => {
                self.bench.keep(state);
                Came::Back(trace)
            }
            // What was committed was valid: if it is not here, the state is another.
            Err(TraceError::Execute(ExecuteError::Invalid { .. })) => Came::Elsewhere,
            Err(error) => return Err(error),
        };
        if let (Came::Elsewhere, Some(before)) = (&came, unminted) {
            self.bench.restore(before);
        }
        Ok(came)
    }

    /// The block that one ran in. What the protocol does itself sees the time of its slot, wherever time was moved to.
    fn block_of(&self, committed: &Committed) -> BlockEnv {
        let ground = self.bench.ground();
        match &committed.transaction {
            Some(Step::System(_)) => ground.params.block_of(committed.slot).block_env(),
            _ => ground.block_of(committed.slot).block_env(),
        }
    }

    /// Runs one, before the tracer's eyes if it is wanted.
    fn run(
        &mut self,
        index: usize,
        committed: &Committed,
        tx: &TxEnv,
        rules: Rules,
    ) -> Result<(Ran, Option<Trace>), TraceError> {
        if !self.wanted.includes(index) {
            return Ok((self.bench.run(tx, rules)?, None));
        }
        let (hash, index) = (Some(committed.hash), Some(committed.place as u64));
        let info = TransactionInfo { hash, index, ..TransactionInfo::default() };
        let (ran, trace) = watched(&mut self.bench, tx, rules, self.tracer, info)?;
        Ok((ran, Some(trace)))
    }
}

fn is_as_committed(result: &ExecutionResult<HaltReason>, committed: &Outcome) -> bool {
    let outcome = finished(result.clone());
    let told = |outcome: &Outcome| (outcome.status, outcome.gas_used, outcome.created);
    told(&outcome) == told(committed) && outcome.logs == committed.logs && outcome.output == committed.output
}

/// Runs `tx` under `tracer`; keeps nothing.
fn watched(
    bench: &mut Bench<'_>,
    tx: &TxEnv,
    rules: Rules,
    tracer: &Tracer,
    info: TransactionInfo,
) -> Result<(Ran, Trace), TraceError> {
    match tracer {
        Tracer::Geth(options) => geth(bench, tx, rules, options, info),
        Tracer::Flat => flat(bench, tx, rules, info),
        Tracer::Parity(types) => parity(bench, tx, rules, types),
    }
}

fn geth(
    bench: &mut Bench<'_>,
    tx: &TxEnv,
    rules: Rules,
    options: &GethDebugTracingOptions,
    info: TransactionInfo,
) -> Result<(Ran, Trace), TraceError> {
    let mut inspector = debugger(options)?;
    let mut gauge = gauge_for(&inspector);
    let ran = bench.watch(tx, rules, &mut (&mut gauge, &mut inspector));
    let ran = gauge.checked(ran)?;
    let block = bench.block.clone();
    let context = TransactionContext::from(info);
    let trace = bench.before(|before| inspector.get_result(Some(context), tx, &block, &ran, before))?;
    let trace = trace.map_err(|error| TraceError::Tracer { reason: error.to_string() })?;
    Ok((ran, Trace::Geth(Box::new(trace))))
}

/// geth's tracer of these options, within bounds.
fn debugger(options: &GethDebugTracingOptions) -> Result<DebugInspector, TraceError> {
    let mut inspector =
        DebugInspector::new(options.clone()).map_err(|error| TraceError::Tracer { reason: error.to_string() })?;
    match &mut inspector {
        DebugInspector::CallTracer(inner, _)
        | DebugInspector::PreStateTracer(inner, _)
        | DebugInspector::FlatCallTracer(inner)
        | DebugInspector::Erc7562Tracer(inner, _)
        | DebugInspector::Default(inner, _) => *inner = bounded(std::mem::take(inner)),
        _ => {}
    }
    Ok(inspector)
}

fn bounded(inspector: TracingInspector) -> TracingInspector {
    let limits = TraceLimits::default().set_max_recorded_bytes(Some(TRACE_BYTES_MAX));
    inspector.with_limits(limits.set_behavior(TraceLimitBehavior::Halt))
}

fn gauge_for(inspector: &DebugInspector) -> Gauge {
    let limit = match inspector {
        DebugInspector::Default(inner, _) => inner.config().step_limit,
        DebugInspector::Erc7562Tracer(..) => None,
        _ => return Gauge::of_calls(),
    };
    Gauge::of_steps(limit.map(std::num::NonZeroU64::get))
}

fn flat(bench: &mut Bench<'_>, tx: &TxEnv, rules: Rules, info: TransactionInfo) -> Result<(Ran, Trace), TraceError> {
    let mut inspector = bounded(TracingInspector::new(TracingInspectorConfig::default_parity()));
    let mut gauge = Gauge::of_calls();
    let ran = bench.watch(tx, rules, &mut (&mut gauge, &mut inspector));
    let ran = gauge.checked(ran)?;
    inspector.set_transaction_caller(tx.caller);
    Ok((ran, Trace::Flat(inspector.into_parity_builder().into_localized_transaction_traces(info))))
}

fn parity(
    bench: &mut Bench<'_>,
    tx: &TxEnv,
    rules: Rules,
    types: &HashSet<TraceType>,
) -> Result<(Ran, Trace), TraceError> {
    let mut inspector = bounded(TracingInspector::new(TracingInspectorConfig::from_parity_config(types)));
    let mut gauge = if types.contains(&TraceType::VmTrace) { Gauge::of_steps(None) } else { Gauge::of_calls() };
    let ran = bench.watch(tx, rules, &mut (&mut gauge, &mut inspector));
    let ran = gauge.checked(ran)?;
    inspector.set_transaction_caller(tx.caller);
    let builder = inspector.into_parity_builder();
    let results =
        bench.before(|before| builder.into_trace_results_with_state_parts(&ran.result, &ran.state, types, &*before))?;
    let results = results.map_err(|stop| ExecuteError::Evm { reason: stop.to_string() })?;
    Ok((ran, Trace::Parity(Box::new(results))))
}
