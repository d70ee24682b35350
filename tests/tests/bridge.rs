//! A bridge of real processes between Hyperlane's unmodified contracts on anvil and a network: each message once, whatever is killed.
//!
//! Without anvil these tests say so in a line and pass: `npm ci` in tests/e2e brings one.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
#![allow(clippy::similar_names, reason = "Ping and Pong are the contracts' names")]

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolValue};
use cluster::anvil::{self, Anvil, CHAIN_ID, Hyperlane};
use cluster::bridge::{self, Bridge};
use cluster::client::{Client, until};
use cluster::{Cluster, Plan};
use dovetail_tests::testnet::program;
use evm::mailbox_address;
use eyre::Result;
use fixtures::contracts::{Artifact, Ping, Pong};
use fixtures::hyperlane::ForeignMailbox;
use fixtures::wallet::{Call, Wallet};
use primitives::ShardId;
use proof::domain_of;
use std::collections::BTreeMap;
use tempfile::TempDir;

const HERE: ShardId = ShardId(1);

/// A network, an anvil and a bridge, with a Ping and a Pong here and a Pong there.
struct Both {
    dir: TempDir,
    cluster: Cluster,
    client: Client,
    anvil: Anvil,
    hyperlane: Hyperlane,
    bridge: Bridge,
    wallet: Wallet,
    ping: Address,
    pong: Address,
    pong_there: Address,
}

impl Both {
    /// All of it, or nothing where there is no anvil.
    async fn start() -> Result<Option<Self>> {
        let Some(binary) = anvil::program() else {
            println!("there is no anvil here: nothing was tested");
            return Ok(None);
        };
        let anvil = Anvil::start(&binary, &[]).await?;
        let hyperlane = bridge::deploy(&anvil).await?;
        let pong_there = anvil.deploy(Artifact::PONG.init_code(&hyperlane.mailbox.abi_encode())?).await?;
        let (dir, mut wallet) = (tempfile::tempdir()?, Wallet::development(CHAIN_ID, 0)?);
        let [ping, pong] = [0, 1].map(|nonce| wallet.address().create(nonce));
        let pinned: BTreeMap<_, _> = [ping, pong, wallet.address()].map(|address| (address, HERE.0)).into();
        let routes = vec![bridge::route(hyperlane.mailbox)?];
        let plan = Plan { pinned, routes, relays: 1, program: program()?, ..Plan::development(2)? };
        let cluster = Cluster::start(plan, &dir.path().join("network"))?;
        let client = cluster.client(0)?;
        for artifact in [Artifact::PING, Artifact::PONG] {
            let code = artifact.init_code(&mailbox_address(HERE).abi_encode())?;
            client.succeed(&mut wallet, &Call::create(code)).await?;
        }
        // There is one anvil: its endpoint under two names stands for two providers.
        let second = anvil.url().replace("127.0.0.1", "localhost");
        let endpoints = [anvil.url().to_owned(), second];
        let bridge = Bridge::start(&cluster, &program()?, &endpoints, &anvil, &dir.path().join("bridge"))?;
        Ok(Some(Self { dir, cluster, client, anvil, hyperlane, bridge, wallet, ping, pong, pong_there }))
    }

    /// Ping here sends to Pong there.
    async fn send_out(&mut self, body: &[u8]) -> Result<()> {
        let send = Ping::sendCall {
            destination: CHAIN_ID as u32,
            recipient: self.pong_there.into_word(),
            body: body.to_vec().into(),
            gasLimit: 200_000,
            deadlineMs: u64::MAX,
        };
        self.client.succeed(&mut self.wallet, &Call::to(self.ping, send.abi_encode())).await?;
        Ok(())
    }

    /// An account there sends to Pong here.
    async fn send_in(&self, body: &[u8]) -> Result<()> {
        let network = self.cluster.network().params.network;
        let dispatch = ForeignMailbox::dispatchCall {
            destination: domain_of(network, HERE),
            recipient: self.pong.into_word(),
            body: body.to_vec().into(),
        };
        self.anvil.send(self.hyperlane.mailbox, &dispatch).await?;
        Ok(())
    }

    async fn received_there(&self) -> Result<U256> {
        self.anvil.view(self.pong_there, &Pong::receivedCountCall {}).await
    }

    async fn received_here(&self) -> Result<U256> {
        self.client.view(self.pong, &Pong::receivedCountCall {}).await
    }

    /// Waits until so many have come to either side.
    async fn arrive(&self, count: u64) {
        let count = U256::from(count);
        let all = until("all messages", || async {
            let (here, there) = (self.received_here().await?, self.received_there().await?);
            Ok((here >= count && there >= count).then_some((here, there)))
        });
        let all = all.await.unwrap_or_else(|error| panic!("{error}\n{}", self.bridge.logs()));
        assert_eq!(all, (count, count), "each once");
    }

    fn stop(self) {
        self.bridge.stop().unwrap();
        self.cluster.stop().unwrap();
        drop(self.dir);
    }
}

fn key_of(origin: u32, sender: Address, body: &[u8]) -> B256 {
    alloy_primitives::keccak256((origin, sender.into_word(), Bytes::from(body.to_vec())).abi_encode_params())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_goes_out_and_one_comes_in_through_hyperlanes_own_contracts() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    both.send_out(b"out").await.unwrap();
    both.send_in(b"in").await.unwrap();
    both.arrive(1).await;
    let from_here = domain_of(both.cluster.network().params.network, HERE);
    let there = Pong::countOfCall { key: key_of(from_here, both.ping, b"out") };
    assert_eq!(both.anvil.view(both.pong_there, &there).await.unwrap(), U256::from(1));
    let here = Pong::countOfCall { key: key_of(CHAIN_ID as u32, both.anvil.deployer, b"in") };
    assert_eq!(both.client.view(both.pong, &here).await.unwrap(), U256::from(1));
    both.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_whose_carrier_and_attestors_are_killed_loses_and_doubles_nothing() {
    let Some(mut both) = Both::start().await.unwrap() else { return };
    for round in 1..=4_u8 {
        both.send_out(&[round]).await.unwrap();
        both.send_in(&[round]).await.unwrap();
        both.bridge.kill_carrier().unwrap();
        // One attestor of three may be away; it comes back and has lost nothing.
        both.bridge.kill_attestor(usize::from(round) % 3).unwrap();
        both.bridge.start_carrier().unwrap();
        both.arrive(u64::from(round)).await;
        both.bridge.start_attestor(usize::from(round) % 3).unwrap();
    }
    both.stop();
}
