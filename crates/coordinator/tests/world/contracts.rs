//! The project's own contracts, and how to call them.

use super::{World, call, create, user};
use alloy_primitives::{Address, U256, keccak256};
use primitives::ShardId;
use std::collections::BTreeMap;

/// What the deployer's contracts are, by its nonce.
pub const TOKEN_A: u64 = 0;
pub const TOKEN_B: u64 = 1;
pub const PAIR: u64 = 2;
pub const ROUTER: u64 = 3;
pub const CALLER: u64 = 4;
pub const COUNTERS: [u64; 4] = [5, 6, 7, 8];

/// The user who deploys; the others trade.
pub const DEPLOYER: u16 = 1;

/// The address of the deployer's contract of this nonce.
pub fn contract(nonce: u64) -> Address {
    user(DEPLOYER).address().create(nonce)
}

fn code(name: &str) -> Vec<u8> {
    let path = format!("{}/../../contracts/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).expect("an artifact")).expect("JSON");
    alloy_primitives::hex::decode(json["bytecode"].as_str().expect("bytecode")).expect("hex")
}

pub fn word(number: impl TryInto<U256, Error: std::fmt::Debug>) -> [u8; 32] {
    number.try_into().expect("256 bits").to_be_bytes()
}

pub fn at(address: Address) -> [u8; 32] {
    address.into_word().0
}

/// Call data: the selector of `signature`, then words.
pub fn abi(signature: &str, words: &[[u8; 32]]) -> Vec<u8> {
    [&keccak256(signature)[..4], &words.concat()].concat()
}

fn strings(name: &str, symbol: &str) -> Vec<u8> {
    let text = |text: &str| {
        let mut bytes = [0; 32];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        [word(U256::from(text.len())), bytes].concat()
    };
    [word(U256::from(64)).to_vec(), word(U256::from(128)).to_vec(), text(name), text(symbol)].concat()
}

/// Where a token holds somebody's balance is its own business; so it is asked by running it.
pub fn deploy_all(world: &mut World) {
    let deployer = user(DEPLOYER);
    let tokens = [at(contract(TOKEN_A)), at(contract(TOKEN_B))].concat();
    let codes = [
        [code("Token"), strings("Apple", "APL")].concat(),
        [code("Token"), strings("Banana", "BNN")].concat(),
        [code("Pair"), tokens].concat(),
        code("Router"),
        code("Caller"),
        code("Counter"),
        code("Counter"),
        code("Counter"),
        code("Counter"),
    ];
    for (nonce, code) in codes.into_iter().enumerate() {
        let committed = world.commit(create(&deployer, nonce as u64, code));
        assert_eq!(committed.outcomes[0].status, evm::Status::Success);
        assert_eq!(committed.outcomes[0].created, Some(contract(nonce as u64)));
    }
}

/// A market: both tokens minted to `users`, the router allowed, the pool filled.
pub fn open_market(world: &mut World, users: &[u16]) {
    let deployer = user(DEPLOYER);
    let mut nonce = world.account(deployer.address()).nonce;
    let mut mint = |world: &mut World, to: Address| {
        for token in [TOKEN_A, TOKEN_B] {
            let input = abi("mint(address,uint256)", &[at(to), word(U256::from(1_000_000_000_u64))]);
            let committed = world.commit(call(&deployer, nonce, contract(token), input));
            assert_eq!(committed.outcomes[0].status, evm::Status::Success);
            nonce += 1;
        }
    };
    for seed in users {
        mint(world, user(*seed).address());
        let trader = user(*seed);
        for token in [TOKEN_A, TOKEN_B] {
            let nonce = world.account(trader.address()).nonce;
            let input = abi("approve(address,uint256)", &[at(contract(ROUTER)), word(U256::MAX)]);
            world.commit(call(&trader, nonce, contract(token), input));
        }
    }
    let provider = user(users[0]);
    let nonce = world.account(provider.address()).nonce;
    let amount = word(U256::from(100_000_000_u64));
    let words = [at(contract(PAIR)), amount, amount, at(provider.address()), word(U256::MAX)];
    let input = abi("addLiquidity(address,uint256,uint256,address,uint256)", &words);
    let committed = world.commit(call(&provider, nonce, contract(ROUTER), input));
    assert_eq!(committed.outcomes[0].status, evm::Status::Success);
}

/// A swap of `amount` of token A for at least `least` of token B.
pub fn swap(to: Address, amount: u64, least: u64) -> Vec<u8> {
    let words = [
        word(U256::from(amount)),
        word(U256::from(least)),
        at(contract(TOKEN_A)),
        at(contract(PAIR)),
        at(to),
        word(U256::MAX),
    ];
    abi("swapExactTokensForTokens(uint256,uint256,address,address,address,uint256)", &words)
}

pub fn increment(by: u64) -> Vec<u8> {
    abi("increment(uint256)", &[word(U256::from(by))])
}

/// Increments all these counters in one call.
pub fn increment_all(counters: &[u64]) -> Vec<u8> {
    let mut words = vec![word(U256::from(32)), word(U256::from(counters.len()))];
    words.extend(counters.iter().map(|counter| at(contract(*counter))));
    abi("incrementAll(address[])", &words)
}

/// Token A, token B, pair and router on shards 0 to 3 as far as there are so many, caller and counters likewise.
pub fn spread(shards: u32) -> BTreeMap<Address, ShardId> {
    let contracts = [TOKEN_A, TOKEN_B, PAIR, ROUTER, CALLER].into_iter().chain(COUNTERS);
    contracts.enumerate().map(|(place, nonce)| (contract(nonce), ShardId(place as u32 % shards))).collect()
}
