//! A store that counts what is read of it.

use primitives::{Read, Space};
use std::cell::Cell;

/// Reads of `store`, counted.
#[derive(Debug)]
pub(super) struct Counting<'a, R> {
    store: &'a R,
    gets: Cell<usize>,
    scans: Cell<usize>,
    rows: Cell<usize>,
}

impl<'a, R: Read> Counting<'a, R> {
    pub(super) fn new(store: &'a R) -> Self {
        Self { store, gets: Cell::new(0), scans: Cell::new(0), rows: Cell::new(0) }
    }

    /// How many scans there were.
    pub(super) fn scans(&self) -> usize {
        self.scans.get()
    }

    /// How many rows were looked at: one for each look-up, one for each row of a scan, one for each scan's end.
    pub(super) fn rows(&self) -> usize {
        self.gets.get() + self.scans.get() + self.rows.get()
    }
}

impl<R: Read> Read for Counting<'_, R> {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.gets.set(self.gets.get() + 1);
        self.store.get(space, key)
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let entries = self.store.scan(space, prefix, from, count_max);
        self.scans.set(self.scans.get() + 1);
        self.rows.set(self.rows.get() + entries.len());
        entries
    }
}
