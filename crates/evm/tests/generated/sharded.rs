//! The same transactions over shards: what is missing is fetched from its owner, the run is replayed under its witness, and
//! every participant applies its slice.

use super::case::Case;
use super::plain::{Block, Holding, Holdings, Judged, Refused, Seen};
use super::shards::Shards;
use alloy_primitives::{Address, B256, U256};
use dovetail_evm as evm;
use evm::{
    AccountState, BlobEnvironment, BlockEnvironment, Bytecode, Data, Environment, Environments, ExecuteError, Executed,
    FeesKey, Lookup, Missing, NetworkParams, Outcome, Payload, PayloadVerifier, RecoveredPayload, Replay, Replayer,
    SignedTransaction, State, StateKey, Status, TransactionKind, View, execute,
};
use primitives::{Millis, NetworkId, ShardId, Time, Verified};
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More rounds than any case has values to fetch.
const ROUNDS_COUNT_MAX: usize = 2_000;

/// A network of shards.
pub(crate) struct Sharded {
    params: NetworkParams,
    environment: Environment,
    shards: Shards,
    replayer: Replayer,
    /// How many participants the last payload had.
    pub(crate) participants: usize,
    /// A shard that votes and then does nothing: a twin that must be found out.
    forgetful: Option<ShardId>,
}

impl Clone for Sharded {
    fn clone(&self) -> Self {
        let Self { params, environment, replayer, forgetful, .. } = self;
        let shards = Shards { placement: self.shards.placement.clone(), states: self.shards.states.clone() };
        let (params, environment, replayer) = (params.clone(), environment.clone(), replayer.clone());
        Self { params, environment, shards, replayer, participants: 0, forgetful: *forgetful }
    }
}

impl Sharded {
    pub(crate) fn new(case: &Case, genesis: &Holdings, forgetful: Option<ShardId>) -> Self {
        let block = Block { fork: case.fork, coinbase: case.coinbase() };
        let params = NetworkParams {
            network: NetworkId(Block::CHAIN),
            genesis: Time(0),
            slot_length: Millis(1000),
            base_fee: block.base_fee(),
            gas_limit: Block::GAS_LIMIT,
            beneficiary: block.coinbase,
            spec: case.fork.into(),
            environments: Environments::Replay,
            takes_unprotected: false,
        };
        let replayer = Replayer::new(params.clone(), case.placement(), Arc::default());
        let shards = Shards::new(case.placement(), &state(genesis));
        let environment = Environment::Block(environment(block));
        Self { params, environment, shards, replayer, participants: 0, forgetful }
    }

    /// Runs transactions as one payload: all or none of several.
    ///
    /// # Errors
    /// The inner one where the network refuses the payload, the outer one where it breaks a promise.
    pub(crate) fn run(&mut self, transactions: Vec<Vec<u8>>) -> Result<Judged, String> {
        self.participants = 0;
        let signed = |bytes: Vec<u8>| TransactionKind::Signed(SignedTransaction(bytes.into()));
        let transactions = transactions.into_iter().map(signed).collect();
        let payload = Payload::bundle(self.environment.clone(), transactions);
        let Ok(recovered) = Verified::by(&PayloadVerifier::new(self.params.clone()), payload) else {
            return Ok(Err(Refused::Invalid));
        };
        let mut executed = match self.execute(&recovered)? {
            Ok(executed) => executed,
            Err(refused) => return Ok(Err(refused)),
        };
        let replay = Replay { payload: recovered.into_inner(), witness: executed.witness.clone() };
        let again = Verified::by(&self.replayer, replay).map_err(|error| format!("the replay: {error}"))?;
        if *again != executed {
            return Err("the replay differs from the execution".to_owned());
        }
        self.participants = executed.participants.len();
        if let Some(forgetful) = self.forgetful {
            executed.participants.remove(&forgetful);
        }
        self.shards.commit(&executed);
        Ok(Ok(executed.effects.outcomes.into_iter().map(seen).collect()))
    }

    fn execute(&self, payload: &RecoveredPayload) -> Result<Result<Executed, Refused>, String> {
        let mut cache = Cache::default();
        for _ in 0..ROUNDS_COUNT_MAX {
            match execute(&self.params, &self.shards.placement, payload, &cache) {
                Ok(executed) => return Ok(Ok(executed)),
                Err(ExecuteError::Invalid { .. }) => return Ok(Err(Refused::Invalid)),
                Err(ExecuteError::BundleReverted { .. }) => return Ok(Err(Refused::Bundle)),
                Err(ExecuteError::Missing(missing)) => {
                    missing.into_iter().try_for_each(|missing| cache.fetch(missing, &self.shards))?;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("it never has all it needs".to_owned())
    }

    /// What all shards hold together, as one EVM would have it.
    pub(crate) fn holdings(&self) -> Result<Holdings, String> {
        for (index, state) in self.shards.states.iter().enumerate() {
            let lacks = state.accounts.iter().find(|(_, account)| account.has_code() && code(state, account).is_none());
            if let Some((address, _)) = lacks {
                return Err(format!("shard {index} lacks the code of its {address}"));
            }
        }
        let all = State::union(&self.shards.states).map_err(|error| error.to_string())?.settled();
        let mut holdings: Holdings =
            all.accounts.iter().map(|(address, account)| (*address, holding(&all, account))).collect();
        for ((address, slot), value) in &all.slots {
            let holding = holdings.get_mut(address).ok_or_else(|| format!("a slot of nobody, {address}"))?;
            holding.slots.insert(*slot, *value);
        }
        Ok(holdings)
    }
}

fn code<'a>(state: &'a State, account: &AccountState) -> Option<&'a Bytecode> {
    state.codes.get(&account.code_hash)
}

fn holding(state: &State, account: &AccountState) -> Holding {
    let code = code(state, account).map(Bytecode::original_bytes).unwrap_or_default();
    Holding { nonce: account.nonce, balance: account.balance, code, slots: BTreeMap::new() }
}

fn state(genesis: &Holdings) -> State {
    let mut state = State::default();
    for (address, holding) in genesis {
        let mut account = AccountState { nonce: holding.nonce, ..AccountState::with_balance(holding.balance) };
        if !holding.code.is_empty() {
            account.code_hash = alloy_primitives::keccak256(&holding.code);
            state.add_code(account.code_hash, &holding.code.clone().into()).expect("its own hash");
        }
        state.accounts.insert(*address, account);
        holding.slots.iter().for_each(|(slot, value)| state.set_slot(*address, *slot, *value));
    }
    state
}

fn environment(block: Block) -> BlockEnvironment {
    BlockEnvironment {
        spec: block.fork.into(),
        number: Block::NUMBER,
        timestamp: Block::TIMESTAMP,
        beneficiary: block.coinbase,
        gas_limit: Block::GAS_LIMIT,
        base_fee: block.base_fee(),
        difficulty: block.difficulty(),
        randomness: block.randomness(),
        blob: (block.fork >= SpecId::CANCUN)
            .then_some(BlobEnvironment { excess_gas: 0, update_fraction: Block::BLOB_FRACTION }),
        hashes: (Block::NUMBER - 256..Block::NUMBER).map(|number| (number, Block::hash(number))).collect(),
    }
}

fn seen(outcome: Outcome) -> Seen {
    let status = match outcome.status {
        Status::Success => "success",
        Status::Reverted => "reverted",
        Status::Halted => "halted",
    };
    let Data(output) = outcome.output;
    let logs = outcome.logs.into_iter().map(Into::into).collect();
    Seen { status, gas_used: outcome.gas_used, output, logs, created: outcome.created }
}

/// What has been fetched so far for one payload.
#[derive(Debug, Default)]
struct Cache {
    accounts: BTreeMap<Address, Option<AccountState>>,
    slots: BTreeMap<(Address, U256), U256>,
    fees: BTreeMap<FeesKey, U256>,
    codes: BTreeMap<B256, Bytecode>,
    proofs: BTreeMap<Address, Option<B256>>,
}

impl Cache {
    /// Asks the owner of what is missing, and nobody else, once.
    fn fetch(&mut self, missing: Missing, shards: &Shards) -> Result<(), String> {
        let known = match missing {
            Missing::Key(StateKey::Account(at)) => self.accounts.insert(at, known(shards.account(at))).is_some(),
            Missing::Key(StateKey::Slot(at, slot)) => {
                self.slots.insert((at, slot), known(shards.slot(at, slot))).is_some()
            }
            Missing::Key(StateKey::Fees(fees)) => self.fees.insert(fees, known(shards.fees(fees))).is_some(),
            Missing::CodeProof(at) => self.proofs.insert(at, known(shards.fixed_code(at))).is_some(),
            Missing::Code { account, hash } => {
                let owner = &shards.states[shards.placement.shard_of(account).0 as usize];
                let code = owner.codes.get(&hash).cloned();
                let code = code.ok_or_else(|| format!("the owner of {account} has no code {hash}"))?;
                self.codes.insert(hash, code).is_some()
            }
        };
        if known { Err(format!("{missing} is asked for twice")) } else { Ok(()) }
    }
}

fn known<T>(lookup: Lookup<T>) -> T {
    match lookup {
        Lookup::Known(value) => value,
        Lookup::Unknown => panic!("an owner knows what it has"),
    }
}

fn lookup<T>(value: Option<T>) -> Lookup<T> {
    value.map_or(Lookup::Unknown, Lookup::Known)
}

impl View for Cache {
    fn account(&self, address: Address) -> Lookup<Option<AccountState>> {
        lookup(self.accounts.get(&address).copied())
    }

    fn slot(&self, address: Address, slot: U256) -> Lookup<U256> {
        lookup(self.slots.get(&(address, slot)).copied())
    }

    fn fees(&self, key: FeesKey) -> Lookup<U256> {
        lookup(self.fees.get(&key).copied())
    }

    fn fixed_code(&self, address: Address) -> Lookup<Option<B256>> {
        lookup(self.proofs.get(&address).copied())
    }

    fn code(&self, hash: B256) -> Lookup<Bytecode> {
        lookup(self.codes.get(&hash).cloned())
    }
}
