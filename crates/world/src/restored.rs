//! An old copy in the place of a shard's store: it must vote on nothing (R14).
//!
//! ```text
//!   copy kept ... shard goes on ... power off, copy put back, mark gone --> asks the others --> behind --> the newest store
//!                                                                             | writes a block: a violation   is put back
//! ```
//!
//! The mark that is kept outside a store refuses such a copy by itself (`store`); here it is gone too, as when a whole
//! machine is restored, so that the others have to know. Where none of them has seen more than the copy has, the mark would
//! be needed, and the fault does not strike.

use crate::life::Power;
use crate::party::Party;
use crate::plan::Span;
use crate::queue::Event;
use crate::world::World;
use primitives::{Height, Memory, Millis, ShardId, Write};
use shard::{Shard, Start, queries};

/// How long an operator takes to find out, and to put the newest store back.
const PUT_BACK: Span = Span::between(1_000, 8_000);

/// What a shard has beside its node, for a copy of its store.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// A copy taken some time ago.
    kept: Option<Memory>,
    /// The newest store, while an old copy stands in its place.
    newest: Option<Memory>,
}

impl Copies {
    /// Whether an old copy stands in the store's place.
    pub(crate) fn is_old(&self) -> bool {
        self.newest.is_some()
    }

    /// What a shard that starts now is told of its store.
    pub(crate) fn start(&self) -> Start {
        if self.is_old() { Start::Unmarked } else { Start::Marked }
    }
}

fn tip(store: &Memory) -> Height {
    queries::status(store).map_or(Height(0), |status| status.tip.height)
}

impl World {
    /// Takes a copy of some shard's store, or puts one that is old enough in its place.
    pub(crate) fn restore_copy(&mut self) -> bool {
        let shard = ShardId(self.chaos_dice.below(self.shards.len() as u64) as u32);
        let wait = self.chaos_dice.between(20, 3_000);
        if self.shards.iter().any(|party| party.copies.newest.is_some()) || self.party(shard).machine().is_none() {
            return false;
        }
        let party = &mut self.shards[shard.0 as usize];
        let Some(copy) = party.copies.kept.take() else {
            party.copies.kept = Some(party.node.store.clone());
            return false;
        };
        if self.seen_by_others(shard) <= tip(&copy) {
            self.shards[shard.0 as usize].copies.kept = Some(copy);
            return false;
        }
        self.kill::<Shard>(shard.0 as usize, Power::Kept);
        let party = &mut self.shards[shard.0 as usize];
        let newest = std::mem::replace(&mut party.node.store, copy);
        party.copies.newest = Some(newest);
        let life = party.node.life;
        self.queue.push(self.now.after(Millis(wait)), Event::Restart(Party::Shard(shard), life));
        true
    }

    fn party(&self, shard: ShardId) -> &crate::ShardParty {
        &self.shards[shard.0 as usize]
    }

    /// The newest block of `shard` that another shard's store knows of.
    fn seen_by_others(&self, shard: ShardId) -> Height {
        let others = (0..).zip(&self.shards).filter(|(other, _)| ShardId(*other) != shard);
        let seen = others.filter_map(|(_, party)| queries::sighting(&party.node.store, shard));
        seen.map(|seen| seen.header.height).max().unwrap_or(Height(0))
    }

    /// A shard says that its store is not the newest: its process ends, and its operator puts the newest store back.
    pub(crate) fn found_behind(&mut self, index: usize) {
        self.kill::<Shard>(index, Power::Kept);
        let wait = Millis(self.disk_dice.between(PUT_BACK.least.0, PUT_BACK.most.0));
        self.put_newest_back(index);
        let life = self.shards[index].node.life;
        self.queue.push(self.now.after(wait), Event::Restart(Party::Shard(ShardId(index as u32)), life));
    }

    pub(crate) fn put_newest_back(&mut self, index: usize) {
        let party = &mut self.shards[index];
        if let Some(newest) = party.copies.newest.take() {
            party.node.store = newest;
        }
    }

    /// R14: an old copy makes no block.
    pub(crate) fn watch_restored(&mut self, shard: ShardId, writes: &[Write]) {
        let Some(newest) = &self.party(shard).copies.newest else { return };
        if let Some(height) = queries::height_after(writes) {
            let text = format!(
                "shard {shard} makes block {height} on an old copy of its store, which ended at {}",
                tip(newest)
            );
            self.watch.violation("R14", text);
        }
    }
}
