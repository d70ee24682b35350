//! What a shard's services read: pure functions over a snapshot of the store.
//!
//! Promise: a receipt made here is the same for ever, whenever it is made (R2, R7); pages are bounded and resume from a
//! cursor, so a slow reader costs nothing here (I19). What is kept no longer is refused, never left out.
//! Knows nothing of the machine's memory: what is not in the store is not known here.

use crate::attempts::AttemptRecord;
use crate::blocks::{Entry, LeafPlace, Tip};
use crate::limits::ATTEMPTS_LIVE_COUNT_MAX;
use crate::messages::{ConsumedRecord, SentRecord, ValueTotals};
use crate::outcomes::OutcomeRecord;
use crate::page::Room;
use crate::retention::{self, Forgotten, Kept};
use crate::seen::EVIDENCE_COUNT_MAX;
use crate::spaces::{
    self, ATTEMPTS, CONSUMED, ENTRIES, EVIDENCE, HEADERS, HISTORY, LEAVES, LEFT, META, OUTCOMES_BY_SLOT, PREPARED,
    SENT, SIGHTINGS, TIP, VALUE,
};
use crate::staged::{get_value, own_value};
use crate::state_tree::{self, StateProof, StateTreeError};
use alloy_primitives::B256;
use borsh::BorshSerialize;
use commit::Descriptor;
use commit::participant::Record;
use evm::StateKey;
use primitives::{AttemptId, Height, Read, ShardId, Slot, Write};
use proof::{
    Ancestry, Certificate, Certified, Equivocation, Header, History, Leaf, LeafKind, MessageId, NodeId, Outbox, Receipt,
};
use std::collections::BTreeSet;

pub use crate::applied::applied;
pub use crate::attempts::{attempt, locked_by};
pub use crate::base::{read_at, unread};
pub use crate::ledger::{account, account_of, code, fees, slot, stored_value, word};
pub use crate::outcomes::outcome;
pub use crate::own_calls::own_call;
pub use crate::past::{kept_from, values_after};
pub use crate::settling::is_settled;
pub use crate::told::told;

/// Most blocks that one outbox page looks through.
pub const OUTBOX_BLOCKS_PER_PAGE_COUNT_MAX: usize = 256;

/// Where a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The newest block.
    pub tip: Tip,
    /// The newest header and its certificate; none before the first block.
    pub newest: Option<(Header, Certificate)>,
}

/// Where the shard is; `None` before genesis.
pub fn status(read: &impl Read) -> Option<Status> {
    let tip: Tip = get_value(read, META, TIP)?;
    Some(Status { tip, newest: header(read, tip.height) })
}

/// A block's header and certificate.
pub fn header(read: &impl Read, height: Height) -> Option<(Header, Certificate)> {
    get_value(read, HEADERS, &spaces::height_key(height))
}

/// The newest certified header of another shard that the store remembers.
pub fn sighting(read: &impl Read, shard: ShardId) -> Option<Certified> {
    get_value(read, SIGHTINGS, &spaces::shard_key(shard))
}

/// The attempts that are open here, by their ids: at most `count_max` of them, and how many there are of the first
/// [`ATTEMPTS_LIVE_COUNT_MAX`].
pub fn open(read: &impl Read, count_max: usize) -> (Vec<(AttemptId, Descriptor)>, usize) {
    let rows = read.scan(PREPARED, &[], &[], ATTEMPTS_LIVE_COUNT_MAX);
    let open = rows.iter().take(count_max).filter_map(|(key, _)| {
        match get_value::<AttemptRecord>(read, ATTEMPTS, key)?.record {
            Record::Prepared { descriptor } => Some((descriptor.id(), descriptor)),
            Record::Refused { .. } | Record::Decided { .. } => None,
        }
    });
    (open.collect(), rows.len())
}

/// The evidence about shards that certified two headers for one height.
pub fn evidence(read: &impl Read) -> Vec<Equivocation> {
    let rows = read.scan(EVIDENCE, &[], &[], EVIDENCE_COUNT_MAX);
    rows.iter().map(|(_, bytes)| own_value(EVIDENCE, bytes)).collect()
}

/// The height that a batch brings its shard to, if it makes a block.
pub fn height_after(writes: &[Write]) -> Option<Height> {
    let tip = writes.iter().find_map(|write| match write {
        Write::Put { space, key, value } if (*space, key.as_slice()) == (META, TIP) => Some(value),
        _ => None,
    });
    tip.map(|bytes| own_value::<Tip>(META, bytes).height)
}

/// A block without its outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its header.
    pub header: Header,
    /// The signatures over it.
    pub certificate: Certificate,
    /// What it did.
    pub entries: Vec<Entry>,
}

/// Up to `count_max` headers from `from` on, and up to [`PAGE_BYTES_MAX`](crate::PAGE_BYTES_MAX) with the last one, without gaps, each with its
/// certificate. They are kept for ever.
pub fn headers(read: &impl Read, from: Height, count_max: usize) -> Vec<(Header, Certificate)> {
    let (mut room, mut headers) = (Room::new(count_max), Vec::new());
    for header in headers_from(read, from) {
        if room.is_used_up() {
            break;
        }
        room.take(bytes_count(&header));
        headers.push(header);
    }
    headers
}

/// Bytes of what is told as it is written.
pub(crate) fn bytes_count(told: &impl BorshSerialize) -> usize {
    borsh::object_length(told).unwrap_or(usize::MAX)
}

fn headers_from(read: &impl Read, from: Height) -> impl Iterator<Item = (Header, Certificate)> {
    (from.0.max(1)..).map_while(|height| header(read, Height(height)))
}

/// Up to `count_max` blocks from `from` on, without gaps.
///
/// # Errors
/// [`Forgotten`] if what the first of them did is kept no longer.
pub fn blocks(read: &impl Read, from: Height, count_max: usize) -> Result<Vec<Block>, Forgotten> {
    Kept::read(read).check_block(from)?;
    let block = |(header, certificate): (Header, Certificate)| {
        let entries = get_value(read, ENTRIES, &spaces::height_key(header.height))?;
        Some(Block { header, certificate, entries })
    };
    Ok(headers_from(read, from).map_while(block).take(count_max).collect())
}

/// The outbox of a block, with the header and certificate its receipts need.
fn outbox(read: &impl Read, height: Height) -> Option<(Outbox, Header, Certificate)> {
    let (header, certificate) = header(read, height)?;
    let leaves: Vec<Leaf> = get_value(read, LEAVES, &spaces::height_key(height))?;
    Some((Outbox::new(header.network, header.shard, height, leaves).ok()?, header, certificate))
}

/// Whether the outbox of a block has a leaf of `kind`.
pub(crate) fn has_leaf(read: &impl Read, height: Height, kind: LeafKind) -> bool {
    let leaves: Option<Vec<Leaf>> = get_value(read, LEAVES, &spaces::height_key(height));
    leaves.is_some_and(|leaves| leaves.iter().any(|leaf| leaf.kind == kind))
}

/// The receipt of the leaf at `place`, if there is one. Hashes the whole block's outbox.
pub fn receipt(read: &impl Read, place: LeafPlace) -> Option<Receipt> {
    let Some((outbox, header, certificate)) = outbox(read, place.height) else {
        return retention::open_receipt(read, place);
    };
    outbox.receipt(place.index, &header, &certificate).ok()
}

/// The receipt of the leaf at `place`, which this machine has written down.
///
/// # Panics
/// If it is not there: the store has lost what was synced.
pub(crate) fn receipt_at(read: &impl Read, place: LeafPlace) -> Receipt {
    match receipt(read, place) {
        Some(receipt) => receipt,
        None => panic!("the store has lost leaf {} of block {}", place.index, place.height),
    }
}

/// The same receipt, certified by the later block `later` instead of its own.
pub fn receipt_under(read: &impl Read, place: LeafPlace, later: Height) -> Option<Receipt> {
    let earlier = receipt(read, place)?;
    let (header, certificate) = header(read, later)?;
    let node = |id: NodeId| get_value(read, HISTORY, &id.key());
    let path = History::prove(place.height, later, node).ok()?;
    Some(Receipt { certificate, ancestry: Some(Ancestry { header, path }), ..earlier })
}

/// Leaves in outbox order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPage {
    /// Where each stands, and its receipt.
    pub leaves: Vec<(LeafPlace, Receipt)>,
    /// The first leaf not looked at.
    pub next: LeafPlace,
    /// The newest block.
    pub head: Height,
}

/// Up to `count_max` leaves of `kinds` (all if empty) from `from` on, out of at most
/// [`OUTBOX_BLOCKS_PER_PAGE_COUNT_MAX`] blocks, and up to [`PAGE_BYTES_MAX`](crate::PAGE_BYTES_MAX) with the last one.
///
/// # Errors
/// [`Forgotten`] if what the first of those blocks said is kept no longer.
pub fn outbox_page(
    read: &impl Read,
    from: LeafPlace,
    count_max: usize,
    kinds: &BTreeSet<LeafKind>,
) -> Result<OutboxPage, Forgotten> {
    Kept::read(read).check_block(from.height)?;
    Ok(page_of_kept(read, from, count_max, kinds))
}

/// The same, but of blocks whose bodies have gone what is still open: all that whoever carries messages and their ends has to know.
pub fn open_outbox_page(read: &impl Read, from: LeafPlace, count_max: usize, kinds: &BTreeSet<LeafKind>) -> OutboxPage {
    if Kept::read(read).check_block(from.height).is_ok() {
        return page_of_kept(read, from, count_max, kinds);
    }
    let head = get_value(read, META, TIP).map_or(Height(0), |tip: Tip| tip.height);
    let is_wanted = |leaf: &Leaf| kinds.is_empty() || kinds.contains(&leaf.kind);
    let (leaves, next) = retention::open_leaves(read, from, count_max, is_wanted);
    OutboxPage { leaves, next, head }
}

fn page_of_kept(read: &impl Read, from: LeafPlace, count_max: usize, kinds: &BTreeSet<LeafKind>) -> OutboxPage {
    let head = get_value(read, META, TIP).map_or(Height(0), |tip: Tip| tip.height);
    let next = LeafPlace { height: from.height.max(Height(1)), ..from };
    let mut page = OutboxPage { leaves: Vec::new(), next, head };
    if from.height.0 == 0 {
        page.next.index = 0;
    }
    let mut room = Room::new(count_max);
    for _ in 0..OUTBOX_BLOCKS_PER_PAGE_COUNT_MAX {
        let Some((outbox, header, certificate)) = outbox(read, page.next.height) else { break };
        let wanted = |leaf: &Leaf| kinds.is_empty() || kinds.contains(&leaf.kind);
        for (index, leaf) in (0..).zip(outbox.leaves()).skip(page.next.index as usize) {
            if room.is_used_up() {
                return page;
            }
            if let (true, Ok(receipt)) = (wanted(leaf), outbox.receipt(index, &header, &certificate)) {
                room.take(bytes_count(&receipt));
                page.leaves.push((LeafPlace { index, ..page.next }, receipt));
            }
            page.next.index = index + 1;
        }
        page.next = LeafPlace { height: page.next.height.next(), index: 0 };
    }
    page
}

/// What this shard knows of a message, as its source and as its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageLife {
    /// If it was sent here.
    pub sent: Option<SentRecord>,
    /// If it was consumed here.
    pub consumed: Option<ConsumedRecord>,
}

/// What this shard knows of a message. One that left for a foreign chain is known by Hyperlane's id too.
pub fn message(read: &impl Read, message: MessageId) -> MessageLife {
    let left: Option<MessageId> = get_value(read, LEFT, &spaces::message_key(message));
    let key = spaces::message_key(left.unwrap_or(message));
    MessageLife { sent: get_value(read, SENT, &key), consumed: get_value(read, CONSUMED, &key) }
}

/// Wei that messages brought, took and hold, over this shard's whole life.
pub fn value_totals(read: &impl Read) -> ValueTotals {
    get_value(read, META, VALUE).unwrap_or_default()
}

/// The place of a leaf by what it is about: an attempt's, message's or transaction's 32 bytes, as `kind` says.
pub fn leaf_place(read: &impl Read, kind: LeafKind, id: [u8; 32]) -> Option<LeafPlace> {
    match kind {
        LeafKind::Vote => attempt(read, primitives::AttemptId(primitives::Digest::new(id))).map(|record| record.vote),
        LeafKind::Message => message(read, MessageId(B256::new(id))).sent.map(|record| record.leaf),
        LeafKind::Delivery => message(read, MessageId(B256::new(id))).consumed.map(|record| record.leaf),
        LeafKind::Outcome => outcome(read, B256::new(id)).map(|record| record.leaf),
    }
}

/// Where to go on in the order of the network's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutcomeCursor {
    /// The network block that shows it.
    pub shown: Slot,
    /// The block of this shard.
    pub height: Height,
    /// The place among that block's outcomes.
    pub index: u32,
}

impl OutcomeCursor {
    /// Before everything that is shown in `slot` and after.
    pub fn at(slot: Slot) -> Self {
        Self { shown: slot, height: Height(0), index: 0 }
    }

    /// Just after `record`.
    pub fn after(record: &OutcomeRecord) -> Self {
        Self { shown: record.shown, height: record.height, index: record.index + 1 }
    }
}

/// Outcomes in the order of the network's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomePage {
    /// The outcomes.
    pub outcomes: Vec<OutcomeRecord>,
    /// Where to go on; none when the range is exhausted.
    pub next: Option<OutcomeCursor>,
}

/// Outcomes that are shown from `from` on and before slot `to`: up to `count_max`, and up to
/// [`PAGE_BYTES_MAX`](crate::PAGE_BYTES_MAX) with the last one.
///
/// # Errors
/// [`Forgotten`] if something that was shown in the first of those slots is kept no longer.
pub fn outcomes(read: &impl Read, from: OutcomeCursor, to: Slot, count_max: usize) -> Result<OutcomePage, Forgotten> {
    Kept::read(read).check_shown(from.shown)?;
    Ok(page_of_outcomes(read, from, to, count_max))
}

fn page_of_outcomes(read: &impl Read, from: OutcomeCursor, to: Slot, count_max: usize) -> OutcomePage {
    let start = spaces::outcome_key(from.shown, from.height, from.index);
    let entries = read.scan(OUTCOMES_BY_SLOT, &[], &start, count_max);
    let is_full = entries.len() >= count_max;
    let mut page = OutcomePage { outcomes: Vec::new(), next: None };
    let mut room = Room::new(count_max);
    for (key, hash) in entries {
        if spaces::number_of(&key) >= to.0 {
            return OutcomePage { next: None, ..page };
        }
        let Some(record) = B256::try_from(&hash[..]).ok().and_then(|hash| outcome(read, hash)) else { continue };
        page.next = Some(OutcomeCursor::after(&record));
        room.take(record.bytes_count());
        page.outcomes.push(record);
        if room.is_used_up() {
            return page;
        }
    }
    OutcomePage { next: page.next.filter(|_| is_full), ..page }
}

/// A value with what proves it under a certified state root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenValue {
    /// The canonical bytes; none if there is nothing there.
    pub value: Option<Vec<u8>>,
    /// The path.
    pub proof: StateProof,
}

/// Values of own keys after an earlier block, and the certified header that carries that block's state root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenState {
    /// The newest header.
    pub header: Header,
    /// The signatures over it.
    pub certificate: Certificate,
    /// One for each key.
    pub values: Vec<ProvenValue>,
}

/// Proves the values of `keys` under the newest header's state root; `None` before the first block.
///
/// # Errors
/// [`StateTreeError`] if the tree cannot be read.
pub fn prove_state(read: &impl Read, keys: &[StateKey]) -> Result<Option<ProvenState>, StateTreeError> {
    let Some((header, certificate)) = status(read).and_then(|status| status.newest) else { return Ok(None) };
    let prove = |key: &StateKey| {
        let (value, proof) = state_tree::prove(read, key, header.state_height)?;
        Ok(ProvenValue { value, proof })
    };
    let values = keys.iter().map(prove).collect::<Result<_, StateTreeError>>()?;
    Ok(Some(ProvenState { header, certificate, values }))
}
