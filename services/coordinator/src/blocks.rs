//! The newest blocks of the network, as this process tells them, and the head.
//!
//! ```text
//!            first                     head
//!  ──────────┼──────────────────────────┼──────────────> network blocks
//!  ask the   │ closed on all shards,    │ closed on some
//!  shards    │ kept here                │ shards, kept here, not told yet
//! ```
//!
//! Promise: the head never goes back; a block up to the head holds everything that the shards which answer show in it, and
//! says which shards did not. What a shard shows in a block that was told without it is added when the shard is back: blocks
//! are kept in the shards' own order of places, so that all processes tell the same ones in the end.
//! Bounded in bytes: what is too old is forgotten here and asked for again. Knows nothing of connections.

use alloy_primitives::B256;
use primitives::{Height, ShardId, Slot, Time};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use wire::jsonrpc::SlotBlock;
use wire::state::OutcomeRecord;

/// Most bytes of outcomes kept, about: at 500 transactions a second some five minutes.
const BLOCKS_BYTES_MAX: usize = 64 << 20;

/// The newest blocks and the head.
#[derive(Debug)]
pub(crate) struct Blocks {
    kept: Mutex<Kept>,
    head: watch::Sender<Option<Slot>>,
}

impl Blocks {
    /// None yet, of a network of `shards`.
    pub(crate) fn new(shards: impl Iterator<Item = ShardId>) -> Self {
        Self { kept: Mutex::new(Kept::new(shards, BLOCKS_BYTES_MAX)), head: watch::Sender::new(None) }
    }

    /// The last block that is told; none while not even that is known.
    pub(crate) fn head(&self) -> watch::Receiver<Option<Slot>> {
        self.head.subscribe()
    }

    /// Whether nobody can be told any more.
    pub(crate) fn is_unheard(&self) -> bool {
        self.head.is_closed()
    }

    /// Starts to keep blocks from `open` on, unless it was started before.
    pub(crate) fn begin(&self, open: Slot) {
        self.lock().first.get_or_insert(open);
    }

    /// The first block of which nothing of `shard` is known yet; none before the beginning.
    pub(crate) fn wanted(&self, shard: ShardId) -> Option<Slot> {
        self.lock().wanted(shard)
    }

    /// Keeps what `shard` shows.
    pub(crate) fn keep(&self, shard: ShardId, outcomes: Vec<OutcomeRecord>) {
        let mut kept = self.lock();
        for record in outcomes {
            kept.keep(shard, record);
        }
        kept.forget();
    }

    /// Everything that `shard` shows before `open` has been kept.
    pub(crate) fn close(&self, shard: ShardId, open: Slot) {
        let mut kept = self.lock();
        let before = kept.open.entry(shard).or_default();
        *before = (*before).max(Some(open));
    }

    /// Moves the head to the last block that all of `shards` have closed, unless one of them has not said.
    pub(crate) fn advance(&self, shards: impl Iterator<Item = ShardId>) {
        let Some(closed) = self.lock().closed_by(shards) else { return };
        self.head.send_if_modified(|head| {
            let grows = *head < Some(closed);
            *head = (*head).max(Some(closed));
            grows
        });
    }

    /// The first block that is kept here; none before the beginning.
    pub(crate) fn first(&self) -> Option<Slot> {
        self.lock().first
    }

    /// A block up to the head; none if it is too old to be kept.
    pub(crate) fn block(&self, slot: Slot) -> Option<Arc<SlotBlock>> {
        self.lock().block(slot)
    }

    /// Up to `count_max` blocks from `from` to `to` that are not empty, out of those that are kept.
    pub(crate) fn occupied(&self, from: Slot, to: Slot, count_max: usize) -> Vec<Slot> {
        if from > to {
            return Vec::new();
        }
        self.lock().blocks.range(from..=to).map(|(slot, _)| *slot).take(count_max).collect()
    }

    /// What is kept of a transaction.
    pub(crate) fn record(&self, transaction: B256) -> Option<OutcomeRecord> {
        let kept = self.lock();
        let block = kept.blocks.get(kept.places.get(&transaction)?)?;
        block.told.outcomes.iter().find(|record| record.transaction == transaction).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Each change leaves a whole table behind.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An outcome's place in its block: the same wherever it is told.
pub(crate) type Place = (Time, ShardId, Height, u32);

/// The place of what `shard` shows.
pub(crate) fn place(shard: ShardId, record: &OutcomeRecord) -> Place {
    (record.time, shard, record.height, record.index)
}

/// A block with something in it.
#[derive(Debug)]
struct Block {
    /// Where each outcome stands, in order.
    places: Vec<Place>,
    told: Arc<SlotBlock>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    /// The first block that is kept whole.
    first: Option<Slot>,
    /// The first block of each shard of which not everything is kept yet.
    open: BTreeMap<ShardId, Option<Slot>>,
    blocks: BTreeMap<Slot, Block>,
    places: BTreeMap<B256, Slot>,
    bytes: usize,
    bytes_max: usize,
}

impl Kept {
    fn new(shards: impl Iterator<Item = ShardId>, bytes_max: usize) -> Self {
        Self {
            first: None,
            open: shards.map(|shard| (shard, None)).collect(),
            blocks: BTreeMap::new(),
            places: BTreeMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    fn wanted(&self, shard: ShardId) -> Option<Slot> {
        let first = self.first?;
        Some(self.open.get(&shard).copied().flatten().map_or(first, |open| first.max(open)))
    }

    fn keep(&mut self, shard: ShardId, record: OutcomeRecord) {
        let slot = record.shown;
        if self.first.is_none_or(|first| slot < first) {
            return;
        }
        let empty = || Block { places: Vec::new(), told: Arc::new(SlotBlock::empty(slot)), bytes: 0 };
        let block = self.blocks.entry(slot).or_insert_with(empty);
        // A page that was asked for twice brings the same again.
        let Err(index) = block.places.binary_search(&place(shard, &record)) else { return };
        let bytes = record.bytes_count();
        block.bytes += bytes;
        self.bytes += bytes;
        self.places.insert(record.transaction, slot);
        block.places.insert(index, place(shard, &record));
        Arc::make_mut(&mut block.told).outcomes.insert(index, record);
    }

    /// Forgets the oldest blocks while there are too many bytes.
    fn forget(&mut self) {
        while self.bytes > self.bytes_max && self.blocks.len() > 1 {
            let Some((slot, block)) = self.blocks.pop_first() else { return };
            self.bytes -= block.bytes;
            for record in &block.told.outcomes {
                self.places.remove(&record.transaction);
            }
            self.first = Some(Slot(slot.0 + 1));
        }
    }

    fn closed_by(&self, shards: impl Iterator<Item = ShardId>) -> Option<Slot> {
        let open = shards.map(|shard| self.open.get(&shard).copied().flatten()).collect::<Option<Vec<_>>>()?;
        open.into_iter().min()?.0.checked_sub(1).map(Slot)
    }

    fn block(&self, slot: Slot) -> Option<Arc<SlotBlock>> {
        self.first.filter(|first| *first <= slot)?;
        let has_not_closed = |open: &Option<Slot>| open.is_none_or(|open| open <= slot);
        let silent = self.open.iter().filter(|(_, open)| has_not_closed(open));
        let silent: Vec<ShardId> = silent.map(|(shard, _)| *shard).collect();
        let empty = || Arc::new(SlotBlock::empty(slot));
        let told = self.blocks.get(&slot).map_or_else(empty, |block| Arc::clone(&block.told));
        Some(if silent.is_empty() { told } else { Arc::new(SlotBlock { silent, ..(*told).clone() }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use evm::{Outcome, Status};
    use wire::state::LeafPlace;

    const A: ShardId = ShardId(0);
    const B: ShardId = ShardId(1);

    fn record(id: u8, shown: u64, time: u64) -> OutcomeRecord {
        OutcomeRecord {
            transaction: B256::repeat_byte(id),
            bytes: vec![id].into(),
            sender: Address::ZERO,
            outcome: Outcome {
                transaction: None,
                kind: 2,
                status: Status::Success,
                gas_used: 1,
                gas_price: 1,
                output: Vec::new().into(),
                logs: Vec::new(),
                created: None,
            },
            number: shown,
            shown: Slot(shown),
            height: Height(u64::from(id)),
            index: 0,
            time: Time(time),
            leaf: LeafPlace { height: Height(u64::from(id)), index: 0 },
            attempt: None,
            participants: vec![A],
        }
    }

    /// Both shards have closed everything before block 10.
    fn blocks() -> Blocks {
        let blocks = Blocks::new([A, B].into_iter());
        blocks.begin(Slot(10));
        blocks.close(A, Slot(10));
        blocks.close(B, Slot(10));
        blocks
    }

    fn ids(blocks: &Blocks, slot: u64) -> Vec<B256> {
        blocks.block(Slot(slot)).unwrap().outcomes.iter().map(|record| record.transaction).collect()
    }

    fn id(id: u8) -> B256 {
        B256::repeat_byte(id)
    }

    #[test]
    fn the_head_is_what_all_have_closed_and_never_goes_back() {
        let blocks = blocks();
        let head = blocks.head();
        blocks.advance([A, B].into_iter());
        assert_eq!(*head.borrow(), Some(Slot(9)));
        blocks.close(A, Slot(20));
        blocks.advance([A, B].into_iter());
        assert_eq!(*head.borrow(), Some(Slot(9)), "one of them has not closed more");
        blocks.advance([A].into_iter());
        assert_eq!(*head.borrow(), Some(Slot(19)), "the other is silent and left out");
        blocks.close(B, Slot(12));
        blocks.advance([A, B].into_iter());
        assert_eq!(*head.borrow(), Some(Slot(19)), "it is back, and behind");
    }

    #[test]
    fn a_shard_that_may_still_answer_holds_the_head() {
        let blocks = Blocks::new([A, B].into_iter());
        blocks.begin(Slot(10));
        blocks.close(A, Slot(20));
        blocks.advance([A, B].into_iter());
        assert_eq!(*blocks.head().borrow(), None);
    }

    #[test]
    fn a_block_told_without_a_shard_says_so_and_is_completed_when_the_shard_is_back() {
        let blocks = blocks();
        blocks.keep(A, vec![record(1, 12, 300), record(2, 12, 500)]);
        blocks.close(A, Slot(20));
        let told = blocks.block(Slot(12)).unwrap();
        assert_eq!((ids(&blocks, 12), told.silent.clone()), (vec![id(1), id(2)], vec![B]));
        assert_eq!(blocks.block(Slot(9)), None, "before the first");
        blocks.keep(B, vec![record(3, 12, 400)]);
        blocks.close(B, Slot(20));
        assert_eq!(ids(&blocks, 12), [id(1), id(3), id(2)], "each has the place that it has everywhere");
        assert_eq!(blocks.block(Slot(12)).unwrap().silent, []);
        assert_eq!(blocks.occupied(Slot(10), Slot(19), 9), [Slot(12)]);
    }

    #[test]
    fn what_is_brought_twice_is_kept_once() {
        let blocks = blocks();
        blocks.keep(A, vec![record(1, 12, 300)]);
        blocks.keep(A, vec![record(1, 12, 300)]);
        assert_eq!(ids(&blocks, 12), [id(1)]);
        assert_eq!(blocks.record(id(1)).map(|record| record.shown), Some(Slot(12)));
        assert_eq!(blocks.record(id(2)), None);
    }

    #[test]
    fn the_oldest_blocks_are_forgotten_when_there_are_too_many_bytes() {
        let size = record(1, 10, 1).bytes_count();
        let mut kept = Kept::new([A, B].into_iter(), 2 * size);
        kept.first = Some(Slot(10));
        for id in 1..=4 {
            kept.keep(A, record(id, 10 + u64::from(id), 1));
            kept.forget();
        }
        assert_eq!((kept.first, kept.bytes, kept.blocks.len(), kept.places.len()), (Some(Slot(13)), 2 * size, 2, 2));
        assert!(kept.block(Slot(12)).is_none() && kept.block(Slot(13)).is_some());
        kept.keep(B, record(9, 12, 1));
        assert_eq!(kept.bytes, 2 * size, "what is forgotten does not come back");
        assert_eq!(kept.wanted(B), Some(Slot(13)), "and is not asked for");
    }
}
