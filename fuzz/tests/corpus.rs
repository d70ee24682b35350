//! Every target over its corpus and over mutations of it, on any toolchain: a little fuzzing in every run of the tests.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use dovetail_fuzz::seeds::Stream;
use dovetail_fuzz::{Run, TARGETS};
use std::fs;
use std::path::{Path, PathBuf};

/// Mutations of each target's corpus; of targets that run a whole world, fewer.
const MUTATIONS_COUNT: usize = 2_000;
const MUTATIONS_OF_WORLDS_COUNT: usize = 100;

/// Targets that take more than a millisecond.
const WORLDS: [&str; 5] = ["coordinator", "execution", "mainnet_block", "relay", "shard"];

/// Most files of one corpus, and most bytes of one file.
const FILES_COUNT_MAX: usize = 100;
const FILE_BYTES_MAX: usize = 4096;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder().join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One to four changes, two files joined, or one cut short.
fn mutated(corpus: &[Vec<u8>], stream: &mut Stream) -> Vec<u8> {
    let mut bytes = corpus[stream.below(corpus.len())].clone();
    for _ in 0..=stream.below(4) {
        let at = stream.below(bytes.len() + 1);
        match (stream.below(5), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << stream.below(8),
            (1, Some(byte)) => *byte = stream.number() as u8,
            (2, _) => bytes.truncate(at),
            (3, _) => {
                let other = &corpus[stream.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend(&other[stream.below(other.len() + 1)..]);
            }
            _ => {
                let count = stream.below(16);
                let new = stream.bytes(count);
                bytes.splice(at..at, new);
            }
        }
    }
    bytes
}

fn run_all(target: &str, run: Run) {
    let corpus = corpus(target);
    for bytes in &corpus {
        run(bytes);
    }
    run(&[]);
    let mut stream = Stream(1);
    let count = if WORLDS.contains(&target) { MUTATIONS_OF_WORLDS_COUNT } else { MUTATIONS_COUNT };
    for _ in 0..count {
        run(&mutated(&corpus, &mut stream));
    }
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            run_all(stringify!($target), dovetail_fuzz::$target);
        })*

        #[test]
        fn every_target_is_tested() {
            let tested = [$(stringify!($target)),*];
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(tested));
        }
    };
}

targets! {
    attempts canonical coordinator decision equivocation execution grpc json_rpc mainnet_block merkle network_file
    participants payload receipt relay shard state_proof text vote wire_values witness
}

#[test]
fn every_target_has_a_binary_a_manifest_entry_and_a_small_corpus() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(top.join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let binary = fs::read_to_string(top.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(binary.contains(&format!("dovetail_fuzz::{target}(data)")), "{target}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        let corpus = corpus(target);
        assert!(!corpus.is_empty() && corpus.len() <= FILES_COUNT_MAX, "{target} has {} files", corpus.len());
        assert!(corpus.iter().all(|bytes| bytes.len() <= FILE_BYTES_MAX), "{target}");
    }
}
