//! A devnet for a person: where it is asked to be, who is asked for, and the same again from the same folder.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use dovetail_tests::testnet::program;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn devnet(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(program().unwrap());
    command.args(["devnet", "--shards", "1", "--relays", "0", "--json", "--dir"]).arg(dir).args(more);
    command.stdin(Stdio::null());
    command
}

/// Starts one, and gives what it says of itself.
fn started(dir: &Path, more: &[&str]) -> (Child, Value) {
    let mut child = devnet(dir, more).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn stop(mut child: Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    child.wait().unwrap();
}

fn said(output: &Output) -> String {
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_folder_keeps_its_url_its_chain_id_and_its_accounts() {
    let dir = tempfile::tempdir().unwrap();
    let (child, first) = started(dir.path(), &["--accounts", "3", "--chain-id", "4242"]);
    stop(child);
    assert_eq!((first["accounts"].as_array().unwrap().len(), &first["chain_id"]), (3, &Value::from(4242)));
    let refused = said(&devnet(dir.path(), &["--accounts", "4"]).output().unwrap());
    assert!(refused.contains("began otherwise") && refused.contains("--accounts"), "{refused}");
    let (child, second) = started(dir.path(), &[]);
    stop(child);
    for kept in ["rpc", "chain_id", "accounts"] {
        assert_eq!(first[kept], second[kept], "{kept}");
    }
}

/// What a network's file says of its slots.
fn slots(said: &Value) -> u64 {
    let file = std::fs::read_to_string(said["network_file"].as_str().unwrap()).unwrap();
    let length = file.lines().find_map(|line| line.strip_prefix("slot_ms = ")).unwrap();
    length.parse().unwrap()
}

#[test]
fn a_folder_keeps_the_length_of_its_slots() {
    let dir = tempfile::tempdir().unwrap();
    let (child, first) = started(dir.path(), &["--slot-ms", "500"]);
    stop(child);
    let refused = said(&devnet(dir.path(), &["--slot-ms", "250"]).output().unwrap());
    assert!(refused.contains("began otherwise") && refused.contains("--slot-ms"), "{refused}");
    let (child, second) = started(dir.path(), &[]);
    stop(child);
    assert_eq!((slots(&first), slots(&second)), (500, 500));
}

#[test]
fn a_port_that_is_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refused = said(&devnet(dir.path(), &["--port", &port.to_string()]).output().unwrap());
    assert!(refused.contains(&format!("127.0.0.1:{port}")) && refused.contains("in use"), "{refused}");
}

/// Sends a signal by its name.
fn signal(pid: &str, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
}

/// The process that has this node's store open.
fn node_of(dir: &Path, node: &str) -> String {
    let owner = std::fs::read_to_string(dir.join(node).join("owner")).unwrap();
    owner.trim().strip_prefix("process ").unwrap().to_owned()
}

#[test]
fn a_node_that_a_signal_has_stopped_keeps_a_devnet_from_ending_for_seconds_only() {
    let dir = tempfile::tempdir().unwrap();
    let (child, _) = started(dir.path(), &[]);
    signal(&node_of(dir.path(), "executor-0"), "STOP");
    let begun = Instant::now();
    stop(child);
    // Not the half a minute that a node may take to drain.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let (child, _) = started(dir.path(), &[]);
    stop(child);
}

#[test]
fn a_folder_whose_devnet_was_killed_is_entered_when_its_nodes_have_left() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, first) = started(dir.path(), &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    // They drain now, with their stores open and their ports taken.
    let (child, second) = started(dir.path(), &[]);
    assert_eq!(first["rpc"], second["rpc"]);
    stop(child);
}
