//! A host as a process: killed at its crash points, and told to stop.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_host::{Class, shutdown};
use fixture::{SETTINGS, add, start, store, sum};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

const CHILD_FOLDER: &str = "DOVETAIL_HOST_TEST_FOLDER";

/// Not a test by itself: the process of the others. It adds one at a time and says each sum it was answered.
#[test]
fn child_adds_until_told_to_stop() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stop = shutdown::on_signal().unwrap();
        let mut running = start(Path::new(&folder));
        let handle = running.handle.clone();
        tokio::spawn(async move {
            while let Ok((_, sum)) = handle.call(Class::New, add(1)).await {
                println!("answered={sum}");
            }
        });
        stop.cancelled().await;
        running.lifeline.drain();
        running.lifeline.ended().await.unwrap();
    });
}

fn child(folder: &Path, crash: Option<(&str, &str)>) -> (Child, impl Iterator<Item = u64> + use<>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_adds_until_told_to_stop", "--nocapture"]).env(CHILD_FOLDER, folder);
    command.envs(crash).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let answers = answers(child.stdout.take().unwrap());
    (child, answers)
}

fn answers(stdout: ChildStdout) -> impl Iterator<Item = u64> {
    let lines = BufReader::new(stdout).lines().map_while(Result::ok);
    lines.filter_map(|line| line.split_once("answered=").and_then(|(_, sum)| sum.trim().parse().ok()))
}

/// The last answer, the sum in the store, and how the process ended, when it crashes at `point`.
fn crashed(variable: &str, point: &str) -> (Option<u64>, u64, ExitStatus) {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, answers) = child(folder.path(), Some((variable, point)));
    let last = answers.last();
    let status = child.wait().unwrap();
    (last, sum(&store(folder.path(), SETTINGS).reader()), status)
}

#[test]
fn a_crash_before_the_batch_leaves_nothing_of_the_step() {
    let (answered, stored, status) = crashed("DOVETAIL_CRASH", "before_commit:5");
    assert_eq!((answered, stored), (Some(4), 4));
    assert!(!status.success());
}

#[test]
fn a_crash_after_the_batch_leaves_all_of_it_and_no_answer() {
    let (answered, stored, status) = crashed("DOVETAIL_CRASH", "after_commit:5");
    assert_eq!((answered, stored), (Some(4), 5));
    assert!(!status.success());
}

#[test]
fn a_crash_point_that_is_none_is_refused() {
    let (answered, stored, status) = crashed("DOVETAIL_CRASH", "sometimes");
    assert_eq!((answered, stored), (None, 0));
    assert!(!status.success());
}

#[test]
fn a_terminated_process_drains_and_exits_well() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut answers) = child(folder.path(), None);
    assert_eq!(answers.next(), Some(1));
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let last = answers.last().unwrap_or(1);
    assert!(child.wait().unwrap().success());
    // One more may have been on its way to the caller.
    let stored = sum(&store(folder.path(), SETTINGS).reader());
    assert!(stored == last || stored == last + 1);
}
