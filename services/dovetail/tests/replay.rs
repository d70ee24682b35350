//! I9 and I16 over real processes: mainnet blocks through coordinator and shards, over one shard and over several, are
//! the blocks that Ethereum has.
//!
//! Blocks come from the folder `mainnet-blocks` in `DOVETAIL_DATA`, or beside the repository; without it the tests say so
//! and pass. `DOVETAIL_REPLAY_BLOCKS` says how many of them are replayed, smallest first.

use conformance::layout::Layout;
use conformance::replay;
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

async fn every_block(layout: Layout) {
    let program = Path::new(env!("CARGO_BIN_EXE_dovetail"));
    for path in files() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        match replay::replay_over_processes(&path, layout, program, dir.path()).await {
            Ok(told) => println!("{}: {told}", path.display()),
            Err(error) => panic!("{} over shards {layout}: {error:?}", path.display()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_on_one_shard() {
    every_block(Layout::Hash { shards: 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_over_two_shards() {
    every_block(Layout::Hash { shards: 2 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_over_four_shards() {
    every_block(Layout::Hash { shards: 4 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mainnet_blocks_are_reproduced_over_seven_shards_placed_at_random() {
    every_block(Layout::Seeded { shards: 7, seed: 1 }).await;
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

#[test]
fn a_folder_without_blocks_and_a_path_to_nothing_end_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    for (path, why) in [(dir.path().to_owned(), "there is no block in"), (dir.path().join("1.json.zst"), "cannot read")]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_dovetail")).arg("replay").arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(why), "{told}");
    }
}
