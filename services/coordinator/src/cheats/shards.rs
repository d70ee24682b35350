//! What commands ask of shards: parts of an account of its owner, a slot to go back to of all.

use crate::api::Node;
use crate::shards::named;
use alloy_primitives::{Address, U256};
use futures_util::future::try_join_all;
use primitives::{ShardId, Slot};
use std::time::Duration;
use tokio::time::Instant;
use wire::jsonrpc::{Chain, Moment};
use wire::shard::{AccountParts, Cheat};
use wire::state::StateValue;
use wire::{Reason, Rejection};

/// How long a shard may be busy before a command is given up.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

impl Node {
    /// Sets parts of an account at its owner.
    pub(super) async fn set_account(&self, address: Address, parts: AccountParts) -> Result<(), Rejection> {
        let balance = match parts.balance {
            Some(wanted) => Some(self.without_fees(address, wanted).await?),
            None => None,
        };
        let owner = self.network.placement.shard_of(address);
        self.cheat_at(owner, Cheat::Set { address, parts: AccountParts { balance, ..parts } }).await?;
        Ok(self.handle.tell(host::Class::UnderWay, coordinator::Input::Forget).await?)
    }

    /// What an account itself has to have so that it shows `wanted`: the beneficiary's uncollected fees are shown with it.
    async fn without_fees(&self, address: Address, wanted: U256) -> Result<U256, Rejection> {
        if address != self.network.params.beneficiary {
            return Ok(wanted);
        }
        let shown = self.account(address, Moment::Newest).await?.balance;
        let key = evm::StateKey::Account(address);
        let own = self.reads.values(&[key].into(), Moment::Newest).await?.into_values().find_map(|value| match value {
            StateValue::Account(account) => account.map(|account| account.balance),
            StateValue::Slot(_) | StateValue::Fees(_) => None,
        });
        let fees = shown.saturating_sub(own.unwrap_or_default());
        let text = || format!("the beneficiary has {fees} wei of fees on the shards, which is more than {wanted}");
        wanted.checked_sub(fees).ok_or_else(|| Rejection::new(Reason::InvalidArgument, text()))
    }

    /// Fails unless all shards can go back to `to`.
    pub(super) async fn check_back(&self, to: Slot) -> Result<(), Rejection> {
        try_join_all(self.shards.ids().map(|shard| self.cheat_at(shard, Cheat::Look { to }))).await.map(drop)
    }

    /// Has all shards go back to `to`; those that are there already stay.
    pub(super) async fn revert_shards(&self, to: Slot) -> Result<(), Rejection> {
        try_join_all(self.shards.ids().map(|shard| self.cheat_at(shard, Cheat::Revert { to }))).await.map(drop)
    }

    /// Asks until the shard is not busy any more.
    async fn cheat_at(&self, shard: ShardId, cheat: Cheat) -> Result<(), Rejection> {
        let begun = Instant::now();
        loop {
            match self.shards.sound(shard)?.shard.cheat(&cheat).await {
                Ok(_) => return Ok(()),
                Err(rejection) if rejection.is_retryable() && begun.elapsed() < BUSY_WAIT => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(rejection) => return Err(named(shard, rejection)),
            }
        }
    }
}
