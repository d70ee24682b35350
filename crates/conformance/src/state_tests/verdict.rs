//! Whether a subtest came out as its file has it and as one EVM has it, and what differs if not.
//!
//! ```text
//!   file: hash, logs, exception ──compared with── plain revm ──compared with── network: outcome, refusal, union of states
//! ```
//!
//! A subtest that plain revm gets wrong for a known reason is skipped by that reason, and even then the network has to do
//! what plain revm does.

use crate::state_tests::case::{Case, Held};
use crate::state_tests::network::{NetworkError, NetworkRun};
use crate::state_tests::plain::PlainRun;
use crate::state_tests::refusal::Kind;
use crate::state_tests::root::{logs_hash, state_root};
use alloy_primitives::{Address, B256, U256};
use evm::{AccountState, Outcome, State};
use judge::{Difference, differences, outcome_difference};
use std::collections::BTreeMap;
use std::fmt;

/// How many differing values a mismatch names.
const DIFFERENCES_COUNT_MAX: usize = 6;

/// Who is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// One plain revm.
    Plain,
    /// The network of shards.
    Network,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain revm",
            Self::Network => "the network",
        })
    }
}

/// Why a subtest is not run, or does not count. Nothing is left out for any other reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// revm has no rules for the fork.
    Unsupported {
        /// As the file names it.
        fork: String,
    },
    /// Plain revm itself comes to another state than the file says: an account of the pre-state has storage and neither code
    /// nor nonce, which revm cannot see and creates over.
    StorageWithoutCode,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { fork } => write!(f, "revm has no rules for fork {fork}"),
            Self::StorageWithoutCode => f.write_str(
                "plain revm fails it too: storage without code or nonce, which revm cannot see and creates over (EIP-7610)",
            ),
        }
    }
}

/// One thing that is not as it should be, with both sides.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The transaction was included although it must not be.
    #[error("{side} includes the transaction; the file expects {expected}")]
    Included {
        /// Who did.
        side: Side,
        /// The exception's name.
        expected: String,
    },
    /// The transaction was refused although it is fine.
    #[error("{side} refuses the transaction ({kind}); the file expects it to be included")]
    Refused {
        /// Who did.
        side: Side,
        /// Why.
        kind: Kind,
    },
    /// Refused for another reason than the file says.
    #[error("plain revm refuses the transaction because: {kind}; the file expects {expected}")]
    Exception {
        /// What revm says.
        kind: Kind,
        /// The exception's name.
        expected: String,
    },
    /// Both refuse, for different reasons.
    #[error("the network refuses the transaction because: {network}; plain revm because: {plain}")]
    Reason {
        /// The network's.
        network: Kind,
        /// One EVM's.
        plain: Kind,
    },
    /// Another state root than the file says.
    #[error("{side} has state root {actual}; the file expects {expected}{}", list(differences))]
    Root {
        /// Who has.
        side: Side,
        /// Theirs.
        actual: B256,
        /// The file's.
        expected: B256,
        /// Values that differ from the file's state, if it has one.
        differences: Vec<String>,
    },
    /// Other logs than the file says.
    #[error("{side} has logs hash {actual}; the file expects {expected}")]
    Logs {
        /// Who has.
        side: Side,
        /// Theirs.
        actual: B256,
        /// The file's.
        expected: B256,
    },
    /// The network's outcome is not one EVM's: gas, output, status, logs or created contract.
    #[error("{}", outcome_difference(network, plain))]
    Outcome {
        /// The network's.
        network: Box<Outcome>,
        /// One EVM's.
        plain: Box<Outcome>,
    },
    /// The network's union of states is not one EVM's state.
    #[error("{count} values differ from plain revm's{}", list(first))]
    State {
        /// How many.
        count: usize,
        /// The first of them.
        first: Vec<String>,
    },
    /// Nobody knows the fork.
    #[error("unknown fork {fork:?}; known are {}", crate::state_tests::fork::names())]
    UnknownFork {
        /// As the file names it.
        fork: String,
    },
    /// The signed bytes are another transaction than the section.
    #[error("the file's txbytes have another {field} than its transaction section")]
    Section {
        /// The first field that differs.
        field: &'static str,
    },
    /// The file has no signed bytes and no transaction that could be signed.
    #[error("the file has no txbytes, and its transaction section cannot be signed: {0}")]
    Unsigned(#[from] crate::state_tests::section::SectionError),
    /// The network broke down.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A check inside failed.
    #[error("a check failed: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
}

fn list(differences: &[String]) -> String {
    differences.iter().flat_map(|difference| ["\n      ", difference]).collect()
}

/// Compares plain revm with the file.
pub fn plain(case: &Case<'_>, run: &PlainRun, root: B256) -> Vec<Mismatch> {
    let post = case.post;
    let mut mismatches = Vec::new();
    match (&run.end, &post.expect_exception) {
        (Ok(_), Some(expected)) => {
            mismatches.push(Mismatch::Included { side: Side::Plain, expected: expected.clone() });
        }
        (Err(kind), None) => mismatches.push(Mismatch::Refused { side: Side::Plain, kind: kind.clone() }),
        (Err(kind), Some(expected)) if !expected.split('|').any(|name| is_exception(kind, name)) => {
            mismatches.push(Mismatch::Exception { kind: kind.clone(), expected: expected.clone() });
        }
        (Err(_), Some(_)) | (Ok(_), None) => {}
    }
    mismatches.extend(against_file(case, Side::Plain, (root, &run.state), run.end.as_ref().ok()));
    mismatches
}

fn against_file(
    case: &Case<'_>,
    side: Side,
    (root, state): (B256, &State),
    outcome: Option<&Outcome>,
) -> Vec<Mismatch> {
    let post = case.post;
    let mut mismatches = Vec::new();
    if root != post.hash {
        let differences = from_file(case, state);
        mismatches.push(Mismatch::Root { side, actual: root, expected: post.hash, differences });
    }
    // A transaction that is not included writes no logs.
    let actual = logs_hash(outcome.map_or(&[][..], |outcome| &outcome.logs));
    if actual != post.logs {
        mismatches.push(Mismatch::Logs { side, actual, expected: post.logs });
    }
    mismatches
}

/// Compares the network with the file and with plain revm.
pub fn network(case: &Case<'_>, run: &NetworkRun, plain: &PlainRun, plain_root: B256) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let different = differences(&run.state, &plain.state);
    // One state has one root, so it is computed once where the states are the same.
    let root = if different.is_empty() { plain_root } else { state_root(&run.state) };
    match (&run.end, &plain.end) {
        (Ok(ours), Ok(theirs)) if ours != theirs => {
            let (network, plain) = (Box::new(ours.clone()), Box::new(theirs.clone()));
            mismatches.push(Mismatch::Outcome { network, plain });
        }
        (Err(ours), Err(theirs)) if ours != theirs => {
            mismatches.push(Mismatch::Reason { network: ours.clone(), plain: theirs.clone() });
        }
        (Ok(_), Err(theirs)) => {
            mismatches
                .push(Mismatch::Included { side: Side::Network, expected: format!("{theirs}, as plain revm does") });
        }
        (Err(ours), Ok(_)) => mismatches.push(Mismatch::Refused { side: Side::Network, kind: ours.clone() }),
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
    }
    if !different.is_empty() {
        let first = different.iter().take(DIFFERENCES_COUNT_MAX).map(Difference::to_string).collect();
        mismatches.push(Mismatch::State { count: different.len(), first });
    }
    if plain_root == case.post.hash {
        mismatches.extend(against_file(case, Side::Network, (root, &run.state), run.end.as_ref().ok()));
    }
    mismatches
}

/// Values in which a state differs from the file's, if the file has the whole state.
fn from_file(case: &Case<'_>, state: &State) -> Vec<String> {
    let Some(expected) = case.after() else { return Vec::new() };
    let mut different = Vec::new();
    let addresses = expected.keys().chain(state.accounts.keys());
    for address in addresses.collect::<std::collections::BTreeSet<_>>() {
        different.extend(account_difference(*address, state, expected.get(address)));
    }
    different.truncate(DIFFERENCES_COUNT_MAX);
    different
}

fn account_difference(address: Address, state: &State, expected: Option<&Held<'_>>) -> Vec<String> {
    let mut different = Vec::new();
    let actual = state.accounts.get(&address);
    if actual != expected.map(|(account, _)| account) {
        let said = |account: Option<&AccountState>| match account {
            Some(AccountState { nonce, balance, code_hash }) => {
                format!("nonce {nonce}, {balance} wei, code {code_hash}")
            }
            None => "none".to_owned(),
        };
        let expected = said(expected.map(|(account, _)| account));
        different.push(format!("account {address}: {}, the file has {expected}", said(actual)));
    }
    let slots = state.slots.range((address, U256::ZERO)..=(address, U256::MAX));
    let actual: BTreeMap<U256, U256> = slots.map(|((_, slot), value)| (*slot, *value)).collect();
    let empty = BTreeMap::new();
    let expected = expected.map_or(&empty, |(_, storage)| *storage);
    let value = |storage: &BTreeMap<U256, U256>, slot: &U256| storage.get(slot).copied().unwrap_or_default();
    let slots: std::collections::BTreeSet<U256> = actual.keys().chain(expected.keys()).copied().collect();
    for slot in slots {
        let (ours, theirs) = (value(&actual, &slot), value(expected, &slot));
        if ours != theirs {
            different.push(format!("slot {address} {slot:#x}: {ours:#x}, the file has {theirs:#x}"));
        }
    }
    different
}

/// Whether a refusal is the exception that a file calls `name`.
fn is_exception(kind: &Kind, name: &str) -> bool {
    match name.trim().strip_prefix("TransactionException.").unwrap_or(name.trim()) {
        "INTRINSIC_GAS_TOO_LOW" | "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST" => *kind == Kind::IntrinsicGas,
        "INSUFFICIENT_ACCOUNT_FUNDS" => *kind == Kind::Funds,
        "SENDER_NOT_EOA" => *kind == Kind::SenderHasCode,
        "INSUFFICIENT_MAX_FEE_PER_GAS" => *kind == Kind::PriceBelowBaseFee,
        "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS" => *kind == Kind::PriorityAbovePrice,
        "GAS_ALLOWANCE_EXCEEDED" | "GAS_LIMIT_EXCEEDS_MAXIMUM" => *kind == Kind::GasLimit,
        "NONCE_MISMATCH_TOO_LOW" => *kind == Kind::NonceTooLow,
        "NONCE_MISMATCH_TOO_HIGH" => *kind == Kind::NonceTooHigh,
        "RLP_INVALID_VALUE" | "TYPE_3_TX_CONTRACT_CREATION" | "TYPE_4_TX_CONTRACT_CREATION" => {
            *kind == Kind::Undecodable
        }
        "GASLIMIT_PRICE_PRODUCT_OVERFLOW" => matches!(kind, Kind::Funds | Kind::Rule(_) | Kind::Undecodable),
        "INITCODE_SIZE_EXCEEDED" | "NONCE_IS_MAX" => matches!(kind, Kind::Rule(_)),
        other if other.starts_with("TYPE_") || other == "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS" => {
            matches!(kind, Kind::Rule(_))
        }
        _ => false,
    }
}
