//! Bodies of blocks, and for how long they are kept.
//!
//! ```text
//!                       first kept                          tip
//!  ─────────────────────────┼────────────────────────────────┼──> blocks
//!  header, certificate and  │ those, and the body: what the block did, said and brought about
//!  history; of what it said │
//!  only what is still open  │
//! ```
//!
//! What is open is a vote on an attempt whose record is kept (R7), a message whose end is not known here, and the end of a message
//! that came here and whose origin has not certified it: each can be asked for, and each has a row of its own with its path once its
//! block's body has gone.
//!
//! Promise: a body goes whole, with the rows that lead to it, in a batch that also says from where on bodies are kept; who asks for
//! what went is told so ([`Forgotten`]) and never that there is nothing. What is forgotten once was in no need of being kept and never
//! is again, so this runs on an earlier snapshot, beside the commit path. Messages (I13, I14): the record of one that was sent goes
//! with the body of its block when its end is known, and without a record an end is refused; the record of one that was consumed goes
//! when its origin has certified that it has taken the end, in a header that the store has: it is refused by that header.
//! Knows nothing of clocks and threads: it is told before which time of a block all may go.

use crate::applied::Applied;
use crate::attempts::attempt;
use crate::blocks::{LeafPlace, OutcomeLeaf, Tip};
use crate::messages::{ConsumedRecord, SentRecord};
use crate::outcomes::outcome;
use crate::page::Room;
use crate::queries;
use crate::spaces::{
    self, APPLIED, CONSUMED, ENTRIES, KEPT_FROM, LEAVES, LEFT, META, OPEN_LEAVES, OUTCOMES, OUTCOMES_BY_SLOT, SENT,
    SIGHTINGS, TIP,
};
use crate::staged::{Staged, get_value, own_value};
use borsh::{BorshDeserialize, BorshSerialize};
use commit::{VOTE_BYTES_MAX, Vote};
use primitives::{Digest, Height, Read, Slot, Time, Write, decode};
use proof::{
    Certified, Delivery, Header, LEAF_BODY_BYTES_MAX, Leaf, LeafKind, Message, MessageId, Outbox, Receipt, domain_of,
};
use std::collections::BTreeMap;

/// Most rows that are taken away at a time, about: a block's go together. Some 10 ms of a step.
const ROWS_FORGOTTEN_COUNT_MAX: usize = 2_048;

/// How many open leaves are looked at again at a time.
const LEAVES_LOOKED_AT_COUNT: usize = 256;

/// How many records of the log are read at a time.
const RECORDS_PER_PAGE_COUNT: usize = 64;

/// From where on bodies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Kept {
    /// The first block whose body is kept.
    pub first: Height,
    /// The number of the first record of the log that is kept.
    pub applied: u64,
    /// The first network block of which this shard has everything that it shows in it.
    pub shown: Slot,
}

impl Kept {
    /// Of this store.
    pub fn read(read: &impl Read) -> Self {
        let all = Self { first: Height(1), applied: 0, shown: Slot(0) };
        get_value(read, META, KEPT_FROM).unwrap_or(all)
    }

    /// Whether anything has gone.
    pub fn is_all(&self) -> bool {
        self.first <= Height(1)
    }

    /// Fails if the body of block `asked` has gone; there is none before block 1.
    pub(crate) fn check_block(&self, asked: Height) -> Result<(), Forgotten> {
        let asked = asked.max(Height(1));
        if asked < self.first { Err(Forgotten::Block { asked, first: self.first }) } else { Ok(()) }
    }

    /// Fails if something that was shown in network block `asked` has gone.
    pub(crate) fn check_shown(&self, asked: Slot) -> Result<(), Forgotten> {
        if asked < self.shown { Err(Forgotten::Shown { asked, first: self.shown }) } else { Ok(()) }
    }

    /// Fails if record `asked` of the log has gone.
    pub(crate) fn check_record(&self, asked: u64) -> Result<(), Forgotten> {
        if asked < self.applied { Err(Forgotten::Record { asked, first: self.applied }) } else { Ok(()) }
    }
}

/// What was asked for is kept no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forgotten {
    /// What a block did and said.
    #[error(
        "what block {asked} did is kept no longer: this shard's node keeps it from block {first} on; begin there, or ask an archive"
    )]
    Block {
        /// Which.
        asked: Height,
        /// The first that is kept.
        first: Height,
    },
    /// What the shard shows in a network block.
    #[error(
        "what network block {asked} shows is kept no longer: this shard's node keeps it from {first} on; begin there, or ask an archive"
    )]
    Shown {
        /// Which.
        asked: Slot,
        /// The first that is kept.
        first: Slot,
    },
    /// A record of the log of what was applied.
    #[error(
        "record {asked} of the log is kept no longer: this shard's node keeps it from {first} on, and only an archive has all"
    )]
    Record {
        /// Which.
        asked: u64,
        /// The first that is kept.
        first: u64,
    },
}

/// What goes, to be handed in as one input: the machine alone writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgetting {
    /// The first block whose body was kept when this was computed.
    pub from: Height,
    /// The first one that is kept after it.
    pub first: Height,
    /// What goes, and what stays of it.
    pub writes: Vec<Write>,
}

/// A leaf of a block whose body has gone.
#[derive(Debug, BorshSerialize, BorshDeserialize)]
struct OpenLeaf {
    leaf: Leaf,
    path: Vec<Digest>,
}

/// Forgets one store's bodies, each time from where it was, and looks at the leaves that were left in turn.
#[derive(Debug, Default)]
pub struct Forgettings {
    /// The first open leaf to look at next.
    look: Vec<u8>,
    /// The rule that is broken, in tests of checkers.
    #[cfg(feature = "twins")]
    pub twin: Option<commit::Twin>,
}

impl Forgettings {
    /// What may go of blocks whose time is before `before`, the oldest first and the newest block never: some
    /// 2,048 rows at a time. `None` if there is nothing to do. Run it on a snapshot, one at a time.
    pub fn next(&mut self, read: &impl Read, before: Time) -> Option<Forgetting> {
        let mut staged = Staged::new(read);
        let mut kept = Kept::read(read);
        let from = kept.first;
        #[cfg_attr(not(feature = "twins"), expect(unused_mut, reason = "nothing is broken"))]
        let mut ends = Ends::read(read);
        #[cfg(feature = "twins")] // MessageForgotten breaks I13 and I14.
        if self.twin == Some(commit::Twin::MessageForgotten) {
            ends.0.values_mut().for_each(|before| *before = u32::MAX);
        }
        self.look_again(&mut staged, &ends);
        let tip = get_value(read, META, TIP).map_or(Height(0), |tip: Tip| tip.height);
        let mut rows_count = 0;
        while kept.first < tip && rows_count < ROWS_FORGOTTEN_COUNT_MAX {
            let Some((header, _)) = queries::header(read, kept.first).filter(|(header, _)| header.time < before) else {
                break;
            };
            rows_count += forget_block(&mut staged, &header, &mut kept, &ends);
        }
        if kept.first > from {
            staged.put_value(META, KEPT_FROM, &kept);
        }
        (!staged.is_empty()).then(|| Forgetting { from, first: kept.first, writes: staged.into_writes() })
    }

    /// Takes away some of the leaves that were open and are not any more.
    fn look_again<R: Read>(&mut self, staged: &mut Staged<'_, R>, ends: &Ends) {
        let page = staged.scan(OPEN_LEAVES, &[], &self.look, LEAVES_LOOKED_AT_COUNT);
        let is_last = page.len() < LEAVES_LOOKED_AT_COUNT;
        self.look = page.last().filter(|_| !is_last).map(|(key, _)| [&key[..], &[0]].concat()).unwrap_or_default();
        for (key, stored) in page {
            let OpenLeaf { leaf, .. } = own_value(OPEN_LEAVES, &stored);
            if !stays_open(staged, spaces::place_of(&key), &leaf, ends) {
                staged.delete(OPEN_LEAVES, key);
            }
        }
    }
}

/// Takes a body away; gives how many rows that are, about.
fn forget_block<R: Read>(staged: &mut Staged<'_, R>, header: &Header, kept: &mut Kept, ends: &Ends) -> usize {
    let key = spaces::height_key(header.height);
    let leaves: Vec<Leaf> = get_value(staged, LEAVES, &key).unwrap_or_default();
    let mut rows_count = 2 + leaves.len();
    let place = |index| LeafPlace { height: header.height, index };
    let mut open = Vec::new();
    for (index, leaf) in (0..).zip(&leaves) {
        if leaf.kind == LeafKind::Outcome {
            rows_count += forget_outcome(staged, header.height, leaf, kept);
        } else if stays_open(staged, place(index), leaf, ends) {
            open.push(index);
        }
    }
    keep_open(staged, header, leaves, &open);
    staged.delete(LEAVES, key);
    staged.delete(ENTRIES, key);
    rows_count += forget_records(staged, header.height, kept);
    kept.first = header.height.next();
    rows_count
}

/// Keeps the leaves at `open` by themselves.
fn keep_open<R: Read>(staged: &mut Staged<'_, R>, header: &Header, leaves: Vec<Leaf>, open: &[u32]) {
    if open.is_empty() {
        return;
    }
    let Ok(outbox) = Outbox::new(header.network, header.shard, header.height, leaves) else { return };
    for index in open {
        let (Some(leaf), Ok(path)) = (outbox.leaves().get(*index as usize).cloned(), outbox.prove(*index)) else {
            return;
        };
        let place = LeafPlace { height: header.height, index: *index };
        staged.put_value(OPEN_LEAVES, spaces::place_key(place), &OpenLeaf { leaf, path });
    }
}

/// Takes away the outcome that a leaf is of, unless it ran again in a later block, on a network with cheats.
fn forget_outcome<R: Read>(staged: &mut Staged<'_, R>, height: Height, leaf: &Leaf, kept: &mut Kept) -> usize {
    let Ok(OutcomeLeaf { transaction, .. }) = decode(&leaf.body, LEAF_BODY_BYTES_MAX) else { return 0 };
    let Some(record) = outcome(staged, transaction).filter(|record| record.height == height) else { return 0 };
    staged.delete(OUTCOMES, transaction.0);
    staged.delete(OUTCOMES_BY_SLOT, spaces::outcome_key(record.shown, height, record.index));
    kept.shown = kept.shown.max(record.shown.next());
    2
}

/// Takes away the log's records of a block.
fn forget_records<R: Read>(staged: &mut Staged<'_, R>, height: Height, kept: &mut Kept) -> usize {
    let first = kept.applied;
    loop {
        let page = staged.scan(APPLIED, &[], &spaces::sequence_key(kept.applied), RECORDS_PER_PAGE_COUNT);
        let is_last = page.len() < RECORDS_PER_PAGE_COUNT;
        for (key, stored) in page {
            if own_value::<Applied>(APPLIED, &stored).height > height {
                return (kept.applied - first) as usize;
            }
            kept.applied = spaces::number_of(&key) + 1;
            staged.delete(APPLIED, key);
        }
        if is_last {
            return (kept.applied - first) as usize;
        }
    }
}

/// Whether somebody may still ask for a leaf. If not, what leads to it goes.
fn stays_open<R: Read>(staged: &mut Staged<'_, R>, place: LeafPlace, leaf: &Leaf, ends: &Ends) -> bool {
    match leaf.kind {
        LeafKind::Outcome => false,
        LeafKind::Vote => decode::<Vote>(&leaf.body, VOTE_BYTES_MAX)
            .ok()
            .and_then(|vote| attempt(staged, vote.attempt))
            .is_some_and(|known| known.vote == place),
        LeafKind::Message => Message::from_bytes(&leaf.body).is_ok_and(|message| stays_sent(staged, &message)),
        LeafKind::Delivery => {
            Delivery::from_bytes(&leaf.body).is_ok_and(|delivery| stays_consumed(staged, place, &delivery, ends))
        }
    }
}

/// What came of a foreign chain stays: nobody there certifies what it has taken.
fn stays_consumed<R: Read>(staged: &mut Staged<'_, R>, place: LeafPlace, delivery: &Delivery, ends: &Ends) -> bool {
    let key = spaces::message_key(delivery.message);
    let Some(record) = get_value::<ConsumedRecord>(staged, CONSUMED, &key).filter(|record| record.leaf == place) else {
        return false;
    };
    if ends.are_open(&record.message) {
        return true;
    }
    staged.delete(CONSUMED, key);
    false
}

/// Before which nonce each shard has certified to have taken the ends of its messages, by its domain: as the store has it, so that who
/// comes back from it refuses what it may have no record of.
#[derive(Debug)]
struct Ends(BTreeMap<u32, u32>);

impl Ends {
    fn read(read: &impl Read) -> Self {
        let others = read.scan(SIGHTINGS, &[], &[], usize::MAX);
        let others = others.iter().map(|(_, stored)| own_value::<Certified>(SIGHTINGS, stored).header);
        let own = queries::status(read).and_then(|status| status.newest).map(|(header, _)| header);
        let ended = |header: Header| (domain_of(header.network, header.shard), header.ended_before);
        Self(others.chain(own).map(ended).collect())
    }

    fn are_open(&self, message: &Message) -> bool {
        self.0.get(&message.origin).is_none_or(|before| message.nonce >= *before)
    }
}

fn stays_sent<R: Read>(staged: &mut Staged<'_, R>, message: &Message) -> bool {
    let key = spaces::message_key(message.id());
    match get_value::<SentRecord>(staged, SENT, &key) {
        None => false,
        Some(SentRecord { end: None, .. }) => true,
        Some(_) => {
            let left = spaces::message_key(MessageId(message.v3_id()));
            if staged.get(LEFT, &left).is_some() {
                staged.delete(LEFT, left);
            }
            staged.delete(SENT, key);
            false
        }
    }
}

/// Whether a write of a shard takes away what is old: who keeps everything beside it leaves this out.
pub fn is_forgetting(write: &Write) -> bool {
    let of_body = [ENTRIES, LEAVES, APPLIED, OUTCOMES, OUTCOMES_BY_SLOT, SENT, CONSUMED, LEFT];
    match write {
        Write::Delete { space, .. } => of_body.contains(space),
        Write::Put { space, key, .. } => (*space, key.as_slice()) == (META, KEPT_FROM),
    }
}

/// The receipt of an open leaf of a block whose body has gone.
pub(crate) fn open_receipt(read: &impl Read, place: LeafPlace) -> Option<Receipt> {
    let open = get_value(read, OPEN_LEAVES, &spaces::place_key(place))?;
    receipt_of(read, place, open)
}

fn receipt_of(read: &impl Read, place: LeafPlace, open: OpenLeaf) -> Option<Receipt> {
    let (header, certificate) = queries::header(read, place.height)?;
    Some(Receipt { leaf: open.leaf, index: place.index, path: open.path, header, certificate, ancestry: None })
}

/// The open leaves of blocks whose bodies have gone, from `from` on, and the first that was not looked at; the first block that is kept
/// when that were all.
pub(crate) fn open_leaves(
    read: &impl Read,
    from: LeafPlace,
    count_max: usize,
    is_wanted: impl Fn(&Leaf) -> bool,
) -> (Vec<(LeafPlace, Receipt)>, LeafPlace) {
    let stored = read.scan(OPEN_LEAVES, &[], &spaces::place_key(from), count_max);
    let is_full = stored.len() >= count_max;
    let (mut room, mut leaves) = (Room::new(count_max), Vec::new());
    let mut next = from;
    for (key, stored) in stored {
        let (place, open) = (spaces::place_of(&key), own_value::<OpenLeaf>(OPEN_LEAVES, &stored));
        if room.is_used_up() {
            return (leaves, place);
        }
        next = LeafPlace { index: place.index + 1, ..place };
        if let Some(receipt) = is_wanted(&open.leaf).then(|| receipt_of(read, place, open)).flatten() {
            room.take(queries::bytes_count(&receipt));
            leaves.push((place, receipt));
        }
    }
    let first_kept = LeafPlace { height: Kept::read(read).first, index: 0 };
    (leaves, if is_full { next } else { first_kept })
}
