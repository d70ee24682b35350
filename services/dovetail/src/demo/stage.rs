//! The demo's network and its actors.

use super::messages::Correspondents;
use alloy_primitives::Address;
use cluster::client::Client;
use cluster::market::{Market, ROUTER_SHARD};
use cluster::{Cluster, Node, Plan};
use evm::StateKey;
use eyre::{Result, eyre};
use fixtures::wallet::Wallet;
use host::network::Network;
use primitives::ShardId;
use proof::ReceiptVerifier;
use std::path::Path;
use wire::client::{ClientSettings, Connection};
use wire::relay::RelayClient;

/// How many shards the demo has.
const SHARDS_COUNT: u32 = 4;

/// What all steps of the demo share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    pub(crate) market: Market,
    pub(crate) correspondents: Correspondents,
    /// Deploys the market and provides its liquidity.
    pub(crate) provider: Wallet,
    /// Deploys the contracts that exchange messages.
    pub(crate) postmaster: Wallet,
    /// Users.
    pub(crate) alice: Wallet,
    pub(crate) bob: Wallet,
}

impl Stage {
    /// Starts the network under `dir`, its contracts' places pinned before they exist.
    pub(crate) fn start(dir: &Path) -> Result<(String, Self)> {
        let plan = Plan::development(SHARDS_COUNT)?;
        let wallet = |number| Wallet::development(plan.network, number);
        let (provider, postmaster, alice, bob) = (wallet(0)?, wallet(1)?, wallet(2)?, wallet(3)?);
        let (market, correspondents) = (Market::of(&provider), Correspondents::of(&postmaster));
        // Alice lives with the router, so that her swaps write on each of the four shards.
        let alice_home = [(alice.address(), ROUTER_SHARD)];
        let pinned = market.pins().into_iter().chain(correspondents.pins()).chain(alice_home).collect();
        let cluster = Cluster::start(Plan { pinned, ..plan }, dir)?;
        let client = cluster.client(0)?;
        let seen = format!("7 processes, each with its own RocksDB, under {}", dir.display());
        Ok((seen, Self { cluster, client, market, correspondents, provider, postmaster, alice, bob }))
    }

    pub(crate) fn network(&self) -> &Network {
        self.cluster.network()
    }

    /// The shard that owns `address`.
    pub(crate) fn shard_of(&self, address: Address) -> ShardId {
        self.network().placement.shard_of(address)
    }

    /// The shard that has the value of `key`.
    pub(crate) fn owner(&self, key: StateKey) -> ShardId {
        self.network().placement.owner(key)
    }

    /// Checks receipts of all shards, by the network file's keys alone.
    pub(crate) fn verifier(&self) -> ReceiptVerifier {
        let Network { params, validators, .. } = self.network();
        ReceiptVerifier::with(params.network, validators.iter().map(|(shard, set)| (*shard, set.clone())))
    }

    /// A relay's operator.
    pub(crate) fn relay(&self, node: Node) -> Result<RelayClient> {
        Ok(RelayClient::new(Connection::open(&ClientSettings::plain(self.cluster.endpoint(node)))?))
    }

    /// A development account that no other step uses and that lives on another shard than `shard`.
    pub(crate) async fn user_away_from(&self, shard: ShardId) -> Result<Wallet> {
        let network = self.network().params.network.0;
        for number in 4..fixtures::wallet::ACCOUNTS_COUNT {
            let mut wallet = Wallet::development(network, number)?;
            if self.shard_of(wallet.address()) != shard {
                wallet.set_nonce(self.client.rpc().nonce(wallet.address()).await?);
                return Ok(wallet);
            }
        }
        Err(eyre!("every development account is on shard {shard}"))
    }
}
