//! Where test files come from: a folder of JSON files, one such file, or an archive of them.
//!
//! ```text
//!  folder ─────────┐
//!  file.json ──────┼── each ──> TestFile { suite, path, bytes }   one after the other, in order, at most FILE_BYTES_MAX each
//!  .tar[.gz|.zst] ─┘
//! ```
//!
//! Promise: every `.json` in it is given out once, in order, or the walk ends with an error that names the file.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path, PathBuf};

/// The most bytes a test file may have.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// How deep folders may lie in each other.
const FOLDERS_DEPTH_MAX: usize = 32;

/// What ends a tar archive: a block of zeros, and usually another.
const TAR_END_BYTES: usize = 512;

/// What a pointer of Git LFS begins with: the file itself was never fetched.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A test file's place in its corpus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// The corpus: what the path given is called, without its endings.
    pub corpus: String,
    /// The folders it lies in, below the corpus's one root folder.
    pub folder: String,
    /// Its own name.
    pub file: String,
}

impl FileName {
    /// The topmost folder it lies in.
    pub fn suite(&self) -> &str {
        self.folder.split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.folder.is_empty() { "" } else { "/" };
        write!(f, "{}: {}{slash}{}", self.corpus, self.folder, self.file)
    }
}

/// A test file as it was read.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// Where it was.
    pub name: FileName,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl TestFile {
    /// Whether it only says where Git LFS has the file.
    pub fn is_lfs_pointer(&self) -> bool {
        self.bytes.starts_with(LFS_POINTER)
    }
}

/// Why there are no tests behind a path.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no folder, no JSON file and no archive.
    #[error("{} is no test: a folder, a .json file, or a .tar, .tar.gz or .tar.zst of them is expected", path.display())]
    Kind {
        /// Which path.
        path: PathBuf,
    },
    /// It holds no JSON file.
    #[error("{} holds no .json file", path.display())]
    Empty {
        /// Which path.
        path: PathBuf,
    },
    /// An archive that ends early or is damaged.
    #[error("{} is no whole archive, after {after}: {source}", path.display())]
    Archive {
        /// Which path.
        path: PathBuf,
        /// The last entry that came out of it.
        after: String,
        /// What the decoder met.
        source: std::io::Error,
    },
    /// A file of more bytes than allowed.
    #[error("{name} has {actual} bytes where at most {FILE_BYTES_MAX} are allowed")]
    TooLong {
        /// Which file.
        name: FileName,
        /// How many it has.
        actual: u64,
    },
    /// Folders in folders without end.
    #[error("{} lies more than {FOLDERS_DEPTH_MAX} folders deep", path.display())]
    TooDeep {
        /// Which folder.
        path: PathBuf,
    },
}

/// Whether the walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With the next file.
    Go,
    /// No further: nobody listens.
    Stop,
}

/// Gives every test file behind `path` to `give`, in order.
pub fn each(path: &Path, give: &mut dyn FnMut(TestFile) -> Next) -> Result<(), SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let count = if metadata.is_dir() {
        each_of_folder(path, give)?
    } else {
        let file = BufReader::new(File::open(path).map_err(unreadable)?);
        match ending(path) {
            Some(Ending::Json) => each_of_file(path, give)?,
            Some(Ending::Tar) => each_of_archive(path, file, give)?,
            Some(Ending::Gzip) => each_of_archive(path, flate2::bufread::MultiGzDecoder::new(file), give)?,
            Some(Ending::Zstd) => {
                let decoder = zstd::Decoder::with_buffer(file).map_err(unreadable)?;
                each_of_archive(path, decoder, give)?
            }
            None => return Err(SourceError::Kind { path: path.to_owned() }),
        }
    };
    if count == 0 { Err(SourceError::Empty { path: path.to_owned() }) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Json,
    Tar,
    Gzip,
    Zstd,
}

const ENDINGS: [(&str, Ending); 6] = [
    (".json", Ending::Json),
    (".tar", Ending::Tar),
    (".tar.gz", Ending::Gzip),
    (".tgz", Ending::Gzip),
    (".tar.zst", Ending::Zstd),
    (".tzst", Ending::Zstd),
];

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn ending(path: &Path) -> Option<Ending> {
    let name = name_of(path);
    ENDINGS.iter().find(|(text, _)| name.ends_with(text)).map(|(_, ending)| *ending)
}

/// What the corpus behind `path` is called.
fn corpus(path: &Path) -> String {
    // A path like `.` has no name of its own.
    let name = name_of(&std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
    let stem = ENDINGS.iter().find_map(|(text, _)| name.strip_suffix(text));
    stem.unwrap_or(&name).to_owned()
}

fn each_of_file(path: &Path, give: &mut dyn FnMut(TestFile) -> Next) -> Result<usize, SourceError> {
    let name = FileName { corpus: corpus(path), folder: String::new(), file: name_of(path) };
    give(read_file(path, name)?);
    Ok(1)
}

fn read_file(path: &Path, name: FileName) -> Result<TestFile, SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: path.to_owned(), source };
    let actual = std::fs::metadata(path).map_err(unreadable)?.len();
    if actual > FILE_BYTES_MAX {
        return Err(SourceError::TooLong { name, actual });
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    Ok(TestFile { name, bytes })
}

fn each_of_folder(root: &Path, give: &mut dyn FnMut(TestFile) -> Next) -> Result<usize, SourceError> {
    let (corpus, mut count) = (corpus(root), 0);
    let mut paths = Vec::new();
    files_under(root, 0, &mut paths)?;
    for path in paths {
        let folder = path.parent().and_then(|parent| parent.strip_prefix(root).ok()).map(joined).unwrap_or_default();
        let name = FileName { corpus: corpus.clone(), folder, file: name_of(&path) };
        count += 1;
        if give(read_file(&path, name)?) == Next::Stop {
            break;
        }
    }
    Ok(count)
}

fn files_under(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let unreadable = |source| SourceError::Unreadable { path: folder.to_owned(), source };
    if depth > FOLDERS_DEPTH_MAX {
        return Err(SourceError::TooDeep { path: folder.to_owned() });
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files_under(&path, depth + 1, found)?;
        } else if ending(&path) == Some(Ending::Json) {
            found.push(path);
        }
    }
    Ok(())
}

/// The folders of a relative path, joined by slashes on every system.
fn joined(path: &Path) -> String {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

fn each_of_archive(
    path: &Path,
    bytes: impl Read,
    give: &mut dyn FnMut(TestFile) -> Next,
) -> Result<usize, SourceError> {
    let (corpus, mut count, mut after) = (corpus(path), 0, "its beginning".to_owned());
    let tail = Cell::new(0);
    let mut archive = tar::Archive::new(Tail { bytes, zeros: &tail });
    let broken = |after: &str, source| SourceError::Archive { path: path.to_owned(), after: after.to_owned(), source };
    for entry in archive.entries().map_err(|source| broken(&after, source))? {
        let mut entry = entry.map_err(|source| broken(&after, source))?;
        let inner = entry.path().map_err(|source| broken(&after, source))?.into_owned();
        if entry.header().entry_type().is_file() && ending(&inner) == Some(Ending::Json) {
            // The one root folder of an archive says nothing.
            let folder: PathBuf = inner.parent().into_iter().flat_map(Path::components).skip(1).collect();
            let name = FileName { corpus: corpus.clone(), folder: joined(&folder), file: name_of(&inner) };
            let actual = entry.size();
            if actual > FILE_BYTES_MAX {
                return Err(SourceError::TooLong { name, actual });
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|source| broken(&after, source))?;
            if bytes.len() as u64 != actual {
                let source = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(broken(&format!("the first part of {}", inner.display()), source));
            }
            count += 1;
            if give(TestFile { name, bytes }) == Next::Stop {
                return Ok(count);
            }
        }
        after = inner.display().to_string();
    }
    // What comes after the last entry has the decoder's sums in it.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(|source| broken(&after, source))?;
    // One cut between two entries looks complete but for its end.
    if tail.get() < TAR_END_BYTES {
        return Err(broken(&after, std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
    }
    Ok(count)
}

/// Counts the zeros that the bytes read so far end with.
struct Tail<'a, R> {
    bytes: R,
    zeros: &'a Cell<usize>,
}

impl<R: Read> Read for Tail<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        let zeros = buffer[..read].iter().rev().take_while(|byte| **byte == 0).count();
        self.zeros.set(if zeros == read { self.zeros.get() + read } else { zeros });
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Result<Vec<String>, SourceError> {
        let mut names = Vec::new();
        each(path, &mut |file| {
            names.push(format!("{} {}", file.name.suite(), file.name));
            Next::Go
        })?;
        Ok(names)
    }

    fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip_of(tar: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(tar).unwrap();
        gzip.finish().unwrap()
    }

    const FILES: [(&str, &str); 3] =
        [("root/stOne/a.json", "{}"), ("root/stOne/readme.md", "#"), ("root/two/deeper/b.json", "[]")];

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    #[test]
    fn archives_of_all_kinds_and_the_folder_they_unpack_to_give_the_same_files() {
        let tar = tar_of(&FILES);
        let zstd = zstd::encode_all(&tar[..], 3).unwrap();
        let expected = ["stOne corpus: stOne/a.json", "two corpus: two/deeper/b.json"];
        for (name, bytes) in [("corpus.tar", tar.clone()), ("corpus.tar.gz", gzip_of(&tar)), ("corpus.tar.zst", zstd)] {
            let (_dir, path) = written(name, &bytes);
            assert_eq!(names(&path).unwrap(), expected, "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        tar::Archive::new(&tar[..]).unpack(dir.path()).unwrap();
        std::fs::rename(dir.path().join("root"), dir.path().join("corpus")).unwrap();
        assert_eq!(names(&dir.path().join("corpus")).unwrap(), expected);
        assert_eq!(names(&dir.path().join("corpus/stOne/a.json")).unwrap(), [" a: a.json"]);
    }

    #[test]
    fn a_truncated_archive_is_refused_wherever_it_was_cut() {
        let tar = tar_of(&FILES);
        for length in [100, 600, 513, 1024, 2048, tar.len() - 1024] {
            let (_dir, path) = written("cut.tar", &tar[..length]);
            assert!(names(&path).is_err(), "tar cut at {length} of {}", tar.len());
        }
        let gzip = gzip_of(&tar);
        for length in [3, gzip.len() / 2, gzip.len() - 1] {
            let (_dir, path) = written("cut.tar.gz", &gzip[..length]);
            assert!(names(&path).is_err(), "gzip cut at {length}");
        }
        let zstd = zstd::encode_all(&tar[..], 3).unwrap();
        for length in [3, zstd.len() / 2, zstd.len() - 1] {
            let (_dir, path) = written("cut.tar.zst", &zstd[..length]);
            let error = names(&path).unwrap_err().to_string();
            assert!(error.contains("cut.tar.zst"), "zstd cut at {length}: {error}");
        }
    }

    #[test]
    fn a_path_without_tests_says_which_and_why() {
        let missing = names(Path::new("/nowhere/tests")).unwrap_err();
        assert!(missing.to_string().contains("cannot read /nowhere/tests"), "{missing}");
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(names(dir.path()), Err(SourceError::Empty { .. })));
        let (_dir, path) = written("tests.zip", b"PK");
        assert!(matches!(names(&path), Err(SourceError::Kind { .. })));
        let (_dir, path) = written("other.tar.gz", b"this is no gzip");
        assert!(matches!(names(&path), Err(SourceError::Archive { .. })));
    }

    #[test]
    fn a_pointer_of_git_lfs_is_known_as_one() {
        let name = FileName { corpus: String::new(), folder: String::new(), file: String::new() };
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec();
        assert!(TestFile { name: name.clone(), bytes: pointer }.is_lfs_pointer());
        assert!(!TestFile { name, bytes: b"{}".to_vec() }.is_lfs_pointer());
    }
}
