//! The store itself: opened once, written by one owner, read by many.

use crate::error::End;
use crate::guard::Guard;
use crate::link::{LINKS_COUNT_MAX, Link};
use crate::mark::{Found, Marked};
use crate::reader::Shared;
use crate::room::Reserve;
use crate::{Durability, FORMAT, Fault, Identity, Mark, Marking, Reader, Room, Settings, StoreError, options};
use primitives::{Read, Space, Write, decode, encode};
use rocksdb::{Cache, ColumnFamilyDescriptor, DB, ErrorKind, WriteBatch, WriteOptions};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// How many spaces a store may have.
pub const SPACES_COUNT_MAX: usize = 64;

/// The store's own space, beside those of its user.
const OWN: Space = Space("store");
/// The family that RocksDB insists on; nothing is in it.
const DEFAULT: Space = Space("default");
/// RocksDB's folder within the store's.
const DATABASE: &str = "db";
const FORMAT_KEY: &[u8] = b"format";
const IDENTITY_KEY: &[u8] = b"identity";
const LINK_PREFIX: &[u8] = b"link/";
/// The canonical length of an identity: names are configuration, and short.
const IDENTITY_BYTES_MAX: usize = 4096;
/// What the lock file may say about its holder.
const OWNER_BYTES_MAX: usize = 256;

/// An open store. There is one per folder on a machine, and it alone writes.
///
/// Its folder holds `db/` (RocksDB), `owner` (who has it open), `guard` (the last synced batch) and `reserve` (space
/// for a full disk). A copy of the folder is no backup of a store that signs: once the original went on, the copy has
/// forgotten what it signed, and must never run again. The mark, which is kept elsewhere, refuses it (R14).
pub struct Store {
    shared: Arc<Shared>,
    guard: Guard,
    mark: Option<Mark>,
    reserve: Reserve,
    link: Link,
    settings: Settings,
    batch: WriteOptions,
}

impl Store {
    /// Opens the store at `path` with `spaces`, making it if there is none.
    ///
    /// # Errors
    /// Every variant of [`StoreError`] but `Full`; nothing was changed, except that a new store may be half made, which
    /// the next opening finishes.
    pub fn open(path: &Path, spaces: &[Space], identity: &Identity, settings: Settings) -> Result<Self, StoreError> {
        Self::open_as(path, None, spaces, identity, settings)
    }

    /// The same for a store that signs, with a mark outside its folder.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::BehindMark`] and [`StoreError::OtherMark`] besides.
    pub fn open_marked(
        path: &Path,
        marking: Marking,
        spaces: &[Space],
        identity: &Identity,
        settings: Settings,
    ) -> Result<(Self, Mark), StoreError> {
        let store = Self::open_as(path, Some(marking), spaces, identity, settings)?;
        match store.mark.clone() {
            Some(mark) => Ok((store, mark)),
            None => Err(fault(path, "opening the mark", &"it is not there").into()),
        }
    }

    fn open_as(
        path: &Path,
        marking: Option<Marking>,
        spaces: &[Space],
        identity: &Identity,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        check_spaces(spaces)?;
        fs::create_dir_all(path).map_err(|error| fault(path, "making the folder", &error))?;
        let owner = take_ownership(path)?;
        let reserve = Reserve::open(path, settings.bytes_free_min, settings.bytes_reserve_max)
            .map_err(|error| fault(path, "looking at the disk", &error))?;
        let guard = Guard::open(&path.join("guard")).map_err(|error| fault(path, "reading the guard", &error))?;
        let db = open_database(path, spaces, settings)?;
        let shared = Arc::new(Shared { db, path: path.to_owned(), fault: OnceLock::new(), _owner: owner });
        let opening = Opening { shared: &shared, reader: Reader::new(Arc::clone(&shared)), path, identity };
        let (link, guard) = opening.run(guard)?;
        let mark = marking.map(|marking| opening.mark(marking, &link)).transpose()?;
        Ok(Self { guard, mark, reserve, link, settings, batch: options::batch(settings.durability), shared })
    }

    /// Writes `writes` as one batch, in order, and returns its number: all of it survives a crash from here on, or none
    /// of it if this fails. With [`Durability::Synced`] it survives power loss too. An empty batch costs nothing.
    ///
    /// # Errors
    /// [`Fault`], at once if there was one before: after a failed sync nobody knows what the disk has, so nothing is tried again.
    pub fn commit(&mut self, writes: &[Write]) -> Result<u64, Fault> {
        self.healthy()?;
        if writes.is_empty() {
            return Ok(self.link.sequence);
        }
        let link = self.link.next(writes);
        let batch = self.batch_of(writes, &link)?;
        self.reserve.written(batch.size_in_bytes() as u64);
        self.shared.db.write_opt(batch, &self.batch).map_err(|error| self.shared.poison("writing a batch", &error))?;
        self.link = link;
        if self.settings.durability == Durability::Synced {
            self.guard.note(end(&link)).map_err(|error| self.shared.poison("writing the guard", &error))?;
        }
        if let Some(mark) = &self.mark {
            mark.note(end(&link), writes).map_err(|fault| self.shared.poison(fault.doing, &fault.reason))?;
        }
        Ok(link.sequence)
    }

    /// Brings all batches to the disk; a store that syncs each has nothing to do. Call it before a planned stop.
    ///
    /// # Errors
    /// [`Fault`], as `commit`.
    pub fn sync(&mut self) -> Result<(), Fault> {
        self.healthy()?;
        self.shared.db.flush_wal(true).map_err(|error| self.shared.poison("syncing the log", &error))?;
        self.guard
            .note(end(&self.link))
            .and_then(|()| self.guard.sync())
            .map_err(|error| self.shared.poison("syncing the guard", &error))?;
        let synced = self.mark.as_ref().map_or(Ok(()), Mark::sync);
        synced.map_err(|fault| self.shared.poison(fault.doing, &fault.reason))
    }

    /// How much room the disk has now: one system call. Gives the reserve up when space is scarce.
    ///
    /// # Errors
    /// [`Fault`] if the disk cannot be asked.
    pub fn room(&mut self) -> Result<Room, Fault> {
        self.reserve.check().map_err(|error| self.shared.poison("looking at the disk", &error))
    }

    /// Whether new work may be taken. Work under way is committed regardless.
    ///
    /// # Errors
    /// [`StoreError::Full`] when it may not.
    pub fn admit(&mut self) -> Result<(), StoreError> {
        match self.room()? {
            Room::Plenty => Ok(()),
            Room::Low { bytes_free } => Err(StoreError::Full {
                path: self.shared.path.clone(),
                bytes_free,
                bytes_free_min: self.reserve.bytes_free_min(),
            }),
        }
    }

    /// Reads of this store, for any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// The number of the last batch.
    pub fn sequence(&self) -> u64 {
        self.link.sequence
    }

    /// The first failure of this store or of any of its readers.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.fault.get().cloned()
    }

    fn healthy(&self) -> Result<(), Fault> {
        self.shared.fault.get().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    fn batch_of(&self, writes: &[Write], link: &Link) -> Result<WriteBatch, Fault> {
        let mut batch = WriteBatch::default();
        for write in writes {
            match write {
                Write::Put { space, key, value } => batch.put_cf(self.shared.family(*space)?, key, value),
                Write::Delete { space, key } => batch.delete_cf(self.shared.family(*space)?, key),
            }
        }
        let own = self.shared.family(OWN)?;
        batch.put_cf(own, link_key(link.sequence), link.to_bytes());
        if let Some(fallen) = link.sequence.checked_sub(LINKS_COUNT_MAX) {
            batch.delete_cf(own, link_key(fallen));
        }
        Ok(batch)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.shared.path)
            .field("sequence", &self.link.sequence)
            .finish_non_exhaustive()
    }
}

/// The checks of an opening, once RocksDB is satisfied.
struct Opening<'a> {
    shared: &'a Shared,
    reader: Reader,
    path: &'a Path,
    identity: &'a Identity,
}

impl Opening<'_> {
    fn run(&self, guard: Option<(Guard, Option<End>)>) -> Result<(Link, Guard), StoreError> {
        let format = self.get(FORMAT_KEY)?;
        let guarded = guard.as_ref().and_then(|(_, end)| *end);
        let Some(format) = format else {
            // Nothing was ever committed, unless the guard knows better.
            return if guarded.is_none_or(|end| end.sequence == 0) {
                self.make()
            } else {
                Err(self.behind(0, guarded))
            };
        };
        self.check_format(&format)?;
        self.check_identity()?;
        let link = self.check_links()?;
        let guard = self.check_guard(guard, &link)?;
        Ok((link, guard))
    }

    /// Makes a new store. The guard comes first: a store with batches and no guard is then never of our making.
    fn make(&self) -> Result<(Link, Guard), StoreError> {
        let identity = encode(self.identity);
        let link = Link::genesis(&identity);
        let guard = self.create_guard(&link)?;
        let own = self.shared.family(OWN)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(own, FORMAT_KEY, encode(&FORMAT));
        batch.put_cf(own, IDENTITY_KEY, identity);
        batch.put_cf(own, link_key(0), link.to_bytes());
        self.shared
            .db
            .write_opt(batch, &options::batch(Durability::Synced))
            .map_err(|error| self.shared.poison("making the store", &error))?;
        Ok((link, guard))
    }

    fn check_format(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let found: u32 = decode(bytes, 4).map_err(|error| self.damaged(format!("format record: {error}")))?;
        match found {
            FORMAT => Ok(()),
            0 => Err(self.damaged("format record: format 0 never was".to_owned())),
            _ => Err(StoreError::NewerFormat { path: self.path.to_owned(), found, known: FORMAT }),
        }
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        let bytes = self.get(IDENTITY_KEY)?.ok_or_else(|| self.damaged("no identity record".to_owned()))?;
        let found: Identity =
            decode(&bytes, IDENTITY_BYTES_MAX).map_err(|error| self.damaged(format!("identity record: {error}")))?;
        if found == *self.identity {
            return Ok(());
        }
        Err(StoreError::OtherIdentity {
            path: self.path.to_owned(),
            expected: Box::new(self.identity.clone()),
            found: Box::new(found),
        })
    }

    /// Checks the kept links against each other and returns the last.
    fn check_links(&self) -> Result<Link, StoreError> {
        let records = self.reader.scan(OWN, LINK_PREFIX, LINK_PREFIX, LINKS_COUNT_MAX as usize + 1);
        self.shared.fault.get().map_or(Ok(()), |fault| Err(fault.clone()))?;
        let mut last: Option<Link> = None;
        for (key, value) in records {
            let link = Link::from_bytes(&value).filter(|link| link_key(link.sequence) == key);
            let link = link.ok_or_else(|| self.damaged("a link record is malformed".to_owned()))?;
            if last.is_some_and(|last| !last.precedes(&link)) {
                return Err(self.damaged(format!("batch {} does not follow the one before it", link.sequence)));
            }
            last = Some(link);
        }
        last.ok_or_else(|| self.damaged("no link record".to_owned()))
    }

    fn check_guard(&self, guard: Option<(Guard, Option<End>)>, link: &Link) -> Result<Guard, StoreError> {
        let Some((guard, Some(noted))) = guard else {
            return Err(self.damaged("its guard file is missing or unreadable".to_owned()));
        };
        if noted.sequence > link.sequence {
            return Err(self.behind(link.sequence, Some(noted)));
        }
        // A guard that is a little behind is the mark of a power loss; one that differs, of a mixture of two stores.
        let kept = self.get(&link_key(noted.sequence))?.and_then(|bytes| Link::from_bytes(&bytes));
        if kept.is_some_and(|kept| kept.digest != noted.digest) {
            return Err(self.damaged(format!("the guard knows another batch {}", noted.sequence)));
        }
        Ok(guard)
    }

    /// Checks the store against the mark, which may not be there.
    fn mark(&self, marking: Marking, link: &Link) -> Result<Mark, StoreError> {
        let opened =
            Guard::<Marked>::open(&marking.path).map_err(|error| fault(&marking.path, "reading the mark", &error))?;
        let count = (marking.count.of_store)(&self.reader);
        let here = Marked { end: end(link), count, owner: Link::genesis(&encode(self.identity)).digest };
        let found = match &opened {
            Some((_, Some(marked))) => Found::of(marked.end.sequence, link.sequence),
            Some((_, None)) => Found::Unreadable,
            None => Found::none(link.sequence),
        };
        // A mark that nobody can read says nothing: others have to be asked, as if there were none.
        let Some((file, Some(marked))) = opened else { return Ok(Mark::new(marking, found, None, here)) };
        let other = |reason| StoreError::OtherMark { path: self.path.to_owned(), mark: marking.path.clone(), reason };
        if marked.owner != here.owner {
            return Err(other("it belongs to another key, shard or network"));
        }
        if marked.end.sequence > link.sequence {
            return Err(StoreError::BehindMark {
                path: self.path.to_owned(),
                mark: marking.path,
                store: count,
                batch: link.sequence,
                marked: marked.count,
                batch_marked: marked.end.sequence,
            });
        }
        let kept = self.get(&link_key(marked.end.sequence))?.and_then(|bytes| Link::from_bytes(&bytes));
        if kept.is_some_and(|kept| kept.digest != marked.end.digest) {
            return Err(other("it knows another batch of that number"));
        }
        Ok(Mark::new(marking, found, Some(file), here))
    }

    fn create_guard(&self, link: &Link) -> Result<Guard, Fault> {
        Guard::create(&self.path.join("guard"), end(link)).map_err(|error| fault(self.path, "making the guard", &error))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let value = self.reader.get(OWN, key);
        self.shared.fault.get().map_or(Ok(value), |fault| Err(fault.clone()))
    }

    fn damaged(&self, reason: String) -> StoreError {
        StoreError::Damaged { path: self.path.to_owned(), reason }
    }

    fn behind(&self, store: u64, guard: Option<End>) -> StoreError {
        StoreError::Behind { path: self.path.to_owned(), store, guard: guard.map_or(0, |end| end.sequence) }
    }
}

fn end(link: &Link) -> End {
    End { sequence: link.sequence, digest: link.digest }
}

/// The last batch of a store; none of one that has none.
pub(crate) fn last(reader: &Reader) -> Option<End> {
    let (_, link) = reader.scan_back(OWN, LINK_PREFIX, &link_key(u64::MAX), 1).pop()?;
    Link::from_bytes(&link).map(|link| end(&link))
}

/// RocksDB in `folder`, with whatever families it has, for reading alone.
pub(crate) fn open_to_read(folder: &Path) -> Result<DB, rocksdb::Error> {
    let database = options::database();
    let cache = Cache::new_lru_cache(Settings::default().bytes_cache);
    let names = DB::list_cf(&database, folder)?;
    let families = names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, options::space(&cache)));
    DB::open_cf_descriptors_read_only(&database, folder, families, false)
}

fn link_key(sequence: u64) -> Vec<u8> {
    [LINK_PREFIX, &sequence.to_be_bytes()].concat()
}

pub(crate) fn fault(path: &Path, doing: &'static str, reason: &impl ToString) -> Fault {
    Fault { path: path.to_owned(), doing, reason: reason.to_string() }
}

fn check_spaces(spaces: &[Space]) -> Result<(), StoreError> {
    let refuse = |reason: String| Err(StoreError::Spaces { reason });
    if spaces.len() > SPACES_COUNT_MAX {
        return refuse(format!("{} asked for, at most {SPACES_COUNT_MAX} allowed", spaces.len()));
    }
    let mut seen = BTreeSet::from([OWN, DEFAULT]);
    spaces
        .iter()
        .find(|space| !seen.insert(**space))
        .map_or(Ok(()), |space| refuse(format!("{space:?} is taken or named twice")))
}

/// Takes the lock file; the system gives it up when this process ends, however it ends.
/// Whether a store's folder can be at `path`, or is there; makes nothing.
///
/// # Errors
/// As [`Store::open`] says it, where something on the way to it is no folder.
pub fn check_folder(path: &Path) -> Result<(), StoreError> {
    let Some(nearest) = path.ancestors().find(|ancestor| ancestor.exists()) else { return Ok(()) };
    if nearest.is_dir() {
        return Ok(());
    }
    // Nothing can be made below what is no folder, so this fails, and in the words of a start.
    Ok(fs::create_dir_all(path).map_err(|error| fault(path, "making the folder", &error))?)
}

pub(crate) fn take_ownership(path: &Path) -> Result<File, StoreError> {
    let name = path.join("owner");
    let refuse = |error: io::Error| fault(path, "locking the folder", &error);
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&name).map_err(refuse)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = fs::read_to_string(&name).unwrap_or_default().trim().to_owned();
            owner.truncate(owner.floor_char_boundary(OWNER_BYTES_MAX));
            return Err(StoreError::Held { path: path.to_owned(), owner });
        }
        Err(TryLockError::Error(error)) => return Err(refuse(error).into()),
    }
    file.set_len(0).and_then(|()| writeln!(file, "process {}", std::process::id())).map_err(refuse)?;
    Ok(file)
}

fn open_database(path: &Path, spaces: &[Space], settings: Settings) -> Result<DB, StoreError> {
    let asked = spaces.iter().chain([&OWN, &DEFAULT]).map(|space| space.0.to_owned());
    // Every family there is must be opened, those of an older version that this one no longer asks for included.
    open_families(path, &asked.chain(present(path)?).collect(), settings)
}

/// Opens RocksDB with the spaces that it has, and says which.
pub(crate) fn open_present(path: &Path, settings: Settings) -> Result<(DB, BTreeSet<String>), StoreError> {
    let names = present(path)?.into_iter().collect();
    Ok((open_families(path, &names, settings)?, names))
}

fn present(path: &Path) -> Result<Vec<String>, StoreError> {
    let folder = path.join(DATABASE);
    if !folder.join("CURRENT").exists() {
        return Ok(Vec::new());
    }
    DB::list_cf(&options::database(), &folder).map_err(|error| open_error(path, &error))
}

fn open_families(path: &Path, names: &BTreeSet<String>, settings: Settings) -> Result<DB, StoreError> {
    let cache = Cache::new_lru_cache(settings.bytes_cache);
    let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options::space(&cache)));
    DB::open_cf_descriptors(&options::database(), path.join(DATABASE), families)
        .map_err(|error| open_error(path, &error))
}

fn open_error(path: &Path, error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        ErrorKind::IOError | ErrorKind::Busy | ErrorKind::TimedOut => fault(path, "opening RocksDB", error).into(),
        _ => StoreError::Damaged { path: PathBuf::from(path), reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_is_refused_and_one_that_can_is_not_made() {
        let parent = tempfile::tempdir().unwrap();
        let (file, new) = (parent.path().join("file"), parent.path().join("new"));
        fs::write(&file, "").unwrap();
        for none in [file.clone(), file.join("below")] {
            let refusal = check_folder(&none).unwrap_err().to_string();
            assert!(refusal.contains("making the folder"), "{refusal}");
        }
        check_folder(&new).unwrap();
        assert!(!new.exists());
    }
}
