//! Users with keys and contracts in their places: the genesis of every scenario, made once.
//!
//! Promise: contracts are those of `contracts/`, deployed by their own constructors on one plain EVM; what results is the
//! genesis, so a run starts with them and pays nothing for it.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolConstructor, sol};
use evm::{
    AccountState, Environment, Environments, NetworkParams, Payload, PayloadVerifier, Placement, RecoveredPayload,
    Spec, State,
};
use primitives::{Millis, NetworkId, ShardId, Time, Verified};
use shard::{GenesisAccount, GenesisAccounts};
use std::collections::BTreeMap;
use std::sync::OnceLock;

sol! {
    interface IToken {
        function mint(address to, uint256 amount) external;
        function approve(address spender, uint256 amount) external returns (bool);
        function transfer(address to, uint256 amount) external returns (bool);
    }
    interface IPair {
        function mint(address to) external returns (uint256 shares);
    }
    interface IRouter {
        function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address tokenIn, address pair, address to, uint256 deadline) external returns (uint256 amountOut);
    }
    interface ICounter {
        function increment(uint256 amount) external returns (uint256);
        function fail(uint256 amount) external;
    }
    interface ICaller {
        function incrementAll(address[] counters) external returns (uint256 sum);
        function survive(address kept, address failing) external returns (bytes memory reason);
        function bounce(address other, uint256 depth) external returns (uint256 trace);
    }
    interface IPing {
        function send(uint32 destination, bytes32 recipient, bytes body, uint64 gasLimit, uint64 deadlineMs) external payable returns (bytes32 id);
    }
    interface IMailbox {
        function dispatch(uint32 destination, bytes32 recipient, bytes body, uint64 gasLimit, uint64 deadlineMs) external payable returns (bytes32 id);
    }
    interface IPong {
        function setRefusing(bool refusing) external;
    }
    contract TokenMaker { constructor(string name, string symbol); }
    contract PairMaker { constructor(address token0, address token1); }
    contract MailboxUser { constructor(address mailbox); }
}

/// The network of every scenario.
pub(crate) const NETWORK: NetworkId = NetworkId(1337);

/// Users of a town.
pub(crate) const USERS_COUNT: usize = 12;

/// What each user has at first, wei.
const WEALTH: U256 = U256::from_limbs([0x0de0_b6b3_a764_0000, 0, 0, 0]);

/// Gas of a transaction.
const GAS_LIMIT: u64 = 2_000_000;

/// Adds one to its slot 0, or to that of whoever runs it as its own.
pub(crate) const LIBRARY: [u8; 8] = [0x5f, 0x54, 0x60, 0x01, 0x01, 0x5f, 0x55, 0x00];

/// Runs the code of the address in its call data as its own: four empty ranges, the address, all gas, DELEGATECALL.
const BORROWER: [u8; 9] = [0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x35, 0x5a, 0xf4, 0x00];

/// Init code that leaves `code`, at most 32 bytes: pushes it, stores it at 0 and returns the end of that word.
pub(crate) fn made(code: &[u8]) -> Vec<u8> {
    let length = code.len() as u8;
    [&[0x5f + length], code, &[0x5f, 0x52, 0x60, length, 0x60, 32 - length, 0xf3]].concat()
}

/// A user.
#[derive(Debug)]
pub struct User {
    signer: PrivateKeySigner,
    /// Its address.
    pub address: Address,
}

/// Users and contracts over three shards.
#[derive(Debug)]
pub struct Town {
    /// The network.
    pub params: NetworkParams,
    /// Who lives where.
    pub placement: Placement,
    /// Everything that is there at first.
    pub genesis: GenesisAccounts,
    /// User n lives on shard n modulo the number of shards.
    pub users: Vec<User>,
    /// Two tokens, on shards 0 and 1.
    pub tokens: [Address; 2],
    /// Their pair, on shard 2.
    pub pair: Address,
    /// A router, on shard 1.
    pub router: Address,
    /// A counter on each shard.
    pub counters: Vec<Address>,
    /// A caller on each shard.
    pub callers: Vec<Address>,
    /// On each shard a contract that runs others' code as its own.
    pub borrowers: Vec<Address>,
    /// On each shard a contract that lends its code.
    pub libraries: Vec<Address>,
    /// A sender of messages on each shard.
    pub pings: Vec<Address>,
    /// A receiver of messages on each shard.
    pub pongs: Vec<Address>,
}

static TOWN: OnceLock<Town> = OnceLock::new();

/// How many shards a town has.
pub(crate) const SHARDS_COUNT: u32 = 3;

/// The town. Made when first asked for, in some 20 ms.
///
/// # Panics
/// If a contract of `contracts/artifacts` does not deploy.
pub fn town() -> &'static Town {
    TOWN.get_or_init(|| Builder::new().build())
}

impl User {
    #[allow(clippy::expect_used, reason = "the seed is a key")]
    fn new(number: usize) -> Self {
        let mut seed = [0x77; 32];
        seed[0] = number as u8 + 1;
        let signer = PrivateKeySigner::from_bytes(&B256::new(seed)).expect("a key");
        Self { address: signer.address(), signer }
    }

    /// A signed transaction.
    #[allow(clippy::expect_used, reason = "the key is at hand")]
    pub fn sign(&self, nonce: u64, to: TxKind, value: U256, input: Vec<u8>) -> Vec<u8> {
        let transaction = TxEip1559 {
            chain_id: NETWORK.0,
            nonce,
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: 10,
            max_priority_fee_per_gas: 1,
            to,
            value,
            input: Bytes::from(input),
            ..TxEip1559::default()
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash()).expect("a signature");
        TxEnvelope::Eip1559(transaction.into_signed(signature)).encoded_2718()
    }
}

/// Deploys on one plain EVM.
struct Builder {
    params: NetworkParams,
    one: Placement,
    state: State,
    users: Vec<User>,
    nonce: u64,
    pins: BTreeMap<Address, ShardId>,
}

#[allow(clippy::expect_used, reason = "a town that cannot be built is a broken build")]
impl Builder {
    fn new() -> Self {
        let users: Vec<User> = (0..=USERS_COUNT).map(User::new).collect();
        let account = AccountState::with_balance(WEALTH);
        let accounts = users.iter().map(|user| (user.address, account)).collect();
        let pins = users.iter().enumerate();
        Self {
            params: NetworkParams {
                network: NETWORK,
                genesis: Time(0),
                slot_length: Millis(500),
                base_fee: 0,
                gas_limit: 30_000_000,
                beneficiary: Address::repeat_byte(0xfe),
                spec: Spec::default(),
                environments: Environments::Slots,
                takes_unprotected: false,
            },
            one: Placement::new(1, 1, BTreeMap::new()).expect("one shard"),
            state: State { accounts, ..State::default() },
            pins: pins.map(|(number, user)| (user.address, on(number))).collect(),
            users,
            nonce: 0,
        }
    }

    /// The last user founds the town, and does nothing after.
    fn transact(&mut self, to: TxKind, input: Vec<u8>) -> Option<Address> {
        let bytes = self.users[USERS_COUNT].sign(self.nonce, to, U256::ZERO, input);
        self.nonce += 1;
        let environment = Environment::Slot(self.params.slot_at(crate::START));
        let payload = Payload::signed(environment, bytes);
        let payload: Verified<RecoveredPayload> =
            Verified::by(&PayloadVerifier::new(self.params.clone()), payload).expect("well signed");
        let run = evm::execute(&self.params, &self.one, &payload, &self.state).expect("it runs");
        let outcome = &run.effects.outcomes[0];
        assert!(outcome.status == evm::Status::Success, "the town is not founded: {outcome:?}");
        self.state.apply(&run.effects.changes).expect("codes under their hashes");
        outcome.created
    }

    fn deploy(&mut self, name: &str, arguments: &[u8], shard: usize) -> Address {
        self.place([artifact(name, "bytecode"), arguments.to_vec()].concat(), shard)
    }

    fn place(&mut self, code: Vec<u8>, shard: usize) -> Address {
        let address = self.transact(TxKind::Create, code).expect("created");
        self.pins.insert(address, on(shard));
        address
    }

    fn call(&mut self, to: Address, input: Vec<u8>) {
        self.transact(TxKind::Call(to), input);
    }

    fn build(mut self) -> Town {
        let token = |name: &str| TokenMaker::constructorCall { name: name.into(), symbol: name.into() }.abi_encode();
        let tokens = [self.deploy("Token", &token("Nut"), 0), self.deploy("Token", &token("Bolt"), 1)];
        let paired = PairMaker::constructorCall { token0: tokens[0], token1: tokens[1] }.abi_encode();
        let pair = self.deploy("Pair", &paired, 2);
        let router = self.deploy("Router", &[], 1);
        let shards = 0..SHARDS_COUNT as usize;
        let counters = shards.clone().map(|shard| self.deploy("Counter", &[], shard)).collect();
        let callers = shards.clone().map(|shard| self.deploy("Caller", &[], shard)).collect();
        let borrowers = shards.clone().map(|shard| self.place(made(&BORROWER), shard)).collect();
        let libraries = shards.clone().map(|shard| self.place(made(&LIBRARY), shard)).collect();
        let mailbox = |shard| MailboxUser::constructorCall { mailbox: evm::mailbox_address(on(shard)) }.abi_encode();
        let pings = shards.clone().map(|shard| self.deploy("Ping", &mailbox(shard), shard)).collect();
        let receivers = shards.map(|shard| self.deploy("Pong", &mailbox(shard), shard)).collect();
        self.stock(tokens, pair);
        self.approve(tokens, router);
        let placement = Placement::new(1, SHARDS_COUNT, self.pins).expect("pins to shards that are there");
        let genesis = genesis(&self.state, &placement);
        let mut users = self.users;
        users.truncate(USERS_COUNT);
        Town {
            params: self.params,
            placement,
            genesis,
            users,
            tokens,
            pair,
            router,
            counters,
            callers,
            borrowers,
            libraries,
            pings,
            pongs: receivers,
        }
    }

    /// Tokens for everybody, and liquidity for the pair.
    fn stock(&mut self, tokens: [Address; 2], pair: Address) {
        let amount = U256::from(1_000_000_000_u64);
        let users: Vec<Address> = self.users.iter().map(|user| user.address).collect();
        for token in tokens {
            for to in users.iter().chain([&pair]) {
                self.call(token, IToken::mintCall { to: *to, amount }.abi_encode());
            }
        }
        self.call(pair, IPair::mintCall { to: users[USERS_COUNT] }.abi_encode());
    }

    /// Every user lets the router take its tokens.
    fn approve(&mut self, tokens: [Address; 2], router: Address) {
        let founder = std::mem::take(&mut self.nonce);
        for number in 0..USERS_COUNT {
            self.users.swap(number, USERS_COUNT);
            self.nonce = 0;
            for token in tokens {
                self.call(token, IToken::approveCall { spender: router, amount: U256::MAX }.abi_encode());
            }
            self.users.swap(number, USERS_COUNT);
        }
        self.nonce = founder;
    }
}

fn on(number: usize) -> ShardId {
    ShardId(number as u32 % SHARDS_COUNT)
}

/// What one EVM holds, as genesis; and every shard's mailbox.
fn genesis(state: &State, placement: &Placement) -> GenesisAccounts {
    let state = state.clone().settled();
    let mut genesis: GenesisAccounts = state
        .accounts
        .iter()
        .map(|(address, account)| {
            let code = state.codes.get(&account.code_hash).map(|code| code.original_bytes().to_vec());
            let code = code.unwrap_or_default().into();
            let storage = BTreeMap::new();
            (
                *address,
                GenesisAccount { nonce: account.nonce, balance: account.balance, code, code_hash: None, storage },
            )
        })
        .collect();
    for ((address, slot), value) in &state.slots {
        if let Some(account) = genesis.get_mut(address) {
            account.storage.insert(*slot, *value);
        }
    }
    for shard in placement.shards() {
        let code = artifact("Mailbox", "deployedBytecode").into();
        genesis.insert(evm::mailbox_address(shard), GenesisAccount { nonce: 1, code, ..GenesisAccount::default() });
    }
    genesis
}

/// Bytes of a compiled contract.
#[allow(clippy::expect_used, reason = "the artifacts are part of the build")]
fn artifact(name: &str, field: &str) -> Vec<u8> {
    let text = match name {
        "Token" => include_str!("../../../../contracts/artifacts/Token.json"),
        "Pair" => include_str!("../../../../contracts/artifacts/Pair.json"),
        "Router" => include_str!("../../../../contracts/artifacts/Router.json"),
        "Counter" => include_str!("../../../../contracts/artifacts/Counter.json"),
        "Caller" => include_str!("../../../../contracts/artifacts/Caller.json"),
        "Ping" => include_str!("../../../../contracts/artifacts/Ping.json"),
        "Pong" => include_str!("../../../../contracts/artifacts/Pong.json"),
        _ => include_str!("../../../../contracts/artifacts/Mailbox.json"),
    };
    let json: serde_json::Value = serde_json::from_str(text).expect("an artifact is JSON");
    hex::decode(json[field].as_str().expect("an artifact has its bytes")).expect("bytes in hex")
}
