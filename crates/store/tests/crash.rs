//! kill -9 in the middle of committing.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_store::StoreError;
use fixture::{A, B, batch, open};
use primitives::Read;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const CHILD_FOLDER: &str = "DOVETAIL_STORE_TEST_FOLDER";

/// Not a test by itself: the process that the others kill. It commits, and says so, until then.
#[test]
fn child_commits_until_killed() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let mut store = open(Path::new(&folder)).unwrap();
    loop {
        let number = store.sequence() + 1;
        println!("committed={}", store.commit(&batch(number)).unwrap());
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_commits_until_killed", "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the process once it has said `count` times that it committed; returns the last number it said.
fn kill_after(mut child: Child, count: usize) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let committed = |line: String| line.split_once("committed=").and_then(|(_, number)| number.trim().parse().ok());
    let mut said: u64 = 0;
    for number in lines.by_ref().map_while(Result::ok).filter_map(committed).take(count) {
        said = number;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said between the last line read and its death counts too.
    lines.map_while(Result::ok).filter_map(committed).last().unwrap_or(said)
}

#[test]
fn a_killed_process_leaves_the_last_synced_batch_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for count in [1, 7, 30] {
        let said = kill_after(start(folder.path()), count);
        assert!(said >= before + count as u64);
        let store = open(folder.path()).unwrap();
        // One more may have been synced before its line was printed.
        assert!(store.sequence() == said || store.sequence() == said + 1);
        let reader = store.reader();
        for number in 1..=store.sequence() {
            let key = number.to_be_bytes();
            assert!(reader.get(A, &key).is_some());
            assert_eq!(reader.get(A, &key), reader.get(B, &key));
        }
        let after = (store.sequence() + 1).to_be_bytes();
        assert_eq!((reader.get(A, &after), reader.get(B, &after)), (None, None));
        before = store.sequence();
    }
}

#[test]
fn a_store_that_another_process_has_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path());
    let id = child.id();
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    assert!(lines.any(|line| line.unwrap().contains("committed=")));
    let refusal = open(folder.path()).unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(refusal, StoreError::Held { owner, .. } if owner == format!("process {id}")));
}
