//! Blocks: the newest that show anything, and one with a page of what it shows.

use super::Explorer;
use super::answer::Problem;
use super::query::{BlockName, Query, block_name};
use super::records::line;
use crate::chain::unread;
use crate::index::Totals;
use primitives::Slot;
use serde_json::{Value, json};
use wire::jsonrpc::{Chain, pruned};

/// How many slots back one question goes for blocks that show anything, before it says where to go on.
const SLOTS_SEARCHED_COUNT_MAX: u64 = 1 << 16;

impl Explorer {
    /// Blocks that show anything, the newest first, from `before` back.
    pub(super) async fn blocks(&self, query: &Query) -> Result<Value, Problem> {
        let node = &*self.node;
        let (head, oldest) = (Chain::head(node).await?, Chain::oldest(node));
        let before = query.number("before")?.map_or(head.0.saturating_add(1), |before: u64| before.min(head.0 + 1));
        let (slots, next) = self.occupied_before(before, oldest.0, query.count()?).await?;
        let mut told = Vec::with_capacity(slots.len());
        for slot in slots {
            told.push(self.summary(slot)?);
        }
        Ok(json!({
            "head": head.0, "oldest": oldest.0, "blocks": told, "next": next, "silent": self.silent_shards(),
        }))
    }

    /// Up to `count` slots before `before` that show anything, the newest first, and where to go on.
    async fn occupied_before(
        &self,
        before: u64,
        oldest: u64,
        count: usize,
    ) -> Result<(Vec<Slot>, Option<u64>), Problem> {
        let (mut found, mut end, mut width): (Vec<Slot>, u64, u64) = (Vec::new(), before, 64);
        let floor = oldest.max(before.saturating_sub(SLOTS_SEARCHED_COUNT_MAX));
        while end > floor && found.len() < count {
            let begin = end.saturating_sub(width).max(floor);
            // A window of so many slots has at most as many that show anything.
            let window = usize::try_from(end - begin).unwrap_or(usize::MAX);
            let slots = Chain::occupied(&*self.node, Slot(begin), Slot(end - 1), window).await?;
            found.extend(slots.into_iter().rev());
            (end, width) = (begin, width * 2);
        }
        let is_cut = found.len() > count;
        found.truncate(count);
        let next = if is_cut { found.last().map(|slot| slot.0) } else { (end > oldest).then_some(end) };
        Ok((found, next))
    }

    fn summary(&self, slot: Slot) -> Result<Value, Problem> {
        let Totals { count, gas } = self.node.blocks.index().totals(slot).map_err(unread)?;
        Ok(json!({
            "number": slot.0,
            "hash": self.node.network.params.block_hash(slot.0),
            "time": Chain::time_of(&*self.node, slot),
            "transactions": count,
            "gasUsed": gas,
            "silentShards": self.node.blocks.silent(slot).iter().map(|shard| shard.0).collect::<Vec<_>>(),
        }))
    }

    /// One block, by number or hash, and a page of its transactions from `after` on.
    pub(super) async fn block(&self, name: &str, query: &Query) -> Result<Value, Problem> {
        let slot = self.slot(name).await?;
        let (after, count) = (query.number("after")?.unwrap_or(0_usize), query.count()?);
        let mut told = self.summary(slot)?;
        let page = self.node.blocks.index().page(slot, after, count).map_err(unread)?;
        told["page"] = page.iter().map(|entry| line(&entry.record)).collect();
        let next = after.saturating_add(count) as u64;
        let has_more = told["transactions"].as_u64().is_some_and(|all| next < all);
        told["next"] = if has_more { next.into() } else { Value::Null };
        Ok(told)
    }

    /// The slot of a name, whether it is closed or not.
    pub(super) async fn numbered(&self, name: BlockName) -> Result<Slot, Problem> {
        match name {
            BlockName::Number(number) => Ok(Slot(number)),
            BlockName::Newest => Ok(Chain::head(&*self.node).await?),
            BlockName::Oldest => Ok(Chain::oldest(&*self.node)),
        }
    }

    async fn slot(&self, name: &str) -> Result<Slot, Problem> {
        let head = Chain::head(&*self.node).await?;
        if let Ok(hash) = super::query::word(name) {
            let slot = Chain::slot_of_hash(&*self.node, hash).await?;
            return slot.ok_or_else(|| Problem::unknown(format!("no block has hash {hash}")));
        }
        let no_name = || Problem::malformed(format!("{name:?} is no block's number, hash or tag"));
        let slot = self.numbered(block_name(name).ok_or_else(no_name)?).await?;
        let oldest = Chain::oldest(&*self.node);
        if slot > head {
            return Err(Problem::unknown(format!("block {slot} is not closed yet: the last is {head}")));
        }
        if slot < oldest {
            return Err(pruned(format_args!("nothing of block {slot}"), oldest).into());
        }
        Ok(slot)
    }
}
