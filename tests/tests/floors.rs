//! The floors of the house (docs/architecture.md): a crate uses floors below its own and nothing beside it.
//!
//! Reads the manifests and fails on a wrong arrow, on a pure crate that could touch the world, and on a crate whose
//! sentence is not the same in its manifest and at the top of its root. The same check runs on made-up houses with one
//! fault each, so it is known to fail.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// Every member and its floor. A new crate is given one here.
const FLOORS: &[(&str, u8)] = &[
    ("crates/primitives", 0),
    ("crates/proof", 1),
    ("crates/commit", 1),
    ("crates/evm", 1),
    ("crates/shard", 2),
    ("crates/coordinator", 2),
    ("crates/relay", 2),
    ("crates/chains", 3),
    ("crates/store", 3),
    ("crates/wire", 3),
    ("crates/world", 3),
    ("crates/host", 4),
    ("services/executor", 5),
    ("services/coordinator", 5),
    ("services/relay", 5),
    ("services/bridge", 5),
    ("crates/fixtures", 5),
    // What starts, judges and tries a whole network stands on the services; the command line on that; tests, benches and
    // fuzzing on everything.
    ("crates/judge", 6),
    ("crates/cluster", 6),
    ("crates/conformance", 7),
    ("services/dovetail", 8),
    ("tests", 9),
    ("benches", 9),
    ("fuzz", 9),
];

/// The highest floor whose crates decide and touch nothing.
const FLOOR_PURE_MAX: u8 = 2;

/// What a pure crate must not depend on: runtimes, networks, disks, clocks, randomness.
const IMPURE: &[&str] = &[
    "axum",
    "chrono",
    "getrandom",
    "hyper",
    "jsonrpsee",
    "mio",
    "prost",
    "rand",
    "reqwest",
    "rocksdb",
    "rustix",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-stream",
    "tokio-util",
    "tonic",
    "tower",
    "tracing-subscriber",
];

/// The one crate that links RocksDB, the longest compile of all.
const LINKS_ROCKSDB: &str = "crates/store";

/// The feature that breaks a rule, for tests of checkers. Only a feature of its own name passes it on.
const TWINS: &str = "twins";

/// One member as the check sees it.
struct Member {
    manifest: Table,
    /// The first line of its `lib.rs` or `main.rs`.
    first_line: String,
}

/// The workspace: its manifest, and its members by folder.
struct House {
    workspace: Table,
    members: BTreeMap<String, Member>,
}

impl House {
    /// The real house, from the disk.
    fn standing() -> Self {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut members = BTreeMap::new();
        for folder in ["crates", "services"] {
            for entry in fs::read_dir(top.join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                members.insert(format!("{folder}/{name}"), member(&top.join(folder).join(name)));
            }
        }
        for name in ["tests", "benches", "fuzz"] {
            members.insert(name.to_owned(), member(&top.join(name)));
        }
        Self { workspace: table(&top.join("Cargo.toml")), members }
    }

    /// Everything that is wrong with it, a sentence each.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = FLOORS
            .iter()
            .filter(|(folder, _)| !self.members.contains_key(*folder))
            .map(|(folder, _)| format!("{folder} has a floor but is not there"))
            .collect();
        for (folder, member) in &self.members {
            match floor(folder) {
                None => faults.push(format!("{folder} has no floor: give it one in FLOORS")),
                Some(own) => faults.extend(self.wrong_arrows(folder, own, member)),
            }
            faults.extend(wrong_sentence(folder, member));
            faults.extend(twins_turned_on(folder, &member.manifest));
        }
        faults.extend(self.twins_in_the_workspace());
        faults
    }

    fn twins_in_the_workspace(&self) -> Option<String> {
        let entries = self.workspace.get("workspace")?.get("dependencies")?.as_table()?;
        let (name, _) = entries.iter().find(|(_, spec)| names_twins(spec.get("features")))?;
        Some(format!("the workspace turns on the twins of {name} for everybody"))
    }

    fn wrong_arrows(&self, folder: &str, own: u8, member: &Member) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, spec) in dependencies(&member.manifest) {
            if spec.get("path").is_some() || spec.get("package").is_some() {
                faults.push(format!("{folder} names {name} by path or package: use the workspace's entry"));
            }
            if own <= FLOOR_PURE_MAX && IMPURE.contains(&name.as_str()) {
                faults.push(format!("{folder} is pure and must not depend on {name}"));
            }
            if name == "rocksdb" && folder != LINKS_ROCKSDB {
                faults.push(format!("{folder} links rocksdb, which only {LINKS_ROCKSDB} may"));
            }
            if let Some(below) = self.folder_of(&name)
                && floor(&below).is_none_or(|floor| floor >= own)
            {
                faults.push(format!("{folder} (floor {own}) must not depend on {below} (floor {:?})", floor(&below)));
            }
        }
        faults
    }

    /// The folder of the member that a dependency's name stands for, if it is one of ours.
    fn folder_of(&self, name: &str) -> Option<String> {
        let entry = self.workspace.get("workspace")?.get("dependencies")?.get(name)?;
        Some(entry.get("path")?.as_str()?.to_owned())
    }
}

fn floor(folder: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == folder).map(|(_, floor)| *floor)
}

/// All dependencies of a manifest: ordinary, of the build, of tests, of one target.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let tables = |table: &Table| -> Vec<(String, Value)> {
        ["dependencies", "build-dependencies", "dev-dependencies"]
            .iter()
            .filter_map(|kind| table.get(*kind)?.as_table().cloned())
            .flatten()
            .collect()
    };
    let targets = manifest.get("target").and_then(Value::as_table).cloned().unwrap_or_default();
    let of_targets = targets.values().filter_map(Value::as_table).flat_map(tables);
    tables(manifest).into_iter().chain(of_targets).collect()
}

/// A manifest by which something that serves could run with a broken rule.
fn twins_turned_on(folder: &str, manifest: &Table) -> Vec<String> {
    let asked = dependencies(manifest).into_iter().filter(|(_, spec)| names_twins(spec.get("features")));
    let mut faults: Vec<String> = asked
        .map(|(name, _)| format!("{folder} turns on the twins of {name}: leave that to the command line"))
        .collect();
    for (feature, list) in manifest.get("features").and_then(Value::as_table).into_iter().flatten() {
        if feature != TWINS && names_twins(Some(list)) {
            faults.push(format!("{folder} turns on twins with its feature {feature}"));
        }
        if feature == TWINS && folder.starts_with("services/") {
            faults.push(format!("{folder} serves and must not know twins"));
        }
    }
    faults
}

fn names_twins(features: Option<&Value>) -> bool {
    let names = features.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    names.map(|name| name.rsplit('/').next().unwrap_or(name)).any(|name| name == TWINS)
}

fn wrong_sentence(folder: &str, member: &Member) -> Option<String> {
    let sentence = member.manifest.get("package")?.get("description").and_then(Value::as_str).unwrap_or("");
    // A command's root introduces the command; a library's says what the manifest says.
    if folder == "services/dovetail" || member.first_line == format!("//! {sentence}") {
        return None;
    }
    Some(format!("{folder} says {sentence:?} in its manifest and {:?} in its root", member.first_line))
}

fn table(path: &Path) -> Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn member(folder: &Path) -> Member {
    let roots = ["src/lib.rs", "src/main.rs"].map(|root| folder.join(root));
    let root = roots.iter().find(|root| root.exists()).unwrap();
    let text = fs::read_to_string(root).unwrap();
    Member {
        manifest: table(&folder.join("Cargo.toml")),
        first_line: text.lines().next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn every_arrow_points_down() {
    assert_eq!(House::standing().faults(), Vec::<String>::new());
}

/// A made-up house without fault, every member on its floor and using nothing; then `change` is made to one manifest.
fn house_with(folder: &str, change: &str) -> House {
    let mut workspace = String::from("[workspace.dependencies]\ntokio = \"1\"\nrocksdb = \"1\"\n");
    let mut members = BTreeMap::new();
    for (name, _) in FLOORS {
        let key = name.replace('/', "-");
        writeln!(workspace, "{key} = {{ path = \"{name}\" }}").unwrap();
        let change = if *name == folder { change } else { "" };
        let manifest = format!("[package]\nname = \"{key}\"\ndescription = \"It is {key}.\"\n{change}");
        let member = Member { manifest: manifest.parse().unwrap(), first_line: format!("//! It is {key}.") };
        members.insert((*name).to_owned(), member);
    }
    House { workspace: workspace.parse().unwrap(), members }
}

/// The only fault of a house with this change, or nothing.
fn only_fault(folder: &str, change: &str) -> Option<String> {
    let faults = house_with(folder, change).faults();
    assert!(faults.len() < 2, "{faults:?}");
    faults.into_iter().next()
}

#[test]
fn a_house_without_fault_passes() {
    assert_eq!(only_fault("tests", ""), None);
    assert_eq!(only_fault("crates/shard", "[dependencies]\ncrates-evm.workspace = true\n"), None);
    assert_eq!(only_fault("crates/store", "[dependencies]\nrocksdb.workspace = true\n"), None);
}

#[test]
fn an_arrow_up_is_refused() {
    let fault = only_fault("crates/commit", "[dependencies]\ncrates-shard.workspace = true\n");
    assert_eq!(fault.unwrap(), "crates/commit (floor 1) must not depend on crates/shard (floor Some(2))");
}

#[test]
fn an_arrow_to_the_side_is_refused() {
    let fault = only_fault("crates/commit", "[dependencies]\ncrates-evm.workspace = true\n");
    assert_eq!(fault.unwrap(), "crates/commit (floor 1) must not depend on crates/evm (floor Some(1))");
}

#[test]
fn an_arrow_of_a_test_a_build_or_a_target_counts() {
    for kind in ["dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
        assert!(only_fault("crates/commit", &format!("[{kind}]\ncrates-host.workspace = true\n")).is_some());
    }
}

#[test]
fn a_pure_crate_with_a_runtime_is_refused() {
    let fault = only_fault("crates/relay", "[dependencies]\ntokio.workspace = true\n");
    assert_eq!(fault.unwrap(), "crates/relay is pure and must not depend on tokio");
}

#[test]
fn a_second_crate_that_links_rocksdb_is_refused() {
    assert!(
        only_fault("crates/host", "[dependencies]\nrocksdb.workspace = true\n").unwrap().contains("only crates/store")
    );
}

#[test]
fn a_way_around_the_workspaces_entry_is_refused() {
    assert!(only_fault("crates/commit", "[dependencies]\nx = { path = \"../shard\" }\n").unwrap().contains("by path"));
}

#[test]
fn a_manifest_that_turns_a_broken_rule_on_is_refused() {
    let with = |folder, change| only_fault(folder, change).unwrap();
    let feature = "[dependencies]\ncrates-commit = { workspace = true, features = [\"twins\"] }\n";
    assert_eq!(
        with("crates/shard", feature),
        "crates/shard turns on the twins of crates-commit: leave that to the command line"
    );
    assert!(with("crates/shard", "[features]\ndefault = [\"twins\"]\n").ends_with("with its feature default"));
    assert!(with("crates/shard", "[features]\nfull = [\"crates-commit/twins\"]\n").ends_with("its feature full"));
    assert!(with("services/executor", "[features]\ntwins = [\"crates-shard/twins\"]\n").contains("serves"));
    assert_eq!(only_fault("crates/shard", "[features]\ntwins = [\"crates-commit/twins\"]\n"), None);
}

#[test]
fn a_crate_without_a_floor_and_a_floor_without_a_crate_are_refused() {
    let mut house = house_with("tests", "");
    let member = house.members.remove("benches").unwrap();
    house.members.insert("crates/helper".to_owned(), member);
    assert_eq!(
        house.faults(),
        ["benches has a floor but is not there", "crates/helper has no floor: give it one in FLOORS",]
    );
}

#[test]
fn a_root_that_says_another_sentence_is_refused() {
    let mut house = house_with("tests", "");
    house.members.get_mut("crates/evm").unwrap().first_line = "//! Something else.".to_owned();
    assert_eq!(house.faults().len(), 1);
}
