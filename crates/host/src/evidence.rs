//! Evidence that a shard certified two blocks of one height, as files: anybody can keep them, and check them offline.
//!
//! Promise: a file is there whole or not at all, and its name says shard, height and the evidence's own id. What a file says
//! is a claim until a verifier has checked it: `dovetail evidence` does.

use primitives::Digest;
use proof::{EQUIVOCATION_BYTES_MAX, Equivocation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What the name of such a file ends with.
const EXTENSION: &str = "equivocation";

/// What the name of one ends with that is not whole yet.
const UNFINISHED: &str = "unfinished";

/// Most files that are looked at in one folder.
const FILES_COUNT_MAX: usize = 4096;

/// Evidence that an operator has looked at, named in a settings file by its ids: the shards it is about are believed again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Settled(pub BTreeSet<Digest>);

impl Settled {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The text is no id of evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("evidence is named by its id, 32 bytes of hexadecimal digits, not by {text:?}")]
pub struct SettledError {
    text: String,
}

impl TryFrom<Vec<String>> for Settled {
    type Error = SettledError;

    fn try_from(texts: Vec<String>) -> Result<Self, SettledError> {
        let id = |text: String| text.parse().map_err(|_| SettledError { text });
        Ok(Self(texts.into_iter().map(id).collect::<Result<_, _>>()?))
    }
}

impl From<Settled> for Vec<String> {
    fn from(settled: Settled) -> Self {
        settled.0.iter().map(Digest::to_string).collect()
    }
}

/// The folder of evidence in a node's `data`.
pub fn folder(data: &Path) -> PathBuf {
    data.join("evidence")
}

/// Keeps evidence in `folder`; keeping it again changes nothing.
///
/// # Errors
/// What the system says.
pub fn keep(folder: &Path, evidence: &Equivocation) -> io::Result<PathBuf> {
    let header = &evidence.first.0;
    let name = format!("shard-{}-height-{}-{}.{EXTENSION}", header.shard, header.height, evidence.id());
    fs::create_dir_all(folder)?;
    let (path, unfinished) = (folder.join(&name), folder.join(format!("{name}.{UNFINISHED}")));
    let mut file = File::create(&unfinished)?;
    io::Write::write_all(&mut file, &evidence.to_bytes())?;
    file.sync_all()?;
    fs::rename(unfinished, &path)?;
    Ok(path)
}

/// The files of evidence in `folder`, by name; none if there is no such folder.
///
/// # Errors
/// What the system says.
pub fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    named(folder, |extension| extension == EXTENSION)
}

/// What else is in `folder`, by name, but for what a crash left unfinished.
///
/// # Errors
/// What the system says.
pub fn others(folder: &Path) -> io::Result<Vec<PathBuf>> {
    named(folder, |extension| extension != EXTENSION && extension != UNFINISHED)
}

fn named(folder: &Path, is_wanted: impl Fn(&OsStr) -> bool) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let is_wanted = |path: &PathBuf| is_wanted(path.extension().unwrap_or_default());
    let mut files: Vec<PathBuf> = paths.into_iter().filter(is_wanted).take(FILES_COUNT_MAX).collect();
    files.sort();
    Ok(files)
}

/// The claim in the file at `path`.
///
/// # Errors
/// What the system says, or that the bytes are no such claim.
pub fn read(path: &Path) -> io::Result<Equivocation> {
    let mut bytes = Vec::new();
    File::open(path)?.take(EQUIVOCATION_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Equivocation::from_bytes(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
