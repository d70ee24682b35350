//! A network of real processes with the contracts that scenarios use, each on a shard chosen beforehand.

use crate::links::Links;
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolValue};
use cluster::client::Client;
use cluster::market::Market;
use cluster::{Cluster, Node, Plan};
use evm::mailbox_address;
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::contracts::{Artifact, Caller, Token};
use fixtures::wallet::{Call, Wallet};
use host::network::GenesisAccount;
use primitives::ShardId;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::Party;

/// How many shards a scenario has: one for each contract of the market.
pub const SHARDS_COUNT: u32 = 4;

/// Gold that each user starts with.
pub const POCKET: u64 = 1_000_000;

/// How many relays a scenario has.
pub const RELAYS_COUNT: u32 = 2;

/// Where messages come from.
pub const SOURCE: ShardId = ShardId(0);

/// Where messages go.
pub const DESTINATION: ShardId = ShardId(2);

/// What the pair holds of either token at the start.
const LIQUIDITY: u64 = 1_000_000_000;

/// Users' accounts are those from this number on; the first ones deploy.
const FIRST_USER: u32 = 100;

/// The program that every node runs: `dovetail` as `cargo build -p dovetail` leaves it, beside this binary or above a
/// test's folder `deps`; or what `DOVETAIL_BIN` names.
pub fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("DOVETAIL_BIN").map(PathBuf::from) {
        ensure!(named.is_file(), "{}, which DOVETAIL_BIN names, is not there", named.display());
        return Ok(named);
    }
    let this = std::env::current_exe().wrap_err("this binary has no path")?;
    let near = this.ancestors().skip(1).take(2).map(|folder| folder.join("dovetail")).find(|program| program.is_file());
    near.ok_or_else(|| eyre!("there is no dovetail near {}: run cargo build -p dovetail", this.display()))
}

/// The contracts of a scenario.
#[derive(Debug, Clone, Copy)]
pub struct Contracts {
    /// Two tokens, a pair and a router, a shard each.
    pub market: Market,
    /// Sends messages, on [`SOURCE`].
    pub ping: Address,
    /// Receives them, on [`DESTINATION`].
    pub pong: Address,
    /// Raises all counters in one transaction.
    pub caller: Address,
    /// One on each shard.
    pub counters: [Address; SHARDS_COUNT as usize],
}

impl Contracts {
    fn of(provider: &Wallet, builder: &Wallet) -> Self {
        let contract = |number| builder.address().create(builder.nonce() + number);
        let counters = [3, 4, 5, 6].map(contract);
        Self { market: Market::of(provider), ping: contract(0), pong: contract(1), caller: contract(2), counters }
    }

    /// Raises the counters of all shards.
    pub fn count(&self) -> Call {
        Call::to(self.caller, Caller::incrementAllCall { counters: self.counters.to_vec() }.abi_encode())
    }

    fn pins(&self) -> impl Iterator<Item = (Address, u32)> {
        let own = [(self.ping, SOURCE.0), (self.pong, DESTINATION.0), (self.caller, 1)];
        self.market.pins().into_iter().chain(own).chain(self.counters.into_iter().zip(0..))
    }

    async fn deploy(&self, client: &Client, provider: &mut Wallet, builder: &mut Wallet) -> Result<()> {
        let own = async {
            let sender = Artifact::PING.init_code(&mailbox_address(SOURCE).abi_encode())?;
            let recipient = Artifact::PONG.init_code(&mailbox_address(DESTINATION).abi_encode())?;
            let counter = || Artifact::COUNTER.init_code(&[]);
            let codes =
                [sender, recipient, Artifact::CALLER.init_code(&[])?, counter()?, counter()?, counter()?, counter()?];
            for code in codes {
                client.succeed(builder, &Call::create(code)).await?;
            }
            Ok(())
        };
        let market = async {
            self.market.deploy(client, provider).await?;
            let amount = U256::from(LIQUIDITY);
            for token in [self.market.gold, self.market.salt] {
                let mint = Token::mintCall { to: provider.address(), amount };
                client.succeed(provider, &Call::to(token, mint.abi_encode())).await?;
                self.market.allow(client, provider, token).await?;
            }
            self.market.provide(client, provider, amount, amount).await.map(|_| ())
        };
        tokio::try_join!(own, market).map(|((), ())| ())
    }
}

/// How the processes of a network reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// By the shards' own ports.
    Direct,
    /// Each over lines of its own, which can be cut.
    Lines,
}

fn parties(coordinators: u32) -> Vec<Party> {
    let shards = (0..SHARDS_COUNT).map(|shard| Party::Shard(ShardId(shard)));
    let coordinators = (0..coordinators as usize).map(Party::Coordinator);
    shards.chain(coordinators).chain((0..RELAYS_COUNT as usize).map(Party::Relay)).collect()
}

/// A running network, its contracts deployed and its users provided for.
#[derive(Debug)]
pub struct Testnet {
    /// The processes.
    pub cluster: Cluster,
    /// The contracts.
    pub contracts: Contracts,
    /// Accounts with ether and [`POCKET`] gold, which the router may take.
    pub users: Vec<Wallet>,
    coordinators: u32,
    lines: Option<Links>,
    dir: TempDir,
}

impl Testnet {
    /// Starts it with so many coordinators, two relays and `users` users.
    pub async fn start(coordinators: u32, users: u32) -> Result<Self> {
        Self::start_by(Ways::Direct, coordinators, users).await
    }

    /// The same, with these ways between its processes.
    pub async fn start_by(ways: Ways, coordinators: u32, users: u32) -> Result<Self> {
        Self::start_program(program()?, ways, coordinators, users).await
    }

    /// The same, by another program.
    pub async fn start_with(program: PathBuf, coordinators: u32, users: u32) -> Result<Self> {
        Self::start_program(program, Ways::Direct, coordinators, users).await
    }

    async fn start_program(program: PathBuf, ways: Ways, coordinators: u32, users: u32) -> Result<Self> {
        let plan = Plan { coordinators, relays: RELAYS_COUNT, program, ..Plan::development(SHARDS_COUNT)? };
        let network = plan.network;
        let (mut provider, mut builder) = (Wallet::development(network, 0)?, Wallet::development(network, 1)?);
        let contracts = Contracts::of(&provider, &builder);
        let mut genesis = plan.genesis.clone();
        let mut users =
            (0..users).map(|user| Wallet::development(network, FIRST_USER + user)).collect::<Result<Vec<_>>>()?;
        let ether = U256::from(10).pow(U256::from(21));
        let account = GenesisAccount { balance: ether, ..GenesisAccount::default() };
        genesis.accounts.extend(users.iter().map(|user| (user.address(), account.clone())));
        let dir = tempfile::tempdir()?;
        let mut cluster = Cluster::lay_out(Plan { pinned: contracts.pins().collect(), genesis, ..plan }, dir.path())?;
        let lines = match ways {
            Ways::Direct => None,
            Ways::Lines => Some(Links::wire(&cluster, &parties(coordinators)).await?),
        };
        cluster.start_all()?;
        let client = cluster.client(0)?;
        contracts.deploy(&client, &mut provider, &mut builder).await?;
        for user in &users {
            let mint = Token::mintCall { to: user.address(), amount: U256::from(POCKET) };
            client.succeed(&mut provider, &Call::to(contracts.market.gold, mint.abi_encode())).await?;
        }
        for user in &mut users {
            contracts.market.allow(&client, user, contracts.market.gold).await?;
        }
        Ok(Self { cluster, contracts, users, coordinators, lines, dir })
    }

    /// The lines between the processes, which can be cut.
    ///
    /// # Errors
    /// If they reach each other directly.
    pub fn lines(&self) -> Result<&Links> {
        self.lines.as_ref().ok_or_else(|| eyre!("the processes reach each other directly"))
    }

    /// Every process that calls shards.
    pub fn parties(&self) -> Vec<Party> {
        parties(self.coordinators)
    }

    /// Where everything is kept.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A client through each coordinator.
    pub fn clients(&self) -> Result<Vec<Client>> {
        (0..self.coordinators).map(|number| self.cluster.client(number)).collect()
    }

    /// Every node there is, running or not: executors, coordinators, relays.
    pub fn nodes(&self) -> Vec<Node> {
        let executors = (0..SHARDS_COUNT).map(Node::Executor);
        let coordinators = (0..self.coordinators).map(Node::Coordinator);
        executors.chain(coordinators).chain((0..RELAYS_COUNT).map(Node::Relay)).collect()
    }

    /// Starts every node that is not running, and waits until all are ready.
    pub fn heal(&mut self) -> Result<()> {
        for node in self.nodes() {
            self.cluster.reap(node);
            if self.cluster.pid(node).is_none() {
                self.cluster.restart(node)?;
            }
        }
        self.nodes().into_iter().try_for_each(|node| self.cluster.wait_ready(node))
    }

    /// Starts `node` anew with a crash point, such as `after_commit:3`, and waits until it has died there. Gives false, with
    /// the node killed, if it did not come so far within `patience`. The node is down afterwards.
    pub async fn crash_at(&mut self, node: Node, point: &str, patience: Duration) -> Result<bool> {
        self.cluster.kill(node)?;
        let variable = (host::CRASH_VARIABLE.to_owned(), point.to_owned());
        self.cluster.restart_with(node, &[variable])?;
        let give_up = Instant::now() + patience;
        while Instant::now() < give_up {
            if self.cluster.has_exited(node) {
                let log = self.cluster.log_tail(node);
                ensure!(log.contains("crash point"), "{node} did not die at {point}, but so:\n{log}");
                self.cluster.reap(node);
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.cluster.kill(node)?;
        Ok(false)
    }
}
