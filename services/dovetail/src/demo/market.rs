//! The claims of the demo about a market over four shards ([`cluster::market`]).

use super::report::{Report, same};
use super::stage::Stage;
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use cluster::client::{Client, Ended, Settled};
use cluster::market::Market;
use evm::{Outcome, Status};
use eyre::{Result, ensure};
use fixtures::contracts::{Pair, Router, Token};
use fixtures::wallet::Call;
use primitives::ShardId;
use wire::Reason;

/// What the provider pays in of gold; twice as much of salt.
const LIQUIDITY: u64 = 1_000_000;
/// What each user has of both tokens at the start.
const POCKET: u64 = 10_000;
/// What a user sells.
const SOLD: u64 = 1_000;

/// A user's and the pair's holdings at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Books {
    pub(super) gold: U256,
    pub(super) salt: U256,
    pub(super) reserve0: U256,
    pub(super) reserve1: U256,
    pub(super) nonce: u64,
    pub(super) wei: U256,
}

impl Books {
    /// Everything of `user` that a transaction of the market may change, and the reserves.
    pub(super) async fn of(market: &Market, client: &Client, user: Address) -> Result<Self> {
        let holder = user;
        Ok(Self {
            gold: client.view(market.gold, &Token::balanceOfCall { holder }).await?,
            salt: client.view(market.salt, &Token::balanceOfCall { holder }).await?,
            reserve0: client.view(market.pair, &Pair::reserve0Call {}).await?,
            reserve1: client.view(market.pair, &Pair::reserve1Call {}).await?,
            nonce: client.rpc().nonce(user).await?,
            wei: client.rpc().balance(user).await?,
        })
    }

    /// These books after a transaction that took nonce and fee and nothing else.
    pub(super) fn after_fee(self, outcome: &Outcome) -> Self {
        let fee = U256::from(outcome.gas_used) * U256::from(outcome.gas_price);
        Self { nonce: self.nonce + 1, wei: self.wei - fee, ..self }
    }

    /// The same after a swap of `sold` gold for `bought` salt, too.
    pub(super) fn after_swap(self, outcome: &Outcome, sold: U256, bought: U256) -> Self {
        Self {
            gold: self.gold - sold,
            salt: self.salt + bought,
            reserve0: self.reserve0 + sold,
            reserve1: self.reserve1 - bought,
            ..self.after_fee(outcome)
        }
    }
}

pub(super) async fn show(stage: &mut Stage, report: &mut Report) {
    report.section("A DeFi transaction over four shards");
    report.claim("a market is deployed on four shards", deployed(stage)).await;
    report.claim("users and liquidity are provided for", provided(stage)).await;
    report.claim("a swap commits on four shards", swapped(stage)).await;
    report.claim("a swap with too high a minimum costs nonce and gas, nothing else", reverted(stage)).await;
    report.claim("a bundle whose second transaction fails leaves nothing", bundle_refused(stage)).await;
    report.claim("the same bundle at a fair price commits as one", bundle_committed(stage)).await;
}

async fn deployed(stage: &mut Stage) -> Result<(String, ())> {
    let settled = stage.market.deploy(&stage.client, &mut stage.provider).await?;
    for (address, shard) in stage.market.pins() {
        same("where a contract lives", &stage.shard_of(address), &ShardId(shard))?;
    }
    let gas: u64 = settled.iter().flat_map(|one| &one.outcomes).map(|outcome| outcome.gas_used).sum();
    Ok((format!("gold 0, salt 1, pair 2, router 3, by 4 signed transactions of {gas} gas"), ()))
}

async fn provided(stage: &mut Stage) -> Result<(String, ())> {
    let Stage { client, market, provider, alice, bob, .. } = stage;
    let (gold, salt) = (U256::from(LIQUIDITY), U256::from(2 * LIQUIDITY));
    for token in [market.gold, market.salt] {
        let mint = Token::mintCall { to: provider.address(), amount: salt };
        client.succeed(provider, &Call::to(token, mint.abi_encode())).await?;
        market.allow(client, provider, token).await?;
    }
    for user in [alice, bob] {
        market.endow(client, provider, user, U256::from(POCKET)).await?;
    }
    market.provide(client, provider, gold, salt).await?;
    let books = Books::of(market, client, provider.address()).await?;
    same("reserves", &(books.reserve0, books.reserve1), &(gold, salt))?;
    Ok((format!("reserves {gold} gold and {salt} salt"), ()))
}

async fn swapped(stage: &mut Stage) -> Result<(String, ())> {
    let (settled, bought) = swap(stage).await?;
    let outcome = settled.first()?;
    check_logs(stage, outcome, bought)?;
    let shards: Vec<String> = settled.participants.iter().map(ToString::to_string).collect();
    same("participants", &settled.participants.len(), &4)?;
    ensure!(settled.attempt.is_some(), "it was no attempt");
    let seen = format!("{SOLD} gold for {bought} salt; shards {}; {} gas", shards.join(" "), outcome.gas_used);
    Ok((seen, ()))
}

/// Alice sells gold at the quoted price; what she gets, and that books and return value say the same.
pub(super) async fn swap(stage: &mut Stage) -> Result<(Settled, U256)> {
    let Stage { client, market, alice, .. } = stage;
    let sold = U256::from(SOLD);
    let (before, bought) = (Books::of(market, client, alice.address()).await?, market.quote(client, sold).await?);
    let settled = client.succeed(alice, &market.swap(alice.address(), sold, bought)).await?;
    let outcome = settled.first()?;
    let returned = Router::swapExactTokensForTokensCall::abi_decode_returns(&outcome.output)?;
    same("the amount returned", &returned, &bought)?;
    let after = Books::of(market, client, alice.address()).await?;
    same("the books after the swap", &after, &before.after_swap(outcome, sold, bought))?;
    Ok((settled, bought))
}

/// Three logs, from three shards, in the order of one EVM.
fn check_logs(stage: &Stage, outcome: &Outcome, bought: U256) -> Result<()> {
    let (market, alice) = (&stage.market, stage.alice.address());
    let logs: Vec<alloy_primitives::Log> = outcome.logs.iter().cloned().map(Into::into).collect();
    ensure!(logs.len() == 3, "{} logs where 3 are due", logs.len());
    let paid = Token::Transfer::decode_log(&logs[0])?;
    same("who paid what", &(paid.address, paid.from, paid.amount), &(market.gold, alice, U256::from(SOLD)))?;
    let received = Token::Transfer::decode_log(&logs[1])?;
    same("who got what", &(received.address, received.to, received.amount), &(market.salt, alice, bought))?;
    let swap = Pair::Swap::decode_log(&logs[2])?;
    same("the pair's log", &(swap.address, swap.in0, swap.out1), &(market.pair, U256::from(SOLD), bought))
}

async fn reverted(stage: &mut Stage) -> Result<(String, ())> {
    let Stage { client, market, alice, .. } = stage;
    let sold = U256::from(SOLD);
    let (before, quote) = (Books::of(market, client, alice.address()).await?, market.quote(client, sold).await?);
    let settled = client.send(alice, &market.swap(alice.address(), sold, quote + U256::ONE)).await?;
    let outcome = settled.first()?;
    same("its status", &outcome.status, &Status::Reverted)?;
    let reason = Router::InsufficientOutput::abi_decode(&outcome.output)?;
    same("its reason", &(reason.amountOut, reason.amountOutMin), &(quote, quote + U256::ONE))?;
    ensure!(outcome.logs.is_empty(), "it left {} logs", outcome.logs.len());
    let after = Books::of(market, client, alice.address()).await?;
    same("the books after the revert", &after, &before.after_fee(outcome))?;
    Ok((format!("InsufficientOutput({quote}, {}); {} gas", quote + U256::ONE, outcome.gas_used), ()))
}

/// Alice gives Bob gold, and Bob sells gold for at least `minimum`.
fn bundle(stage: &mut Stage, minimum: U256) -> Result<Vec<Bytes>> {
    let Stage { market, alice, bob, .. } = stage;
    let give = Token::transferCall { to: bob.address(), amount: U256::from(SOLD) };
    let sell = market.swap(bob.address(), U256::from(SOLD), minimum);
    Ok(vec![alice.sign(&Call::to(market.gold, give.abi_encode()))?, bob.sign(&sell)?])
}

async fn bundle_refused(stage: &mut Stage) -> Result<(String, ())> {
    let (alice, bob) = (stage.alice.clone(), stage.bob.clone());
    let (client, market) = (stage.client.clone(), stage.market);
    let quote = market.quote(&client, U256::from(SOLD)).await?;
    let before =
        (Books::of(&market, &client, alice.address()).await?, Books::of(&market, &client, bob.address()).await?);
    let transactions = bundle(stage, quote + U256::ONE)?;
    let rejection = match client.submit_bundle(transactions).await? {
        Ended::Refused(rejection) => rejection,
        Ended::Committed(settled) => eyre::bail!("it committed as {}", settled.id),
    };
    same("why it was refused", &rejection.reason, &Reason::BundleFailed)?;
    let after =
        (Books::of(&market, &client, alice.address()).await?, Books::of(&market, &client, bob.address()).await?);
    same("both users' books", &after, &before)?;
    // Neither transaction happened, so neither nonce is used.
    (stage.alice, stage.bob) = (alice, bob);
    Ok((rejection.to_string(), ()))
}

async fn bundle_committed(stage: &mut Stage) -> Result<(String, ())> {
    let (client, market) = (stage.client.clone(), stage.market);
    let before = Books::of(&market, &client, stage.bob.address()).await?;
    let quote = market.quote(&client, U256::from(SOLD)).await?;
    let transactions = bundle(stage, quote)?;
    let settled = client.submit_bundle(transactions).await?.committed()?;
    same("outcomes", &settled.outcomes.len(), &2)?;
    let sale = &settled.outcomes[1];
    let expected = before.after_swap(sale, U256::from(SOLD), quote);
    let after = Books::of(&market, &client, stage.bob.address()).await?;
    same("the seller's books", &after, &Books { gold: expected.gold + U256::from(SOLD), ..expected })?;
    Ok((format!("2 users, 2 transactions, 1 attempt, {} shards", settled.participants.len()), ()))
}
