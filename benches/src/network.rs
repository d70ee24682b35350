//! Transactions over one, two and four shards: each user's on keys of its own, and all users' on one key.

use crate::disk::Disk;
use crate::draw::Choice;
use crate::load::{self, Load, User};
use crate::open;
use crate::settings::Settings;
use alloy_primitives::{Address, U256, keccak256};
use alloy_sol_types::{SolCall, SolConstructor};
use cluster::client::Client;
use cluster::{Cluster, Plan};
use eyre::{Result, WrapErr, eyre};
use fixtures::contracts::{Artifact, Caller, Token};
use fixtures::wallet::{Call, Wallet};
use host::network::{Genesis, GenesisAccount};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A kind of transaction and the shards it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) shards: u32,
    pub(crate) kind: Kind,
}

/// What each user does again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// The user on shard 0, the payee's account on the last shard.
    Payment(Payee),
    /// The user on shard 0, the token on the last shard.
    Transfer(Payee),
    /// The user on shard 0; in this part of its transactions the payee's account on the last shard, and else on shard 0 too.
    Mixed(f64),
    /// The user on shard 0, the token on the last shard, and holders that are paid the oftener the lower their number is: as its power of
    /// minus this.
    Skewed(f64),
    /// As many users on each shard, the payee's account on the next.
    Ring,
    /// User and caller on shard 0, one counter of its own on each other shard.
    Calls,
}

/// Whom the users pay.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Payee {
    /// Each somebody of its own, so that no two touch one key.
    Own,
    /// The same on the payer's shard.
    Near,
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

/// Payments over two shards of ever more, with as many users in all: what each costs is to stay the same.
pub(crate) const RINGS: [Workload; 4] = [
    Workload { name: "commit::ring/payment to the next shard shards=2 participants=2", shards: 2, kind: Kind::Ring },
    Workload { name: "commit::ring/payment to the next shard shards=4 participants=2", shards: 4, kind: Kind::Ring },
    Workload { name: "commit::ring/payment to the next shard shards=8 participants=2", shards: 8, kind: Kind::Ring },
    Workload { name: "commit::ring/payment to the next shard shards=16 participants=2", shards: 16, kind: Kind::Ring },
];

/// The first benching account: development accounts come before it.
const FIRST_USER: u32 = 1000;

/// Holders that are paid unevenly.
const SKEWED_COUNT: u32 = 1_000;

/// Whom all pay.
const HOT: Address = Address::repeat_byte(0x40);

impl Payee {
    /// Whom this user pays.
    fn of(self, user: Address) -> Address {
        match self {
            Self::Own => Address::from_slice(&keccak256(user)[..20]),
            Self::Near => Address::from_slice(&keccak256(user)[12..]),
            Self::Same => HOT,
        }
    }
}

/// Where the caller is.
const CALLER: Address = Address::repeat_byte(0xca);

/// The row of latency at a quarter of the peak rate.
pub(crate) const LATENCY_NAME: &str = "commit::latency/erc20 shards=2 open loop at a quarter of the peak";

/// Whose peak that is.
pub(crate) const LATENCY_OF: Workload = WORKLOADS[6];

/// The part of the peak rate at which latency is measured.
const LATENCY_RATE_PART: f64 = 0.25;

/// A network that runs, and its users.
struct Started {
    cluster: Cluster,
    client: Client,
    users: Vec<User>,
    /// Holds the stores.
    dir: TempDir,
    shards: u32,
}

impl Started {
    async fn begin(workload: Workload, settings: &Settings) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let plan = plan(workload, settings.users)?;
        let (network, shards) = (plan.network, workload.shards);
        let cluster = Cluster::start(plan, dir.path())?;
        let client = cluster.client(0)?;
        let wallets = (0..settings.users).map(|number| user(network, number)).collect::<Result<Vec<_>>>()?;
        let users = match workload.kind {
            Kind::Payment(payee) => payments(wallets, payee),
            Kind::Ring => payments(wallets, Payee::Own),
            Kind::Transfer(payee) => {
                let only = |token, user| Arc::new(Choice::only(transfer(token, payee.of(user))));
                transfers(&client, network, wallets, only).await?
            }
            Kind::Mixed(share) => wallets.into_iter().map(|wallet| mixed(wallet, share)).collect(),
            Kind::Skewed(exponent) => {
                transfers(&client, network, wallets, |token, _| Arc::new(skewed(token, exponent))).await?
            }
            Kind::Calls => calls(wallets, shards),
        };
        Ok(Self { cluster, client, users, dir, shards })
    }

    /// Stops the network, and adds to `load` what it left on the disks.
    fn end(cluster: Cluster, (dir, shards): (&TempDir, u32), load: Result<(Load, u64)>) -> Result<Load> {
        cluster.stop()?;
        let (load, committed) = load?;
        Ok(Load { disk: Some(Disk::of(dir.path(), shards, committed)?), ..load })
    }
}

/// Starts a network for `workload`, lets the users of `settings` work, and stops it.
pub(crate) async fn run(workload: Workload, settings: &Settings) -> Result<Load> {
    let Started { cluster, client, users, dir, shards } = Started::begin(workload, settings).await?;
    let name = format!("{} users={}", workload.name, users.len());
    let load = load::closed(name, &cluster, &client, users, settings).await;
    Started::end(cluster, (&dir, shards), load)
}

/// The same in an open loop, at a quarter of `peak` transactions a second.
pub(crate) async fn latency(peak: f64, settings: &Settings) -> Result<Load> {
    let Started { cluster, client, users, dir, shards } = Started::begin(LATENCY_OF, settings).await?;
    let rate = peak * LATENCY_RATE_PART;
    let name = format!("{LATENCY_NAME}, {rate:.0}/s users={}", users.len());
    let load = open::open(name, &cluster, &client, users, (rate, settings)).await;
    Started::end(cluster, (&dir, shards), load)
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
        let (home, payees) = match workload.kind {
            Kind::Ring => (user % workload.shards, (user + 1) % workload.shards),
            _ => (0, last),
        };
        let address = self::user(plan.network, user)?.address();
        plan.genesis.accounts.insert(address, funded.clone());
        plan.pinned.insert(address, home);
        plan.pinned.insert(Payee::Own.of(address), payees);
        plan.pinned.insert(Payee::Near.of(address), 0);
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
        let call = payment(payee.of(wallet.address()));
        User::new(wallet, Arc::new(Choice::only(call)))
    };
    wallets.into_iter().map(user).collect()
}

/// A token, and users that send it to those of their choice.
async fn transfers(
    client: &Client,
    network: u64,
    wallets: Vec<Wallet>,
    choice: impl Fn(Address, Address) -> Arc<Choice>,
) -> Result<Vec<User>> {
    let mut deployer = Wallet::development(network, 0)?;
    let token = deployer.next_contract();
    let arguments = Token::constructorCall { name: "Gold".into(), symbol: "GLD".into() }.abi_encode();
    let create = Call::create(Artifact::TOKEN.init_code(&arguments)?);
    client.succeed(&mut deployer, &create).await.wrap_err("the token was not deployed")?;
    let mut holders = Vec::with_capacity(wallets.len());
    for wallet in wallets {
        let mint = Token::mintCall { to: wallet.address(), amount: U256::from(1_000_000_000_u64) };
        client.succeed(&mut deployer, &Call::to(token, mint.abi_encode())).await.wrap_err("a mint failed")?;
        let choice = choice(token, wallet.address());
        holders.push(User::new(wallet, choice));
    }
    Ok(holders)
}

fn transfer(token: Address, to: Address) -> Call {
    Call::to(token, Token::transferCall { to, amount: U256::ONE }.abi_encode()).with_gas_limit(100_000)
}

/// Holders of a token by how often they are paid.
fn skewed(token: Address, exponent: f64) -> Choice {
    let holder = |number: u32| Address::from_slice(&keccak256(number.to_be_bytes())[..20]);
    Choice::of((1..=SKEWED_COUNT).map(|number| (f64::from(number).powf(-exponent), transfer(token, holder(number)))))
}

/// A payment over two shards as often as `share` says, and else on one.
fn mixed(wallet: Wallet, share: f64) -> User {
    let [far, near] = [Payee::Own, Payee::Near].map(|payee| payment(payee.of(wallet.address())));
    User::new(wallet, Arc::new(Choice::of([(share, far), (1.0 - share, near)])))
}

fn payment(to: Address) -> Call {
    Call::to(to, []).with_value(U256::ONE).with_gas_limit(21_000)
}

fn calls(wallets: Vec<Wallet>, shards: u32) -> Vec<User> {
    let user = |(number, wallet): (u32, Wallet)| {
        let counters = counters(number, shards).into_values().collect();
        let call = Call::to(CALLER, Caller::incrementAllCall { counters }.abi_encode()).with_gas_limit(300_000);
        User::new(wallet, Arc::new(Choice::only(call)))
    };
    (0..).zip(wallets).map(user).collect()
}
