//! The oracle: all shards together are one chain.
//!
//! ```text
//!  stores of the stopped shards ── contents ──> applied logs ── order ──> one order that agrees with every log
//!                                     │                                        │
//!                                     │                          plain: one revm, from the same genesis
//!                                     v                                        v
//!                    union of states, every outcome, every message  ==  state, outcomes, messages of one EVM
//! ```
//!
//! Promise (I20): there is one order in which slots never decrease and with which every shard's log agrees; one EVM runs it,
//! slot after slot, NUMBER and TIMESTAMP being the slot's. (I9): the union of all shards' states equals one plain revm run of the committed transactions, in an order
//! consistent with every shard's log. (I16): gas, logs, output and status of each are those of that run. (I8): wei come
//! and go only as fees, messages and self-destructions say.
//!
//! Whether two records of one log must keep their order is said by their locks: what is compatible commutes.
//! Knows nothing of how shards came to commit; the network file and the stores are all it reads.

mod compare;
mod contents;
mod messages;
mod order;
pub mod plain;

#[cfg(test)]
mod tests;

pub use compare::{Difference, differences, outcomes as outcome_difference};
pub use contents::{Contents, ContentsError};
pub use messages::MessageFault;
pub use order::{Backwards, Moment, Unit};

use alloy_primitives::{B256, U256};
use evm::{
    AccountState, Data, NetworkParams, Outcome, Overlap, PayloadError, PayloadVerifier, Placement, RecoveredPayload,
    State, Step, TransactionKind, WrongCode,
};
use host::network::{Genesis, Network};
use plain::{Plain, PlainError};
use primitives::{ShardId, Verified};
use shard::Cause;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// How many differences of state an error names.
pub const DIFFERENCES_COUNT_MAX: usize = 8;

/// What was compared, and agreed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Transactions that were run again, the protocol's own included.
    pub transactions: usize,
    /// Attempts over several shards that were committed.
    pub attempts: usize,
    /// Payloads of one shard alone.
    pub locals: usize,
    /// Messages that ran at their destination.
    pub deliveries: usize,
    /// Messages that were dispatched.
    pub messages: usize,
    /// Messages whose end their source does not know yet.
    pub messages_under_way: usize,
    /// Messages of foreign chains that were consumed, and replayed from what the shards recorded of them.
    pub foreign_messages: usize,
    /// Attempts that some shard has voted on and nobody has decided; they changed nothing.
    pub undecided: usize,
    /// Accounts compared.
    pub accounts: usize,
    /// Storage slots compared.
    pub slots: usize,
    /// The blocks that something ran in, one after the other.
    pub blocks: Blocks,
    /// Base fees and blob fees burnt, wei.
    pub fees_burnt: U256,
    /// The sum of all balances at the end, wei.
    pub total: U256,
}

/// The blocks of the one chain: slots, or replayed blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blocks {
    /// How many have a transaction.
    pub count: usize,
    /// The first of them.
    pub first: Moment,
    /// The last; its number and second are never before the first's.
    pub last: Moment,
}

impl Blocks {
    /// Those of units in their order.
    fn of(units: &[Unit]) -> Self {
        let mut moments: Vec<Moment> = units.iter().filter_map(|unit| unit.moment).collect();
        debug_assert!(moments.is_sorted(), "an order is by moments");
        moments.dedup();
        let first = moments.first().copied().unwrap_or_default();
        Self { count: moments.len(), first, last: moments.last().copied().unwrap_or_default() }
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.last.timestamp.saturating_sub(self.first.timestamp);
        let (count, first, last) = (self.count, self.first.number, self.last.number);
        write!(f, "{count} slots from {first} to {last}, {seconds} s, never backwards")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transactions ({} attempts over shards, {} local payloads, {} deliveries) on one plain EVM: {} accounts, \
             {} slots of storage and every outcome equal; {}; value conserved over {} messages",
            self.transactions,
            self.attempts,
            self.locals,
            self.deliveries,
            self.accounts,
            self.slots,
            self.blocks,
            self.messages,
        )
    }
}

/// Why the shards are not one chain, or why nobody can tell.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// A shard's store was not given.
    #[error("no store is given for shard {shard}")]
    NoStore {
        /// Whose.
        shard: ShardId,
    },
    /// A store does not open: it is not the shard's, or a process still has it.
    #[error("the store of shard {shard} does not open: {source}")]
    Store {
        /// Whose.
        shard: ShardId,
        /// Why.
        source: Box<store::StoreError>,
    },
    /// A store holds what a shard never writes.
    #[error("shard {shard}: {source}")]
    Contents {
        /// Whose.
        shard: ShardId,
        /// What.
        source: ContentsError,
    },
    /// The genesis file is not of this network.
    #[error("genesis: {0}")]
    Genesis(#[from] WrongCode),
    /// I9: the logs cannot be put into one order.
    #[error("no order agrees with every shard's log: each of these was applied before the next, and the last before the \
             first: {}", order::names(.0))]
    Cycle(Vec<Cause>),
    /// I20: the logs can be put into one order, but not into one in which slots never decrease.
    #[error("time runs backwards: {0}")]
    Backwards(Box<Backwards>),
    /// I5, I14: one thing was applied twice on one shard.
    #[error("shard {shard} applied {} twice", order::name(cause))]
    Twice {
        /// Where.
        shard: ShardId,
        /// What.
        cause: Cause,
    },
    /// I1: an attempt is committed on some of its participants only. So it is too where a network was stopped before all
    /// had heard of a decision.
    #[error("{} is applied on shards {applied:?} and its participants are {participants:?}", order::name(cause))]
    Partial {
        /// What.
        cause: Cause,
        /// Where it is applied.
        applied: BTreeSet<ShardId>,
        /// Where it should be.
        participants: BTreeSet<ShardId>,
    },
    /// No shard has the payload of something that was applied.
    #[error("no shard has the payload of {}", order::name(cause))]
    NoPayload {
        /// Of what.
        cause: Cause,
    },
    /// Two homes have different payloads of one attempt, or a local payload is not that of its digest.
    #[error("shards disagree on the payload of {}", order::name(cause))]
    OtherPayload {
        /// Of what.
        cause: Cause,
    },
    /// A committed payload is not one that this network takes.
    #[error("{} is not one this network takes: {source}", order::name(cause))]
    Payload {
        /// Which.
        cause: Cause,
        /// Why.
        source: Box<PayloadError>,
    },
    /// A committed payload does not run on one EVM.
    #[error("{} does not run on one plain EVM: {source}", order::name(cause))]
    Plain {
        /// Which.
        cause: Cause,
        /// Why.
        source: Box<PlainError>,
    },
    /// A committed transaction has no record at its sender's home.
    #[error("no shard recorded the outcome of transaction {transaction} of {}", order::name(cause))]
    NoOutcome {
        /// Which.
        transaction: B256,
        /// Committed by what.
        cause: Cause,
    },
    /// I16: a transaction did something else than on one EVM.
    #[error("transaction {transaction}: {}", compare::outcomes(shards, plain))]
    Outcome {
        /// Which.
        transaction: B256,
        /// What the shards recorded.
        shards: Box<Outcome>,
        /// What one EVM does.
        plain: Box<Outcome>,
    },
    /// Shards have outcomes of what no log has.
    #[error("the shards recorded {actual} outcomes, their logs account for {expected}")]
    Outcomes {
        /// By the logs.
        expected: usize,
        /// Recorded.
        actual: usize,
    },
    /// A shard holds what another one owns.
    #[error("shard {shard} holds {key}, which belongs to shard {owner}")]
    Misplaced {
        /// Which shard.
        shard: ShardId,
        /// What it holds.
        key: evm::StateKey,
        /// Whose it is.
        owner: ShardId,
    },
    /// Two shards hold one thing.
    #[error(transparent)]
    Overlap(#[from] Overlap),
    /// I9: the states differ.
    #[error("{count} values differ from one plain EVM: {}", compare::list(first))]
    State {
        /// How many.
        count: usize,
        /// The first of them, [`DIFFERENCES_COUNT_MAX`] at most.
        first: Vec<Difference>,
    },
    /// I8, I14: the messages do not add up.
    #[error(transparent)]
    Messages(#[from] MessageFault),
}

/// The stores of the shards of a network whose cluster keeps everything under `dir`.
pub fn stores(network: &Network, dir: &Path) -> BTreeMap<ShardId, PathBuf> {
    network.placement.shards().map(|shard| (shard, dir.join(format!("executor-{shard}")))).collect()
}

/// Runs everything that the stopped shards of `network` committed on one plain EVM and compares all there is.
///
/// `data` names each shard's store folder; no process may have one open. Memory grows with state and logs.
pub fn check(network: &Network, data: &BTreeMap<ShardId, PathBuf>) -> Result<Report, OracleError> {
    let contents = network
        .placement
        .shards()
        .map(|shard| {
            let folder = data.get(&shard).ok_or(OracleError::NoStore { shard })?;
            Ok((shard, read(network, shard, folder)?))
        })
        .collect::<Result<BTreeMap<_, _>, OracleError>>()?;
    let foreign = network.routes.iter().map(|route| route.terms().domain).collect();
    judge(&network.params, &network.placement, &foreign, genesis(&network.genesis)?, &contents)
}

fn read(network: &Network, shard: ShardId, folder: &Path) -> Result<Contents, OracleError> {
    // A store knows its validator's key; of a set it is one.
    let keys = network.validators.get(&shard).map(|set| set.keys().to_vec()).unwrap_or_default();
    let mut last = OracleError::NoStore { shard };
    for key in keys {
        let identity = store::Identity {
            kind: "executor".to_owned(),
            network: network.params.network,
            name: format!("shard {shard}"),
            key: Some(*key.as_bytes()),
        };
        match store::Store::open(folder, &shard::SPACES, &identity, store::Settings::default()) {
            Ok(store) => {
                let reader = store.reader();
                let contents = Contents::read(&reader);
                let contents = reader.fault().map_or(contents, |fault| Err(ContentsError::Fault(fault)));
                return contents.map_err(|source| OracleError::Contents { shard, source });
            }
            Err(source) => last = OracleError::Store { shard, source: Box::new(source) },
        }
    }
    Err(last)
}

/// The state that a genesis file describes.
pub fn genesis(genesis: &Genesis) -> Result<State, WrongCode> {
    let mut state = State::default();
    for (address, account) in &genesis.accounts {
        let code_hash = if account.code.is_empty() {
            account.code_hash.unwrap_or(AccountState::EMPTY.code_hash)
        } else {
            let hash = alloy_primitives::keccak256(&account.code);
            state.add_code(hash, &Data(account.code.clone()))?;
            hash
        };
        state.accounts.insert(*address, AccountState { nonce: account.nonce, balance: account.balance, code_hash });
        for (slot, value) in &account.storage {
            state.set_slot(*address, *slot, *value);
        }
    }
    Ok(state)
}

/// The same over what was read before: every shard of `placement` has its contents here, and routes lead to the `foreign` domains.
pub fn judge(
    params: &NetworkParams,
    placement: &Placement,
    foreign: &BTreeSet<u32>,
    genesis: State,
    contents: &BTreeMap<ShardId, Contents>,
) -> Result<Report, OracleError> {
    let units = order::merge(params, contents)?;
    let total_before = plain::total(&genesis);
    let mut run = Run { params, contents, plain: Plain::new(params.clone(), genesis), outcomes: Vec::new() };
    for unit in &units {
        run.unit(unit)?;
    }
    let recorded = contents.values().map(|contents| contents.outcomes.len()).sum();
    let accounted = run.outcomes.iter().filter(|(_, recorded)| *recorded).count();
    if accounted != recorded {
        return Err(OracleError::Outcomes { expected: accounted, actual: recorded });
    }
    let union = union(placement, contents)?;
    let plain = run.plain;
    let differences = differences(&union, plain.state());
    if !differences.is_empty() {
        let (count, first) = (differences.len(), differences.into_iter().take(DIFFERENCES_COUNT_MAX).collect());
        return Err(OracleError::State { count, first });
    }
    let outcomes: Vec<Outcome> = run.outcomes.into_iter().map(|(outcome, _)| outcome).collect();
    let ledger = messages::Ledger { params, placement, foreign, contents, units: &units, outcomes: &outcomes };
    let messages = ledger.check(&union, total_before, plain.flow())?;
    let count = |of: fn(&Cause) -> bool| units.iter().filter(|unit| of(&unit.cause)).count();
    Ok(Report {
        transactions: outcomes.len(),
        attempts: count(|cause| matches!(cause, Cause::Attempt(_))),
        locals: count(|cause| matches!(cause, Cause::Local(_))),
        deliveries: count(|cause| matches!(cause, Cause::Delivery(_))),
        messages: messages.dispatched,
        messages_under_way: messages.under_way,
        foreign_messages: messages.foreign,
        undecided: contents.values().flat_map(|contents| &contents.undecided).collect::<BTreeSet<_>>().len(),
        accounts: union.accounts.len(),
        slots: union.slots.len(),
        blocks: Blocks::of(&units),
        fees_burnt: plain.flow().fees,
        total: plain.total(),
    })
}

/// The state of all shards together, fees in their accounts, each thing on the shard that owns it.
fn union(placement: &Placement, contents: &BTreeMap<ShardId, Contents>) -> Result<State, OracleError> {
    for (shard, contents) in contents {
        let accounts = contents.state.accounts.keys().map(|address| evm::StateKey::Account(*address));
        let slots = contents.state.slots.keys().map(|(address, slot)| evm::StateKey::Slot(*address, *slot));
        for key in accounts.chain(slots) {
            let owner = placement.owner(key);
            if owner != *shard {
                return Err(OracleError::Misplaced { shard: *shard, key, owner });
            }
        }
    }
    let states = contents.iter().map(|(shard, contents)| contents.state_of(*shard)).collect::<Vec<_>>();
    Ok(State::union(&states)?.settled())
}

/// The run of all units, one after the other.
struct Run<'a> {
    params: &'a NetworkParams,
    contents: &'a BTreeMap<ShardId, Contents>,
    plain: Plain,
    /// What each transaction did, and whether a shard recorded it.
    outcomes: Vec<(Outcome, bool)>,
}

impl Run<'_> {
    fn unit(&mut self, unit: &Unit) -> Result<(), OracleError> {
        let cause = unit.cause;
        let payload = self.recovered(unit)?;
        let outcomes =
            self.plain.run(&payload).map_err(|error| OracleError::Plain { cause, source: Box::new(error) })?;
        for (index, (step, outcome)) in payload.steps().iter().zip(outcomes).enumerate() {
            let transaction = match step {
                Step::Signed(transaction) => Some(transaction.hash()),
                Step::System(system) => cause.records(system).then(|| cause.system_id(payload.digest(), index)),
            };
            if let Some(transaction) = transaction {
                self.compare(unit, transaction, &outcome)?;
            }
            self.outcomes.push((outcome, transaction.is_some()));
        }
        Ok(())
    }

    fn recovered(&self, unit: &Unit) -> Result<RecoveredPayload, OracleError> {
        let cause = unit.cause;
        let payload = unit.payload.clone().ok_or(OracleError::NoPayload { cause })?;
        if let (Cause::Delivery(_) | Cause::Acknowledgement(_), [TransactionKind::System(system)]) =
            (cause, &payload.transactions[..])
        {
            return Ok(RecoveredPayload::system(payload.environment.clone(), system.clone()));
        }
        let recovered = Verified::by(&PayloadVerifier::new(self.params.clone()), payload);
        match recovered {
            Ok(recovered) => Ok(recovered.into_inner()),
            Err(error) => Err(OracleError::Payload { cause, source: Box::new(error) }),
        }
    }

    fn compare(&self, unit: &Unit, transaction: B256, plain: &Outcome) -> Result<(), OracleError> {
        let cause = unit.cause;
        let mut homes = unit.shards.iter().filter_map(|shard| self.contents.get(shard)?.outcomes.get(&transaction));
        let record = homes.next().ok_or(OracleError::NoOutcome { transaction, cause })?;
        if record.outcome != *plain {
            let (shards, plain) = (Box::new(record.outcome.clone()), Box::new(plain.clone()));
            return Err(OracleError::Outcome { transaction, shards, plain });
        }
        let participants: BTreeSet<ShardId> = record.participants.iter().copied().collect();
        if participants != unit.shards {
            return Err(OracleError::Partial { cause, applied: unit.shards.clone(), participants });
        }
        Ok(())
    }
}
