//! `dovetail demo-bridge`: a token locked on an anvil, its twin minted on a shard, used there and returned, by a bridge of real processes.
//!
//! Promise: the exit status is the oracles' verdict. One reads both ledgers and no log: what the vault holds there, what it says it owes, and
//! what the twin has outstanding here are one number, and every unit is where its owner sent it. The other replays all that the stopped
//! shards committed on one plain EVM, foreign messages included.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use cluster::anvil::{self, Anvil, CHAIN_ID};
use cluster::bridge::{self, Bridge, Places};
use cluster::client::{Client, until};
use cluster::{Cluster, Plan};
use evm::mailbox_address;
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::contracts::{Artifact, Token, Twin, Vault};
use fixtures::wallet::{Call, Wallet};
use primitives::ShardId;
use proof::domain_of;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Where the twin is.
const HOME: ShardId = ShardId(1);

/// What is locked, what of it is sent home again, and what is locked for nobody.
const LOCKED: u64 = 600;
const RETURNED: u64 = 250;
const ASTRAY: u64 = 70;

/// What is sent home too late.
const LATE: u64 = 40;

/// How much may pass in how many seconds, either way.
const CAP: u64 = 800;
const CAP_WINDOW_S: u64 = 3_600;

/// For how long a payment home may be under way, and one that is to come too late.
const HOME_MS: u64 = 600_000;
const LATE_MS: u64 = 1_500;

/// What there is of the token.
const SUPPLY: u64 = 1_000;

/// Both sides.
struct Stage {
    anvil: Anvil,
    client: Client,
    token: Address,
    vault: Address,
    twin: Address,
    alice: Wallet,
    bob: Wallet,
    /// Who is paid out there.
    payee: Address,
    operator: Operator,
    /// Where this network's JSON-RPC is.
    rpc: String,
}

/// Does it.
///
/// # Errors
/// If a step does not come about, or the ledgers differ.
pub async fn run() -> Result<()> {
    let binary = anvil::program()
        .ok_or_else(|| eyre!("there is no anvil: run scripts/setup tests, or name one as DOVETAIL_ANVIL"))?;
    let dir = tempfile::Builder::new().prefix("dovetail-bridge-").tempdir()?;
    let anvil = Anvil::start(&binary, &[]).await?;
    let hyperlane = bridge::deploy(&anvil).await?;
    host::say!("anvil {} with Hyperlane's mailbox at {}", anvil.url(), hyperlane.mailbox);
    let (alice, bob) = (Wallet::development(CHAIN_ID, 0)?, Wallet::development(CHAIN_ID, 1)?);
    let twin = alice.next_contract();
    let pinned: BTreeMap<_, _> = [(twin, HOME.0), (alice.address(), HOME.0), (bob.address(), 0)].into();
    let (places, routes) = (Places::reserve()?, vec![bridge::route(hyperlane.mailbox)?]);
    let plan = Plan { pinned, routes, bridges: places.asked(), ..Plan::development(2)? };
    let program = plan.program.clone();
    let cluster = Cluster::start(plan, &dir.path().join("network"))?;
    // There is one anvil: its endpoint under two names stands for two providers.
    let endpoints = [anvil.url().to_owned(), anvil.url().replace("127.0.0.1", "localhost")];
    let bridge = Bridge::start(places, (&cluster, &program), (&anvil, &endpoints), &dir.path().join("bridge"))?;
    host::say!(
        "network of 2 shards, {} attestors of which {} must agree, 1 carrier",
        bridge::ATTESTORS_COUNT,
        bridge::THRESHOLD
    );
    let (client, payee) = (cluster.client(0)?, Address::repeat_byte(0xbe));
    let (token, vault) = deploy_there(&anvil, hyperlane.mailbox).await?;
    let operator = Operator { program, at: bridge.operator() };
    let mut stage = Stage { anvil, client, token, vault, twin, alice, bob, payee, operator, rpc: cluster.rpc(0) };
    let verdict = stage.play(&cluster).await;
    if verdict.is_err() {
        host::say!("{}", bridge.logs());
    }
    let network = cluster.network().clone();
    bridge.stop()?;
    cluster.stop()?;
    verdict?;
    let stores = judge::stores(&network, &dir.path().join("network"));
    let report = judge::check(&network, &stores).wrap_err("the shards are not one chain")?;
    host::say!("{report}; {} messages of the foreign chain replayed", report.foreign_messages);
    Ok(())
}

/// An operator with the program and the carrier's address.
struct Operator {
    program: PathBuf,
    at: String,
}

impl Operator {
    fn run(&self, verb: &[&str]) -> Result<()> {
        let ran = Command::new(&self.program).args(["bridge", "--at", &self.at]).args(verb).output()?;
        ensure!(ran.status.success(), "dovetail bridge {}: {}", verb.join(" "), String::from_utf8_lossy(&ran.stderr));
        Ok(())
    }
}

/// A token and its vault.
async fn deploy_there(anvil: &Anvil, mailbox: Address) -> Result<(Address, Address)> {
    let arguments = Token::constructorCall { name: "Gold".to_owned(), symbol: "GLD".to_owned() };
    let token = anvil.deploy(Artifact::TOKEN.init_code(&arguments.abi_encode())?).await?;
    let arguments = Vault::constructorCall { token, mailbox, cap: U256::from(CAP), window: CAP_WINDOW_S };
    let vault = Artifact::VAULT.init_code(&arguments.abi_encode())?;
    Ok((token, anvil.deploy(vault).await?))
}

impl Stage {
    async fn play(&mut self, cluster: &Cluster) -> Result<()> {
        self.prepare(cluster).await?;
        self.lock(self.alice.address().into_word(), LOCKED).await?;
        let alice = self.alice.address();
        self.wait_twin(alice, LOCKED).await?;
        host::say!("locked {LOCKED} there, minted {LOCKED} for {alice} on shard {HOME}");
        // Nobody on this network: the handler fails, its sender hears so, and the vault gives the tokens back.
        self.lock(B256::repeat_byte(0xff), ASTRAY).await?;
        self.wait_there("what went astray", self.anvil.deployer, SUPPLY - LOCKED).await?;
        host::say!("locked {ASTRAY} for nobody: failed on the shard, given back there");
        let to = self.bob.address();
        let pay = Twin::transferCall { to, amount: U256::from(RETURNED) };
        self.client.succeed(&mut self.alice, &Call::to(self.twin, pay.abi_encode())).await?;
        let home = self.home_call(RETURNED, HOME_MS);
        self.client.succeed(&mut self.bob, &home).await?;
        self.wait_there("what came home", self.payee, RETURNED).await?;
        host::say!("paid {RETURNED} to an account of shard 0, which sent them home: paid out there");
        self.come_too_late().await?;
        self.judge().await
    }

    /// Sends so many to the payee there, who is to have them within this time.
    fn home_call(&self, amount: u64, within_ms: u64) -> Call {
        let deadline = host::wall().0 + within_ms;
        let home = Twin::sendHomeCall { to: self.payee, amount: U256::from(amount), deadlineMs: deadline };
        Call::to(self.twin, home.abi_encode())
    }

    /// An operator pauses the way out, a deadline goes by, and the vault pays nobody.
    async fn come_too_late(&mut self) -> Result<()> {
        self.operator.run(&["pause", "out", "--reason", "the demo"])?;
        let home = self.home_call(LATE, LATE_MS);
        self.client.succeed(&mut self.alice, &home).await?;
        let alice = self.alice.address();
        self.wait_twin(alice, LOCKED - RETURNED - LATE).await?;
        tokio::time::sleep(Duration::from_millis(LATE_MS) + Duration::from_secs(1)).await;
        self.operator.run(&["resume", "out"])?;
        self.wait_twin(alice, LOCKED - RETURNED).await?;
        host::say!(
            "sent {LATE} home while the way out was paused, past their deadline: the vault sent them back, paid to nobody"
        );
        let (vault, twin) = (self.vault.to_string(), self.twin.to_string());
        let (there, here) = (self.anvil.url().to_owned(), self.rpc.clone());
        let books = ["conserve", "--vault", &vault, "--twin", &twin, "--there", &there, "--here", &here, "--settled"];
        self.operator.run(&books)
    }

    async fn prepare(&mut self, cluster: &Cluster) -> Result<()> {
        let vault = self.vault.into_word();
        let (mailbox, cap) = (mailbox_address(HOME), U256::from(CAP));
        let arguments = Twin::constructorCall { mailbox, domain: CHAIN_ID as u32, vault, cap, window: CAP_WINDOW_S };
        let code = Artifact::TWIN.init_code(&arguments.abi_encode())?;
        self.client.succeed(&mut self.alice, &Call::create(code)).await?;
        let name = Vault::nameCall {
            domain: domain_of(cluster.network().params.network, HOME),
            shardMailbox: mailbox_address(HOME).into_word(),
            twin: self.twin.into_word(),
        };
        self.anvil.send(self.vault, &name).await?;
        let (to, spender) = (self.anvil.deployer, self.vault);
        self.anvil.send(self.token, &Token::mintCall { to, amount: U256::from(SUPPLY) }).await?;
        self.anvil.send(self.token, &Token::approveCall { spender, amount: U256::MAX }).await?;
        Ok(())
    }

    async fn lock(&self, to: B256, amount: u64) -> Result<()> {
        self.anvil.send(self.vault, &Vault::lockCall { to, amount: U256::from(amount) }).await?;
        Ok(())
    }

    async fn there(&self, holder: Address) -> Result<U256> {
        self.anvil.view(self.token, &Token::balanceOfCall { holder }).await
    }

    async fn here(&self, holder: Address) -> Result<U256> {
        self.client.view(self.twin, &Twin::balanceOfCall { holder }).await
    }

    async fn wait_twin(&self, holder: Address, amount: u64) -> Result<()> {
        let look = || async { Ok((self.here(holder).await? == U256::from(amount)).then_some(())) };
        until("the twin's mint", look).await
    }

    async fn wait_there(&self, what: &str, holder: Address, amount: u64) -> Result<()> {
        let look = || async { Ok((self.there(holder).await? == U256::from(amount)).then_some(())) };
        until(what, look).await
    }

    /// Both ledgers, unit by unit.
    async fn judge(&self) -> Result<()> {
        let held = self.there(self.vault).await?;
        let owed = self.anvil.view(self.vault, &Vault::lockedCall {}).await?;
        let outstanding = self.client.view(self.twin, &Twin::totalSupplyCall {}).await?;
        host::say!("vault holds {held}, owes {owed}; twin outstanding {outstanding}");
        ensure!(held == owed && owed == outstanding, "the ledgers differ: {held} held, {owed} owed, {outstanding} out");
        let balances = [
            ("the vault's", held, LOCKED - RETURNED),
            ("alice's here", self.here(self.alice.address()).await?, LOCKED - RETURNED),
            ("bob's here", self.here(self.bob.address()).await?, 0),
            ("the payee's there", self.there(self.payee).await?, RETURNED),
            ("the deployer's there", self.there(self.anvil.deployer).await?, SUPPLY - LOCKED),
        ];
        for (whose, actual, expected) in balances {
            ensure!(actual == U256::from(expected), "{whose} balance is {actual}, and should be {expected}");
        }
        host::say!("both ledgers agree: every unit is where its owner sent it, once");
        Ok(())
    }
}
