//! A decentralised market over four shards: two tokens, a pair and a router that know nothing of shards.
//!
//! ```text
//! shard 3: router ──> shard 2: pair ──> shard 0: gold
//!             └─────────────────┴─────> shard 1: salt        one transaction, four participants, all or none
//! ```

use crate::client::{Client, Settled};
use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolValue};
use eyre::{Result, ensure};
use fixtures::contracts::{Artifact, Pair, Router, Token};
use fixtures::wallet::{Call, Wallet};

/// Where the router lives.
pub const ROUTER_SHARD: u32 = 3;

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
            let address = created.first()?.created;
            ensure!(address == Some(expected), "a contract is at {address:?} and not at {expected}");
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
}
