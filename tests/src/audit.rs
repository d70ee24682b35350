//! What must hold after the storm: nothing lost, nothing doubled, nothing left open.
//!
//! Asks the running network first (homes, locks, books, messages), then stops it and compares its stores with one plain EVM.

use crate::load::{Action, Diary, Entry};
use crate::testnet::{DESTINATION, POCKET, SHARDS_COUNT, SOURCE, Testnet};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use cluster::client::{Client, until};
use evm::{StateKey, Status};
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::contracts::{Ping, Pong, Router, Token};
use judge::{OracleError, Report};
use primitives::{AttemptId, ShardId, Slot};
use proof::{DeliveryStatus, MessageId, domain_of};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use wire::shard::OutcomeQuery;

sol! {
    /// What the audit reads of `contracts/src/Counter.sol`.
    interface Counted {
        function count() external view returns (uint256);
    }
}

/// Where `Token` keeps `balanceOf`, after name, symbol and supply.
const BALANCES_SLOT: U256 = U256::from_limbs([3, 0, 0, 0]);

/// Outcomes asked for at once.
const OUTCOMES_COUNT: usize = 100;

/// How long attempts may take to end after the last node is back: their deadline, grace, and some times of asking.
const DECIDED_WITHIN: Duration = Duration::from_secs(30);

/// What the audit found: numbers for people; what is wrong is an error.
#[derive(Debug, Clone)]
pub struct Found {
    /// How long it took until no key that users touch was locked.
    pub unlocked_after: Duration,
    /// What one plain EVM was compared with.
    pub oracle: Report,
}

/// Audits a network whose nodes are all up and whose load has ended, and stops it.
///
/// # Errors
/// What is lost, doubled or open, or how the stores differ from one plain EVM.
pub async fn audit(net: Testnet, diaries: &[Diary]) -> Result<Found> {
    told(diaries);
    let unlocked_after = inspect(&net, diaries).await?;
    let oracle = stopped(net)?;
    println!("oracle: {oracle}");
    println!("nothing locked {unlocked_after:?} after the end");
    Ok(Found { unlocked_after, oracle })
}

/// The part of the audit that asks the running network; how long it took until no key that users touch was locked.
///
/// # Errors
/// As [`audit`].
pub async fn inspect(net: &Testnet, diaries: &[Diary]) -> Result<Duration> {
    let client = net.cluster.client(0)?;
    let unlocked_after = unlocked(net, &client).await?;
    homes(net, &client, diaries).await?;
    messages(net, &client, diaries).await?;
    books(net, &client, diaries).await?;
    Ok(unlocked_after)
}

fn entries(diaries: &[Diary]) -> impl Iterator<Item = (Address, &Entry)> {
    diaries.iter().flat_map(|diary| diary.entries.iter().map(|entry| (diary.user, entry)))
}

fn told(diaries: &[Diary]) {
    let count = entries(diaries).count();
    let again = entries(diaries).filter(|(_, entry)| entry.tries > 1).count();
    let found = entries(diaries).filter(|(_, entry)| !entry.acknowledged).count();
    let longest = entries(diaries).map(|(_, entry)| entry.took).max().unwrap_or_default();
    println!("{count} transactions, {again} sent more than once, {found} found at home, the longest took {longest:?}");
}

/// Waits until no key that users touch is locked; how long that took.
async fn unlocked(net: &Testnet, client: &Client) -> Result<Duration> {
    let begun = Instant::now();
    until("every lock to be released", || async { Ok(locked(net, client).await?.is_empty().then_some(())) }).await?;
    Ok(begun.elapsed())
}

/// The keys, of those that users touch, that an undecided attempt may change.
pub async fn locked(net: &Testnet, client: &Client) -> Result<Vec<StateKey>> {
    Ok(held(net, client, None).await?.into_iter().map(|(key, _)| key).collect())
}

/// The undecided attempts that may change keys of users, as all shards but `away` say.
pub async fn holders(net: &Testnet, client: &Client, away: Option<ShardId>) -> Result<BTreeSet<AttemptId>> {
    Ok(held(net, client, away).await?.into_iter().map(|(_, holder)| holder).collect())
}

async fn held(net: &Testnet, client: &Client, away: Option<ShardId>) -> Result<Vec<(StateKey, AttemptId)>> {
    let placement = &net.cluster.network().placement;
    let mut keys: BTreeMap<ShardId, Vec<StateKey>> = BTreeMap::new();
    for key in touched(net) {
        keys.entry(placement.owner(key)).or_default().push(key);
    }
    let mut held = Vec::new();
    for (shard, keys) in keys.into_iter().filter(|(shard, _)| Some(*shard) != away) {
        for keys in keys.chunks(32) {
            let read = client.shard(shard).read_state(keys, &BTreeSet::new()).await?;
            let holders = keys.iter().zip(&read.values).filter_map(|(key, value)| Some((*key, value.locked_by?)));
            held.extend(holders);
        }
    }
    Ok(held)
}

fn touched(net: &Testnet) -> Vec<StateKey> {
    let market = net.contracts.market;
    let balance =
        |token, holder: Address| StateKey::Slot(token, keccak256((holder, BALANCES_SLOT).abi_encode()).into());
    let counters = net.contracts.counters.map(|counter| StateKey::Slot(counter, U256::ZERO));
    let pair = (0..4_u64).map(|slot| StateKey::Slot(market.pair, U256::from(slot)));
    let ping = (0..6_u64).map(|slot| StateKey::Slot(net.contracts.ping, U256::from(slot)));
    let users = net.users.iter().map(fixtures::wallet::Wallet::address);
    let users =
        users.flat_map(|user| [StateKey::Account(user), balance(market.gold, user), balance(market.salt, user)]);
    users.chain(counters).chain(pair).chain(ping).collect()
}

/// Every transaction is at its sender's home, with the outcome its user was told, once; nonces count them.
async fn homes(net: &Testnet, client: &Client, diaries: &[Diary]) -> Result<()> {
    let mut recorded: BTreeMap<B256, usize> = BTreeMap::new();
    for shard in (0..SHARDS_COUNT).map(ShardId) {
        let mut query =
            OutcomeQuery { from: Slot(0), to: Some(Slot(u64::MAX)), cursor: None, count_max: OUTCOMES_COUNT };
        loop {
            let page = client.shard(shard).outcomes(query).await?;
            for record in page.outcomes {
                *recorded.entry(record.transaction).or_default() += 1;
            }
            match page.next {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
    }
    for diary in diaries {
        let home = client.shard(net.cluster.network().placement.shard_of(diary.user));
        for entry in &diary.entries {
            let Entry { action, transaction, outcome, .. } = entry;
            let record = home.outcome(*transaction).await.wrap_err_with(|| format!("LOST: {transaction}"))?;
            ensure!(record.outcome == *outcome, "{transaction} did something else than its user was told");
            let times = recorded.get(transaction).copied().unwrap_or_default();
            ensure!(times == 1, "{transaction} is recorded {times} times");
            ensure!(outcome.status == Status::Success, "{transaction} ({action:?}) ended as {:?}", outcome.status);
        }
        let nonce = client.rpc().nonce(diary.user).await?;
        let expected = diary.first_nonce + diary.entries.len() as u64;
        ensure!(nonce == expected, "the nonce of {} is {nonce}, not {expected}", diary.user);
    }
    Ok(())
}

/// Tokens and counters are what the diaries add up to.
async fn books(net: &Testnet, client: &Client, diaries: &[Diary]) -> Result<()> {
    let start = (U256::from(POCKET), U256::ZERO);
    let mut books: BTreeMap<Address, (U256, U256)> = diaries.iter().map(|diary| (diary.user, start)).collect();
    let mut counted = 0;
    for (user, entry) in entries(diaries) {
        let mut change = |who: Address, change: &dyn Fn(&mut (U256, U256))| {
            books.get_mut(&who).map(change).ok_or_else(|| eyre!("{who} is no user"))
        };
        match &entry.action {
            Action::Give { to, gold } => {
                change(*to, &|own| own.0 += U256::from(*gold))?;
                change(user, &|own| own.0 = own.0.wrapping_sub(U256::from(*gold)))?;
            }
            Action::Swap { gold } => {
                let bought = Router::swapExactTokensForTokensCall::abi_decode_returns(&entry.outcome.output)?;
                change(user, &|own| *own = (own.0.wrapping_sub(U256::from(*gold)), own.1 + bought))?;
            }
            Action::Count => counted += 1,
            Action::Send { .. } => {}
        }
    }
    for (user, expected) in books {
        let holder = user;
        let gold = client.view(net.contracts.market.gold, &Token::balanceOfCall { holder }).await?;
        let salt = client.view(net.contracts.market.salt, &Token::balanceOfCall { holder }).await?;
        ensure!((gold, salt) == expected, "{user} has {gold} gold and {salt} salt, by its diary {expected:?}");
    }
    for counter in net.contracts.counters {
        let count = client.view(counter, &Counted::countCall {}).await?;
        ensure!(count == U256::from(counted), "counter {counter} is at {count}, was raised {counted} times");
    }
    Ok(())
}

/// Every message arrived exactly once and its sender knows.
async fn messages(net: &Testnet, client: &Client, diaries: &[Diary]) -> Result<()> {
    let (sender, recipient) = (net.contracts.ping, net.contracts.pong);
    let domain = domain_of(net.cluster.network().params.network, SOURCE);
    let mut sent = 0;
    for (_, entry) in entries(diaries) {
        let Action::Send { body } = &entry.action else { continue };
        let id = MessageId(Ping::sendCall::abi_decode_returns(&entry.outcome.output)?);
        let (_, status) = client.acknowledged(SOURCE, id).await?;
        ensure!(status == DeliveryStatus::Delivered, "message {id} ended as {status:?}");
        let key = keccak256((domain, sender.into_word(), body.clone()).abi_encode_params());
        let count = client.view(recipient, &Pong::countOfCall { key }).await?;
        ensure!(count == U256::ONE, "message {id} arrived {count} times on shard {DESTINATION}");
        sent += 1;
    }
    let received = client.view(recipient, &Pong::receivedCountCall {}).await?;
    let delivered = client.view(sender, &Ping::deliveredCountCall {}).await?;
    let counts = (received, delivered);
    ensure!(
        counts == (U256::from(sent), U256::from(sent)),
        "{sent} messages sent, received and acknowledged {counts:?}"
    );
    println!("{sent} messages, each arrived once and was acknowledged");
    Ok(())
}

/// Stops every node cleanly and holds the stores against one plain EVM (I8, I9, I16).
///
/// What is undecided then has to end among the shards alone (R8): they come back without a coordinator until it has.
fn stopped(mut net: Testnet) -> Result<Report> {
    let nodes = net.nodes();
    for node in nodes.iter().rev() {
        net.cluster.terminate(*node)?;
    }
    let network = net.cluster.network().clone();
    let stores = judge::stores(&network, net.dir());
    let give_up = Instant::now() + DECIDED_WITHIN;
    loop {
        let open = match judge::check(&network, &stores) {
            Ok(report) if report.undecided == 0 => {
                ensure!(report.messages_under_way == 0, "{} messages are under way", report.messages_under_way);
                return Ok(report);
            }
            Ok(report) => format!("{} attempts are undecided", report.undecided),
            Err(error @ OracleError::Partial { .. }) => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        ensure!(Instant::now() < give_up, "after {DECIDED_WITHIN:?} of the shards alone: {open}");
        println!("{open}; the shards go on alone");
        let executors = || (0..SHARDS_COUNT).map(cluster::Node::Executor);
        executors().try_for_each(|node| net.cluster.restart(node))?;
        executors().try_for_each(|node| net.cluster.wait_ready(node))?;
        std::thread::sleep(Duration::from_secs(2));
        executors().try_for_each(|node| net.cluster.terminate(node))?;
    }
}
