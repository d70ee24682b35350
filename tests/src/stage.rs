//! What scenarios find when they begin: three shards with contracts on each, and users whose homes are known.
//!
//! ```text
//!            shard 0          shard 1             shard 2
//!  users     alice, erin      bob, dave           carol
//!  market    gold             salt, router        pair
//!  others    ping, caller     other caller        pong
//!            counter 0        counter 1           counter 2
//! ```
//!
//! Everything is deployed by ordinary transactions through coordinator 0, on a World as on real processes.

use crate::cluster::{Cluster, committed, look};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use cluster::market::Market;
use coordinator::StateValue;
use evm::{StateKey, Status, mailbox_address};
use eyre::{Result, bail, ensure};
use fixtures::contracts::{Artifact, Caller, Mailbox, Ping, Router, Token};
use fixtures::genesis;
use fixtures::wallet::{Call, Wallet};
use host::network::{Genesis, GenesisAccount};
use primitives::{Millis, ShardId};
use proof::domain_of;
use std::collections::BTreeMap;

sol! {
    /// What scenarios call of `contracts/src/Caller.sol` beyond the demo.
    interface Bouncer {
        function bounce(address other, uint256 depth) external returns (uint256 trace);
        function survive(address kept, address failing) external returns (bytes reason);
    }

    /// What scenarios call of `contracts/src/Counter.sol`.
    interface Count {
        function increment(uint256 amount) external returns (uint256);
    }
}

/// The network's chain id.
pub const NETWORK: u64 = 31_337;

/// How many shards scenarios have.
pub const SHARDS_COUNT: u32 = 3;

/// Gold that each user starts with.
pub const POCKET: u64 = 10_000;

/// How long a transaction may take where nothing is in its way.
pub const PROMPT: Millis = Millis(5_000);

/// How long a transaction may take where an attempt has to end first that others left behind: its deadline, a grace, and
/// some rounds of asking.
pub const PATIENT: Millis = Millis(20_000);

/// What the pair holds of either token.
const LIQUIDITY: u64 = 1_000_000;

/// Users' accounts are those from this number on; the first deploys.
const FIRST_USER: u32 = 200;

/// Where `Token` keeps `balanceOf`, after name, symbol and supply.
const BALANCES_SLOT: U256 = U256::from_limbs([3, 0, 0, 0]);

/// Where `Pong` keeps `countOf`, after its messages.
const COUNTS_SLOT: U256 = U256::from_limbs([1, 0, 0, 0]);

/// Where `Ping` keeps `stateOf` and `refundOf`.
const STATES_SLOT: U256 = U256::ZERO;
const REFUNDS_SLOT: U256 = U256::from_limbs([1, 0, 0, 0]);

/// What a network is started with.
#[derive(Debug, Clone)]
pub struct Ground {
    /// How many coordinators.
    pub coordinators: u32,
    /// How many relays.
    pub relays: u32,
    /// The state before the first block.
    pub genesis: Genesis,
    /// Who is where, by hand.
    pub pinned: BTreeMap<Address, u32>,
    /// How long coordinators give an attempt.
    pub attempt: Millis,
}

impl Ground {
    /// The network that scenarios start from: two coordinators, a relay.
    pub fn new() -> Result<Self> {
        let people = People::new()?;
        let contracts = Contracts::of(&people.builder);
        let mut genesis = genesis::development(NETWORK, SHARDS_COUNT)?;
        let ether = U256::from(10).pow(U256::from(21));
        let rich = GenesisAccount { balance: ether, ..GenesisAccount::default() };
        genesis.accounts.extend(people.homes().map(|(user, _)| (user, rich.clone())));
        let pinned = contracts.pins().into_iter().chain(people.homes()).collect();
        Ok(Self { coordinators: 2, relays: 1, genesis, pinned, attempt: Millis(2_000) })
    }
}

/// The contracts, by their addresses.
#[derive(Debug, Clone, Copy)]
pub struct Contracts {
    /// Two tokens, a pair and a router.
    pub market: Market,
    /// Sends messages, on shard 0.
    pub ping: Address,
    /// Receives them, on shard 2.
    pub pong: Address,
    /// Calls others, on shard 0.
    pub caller: Address,
    /// The same on shard 1.
    pub other_caller: Address,
    /// One on each shard.
    pub counters: [Address; SHARDS_COUNT as usize],
}

impl Contracts {
    fn of(builder: &Wallet) -> Self {
        let contract = |number| builder.address().create(builder.nonce() + number);
        Self {
            market: Market::of(builder),
            ping: contract(4),
            pong: contract(5),
            caller: contract(6),
            other_caller: contract(7),
            counters: [8, 9, 10].map(contract),
        }
    }

    fn pins(&self) -> Vec<(Address, u32)> {
        let Market { gold, salt, pair, router } = self.market;
        let market = [(gold, 0), (salt, 1), (pair, 2), (router, 1)];
        let others = [(self.ping, 0), (self.pong, 2), (self.caller, 0), (self.other_caller, 1)];
        market.into_iter().chain(others).chain(self.counters.into_iter().zip(0..)).collect()
    }

    /// Init codes in the order of their addresses.
    fn codes(&self) -> Result<Vec<Bytes>> {
        let token = |name: &str, symbol: &str| Artifact::TOKEN.init_code(&(name, symbol).abi_encode_params());
        let counter = || Artifact::COUNTER.init_code(&[]);
        Ok(vec![
            token("Gold", "GLD")?,
            token("Salt", "SLT")?,
            Artifact::PAIR.init_code(&(self.market.gold, self.market.salt).abi_encode_params())?,
            Artifact::ROUTER.init_code(&[])?,
            Artifact::PING.init_code(&mailbox_address(ShardId(0)).abi_encode())?,
            Artifact::PONG.init_code(&mailbox_address(ShardId(2)).abi_encode())?,
            Artifact::CALLER.init_code(&[])?,
            Artifact::CALLER.init_code(&[])?,
            counter()?,
            counter()?,
            counter()?,
        ])
    }

    /// Raises all counters in one transaction.
    pub fn count_all(&self) -> Call {
        Call::to(self.caller, Caller::incrementAllCall { counters: self.counters.to_vec() }.abi_encode())
    }

    /// Gives `to` so much gold.
    pub fn give_gold(&self, to: Address, amount: u64) -> Call {
        Call::to(self.market.gold, Token::transferCall { to, amount: U256::from(amount) }.abi_encode())
    }

    /// Sends a message with this body and value from shard 0 to `recipient`, whose shard is `destination`.
    pub fn send(&self, letter: &Letter) -> Call {
        let send = Ping::sendCall {
            destination: domain_of(primitives::NetworkId(NETWORK), letter.destination),
            recipient: letter.recipient.into_word(),
            body: letter.body.clone(),
            gasLimit: letter.gas,
            deadlineMs: letter.deadline.0,
        };
        Call::to(self.ping, send.abi_encode()).with_value(letter.value)
    }

    /// The same of a user itself, through this shard's mailbox.
    pub fn dispatch(&self, through: ShardId, letter: &Letter) -> Call {
        let dispatch = Mailbox::dispatchCall {
            destination: domain_of(primitives::NetworkId(NETWORK), letter.destination),
            recipient: letter.recipient.into_word(),
            body: letter.body.clone(),
            gasLimit: letter.gas,
            deadlineMs: letter.deadline.0,
        };
        Call::to(mailbox_address(through), dispatch.abi_encode()).with_value(letter.value)
    }
}

/// A message that a user has `Ping` send.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The recipient's shard.
    pub destination: ShardId,
    /// The recipient.
    pub recipient: Address,
    /// The body.
    pub body: Bytes,
    /// Gas for the recipient.
    pub gas: u64,
    /// Until when it may arrive.
    pub deadline: primitives::Time,
    /// Wei that go with it.
    pub value: U256,
}

/// The users, each with the nonce it uses next.
#[derive(Debug, Clone)]
pub struct People {
    /// Deploys everything and owns the tokens; at home on shard 0.
    pub builder: Wallet,
    /// At home on shard 0.
    pub alice: Wallet,
    /// At home on shard 1.
    pub bob: Wallet,
    /// At home on shard 2.
    pub carol: Wallet,
    /// At home on shard 1.
    pub dave: Wallet,
    /// At home on shard 0.
    pub erin: Wallet,
}

impl People {
    fn new() -> Result<Self> {
        let wallet = |number| Wallet::development(NETWORK, FIRST_USER + number);
        Ok(Self {
            builder: wallet(0)?,
            alice: wallet(1)?,
            bob: wallet(2)?,
            carol: wallet(3)?,
            dave: wallet(4)?,
            erin: wallet(5)?,
        })
    }

    fn homes(&self) -> impl Iterator<Item = (Address, u32)> + '_ {
        let Self { builder, alice, bob, carol, dave, erin } = self;
        let all = [(builder, 0), (alice, 0), (bob, 1), (carol, 2), (dave, 1), (erin, 0)];
        all.into_iter().map(|(user, shard)| (user.address(), shard))
    }

    /// Those with gold.
    pub fn users(&self) -> [Address; 5] {
        [&self.alice, &self.bob, &self.carol, &self.dave, &self.erin].map(Wallet::address)
    }
}

/// A network on which a scenario can begin.
#[derive(Debug)]
pub struct Stage {
    /// The users.
    pub people: People,
    /// The contracts.
    pub contracts: Contracts,
}

impl Stage {
    /// Deploys the contracts and provides for the users.
    pub fn set<C: Cluster>(cluster: &mut C) -> Result<Self> {
        let mut people = People::new()?;
        let contracts = Contracts::of(&people.builder);
        let mut calls: Vec<Call> = contracts.codes()?.into_iter().map(Call::create).collect();
        let (builder, market, liquidity) = (people.builder.address(), contracts.market, U256::from(LIQUIDITY));
        let mint = |token, to, amount| Call::to(token, Token::mintCall { to, amount }.abi_encode());
        calls.extend(people.users().map(|user| mint(market.gold, user, U256::from(POCKET))));
        for token in [market.gold, market.salt] {
            calls.push(mint(token, builder, liquidity));
            let approve = Token::approveCall { spender: market.router, amount: U256::MAX };
            calls.push(Call::to(token, approve.abi_encode()));
        }
        let provide = Router::addLiquidityCall {
            pair: market.pair,
            amount0: liquidity,
            amount1: liquidity,
            to: builder,
            deadline: U256::MAX,
        };
        calls.push(Call::to(market.router, provide.abi_encode()));
        let mut sent = Vec::new();
        for call in &calls {
            sent.push(cluster.submit(0, &[people.builder.sign(call)?])?);
        }
        for submission in sent {
            let done = committed(cluster, submission, PATIENT)?;
            ensure!(done.outcomes[0].status == Status::Success, "the stage is not set: {:?}", done.outcomes);
        }
        Ok(Self { people, contracts })
    }

    /// Where gold is kept for `holder`.
    pub fn gold_of(&self, holder: Address) -> StateKey {
        mapped(self.contracts.market.gold, holder.into_word(), BALANCES_SLOT)
    }

    /// Where salt is kept for `holder`.
    pub fn salt_of(&self, holder: Address) -> StateKey {
        mapped(self.contracts.market.salt, holder.into_word(), BALANCES_SLOT)
    }

    /// Where the count of a shard's counter is.
    pub fn count_on(&self, shard: ShardId) -> StateKey {
        StateKey::Slot(self.contracts.counters[shard.0 as usize], U256::ZERO)
    }

    /// How often `Pong` received this body from `Ping`.
    pub fn received(&self, body: &Bytes) -> StateKey {
        let domain = domain_of(primitives::NetworkId(NETWORK), ShardId(0));
        let key = keccak256((domain, self.contracts.ping.into_word(), body.clone()).abi_encode_params());
        mapped(self.contracts.pong, key, COUNTS_SLOT)
    }

    /// How `Ping` was told that a message ended: 2 delivered, 3 failed, 4 expired.
    pub fn told(&self, message: B256) -> StateKey {
        mapped(self.contracts.ping, message, STATES_SLOT)
    }

    /// What came back to `Ping` with a message's end.
    pub fn refund(&self, message: B256) -> StateKey {
        mapped(self.contracts.ping, message, REFUNDS_SLOT)
    }

    /// The keys of users that an undecided attempt holds, with what holds them.
    pub fn held<C: Cluster>(&self, cluster: &mut C) -> Result<Vec<StateKey>> {
        let users = self.people.users();
        let accounts = users.map(StateKey::Account).into_iter();
        let gold = users.map(|user| self.gold_of(user)).into_iter();
        let counts = (0..SHARDS_COUNT).map(|shard| self.count_on(ShardId(shard)));
        let reserves = (0..3).map(|slot| StateKey::Slot(self.contracts.market.pair, U256::from(slot)));
        let keys: Vec<StateKey> = accounts.chain(gold).chain(counts).chain(reserves).collect();
        let mut held = Vec::new();
        for key in keys {
            held.extend(look(cluster, key)?.holder.map(|_| key));
        }
        Ok(held)
    }

    /// Numbers of the state, in the order of their keys.
    pub fn numbers<C: Cluster, const N: usize>(&self, cluster: &mut C, keys: [StateKey; N]) -> Result<[U256; N]> {
        let mut numbers = [U256::ZERO; N];
        for (number, key) in numbers.iter_mut().zip(keys) {
            *number = value(cluster, key)?;
        }
        Ok(numbers)
    }
}

/// A number of the state: of an account its wei.
pub fn value<C: Cluster>(cluster: &mut C, key: StateKey) -> Result<U256> {
    Ok(match look(cluster, key)?.value {
        StateValue::Account(account) => account.map_or(U256::ZERO, |account| account.balance),
        StateValue::Slot(number) | StateValue::Fees(number) => number,
    })
}

/// The next nonce of an account.
pub fn nonce<C: Cluster>(cluster: &mut C, user: Address) -> Result<u64> {
    match look(cluster, StateKey::Account(user))?.value {
        StateValue::Account(account) => Ok(account.map_or(0, |account| account.nonce)),
        other => bail!("an account that is {other:?}"),
    }
}

/// Where Solidity keeps an entry of the mapping at `slot`.
fn mapped(contract: Address, key: B256, slot: U256) -> StateKey {
    StateKey::Slot(contract, keccak256((key, slot).abi_encode()).into())
}
