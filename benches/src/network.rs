//! Transactions over one, two and four shards: each user's on keys of its own, and all users' on one key.

use crate::load::{self, Load, User};
use crate::settings::Settings;
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use cluster::client::Client;
use cluster::{Cluster, Plan};
use eyre::{Result, WrapErr, eyre};
use fixtures::contracts::{Artifact, Caller, Token};
use fixtures::wallet::{Call, Wallet};
use host::network::{Genesis, GenesisAccount};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A kind of transaction and the shards it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    shards: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The user on shard 0, the payee's account on the last shard.
    Payment(Payee),
    /// The user on shard 0, the token on the last shard.
    Transfer(Payee),
    /// User and caller on shard 0, one counter of its own on each other shard.
    Calls,
}

/// Whom the users pay.
#[derive(Debug, Clone, Copy)]
enum Payee {
    /// Each somebody of its own, so that no two touch one key.
    Own,
    /// All the same: a hot key.
    Same,
}

/// What is benched; a hot key beside the same with a key for each.
pub(crate) const WORKLOADS: [Workload; 9] = [
    Workload { name: "commit::local/payment shards=1", shards: 1, kind: Kind::Payment(Payee::Own) },
    Workload { name: "commit::local/payment hot account shards=1", shards: 1, kind: Kind::Payment(Payee::Same) },
    Workload { name: "commit::local/erc20 shards=1", shards: 1, kind: Kind::Transfer(Payee::Own) },
    Workload {
        name: "commit::local/erc20 hot ERC-20 recipient shards=1",
        shards: 1,
        kind: Kind::Transfer(Payee::Same),
    },
    Workload { name: "commit::atomic/payment shards=2", shards: 2, kind: Kind::Payment(Payee::Own) },
    Workload { name: "commit::atomic/payment hot account shards=2", shards: 2, kind: Kind::Payment(Payee::Same) },
    Workload { name: "commit::atomic/erc20 shards=2 participants=2", shards: 2, kind: Kind::Transfer(Payee::Own) },
    Workload {
        name: "commit::atomic/erc20 hot ERC-20 recipient shards=2",
        shards: 2,
        kind: Kind::Transfer(Payee::Same),
    },
    Workload { name: "commit::atomic/calls shards=4 participants=4", shards: 4, kind: Kind::Calls },
];

/// The first benching account: development accounts come before it.
const FIRST_USER: u32 = 1000;

/// Whom all pay.
const HOT: Address = Address::repeat_byte(0x40);

impl Payee {
    /// Whom this user pays.
    fn of(self, user: Address) -> Address {
        match self {
            Self::Own => Address::from_slice(&alloy_primitives::keccak256(user)[..20]),
            Self::Same => HOT,
        }
    }
}

/// Where the caller is.
const CALLER: Address = Address::repeat_byte(0xca);

/// Starts a network for `workload`, lets the users of `settings` work, and stops it.
pub(crate) async fn run(workload: Workload, settings: &Settings) -> Result<Load> {
    let users = settings.users;
    let dir = tempfile::tempdir()?;
    let plan = plan(workload, users)?;
    let (network, shards) = (plan.network, workload.shards);
    let cluster = Cluster::start(plan, dir.path())?;
    let client = cluster.client(0)?;
    let wallets = (0..users).map(|number| user(network, number)).collect::<Result<Vec<_>>>()?;
    let users = match workload.kind {
        Kind::Payment(payee) => payments(wallets, payee),
        Kind::Transfer(payee) => transfers(&client, network, wallets, payee).await?,
        Kind::Calls => calls(wallets, shards),
    };
    let name = format!("{} users={}", workload.name, users.len());
    let load = load::closed(name, &cluster, &client, users, settings).await;
    cluster.stop()?;
    load
}

/// A benching user.
pub(crate) fn user(network: u64, number: u32) -> Result<Wallet> {
    Wallet::development(network, FIRST_USER + number)
}

/// The `dovetail` program beside this one.
pub(crate) fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name("dovetail");
    if program.exists() { Ok(program) } else { Err(eyre!("{} is not built", program.display())) }
}

/// A network for `workload` and so many users.
pub(crate) fn plan(workload: Workload, users: u32) -> Result<Plan> {
    let mut plan = Plan { relays: 0, program: program()?, ..Plan::development(workload.shards)? };
    let deployer = Wallet::development(plan.network, 0)?;
    let funded = plan.genesis.accounts[&deployer.address()].clone();
    let last = workload.shards - 1;
    plan.pinned.insert(deployer.next_contract(), last);
    plan.pinned.insert(CALLER, 0);
    plan.pinned.insert(HOT, last);
    add_code(&mut plan.genesis, CALLER, Artifact::CALLER)?;
    for user in 0..users {
        let address = self::user(plan.network, user)?.address();
        plan.genesis.accounts.insert(address, funded.clone());
        plan.pinned.insert(address, 0);
        plan.pinned.insert(Payee::Own.of(address), last);
        for (shard, counter) in counters(user, workload.shards) {
            plan.pinned.insert(counter, shard);
            add_code(&mut plan.genesis, counter, Artifact::COUNTER)?;
        }
    }
    Ok(plan)
}

fn add_code(genesis: &mut Genesis, address: Address, artifact: Artifact) -> Result<()> {
    let account = GenesisAccount { nonce: 1, code: artifact.deployed_code()?, ..GenesisAccount::default() };
    genesis.accounts.insert(address, account);
    Ok(())
}

/// A user's counters, one on each shard but the first.
fn counters(user: u32, shards: u32) -> BTreeMap<u32, Address> {
    let at = |shard: u32| {
        let mut bytes = [0xc0; 20];
        bytes[12..16].copy_from_slice(&user.to_be_bytes());
        bytes[16..].copy_from_slice(&shard.to_be_bytes());
        Address::new(bytes)
    };
    (1..shards).map(|shard| (shard, at(shard))).collect()
}

fn payments(wallets: Vec<Wallet>, payee: Payee) -> Vec<User> {
    let user = |wallet: Wallet| {
        let call = Call::to(payee.of(wallet.address()), []).with_value(U256::ONE).with_gas_limit(21_000);
        User { wallet, call }
    };
    wallets.into_iter().map(user).collect()
}

/// A token, and users that send it.
async fn transfers(client: &Client, network: u64, wallets: Vec<Wallet>, payee: Payee) -> Result<Vec<User>> {
    let mut deployer = Wallet::development(network, 0)?;
    let token = deployer.next_contract();
    let arguments = Token::constructorCall { name: "Gold".into(), symbol: "GLD".into() }.abi_encode();
    let create = Call::create(Artifact::TOKEN.init_code(&arguments)?);
    client.succeed(&mut deployer, &create).await.wrap_err("the token was not deployed")?;
    let mut holders = Vec::with_capacity(wallets.len());
    for wallet in wallets {
        let mint = Token::mintCall { to: wallet.address(), amount: U256::from(1_000_000_000_u64) };
        client.succeed(&mut deployer, &Call::to(token, mint.abi_encode())).await.wrap_err("a mint failed")?;
        let to = payee.of(wallet.address());
        let call = Call::to(token, Token::transferCall { to, amount: U256::ONE }.abi_encode()).with_gas_limit(100_000);
        holders.push(User { wallet, call });
    }
    Ok(holders)
}

fn calls(wallets: Vec<Wallet>, shards: u32) -> Vec<User> {
    let user = |(number, wallet): (u32, Wallet)| {
        let counters = counters(number, shards).into_values().collect();
        let call = Call::to(CALLER, Caller::incrementAllCall { counters }.abi_encode()).with_gas_limit(300_000);
        User { wallet, call }
    };
    (0..).zip(wallets).map(user).collect()
}
