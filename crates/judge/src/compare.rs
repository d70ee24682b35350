//! Two states, two outcomes: where they differ, in words.

use alloy_primitives::{Address, U256};
use evm::{AccountState, Outcome, State, StateKey};
use std::collections::BTreeSet;
use std::fmt;

/// One value that is not what one plain EVM has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which value.
    pub key: StateKey,
    /// What the shards have.
    pub shards: String,
    /// What one EVM has.
    pub plain: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: shards have {}, one EVM has {}", self.key, self.shards, self.plain)
    }
}

/// Every account and slot in which two settled states differ, in order; codes that accounts name and the shards lack, where
/// one EVM has them.
pub fn differences(shards: &State, plain: &State) -> Vec<Difference> {
    let addresses: BTreeSet<Address> = shards.accounts.keys().chain(plain.accounts.keys()).copied().collect();
    let accounts = addresses.into_iter().filter_map(|address| {
        let (ours, theirs) = (shards.accounts.get(&address), plain.accounts.get(&address));
        let lacks = |hash| !shards.codes.contains_key(hash) && plain.codes.contains_key(hash);
        let lacks_code = ours.is_some_and(|ours| ours.has_code() && lacks(&ours.code_hash));
        let without = if lacks_code { " without the code" } else { "" };
        (ours != theirs || lacks_code).then(|| Difference {
            key: StateKey::Account(address),
            shards: format!("{}{without}", account(ours)),
            plain: account(theirs),
        })
    });
    let slots: BTreeSet<(Address, U256)> = shards.slots.keys().chain(plain.slots.keys()).copied().collect();
    let slots = slots.into_iter().filter_map(|key| {
        let (ours, theirs) = (shards.slots.get(&key), plain.slots.get(&key));
        let value = |value: Option<&U256>| format!("{:#x}", value.copied().unwrap_or_default());
        let (address, slot) = key;
        (ours != theirs).then(|| Difference {
            key: StateKey::Slot(address, slot),
            shards: value(ours),
            plain: value(theirs),
        })
    });
    accounts.chain(slots).collect()
}

fn account(account: Option<&AccountState>) -> String {
    match account {
        None => "none".to_owned(),
        Some(AccountState { nonce, balance, code_hash }) if *code_hash == AccountState::EMPTY.code_hash => {
            format!("nonce {nonce}, {balance} wei")
        }
        Some(AccountState { nonce, balance, code_hash }) => format!("nonce {nonce}, {balance} wei, code {code_hash}"),
    }
}

/// The first thing in which two outcomes differ.
pub fn outcomes(shards: &Outcome, plain: &Outcome) -> String {
    let pair = |what: &str, ours: &dyn fmt::Debug, theirs: &dyn fmt::Debug| {
        format!("{what} is {ours:?} on the shards and {theirs:?} on one EVM")
    };
    if shards.status != plain.status {
        pair("the status", &shards.status, &plain.status)
    } else if shards.gas_used != plain.gas_used {
        pair("the gas used", &shards.gas_used, &plain.gas_used)
    } else if shards.output != plain.output {
        pair("the output", &shards.output, &plain.output)
    } else if shards.logs.len() != plain.logs.len() {
        pair("the number of logs", &shards.logs.len(), &plain.logs.len())
    } else if let Some((ours, theirs)) = shards.logs.iter().zip(&plain.logs).find(|(ours, theirs)| ours != theirs) {
        pair("a log", ours, theirs)
    } else {
        pair("the outcome", shards, plain)
    }
}

/// Differences one after the other.
pub(crate) fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
