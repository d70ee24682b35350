//! I9 and I16 over real processes: mainnet blocks through coordinator and shards, over one shard and over several, are
//! the blocks that Ethereum has.
//!
//! Blocks come from the folder `mainnet-blocks` in `DOVETAIL_DATA`, or beside the repository; without it the tests say so
//! and pass. `DOVETAIL_REPLAY_BLOCKS` says how many of them are replayed, smallest first.

use dovetail::replay::{self, Settings};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many blocks are replayed when nobody says.
const BLOCKS_COUNT: usize = 5;

/// The blocks that are there, smallest files first, those without transactions left out.
fn files() -> Vec<PathBuf> {
    let data = std::env::var_os("DOVETAIL_DATA").map(PathBuf::from);
    let data = data.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let Ok(entries) = std::fs::read_dir(data.join("mainnet-blocks")) else {
        println!("skipped: no mainnet-blocks folder; set DOVETAIL_DATA to the folder that has it");
        return Vec::new();
    };
    let count = std::env::var("DOVETAIL_REPLAY_BLOCKS").ok().and_then(|count| count.parse().ok());
    let mut files: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.len(), entry.path()))
        })
        .filter(|(_, path)| path.to_string_lossy().ends_with(".json.zst"))
        .collect();
    files.sort();
    let busy = |path: &PathBuf| replay::load(path).expect("a block file").transactions_count() > 0;
    let files: Vec<_> =
        files.into_iter().map(|(_, path)| path).filter(busy).take(count.unwrap_or(BLOCKS_COUNT)).collect();
    assert!(!files.is_empty(), "the folder mainnet-blocks has no blocks in it");
    files
}

async fn every_block(shards: u32, placement_seed: Option<u64>) {
    let settings = Settings { shards, placement_seed, program: env!("CARGO_BIN_EXE_dovetail").into() };
    for path in files() {
        let block = replay::load(&path).expect("a block file");
        let dir = tempfile::tempdir().expect("a temporary folder");
        match replay::replay_block(&block, &settings, dir.path()).await {
            Ok(report) => println!("{report}"),
            Err(error) => panic!("block {} over {shards} shards: {error:?}", block.number()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_on_one_shard() {
    every_block(1, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_over_two_shards() {
    every_block(2, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_over_four_shards() {
    every_block(4, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_over_seven_shards_placed_at_random() {
    every_block(7, Some(1)).await;
}

#[test]
fn a_file_that_is_no_block_ends_with_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("17.json.zst");
    std::fs::write(&path, b"no block").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_dovetail")).arg("replay").arg(&path).output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("17.json.zst") && told.contains("zstd"), "{told}");
}
