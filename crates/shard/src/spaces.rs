//! Every space of a shard's store, and how their keys are written.
//!
//! Promise: keys that are read in order are written so that their bytes sort in that order (big-endian numbers); one
//! function writes each kind of key.
//! Knows nothing of the machine that uses them.

use crate::blocks::LeafPlace;
use alloy_primitives::{Address, B256, U256};
use evm::{FeesKey, StateKey};
use primitives::{AttemptId, Height, ShardId, Slot, Space, Time};
use proof::MessageId;

/// Who this store belongs to, and the machine's small values: one key each.
pub const META: Space = Space("shard_meta");
/// Address -> account.
pub const ACCOUNTS: Space = Space("shard_accounts");
/// Address, slot -> 32 bytes; zero is absent.
pub const SLOTS: Space = Space("shard_slots");
/// keccak256 -> code.
pub const CODES: Space = Space("shard_codes");
/// Beneficiary -> wei: this shard's fragments of fees.
pub const FEES: Space = Space("shard_fees");
/// State key -> when it was read from the forked chain; only in a network that was forked.
pub const BASE: Space = Space("shard_base");
/// Height -> what the block changed in the state, until the state tree has it.
pub const CHANGES: Space = Space("shard_changes");
/// Version, path -> node of the state tree.
pub const TREE_NODES: Space = Space("shard_tree_nodes");
/// Height -> state root; and the newest.
pub const TREE_ROOTS: Space = Space("shard_tree_roots");
/// Height -> nodes and values of the state tree that no version from that one on needs.
pub const TREE_STALE: Space = Space("shard_tree_stale");
/// State key, slot -> its value before that slot changed it.
pub const PAST: Space = Space("shard_past");
/// Height -> what the block added to [`PAST`]; and how far back that goes.
pub const PAST_ROWS: Space = Space("shard_past_rows");
/// Key hash, version from the newest down -> value.
pub const TREE_VALUES: Space = Space("shard_tree_values");
/// Height -> header and certificate.
pub const HEADERS: Space = Space("shard_headers");
/// Height -> the block's log entries.
pub const ENTRIES: Space = Space("shard_entries");
/// Height -> the leaves of the block's outbox.
pub const LEAVES: Space = Space("shard_leaves");
/// Height, index -> a leaf that somebody may still ask for, of a block whose body has gone ([`crate::retention`]).
pub const OPEN_LEAVES: Space = Space("shard_open_leaves");
/// Node id -> digest: the tree of earlier headers.
pub const HISTORY: Space = Space("shard_history");
/// Attempt -> what this shard has said of it and knows of it; a yes until the attempt is settled (R7), a no until the rule stands in
/// for it (R5).
pub const ATTEMPTS: Space = Space("shard_attempts");
/// Time and attempt -> why the no was said: those that may go after that time.
pub const TOMBSTONES: Space = Space("shard_tombstones");
/// Other participants, deadline and attempt -> nothing: decided attempts whose records go when these are settled ([`crate::settling`]).
pub const SETTLING: Space = Space("shard_settling");
/// Attempt -> locks and effects, from the yes vote to the decision.
pub const PREPARED: Space = Space("shard_prepared");
/// State key -> one of the attempts in [`PREPARED`] that may change it.
pub const HOLDERS: Space = Space("shard_holders");
/// Sequence number -> what was applied: this shard's part in the order of the network.
pub const APPLIED: Space = Space("shard_applied");
/// Transaction hash -> its outcome, at the sender's home.
pub const OUTCOMES: Space = Space("shard_outcomes");
/// Network block, height, index -> transaction hash.
pub const OUTCOMES_BY_SLOT: Space = Space("shard_outcomes_by_slot");
/// Message -> what became of it here: the set that makes it run once, together with the rule for those that are over.
pub const CONSUMED: Space = Space("shard_consumed");
/// Message -> its life as its source knows it.
pub const SENT: Space = Space("shard_sent");
/// Nonce -> nothing: messages to shards whose end is not known here ([`crate::unended`]).
pub const UNENDED: Space = Space("shard_unended");
/// Hyperlane's id -> message: those that left for a foreign chain, which is all that chain knows them by.
pub const LEFT: Space = Space("shard_left");
/// Shard -> the newest certified header of it that this one has seen.
pub const SIGHTINGS: Space = Space("shard_sightings");
/// Digest -> two certified headers of one shard for one height.
pub const EVIDENCE: Space = Space("shard_evidence");

/// All of them: what a store for a shard is opened with.
pub const SPACES: [Space; 32] = [
    META,
    ACCOUNTS,
    SLOTS,
    CODES,
    FEES,
    BASE,
    CHANGES,
    TREE_NODES,
    TREE_ROOTS,
    TREE_STALE,
    TREE_VALUES,
    PAST,
    PAST_ROWS,
    HEADERS,
    ENTRIES,
    LEAVES,
    OPEN_LEAVES,
    HISTORY,
    ATTEMPTS,
    TOMBSTONES,
    SETTLING,
    PREPARED,
    HOLDERS,
    APPLIED,
    OUTCOMES,
    OUTCOMES_BY_SLOT,
    CONSUMED,
    SENT,
    UNENDED,
    LEFT,
    SIGHTINGS,
    EVIDENCE,
];

/// In [`META`]: whose store this is.
pub(crate) const IDENTITY: &[u8] = b"identity";
/// In [`META`]: the newest block's height and header digest.
pub(crate) const TIP: &[u8] = b"tip";
/// In [`META`]: the tree of headers, without its nodes.
pub(crate) const HISTORY_TIP: &[u8] = b"history";
/// In [`META`]: wei minted, burnt and in flight.
pub(crate) const VALUE: &[u8] = b"value";
/// In [`META`]: how many entries [`APPLIED`] has.
pub(crate) const APPLIED_COUNT: &[u8] = b"applied count";
/// In [`META`]: the newest slot that was committed ([`crate::recency`]).
pub(crate) const NEWEST_SLOT: &[u8] = b"newest slot";
/// In [`META`]: the nonce after that of the last message.
pub(crate) const NEXT_NONCE: &[u8] = b"next nonce";
/// In [`META`]: from where on bodies of blocks are kept ([`crate::retention`]).
pub(crate) const KEPT_FROM: &[u8] = b"kept from";
/// In [`META`]: there if the network was forked from another chain.
pub(crate) const FORKED: &[u8] = b"forked";
/// In [`TREE_ROOTS`] and [`PAST_ROWS`]: the newest. Sorts after every height.
pub(crate) const NEWEST: &[u8] = b"newest root";

/// A height as a key.
pub(crate) fn height_key(height: Height) -> [u8; 8] {
    height.0.to_be_bytes()
}

/// The height that a key starts with.
pub(crate) fn height_of(key: &[u8]) -> Height {
    Height(number_of(key))
}

/// A leaf's place as a key: in outbox order.
pub(crate) fn place_key(place: LeafPlace) -> Vec<u8> {
    [&place.height.0.to_be_bytes()[..], &place.index.to_be_bytes()].concat()
}

/// The place that such a key is of.
pub(crate) fn place_of(key: &[u8]) -> LeafPlace {
    let index = key.get(8..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    LeafPlace { height: height_of(key), index }
}

/// A shard's key.
pub(crate) fn shard_key(shard: ShardId) -> [u8; 4] {
    shard.0.to_be_bytes()
}

/// A sequence number as a key.
pub(crate) fn sequence_key(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// The number that a key starts with; zero bytes stand for what is missing.
pub(crate) fn number_of(key: &[u8]) -> u64 {
    key.iter().chain(std::iter::repeat(&0)).take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// An account's key.
pub(crate) fn account_key(address: Address) -> [u8; 20] {
    address.into_array()
}

/// A slot's key: all slots of one account together.
pub(crate) fn slot_key(address: Address, slot: U256) -> Vec<u8> {
    [&address[..], &slot.to_be_bytes::<32>()].concat()
}

/// A code's key.
pub(crate) fn code_key(hash: B256) -> [u8; 32] {
    hash.0
}

/// A state key's canonical bytes at a slot: all slots of one key together, the oldest first.
pub(crate) fn past_key(key: &[u8], slot: Slot) -> Vec<u8> {
    [key, &slot.0.to_be_bytes()].concat()
}

/// Where it is said that a state key is read.
pub(crate) fn base_key(key: &StateKey) -> Vec<u8> {
    primitives::encode(key)
}

/// What a key of [`PAST`] is made of.
pub(crate) fn past_parts(row: &[u8]) -> (&[u8], Slot) {
    let (key, slot) = row.split_at(row.len().saturating_sub(8));
    (key, Slot(number_of(slot)))
}

/// A fragment's key: the shard is this one.
pub(crate) fn fees_key(key: FeesKey) -> [u8; 20] {
    key.beneficiary.into_array()
}

/// An attempt's key.
pub(crate) fn attempt_key(attempt: AttemptId) -> [u8; 32] {
    commit::participant::record_key(attempt)
}

/// When a no may go.
pub(crate) fn tombstone_key(until: Time, attempt: AttemptId) -> Vec<u8> {
    [&until.0.to_be_bytes()[..], attempt.0.as_bytes()].concat()
}

/// What the keys of decided attempts with these other participants start with.
pub(crate) fn settling_prefix(others: &[ShardId]) -> Vec<u8> {
    let count = u16::try_from(others.len()).unwrap_or(u16::MAX); // Far above what an attempt may have.
    let shards = others.iter().flat_map(|shard| shard.0.to_be_bytes());
    count.to_be_bytes().into_iter().chain(shards).collect()
}

/// Where it is said that an attempt is decided.
pub(crate) fn settling_key(others: &[ShardId], deadline: Time, attempt: AttemptId) -> Vec<u8> {
    [&settling_prefix(others)[..], &deadline.0.to_be_bytes(), attempt.0.as_bytes()].concat()
}

/// Where it is said who may change a state key.
pub(crate) fn holder_key(key: &StateKey) -> Vec<u8> {
    primitives::encode(key)
}

/// A message's key.
pub(crate) fn message_key(message: MessageId) -> [u8; 32] {
    message.0.0
}

/// An outcome's place in the order of the network's blocks.
pub(crate) fn outcome_key(shown: Slot, height: Height, index: u32) -> Vec<u8> {
    [&shown.0.to_be_bytes()[..], &height.0.to_be_bytes(), &index.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_spaces_share_a_name() {
        let names: std::collections::BTreeSet<_> = SPACES.iter().collect();
        assert_eq!(names.len(), SPACES.len());
    }

    #[test]
    fn keys_sort_as_their_numbers_do() {
        assert!(height_key(Height(255)) < height_key(Height(256)));
        assert!(outcome_key(Slot(1), Height(9), 9) < outcome_key(Slot(2), Height(1), 0));
        assert_eq!(height_of(&height_key(Height(7))), Height(7));
        let place = |height, index| LeafPlace { height: Height(height), index };
        assert!(place_key(place(7, 300)) < place_key(place(8, 0)));
        assert_eq!(place_of(&place_key(place(7, 300))), place(7, 300));
    }

    #[test]
    fn the_newest_root_sorts_after_every_height() {
        let last = height_key(Height(u64::MAX >> 2));
        assert!(NEWEST > &last[..]);
    }
}
