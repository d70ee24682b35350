//! The state after slots gone by: what a reader of an earlier block is told.
//!
//! ```text
//!   CHANGES[height]: key, slot, value  --advance, beside the commit path-->  PAST[key, slot] = the value before that slot
//!
//!   the value of a key after slot n:   the first PAST of a later slot, or else what there is now
//! ```
//!
//! Promise (I20): once slot *n* is closed here, the state after it is the same whenever it is asked for: that of all payloads
//! which ran at *n* or before. What an undecided attempt of such a slot may still change is refused, never guessed. A key
//! takes room for each slot that changed it, as long as such slots are kept, and none otherwise.
//! Knows nothing of which slots are closed.

use crate::attempts::{self, undecided};
use crate::ledger::{stored_value, word, word_bytes};
use crate::spaces::{self, CHANGES, PAST, PAST_ROWS};
use crate::staged::{Staged, get_value, own_value};
use crate::state_tree::{self, BlockChanges, Stored, ValueAt};
use alloy_primitives::U256;
use borsh::{BorshDeserialize, BorshSerialize};
use evm::StateKey;
use primitives::{AttemptId, Height, Read, ShardId, Slot, encode};
use std::collections::{BTreeMap, BTreeSet};

/// How many blocks not yet advanced over are read at a time.
const BLOCKS_PER_PAGE_COUNT: usize = 64;

/// Most blocks whose rows one block may take along: more than one, so that what was left catches up.
const BLOCKS_PRUNED_PER_BLOCK_COUNT: usize = 4;

/// Where the past is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Kept {
    /// The newest slot that changed anything.
    newest: Slot,
    /// The first slot after which the state is known still.
    from: Slot,
    /// The first block whose rows are kept.
    first: Height,
}

impl Kept {
    /// Of a store with nothing in it, and where it is in one.
    fn read(read: &impl Read) -> Self {
        let nothing = Self { newest: Slot(0), from: Slot(0), first: Height(0) };
        get_value(read, PAST_ROWS, spaces::NEWEST).unwrap_or(nothing)
    }
}

/// What one block added.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct Rows {
    newest: Slot,
    keys: Vec<Vec<u8>>,
}

/// Why there is no state after a slot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// It is kept no longer.
    #[error("historical state of block {slot} is not available: this shard keeps it from block {from} on")]
    Pruned {
        /// The slot asked for.
        slot: Slot,
        /// The first one that is kept.
        from: Slot,
    },
    /// An attempt that ran then is not decided yet.
    #[error("{key} after block {slot} is not known yet: attempt {attempt} of shards {shards:?} is undecided")]
    Undecided {
        /// What it may change.
        key: StateKey,
        /// The slot asked for.
        slot: Slot,
        /// The attempt.
        attempt: AttemptId,
        /// Those that take part in it.
        shards: Vec<ShardId>,
    },
}

/// Records what a block changes, `before` being what stands in the state tree of each key, and forgets what changed more than `kept`
/// slots ago.
pub(crate) fn record<R: Read>(
    staged: &mut Staged<'_, R>,
    height: Height,
    changes: &BlockChanges,
    before: &[Option<Stored>],
    kept: u64,
) {
    let mut rows = Rows { newest: Slot(0), keys: Vec::new() };
    for ((key, values), stored) in changes.iter().zip(before) {
        let mut before = stored.as_ref().and_then(|(_, value)| value.clone());
        for ValueAt { slot, value } in values {
            // Nobody asks what was before the first slot.
            if *slot > Slot(0) {
                change(staged, &mut rows, key, *slot, before.as_deref(), value.as_deref());
            }
            before.clone_from(value);
        }
    }
    let mut state = Kept::read(staged);
    state.newest = state.newest.max(rows.newest);
    if !rows.keys.is_empty() {
        staged.put_value(PAST_ROWS, spaces::height_key(height), &rows);
    }
    prune(staged, &mut state, kept);
    staged.put_value(PAST_ROWS, spaces::NEWEST, &state);
}

fn change<R: Read>(
    staged: &mut Staged<'_, R>,
    rows: &mut Rows,
    key: &[u8],
    slot: Slot,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
) {
    let mut before = before.map(<[u8]>::to_vec);
    if commutes(key) {
        // Credits come in any order of slots: each counts from its own on.
        let change = number(after).wrapping_sub(number(before.as_deref()));
        for (index, (row, stored)) in later(staged, key, slot, usize::MAX).into_iter().enumerate() {
            let then: Option<Vec<u8>> = own_value(PAST, &stored);
            staged.put_value(PAST, row, &word_bytes(number(then.as_deref()).wrapping_add(change)));
            if index == 0 {
                before = then;
            }
        }
    }
    let row = spaces::past_key(key, slot);
    // The first change of a slot says what was before it.
    if staged.get(PAST, &row).is_none() {
        staged.put_value(PAST, row.clone(), &before);
        rows.newest = rows.newest.max(slot);
        rows.keys.push(row);
    }
}

fn prune<R: Read>(staged: &mut Staged<'_, R>, state: &mut Kept, kept: u64) {
    let first = spaces::height_key(state.first);
    for (height, stored) in staged.scan(PAST_ROWS, &[], &first, BLOCKS_PRUNED_PER_BLOCK_COUNT) {
        if height == spaces::NEWEST {
            return;
        }
        let rows: Rows = own_value(PAST_ROWS, &stored);
        if rows.newest.0.saturating_add(kept) >= state.newest.0 {
            return;
        }
        state.from = state.from.max(rows.newest);
        state.first = spaces::height_of(&height).next();
        rows.keys.into_iter().for_each(|row| staged.delete(PAST, row));
        staged.delete(PAST_ROWS, height);
    }
}

/// The first slot after which the state is known still.
pub fn kept_from(read: &impl Read) -> Slot {
    Kept::read(read).from
}

/// The stored values of own `keys` after `slot`, which must be closed here; `None` for nothing there.
///
/// # Errors
/// [`PastError`].
pub fn values_after(read: &impl Read, keys: &[StateKey], slot: Slot) -> Result<Vec<Option<Vec<u8>>>, PastError> {
    let state = Kept::read(read);
    if slot < state.from {
        return Err(PastError::Pruned { slot, from: state.from });
    }
    keys.iter().try_for_each(|key| decided(read, *key, slot))?;
    let mut recent: BTreeMap<Vec<u8>, Vec<ValueAt>> = keys.iter().map(|key| (encode(key), Vec::new())).collect();
    collect_recent(read, &mut recent);
    let value = |key: &StateKey| {
        let bytes = encode(key);
        let recent = &recent[&bytes];
        if commutes(&bytes) {
            credited(read, &bytes, recent, slot)
        } else {
            value_after(read, *key, &bytes, recent, slot)
        }
    };
    Ok(keys.iter().map(value).collect())
}

/// The keys that something after `slot` changed, as far back as the past is kept. A look at each row of it since then.
pub(crate) fn changed_after(read: &impl Read, slot: Slot) -> BTreeSet<StateKey> {
    let mut keys = BTreeSet::new();
    for (height, stored) in read.scan(PAST_ROWS, &[], &[], usize::MAX) {
        if height == spaces::NEWEST {
            break;
        }
        let rows: Rows = own_value(PAST_ROWS, &stored);
        let is_later = |row: &&Vec<u8>| spaces::past_parts(row).1 > slot;
        keys.extend(rows.keys.iter().filter(is_later).map(|row| spaces::past_parts(row).0.to_vec()));
    }
    let next = state_tree::newest_root(read).map_or(Height(0), |(height, _)| height.next());
    for (_, changes) in read.scan(CHANGES, &[], &spaces::height_key(next), usize::MAX) {
        let changes: BlockChanges = own_value(CHANGES, &changes);
        let is_later = |(_, values): &(Vec<u8>, Vec<ValueAt>)| values.iter().any(|value| value.slot > slot);
        keys.extend(changes.into_iter().filter(is_later).map(|(key, _)| key));
    }
    keys.into_iter().map(|key| own_value(CHANGES, &key)).collect()
}

/// Fails if an undecided attempt that ran at `slot` or before may change `key`.
fn decided(read: &impl Read, key: StateKey, slot: Slot) -> Result<(), PastError> {
    let Some(holder) = attempts::locked_by(read, &key) else { return Ok(()) };
    let ran = |attempt| undecided(read, attempt).filter(|undecided| undecided.number <= slot.0);
    let found = match ran(holder) {
        // Of several that credit a key, one is named as its holder.
        None if commutes(&encode(&key)) => {
            attempts::all_undecided(read).find(|other| other.number <= slot.0 && other.changes(&key))
        }
        found => found,
    };
    match found {
        None => Ok(()),
        Some(found) => Err(PastError::Undecided { key, slot, attempt: found.attempt, shards: found.participants }),
    }
}

/// What blocks that the state tree has not taken yet changed in these keys, in order.
fn collect_recent(read: &impl Read, keys: &mut BTreeMap<Vec<u8>, Vec<ValueAt>>) {
    let mut next = state_tree::newest_root(read).map_or(Height(0), |(height, _)| height.next());
    loop {
        let page = read.scan(CHANGES, &[], &spaces::height_key(next), BLOCKS_PER_PAGE_COUNT);
        for (height, changes) in &page {
            next = spaces::height_of(height).next();
            for (key, values) in own_value::<BlockChanges>(CHANGES, changes) {
                if let Some(known) = keys.get_mut(&key) {
                    known.extend(values);
                }
            }
        }
        if page.len() < BLOCKS_PER_PAGE_COUNT {
            return;
        }
    }
}

/// Changes of such a key stand in the order of their slots (R13).
fn value_after(read: &impl Read, key: StateKey, bytes: &[u8], recent: &[ValueAt], slot: Slot) -> Option<Vec<u8>> {
    if let Some((_, stored)) = later(read, bytes, slot, 1).into_iter().next() {
        return own_value(PAST, &stored);
    }
    match recent.iter().position(|value| value.slot > slot) {
        Some(0) => state_tree::newest_value(read, bytes),
        Some(index) => recent[index - 1].value.clone(),
        None => stored_value(read, key),
    }
}

/// A sum of credits, which come in any order of slots.
fn credited(read: &impl Read, key: &[u8], recent: &[ValueAt], slot: Slot) -> Option<Vec<u8>> {
    let newest = state_tree::newest_value(read, key);
    let mut before = number(newest.as_deref());
    let mut sum = match later(read, key, slot, 1).into_iter().next() {
        Some((_, stored)) => number(own_value::<Option<Vec<u8>>>(PAST, &stored).as_deref()),
        None => before,
    };
    for ValueAt { slot: at, value } in recent {
        let after = number(value.as_deref());
        if *at <= slot {
            sum = sum.wrapping_add(after.wrapping_sub(before));
        }
        before = after;
    }
    word_bytes(sum)
}

/// What is recorded of a key for slots after `slot`, the oldest first.
fn later(read: &impl Read, key: &[u8], slot: Slot, count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let from = spaces::past_key(key, Slot(slot.0.saturating_add(1)));
    if slot.0 == u64::MAX { Vec::new() } else { read.scan(PAST, key, &from, count_max) }
}

/// Whether a key is a sum of credits: the only one that two payloads may change in any order.
fn commutes(key: &[u8]) -> bool {
    primitives::decode(key, key.len()).is_ok_and(|key: StateKey| matches!(key, StateKey::Fees(_)))
}

fn number(value: Option<&[u8]>) -> U256 {
    value.map_or(U256::ZERO, word)
}

#[cfg(test)]
mod tests;
