//! The register of invariants says the truth: every test it cites exists, and the pure crates name no clock.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates that decide, and therefore may not look at the world (I18).
const PURE: [&str; 7] = ["primitives", "proof", "commit", "evm", "shard", "coordinator", "relay"];

/// What a clock, a random number, a task or a file is called.
const WORLD: [&str; 7] = ["SystemTime", "Instant::now", "thread_rng", "rand::", "std::fs", "std::net", "tokio::"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text_of(folder: &Path) -> String {
    let mut files = Vec::new();
    sources(folder, &mut files);
    files.iter().map(text).collect()
}

/// Pairs of crate and test that the register cites: "shard `a_test`".
fn cited(register: &str) -> BTreeSet<(String, String)> {
    let mut cited = BTreeSet::new();
    let mut pieces = register.split('`');
    let mut before = pieces.next().unwrap_or_default();
    while let (Some(name), Some(after)) = (pieces.next(), pieces.next()) {
        let krate = before.split_whitespace().last().unwrap_or_default();
        if (PURE.contains(&krate) || ["world", "judge"].contains(&krate)) && name.contains('_') {
            cited.insert((krate.to_owned(), name.to_owned()));
        }
        before = after;
    }
    cited
}

#[test]
fn every_test_that_the_register_cites_exists() {
    let register = text(root().join("docs/invariants.md"));
    let cited = cited(&register);
    assert!(cited.len() > 20, "the register cites tests: {cited:?}");
    for (krate, name) in cited {
        let code = text_of(&root().join("crates").join(&krate));
        assert!(code.contains(&format!("fn {name}(")), "{krate} has no test {name}");
    }
}

#[test]
fn every_invariant_has_its_line() {
    let register = text(root().join("docs/invariants.md"));
    for number in 1..=20 {
        assert!(register.contains(&format!("| I{number} |")), "I{number} is missing");
    }
}

/// The modules of a crate that are only there for its tests: `#[cfg(test)] mod name;`.
fn test_modules(src: &Path) -> Vec<PathBuf> {
    let root = text(src.join("lib.rs"));
    let after = root.split("#[cfg(test)]\n").skip(1);
    let names = after.filter_map(|text| text.strip_prefix("mod ")?.split_once(';').map(|(name, _)| name));
    names.flat_map(|name| [src.join(format!("{name}.rs")), src.join(name)]).collect()
}

/// The lines of a source file that run in production.
fn production(text: &str) -> impl Iterator<Item = &str> {
    let end =
        ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(crate) mod tests {"].iter().filter_map(|mark| text.find(mark));
    let code = &text[..end.min().unwrap_or(text.len())];
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// I18: what runs in production, tests left out.
#[test]
fn no_pure_crate_names_a_clock_or_the_world() {
    for krate in PURE {
        let src = root().join("crates").join(krate).join("src");
        let tests = test_modules(&src);
        let mut files = Vec::new();
        sources(&src, &mut files);
        assert!(!files.is_empty(), "{krate} has sources");
        for path in files.iter().filter(|path| !tests.iter().any(|test| path.starts_with(test))) {
            for line in production(&text(path)) {
                let named = WORLD.iter().find(|word| line.contains(**word));
                assert!(named.is_none(), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn a_clock_in_production_code_is_found_and_one_in_a_test_is_not() {
    let text = "use std::time::Instant;\nlet now = Instant::now();\n#[cfg(test)]\nmod tests {\n    tokio::main()\n}\n";
    let named: Vec<_> = production(text).filter(|line| WORLD.iter().any(|word| line.contains(word))).collect();
    assert_eq!(named, ["let now = Instant::now();"]);
}
