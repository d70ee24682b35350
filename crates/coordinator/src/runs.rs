//! Runs: pure over the cache, wherever they are made. Short ones are made within the step, long ones beside it.
//!
//! ```text
//!   ready ── may burn little ──> run in this step ───────────────────────> what follows
//!      '──── may burn much ────> Send::Run(Job) ── a thread of the host ──> Input::Ran
//! ```
//!
//! Promise: nobody's long run keeps votes and decisions waiting. A run beside the step sees the cache as it changes, so perhaps
//! values of two moments: a guess like all that is in it, which costs a retry.

use crate::cache::{SharedCache, Watched};
use evm::{ExecuteError, Executed, NetworkParams, Placement, RecoveredPayload, StateKey, execute_counted};
use primitives::Verified;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names a run beside the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub(crate) u64);

/// What a run needs of the network.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) params: NetworkParams,
    pub(crate) placement: Placement,
}

/// One run, made: it has changed nothing.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) payload: Arc<Verified<RecoveredPayload>>,
    pub(crate) result: Result<Executed, ExecuteError>,
    pub(crate) looked_at: BTreeSet<StateKey>,
    /// What code burnt in it, whatever came of it.
    pub(crate) gas: u64,
}

impl Run {
    pub(crate) fn make(rules: &Rules, payload: Arc<Verified<RecoveredPayload>>, cache: &SharedCache) -> Self {
        let end = rules.params.end_of_environment(&payload.payload().environment);
        let view = Watched::new(cache, end);
        let (result, gas) = execute_counted(&rules.params, &rules.placement, &payload, &view);
        Self { payload, result, looked_at: view.looked_at(), gas }
    }
}

/// A run to be made beside the step, on any thread.
#[derive(Debug, Clone)]
pub struct Job {
    pub(crate) id: RunId,
    pub(crate) payload: Arc<Verified<RecoveredPayload>>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) cache: SharedCache,
}

impl Job {
    /// Makes the run; it may take as long as a bundle's gas lasts.
    pub fn run(self) -> Ran {
        Ran { id: self.id, run: Run::make(&self.rules, self.payload, &self.cache) }
    }
}

/// A run that was made beside the step.
#[derive(Debug, Clone)]
pub struct Ran {
    pub(crate) id: RunId,
    pub(crate) run: Run,
}
