//! The blocks of the network, as this process tells them, and the head.
//!
//! ```text
//!            first                     head
//!  ──────────┼──────────────────────────┼──────────────> network blocks
//!  in the    │ closed on all shards,    │ closed on some shards,
//!  index     │ here and in the index    │ here and in the index, not told yet
//! ```
//!
//! Promise: the head never goes back; a block up to the head holds everything that the shards which answer show in it, and
//! says which shards did not. What a shard shows in a block that was told without it is added when the shard is back: blocks
//! are kept in the shards' own order of places, so that all processes tell the same ones in the end. Told from here or from
//! the index a block is the same, and no shard is asked for it. Bounded in bytes. Knows nothing of connections.

use crate::index::Index;
use primitives::{Height, ShardId, Slot, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Fault;
use tokio::sync::watch;
use wire::jsonrpc::SlotBlock;
use wire::shard::LogPlace;
use wire::state::OutcomeRecord;

/// Most bytes of outcomes kept in memory, about: at 500 transactions a second some five minutes.
const BLOCKS_BYTES_MAX: usize = 64 << 20;

/// All blocks and the head.
#[derive(Debug)]
pub(crate) struct Blocks {
    index: Index,
    kept: Mutex<Kept>,
    head: watch::Sender<Option<Slot>>,
    /// How often somebody could not wait for the next look at the shards.
    hurries: watch::Sender<u64>,
}

impl Blocks {
    /// Those that `index` has of a network of `shards`.
    pub(crate) fn new(index: Index, shards: impl Iterator<Item = ShardId>) -> Self {
        let open = shards.map(|shard| (shard, index.place(shard).open)).collect();
        let kept = Kept::new(open, index.last(), BLOCKS_BYTES_MAX);
        Self { index, kept: Mutex::new(kept), head: watch::Sender::new(None), hurries: watch::Sender::new(0) }
    }

    /// The last block that is told; none while not even that is known.
    pub(crate) fn head(&self) -> watch::Receiver<Option<Slot>> {
        self.head.subscribe()
    }

    /// Has all shards looked at now.
    pub(crate) fn hurry(&self) {
        self.hurries.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells when somebody hurries.
    pub(crate) fn hurries(&self) -> watch::Receiver<u64> {
        self.hurries.subscribe()
    }

    /// Forgets what was shown after `slot`, which the shards have forgotten, on a network with cheats: those blocks are empty then.
    pub(crate) fn forget_after(&self, slot: Slot) -> Result<(), Fault> {
        self.index.forget_after(slot)?;
        let mut kept = self.lock();
        let gone = kept.blocks.split_off(&slot.next());
        kept.bytes -= gone.values().map(|block| block.bytes).sum::<usize>();
        Ok(())
    }

    /// Whether nobody can be told any more.
    pub(crate) fn is_unheard(&self) -> bool {
        self.head.is_closed()
    }

    /// Keeps what `shard` shows; everything up to `at` has been kept then.
    pub(crate) fn keep(&self, shard: ShardId, outcomes: Vec<OutcomeRecord>, at: LogPlace) -> Result<(), Fault> {
        self.index.add(shard, &outcomes, at)?;
        let mut kept = self.lock();
        for record in outcomes {
            kept.keep(shard, record);
        }
        kept.forget();
        let open = kept.open.entry(shard).or_insert(at.open);
        *open = at.open.max(*open);
        Ok(())
    }

    /// All that `shard` has closed is kept: from now on the head waits for it.
    pub(crate) fn caught_up(&self, shard: ShardId) {
        self.lock().heard.insert(shard);
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

    /// A block up to the head.
    pub(crate) fn block(&self, slot: Slot) -> Result<Arc<SlotBlock>, Fault> {
        // What comes while the index is read makes the block grow; the shards that are silent are of before that.
        let (told, silent) = self.lock().block(slot);
        let told = match told {
            Some(told) => told,
            None => Arc::new(SlotBlock { outcomes: self.index.block(slot)?, ..SlotBlock::empty(slot) }),
        };
        Ok(if silent.is_empty() { told } else { Arc::new(SlotBlock { silent, ..(*told).clone() }) })
    }

    /// The shards that have not closed a block.
    pub(crate) fn silent(&self, slot: Slot) -> Vec<ShardId> {
        self.lock().block(slot).1
    }

    /// The last block that is known: the head, or before there is one what all shards' outcomes have been read to.
    pub(crate) fn known_to(&self) -> Slot {
        let head = *self.head.borrow();
        head.unwrap_or_else(|| self.lock().open.values().min().copied().unwrap_or(Slot(0)))
    }

    /// Where what is older is looked up.
    pub(crate) fn index(&self) -> &Index {
        &self.index
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

/// The newest blocks.
#[derive(Debug)]
struct Kept {
    /// The first block that is kept whole.
    first: Slot,
    /// The first block of each shard of which not everything is known yet.
    open: BTreeMap<ShardId, Slot>,
    /// The shards that have said what they have closed, since this process began.
    heard: BTreeSet<ShardId>,
    blocks: BTreeMap<Slot, Block>,
    bytes: usize,
    bytes_max: usize,
}

impl Kept {
    fn new(open: BTreeMap<ShardId, Slot>, last: Option<Slot>, bytes_max: usize) -> Self {
        // Of what lies before it something may be in the index alone: what shards have closed, and what they have not and showed.
        let first = open.values().copied().chain(last.map(Slot::next)).max().unwrap_or(Slot(0));
        Self { first, open, heard: BTreeSet::new(), blocks: BTreeMap::new(), bytes: 0, bytes_max }
    }

    fn keep(&mut self, shard: ShardId, record: OutcomeRecord) {
        let slot = record.shown;
        if slot < self.first {
            return;
        }
        let empty = || Block { places: Vec::new(), told: Arc::new(SlotBlock::empty(slot)), bytes: 0 };
        let block = self.blocks.entry(slot).or_insert_with(empty);
        // A page that was asked for twice brings the same again.
        let Err(index) = block.places.binary_search(&place(shard, &record)) else { return };
        let bytes = record.bytes_count();
        block.bytes += bytes;
        self.bytes += bytes;
        block.places.insert(index, place(shard, &record));
        Arc::make_mut(&mut block.told).outcomes.insert(index, record);
    }

    /// Forgets the oldest blocks while there are too many bytes.
    fn forget(&mut self) {
        while self.bytes > self.bytes_max && self.blocks.len() > 1 {
            let Some((slot, block)) = self.blocks.pop_first() else { return };
            self.bytes -= block.bytes;
            self.first = Slot(slot.0 + 1);
        }
    }

    fn closed_by(&self, shards: impl Iterator<Item = ShardId>) -> Option<Slot> {
        let open = |shard: ShardId| self.heard.contains(&shard).then(|| self.open.get(&shard).copied()).flatten();
        let open = shards.map(open).collect::<Option<Vec<_>>>()?;
        open.into_iter().min()?.0.checked_sub(1).map(Slot)
    }

    /// A block, unless it is in the index alone, and the shards that have not closed it.
    fn block(&self, slot: Slot) -> (Option<Arc<SlotBlock>>, Vec<ShardId>) {
        let silent = self.open.iter().filter(|(_, open)| **open <= slot);
        let silent = silent.map(|(shard, _)| *shard).collect();
        let empty = || Arc::new(SlotBlock::empty(slot));
        let told = || self.blocks.get(&slot).map_or_else(empty, |block| Arc::clone(&block.told));
        ((slot >= self.first).then(told), silent)
    }
}

#[cfg(test)]
mod tests;
