//! The contract that tells the hashes of the last 8,191 blocks (EIP-2935): its storage is computed, and nobody has it.
//!
//! ```text
//! Ethereum:  block n begins ── writes hash of n - 1 into slot (n - 1) % 8191        a later read ── from state
//! here:                                                                             a read in block n ── hash of the newest b < n
//!                                                                                                       with b % 8191 = slot
//! ```
//!
//! A block's hash is a function of network and number ([`NetworkParams::block_hash`]), and so is what those writes would have left. So no
//! block writes, no key is locked and no shard is asked: what is read is the number of the block that reads, as with BLOCKHASH.
//!
//! Promise: whatever runs finds there what one EVM would that begins each block with the write, for the same gas. It holds for the published code
//! at its address alone: another code there has a storage as any other account's.
//! Source: EIP-2935; `docs/decisions/0040-the-ring-of-block-hashes-is-computed.md`.

use crate::{AccountState, NetworkParams};
use alloy_primitives::{Address, B256, U256, b256};
use revm::primitives::hardfork::SpecId;

pub use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS as HISTORY_ADDRESS;

/// keccak256 of the published code.
pub const HISTORY_CODE_HASH: B256 = b256!("6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d");

/// How many blocks it tells of.
pub const HISTORY_COUNT: u64 = alloy_eips::eip2935::HISTORY_SERVE_WINDOW as u64;

impl NetworkParams {
    /// Whether the storage of `account`, which is at `address`, is computed.
    ///
    /// It is on networks of slots whose fork has EIP-2935: replayed blocks bring the write with them.
    pub fn computes_storage(&self, address: Address, account: Option<&AccountState>) -> bool {
        address == HISTORY_ADDRESS
            && self.environments.has_slots()
            && self.spec.includes(SpecId::PRAGUE)
            && account.is_some_and(|account| account.code_hash == HISTORY_CODE_HASH)
    }

    /// What is computed: `slot` as the block `number` finds it. Zero where no block is before it whose hash would be there.
    pub fn history(&self, number: u64, slot: U256) -> U256 {
        let slot = u64::try_from(slot).ok().filter(|slot| *slot < HISTORY_COUNT);
        let (Some(slot), Some(parent)) = (slot, number.checked_sub(1)) else { return U256::ZERO };
        let back = (parent % HISTORY_COUNT + HISTORY_COUNT - slot) % HISTORY_COUNT;
        parent.checked_sub(back).map_or(U256::ZERO, |block| self.block_hash(block).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::tests::params;
    use crate::{Environments, Spec};
    use alloy_eips::eip2935::HISTORY_STORAGE_CODE;
    use alloy_primitives::keccak256;
    use std::collections::BTreeMap;

    #[test]
    fn every_slot_is_what_a_write_at_the_begin_of_each_block_leaves() {
        let params = params();
        let mut written = BTreeMap::new();
        for number in 0..3 * HISTORY_COUNT {
            if let Some(parent) = number.checked_sub(1) {
                written.insert(parent % HISTORY_COUNT, U256::from_be_bytes(params.block_hash(parent).0));
            }
            // All slots of a few blocks, around the begin, the first turn of the ring and the second.
            if number % HISTORY_COUNT < 3 {
                for slot in 0..HISTORY_COUNT {
                    let expected = written.get(&slot).copied().unwrap_or_default();
                    assert_eq!(params.history(number, U256::from(slot)), expected, "slot {slot} in block {number}");
                }
            }
        }
    }

    #[test]
    fn slots_beyond_the_ring_are_empty_and_no_number_is_too_large() {
        let params = params();
        for slot in [U256::from(HISTORY_COUNT), U256::from(u64::MAX), U256::MAX] {
            assert_eq!(params.history(1_000_000, slot), U256::ZERO);
        }
        let last = u64::MAX - 1;
        let expected = U256::from_be_bytes(params.block_hash(last).0);
        assert_eq!(params.history(u64::MAX, U256::from(last % HISTORY_COUNT)), expected);
    }

    #[test]
    fn only_the_published_code_at_its_address_on_a_network_of_slots_that_has_the_rule_is_computed() {
        assert_eq!(keccak256(&*HISTORY_STORAGE_CODE), HISTORY_CODE_HASH);
        let published = AccountState { code_hash: HISTORY_CODE_HASH, ..AccountState::EMPTY };
        assert!(params().computes_storage(HISTORY_ADDRESS, Some(&published)));
        assert!(!params().computes_storage(Address::repeat_byte(1), Some(&published)), "another address");
        assert!(!params().computes_storage(HISTORY_ADDRESS, Some(&AccountState::EMPTY)), "another code");
        assert!(!params().computes_storage(HISTORY_ADDRESS, None), "nobody there");
        let replay = NetworkParams { environments: Environments::Replay, ..params() };
        assert!(!replay.computes_storage(HISTORY_ADDRESS, Some(&published)), "replayed blocks write");
        let cancun = NetworkParams { spec: Spec::from(SpecId::CANCUN), ..params() };
        assert!(!cancun.computes_storage(HISTORY_ADDRESS, Some(&published)), "before EIP-2935");
    }
}
