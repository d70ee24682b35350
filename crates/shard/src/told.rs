//! The log as it is told to who keeps an index of it: all headers, all transactions of each block, and what proves both.
//!
//! ```text
//!   header 7 <-parent- header 8 <-parent- header 9 <-- certificate      one signature check a page
//!      |                  |                  |
//!   outcome root       outcome root       outcome root                  made again from all transactions of the block
//! ```
//!
//! Promise: what a [`LogReader`] gives out is what the shard's validators certified: no transaction is changed, left out or added,
//! whoever told it. A signed transaction's bytes are those of its hash, and what a system transaction called is what its id binds.
//! What is *not* certified is up to which network block all is told ([`LogReader::close`]): what contradicts it later is refused.
//! Knows nothing of who is asked, and of indexes.

use crate::blocks::{OutcomeLeaf, Tip};
use crate::closing::shown_in;
use crate::outcomes::{OutcomeRecord, outcome};
use crate::own_calls::{self, OwnPayload};
use crate::page::Room;
use crate::queries;
use crate::retention::{Forgotten, Kept};
use crate::spaces::{self, LEAVES, META, TIP};
use crate::staged::get_value;
use alloy_primitives::{B256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use evm::{Environments, NetworkParams};
use primitives::{Height, Read, ShardId, Slot, Verifier, decode, encode};
use proof::{
    Certificate, Header, LEAF_BODY_BYTES_MAX, Leaf, LeafKind, Place, ReceiptError, ReceiptVerifier, Tree, TreeKind,
};
use std::collections::BTreeMap;

/// Most blocks in one page.
pub const TOLD_BLOCKS_COUNT_MAX: usize = 256;

/// Most bytes of transactions that a reader takes for one block, about: several times what a step's gas pays for.
pub const TOLD_BLOCK_BYTES_MAX: usize = 512 << 20;

/// A place among the outcomes of a shard's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutcomePlace {
    /// The block.
    pub height: Height,
    /// The place among its outcomes, from 0.
    pub index: u32,
}

/// A transaction as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldOutcome {
    /// What it did.
    pub record: OutcomeRecord,
    /// What ran it, if nobody signed it.
    pub own: Option<Box<OwnPayload>>,
}

/// A block as it is told: whole, or a part of it at either end of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldBlock {
    /// Its header.
    pub header: Header,
    /// What it did, in order.
    pub outcomes: Vec<ToldOutcome>,
}

/// Blocks in the order of the log, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldPage {
    /// The blocks.
    pub blocks: Vec<ToldBlock>,
    /// Who certified the last of them; none where there is none.
    pub certificate: Option<Certificate>,
    /// Where to go on; none at the end of the log.
    pub next: Option<OutcomePlace>,
    /// The newest block.
    pub head: Height,
}

/// Tells the log from `from` on: up to `count_max` outcomes, [`TOLD_BLOCKS_COUNT_MAX`] blocks, and
/// [`PAGE_BYTES_MAX`](crate::PAGE_BYTES_MAX) with the last outcome.
///
/// # Errors
/// [`Forgotten`] if what the first of those blocks did is kept no longer.
pub fn told(read: &impl Read, from: OutcomePlace, count_max: usize) -> Result<ToldPage, Forgotten> {
    Kept::read(read).check_block(from.height)?;
    let head = get_value(read, META, TIP).map_or(Height(0), |tip: Tip| tip.height);
    let mut page = ToldPage { blocks: Vec::new(), certificate: None, next: None, head };
    let mut room = Room::new(count_max);
    let mut next = OutcomePlace { height: from.height.max(Height(1)), ..from };
    while let Some((header, certificate)) = queries::header(read, next.height) {
        if page.blocks.len() >= TOLD_BLOCKS_COUNT_MAX || room.is_used_up() {
            page.next = Some(next);
            break;
        }
        let (outcomes, left) = outcomes_of(read, &header, next.index, &mut room);
        next = left.unwrap_or(OutcomePlace { height: next.height.next(), index: 0 });
        page.blocks.push(ToldBlock { header, outcomes });
        page.certificate = Some(certificate);
    }
    Ok(page)
}

/// The outcomes of a block from `index` on as far as there is room, and the first for which there is none.
fn outcomes_of(
    read: &impl Read,
    header: &Header,
    index: u32,
    room: &mut Room,
) -> (Vec<ToldOutcome>, Option<OutcomePlace>) {
    let mut outcomes = Vec::new();
    let mut own = None;
    for record in records_of(read, header).filter(|record| record.index >= index) {
        if room.is_used_up() {
            return (outcomes, Some(OutcomePlace { height: header.height, index: record.index }));
        }
        let told = with_own(read, record, &mut own);
        room.take(told.bytes_count());
        outcomes.push(told);
    }
    (outcomes, None)
}

/// The records of a block, found by its outbox. On a network with cheats those that were not gone back from.
fn records_of(read: &impl Read, header: &Header) -> impl Iterator<Item = OutcomeRecord> {
    let leaves: Vec<Leaf> = match header.outbox_count {
        0 => Vec::new(),
        _ => get_value(read, LEAVES, &spaces::height_key(header.height)).unwrap_or_default(),
    };
    let outcomes = leaves.into_iter().filter(|leaf| leaf.kind == LeafKind::Outcome);
    let leaf = |leaf: Leaf| decode::<OutcomeLeaf>(&leaf.body, LEAF_BODY_BYTES_MAX).ok();
    let records = outcomes.filter_map(leaf).filter_map(|leaf| outcome(read, leaf.transaction));
    records.filter(|record| record.height == header.height)
}

/// A record with what ran it; `own` are the payloads of its block, once somebody has asked for them.
fn with_own<R: Read>(read: &R, record: OutcomeRecord, own: &mut Option<BTreeMap<B256, OwnPayload>>) -> ToldOutcome {
    if !record.bytes.is_empty() {
        return ToldOutcome { record, own: None };
    }
    let own = own.get_or_insert_with(|| own_calls::of_block(read, record.height));
    let own = own.get(&record.transaction).cloned().map(Box::new);
    ToldOutcome { record, own }
}

impl ToldOutcome {
    /// How much room it takes, about.
    fn bytes_count(&self) -> usize {
        self.record.bytes_count() + self.own.as_ref().map_or(0, |own| encode(&own.payload).len())
    }
}

/// Why what was told is not believed, or leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// Another shard's block.
    #[error("a block of shard {actual}")]
    Shard {
        /// Whose it is.
        actual: ShardId,
    },
    /// A block that is not the next one.
    #[error("block {actual} where block {expected} is due")]
    Height {
        /// Which is due.
        expected: Height,
        /// Which came.
        actual: Height,
    },
    /// A block that follows on another one than was told before.
    #[error("block {height} follows on another block {before} than the one that was told")]
    Parent {
        /// The block.
        height: Height,
        /// The one before it.
        before: Height,
    },
    /// A block of an earlier time than the one before it.
    #[error("block {height} is of an earlier time than the one before it")]
    Time {
        /// The block.
        height: Height,
    },
    /// Blocks that nobody certified.
    #[error("block {height} comes without a certificate")]
    Uncertified {
        /// The last of them.
        height: Height,
    },
    /// The last block's certificate does not hold.
    #[error("the certificate of block {height} does not hold: {source}")]
    Certificate {
        /// The block.
        height: Height,
        /// Why not.
        source: ReceiptError,
    },
    /// The transactions are not those that the header's outcome root is of.
    #[error("the {count} transactions of block {height} are not those that its header commits to")]
    Outcomes {
        /// The block.
        height: Height,
        /// How many came.
        count: usize,
    },
    /// A transaction is said to stand, or to be shown, elsewhere than it does.
    #[error("transaction {transaction} of block {height} is said to have another place or time than it has")]
    Place {
        /// Which.
        transaction: B256,
        /// Its block.
        height: Height,
    },
    /// The bytes of a signed transaction are another's.
    #[error("the bytes of transaction {transaction} have another hash")]
    Bytes {
        /// Which.
        transaction: B256,
    },
    /// What a system transaction is said to have called is not what its id binds.
    #[error("what transaction {transaction} called is missing, or is not what its id binds")]
    Called {
        /// Which.
        transaction: B256,
    },
    /// A transaction is shown in a network block that was said to be closed before.
    #[error(
        "transaction {transaction} is shown in block {shown}, which was closed: {open} was the first that was open"
    )]
    Closed {
        /// Which.
        transaction: B256,
        /// The network block.
        shown: Slot,
        /// The first that was open.
        open: Slot,
    },
    /// A block is larger than any is.
    #[error("block {height} has more than {TOLD_BLOCK_BYTES_MAX} bytes of transactions")]
    Large {
        /// The block.
        height: Height,
    },
    /// The log ends before what was told of it.
    #[error("the log ends at block {head}, and was told up to block {tip}")]
    Behind {
        /// Its newest block.
        head: Height,
        /// The newest that was told.
        tip: Height,
    },
    /// A last page that does not reach the end of the log.
    #[error("the log is told up to block {told}, and ends at block {head}")]
    Short {
        /// Its newest block.
        head: Height,
        /// The last that was told.
        told: Height,
    },
    /// A page without blocks that says there is more.
    #[error("a page without blocks at {height}, and more after it")]
    Empty {
        /// Where it was asked for.
        height: Height,
    },
}

/// Reads one shard's log, and believes nothing.
///
/// Costs one signature check a page, and a hash or two for each transaction.
#[derive(Debug)]
pub struct LogReader {
    params: NetworkParams,
    shard: ShardId,
    at: LogPlace,
    /// The block that the last page ended in.
    begun: Option<Begun>,
}

/// How far a log is read: what a reader that begins again has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LogPlace {
    /// The last block that was read whole.
    pub tip: Tip,
    /// The first network block that more may be shown in.
    pub open: Slot,
}

impl LogPlace {
    /// Before everything.
    pub fn genesis(params: &NetworkParams, shard: ShardId) -> Self {
        Self { tip: Tip::genesis(params.network, shard), open: Slot(0) }
    }
}

/// A block of which a part is still to come.
#[derive(Debug)]
struct Begun {
    header: Header,
    outcomes: Vec<ToldOutcome>,
    bytes: usize,
}

impl LogReader {
    /// Reads the log of `shard` from `at` on.
    pub fn new(params: NetworkParams, shard: ShardId, at: LogPlace) -> Self {
        Self { params, shard, at, begun: None }
    }

    /// How far it has read.
    pub fn at(&self) -> LogPlace {
        self.at
    }

    /// The first outcome that it has not seen.
    pub fn wanted(&self) -> OutcomePlace {
        let begun = self.begun.as_ref().map_or(0, |begun| begun.outcomes.len());
        OutcomePlace { height: self.at.tip.height.next(), index: u32::try_from(begun).unwrap_or(u32::MAX) }
    }

    /// The transactions of all blocks that `page`, which was asked for from [`LogReader::wanted`] on, completes.
    ///
    /// # Errors
    /// [`Untold`], and the reader is where it was, at the beginning of a block.
    pub fn read(&mut self, verifier: &ReceiptVerifier, page: ToldPage) -> Result<Vec<OutcomeRecord>, Untold> {
        let (begun, tip, head) = (self.begun.take(), self.at.tip.height, page.head);
        let told = page.blocks.last().map_or(tip, |block| block.header.height);
        match page.next {
            Some(_) if page.blocks.is_empty() => return Err(Untold::Empty { height: tip.next() }),
            None if head < told => return Err(Untold::Behind { head, tip: told }),
            None if head > told => return Err(Untold::Short { head, told }),
            Some(_) | None => {}
        }
        let Some(last) = page.blocks.last() else { return Ok(Vec::new()) };
        // A block is certified when a later one is, which names it.
        certify(verifier, &last.header, page.certificate)?;
        self.take(begun, page.blocks, page.next)
    }

    /// Notes that the shard says that everything it shows before `open` is in what was read. Nobody certifies that.
    pub fn close(&mut self, open: Slot) {
        self.at.open = self.at.open.max(open);
    }

    fn take(
        &mut self,
        mut begun: Option<Begun>,
        blocks: Vec<ToldBlock>,
        next: Option<OutcomePlace>,
    ) -> Result<Vec<OutcomeRecord>, Untold> {
        let (mut at, mut records) = (self.at, Vec::new());
        for block in blocks {
            self.follows(&at.tip, &block.header)?;
            let whole =
                begun.take().map_or_else(|| Ok(Begun::new(block.header.clone())), |begun| begun.same(&block))?;
            let whole = whole.with(block.outcomes)?;
            if next.is_some_and(|next| next.height == whole.header.height) {
                begun = Some(whole);
                continue;
            }
            let header = whole.header.clone();
            records.extend(self.checked(whole, at.open)?);
            at.tip = Tip { height: header.height, digest: header.digest(), time: header.time };
        }
        // Times never decrease, so what comes is shown there or later.
        at.open = at.open.max(shown_in(&self.params, 0, at.tip.time));
        (self.at, self.begun) = (at, begun);
        Ok(records)
    }

    fn follows(&self, tip: &Tip, header: &Header) -> Result<(), Untold> {
        let (height, before) = (header.height, tip.height);
        if header.shard != self.shard {
            return Err(Untold::Shard { actual: header.shard });
        }
        if height != before.next() {
            return Err(Untold::Height { expected: before.next(), actual: height });
        }
        if header.parent != tip.digest {
            return Err(Untold::Parent { height, before });
        }
        if header.time < tip.time { Err(Untold::Time { height }) } else { Ok(()) }
    }

    /// The transactions of a whole block, if they are what its header commits to.
    fn checked(&self, block: Begun, open: Slot) -> Result<Vec<OutcomeRecord>, Untold> {
        let Begun { header, outcomes, .. } = block;
        // Who has gone back to a snapshot has forgotten transactions of blocks that stay: there is nothing to compare with.
        if self.params.environments == Environments::Cheats {
            return Ok(outcomes.into_iter().map(ToldOutcome::unchecked).collect());
        }
        let root = outcome_root(&header, outcomes.iter().map(|told| &told.record));
        if root != header.outcome_root {
            return Err(Untold::Outcomes { height: header.height, count: outcomes.len() });
        }
        let outcomes = outcomes.into_iter().zip(0..);
        outcomes.map(|(told, index)| self.checked_one(&header, told, index, open)).collect()
    }

    fn checked_one(&self, header: &Header, told: ToldOutcome, index: u32, open: Slot) -> Result<OutcomeRecord, Untold> {
        let record = told.called()?;
        let OutcomeRecord { transaction, number, shown, height, time, leaf, .. } = record;
        let is_there = (height, record.index, time, leaf.height) == (header.height, index, header.time, header.height);
        if !is_there || shown != shown_in(&self.params, number, time) {
            return Err(Untold::Place { transaction, height: header.height });
        }
        if shown < open { Err(Untold::Closed { transaction, shown, open }) } else { Ok(record) }
    }
}

impl Begun {
    fn new(header: Header) -> Self {
        Self { header, outcomes: Vec::new(), bytes: 0 }
    }

    /// This, if `more` is of the same block.
    fn same(self, more: &ToldBlock) -> Result<Self, Untold> {
        let height = more.header.height;
        if self.header == more.header { Ok(self) } else { Err(Untold::Parent { height, before: height }) }
    }

    fn with(mut self, more: Vec<ToldOutcome>) -> Result<Self, Untold> {
        self.bytes += more.iter().map(ToldOutcome::bytes_count).sum::<usize>();
        self.outcomes.extend(more);
        if self.bytes > TOLD_BLOCK_BYTES_MAX { Err(Untold::Large { height: self.header.height }) } else { Ok(self) }
    }
}

impl ToldOutcome {
    /// The record, with what it called: checked against its hash or id, which the header commits to.
    fn called(self) -> Result<OutcomeRecord, Untold> {
        let transaction = self.record.transaction;
        if !self.record.bytes.is_empty() {
            let is_its = keccak256(&*self.record.bytes) == transaction;
            let record = OutcomeRecord { called: None, ..self.record };
            return if is_its { Ok(record) } else { Err(Untold::Bytes { transaction }) };
        }
        let called = self.own.as_ref().and_then(|own| own.call(transaction)).cloned();
        if called.is_none() {
            return Err(Untold::Called { transaction });
        }
        Ok(OutcomeRecord { called, ..self.record })
    }

    fn unchecked(self) -> OutcomeRecord {
        let called = self.own.as_ref().and_then(|own| own.call(self.record.transaction)).cloned();
        OutcomeRecord { called, ..self.record }
    }
}

fn certify(verifier: &ReceiptVerifier, header: &Header, certificate: Option<Certificate>) -> Result<(), Untold> {
    let height = header.height;
    let certificate = certificate.ok_or(Untold::Uncertified { height })?;
    let certified: Result<Header, _> = verifier.verify((header.clone(), certificate));
    certified.map(drop).map_err(|source| Untold::Certificate { height, source })
}

/// The root of the outcomes of a block.
fn outcome_root<'a>(header: &Header, records: impl Iterator<Item = &'a OutcomeRecord>) -> primitives::Digest {
    let Header { network, shard, height, .. } = *header;
    let place = Place { kind: TreeKind::Outcomes, network, shard, height };
    Tree::new(records.map(OutcomeRecord::commitment)).root(&place)
}
