//! Forks as the files name them.

use evm::Spec;

/// What the corpora name and revm has no rules for: mainnet never ran Constantinople without the mend of it (EIP-1283 was
/// withdrawn before it started).
const UNSUPPORTED: [&str; 1] = ["Constantinople"];

/// Every fork that a state test may name and that revm has rules for, in order. Not among them: transitions between forks, and
/// forks that are still being written.
const FORKS: [(&str, &str); 17] = [
    ("Frontier", "frontier"),
    ("Homestead", "homestead"),
    ("EIP150", "tangerine"),
    ("TangerineWhistle", "tangerine"),
    ("EIP158", "spurious_dragon"),
    ("SpuriousDragon", "spurious_dragon"),
    ("Byzantium", "byzantium"),
    ("ConstantinopleFix", "petersburg"),
    ("Istanbul", "istanbul"),
    ("Berlin", "berlin"),
    ("London", "london"),
    ("Paris", "merge"),
    ("Merge", "merge"),
    ("Shanghai", "shanghai"),
    ("Cancun", "cancun"),
    ("Prague", "prague"),
    ("Osaka", "osaka"),
];

/// The rules that a fork's name in a file stands for.
pub fn spec(name: &str) -> Option<Spec> {
    FORKS.iter().find(|(known, _)| *known == name)?.1.parse().ok()
}

/// Whether it is a fork, but one that no revm can run.
pub fn is_unsupported(name: &str) -> bool {
    UNSUPPORTED.contains(&name)
}

/// Where a fork's name stands among the others, for tables; unknown ones come last.
pub fn place(name: &str) -> usize {
    FORKS.iter().position(|(known, _)| *known == name).unwrap_or(FORKS.len())
}

/// All names, for a message.
pub fn names() -> String {
    FORKS.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fork_has_rules_and_they_come_in_order() {
        let specs: Vec<Spec> = FORKS.iter().map(|(name, _)| spec(name).unwrap()).collect();
        assert!(specs.is_sorted());
        assert_eq!(spec("Constantinople"), None);
        assert_eq!(spec("Amsterdam"), None);
        assert_eq!(spec("CancunToPragueAtTime15k"), None);
        assert!(place("Frontier") < place("Osaka") && place("Osaka") < place("Amsterdam"));
    }
}
