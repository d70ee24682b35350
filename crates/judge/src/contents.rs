//! Everything of a shard's store that the oracle judges.

use alloy_primitives::{Address, B256, U256};
use evm::{AccountState, Data, FeesKey, State, WrongCode};
use primitives::{AttemptId, Digest, Read, ShardId, Space, decode};
use proof::MessageId;
use shard::spaces::{ACCOUNTS, CODES, CONSUMED, FEES, OUTCOMES, PREPARED, SENT, SLOTS};
use shard::{Applied, ConsumedRecord, Forgotten, OutcomeRecord, SentRecord, ValueTotals, queries};
use std::collections::{BTreeMap, BTreeSet};

/// How many entries are read at a time.
const PAGE_COUNT: usize = 4096;

/// What a shard never writes.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// A key or a value is not one of its space.
    #[error("an entry of {space:?} is malformed")]
    Malformed {
        /// Which space.
        space: Space,
    },
    /// Code that is not that of its hash.
    #[error(transparent)]
    Code(#[from] WrongCode),
    /// Its node does not keep all that it did.
    #[error("the judge needs all that a shard ever did (`archive = true`): {0}")]
    Forgotten(#[from] Forgotten),
    /// The disk failed.
    #[error(transparent)]
    Fault(#[from] store::Fault),
}

/// One shard's part of everything.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// Its log of what it applied, in its order.
    pub applied: Vec<Applied>,
    /// What it recorded of transactions, by their hash.
    pub outcomes: BTreeMap<B256, OutcomeRecord>,
    /// Accounts, slots and codes.
    pub state: State,
    /// Fragments of fees by beneficiary, wei.
    pub fees: BTreeMap<Address, U256>,
    /// Messages it sent.
    pub sent: BTreeMap<MessageId, SentRecord>,
    /// Messages it consumed.
    pub consumed: BTreeMap<MessageId, ConsumedRecord>,
    /// Its own count of what messages brought and took.
    pub value: ValueTotals,
    /// Attempts it has voted yes on and not decided.
    pub undecided: BTreeSet<AttemptId>,
}

impl Contents {
    /// Everything in the store behind `read`, which nobody writes meanwhile.
    pub fn read(read: &impl Read) -> Result<Self, ContentsError> {
        let mut contents = Self { value: queries::value_totals(read), ..Self::default() };
        contents.read_state(read)?;
        contents.read_log(read)?;
        each(read, OUTCOMES, |key, value| Some(contents.outcomes.insert(word(key)?, decode(value, usize::MAX).ok()?)))?;
        each(read, SENT, |key, value| {
            Some(contents.sent.insert(MessageId(word(key)?), decode(value, usize::MAX).ok()?))
        })?;
        each(read, CONSUMED, |key, value| {
            Some(contents.consumed.insert(MessageId(word(key)?), decode(value, usize::MAX).ok()?))
        })?;
        each(read, PREPARED, |key, _| Some(contents.undecided.insert(AttemptId(Digest::new(word(key)?.0)))))?;
        Ok(contents)
    }

    fn read_log(&mut self, read: &impl Read) -> Result<(), ContentsError> {
        loop {
            let page = queries::applied(read, self.applied.len() as u64, PAGE_COUNT)?;
            let is_last = page.len() < PAGE_COUNT;
            self.applied.extend(page);
            if is_last {
                return Ok(());
            }
        }
    }

    fn read_state(&mut self, read: &impl Read) -> Result<(), ContentsError> {
        let (state, fees) = (&mut self.state, &mut self.fees);
        each(read, ACCOUNTS, |key, value| {
            Some(state.accounts.insert(address(key)?, decode::<AccountState>(value, 256).ok()?))
        })?;
        each(read, SLOTS, |key, value| {
            let (owner, slot) = key.split_at_checked(Address::len_bytes())?;
            let slot = U256::from_be_bytes(word(slot)?.0);
            Some(state.slots.insert((address(owner)?, slot), U256::from_be_bytes(word(value)?.0)))
        })?;
        each(read, FEES, |key, value| Some(fees.insert(address(key)?, U256::from_be_bytes(word(value)?.0))))?;
        let mut codes: Vec<(B256, Data)> = Vec::new();
        each(read, CODES, |key, value| {
            codes.push((word(key)?, value.to_vec().into()));
            Some(())
        })?;
        codes.iter().try_for_each(|(hash, code)| state.add_code(*hash, code))?;
        Ok(())
    }

    /// The state with the fragments of fees, which are `shard`'s.
    pub(crate) fn state_of(&self, shard: ShardId) -> State {
        let fees = self.fees.iter().map(|(beneficiary, wei)| (FeesKey { shard, beneficiary: *beneficiary }, *wei));
        State { fees: fees.collect(), ..self.state.clone() }
    }
}

fn address(key: &[u8]) -> Option<Address> {
    Address::try_from(key).ok()
}

fn word(bytes: &[u8]) -> Option<B256> {
    B256::try_from(bytes).ok()
}

/// Takes every entry of a space, in order.
fn each<T>(
    read: &impl Read,
    space: Space,
    mut take: impl FnMut(&[u8], &[u8]) -> Option<T>,
) -> Result<(), ContentsError> {
    let mut from = Vec::new();
    loop {
        let page = read.scan(space, &[], &from, PAGE_COUNT);
        for (key, value) in &page {
            take(key, value).ok_or(ContentsError::Malformed { space })?;
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE_COUNT => from = [&last[..], &[0]].concat(),
            _ => return Ok(()),
        }
    }
}
