//! A block page by page, told from its outline: what is not on the page is not read.

use super::Index;
use primitives::Slot;
use store::Fault;
use wire::jsonrpc::Entry;

/// What a block comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    /// How many transactions it shows.
    pub(crate) count: usize,
    /// The gas that they used.
    pub(crate) gas: u64,
}

impl Index {
    /// What block `slot` comes to.
    pub(crate) fn totals(&self, slot: Slot) -> Result<Totals, Fault> {
        self.checked(self.outlined(slot, |outline| Totals { count: outline.count(), gas: outline.all().gas }))
    }

    /// Up to `count` of the transactions that block `slot` shows, without the first `after`, in order.
    pub(crate) fn page(&self, slot: Slot, after: usize, count: usize) -> Result<Vec<Entry>, Fault> {
        let page = self.outlined(slot, |outline| {
            let lines = outline.lines().skip(after).take(count);
            lines.filter_map(|line| self.told(slot, &line)).collect()
        });
        self.checked(page)
    }
}

#[cfg(test)]
mod tests {
    use crate::index::sample::{at, index, record};
    use primitives::{ShardId, Slot};

    #[test]
    fn pages_of_a_block_are_all_of_it_in_order_and_its_totals_theirs() {
        let (_dir, index) = index();
        let outcomes: Vec<_> = (1..8).map(|id| record(id, 3, u64::from(id))).collect();
        index.add(ShardId(0), &outcomes, at(4)).unwrap();
        let page = |after| index.page(Slot(3), after, 3).unwrap().into_iter().map(|entry| entry.record);
        let all: Vec<_> = [0, 3, 6, 9].into_iter().flat_map(page).collect();
        assert_eq!(all, index.block(Slot(3)).unwrap());
        let totals = index.totals(Slot(3)).unwrap();
        assert_eq!(totals.count, 7);
        assert_eq!(totals.gas, all.iter().map(|record| record.outcome.gas_used).sum::<u64>());
        assert_eq!(index.totals(Slot(2)).unwrap().count, 0);
    }
}
