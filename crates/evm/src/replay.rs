//! Replay under a witness: what a participant does before it can vote.
//!
//! Pure and without a view, so that a host replays as many prepares at once as it has cores. Whether the participant's own
//! slice of the witness is *current* is for its machine to say, in the step.

use crate::execute::run;
use crate::recorder::Curiosity;
use crate::{
    AccountState, Bytecode, CodeCache, ExecuteError, Executed, FeesKey, Lookup, Missing, NetworkParams, Placement,
    RecoveredPayload, StateKey, View, Witness, WrongCode,
};
use alloy_primitives::{Address, B256, U256};
use primitives::Verifier;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The claim that `payload` can be run on exactly `witness`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// What runs.
    pub payload: RecoveredPayload,
    /// All it may read.
    pub witness: Witness,
}

/// Why a witness is not that of a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The run reads something that the witness does not have.
    #[error("the witness lacks {0}")]
    Incomplete(Missing),
    /// The witness has something that the run does not read: it would lock or convict a shard that is not concerned.
    #[error("the witness has {0}, which the run does not read")]
    Excess(StateKey),
    /// The witness has a code that the run does not need.
    #[error("the witness has code {hash}, which the run does not need")]
    ExcessCode {
        /// keccak256 of the code.
        hash: B256,
    },
    /// Bytes that are not the code they are called.
    #[error(transparent)]
    Code(#[from] WrongCode),
    /// The payload cannot run on these values at all.
    #[error(transparent)]
    Execute(ExecuteError),
}

/// Runs payloads again under their witnesses, for one network and placement.
#[derive(Debug, Clone)]
pub struct Replayer {
    params: NetworkParams,
    placement: Placement,
    codes: Arc<CodeCache>,
}

impl Replayer {
    /// For the network with these parameters; `codes` may be shared with others.
    pub fn new(params: NetworkParams, placement: Placement, codes: Arc<CodeCache>) -> Self {
        Self { params, placement, codes }
    }

    /// The placement that participants are computed under.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }
}

impl Verifier<Replay> for Replayer {
    type Fact = Executed;
    type Error = WitnessError;

    /// The run itself, for the caller to compare effects, participants and homes with what it was told.
    fn verify(&self, claim: Replay) -> Result<Executed, WitnessError> {
        let codes = claim.witness.codes.iter().map(|(hash, bytes)| Ok((*hash, self.codes.code(*hash, bytes)?)));
        let view = WitnessView { codes: codes.collect::<Result<_, WrongCode>>()?, witness: &claim.witness };
        let executed = run(&self.params, &self.placement, &claim.payload, &view, Curiosity::Strict).map_err(refusal)?;
        match excess(&claim.witness, &executed.witness) {
            Some(error) => Err(error),
            None => Ok(executed),
        }
    }
}

fn refusal(error: ExecuteError) -> WitnessError {
    match error {
        ExecuteError::Missing(missing) => match missing.first() {
            Some(first) => WitnessError::Incomplete(*first),
            None => WitnessError::Execute(ExecuteError::Missing(missing)),
        },
        error => WitnessError::Execute(error),
    }
}

/// The first entry of `given` that was not read. All that was read came from `given`, so the counts tell.
fn excess(given: &Witness, read: &Witness) -> Option<WitnessError> {
    if given == read {
        return None;
    }
    let unread = |key: &StateKey| match key {
        StateKey::Account(address) => !read.accounts.contains_key(address),
        StateKey::Slot(address, slot) => !read.slots.contains_key(&(*address, *slot)),
        StateKey::Fees(fees) => !read.fees.contains_key(fees),
    };
    let fixed = given.fixed.keys().find(|address| !read.fixed.contains_key(*address));
    let code = given.codes.keys().find(|hash| !read.codes.contains_key(*hash));
    let key = given.keys().find(unread).or_else(|| fixed.map(|address| StateKey::Account(*address)));
    let key = key.map(WitnessError::Excess);
    key.or_else(|| code.map(|hash| WitnessError::ExcessCode { hash: *hash }))
}

/// A state that knows what the witness says and nothing else.
struct WitnessView<'a> {
    witness: &'a Witness,
    codes: BTreeMap<B256, Bytecode>,
}

fn lookup<T>(value: Option<T>) -> Lookup<T> {
    value.map_or(Lookup::Unknown, Lookup::Known)
}

impl View for WitnessView<'_> {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        lookup(self.witness.accounts.get(&address).copied())
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        lookup(self.witness.slots.get(&(address, slot)).copied())
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        lookup(self.witness.fees.get(&key).copied())
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        lookup(self.codes.get(&hash).cloned())
    }

    fn fixed_code(&self, address: Address) -> Lookup<Option<B256>> {
        Lookup::Known(self.witness.fixed.get(&address).copied())
    }
}
