//! Sorted lists of slots, and the slots that several of them have in common.
//!
//! Promise: a list is read page by page and only forward; of a step each list is asked once.

use primitives::{Read, Slot, Space};
use std::collections::VecDeque;
use store::Reader;
use wire::jsonrpc::Candidates;

/// Slots of one list read at a time, at most.
const PAGE_COUNT_MAX: usize = 256;

/// How many are read at first: most searches end within a few.
const PAGE_COUNT_FIRST: usize = 4;

/// One list: the slots in the keys that begin with `prefix`.
#[derive(Debug)]
struct List {
    prefix: Vec<u8>,
    page: VecDeque<Slot>,
    /// How many are read next.
    page_count: usize,
    /// Whether there is nothing after the page.
    is_last: bool,
}

/// Several lists as one.
#[derive(Debug)]
pub(super) struct Union<'a> {
    reader: &'a Reader,
    space: Space,
    lists: Vec<List>,
    /// Nothing after this slot is looked for.
    to: Slot,
}

impl<'a> Union<'a> {
    /// Of the lists in `space` that have these prefixes, up to slot `to`.
    pub(super) fn new(reader: &'a Reader, space: Space, prefixes: Vec<Vec<u8>>, to: Slot) -> Self {
        let list = |prefix| List { prefix, page: VecDeque::new(), page_count: PAGE_COUNT_FIRST, is_last: false };
        Self { reader, space, lists: prefixes.into_iter().map(list).collect(), to }
    }

    /// The first slot from `slot` on that is in one of the lists. What lies before is not asked for again.
    fn seek(&mut self, slot: Slot) -> Option<Slot> {
        let (reader, space, to) = (self.reader, self.space, self.to);
        self.lists.iter_mut().filter_map(|list| list.seek(reader, space, slot, to)).min()
    }
}

impl List {
    fn seek(&mut self, reader: &Reader, space: Space, slot: Slot, to: Slot) -> Option<Slot> {
        while self.page.front().is_some_and(|front| *front < slot) {
            self.page.pop_front();
        }
        if self.page.is_empty() && !self.is_last {
            let from = [&self.prefix[..], &slot.0.to_be_bytes()].concat();
            // A list has one row for each slot at most.
            let left = usize::try_from(to.0.saturating_sub(slot.0).saturating_add(1)).unwrap_or(usize::MAX);
            let count = self.page_count.min(left);
            let rows = reader.scan(space, &self.prefix, &from, count);
            self.page_count = PAGE_COUNT_MAX.min(4 * self.page_count);
            self.is_last = rows.len() < count;
            self.page = rows.iter().map(|(key, _)| super::slot_of(&key[self.prefix.len()..])).collect();
        }
        self.page.front().copied()
    }
}

/// The slots from `from` to `to` that are in all of `unions`: up to `count_max` of them, and as far as `steps_max` steps lead.
pub(super) fn common(unions: &mut [Union<'_>], from: Slot, to: Slot, count_max: usize, steps_max: usize) -> Candidates {
    let mut found = Candidates { slots: Vec::new(), next: from };
    for _ in 0..steps_max {
        if found.next > to || found.slots.len() == count_max {
            return found;
        }
        let firsts: Option<Vec<Slot>> = unions.iter_mut().map(|union| union.seek(found.next)).collect();
        // Where one list has ended, so has what they have in common.
        let furthest = firsts.and_then(|firsts| firsts.into_iter().max()).filter(|furthest| *furthest <= to);
        let Some(furthest) = furthest else {
            found.next = Slot(to.0.saturating_add(1));
            return found;
        };
        if furthest == found.next || unions.iter_mut().all(|union| union.seek(furthest) == Some(furthest)) {
            found.slots.push(furthest);
            found.next = Slot(furthest.0.saturating_add(1));
        } else {
            found.next = furthest;
        }
    }
    found
}
