//! One build for the program and its tests: no dependency is compiled twice because the features asked of it differ.
//!
//! `make demo` builds the package `dovetail`, `make test` the workspace with what tests need. Cargo gives a dependency the
//! features that the packages being built ask for together, so a feature that only a test switches on compiles that
//! dependency, and all that stand on it, once more. The workspace's manifest switches such features on for all. What runs
//! while compiling (build scripts, procedural macros) is not looked at.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeSet;
use std::process::Command;

/// What cargo would compile for the packages chosen by `arguments`, without our own: package and features.
fn dependencies(arguments: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let format = ["--offline", "--locked", "--prefix", "none", "--format", "{p}|{f}"];
    let output = Command::new(cargo).arg("tree").args(format).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let dependencies = lines.lines().map(|line| line.trim_end_matches(" (*)"));
    dependencies.filter(|line| !line.starts_with("dovetail")).map(str::to_owned).collect()
}

#[test]
fn a_dependency_has_the_same_features_for_the_program_and_for_the_tests() {
    let whole = dependencies(&["--workspace", "--edges", "normal,dev,no-proc-macro"]);
    assert!(whole.iter().any(|line| line.starts_with("tokio ") && line.contains("test-util")), "{whole:?}");
    for package in ["dovetail", "dovetail-tests", "dovetail-benches"] {
        let alone = dependencies(&["--package", package, "--edges", "normal,no-proc-macro"]);
        let twice: Vec<_> = alone.difference(&whole).collect();
        assert!(twice.is_empty(), "compiled for {package} and again for the workspace: {twice:?}");
    }
}
