//! Where a process has its secret key from: a file that only its owner may read, or an environment variable.

use crate::environment::{self, NotUnicode};
use proof::{KeyError, PublicKey, SecretKey};
use rustix::process::{getegid, getgroups};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The variable that may hold the secret key in a file's place.
pub const KEY_VARIABLE: &str = "DOVETAIL_KEY";

/// The longest key file: 64 digits, a prefix and some white space.
const KEY_FILE_BYTES_MAX: u64 = 256;
/// What group and others may do with a key file: nothing.
const MODE_OTHERS: u32 = 0o077;
/// The mode of a file that root lent to a group to read, as Kubernetes lends a secret to a pod's `fsGroup`.
const MODE_LENT: u32 = 0o440;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file {path}: {error}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others may read the file.
    #[error(
        "the key file {path} has mode {mode:04o}, so others may read it: run 'chmod 600 {path}', \
         and think about who may have read the key",
        path = path.display()
    )]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is there already.
    #[error("the key file {path} exists and is not overwritten: name another, or move it away", path = path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Neither a file nor the variable.
    #[error("no key: name a key file as `key`, or put the secret key into the environment variable {KEY_VARIABLE}")]
    Missing,
    /// A file and the variable: which of them holds is not for a guess.
    #[error(
        "two keys: `key` names {path} and the environment variable {KEY_VARIABLE} is set; take one of them away",
        path = path.display()
    )]
    Two {
        /// The file.
        path: PathBuf,
    },
    /// What is there is no key.
    #[error("{place}: {error}")]
    Key {
        /// The file or variable.
        place: String,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The variable is not text.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// The system has no randomness.
    #[error("no randomness from the system: {0}")]
    Randomness(getrandom::Error),
}

/// The secret key in the file at `path`: 64 hexadecimal digits.
///
/// # Errors
/// [`KeyFileError::Mode`] if group or others have any right to the file, unless root lent it to this process's group to read.
pub fn read_file(path: &Path) -> Result<SecretKey, KeyFileError> {
    let failed = |error| KeyFileError::File { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & MODE_OTHERS != 0 && !is_lent(&metadata) {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    SecretKey::from_hex(&text)
        .map_err(|error| KeyFileError::Key { place: format!("the key file {}", path.display()), error })
}

/// Whether root lent the file to a group that this process is in, for reading alone.
fn is_lent(metadata: &Metadata) -> bool {
    let is_ours =
        |gid| getegid().as_raw() == gid || getgroups().is_ok_and(|all| all.iter().any(|one| one.as_raw() == gid));
    metadata.permissions().mode() & 0o7777 == MODE_LENT && metadata.uid() == 0 && is_ours(metadata.gid())
}

/// The secret key of a process: from the file that its settings name, or from [`KEY_VARIABLE`].
///
/// # Errors
/// [`KeyFileError::Missing`] if there is neither, [`KeyFileError::Two`] if there are both, and those of [`read_file`].
pub fn read(path: Option<&Path>) -> Result<SecretKey, KeyFileError> {
    choose(path, environment::variable(KEY_VARIABLE)?.map(Zeroizing::new))
}

fn choose(path: Option<&Path>, variable: Option<Zeroizing<String>>) -> Result<SecretKey, KeyFileError> {
    match (path, variable) {
        (Some(path), None) => read_file(path),
        (None, Some(text)) => SecretKey::from_hex(&text)
            .map_err(|error| KeyFileError::Key { place: format!("the environment variable {KEY_VARIABLE}"), error }),
        (Some(path), Some(_)) => Err(KeyFileError::Two { path: path.to_owned() }),
        (None, None) => Err(KeyFileError::Missing),
    }
}

/// Draws a new key and writes it to `path`, which must not exist, for its owner alone. Returns the public key.
///
/// # Errors
/// [`KeyFileError::Exists`] rather than replacing a key.
pub fn generate(path: &Path) -> Result<PublicKey, KeyFileError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(KeyFileError::Randomness)?;
    let key =
        SecretKey::from_bytes(&seed).map_err(|error| KeyFileError::Key { place: "a new key".to_owned(), error })?;
    write_file(path, &key)?;
    Ok(key.public())
}

/// The public key of the file at `path`, which is made if it is not there: whoever comes back keeps its key.
///
/// # Errors
/// Those of [`read_file`] and [`generate`].
pub fn read_or_generate(path: &Path) -> Result<PublicKey, KeyFileError> {
    if path.exists() { Ok(read_file(path)?.public()) } else { generate(path) }
}

/// Writes `key` to `path`, which must not exist, for its owner alone.
///
/// # Errors
/// [`KeyFileError::Exists`] rather than replacing a key.
pub fn write_file(path: &Path, key: &SecretKey) -> Result<(), KeyFileError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => KeyFileError::File { path: path.to_owned(), error },
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let text = Zeroizing::new(hex::encode(key.to_bytes().as_ref()) + "\n");
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_read_back_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/shard-0.key");
        let public = generate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_file(&path).unwrap().public(), public);
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        generate(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = read_file(&path).unwrap_err();
        assert!(matches!(refusal, KeyFileError::Mode { mode: 0o640, .. }));
        assert!(refusal.to_string().contains("chmod 600"));
    }

    #[test]
    fn a_key_file_that_root_lent_to_the_processs_group_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let public = generate(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        let is_roots = fs::metadata(&path).unwrap().uid() == 0;
        match read_file(&path) {
            Ok(key) => assert!(is_roots && key.public() == public),
            Err(refusal) => {
                assert!(!is_roots && matches!(refusal, KeyFileError::Mode { mode: 0o440, .. }), "{refusal}");
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert!(matches!(read_file(&path), Err(KeyFileError::Mode { mode: 0o444, .. })));
    }

    #[test]
    fn a_key_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let public = generate(&path).unwrap();
        assert!(matches!(generate(&path), Err(KeyFileError::Exists { .. })));
        assert_eq!(read_file(&path).unwrap().public(), public);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "my secret words").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let refusal = read_file(&path).unwrap_err();
        assert!(matches!(refusal, KeyFileError::Key { .. }));
        assert!(!refusal.to_string().contains("secret words"));
        assert!(matches!(read_file(&folder.path().join("none")), Err(KeyFileError::File { .. })));
    }

    #[test]
    fn a_key_comes_from_a_file_or_from_the_environment_and_not_from_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let public = generate(&path).unwrap();
        let variable = || Some(Zeroizing::new(fs::read_to_string(&path).unwrap()));
        assert_eq!(choose(Some(&path), None).unwrap().public(), public);
        assert_eq!(choose(None, variable()).unwrap().public(), public);
        assert!(matches!(choose(Some(&path), variable()), Err(KeyFileError::Two { .. })));
        assert!(matches!(choose(None, None), Err(KeyFileError::Missing)));
        let refusal = choose(None, Some(Zeroizing::new("my secret words".to_owned()))).unwrap_err();
        assert!(refusal.to_string().contains(KEY_VARIABLE) && !refusal.to_string().contains("secret words"));
    }
}
