//! State that is set and not computed, on a network with cheats: an account's parts, or every own key as it was after a slot.
//!
//! ```text
//!   Cheat::Set    ──> own account or slots, at the slot of the block's time ──┐
//!   Cheat::Revert ──> own keys changed since `to`, as they were after it ─────┴──> one batch: state, CHANGES, entry, header
//!                     and outcomes since then are forgotten
//! ```
//!
//! Promise: it goes through a step as everything else does, so it is in a certified block, in the state tree and in the past, and
//! a restart keeps it; it meets locks as a transaction does (R6) and moves the order of slots on (R13). A network without cheats
//! refuses it, and nothing else here asks whether there are any.
//! Knows nothing of whether other shards do the same: whoever asks for it sees that nothing is under way.

use crate::blocks::Entry;
use crate::input::{Answer, Busy};
use crate::ledger::{account, stored_value};
use crate::outcomes;
use crate::past::{self, PastError};
use crate::queries;
use crate::retention::Kept;
use crate::shard::Work;
use crate::spaces::{self, HEADERS};
use crate::staged::get_value;
use alloy_primitives::{Address, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{AccountState, Changes, Data, LockMode, StateKey};
use primitives::{Digest, Domain, Height, Read, ShardId, Slot, Time};
use proof::{Certificate, Header, LeafKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The most bytes a cheat may have: a code as long as a transaction could bring, and more slots than anybody sets at once.
pub const CHEAT_BYTES_MAX: usize = 1 << 20;

/// How many keys are looked up in the past at a time.
const KEYS_PER_PAGE_COUNT: usize = 1024;

static DOMAIN: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 cheat"));

/// What is set.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Cheat {
    /// Parts of an account.
    Set {
        /// Whose.
        address: Address,
        /// Which, and what they are from now on.
        parts: AccountParts,
    },
    /// Every key of the shard as it was after `to`, and no outcome since then.
    Revert {
        /// A slot that is closed here, whose state is kept.
        to: Slot,
    },
    /// Nothing: whether [`Cheat::Revert`] would be done.
    Look {
        /// The slot that it would go back to.
        to: Slot,
    },
}

/// What an account is from now on; `None` and slots that are not named stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct AccountParts {
    /// Transactions sent.
    pub nonce: Option<u64>,
    /// Wei.
    pub balance: Option<U256>,
    /// Code; empty for none.
    pub code: Option<Data>,
    /// Slots.
    pub slots: BTreeMap<U256, U256>,
}

/// Why a cheat changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheatRefusal {
    /// The network is one where state is computed.
    #[error("this network has no cheats: what it holds is changed by transactions alone")]
    NoCheats,
    /// Not now.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The account is another shard's.
    #[error("account {address} belongs to shard {owner}, this is shard {me}")]
    NotOwn {
        /// Which account.
        address: Address,
        /// Whose it is.
        owner: ShardId,
        /// This shard.
        me: ShardId,
    },
    /// A code that no account has.
    #[error("no account has such a code: {reason}")]
    Code {
        /// Why not.
        reason: String,
    },
    /// Storage that nobody has.
    #[error(
        "the storage of {address} is the ring of block hashes, which is computed (EIP-2935): give the account another code, and it is its own"
    )]
    Computed {
        /// Whose it is.
        address: Address,
    },
    /// There is no state to go back to.
    #[error(transparent)]
    Past(#[from] PastError),
    /// A message that was sent, delivered or settled since then does not go back with the state.
    #[error(
        "block {height} of shard {me} sent, took or settled a message since block {to}: what other shards know of it stays"
    )]
    Message {
        /// The shard's block.
        height: Height,
        /// This shard.
        me: ShardId,
        /// The slot to go back to.
        to: Slot,
    },
}

impl<R: Read> Work<'_, '_, R> {
    /// Does what a cheat says.
    pub(crate) fn cheat(&mut self, cheat: &Cheat) -> Result<Answer, CheatRefusal> {
        if !self.shard.params.environments.has_cheats() {
            return Err(CheatRefusal::NoCheats);
        }
        self.shard.check_lag()?;
        match cheat {
            Cheat::Set { address, parts } => self.set(*address, parts)?,
            Cheat::Revert { to } => self.revert(*to)?,
            Cheat::Look { to } => {
                self.check_revert(*to)?;
                return Ok(Answer::Cheated { height: self.shard.tip().height, slot: self.own_slot() });
            }
        }
        self.draft.push_entry(Entry::Cheated { cheat: cheat_digest(cheat) });
        Ok(Answer::Cheated { height: self.draft.height(), slot: self.own_slot() })
    }

    fn set(&mut self, address: Address, parts: &AccountParts) -> Result<(), CheatRefusal> {
        let (owner, me) = (self.shard.placement.shard_of(address), self.shard.me);
        if owner != me {
            return Err(CheatRefusal::NotOwn { address, owner, me });
        }
        // Of a forked chain, what stays of an account is what was there.
        let slots = parts.slots.keys().map(|slot| StateKey::Slot(address, *slot));
        self.check_read(std::iter::once(StateKey::Account(address)).chain(slots))?;
        let mut changes = Changes::default();
        let before = account(&self.ledger.staged, address);
        let mut after = before.unwrap_or(AccountState::EMPTY);
        after.nonce = parts.nonce.unwrap_or(after.nonce);
        after.balance = parts.balance.unwrap_or(after.balance);
        if let Some(code) = &parts.code {
            after.code_hash = self.code_hash(code)?;
            changes.codes.insert(after.code_hash, code.clone());
        }
        if !parts.slots.is_empty() && self.shard.params.computes_storage(address, Some(&after)) {
            return Err(CheatRefusal::Computed { address });
        }
        if before != Some(after) {
            // An account with nothing in it is none (EIP-161).
            changes.accounts.insert(address, (after != AccountState::EMPTY).then_some(after));
        }
        changes.slots.extend(parts.slots.iter().map(|(slot, value)| ((address, *slot), *value)));
        self.touch(changes.keys().map(|(key, _)| key).collect())?;
        let slot = self.own_slot();
        self.ledger.apply(&changes, slot);
        Ok(())
    }

    fn code_hash(&self, code: &Data) -> Result<alloy_primitives::B256, CheatRefusal> {
        if code.is_empty() {
            return Ok(AccountState::EMPTY.code_hash);
        }
        let hash = keccak256(&**code);
        let known = self.shard.codes.code(hash, code);
        known.map(|_| hash).map_err(|error| CheatRefusal::Code { reason: error.to_string() })
    }

    fn check_revert(&self, to: Slot) -> Result<(), CheatRefusal> {
        // What this very step has changed is in no row yet.
        if !self.draft.is_empty() {
            return Err(Busy::Inputs.into());
        }
        let live = self.shard.live_count();
        if live > 0 {
            return Err(Busy::Attempts { live }.into());
        }
        past::values_after(&self.ledger.staged, &[], to)?;
        self.check_no_message_since(to)
    }

    fn revert(&mut self, to: Slot) -> Result<(), CheatRefusal> {
        self.check_revert(to)?;
        let keys: Vec<StateKey> = past::changed_after(&self.ledger.staged, to).into_iter().collect();
        let mut before = BTreeMap::new();
        for page in keys.chunks(KEYS_PER_PAGE_COUNT) {
            let values = past::values_after(&self.ledger.staged, page, to)?;
            let of_key =
                |(key, value): (StateKey, _)| (stored_value(&self.ledger.staged, key) != value).then_some((key, value));
            before.extend(page.iter().copied().zip(values).filter_map(of_key));
        }
        self.touch(before.keys().copied().collect())?;
        let slot = self.own_slot();
        for (key, value) in before {
            self.ledger.put_back(key, value, slot);
        }
        outcomes::forget_after(&mut self.ledger.staged, to);
        Ok(())
    }

    /// Messages are between shards, and what the other one knows does not go back.
    fn check_no_message_since(&self, to: Slot) -> Result<(), CheatRefusal> {
        let (read, me) = (&self.ledger.staged, self.shard.me);
        let first = first_block_at(read, self.shard.tip().height, self.shard.params.end_of(to));
        let blocks = queries::blocks(read, first, usize::try_from(self.shard.tip().height.0).unwrap_or(usize::MAX));
        let pruned = |_| PastError::Pruned { slot: to, from: past::kept_from(read).max(Kept::read(read).shown) };
        let blocks = blocks.map_err(pruned)?;
        let is_of_message = |block: &queries::Block| {
            let entry = |entry: &Entry| matches!(entry, Entry::Delivered { .. } | Entry::Acknowledged { .. });
            block.entries.iter().any(entry) || queries::has_leaf(read, block.header.height, LeafKind::Message)
        };
        match blocks.iter().find(|block| is_of_message(block)) {
            Some(block) => Err(CheatRefusal::Message { height: block.header.height, me, to }),
            None => Ok(()),
        }
    }

    /// Takes part in the order of slots with these keys, unless an undecided attempt holds one of them (R6, R13).
    fn touch(&mut self, keys: BTreeSet<StateKey>) -> Result<(), Busy> {
        let locks: BTreeMap<StateKey, LockMode> = keys.into_iter().map(|key| (key, LockMode::Exclusive)).collect();
        if let Some(conflict) = self.shard.locks.conflict(&locks) {
            return Err(Busy::locked(conflict));
        }
        let slot = self.own_slot();
        self.shard.recency.touch(&locks, slot);
        Ok(())
    }
}

/// The first block up to `tip` whose time is not before `time`; the one after `tip` if there is none. Times of blocks never decrease.
fn first_block_at(read: &impl Read, tip: Height, time: Time) -> Height {
    let time_of = |height| {
        let block: Option<(Header, Certificate)> = get_value(read, HEADERS, &spaces::height_key(Height(height)));
        block.map_or(Time(0), |(header, _)| header.time)
    };
    let (mut low, mut high) = (1, tip.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if time_of(middle) < time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Height(low)
}

/// The digest under which a block names a cheat.
pub fn cheat_digest(cheat: &Cheat) -> Digest {
    DOMAIN.hash_of(cheat)
}
