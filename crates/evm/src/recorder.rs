//! The database under the EVM: it writes down what is read, and holds what earlier transactions of the payload wrote.
//!
//!   EVM ── read ──> draft (this payload's writes) ──> view, written down in the witness
//!    └── state of one finished transaction ──> absorb: into the draft
//!
//! Recording happens here and not per opcode, so that everything revm reads is certified: a written slot (SSTORE gas
//! depends on its value), emptiness at a created address (EIP-684), targets of EIP-7702 delegations.

mod fixed;

use crate::executed::Owners;
use crate::{
    AccountState, Changes, Data, FeesKey, HISTORY_ADDRESS, Lookup, NetworkParams, Placement, StateKey, View,
    WITNESS_BYTES_MAX,
};
use crate::{BlockEnvironment, Environment, Witness};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::database_interface::{DBErrorMarker, Database};
use revm::primitives::KECCAK_EMPTY;
use revm::state::{Account, AccountInfo, EvmState};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The most missing values one run names.
pub const MISSING_COUNT_MAX: usize = 256;

/// Something a run needs and its view does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// The value of a key; its owner has it.
    Key(StateKey),
    /// A proof that the code at this account is what it is, or word that there is none to be had; its owner has it. With it
    /// the owner would be no participant.
    CodeProof(Address),
    /// A code; the owner of `account` has it.
    Code {
        /// An account whose code it is.
        account: Address,
        /// keccak256 of the code.
        hash: B256,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::CodeProof(account) => write!(f, "a proof of the code of {account}"),
            Self::Code { account, hash } => write!(f, "code {hash} of {account}"),
        }
    }
}

/// Why the database stopped a run. revm discards its journal, so nothing is half done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the view lacks a value")]
    Missing,
    #[error("the hash of block {number} is not in the environment")]
    BlockHash { number: u64 },
    #[error("the run reads more than {WITNESS_BYTES_MAX} bytes")]
    TooMuch,
}

impl DBErrorMarker for Stop {}

/// How a run meets a value that its view does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curiosity {
    /// It stops at the first: a replay under a witness.
    Strict,
    /// It goes on with zero where it can, to find more of what it will need; its result is thrown away.
    Eager,
}

/// What a payload has written so far, on top of the view.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    accounts: BTreeMap<Address, Option<AccountState>>,
    wiped: BTreeSet<Address>,
    slots: BTreeMap<(Address, U256), U256>,
    credits: BTreeMap<FeesKey, U256>,
    codes: BTreeMap<B256, Bytecode>,
}

/// The recording database of one payload.
///
/// It takes its view as a trait object, so that the EVM is compiled once, here, and not again by every crate that has a view.
pub(crate) struct Recorder<'a> {
    view: &'a dyn View,
    params: &'a NetworkParams,
    environment: &'a Environment,
    block: &'a BlockEnvironment,
    placement: &'a Placement,
    curiosity: Curiosity,
    /// NUMBER, as runs see it.
    number: u64,
    witness: Witness,
    codes_bytes: usize,
    /// Who was seen to have a code: where to ask for it.
    code_owners: BTreeMap<B256, Address>,
    missing: BTreeSet<Missing>,
    owners: Owners,
    /// Accounts of which more than the code matters.
    used: BTreeSet<Address>,
    /// Accounts of which a replay is told the code alone.
    fixed: BTreeMap<Address, B256>,
    draft: Draft,
}

impl fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("witness", &self.witness).field("draft", &self.draft).finish_non_exhaustive()
    }
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(
        view: &'a dyn View,
        params: &'a NetworkParams,
        (environment, block): (&'a Environment, &'a BlockEnvironment),
        placement: &'a Placement,
        curiosity: Curiosity,
    ) -> Self {
        Self {
            view,
            params,
            environment,
            block,
            placement,
            curiosity,
            number: block.number,
            witness: Witness::default(),
            codes_bytes: 0,
            code_owners: BTreeMap::new(),
            missing: BTreeSet::new(),
            owners: Owners::new(),
            used: BTreeSet::new(),
            fixed: BTreeMap::new(),
            draft: Draft::default(),
        }
    }

    /// Lets the runs to come be in the block `number`.
    pub(crate) fn move_to(&mut self, number: u64) {
        self.number = number;
    }

    pub(crate) fn missing(&self) -> &BTreeSet<Missing> {
        &self.missing
    }

    pub(crate) fn take_missing(&mut self) -> BTreeSet<Missing> {
        std::mem::take(&mut self.missing)
    }

    /// Names every one of `keys` that the view does not know, without recording a read.
    pub(crate) fn prefetch(&mut self, keys: impl Iterator<Item = StateKey>) {
        for key in keys.take(MISSING_COUNT_MAX) {
            let known = match key {
                StateKey::Account(address) => matches!(self.view.account(address), Lookup::Known(_)),
                StateKey::Slot(address, slot) => matches!(self.view.slot(address, slot), Lookup::Known(_)),
                StateKey::Fees(fees) => matches!(self.view.fees(fees), Lookup::Known(_)),
            };
            if !known {
                self.missing.insert(Missing::Key(key));
            }
        }
    }

    /// Writes an account over what is there, for a run that is thrown away; `code` is its code if it is another.
    pub(crate) fn replace(&mut self, address: Address, account: Option<AccountState>, code: Option<Bytecode>) {
        if let Some(code) = code {
            self.draft.codes.insert(code.hash_slow(), code);
        }
        self.set_account(address, account);
    }

    /// Writes a storage of these slots alone over what is there, for a run that is thrown away.
    pub(crate) fn replace_storage(&mut self, address: Address, slots: &BTreeMap<U256, U256>) {
        self.wipe(address);
        self.replace_slots(address, slots);
    }

    /// Writes these slots over what is there, for a run that is thrown away.
    pub(crate) fn replace_slots(&mut self, address: Address, slots: &BTreeMap<U256, U256>) {
        self.draft.slots.extend(slots.iter().map(|(slot, value)| ((address, *slot), *value)));
    }

    /// The draft as it stands, to go back to.
    pub(crate) fn draft(&self) -> Draft {
        self.draft.clone()
    }

    /// Back to an earlier draft; what was read stays read.
    pub(crate) fn restore(&mut self, draft: Draft) {
        self.draft = draft;
    }

    /// Adds to the fees that `sender` pays at its home, without a read.
    pub(crate) fn credit(&mut self, sender: Address, value: U256) {
        if !value.is_zero() {
            let shard = self.owners.get(&sender).copied().unwrap_or_else(|| self.placement.shard_of(sender));
            let key = FeesKey { shard, beneficiary: self.block.beneficiary };
            let credit = self.draft.credits.entry(key).or_default();
            *credit = credit.saturating_add(value);
        }
    }

    /// The account as the next transaction finds it.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<AccountState>, Stop> {
        self.uses(address);
        self.look_at(address)
    }

    fn look_at(&mut self, address: Address) -> Result<Option<AccountState>, Stop> {
        if !self.draft.accounts.contains_key(&address) {
            self.read_account(address)?;
        }
        Ok(self.current(address))
    }

    /// Sets an account that was read before; an account that is gone loses its storage.
    pub(crate) fn set_account(&mut self, address: Address, after: Option<AccountState>) {
        let before = self.current(address);
        if before.is_some() && after.is_none() {
            self.wipe(address);
        }
        if before != after {
            self.uses(address);
            if address == self.block.beneficiary {
                // `current` counted them in, so they are in `after` or gone.
                self.draft.credits.clear();
            }
            self.draft.accounts.insert(address, after);
        }
    }

    /// Moves the beneficiary's fragments into its account.
    pub(crate) fn settle(&mut self) -> Result<(), Stop> {
        let beneficiary = self.block.beneficiary;
        let account = self.account(beneficiary)?;
        self.draft.credits.clear();
        self.draft.accounts.insert(beneficiary, account);
        Ok(())
    }

    /// Takes over what one finished transaction did. revm's `finalize` has made touched empty accounts look as EIP-161
    /// wants them, whatever the fork.
    pub(crate) fn absorb(&mut self, state: EvmState) {
        for (address, account) in state {
            if account.is_touched() {
                self.absorb_account(address, account);
            }
        }
    }

    fn absorb_account(&mut self, address: Address, account: Account) {
        if account.is_selfdestructed() {
            self.wipe(address);
            return self.set_account(address, None);
        }
        if account.is_created() {
            // Only an account that is there can have storage from before, and then only in tests (EIP-7610).
            if self.current(address).is_some() {
                self.wipe(address);
            }
        } else if account.is_empty() {
            return self.set_account(address, None);
        }
        self.absorb_code(address, &account.info);
        self.set_account(address, Some(AccountState::of(&account.info)));
        if address == HISTORY_ADDRESS && self.params.computes_storage(address, self.current(address).as_ref()) {
            return; // Whoever writes there, what is there next is computed again.
        }
        let written = account.storage.into_iter().filter(|(_, slot)| slot.is_changed());
        self.draft.slots.extend(written.map(|(slot, value)| ((address, slot), value.present_value)));
    }

    fn absorb_code(&mut self, address: Address, info: &AccountInfo) {
        let before = self.current(address).map_or(KECCAK_EMPTY, |account| account.code_hash);
        if let Some(code) = info.code.as_ref().filter(|_| info.code_hash != before && info.code_hash != KECCAK_EMPTY) {
            self.draft.codes.insert(info.code_hash, code.clone());
        }
    }

    fn wipe(&mut self, address: Address) {
        self.draft.wiped.insert(address);
        let slots = (address, U256::ZERO)..=(address, U256::MAX);
        let written: Vec<_> = self.draft.slots.range(slots).map(|(key, _)| *key).collect();
        for key in written {
            self.draft.slots.remove(&key);
        }
    }

    /// What was read and what changed, once all transactions are done.
    pub(crate) fn finish(self) -> (Witness, Changes, Owners) {
        let Self { mut witness, mut draft, block, owners, fixed, .. } = self;
        witness.fixed = fixed;
        let beneficiary = block.beneficiary;
        let mut drained = BTreeSet::new();
        if let Some(account) = draft.accounts.get_mut(&beneficiary) {
            // One payload either drains the fragments or adds to them, never both.
            let late = draft.credits.values().fold(U256::ZERO, |sum, credit| sum.saturating_add(*credit));
            *account = with_balance(*account, late);
            draft.credits.clear();
            drained.extend(witness.fees.iter().filter(|(_, wei)| !wei.is_zero()).map(|(key, _)| *key));
        }
        // A key that ends as it began is not a change.
        draft.accounts.retain(|address, account| witness.accounts.get(address) != Some(account));
        draft.wiped.retain(|address| matches!(witness.accounts.get(address), Some(Some(_))));
        let wiped = draft.wiped;
        draft.slots.retain(|key, value| {
            if wiped.contains(&key.0) {
                !value.is_zero()
            } else {
                witness.slots.get(key).unwrap_or(&U256::ZERO) != value
            }
        });
        let hashes: BTreeSet<B256> = draft.accounts.values().flatten().map(|account| account.code_hash).collect();
        draft.codes.retain(|hash, _| hashes.contains(hash));
        let codes = draft.codes.into_iter().map(|(hash, code)| (hash, Data(code.original_bytes()))).collect();
        let Draft { accounts, slots, credits, .. } = draft;
        (witness, Changes { accounts, wiped, slots, drained, credits, codes }, owners)
    }

    /// The account as drafted or else as read, fragments and credits of a beneficiary counted in.
    fn current(&self, address: Address) -> Option<AccountState> {
        let drafted = self.draft.accounts.get(&address).copied();
        if let (None, Some(hash)) = (drafted, self.fixed.get(&address)) {
            return Some(AccountState::of_code(*hash));
        }
        if address != self.block.beneficiary {
            return drafted.unwrap_or_else(|| self.witness.accounts.get(&address).copied().flatten());
        }
        let base = drafted.unwrap_or_else(|| {
            let fragments = self.witness.fees.values().fold(U256::ZERO, |sum, wei| sum.saturating_add(*wei));
            with_balance(self.witness.accounts.get(&address).copied().flatten(), fragments)
        });
        with_balance(base, self.draft.credits.values().fold(U256::ZERO, |sum, wei| sum.saturating_add(*wei)))
    }

    fn read_account(&mut self, address: Address) -> Result<(), Stop> {
        if self.witness.accounts.contains_key(&address) || self.fixed.contains_key(&address) {
            return Ok(());
        }
        if let Some(hash) = self.told_code(address) {
            self.code_owners.entry(hash).or_insert(address);
            self.fixed.insert(address, hash);
            return Ok(());
        }
        let account = self.view.account(address);
        if address == self.block.beneficiary {
            self.read_fragments()?;
        }
        match account {
            Lookup::Known(account) => {
                if let Some(account) = account.filter(AccountState::has_code) {
                    self.code_owners.entry(account.code_hash).or_insert(address);
                }
                self.witness.accounts.insert(address, account);
                self.owners.insert(address, self.placement.shard_of(address));
                self.stop_if_missing()
            }
            Lookup::Unknown => {
                let stop = self.lacks(Missing::Key(StateKey::Account(address)));
                if self.curiosity == Curiosity::Strict || self.missing.len() >= MISSING_COUNT_MAX {
                    return Err(stop);
                }
                // As if nobody were there: code that only asks who exists, as attacks did, names hundreds at a time.
                self.witness.accounts.insert(address, None);
                Ok(())
            }
        }
    }

    /// Reads every shard's fragment of the beneficiary's balance.
    fn read_fragments(&mut self) -> Result<(), Stop> {
        for shard in self.placement.shards() {
            let key = FeesKey { shard, beneficiary: self.block.beneficiary };
            match self.view.fees(key) {
                Lookup::Known(wei) => {
                    self.witness.fees.insert(key, wei);
                }
                Lookup::Unknown => {
                    let stop = self.lacks(Missing::Key(StateKey::Fees(key)));
                    if self.curiosity == Curiosity::Strict {
                        return Err(stop);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the account's storage is computed: then no read of it is anybody's, and its owner lends its code alone.
    fn computes_storage(&mut self, address: Address) -> Result<bool, Stop> {
        if address != HISTORY_ADDRESS {
            return Ok(false);
        }
        let account = self.look_at(address)?;
        Ok(self.params.computes_storage(address, account.as_ref()))
    }

    fn read_slot(&mut self, address: Address, slot: U256) -> Result<U256, Stop> {
        if let Some(value) = self.witness.slots.get(&(address, slot)) {
            return Ok(*value);
        }
        match self.view.slot(address, slot) {
            Lookup::Known(value) => {
                self.witness.slots.insert((address, slot), value);
                Ok(value)
            }
            Lookup::Unknown => {
                let stop = self.lacks(Missing::Key(StateKey::Slot(address, slot)));
                let goes_on = self.curiosity == Curiosity::Eager && self.missing.len() < MISSING_COUNT_MAX;
                if goes_on { Ok(U256::ZERO) } else { Err(stop) }
            }
        }
    }

    fn read_code(&mut self, hash: B256) -> Result<Bytecode, Stop> {
        match self.view.code(hash) {
            Lookup::Known(code) => {
                if self.witness.codes.insert(hash, Data(code.original_bytes())).is_none() {
                    self.codes_bytes += code.original_byte_slice().len();
                }
                if self.codes_bytes > WITNESS_BYTES_MAX { Err(Stop::TooMuch) } else { Ok(code) }
            }
            Lookup::Unknown => {
                let account = self.code_owners.get(&hash).copied().unwrap_or_default();
                Err(self.lacks(Missing::Code { account, hash }))
            }
        }
    }

    fn lacks(&mut self, missing: Missing) -> Stop {
        self.missing.insert(missing);
        Stop::Missing
    }

    fn stop_if_missing(&self) -> Result<(), Stop> {
        let fragments = self.missing.iter().any(|missing| matches!(missing, Missing::Key(StateKey::Fees(_))));
        if fragments { Err(Stop::Missing) } else { Ok(()) }
    }
}

/// `account` with `wei` more; no wei makes no account.
fn with_balance(account: Option<AccountState>, wei: U256) -> Option<AccountState> {
    if wei.is_zero() {
        return account;
    }
    let account = account.unwrap_or(AccountState::EMPTY);
    Some(AccountState { balance: account.balance.saturating_add(wei), ..account })
}

impl Database for Recorder<'_> {
    type Error = Stop;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Stop> {
        self.look_at(address).map(|account| account.map(|account| account.info()))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Stop> {
        match self.draft.codes.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.read_code(hash),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Stop> {
        let drafted = self.draft.slots.get(&(address, slot)).copied();
        let drafted = drafted.or_else(|| self.draft.wiped.contains(&address).then_some(U256::ZERO));
        if drafted.is_none() && self.computes_storage(address)? {
            return Ok(self.params.history(self.number, slot));
        }
        self.uses(address);
        drafted.map_or_else(|| self.read_slot(address, slot), Ok)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Stop> {
        match self.environment {
            Environment::Slot(_) | Environment::Travelled { .. } => Ok(self.params.block_hash(number)),
            Environment::Block(_) => self.block.hashes.get(&number).copied().ok_or(Stop::BlockHash { number }),
        }
    }
}
