//! A decentralised market over four shards: two tokens, a pair and a router that know nothing of shards.
//!
//! ```text
//! shard 3: router ──> shard 2: pair ──> shard 0: gold
//!             └─────────────────┴─────> shard 1: salt        one transaction, four participants, all or none
//! ```

use super::report::{Report, same};
use super::stage::Stage;
use crate::client::{Client, Ended, Settled};
use crate::contracts::{Artifact, Pair, Router, Token};
use crate::wallet::{Call, Wallet};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolValue};
use evm::{Outcome, Status};
use eyre::{Result, ensure};
use primitives::ShardId;
use wire::Reason;

/// Where the router lives.
pub(super) const ROUTER_SHARD: u32 = 3;
/// What the provider pays in of gold; twice as much of salt.
const LIQUIDITY: u64 = 1_000_000;
/// What each user has of both tokens at the start.
const POCKET: u64 = 10_000;
/// What a user sells.
const SOLD: u64 = 1_000;

/// Where the market's contracts are.
#[derive(Debug, Clone, Copy)]
pub struct Market {
    /// A token.
    pub gold: Address,
    /// The other token.
    pub salt: Address,
    /// Where they are exchanged.
    pub pair: Address,
    /// The way into the pair.
    pub router: Address,
}

impl Market {
    /// The market whose contracts `deployer` creates with its next four transactions.
    pub fn of(deployer: &Wallet) -> Self {
        let contract = |number| deployer.address().create(deployer.nonce() + number);
        Self { gold: contract(0), salt: contract(1), pair: contract(2), router: contract(3) }
    }

    /// A shard of its own for each of them.
    pub fn pins(&self) -> [(Address, u32); 4] {
        [(self.gold, 0), (self.salt, 1), (self.pair, 2), (self.router, ROUTER_SHARD)]
    }

    /// Creates the contracts, in the order that [`Market::of`] expects.
    pub async fn deploy(&self, client: &Client, deployer: &mut Wallet) -> Result<Vec<Settled>> {
        let token = |name: &str, symbol: &str| Artifact::TOKEN.init_code(&(name, symbol).abi_encode_params());
        let codes = [
            token("Gold", "GLD")?,
            token("Salt", "SLT")?,
            Artifact::PAIR.init_code(&(self.gold, self.salt).abi_encode_params())?,
            Artifact::ROUTER.init_code(&[])?,
        ];
        let mut settled = Vec::new();
        for (code, (expected, _)) in codes.into_iter().zip(self.pins()) {
            let created = client.succeed(deployer, &Call::create(code)).await?;
            same("the new contract's address", &created.first()?.created, &Some(expected))?;
            settled.push(created);
        }
        Ok(settled)
    }

    /// Mints `amount` of both tokens for `user`, who then lets the router take them.
    pub async fn endow(&self, client: &Client, owner: &mut Wallet, user: &mut Wallet, amount: U256) -> Result<()> {
        for token in [self.gold, self.salt] {
            let mint = Token::mintCall { to: user.address(), amount };
            client.succeed(owner, &Call::to(token, mint.abi_encode())).await?;
            self.allow(client, user, token).await?;
        }
        Ok(())
    }

    /// Lets the router take `user`'s `token`.
    pub async fn allow(&self, client: &Client, user: &mut Wallet, token: Address) -> Result<()> {
        let approve = Token::approveCall { spender: self.router, amount: U256::MAX };
        client.succeed(user, &Call::to(token, approve.abi_encode())).await.map(|_| ())
    }

    /// Pays `gold` and `salt` of `provider` into the pair.
    pub async fn provide(&self, client: &Client, provider: &mut Wallet, gold: U256, salt: U256) -> Result<Settled> {
        let call = Router::addLiquidityCall {
            pair: self.pair,
            amount0: gold,
            amount1: salt,
            to: provider.address(),
            deadline: U256::MAX,
        };
        client.succeed(provider, &Call::to(self.router, call.abi_encode())).await
    }

    /// The call that sells `amount` of gold for at least `minimum` of salt, for `user`.
    pub fn swap(&self, user: Address, amount: U256, minimum: U256) -> Call {
        let call = Router::swapExactTokensForTokensCall {
            amountIn: amount,
            amountOutMin: minimum,
            tokenIn: self.gold,
            pair: self.pair,
            to: user,
            deadline: U256::MAX,
        };
        Call::to(self.router, call.abi_encode())
    }

    /// What selling `amount` of gold must give: the contracts' formula, written anew.
    pub async fn quote(&self, client: &Client, amount: U256) -> Result<U256> {
        let reserve0 = client.view(self.pair, &Pair::reserve0Call {}).await?;
        let reserve1 = client.view(self.pair, &Pair::reserve1Call {}).await?;
        let paid = amount * U256::from(997);
        Ok(reserve1 * paid / (reserve0 * U256::from(1000) + paid))
    }

    /// Everything of `user` that a transaction of the market may change, and the reserves.
    pub(super) async fn books(&self, client: &Client, user: Address) -> Result<Books> {
        let holder = user;
        Ok(Books {
            gold: client.view(self.gold, &Token::balanceOfCall { holder }).await?,
            salt: client.view(self.salt, &Token::balanceOfCall { holder }).await?,
            reserve0: client.view(self.pair, &Pair::reserve0Call {}).await?,
            reserve1: client.view(self.pair, &Pair::reserve1Call {}).await?,
            nonce: client.rpc().nonce(user).await?,
            wei: client.rpc().balance(user).await?,
        })
    }
}

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
    let books = market.books(client, provider.address()).await?;
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
    let (before, bought) = (market.books(client, alice.address()).await?, market.quote(client, sold).await?);
    let settled = client.succeed(alice, &market.swap(alice.address(), sold, bought)).await?;
    let outcome = settled.first()?;
    let returned = Router::swapExactTokensForTokensCall::abi_decode_returns(&outcome.output)?;
    same("the amount returned", &returned, &bought)?;
    let after = market.books(client, alice.address()).await?;
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
    let (before, quote) = (market.books(client, alice.address()).await?, market.quote(client, sold).await?);
    let settled = client.send(alice, &market.swap(alice.address(), sold, quote + U256::ONE)).await?;
    let outcome = settled.first()?;
    same("its status", &outcome.status, &Status::Reverted)?;
    let reason = Router::InsufficientOutput::abi_decode(&outcome.output)?;
    same("its reason", &(reason.amountOut, reason.amountOutMin), &(quote, quote + U256::ONE))?;
    ensure!(outcome.logs.is_empty(), "it left {} logs", outcome.logs.len());
    let after = market.books(client, alice.address()).await?;
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
    let before = (market.books(&client, alice.address()).await?, market.books(&client, bob.address()).await?);
    let transactions = bundle(stage, quote + U256::ONE)?;
    let rejection = match client.submit_bundle(transactions).await? {
        Ended::Refused(rejection) => rejection,
        Ended::Committed(settled) => eyre::bail!("it committed as {}", settled.id),
    };
    same("why it was refused", &rejection.reason, &Reason::BundleFailed)?;
    let after = (market.books(&client, alice.address()).await?, market.books(&client, bob.address()).await?);
    same("both users' books", &after, &before)?;
    // Neither transaction happened, so neither nonce is used.
    (stage.alice, stage.bob) = (alice, bob);
    Ok((rejection.to_string(), ()))
}

async fn bundle_committed(stage: &mut Stage) -> Result<(String, ())> {
    let (client, market) = (stage.client.clone(), stage.market);
    let before = market.books(&client, stage.bob.address()).await?;
    let quote = market.quote(&client, U256::from(SOLD)).await?;
    let transactions = bundle(stage, quote)?;
    let settled = client.submit_bundle(transactions).await?.committed()?;
    same("outcomes", &settled.outcomes.len(), &2)?;
    let sale = &settled.outcomes[1];
    let expected = before.after_swap(sale, U256::from(SOLD), quote);
    let after = market.books(&client, stage.bob.address()).await?;
    same("the seller's books", &after, &Books { gold: expected.gold + U256::from(SOLD), ..expected })?;
    Ok((format!("2 users, 2 transactions, 1 attempt, {} shards", settled.participants.len()), ()))
}
