//! Block files from the disk: found, bounded, decompressed, checked against their own headers.

use evm::mainnet::{BLOCK_BYTES_MAX, MainnetBlock, MainnetError};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Why a file is no block to replay.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder without a block file in it.
    #[error("there is no block in {path}: block files are called <number>.json.zst")]
    NoBlocks {
        /// Which folder.
        path: PathBuf,
    },
    /// It is not a whole zstd file.
    #[error("{path} is not a whole zstd file: {source}")]
    Compression {
        /// Which file.
        path: PathBuf,
        /// What the decoder met.
        source: std::io::Error,
    },
    /// What is in it is no block.
    #[error("{path}: {source}")]
    Block {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<MainnetError>,
    },
}

/// What block files end with.
const SUFFIX: &str = ".json.zst";

/// The block files that `paths` name: files as they are, of folders all block files by number.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FileError> {
    let mut files = Vec::new();
    for path in paths {
        let unreadable = |source| FileError::Unreadable { path: path.clone(), source };
        if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
            files.extend(blocks_in(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn blocks_in(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: folder.to_owned(), source };
    let mut blocks = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) {
            blocks.push((number.parse::<u64>().unwrap_or(u64::MAX), entry.path()));
        }
    }
    if blocks.is_empty() {
        return Err(FileError::NoBlocks { path: folder.to_owned() });
    }
    blocks.sort();
    Ok(blocks.into_iter().map(|(_, path)| path).collect())
}

/// The block in a `<number>.json.zst` file; decompresses at most [`BLOCK_BYTES_MAX`] bytes.
pub fn load(path: &Path) -> Result<MainnetBlock, FileError> {
    let named = || path.to_owned();
    let file = File::open(path).map_err(|source| FileError::Unreadable { path: named(), source })?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(FileError::Unreadable { path: named(), source });
    }
    let compression = |source| FileError::Compression { path: named(), source };
    let decoder = zstd::Decoder::new(file).map_err(compression)?;
    let mut json = Vec::new();
    decoder.take(BLOCK_BYTES_MAX as u64 + 1).read_to_end(&mut json).map_err(compression)?;
    MainnetBlock::parse(&json).map_err(|source| FileError::Block { path: named(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.json.zst");
        std::fs::write(&path, bytes).unwrap();
        (dir, path)
    }

    fn refusal(bytes: &[u8]) -> String {
        let (_dir, path) = written(bytes);
        load(&path).unwrap_err().to_string()
    }

    /// A block without transactions, whose header is what alloy's default header encodes to.
    fn json(fork: &str) -> String {
        let header = alloy_consensus::Header::default();
        let rlp = alloy_primitives::hex::encode_prefixed(alloy_rlp_of(&header));
        format!(
            r#"{{"format":"mainnet-block/v1","chainId":1,"hash":"{}","fork":"{fork}","header":"{rlp}","transactions":[],
            "withdrawals":null,"ommers":[],"blockHashes":{{}},"preState":{{}},"codes":{{}},
            "verified":{{"stateRoot":null,"postDigest":"{}"}}}}"#,
            header.hash_slow(),
            alloy_primitives::keccak256([]),
        )
    }

    fn alloy_rlp_of(header: &alloy_consensus::Header) -> Vec<u8> {
        let mut bytes = Vec::new();
        alloy_rlp::Encodable::encode(header, &mut bytes);
        bytes
    }

    fn compressed(text: &str) -> Vec<u8> {
        zstd::encode_all(text.as_bytes(), 3).unwrap()
    }

    #[test]
    fn a_whole_file_is_a_block() {
        let (_dir, path) = written(&compressed(&json("FRONTIER")));
        assert_eq!(load(&path).unwrap().number(), 0);
    }

    #[test]
    fn a_path_that_is_not_there_is_named() {
        let error = load(Path::new("/nowhere/1.json.zst")).unwrap_err();
        assert!(matches!(error, FileError::Unreadable { .. }));
        assert!(error.to_string().contains("/nowhere/1.json.zst"), "{error}");
    }

    #[test]
    fn the_blocks_of_a_folder_are_found_by_number_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10.json.zst", "9.json.zst", "README.md", "9.json"] {
            std::fs::write(dir.path().join(name), []).unwrap();
        }
        let found = find(&[dir.path().to_owned()]).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["9.json.zst", "10.json.zst"]);
    }

    #[test]
    fn a_folder_without_blocks_and_a_path_to_nothing_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let empty = find(&[dir.path().to_owned()]).unwrap_err();
        assert!(matches!(&empty, FileError::NoBlocks { path } if path == dir.path()), "{empty}");
        let wrong = find(&[dir.path().join("1.json.zst")]).unwrap_err().to_string();
        assert!(wrong.contains("1.json.zst"), "{wrong}");
    }

    #[test]
    fn a_folder_is_no_block() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(load(dir.path()), Err(FileError::Unreadable { .. })));
    }

    #[test]
    fn a_file_that_is_not_compressed_is_refused() {
        assert!(refusal(json("FRONTIER").as_bytes()).contains("not a whole zstd file"));
    }

    #[test]
    fn a_truncated_file_is_refused_wherever_it_was_cut() {
        let whole = compressed(&json("FRONTIER"));
        for length in [1, 5, whole.len() / 2, whole.len() - 1] {
            let (_dir, path) = written(&whole[..length]);
            assert!(load(&path).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn an_unknown_fork_is_refused_by_name() {
        let error = refusal(&compressed(&json("SHANGRI_LA")));
        assert!(error.contains("SHANGRI_LA") && error.contains("osaka"), "{error}");
    }

    #[test]
    fn a_field_that_is_missing_is_named() {
        let error = refusal(&compressed(&json("FRONTIER").replace("preState", "preparedState")));
        assert!(error.contains("preState"), "{error}");
    }
}
