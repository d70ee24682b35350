//! A copy of a running store, of one moment: what it is, and whether it is whole.
//!
//! ```text
//! running store --checkpoint--> NAME.unfinished/{db, guard} --every file measured--> manifest --renamed--> NAME/
//! NAME/ --files compared with the manifest--> copied, synced --> an empty folder --opened as any store--> behind its mark? refused
//! ```
//!
//! Promise: a folder of this name is whole; half of one, another's and a changed one are told by the manifest before anything is
//! written. A copy is as old as it is: whether it may sign again is for its mark and its peers to say (R14), at every start.
//! Knows nothing of what the bytes mean.

use crate::error::End;
use crate::guard::Guard;
use crate::identity::FORMAT;
use crate::reader::Shared;
use crate::store::{last, open_to_read};
use crate::{Identity, Reader};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Domain, decode, encode};
use rocksdb::checkpoint::Checkpoint;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

/// The folder of backups in a store's folder.
pub const BACKUPS: &str = "backups";

/// The longest name of a backup, in bytes.
pub const BACKUP_NAME_BYTES_MAX: usize = 64;

/// Where a backup says what it is.
const MANIFEST: &str = "manifest";
/// A manifest names every file; there are some thousands in the largest store.
const MANIFEST_BYTES_MAX: usize = 16 << 20;
/// Bytes that are read at once to measure a file.
const CHUNK_BYTES: usize = 1 << 20;

static FILE: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 store backup file"));
static WHOLE: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 store backup manifest"));

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Manifest {
    format: u32,
    /// Whose store it is of.
    pub identity: Identity,
    /// What the network began with, as its owner tells it.
    pub genesis: Digest,
    /// The last batch that it surely has.
    pub batch: u64,
    /// Where its owner's own count was, such as a shard's height.
    pub count: u64,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: u64,
    /// Each file: its bytes, and the digest of them.
    files: BTreeMap<String, (u64, Digest)>,
}

impl Manifest {
    /// How many bytes the files have.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|(bytes, _)| bytes).sum()
    }
}

/// What a backup's owner says of it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Whose store it is.
    pub identity: Identity,
    /// What the network began with.
    pub genesis: Digest,
    /// Where the owner's own count is, by what the copy holds.
    pub count: fn(&Reader) -> u64,
    /// What time it is, in milliseconds since 1970.
    pub now_ms: u64,
}

/// Why there is no backup, or none that is any good.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A name that is no folder's.
    #[error(
        "a backup's name has letters, digits, dashes and dots, at most {BACKUP_NAME_BYTES_MAX}, and begins with none of the last, not {name:?}"
    )]
    Name {
        /// Which.
        name: String,
    },
    /// The folder is there already.
    #[error("{path} is there already: name another", path = path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// RocksDB makes no checkpoint.
    #[error("no checkpoint: {reason}")]
    Checkpoint {
        /// What it said.
        reason: String,
    },
    /// The disk.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No manifest, or one that was changed.
    #[error("{path} is no backup, or only the beginning of one: {reason}", path = path.display())]
    NoManifest {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file that is not as it was.
    #[error("{path} is half a backup: {file} {reason}", path = path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// Which file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another node's.
    #[error("{path} is a backup of {found}, and this is {expected}", path = path.display())]
    OtherIdentity {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: Box<Identity>,
        /// Whose it should be.
        expected: Box<Identity>,
    },
    /// Of a network that began with something else.
    #[error("{path} is a backup of a network that began with genesis {found}, and this one began with {expected}", path = path.display())]
    OtherGenesis {
        /// The folder.
        path: PathBuf,
        /// What it began with.
        found: Digest,
        /// What this one began with.
        expected: Digest,
    },
    /// There is a store where it would go.
    #[error("{path} has a store already: a backup is put into a folder without one; move it away first, and keep it", path = path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
}

/// Copies the store of `reader`, whose folder is at `data`, into its folder of backups under `name`.
///
/// # Errors
/// [`BackupError`]; what was begun is taken away.
pub fn back_up(reader: &Reader, data: &Path, name: &str, subject: Subject) -> Result<(PathBuf, Manifest), BackupError> {
    check_name(name)?;
    let folder = data.join(BACKUPS);
    let (path, unfinished) = (folder.join(name), folder.join(format!("{name}.unfinished")));
    if path.exists() {
        return Err(BackupError::Exists { path });
    }
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    // Of one that was broken off.
    remove(&unfinished)?;
    fs::create_dir(&unfinished).map_err(at(&unfinished))?;
    let made = fill(reader, &unfinished, subject);
    let finished = made.and_then(|manifest| {
        fs::rename(&unfinished, &path).map_err(at(&path))?;
        sync_folder(&folder)?;
        Ok((path, manifest))
    });
    if finished.is_err() {
        // The first error is the one to tell.
        let _ = remove(&unfinished);
    }
    finished
}

fn fill(reader: &Reader, folder: &Path, subject: Subject) -> Result<Manifest, BackupError> {
    let checkpoint = |error: rocksdb::Error| BackupError::Checkpoint { reason: error.to_string() };
    let db = folder.join("db");
    Checkpoint::new(reader.database()).map_err(checkpoint)?.create_checkpoint(&db).map_err(checkpoint)?;
    let (end, count) = end_of(folder, subject.count)?;
    Guard::<End>::create(&folder.join("guard"), end).map_err(at(&folder.join("guard")))?;
    let measured = |file: String| -> Result<_, BackupError> {
        let measure = measure(&folder.join(&file))?;
        Ok((file, measure))
    };
    let manifest = Manifest {
        format: FORMAT,
        identity: subject.identity,
        genesis: subject.genesis,
        batch: end.sequence,
        count,
        taken_ms: subject.now_ms,
        files: files(folder)?.into_iter().map(measured).collect::<Result<_, _>>()?,
    };
    let path = folder.join(MANIFEST);
    let bytes = encode(&manifest);
    let sealed = encode(&(WHOLE.hash(&bytes), bytes));
    let mut file = File::create(&path).map_err(at(&path))?;
    file.write_all(&sealed).and_then(|()| file.sync_all()).map_err(at(&path))?;
    sync_folder(folder)?;
    Ok(manifest)
}

/// The last batch of a copy, and its owner's count there. Nothing is written.
fn end_of(folder: &Path, count: fn(&Reader) -> u64) -> Result<(End, u64), BackupError> {
    let db = open_to_read(&folder.join("db")).map_err(|error| BackupError::Checkpoint { reason: error.to_string() })?;
    let owner = File::open(folder).map_err(at(folder))?;
    let reader = Reader::new(Arc::new(Shared { db, path: folder.to_owned(), fault: OnceLock::new(), _owner: owner }));
    let end = last(&reader).ok_or_else(|| BackupError::Checkpoint { reason: "it has no batch".to_owned() })?;
    let count = count(&reader);
    match reader.fault() {
        None => Ok((end, count)),
        Some(fault) => Err(BackupError::Checkpoint { reason: fault.to_string() }),
    }
}

/// What the backup at `path` is, if every file of it is as it was.
///
/// # Errors
/// [`BackupError::NoManifest`] and [`BackupError::Damaged`].
pub fn look(path: &Path) -> Result<Manifest, BackupError> {
    let no = |reason: String| BackupError::NoManifest { path: path.to_owned(), reason };
    let sealed = fs::read(path.join(MANIFEST)).map_err(|error| no(format!("its manifest: {error}")))?;
    let unsealed: Result<(Digest, Vec<u8>), _> = decode(&sealed, MANIFEST_BYTES_MAX);
    let (digest, bytes) = unsealed.map_err(|error| no(format!("its manifest: {error}")))?;
    if digest != WHOLE.hash(&bytes) {
        return Err(no("its manifest was changed".to_owned()));
    }
    let manifest: Manifest =
        decode(&bytes, MANIFEST_BYTES_MAX).map_err(|error| no(format!("its manifest: {error}")))?;
    if manifest.format != FORMAT {
        return Err(no(format!("it has format {}, and this program knows {FORMAT}", manifest.format)));
    }
    for (file, (bytes, digest)) in &manifest.files {
        let damaged = |reason: String| BackupError::Damaged { path: path.to_owned(), file: file.clone(), reason };
        let (bytes_now, digest_now) = match measure(&path.join(file)) {
            Ok(measured) => measured,
            Err(BackupError::File { error, .. }) => return Err(damaged(format!("is not there: {error}"))),
            Err(other) => return Err(other),
        };
        if bytes_now != *bytes {
            return Err(damaged(format!("has {bytes_now} bytes instead of {bytes}")));
        }
        if digest_now != *digest {
            return Err(damaged("was changed".to_owned()));
        }
    }
    Ok(manifest)
}

/// What the backup at `path` is, if it is whole, of this node, and may be put into `data`.
///
/// # Errors
/// [`BackupError`]; nothing is written.
pub fn examine(path: &Path, data: &Path, identity: &Identity, genesis: Digest) -> Result<Manifest, BackupError> {
    let manifest = look(path)?;
    if manifest.identity != *identity {
        let (found, expected) = (Box::new(manifest.identity), Box::new(identity.clone()));
        return Err(BackupError::OtherIdentity { path: path.to_owned(), found, expected });
    }
    if manifest.genesis != genesis {
        return Err(BackupError::OtherGenesis { path: path.to_owned(), found: manifest.genesis, expected: genesis });
    }
    if data.join("db").exists() || data.join("guard").exists() {
        return Err(BackupError::Occupied { path: data.to_owned() });
    }
    Ok(manifest)
}

/// Puts the backup at `path`, which was [examined](examine), into `data`.
///
/// # Errors
/// What the disk refuses; a store is there whole or not at all.
pub fn put(path: &Path, data: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let unfinished = data.join("db.unfinished");
    remove(&unfinished)?;
    fs::create_dir_all(&unfinished).map_err(at(&unfinished))?;
    for file in manifest.files.keys() {
        let (from, to) =
            (path.join(file), file.strip_prefix("db/").map_or(data.join(file), |file| unfinished.join(file)));
        fs::copy(&from, &to).map_err(at(&to))?;
        File::open(&to).and_then(|file| file.sync_all()).map_err(at(&to))?;
    }
    sync_folder(&unfinished)?;
    let db = data.join("db");
    fs::rename(&unfinished, &db).map_err(at(&db))?;
    sync_folder(data)
}

fn check_name(name: &str) -> Result<(), BackupError> {
    let is_fine = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '.';
    let is_name = !name.is_empty() && name.len() <= BACKUP_NAME_BYTES_MAX && name.chars().all(is_fine);
    if is_name && !name.starts_with(['.', '-']) { Ok(()) } else { Err(BackupError::Name { name: name.to_owned() }) }
}

/// The files of a backup, but for its manifest, by their paths in it. RocksDB's folder has no folders.
fn files(folder: &Path) -> Result<Vec<String>, BackupError> {
    let db = folder.join("db");
    let entries = fs::read_dir(&db).map_err(at(&db))?.collect::<Result<Vec<_>, _>>().map_err(at(&db))?;
    let inside = entries.iter().map(|entry| format!("db/{}", entry.file_name().to_string_lossy()));
    // RocksDB's own log says nothing of the data.
    Ok(inside.filter(|file| !file.starts_with("db/LOG")).chain(["guard".to_owned()]).collect())
}

fn measure(path: &Path) -> Result<(u64, Digest), BackupError> {
    let mut file = File::open(path).map_err(at(path))?;
    let (mut chunk, mut chunks, mut bytes) = (vec![0; CHUNK_BYTES], Vec::new(), 0);
    loop {
        let mut filled = 0;
        while filled < CHUNK_BYTES {
            match file.read(&mut chunk[filled..]).map_err(at(path))? {
                0 => break,
                read => filled += read,
            }
        }
        bytes += filled as u64;
        chunks.push(FILE.hash(&chunk[..filled]));
        if filled < CHUNK_BYTES {
            return Ok((bytes, FILE.hash_of(&chunks)));
        }
    }
}

fn remove(folder: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(folder)(error)),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::File { path: path.clone(), error }
}
