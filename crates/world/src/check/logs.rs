//! What shards tell of their logs to whoever keeps an index of them.

use crate::world::World;
use primitives::ShardId;
use shard::{LogPlace, LogReader, OutcomePlace, OutcomeRecord, Untold, queries};

/// Transactions in a page: few, so that blocks are told in parts.
const PAGE_COUNT: usize = 3;

impl World {
    /// I22: the log of every shard, read as an index reads it, is all that its headers commit to, and all that the shard shows.
    pub(crate) fn check_logs(&mut self) {
        for index in 0..self.shards.len() {
            let shard = ShardId(index as u32);
            let told = match self.read_log(shard) {
                Ok(told) => told,
                Err(untold) => {
                    self.watch.violation("I22", format!("the log of shard {shard} is not believed: {untold}"));
                    continue;
                }
            };
            let recorded = |record: &OutcomeRecord| queries::outcome(self.shards[index].archive(), record.transaction);
            let is_other = |record: &&OutcomeRecord| {
                recorded(record).map(|other| (other.outcome, other.shown))
                    != Some((record.outcome.clone(), record.shown))
            };
            if let Some(other) = told.iter().find(is_other) {
                let text = format!("shard {shard} tells of {} what it does not record", other.transaction);
                self.watch.violation("I22", text);
            }
        }
    }

    fn read_log(&self, shard: ShardId) -> Result<Vec<OutcomeRecord>, String> {
        let (params, store) = (self.plan.params.clone(), self.shards[shard.0 as usize].archive());
        let place = LogPlace::genesis(&params, shard);
        let (mut reader, mut told) = (LogReader::new(params, shard, place), Vec::new());
        loop {
            let from: OutcomePlace = reader.wanted();
            let page = queries::told(store, from, PAGE_COUNT).map_err(|forgotten| forgotten.to_string())?;
            let is_last = page.next.is_none();
            told.extend(reader.read(&self.receipts, page).map_err(|untold: Untold| untold.to_string())?);
            if is_last {
                return Ok(told);
            }
        }
    }
}
