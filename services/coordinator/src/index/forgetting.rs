//! Forgetting: all rows of old blocks go, and the disk that they took is given back.
//!
//! ```text
//!   first = n, committed -> rows of slots before n, page by page, each a batch -> tables written anew without them
//! ```
//!
//! Promise: from the first batch on no slot before `first` counts as known, so a process that is killed between two pages leaves
//! nothing half told; the rest goes with the next forgetting. A row that a later block has set anew stays.

use super::{
    ATTEMPTS, BLOCKS, CREATED, CURSORS, FIRST, HASHES, Index, OUTLINES, PLACES, SENT, SLOTS, SPACES, rows, slot_of,
};
use alloy_primitives::B256;
use primitives::{Read, ShardId, Slot, Space, Write};
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use store::Fault;
use wire::state::OutcomeRecord;

/// Transactions whose rows go in one batch.
const PAGE_COUNT: usize = 256;

impl Index {
    /// Forgets all blocks before `first`.
    pub(crate) fn forget(&self, first: Slot) -> Result<(), Fault> {
        if first > self.first() {
            self.commit(&[Write::put(CURSORS, FIRST, first.0.to_be_bytes().to_vec())])?;
            self.first.store(first.0, Ordering::Release);
        }
        while self.forget_page(first)? {}
        SPACES.into_iter().try_for_each(|space| self.reader.reclaim(space))
    }

    /// Whether there may be more.
    fn forget_page(&self, first: Slot) -> Result<bool, Fault> {
        let page = self.checked(self.reader.scan(BLOCKS, &[], &[], PAGE_COUNT))?;
        let old: Vec<_> = page.iter().take_while(|(key, _)| slot_of(key) < first).collect();
        self.commit(&self.all_gone(&old))?;
        Ok(old.len() == PAGE_COUNT)
    }

    /// Forgets all blocks after `last`, on a network with cheats that has gone back to it: they show nothing, and may yet.
    pub(crate) fn forget_after(&self, last: Slot) -> Result<(), Fault> {
        loop {
            let page = self.checked(self.reader.scan(BLOCKS, &[], &last.next().0.to_be_bytes(), PAGE_COUNT))?;
            if page.is_empty() {
                return Ok(());
            }
            self.commit(&self.all_gone(&page.iter().collect::<Vec<_>>()))?;
        }
    }

    /// All rows of these outcomes and of their slots.
    fn all_gone(&self, outcomes: &[&(Vec<u8>, Vec<u8>)]) -> Vec<Write> {
        let mut writes = Vec::new();
        for (key, bytes) in outcomes {
            writes.push(Write::delete(BLOCKS, key.clone()));
            writes.extend(super::decoded(bytes).iter().flat_map(|record| self.gone(key, record)));
        }
        let slots: BTreeSet<Slot> = outcomes.iter().map(|(key, _)| slot_of(key)).collect();
        writes.extend(slots.into_iter().flat_map(|slot| self.slot_gone(slot)));
        writes
    }

    /// The rows of one outcome that are about it alone, or about its slot.
    fn gone(&self, key: &[u8], record: &OutcomeRecord) -> Vec<Write> {
        let is_its_own = |space: Space, row: &[u8], value: &[u8]| match space {
            BLOCKS => false, // It goes by the key it was found under.
            ATTEMPTS | CREATED | PLACES | SENT => self.reader.get(space, row).is_some_and(|stored| stored == value),
            _ => true,
        };
        let shard = ShardId(u32::from_be_bytes(key.get(16..20).and_then(|id| id.try_into().ok()).unwrap_or_default()));
        let mut marks = BTreeSet::new();
        let gone = rows(shard, record, &mut marks).into_iter().filter_map(|row| match row {
            Write::Put { space, key, value } if is_its_own(space, &key, &value) => Some(Write::delete(space, key)),
            Write::Put { .. } | Write::Delete { .. } => None,
        });
        gone.chain(marks.into_iter().map(|(space, key)| Write::delete(space, key))).collect()
    }

    /// The rows of a slot.
    fn slot_gone(&self, slot: Slot) -> [Write; 3] {
        let (key, hash): (_, B256) = (slot.0.to_be_bytes(), self.params.block_hash(slot.0));
        [Write::delete(SLOTS, key), Write::delete(OUTLINES, key), Write::delete(HASHES, hash.to_vec())]
    }

    fn commit(&self, writes: &[Write]) -> Result<(), Fault> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).commit(writes).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::LOGS;
    use crate::index::sample::{at, index, open, params, record};
    use alloy_primitives::Address;
    use evm::Log;
    use primitives::{AttemptId, Digest};
    use std::path::Path;
    use wire::jsonrpc::{LogQuery, Order};

    const A: ShardId = ShardId(0);

    /// A transaction with much in it, found by all that there is.
    fn full(number: u64, slot: u64) -> OutcomeRecord {
        let mut record = record(0, slot, number);
        record.transaction = B256::from(alloy_primitives::U256::from(number + 1));
        record.outcome.created = Some(Address::from_word(record.transaction));
        record.attempt = Some(attempt(number));
        record.outcome.logs.push(Log {
            address: Address::repeat_byte(7),
            topics: vec![record.transaction],
            // What LZ4 does not make smaller.
            data: (0..32)
                .flat_map(|part: u8| alloy_primitives::keccak256([&number.to_be_bytes()[..], &[part]].concat()))
                .collect::<Vec<_>>()
                .into(),
        });
        record
    }

    fn attempt(number: u64) -> AttemptId {
        AttemptId(Digest::new(alloy_primitives::keccak256(number.to_be_bytes()).0))
    }

    /// Bytes of tables; the log beside them is bounded, and goes on its own.
    fn bytes(folder: &Path) -> u64 {
        let mut sum = 0;
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                sum += bytes(&entry);
            } else if entry.extension().is_some_and(|extension| extension == "sst") {
                sum += entry.metadata().unwrap().len();
            }
        }
        sum
    }

    #[test]
    fn nothing_of_forgotten_blocks_is_left_and_all_of_the_others_is() {
        let (dir, index) = index();
        let records: Vec<_> = (0..600).map(|number| full(number, number / 3)).collect();
        index.add(A, &records, at(200)).unwrap();
        index.forget(Slot(150)).unwrap();
        drop(index);
        let index = open(&dir);
        assert_eq!((index.first(), index.place(A).open), (Slot(150), Slot(200)));
        for space in SPACES {
            let rows = index.reader.scan(space, &[], &[], usize::MAX).len();
            // The log's address, its topic and the party that was created, of which one is the same for three.
            let expected = match space {
                SLOTS | OUTLINES | HASHES => 50,
                LOGS => 150 + 150 + 50 + 50,
                SENT => 0,
                CURSORS => 2,
                _ => 150,
            };
            assert_eq!(rows, expected, "{space:?}");
        }
        assert_eq!(index.entry(records[449].transaction).unwrap(), None);
        assert_eq!(index.committed_by(attempt(449)).unwrap(), None);
        assert_eq!(index.committed_by(attempt(450)).unwrap(), Some(records[450].clone()));
        assert_eq!(
            index.entry(records[450].transaction).unwrap().map(|entry| entry.record),
            Some(records[450].clone())
        );
        assert_eq!(index.occupied(Slot(0), Slot(199), 1).unwrap(), [Slot(150)]);
        assert_eq!(index.shown_as(params().block_hash(149)).unwrap(), None);
        let query = LogQuery { addresses: vec![Address::repeat_byte(7)], ..LogQuery::default() };
        assert_eq!(index.search(&query, Slot(0), Slot(199), 1).unwrap().slots, [Slot(150)]);
        let involved = index.involving(Address::repeat_byte(7), (Slot(0), Slot(199)), Order::Ascending, 1).unwrap();
        assert_eq!(involved, [Slot(150)]);
    }

    #[test]
    fn the_disk_that_forgotten_blocks_took_is_given_back() {
        let (dir, index) = index();
        for page in 0..40_u64 {
            let records: Vec<_> = (500 * page..500 * (page + 1)).map(|number| full(number, page)).collect();
            index.add(A, &records, at(page + 1)).unwrap();
        }
        index.forget(Slot(0)).unwrap();
        let before = bytes(dir.path());
        index.forget(Slot(36)).unwrap();
        let after = bytes(dir.path());
        assert!(before > 20 << 20, "{before} bytes were written");
        assert!(after < before / 5, "{after} of {before} bytes are left of a tenth of the blocks");
    }

    #[test]
    fn what_a_later_block_has_set_anew_stays() {
        let (_dir, index) = index();
        let (mut first, mut second) = (full(1, 5), full(2, 9));
        first.outcome.created = Some(Address::repeat_byte(9));
        second.outcome.created = Some(Address::repeat_byte(9));
        index.add(A, &[first, second.clone()], at(10)).unwrap();
        index.forget(Slot(6)).unwrap();
        assert_eq!(index.creation(Address::repeat_byte(9)).unwrap(), Some(second.transaction));
    }

    #[test]
    fn a_process_killed_while_it_forgets_goes_on_where_it_was() {
        let (dir, index) = index();
        let records: Vec<_> = (0..600).map(|number| full(number, number / 3)).collect();
        index.add(A, &records, at(200)).unwrap();
        index.commit(&[Write::put(CURSORS, FIRST, 150_u64.to_be_bytes().to_vec())]).unwrap();
        assert!(index.forget_page(Slot(150)).unwrap(), "there is more");
        drop(index);
        let index = open(&dir);
        assert_eq!(index.first(), Slot(150));
        index.forget(Slot(151)).unwrap();
        assert_eq!(index.reader.scan(BLOCKS, &[], &[], usize::MAX).len(), 147);
    }
}
