//! Blocks that never were: calls one after the other, block after block, each seeing what those before it did (`eth_simulateV1`).
//!
//! Promise: all calls together use at most [`CALL_GAS_MAX`] gas, and none more than its block holds.
//! Source: execution-apis, `eth_simulateV1`; geth, `internal/ethapi/simulate.go`.

mod transfers;

use crate::bench::{Bench, Ran, Rules};
use crate::overrides::{AccountOverride, BlockOverrides};
use crate::simulate::{answered, tx_env};
use crate::{Answered, CALL_GAS_MAX, CallPrice, CallRequest, ExecuteError, Ground, View};
use alloy_primitives::Address;
use primitives::Slot;
use std::collections::BTreeMap;
use transfers::TransferLogs;

pub use transfers::TRANSFERS_ADDRESS;

/// A block that never was.
#[derive(Debug, Clone)]
pub struct BlockPlan {
    /// The slot whose block it is like, but for `block`.
    pub slot: Slot,
    /// What of it is otherwise.
    pub block: BlockOverrides,
    /// Accounts that are otherwise from it on.
    pub accounts: BTreeMap<Address, AccountOverride>,
    /// Its calls, in order.
    pub calls: Vec<CallRequest>,
}

/// What is asked of calls in blocks that never were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// What is asked of a call: that it can pay the price that it names.
    AsCalls,
    /// What is asked of a transaction, but for the signature: nonce, price, code of the sender.
    AsTransactions,
}

/// Whether wei that moves is told as logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfers {
    /// Only what contracts log is told.
    Silent,
    /// Wei that moves is told as if [`TRANSFERS_ADDRESS`] were a token of it.
    Logged,
}

/// A call in a block that never was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedCall {
    /// How it ended.
    pub answered: Answered,
    /// Gas that it had used before refunds.
    pub gas_most: u64,
    /// Gas that it could have used.
    pub gas_limit: u64,
    /// Its sender's nonce.
    pub nonce: u64,
}

/// Why there are no such blocks.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A call could not be in its block, or the view lacks values.
    #[error("{error}")]
    Execute {
        /// Why.
        #[from]
        error: ExecuteError,
    },
    /// A call asks for more gas than its block has left.
    #[error("block gas limit reached: {wanted} >= {left}")]
    BlockFull {
        /// What it asks for.
        wanted: u64,
        /// What is left.
        left: u64,
    },
    /// All calls together used what they may.
    #[error("the calls use more than {CALL_GAS_MAX} gas, which is all that they may together")]
    GasGone,
}

/// Runs the calls of `blocks` one after the other over `view`; answers those of each block.
pub fn simulate_blocks(
    ground: &Ground<'_>,
    blocks: &[BlockPlan],
    (checks, transfers): (Checks, Transfers),
    view: &dyn View,
) -> Result<Vec<Vec<SimulatedCall>>, SimulateError> {
    let mut series = Series { bench: Bench::new(ground, view), checks, transfers, gas_left: CALL_GAS_MAX };
    blocks.iter().map(|plan| series.block(plan)).collect()
}

struct Series<'a> {
    bench: Bench<'a>,
    checks: Checks,
    transfers: Transfers,
    gas_left: u64,
}

impl Series<'_> {
    fn block(&mut self, plan: &BlockPlan) -> Result<Vec<SimulatedCall>, SimulateError> {
        let mut env = plan.block.over(&self.bench.ground().block_of(plan.slot));
        if self.checks == Checks::AsCalls && plan.block.base_fee.is_none() {
            env.basefee = 0;
        }
        self.bench.block = env;
        // Precompiles are where they belong in every block that does not move them itself: as in geth.
        self.bench.unmove();
        for (address, wanted) in &plan.accounts {
            self.bench.replace(*address, wanted)?;
        }
        let mut left = self.bench.block.gas_limit;
        let mut calls = Vec::with_capacity(plan.calls.len());
        for call in &plan.calls {
            let simulated = self.call(call, left)?;
            left = left.saturating_sub(simulated.answered.outcome.gas_used);
            calls.push(simulated);
        }
        Ok(calls)
    }

    fn call(&mut self, call: &CallRequest, left: u64) -> Result<SimulatedCall, SimulateError> {
        let gas_limit = self.gas_limit(call, left)?;
        let nonce = match call.nonce {
            Some(nonce) => nonce,
            None => self.bench.account(call.from)?.map_or(0, |account| account.nonce),
        };
        let mut tx = tx_env(self.bench.ground(), call, gas_limit);
        tx.nonce = nonce;
        let Ran { result, state } = self.run(&tx)?;
        self.bench.keep(state);
        self.gas_left = self.gas_left.saturating_sub(result.tx_gas_used());
        let gas_most = result.gas().total_gas_spent().max(result.tx_gas_used());
        Ok(SimulatedCall { answered: answered(result), gas_most, gas_limit, nonce })
    }

    fn gas_limit(&self, call: &CallRequest, left: u64) -> Result<u64, SimulateError> {
        let wanted = call.gas_limit.unwrap_or_else(|| match self.checks {
            Checks::AsCalls => left,
            Checks::AsTransactions => left.min(self.bench.ground().params.transaction_gas_max()),
        });
        if wanted > left {
            return Err(SimulateError::BlockFull { wanted, left });
        }
        if self.gas_left == 0 {
            return Err(SimulateError::GasGone);
        }
        Ok(wanted.min(self.gas_left))
    }

    fn run(&mut self, tx: &revm::context::TxEnv) -> Result<Ran, ExecuteError> {
        let rules = match self.checks {
            Checks::AsCalls => Rules::Call,
            Checks::AsTransactions => Rules::Signed,
        };
        match self.transfers {
            Transfers::Silent => self.bench.run(tx, rules),
            Transfers::Logged => self.bench.watch(tx, rules, &mut TransferLogs::default()),
        }
    }
}

impl CallRequest {
    /// The most wei per gas that it pays, and what of it goes to the beneficiary.
    pub fn fees(&self) -> (u128, u128) {
        match self.price {
            CallPrice::Free => (0, 0),
            CallPrice::Legacy(price) => (price, price),
            CallPrice::Dynamic { max, priority } => (max, priority),
        }
    }
}
