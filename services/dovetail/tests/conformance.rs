//! `dovetail conformance` as a user runs it: what it prints, and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const STORES: &str = include_str!("conformance/stores.json");
const OVERFLOW: &str = include_str!("conformance/value_beyond_a_word.json");

struct Run {
    is_success: bool,
    text: String,
}

fn dovetail(arguments: &[&str]) -> Run {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_dovetail")).arg("conformance").args(arguments).output().expect("it starts");
    let text = [stdout, stderr].concat();
    Run { is_success: status.success(), text: String::from_utf8(text).expect("text") }
}

/// A file with this text, and the command run on it.
fn on_file(text: &str, more: &[&str]) -> Run {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("test.json");
    fs::write(&path, text).expect("a file");
    dovetail(&[&[path.to_str().expect("text")], more].concat())
}

fn refused(run: &Run, parts: &[&str]) {
    assert!(!run.is_success, "it says that all is well: {}", run.text);
    for part in parts {
        assert!(run.text.contains(part), "{part:?} is not in: {}", run.text);
    }
}

const EVERYWHERE: [&str; 6] = ["--shards", "1,2,5", "--placement", "hash,seeded,own-shard", "--placement-seed", "7"];

#[test]
fn a_test_passes_at_every_placement() {
    let run = on_file(STORES, &EVERYWHERE);
    assert!(run.is_success, "{}", run.text);
    for layout in ["1 by hash", "5 by hash", "2 by seed 7", "one per account"] {
        assert!(run.text.contains(&format!("{layout}: 1 passed, 0 failed")), "{layout}: {}", run.text);
    }
}

#[test]
fn a_transaction_that_nobody_can_encode_is_refused_as_the_file_says() {
    let run = on_file(OVERFLOW, &EVERYWHERE);
    assert!(run.is_success, "{}", run.text);
}

#[test]
fn a_file_without_signed_bytes_is_signed_here() {
    let from = STORES.find("\"txbytes\"").unwrap();
    let upto = from + STORES[from..].find('\n').unwrap();
    let text = format!("{}{}", STORES[..from].trim_end().trim_end_matches(','), &STORES[upto..]);
    assert!(!text.contains("txbytes"));
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report.md");
    let run = on_file(&text, &["--report", report.to_str().unwrap()]);
    assert!(run.is_success, "{}", run.text);
    assert!(fs::read_to_string(report).unwrap().contains("signed\nbytes: 1."));
}

#[test]
fn another_state_root_fails_with_both_sides_and_the_name() {
    let text = STORES.replace("0xe6513463", "0x00000000");
    let run = on_file(&text, &["--placement-seed", "3"]);
    refused(
        &run,
        &["FAILED storesAndPays [Cancun 0]", "state root 0xe6513463", "expects 0x00000000", "1 of 1 subtests failed"],
    );
}

#[test]
fn other_logs_fail() {
    refused(
        &on_file(&STORES.replace("0x1dcc4de8", "0x00000000"), &[]),
        &["logs hash 0x1dcc4de8", "expects 0x00000000"],
    );
}

#[test]
fn a_transaction_that_should_be_refused_and_is_not_fails() {
    let text = STORES.replace("\"hash\"", "\"expectException\": \"TransactionException.NONCE_IS_MAX\", \"hash\"");
    refused(&on_file(&text, &[]), &["plain revm includes the transaction", "NONCE_IS_MAX"]);
}

#[test]
fn a_transaction_that_is_refused_for_another_reason_fails() {
    let text = STORES.replace("[\n    \"0x0186a0\"\n   ]", "[\"0x01\"]");
    let from = text.find("\"txbytes\"").unwrap();
    let upto = from + text[from..].find('\n').unwrap();
    let text = format!("{}{}", text[..from].trim_end().trim_end_matches(','), &text[upto..]);
    let text = text.replace("\"hash\"", "\"expectException\": \"TransactionException.SENDER_NOT_EOA\", \"hash\"");
    refused(&on_file(&text, &[]), &["gas limit too low", "SENDER_NOT_EOA"]);
}

#[test]
fn bytes_of_another_transaction_than_the_section_fail() {
    refused(&on_file(&STORES.replace("\"0x03e8\"", "\"0x03e9\""), &[]), &["txbytes have another value"]);
}

#[test]
fn a_truncated_file_is_named_with_line_and_column() {
    refused(&on_file(&STORES[..STORES.len() / 2], &[]), &["test.json", "not JSON", "line", "column"]);
}

#[test]
fn a_malformed_test_is_named_with_its_field() {
    let run = on_file(&STORES.replace("currentCoinbase", "currentCoinbasis"), &[]);
    refused(&run, &["test.json", "\"storesAndPays\"", "currentCoinbase", "line"]);
}

#[test]
fn an_unknown_fork_on_the_command_line_is_refused_by_name() {
    refused(&on_file(STORES, &["--fork", "Shangri-La"]), &["unknown fork \"Shangri-La\"", "Osaka"]);
}

#[test]
fn a_fork_that_revm_cannot_run_is_skipped_by_name_and_an_unknown_one_fails_with_its_place() {
    let run = on_file(&STORES.replace("\"Cancun\"", "\"Constantinople\""), &[]);
    assert!(run.text.contains("1 skipped: revm has no rules for fork Constantinople"), "{}", run.text);
    let run = on_file(&STORES.replace("\"Cancun\"", "\"Cancum\""), &[]);
    refused(&run, &["storesAndPays [Cancum 0]", "test.json", "unknown fork \"Cancum\"; known are Frontier"]);
}

#[test]
fn wrong_paths_and_empty_folders_are_named() {
    refused(&dovetail(&["/nowhere/tests.tar.gz"]), &["/nowhere/tests.tar.gz"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    refused(&dovetail(&[path]), &[path, "holds no .json file"]);
    let other = dir.path().join("tests.zip");
    fs::write(&other, "PK").unwrap();
    refused(&dovetail(&[other.to_str().unwrap()]), &["tests.zip", "a folder, a .json file"]);
}

#[test]
fn a_filter_that_fits_nothing_is_refused() {
    refused(&on_file(STORES, &["--filter", "nothing-like-it"]), &["no subtest"]);
    refused(&on_file(STORES, &["--fork", "Osaka"]), &["no subtest"]);
}

#[test]
fn a_report_has_every_layout_and_how_to_repeat_it() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, report): (PathBuf, PathBuf) = (dir.path().join("corpus/stExample"), dir.path().join("report.md"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("storesAndPays.json"), STORES).unwrap();
    let corpus = Path::parent(&folder).unwrap().to_str().unwrap();
    let run = dovetail(&[&[corpus, "--report", report.to_str().unwrap()], &EVERYWHERE[..]].concat());
    assert!(run.is_success, "{}", run.text);
    let text = fs::read_to_string(report).unwrap();
    for part in
        ["### corpus", "| stExample | 1 | 0 |", "| Cancun | 1 | 0 |", "one per account", "dovetail conformance corpus"]
    {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}
