//! The state that a development network starts from.

use crate::contracts::Artifact;
use crate::wallet;
use evm::mailbox_address;
use eyre::Result;
use host::network::{Genesis, GenesisAccount};
use primitives::ShardId;

/// A mailbox on each of `shards` shards, and the funded development accounts of `network`.
pub fn development(network: u64, shards: u32) -> Result<Genesis> {
    let mut genesis = Genesis::default();
    genesis.accounts.extend(wallet::genesis_accounts(network)?);
    // EIP-161: a contract starts at nonce 1.
    let mailbox = GenesisAccount { nonce: 1, code: Artifact::MAILBOX.deployed_code()?, ..GenesisAccount::default() };
    let mailboxes = (0..shards).map(|shard| (mailbox_address(ShardId(shard)), mailbox.clone()));
    genesis.accounts.extend(mailboxes);
    Ok(genesis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_has_a_mailbox_with_code() {
        let genesis = development(31_337, 3).unwrap();
        for shard in 0..3 {
            let mailbox = &genesis.accounts[&mailbox_address(ShardId(shard))];
            assert!(!mailbox.code.is_empty() && mailbox.nonce == 1);
        }
        assert_eq!(genesis.accounts.len(), 3 + wallet::ACCOUNTS_COUNT as usize);
    }
}
