//! A block to replay: from its file, with what one plain EVM makes of it.

use crate::replay::file;
use crate::replay::schedule::{Locks, Schedule};
use alloy_primitives::Address;
use evm::mainnet::MainnetBlock;
use evm::{Outcome, Payload, PayloadVerifier, StateKey};
use eyre::{Result, WrapErr};
use judge::plain::Plain;
use primitives::Verified;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// A block, and what it should come to.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) block: MainnetBlock,
    /// Everything it does, in order.
    pub(crate) payloads: Vec<Payload>,
    /// The same on one plain EVM.
    pub(crate) plain: PlainRun,
    /// What each payload locks.
    locks: Vec<Locks>,
}

/// The block on one plain EVM: which accounts it wipes, which values it touches, and what to name when something
/// differs.
#[derive(Debug)]
pub(crate) struct PlainRun {
    /// The EVM after the block.
    pub(crate) evm: Plain,
    /// What each payload did.
    pub(crate) outcomes: Vec<Outcome>,
    /// How long it took, senders being known before.
    pub(crate) elapsed: Duration,
}

impl Subject {
    /// The block in a file.
    ///
    /// # Errors
    /// If it is no block, or does not run on one plain EVM.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let block = file::load(path)?;
        let plain = run_plain(&block).wrap_err("the block does not run on one plain EVM")?;
        let locks = block.run_alone().wrap_err("the block does not run on one shard")?.locks;
        Ok(Self { payloads: block.payloads(), block, plain, locks })
    }

    /// When each of its payloads may be submitted, with at most `in_flight` at once.
    pub(crate) fn schedule(&self, in_flight: usize) -> Schedule {
        match in_flight {
            0 | 1 => Schedule::in_order(self.payloads.len()),
            _ => Schedule::by_locks(&self.locks, in_flight),
        }
    }

    /// Every account that it looks at or has something in its pre-state.
    pub(crate) fn addresses(&self) -> BTreeSet<Address> {
        let locked = self.locks.iter().flat_map(Locks::keys).filter_map(|key| match key {
            StateKey::Account(address) => Some(*address),
            StateKey::Slot(..) | StateKey::Fees(_) => None,
        });
        self.block.pre_state().accounts.keys().copied().chain(locked).collect()
    }
}

fn run_plain(block: &MainnetBlock) -> Result<PlainRun> {
    let verifier = PayloadVerifier::new(block.params());
    let recovered = block.payloads().into_iter().map(|payload| Verified::by(&verifier, payload));
    let recovered = recovered.collect::<Result<Vec<_>, _>>()?;
    let mut evm = Plain::new(block.params(), block.pre_state().clone());
    let mut outcomes = Vec::new();
    let started = Instant::now();
    for payload in &recovered {
        outcomes.extend(evm.run(payload)?);
    }
    Ok(PlainRun { evm, outcomes, elapsed: started.elapsed() })
}
