//! Reads of a store, from any thread.
//!
//! Promise: a read that the disk refused is never taken for an absent value in anything that leaves the process: the
//! first failure poisons the store for all, and its host asks for [`Reader::fault`] before it syncs and before it answers.

use crate::Fault;
use primitives::{Read, Space};
use rocksdb::{ColumnFamily, DB, DBPinnableSlice, Direction, IteratorMode, ReadOptions};
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// What a store and its readers share.
pub(crate) struct Shared {
    // Closed before `_owner` lets others in: fields drop in this order.
    pub(crate) db: DB,
    pub(crate) path: PathBuf,
    pub(crate) fault: OnceLock<Fault>,
    pub(crate) _owner: File,
}

impl Shared {
    /// Notes a failure and gives the first one back: what follows a failure is its consequence.
    pub(crate) fn poison(&self, doing: &'static str, reason: &impl ToString) -> Fault {
        let fault = Fault { path: self.path.clone(), doing, reason: reason.to_string() };
        self.fault.get_or_init(|| fault).clone()
    }

    /// The family of `space`; a space that the store was not opened with is the program's own fault.
    pub(crate) fn family(&self, space: Space) -> Result<&ColumnFamily, Fault> {
        self.db.cf_handle(space.0).ok_or_else(|| {
            self.poison("looking for a space", &format!("the store was opened without the space {:?}", space.0))
        })
    }

    fn get(&self, space: Space, key: &[u8], options: &ReadOptions) -> Result<Option<Vec<u8>>, Fault> {
        let family = self.family(space)?;
        self.db.get_cf_opt(family, key, options).map_err(|error| self.poison("reading a value", &error))
    }

    fn pinned(&self, space: Space, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, Fault> {
        let family = self.family(space)?;
        self.db.get_pinned_cf(family, key).map_err(|error| self.poison("reading a value", &error))
    }

    fn scan(&self, space: Space, range: &Range<'_>, mut options: ReadOptions) -> Result<Vec<Entry>, Fault> {
        let family = self.family(space)?;
        if let Some(end) = range.end() {
            options.set_iterate_upper_bound(end);
        }
        let mode = IteratorMode::From(range.start(), Direction::Forward);
        let mut entries = Vec::new();
        // The iterator gives its status as a last item, so a read that stopped early is an error here.
        for entry in self.db.iterator_cf_opt(family, options, mode).take(range.count_max) {
            let (key, value) = entry.map_err(|error| self.poison("scanning", &error))?;
            entries.push((key.into_vec(), value.into_vec()));
        }
        Ok(entries)
    }

    fn scan_back(&self, space: Space, prefix: &[u8], to: &[u8], count_max: usize) -> Result<Vec<Entry>, Fault> {
        let family = self.family(space)?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(prefix);
        let mut entries = Vec::new();
        for entry in
            self.db.iterator_cf_opt(family, options, IteratorMode::From(to, Direction::Reverse)).take(count_max)
        {
            let (key, value) = entry.map_err(|error| self.poison("scanning", &error))?;
            if !key.starts_with(prefix) {
                break;
            }
            entries.push((key.into_vec(), value.into_vec()));
        }
        Ok(entries)
    }
}

/// A key and its value.
type Entry = (Vec<u8>, Vec<u8>);

/// Which keys a scan wants.
struct Range<'a> {
    prefix: &'a [u8],
    from: &'a [u8],
    count_max: usize,
}

impl Range<'_> {
    fn start(&self) -> &[u8] {
        self.prefix.max(self.from)
    }

    /// The first key after all that start with the prefix; none after a prefix of all ones.
    fn end(&self) -> Option<Vec<u8>> {
        let last = self.prefix.iter().rposition(|byte| *byte != u8::MAX)?;
        let mut end = self.prefix[..=last].to_vec();
        end[last] += 1;
        Some(end)
    }
}

/// Reads of the store as it is now. Clones are cheap and may live on other threads.
///
/// Between two batches all its reads are of one moment, so the owner of the store gives it to a step as it is. Whoever
/// reads while another thread commits takes a [`Reader::snapshot`] instead.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// All spaces as of this moment, which is between two batches.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { snapshot: self.shared.db.snapshot(), shared: &self.shared }
    }

    /// Up to `count_max` entries with keys up to `to` (inclusive) that start with `prefix`, the last key first.
    pub fn scan_back(&self, space: Space, prefix: &[u8], to: &[u8], count_max: usize) -> Vec<Entry> {
        self.shared.scan_back(space, prefix, to, count_max).unwrap_or_default()
    }

    /// What `look` makes of the value of `key`, which is not copied for it: for values of which little is wanted.
    pub fn look<T>(&self, space: Space, key: &[u8], look: impl FnOnce(Option<&[u8]>) -> T) -> T {
        look(self.shared.pinned(space, key).ok().flatten().as_deref())
    }

    /// Gives back the disk that deleted and replaced entries of `space` took: writes its tables anew, while others read and write.
    ///
    /// # Errors
    /// [`Fault`] if the space is none of the store's, or the store has failed.
    pub fn reclaim(&self, space: Space) -> Result<(), Fault> {
        self.shared.db.compact_range_cf(self.shared.family(space)?, None::<&[u8]>, None::<&[u8]>);
        self.fault().map_or(Ok(()), Err)
    }

    pub(crate) fn database(&self) -> &DB {
        &self.shared.db
    }

    /// The first failure of the store or of any of its readers. Once there is one, nothing read since may leave the process.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.fault.get().cloned()
    }
}

impl Read for Reader {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.get(space, key, &ReadOptions::default()).ok().flatten()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<Entry> {
        self.shared.scan(space, &Range { prefix, from, count_max }, ReadOptions::default()).unwrap_or_default()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// Reads of the store as of the end of one batch, however many follow while it lives.
///
/// It keeps replaced values on the disk, so it should live as long as one request does.
pub struct Snapshot<'a> {
    snapshot: rocksdb::Snapshot<'a>,
    shared: &'a Shared,
}

impl Snapshot<'_> {
    /// The first failure of the store or of any of its readers: ask before answering with what was read here.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.fault.get().cloned()
    }

    fn options(&self) -> ReadOptions {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options
    }
}

impl Read for Snapshot<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        self.shared.get(space, key, &self.options()).ok().flatten()
    }

    fn scan(&self, space: Space, prefix: &[u8], from: &[u8], count_max: usize) -> Vec<Entry> {
        self.shared.scan(space, &Range { prefix, from, count_max }, self.options()).unwrap_or_default()
    }
}

impl fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
