//! What test suites ask of anvil and hardhat beside a node's methods: time, state, senders and snapshots as they like them.
//!
//! ```text
//!   anvil_*, hardhat_*, evm_* ──> a command ──> Chain::cheat          eth_sendTransaction ──> named sender, no signature ──> send_raw
//! ```
//!
//! Promise: only a chain that says it has cheats has any of these methods; on every other they are -32601 as any name that
//! nobody knows. Each answers as anvil does, and is done when it answers: whatever is read at `latest` then has it in it.
//! Source: Foundry's book, "Anvil"; hardhat's reference, "Hardhat Network".

use super::arguments::{Count, Json, StorageKey, read};
use super::chain::Chain;
use super::error::{Answer, SERVER_ERROR_CODE, UNSUPPORTED_CODE, error, invalid_params};
use super::methods::serve;
use super::node::Node;
use super::view::hex;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::TransactionRequest;
use evm::Data;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use primitives::Millis;
use serde_json::{Value, json};
use shard::AccountParts;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much later each of several blocks is that are made at once, where nothing is said.
const INTERVAL: Millis = Millis(1_000);

/// What is asked of a chain with cheats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make so many blocks, each so much later than the one before it.
    Mine {
        /// How many.
        count: u64,
        /// By how much.
        interval: Millis,
    },
    /// From the next block on it is so many seconds later.
    IncreaseTime(u64),
    /// The next block has this time, in seconds since 1970.
    NextTime(u64),
    /// Parts of an account are these.
    Set {
        /// Whose.
        address: Address,
        /// Which.
        parts: AccountParts,
    },
    /// Remember the state as it is.
    Snapshot,
    /// Go back to a state that was remembered, for good.
    Revert(u64),
    /// Go back to the beginning.
    Reset,
    /// Whether each transaction closes its block.
    Automine(bool),
}

/// What became of a [`Command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was done.
    Yes,
    /// There was nothing to do it with.
    No,
    /// It was done, and came to this.
    Number(u64),
}

/// Whose transactions are taken without a signature.
#[derive(Debug, Default)]
pub(super) struct Named(Mutex<Senders>);

#[derive(Debug, Default)]
struct Senders {
    some: BTreeSet<Address>,
    all: bool,
}

impl Named {
    fn lock(&self) -> MutexGuard<'_, Senders> {
        // Each change leaves a whole set behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, sender: Address) -> bool {
        let senders = self.lock();
        senders.all || senders.some.contains(&sender)
    }
}

/// Registers one function under the names that anvil, hardhat and others have for it.
macro_rules! under_names {
    ($module:ident: $($function:ident => [$($name:literal),*],)*) => { $(serve! { $module: $($name => $function,)* })* };
}

/// Adds these methods: for a chain that has cheats.
pub(super) fn register<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    under_names! { module:
        mine_once => ["evm_mine"],
        mine => ["anvil_mine", "hardhat_mine"],
        increase_time => ["evm_increaseTime"],
        set_next_time => ["evm_setNextBlockTimestamp"],
        set_time => ["evm_setTime", "anvil_setTime"],
        set_balance => ["anvil_setBalance", "hardhat_setBalance"],
        add_balance => ["anvil_addBalance", "hardhat_addBalance"],
        set_nonce => ["anvil_setNonce", "hardhat_setNonce", "evm_setAccountNonce"],
        set_code => ["anvil_setCode", "hardhat_setCode"],
        set_storage_at => ["anvil_setStorageAt", "hardhat_setStorageAt"],
        snapshot => ["evm_snapshot", "anvil_snapshot"],
        revert => ["evm_revert", "anvil_revert"],
        reset => ["anvil_reset", "hardhat_reset"],
        set_automine => ["evm_setAutomine"],
        send_named => ["eth_sendTransaction"],
        node_info => ["anvil_nodeInfo"],
        metadata => ["hardhat_metadata", "anvil_metadata"],
    }
    for (name, why) in REFUSED {
        module.register_method(name, move |_, _, _| Err::<(), _>(error(UNSUPPORTED_CODE, *why)))?;
    }
    register_settings(module)
}

/// Registers what changes nothing but this node, under anvil's name and hardhat's.
fn register_settings<C: Chain>(module: &mut RpcModule<Node<C>>) -> Result<(), RegisterMethodError> {
    for name in ["anvil_impersonateAccount", "hardhat_impersonateAccount"] {
        module.register_method(name, |params, node, _| node.impersonate(&params))?;
    }
    for name in ["anvil_stopImpersonatingAccount", "hardhat_stopImpersonatingAccount"] {
        module.register_method(name, |params, node, _| node.stop_impersonating(&params))?;
    }
    for name in ["anvil_autoImpersonateAccount", "hardhat_autoImpersonateAccount"] {
        module.register_method(name, |params, node, _| node.impersonate_all(&params))?;
    }
    for name in ["anvil_getAutomine", "hardhat_getAutomine"] {
        module.register_method(name, |_, node, _| node.chain.automines())?;
    }
    for name in ["anvil_setLoggingEnabled", "hardhat_setLoggingEnabled"] {
        module.register_method(name, |_, _, _| Value::Null)?;
    }
    Ok(())
}
/// What makes no sense here, and why.
const REFUSED: &[(&str, &str)] = &[
    ("evm_setIntervalMining", "blocks come by the shards' clocks, one a slot: start the devnet with another --slot-ms"),
    (
        "anvil_setIntervalMining",
        "blocks come by the shards' clocks, one a slot: start the devnet with another --slot-ms",
    ),
    ("evm_setBlockGasLimit", "the gas limit is the network's: it is in its network file"),
    ("anvil_setBlockGasLimit", "the gas limit is the network's: it is in its network file"),
    ("hardhat_setNextBlockBaseFeePerGas", "the base fee is the network's and never changes"),
    ("anvil_setNextBlockBaseFeePerGas", "the base fee is the network's and never changes"),
    ("hardhat_setMinGasPrice", "the base fee is the network's and never changes"),
    ("anvil_setMinGasPrice", "the base fee is the network's and never changes"),
    ("hardhat_setCoinbase", "the beneficiary is the network's: its fees are kept apart on every shard"),
    ("anvil_setCoinbase", "the beneficiary is the network's: its fees are kept apart on every shard"),
    ("hardhat_setPrevRandao", "PREVRANDAO of a block follows from its number"),
    ("anvil_setChainId", "the chain id is bound into every signature: start the devnet with --chain-id"),
    (
        "hardhat_dropTransaction",
        "what is before shards is not taken back: send another with its nonce and a higher fee",
    ),
    ("anvil_dropTransaction", "what is before shards is not taken back: send another with its nonce and a higher fee"),
    ("anvil_dumpState", "a devnet's state is in its folder: start it with --dir"),
    ("anvil_loadState", "a devnet's state is in its folder: start it with --dir"),
    ("eth_sign", "this node has no keys: sign with the account's, which `dovetail devnet` prints"),
    ("personal_sign", "this node has no keys: sign with the account's, which `dovetail devnet` prints"),
    ("eth_signTypedData_v4", "this node has no keys: sign with the account's, which `dovetail devnet` prints"),
];

/// What `evm_mine` may be told.
#[derive(Debug, Default)]
struct MineOptions {
    timestamp: Option<u64>,
    blocks: Option<u64>,
}

impl<C: Chain> Node<C> {
    async fn command(&self, command: Command) -> Answer<Done> {
        Ok(self.chain.cheat(command).await?)
    }

    async fn done(&self, command: Command) -> Answer<Value> {
        self.command(command).await.map(|_| Value::Null)
    }

    async fn number(&self, command: Command) -> Answer<u64> {
        match self.command(command).await? {
            Done::Number(number) => Ok(number),
            Done::Yes | Done::No => Ok(0),
        }
    }

    async fn mine_once(&self, params: Params<'static>) -> Answer<&'static str> {
        let (wanted,): (Option<Value>,) = read(&params)?;
        let MineOptions { timestamp, blocks } = mine_options(wanted)?;
        if let Some(time) = timestamp {
            self.command(Command::NextTime(time)).await?;
        }
        self.command(Command::Mine { count: blocks.unwrap_or(1), interval: INTERVAL }).await?;
        Ok("0x0")
    }

    async fn mine(&self, params: Params<'static>) -> Answer<Value> {
        let (count, interval): (Option<Count>, Option<Count>) = read(&params)?;
        let interval = interval.filter(|Count(seconds)| *seconds > 0);
        let interval = interval.map_or(INTERVAL, |Count(seconds)| Millis(seconds.saturating_mul(1_000)));
        self.done(Command::Mine { count: count.map_or(1, |Count(count)| count), interval }).await
    }

    async fn increase_time(&self, params: Params<'static>) -> Answer<u64> {
        let (Count(seconds),) = read(&params)?;
        self.number(Command::IncreaseTime(seconds)).await
    }

    async fn set_next_time(&self, params: Params<'static>) -> Answer<Value> {
        let (Count(seconds),) = read(&params)?;
        self.done(Command::NextTime(seconds)).await
    }

    async fn set_time(&self, params: Params<'static>) -> Answer<u64> {
        let (Count(seconds),) = read(&params)?;
        self.command(Command::NextTime(seconds)).await.map(|_| 0)
    }

    async fn set(&self, address: Address, parts: AccountParts) -> Answer<Value> {
        self.done(Command::Set { address, parts }).await
    }

    async fn set_balance(&self, params: Params<'static>) -> Answer<Value> {
        let (address, wei): (Address, U256) = read(&params)?;
        self.set(address, AccountParts { balance: Some(wei), ..AccountParts::default() }).await
    }

    async fn add_balance(&self, params: Params<'static>) -> Answer<Value> {
        let (address, wei): (Address, U256) = read(&params)?;
        let before = self.chain.account(address, super::chain::Moment::Newest).await?.balance;
        self.set(address, AccountParts { balance: Some(before.saturating_add(wei)), ..AccountParts::default() }).await
    }

    async fn set_nonce(&self, params: Params<'static>) -> Answer<Value> {
        let (address, Count(nonce)) = read(&params)?;
        self.set(address, AccountParts { nonce: Some(nonce), ..AccountParts::default() }).await
    }

    async fn set_code(&self, params: Params<'static>) -> Answer<Value> {
        let (address, code): (Address, Bytes) = read(&params)?;
        self.set(address, AccountParts { code: Some(Data(code)), ..AccountParts::default() }).await
    }

    async fn set_storage_at(&self, params: Params<'static>) -> Answer<bool> {
        let (address, StorageKey(slot), StorageKey(value)) = read(&params)?;
        let slots = BTreeMap::from([(slot, value)]);
        self.set(address, AccountParts { slots, ..AccountParts::default() }).await.map(|_| true)
    }

    async fn snapshot(&self, params: Params<'static>) -> Answer<String> {
        read::<()>(&params)?;
        self.number(Command::Snapshot).await.map(hex)
    }

    async fn revert(&self, params: Params<'static>) -> Answer<bool> {
        let (Count(id),) = read(&params)?;
        Ok(self.command(Command::Revert(id)).await? != Done::No)
    }

    async fn reset(&self, params: Params<'static>) -> Answer<Value> {
        let (wanted,): (Option<Json<Value>>,) = read(&params)?;
        if wanted.is_some_and(|Json(wanted)| wanted.get("forking").is_some_and(|forking| !forking.is_null())) {
            return Err(error(
                UNSUPPORTED_CODE,
                "this devnet goes back to what it began with, and forks no other chain: leave out forking",
            ));
        }
        self.done(Command::Reset).await
    }

    async fn set_automine(&self, params: Params<'static>) -> Answer<Value> {
        let (is_on,): (bool,) = read(&params)?;
        self.done(Command::Automine(is_on)).await
    }

    fn impersonate(&self, params: &Params<'_>) -> Answer<Value> {
        let (sender,): (Address,) = read(params)?;
        self.named.lock().some.insert(sender);
        Ok(Value::Null)
    }

    fn stop_impersonating(&self, params: &Params<'_>) -> Answer<Value> {
        let (sender,): (Address,) = read(params)?;
        self.named.lock().some.remove(&sender);
        Ok(Value::Null)
    }

    fn impersonate_all(&self, params: &Params<'_>) -> Answer<Value> {
        let (is_on,): (bool,) = read(params)?;
        self.named.lock().all = is_on;
        Ok(Value::Null)
    }

    /// Sends a transaction that nobody signs, of an account of the devnet's own or of one that is impersonated.
    async fn send_named(&self, params: Params<'static>) -> Answer<B256> {
        let (request,): (TransactionRequest,) = read(&params)?;
        let accounts = self.chain.accounts();
        let sender = request.from.or_else(|| accounts.first().copied()).unwrap_or_default();
        if !accounts.contains(&sender) && !self.named.has(sender) {
            return Err(error(SERVER_ERROR_CODE, format!("unknown account {sender}: impersonate it first")));
        }
        let request = self.complete(TransactionRequest { from: Some(sender), ..request }).await?;
        let incomplete = |text: String| error(SERVER_ERROR_CODE, format!("transaction cannot be filled: {text}"));
        let transaction = request.build_consensus_tx().map_err(|refused| incomplete(refused.error))?;
        let bytes = transaction.into_envelope(evm::impersonation(sender)).encoded_2718();
        Ok(self.chain.send_raw(Data(bytes.into())).await?)
    }

    async fn node_info(&self, params: Params<'static>) -> Answer<Value> {
        read::<()>(&params)?;
        let (head, params) = (self.chain.head().await?, self.chain.params());
        Ok(json!({
            "currentBlockNumber": hex(head.0),
            "currentBlockTimestamp": self.chain.time_of(head),
            "currentBlockHash": params.block_hash(head.0),
            "hardFork": params.spec.name(),
            "transactionOrder": "fifo",
            "environment": {
                "baseFee": hex(params.base_fee), "chainId": params.network.0, "gasLimit": hex(params.gas_limit),
                "gasPrice": hex(params.base_fee),
            },
            "forkConfig": { "forkUrl": null, "forkBlockNumber": null, "forkRetryBackoff": null },
        }))
    }

    async fn metadata(&self, params: Params<'static>) -> Answer<Value> {
        read::<()>(&params)?;
        let (head, params) = (self.chain.head().await?, self.chain.params());
        Ok(json!({
            "clientVersion": CLIENT_VERSION, "chainId": params.network.0, "instanceId": params.block_hash(0),
            "latestBlockNumber": head.0, "latestBlockHash": params.block_hash(head.0), "snapshots": {},
        }))
    }
}

/// What a node with cheats calls itself: tools use these methods only where the name begins with anvil's or hardhat's.
pub(super) const CLIENT_VERSION: &str = concat!("anvil-compatible/dovetail/v", env!("CARGO_PKG_VERSION"));

/// `evm_mine` takes nothing, a time, or an object with both.
fn mine_options(wanted: Option<Value>) -> Result<MineOptions, ErrorObjectOwned> {
    let misfit = |text: String| invalid_params(format!("invalid argument 0: {text}"));
    match wanted {
        None => Ok(MineOptions::default()),
        Some(options @ Value::Object(_)) => {
            let number = |name: &str| match options.get(name) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => count(value).map(Some).ok_or_else(|| misfit(format!("{name} is no number"))),
            };
            Ok(MineOptions { timestamp: number("timestamp")?, blocks: number("blocks")? })
        }
        Some(time) => {
            let timestamp = count(&time).ok_or_else(|| misfit("a time is a number or a quantity".to_owned()))?;
            Ok(MineOptions { timestamp: Some(timestamp), blocks: None })
        }
    }
}

/// A number of JSON or a quantity.
fn count(value: &Value) -> Option<u64> {
    let digits = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    value.as_u64().or_else(|| value.as_str().and_then(digits))
}
