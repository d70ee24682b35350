//! The same block on one state, with nothing sharded: what a replay over shards is compared with.

use super::MainnetBlock;
use crate::{
    ExecuteError, LockMode, Outcome, PayloadError, PayloadVerifier, Placement, PlacementError, State, StateKey,
    WrongCode, execute,
};
use alloy_primitives::Address;
use primitives::{ShardId, Verifier};
use std::collections::{BTreeMap, BTreeSet};

/// Why a block does not run on its own state: its file is incomplete or the EVM is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AloneError {
    /// A transaction is malformed or badly signed.
    #[error("payload {index}: {error}")]
    Payload {
        /// Which payload of the block.
        index: usize,
        /// What is wrong.
        error: PayloadError,
    },
    /// A transaction cannot be included.
    #[error("payload {index}: {error}")]
    Execute {
        /// Which payload of the block.
        index: usize,
        /// What is wrong.
        error: ExecuteError,
    },
    /// A deployed code is not that of its hash.
    #[error(transparent)]
    Code(#[from] WrongCode),
    /// Never: one shard is a placement.
    #[error(transparent)]
    Placement(#[from] PlacementError),
}

/// What a block does to one state.
#[derive(Debug, Clone)]
pub struct Alone {
    /// Of all payloads, in order.
    pub outcomes: Vec<Outcome>,
    /// What each payload reads and writes, as it would be locked: where two conflict, the block's order counts.
    pub locks: Vec<BTreeMap<StateKey, LockMode>>,
    /// Every account that lost its storage.
    pub wiped: BTreeSet<Address>,
    /// The state after the block.
    pub state: State,
}

impl MainnetBlock {
    /// Runs the block on its pre-state, one payload after the other.
    pub fn run_alone(&self) -> Result<Alone, AloneError> {
        let params = self.params();
        let placement = Placement::new(1, 1, BTreeMap::new())?;
        let verifier = PayloadVerifier::new(params.clone());
        let state = self.pre_state.clone();
        let mut alone = Alone { outcomes: Vec::new(), locks: Vec::new(), wiped: BTreeSet::new(), state };
        for (index, payload) in self.payloads().into_iter().enumerate() {
            let payload = verifier.verify(payload).map_err(|error| AloneError::Payload { index, error })?;
            let executed = execute(&params, &placement, &payload, &alone.state)
                .map_err(|error| AloneError::Execute { index, error })?;
            alone.locks.push(executed.slice(ShardId(0), &placement).locks);
            alone.state.apply(&executed.effects.changes)?;
            alone.wiped.extend(executed.effects.changes.wiped);
            alone.outcomes.extend(executed.effects.outcomes);
        }
        Ok(alone)
    }
}
