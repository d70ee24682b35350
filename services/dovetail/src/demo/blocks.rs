//! Real Ethereum mainnet blocks through coordinator and shards, compared with their own headers.

use super::report::Report;
use conformance::layout::Layout;
use conformance::replay::replay_over_processes;
use eyre::{Result, WrapErr};
use std::path::{Path, PathBuf};

/// How many blocks the demo replays.
const BLOCKS_COUNT: usize = 3;
/// Over how many shards.
const SHARDS_COUNT: u32 = 4;
/// Blocks of different forks and of a size that suits a demo, replayed first where they are there.
const PREFERRED: [&str; 3] = ["11814555.json.zst", "19933122.json.zst", "23587691.json.zst"];

pub(super) async fn show(data: Option<&Path>, dir: &Path, report: &mut Report) {
    report.section("Real mainnet blocks");
    let files = files(data);
    if files.is_empty() {
        report.skip("mainnet blocks are reproduced", "no mainnet-blocks folder: name its parent with DOVETAIL_DATA");
    }
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let claim = format!("mainnet block {} is reproduced", name.trim_end_matches(".json.zst"));
        report.claim(&claim, replayed(&file, dir)).await;
    }
}

async fn replayed(file: &Path, dir: &Path) -> Result<(String, ())> {
    let folder = tempfile::Builder::new().prefix("replay-").tempdir_in(dir)?;
    let program = std::env::current_exe().wrap_err("this program has no path")?;
    Ok((replay_over_processes(file, Layout::Hash { shards: SHARDS_COUNT }, &program, folder.path()).await?, ()))
}

/// The blocks to replay: preferred ones first, then the first others.
fn files(data: Option<&Path>) -> Vec<PathBuf> {
    let candidates = match data {
        Some(data) => vec![data.to_owned()],
        None => vec![PathBuf::from("../shared"), PathBuf::from("../../shared")],
    };
    let mut folders = candidates.into_iter().map(|data| data.join("mainnet-blocks"));
    let Some(entries) = folders.find_map(|folder| std::fs::read_dir(folder).ok()) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.to_string_lossy().ends_with(".json.zst"));
    let rank = |path: &PathBuf| PREFERRED.iter().position(|name| path.ends_with(name)).unwrap_or(PREFERRED.len());
    files.sort_by_key(|path| (rank(path), path.clone()));
    files.truncate(BLOCKS_COUNT);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferred_blocks_come_first() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("mainnet-blocks");
        std::fs::create_dir(&folder).unwrap();
        for name in ["1.json.zst", "2.json.zst", "README.md", PREFERRED[1]] {
            std::fs::write(folder.join(name), []).unwrap();
        }
        let found = files(Some(data.path()));
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, [PREFERRED[1], "1.json.zst", "2.json.zst"]);
        assert!(files(Some(&folder)).is_empty());
    }
}
