//! The names of the values a network holds: the unit of reading, writing, owning and locking.

use alloy_primitives::{Address, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Millis, ShardId};
use std::fmt;

/// A fragment of a beneficiary's balance: the fees of senders whose home is `shard`.
///
/// A fee is added without being read, so that the beneficiary is not every transaction's participant. An account's
/// balance is what its account says plus all its fragments, on every shard of the placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct FeesKey {
    /// The shard that holds the fragment: the home of the senders who paid.
    pub shard: ShardId,
    /// Whose balance it is part of.
    pub beneficiary: Address,
}

/// How far ahead of block time the deadline of an attempt may lie that reads a fragment of fees. While it is undecided nobody
/// can pay a fee on its shards, which is all of them, and it has paid nothing for that.
pub const FEES_READ_DEADLINE_AHEAD_MAX: Millis = Millis(3_000);

impl StateKey {
    /// Whether holding this key in this mode keeps everybody from paying fees.
    pub fn holds_up_fees(&self, mode: LockMode) -> bool {
        matches!(self, Self::Fees(_)) && mode != LockMode::Credit
    }
}

/// One value of the network's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum StateKey {
    /// An account's nonce, balance and code hash. Held exclusively it covers the account's whole storage too, since every
    /// access to a slot reads its account.
    Account(Address),
    /// A storage slot.
    Slot(Address, U256),
    /// A fragment of fees.
    Fees(FeesKey),
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(address) => write!(f, "account {address}"),
            Self::Slot(address, slot) => write!(f, "slot {slot:#x} of {address}"),
            Self::Fees(key) => write!(f, "fees of {} on shard {}", key.beneficiary, key.shard),
        }
    }
}

/// How a key is held from a yes vote to the decision (R6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum LockMode {
    /// Read: compatible with other reads.
    Shared,
    /// Added to without being read: compatible with other credits.
    Credit,
    /// Written: compatible with nothing.
    Exclusive,
}

impl LockMode {
    /// Whether two attempts may hold one key in these modes.
    pub fn is_compatible(self, other: Self) -> bool {
        self == other && self != Self::Exclusive
    }
}

#[cfg(test)]
mod tests {
    use super::LockMode::{Credit, Exclusive, Shared};

    #[test]
    fn only_two_reads_or_two_credits_share_a_key() {
        let modes = [Shared, Credit, Exclusive];
        let pairs = modes.iter().flat_map(|a| modes.iter().map(move |b| (*a, *b)));
        let compatible: Vec<_> = pairs.filter(|(a, b)| a.is_compatible(*b)).collect();
        assert_eq!(compatible, [(Shared, Shared), (Credit, Credit)]);
    }
}
