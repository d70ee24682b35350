//! Users who go on whatever dies: each sends one transaction after the other and writes down what became of it.
//!
//! Promise: a transaction whose end is unknown is looked up by its hash at its sender's home before it is sent again, and it
//! is sent again as the same bytes. A user never signs a second transaction with one nonce.

use crate::chance::Chance;
use crate::testnet::{Contracts, DESTINATION, Testnet};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use cluster::client::{Client, Ended, PATIENCE};
use evm::Outcome;
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::contracts::{Ping, Token};
use fixtures::wallet::{Call, Wallet};
use primitives::{NetworkId, ShardId};
use proof::domain_of;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use wire::{Reason, Rejection};

/// Gas for the recipient of one message.
const HANDLE_GAS: u64 = 400_000;

/// How long a message has to arrive.
const MESSAGE_LIFE: Duration = Duration::from_mins(10);

/// How long one try may take before the transaction is looked up.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);

/// The wait before it is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(50);

/// How long a scenario waits for its load to go on.
const GO_ON_MAX: Duration = Duration::from_secs(10);

/// What a user does in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Gives another user gold: two shards, or three.
    Give {
        /// To whom.
        to: Address,
        /// How much.
        gold: u64,
    },
    /// Sells gold for salt: four shards.
    Swap {
        /// How much.
        gold: u64,
    },
    /// Raises the counters of all shards.
    Count,
    /// Sends a message with this body, which no other has.
    Send {
        /// The body.
        body: Bytes,
    },
}

/// What scenarios let their users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// A bit of everything.
    All,
    /// Mostly messages.
    Messages,
}

/// One transaction that has ended.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it was for.
    pub action: Action,
    /// Its hash.
    pub transaction: B256,
    /// What it did.
    pub outcome: Outcome,
    /// Whether a coordinator said that it is committed; else it was found at its home.
    pub acknowledged: bool,
    /// How often it was sent.
    pub tries: u32,
    /// What was refused, and which time it was sent then.
    pub refused: Vec<(u32, Rejection)>,
    /// From the first sending to the end.
    pub took: Duration,
}

/// What one user did.
#[derive(Debug, Clone)]
pub struct Diary {
    /// Whose.
    pub user: Address,
    /// The nonce of the first entry.
    pub first_nonce: u64,
    /// In the order of nonces.
    pub entries: Vec<Entry>,
}

/// Users at work.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: JoinSet<Result<Diary>>,
}

impl Load {
    /// Sets all users of `net` to work, on at most `most` transactions each.
    pub fn start(net: &Testnet, mix: Mix, most: usize, chance: &Chance) -> Result<Self> {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        let network = net.cluster.network();
        let everyone: Arc<[Address]> = net.users.iter().map(Wallet::address).collect();
        for (number, wallet) in net.users.iter().enumerate() {
            let mut clients: VecDeque<Client> = net.clients()?.into();
            let turn = number % clients.len();
            clients.rotate_left(turn);
            let user = User {
                home: network.placement.shard_of(wallet.address()),
                network: network.params.network,
                wallet: wallet.clone(),
                contracts: net.contracts,
                everyone: Arc::clone(&everyone),
                clients: clients.into(),
                chance: chance.fork(number as u64 + 1),
                mix,
            };
            tasks.spawn(user.work(Arc::clone(&stop), Arc::clone(&done), most));
        }
        Ok(Self { stop, done, tasks })
    }

    /// Waits until `more` more transactions have ended; gives up quietly when users have none left or take too long, which
    /// [`Load::end`] then tells.
    pub async fn goes_on_for(&self, more: usize) {
        let (goal, begun) = (self.done.load(Ordering::Relaxed) + more, Instant::now());
        while self.done.load(Ordering::Relaxed) < goal && begun.elapsed() < GO_ON_MAX {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets every user finish the transaction under way, and collects the diaries.
    ///
    /// # Errors
    /// The first user's that could not bring a transaction to its end: it is lost.
    pub async fn end(mut self) -> Result<Vec<Diary>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut diaries = Vec::new();
        while let Some(diary) = self.tasks.join_next().await {
            diaries.push(diary??);
        }
        Ok(diaries)
    }
}

struct User {
    wallet: Wallet,
    home: ShardId,
    network: NetworkId,
    contracts: Contracts,
    everyone: Arc<[Address]>,
    clients: Vec<Client>,
    chance: Chance,
    mix: Mix,
}

impl User {
    async fn work(mut self, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>, most: usize) -> Result<Diary> {
        let mut diary =
            Diary { user: self.wallet.address(), first_nonce: self.wallet.nonce(), entries: Vec::with_capacity(most) };
        while !stop.load(Ordering::Relaxed) && diary.entries.len() < most {
            tokio::time::sleep(self.chance.millis(0, 40)).await;
            let action = self.choose();
            let call = self.call(&action)?;
            let signed = self.wallet.sign(&call)?;
            let entry = self.settle(action, signed).await.wrap_err_with(|| format!("a user of shard {}", self.home))?;
            diary.entries.push(entry);
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(diary)
    }

    fn choose(&mut self) -> Action {
        let dice = self.chance.under(100);
        let gold = 1 + self.chance.under(200);
        let messages = if self.mix == Mix::Messages { 80 } else { 20 };
        if dice < messages {
            let body = (self.wallet.address(), U256::from(self.wallet.nonce())).abi_encode();
            Action::Send { body: body.into() }
        } else if dice < messages + (100 - messages) / 2 {
            let others: Vec<Address> =
                self.everyone.iter().copied().filter(|one| *one != self.wallet.address()).collect();
            Action::Give { to: others[self.chance.under(others.len() as u64) as usize], gold }
        } else if dice < 90 {
            Action::Swap { gold }
        } else {
            Action::Count
        }
    }

    fn call(&self, action: &Action) -> Result<Call> {
        let Contracts { market, ping, pong, .. } = &self.contracts;
        Ok(match action {
            Action::Give { to, gold } => {
                let give = Token::transferCall { to: *to, amount: U256::from(*gold) };
                Call::to(market.gold, give.abi_encode())
            }
            Action::Swap { gold } => market.swap(self.wallet.address(), U256::from(*gold), U256::ZERO),
            Action::Count => self.contracts.count(),
            Action::Send { body } => {
                let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + MESSAGE_LIFE;
                let send = Ping::sendCall {
                    destination: domain_of(self.network, DESTINATION),
                    recipient: pong.into_word(),
                    body: body.clone(),
                    gasLimit: HANDLE_GAS,
                    deadlineMs: deadline.as_millis() as u64,
                };
                Call::to(*ping, send.abi_encode())
            }
        })
    }

    async fn settle(&self, action: Action, signed: Bytes) -> Result<Entry> {
        let (transaction, begun) = (keccak256(&signed), Instant::now());
        let (mut trouble, mut refused) = (String::new(), Vec::new());
        for (tries, client) in (1..).zip(self.clients.iter().cycle()) {
            let entry = |outcome: Outcome, acknowledged, refused| {
                let took = begun.elapsed();
                Entry { action: action.clone(), transaction, outcome, acknowledged, tries, refused, took }
            };
            match tokio::time::timeout(TRY_TIMEOUT, client.submit(signed.clone())).await {
                Ok(Ok(Ended::Committed(settled))) => return Ok(entry(settled.first()?.clone(), true, refused)),
                Ok(Ok(Ended::Refused(rejection))) => {
                    trouble = rejection.to_string();
                    refused.push((tries, rejection));
                }
                Ok(Err(error)) => trouble = format!("{error:#}"),
                Err(_) => {}
            }
            if let Some(outcome) = self.at_home(transaction).await? {
                return Ok(entry(outcome, false, refused));
            }
            ensure!(begun.elapsed() < PATIENCE, "{transaction} ({action:?}) has no end after {tries} tries: {trouble}");
            tokio::time::sleep(RETRY_WAIT).await;
        }
        Err(eyre!("there is no coordinator"))
    }

    /// What the home has recorded; nothing also where it does not answer.
    async fn at_home(&self, transaction: B256) -> Result<Option<Outcome>> {
        match self.clients[0].shard(self.home).outcome(transaction).await {
            Ok(record) => Ok(Some(record.outcome)),
            Err(rejection) if rejection.reason == Reason::NotFound || rejection.is_retryable() => Ok(None),
            Err(rejection) => Err(rejection).wrap_err("the home shard does not say what became of a transaction"),
        }
    }
}
