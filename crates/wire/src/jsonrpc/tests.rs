//! The methods over a small chain in memory.

mod cheats;
mod otterscan;
mod site;

use super::chain::{
    AccountView, Chain, Ended, Found, HASH_SEARCH_SLOTS_MAX, Moment, Readiness, Run, RunFailure, SlotBlock, UnderWay,
};
use super::cheats::{Command, Done};
use super::entry::Entry;
use super::heavy::Heavy;
use super::intake::{Arrival, Intake};
use super::methods::module;
use super::node::Node;
use crate::limits::{FILTERS_PER_CLIENT_COUNT_MAX, HEAVY_READS_COUNT_MAX, UNREAD_BYTES_CHECKED_MIN, UNREAD_BYTES_MAX};
use crate::rejection::{Reason, Rejection};
use crate::server::{Networks, Proxies, ProxyHeader, Seats};
use crate::state::{LeafPlace, OutcomeRecord};
use alloy_consensus::{BlockBody, EthereumTxEnvelope, Header, SignableTransaction, TxEip1559, TxEip4844, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bloom, Bytes, TxKind, U256, address, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use evm::{
    AccountState, Bytecode, Data, Environments, Funding, Ground, Log, NetworkParams, Outcome, Placement, Spec, State,
    Status, SystemTransaction,
};
use jsonrpsee::RpcModule;
use primitives::{Height, Millis, NetworkId, ShardId, Slot, Time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const EARLIEST: u64 = 1_000;
/// By the first byte of its input: 0x43 returns NUMBER, 0xff reverts with what follows; else it returns 32 sevens.
const CODE: &str = "5f3560f81c80604314603a578060ff14604257\
                    7f07070707070707070707070707070707070707070707070707070707070707075f5260205ff3\
                    5b435f5260205ff3\
                    5b600136038060015f375ffd";
const TOKEN: Address = address!("00000000000000000000000000000000000000aa");

/// Whom a message is delivered to.
const RECIPIENT: Address = address!("00000000000000000000000000000000000000bb");

/// Slots with outcomes, and a head that moves.
struct MemoryChain {
    oldest: Slot,
    params: NetworkParams,
    blocks: BTreeMap<Slot, Arc<SlotBlock>>,
    head: watch::Sender<u64>,
    sender: Address,
    /// What runs run on: [`TOKEN`] with [`CODE`].
    state: State,
    intake: Intake,
    under_way: Vec<UnderWay>,
    is_ready: bool,
    /// Which threads looked for slots with anything in them.
    searched_by: Mutex<HashSet<ThreadId>>,
    /// What it was asked to do, where it has cheats.
    commands: Mutex<Vec<Command>>,
}

pub(super) fn params() -> NetworkParams {
    NetworkParams {
        network: NetworkId(1337),
        genesis: Time(0),
        slot_length: Millis(500),
        base_fee: 7,
        gas_limit: 30_000_000,
        beneficiary: Address::repeat_byte(0xfe),
        spec: Spec::default(),
        environments: Environments::Slots,
        takes_unprotected: false,
    }
}

fn signed(nonce: u64) -> (Data, Address) {
    signed_to(nonce, TOKEN.into())
}

fn signed_to(nonce: u64, to: TxKind) -> (Data, Address) {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let transaction = TxEip1559 {
        chain_id: 1337,
        nonce,
        gas_limit: 50_000,
        max_fee_per_gas: 10,
        max_priority_fee_per_gas: 3,
        to,
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let envelope = EthereumTxEnvelope::<TxEip4844>::from(transaction.into_signed(signature));
    (envelope.encoded_2718().into(), signer.address())
}

fn record(nonce: u64, slot: u64, index: u32) -> OutcomeRecord {
    let (bytes, sender) = signed(nonce);
    let log = Log { address: TOKEN, topics: vec![B256::repeat_byte(nonce as u8)], data: vec![1].into() };
    OutcomeRecord {
        transaction: keccak256(&*bytes),
        bytes,
        sender,
        outcome: Outcome {
            transaction: None,
            kind: 2,
            status: Status::Success,
            gas_used: 40_000,
            gas_price: 10,
            output: Data::default(),
            logs: vec![log.clone(), log],
            created: None,
        },
        number: slot,
        shown: Slot(slot),
        height: Height(1),
        index,
        time: Time(slot * 500),
        leaf: LeafPlace { height: Height(1), index },
        attempt: None,
        participants: vec![ShardId(0)],
        called: None,
    }
}

/// A delivery of a message: nobody signed it.
fn system_record(slot: u64, index: u32) -> OutcomeRecord {
    let mut record = record(99, slot, index);
    record.transaction = B256::repeat_byte(0x5e);
    record.bytes = Data::default();
    record.outcome.kind = 0;
    record.outcome.gas_price = 0;
    record.called = Some(SystemTransaction::Call {
        caller: record.sender,
        target: RECIPIENT,
        input: vec![0x56, 0xd5].into(),
        gas_limit: 500_000,
        value: U256::from(9),
        funding: Funding::Caller,
    });
    record
}

/// A transaction that names two blobs.
fn blob_record(slot: u64) -> OutcomeRecord {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let blob_versioned_hashes = vec![B256::repeat_byte(1); 2];
    let transaction = TxEip4844 { chain_id: 1337, to: TOKEN, blob_versioned_hashes, ..TxEip4844::default() };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let bytes = EthereumTxEnvelope::<TxEip4844>::from(transaction.into_signed(signature)).encoded_2718();
    let mut record = record(0, slot, 0);
    (record.transaction, record.bytes, record.outcome.kind) = (keccak256(&bytes), bytes.into(), 3);
    record
}

impl MemoryChain {
    /// Now is five slots after the head.
    fn slot_of(&self, moment: Moment) -> Slot {
        match moment {
            Moment::After(slot) => slot,
            Moment::Newest => Slot(*self.head.borrow() + 5),
        }
    }
}

fn state() -> State {
    let (code, mut state) = (hex::decode(CODE).unwrap(), State::default());
    let code_hash = keccak256(&code);
    state.accounts.insert(TOKEN, AccountState { code_hash, ..AccountState::EMPTY });
    state.codes.insert(code_hash, Bytecode::new_raw(code.into()));
    state
}

/// Slots 1000 to 2000; in 1010 two transactions and a delivery, in 1500 one transaction.
fn chain() -> MemoryChain {
    let blocks = [
        (1010, vec![record(0, 1010, 0), record(1, 1010, 1), system_record(1010, 2)]),
        (1500, vec![record(2, 1500, 0)]),
    ];
    let blocks =
        blocks.map(|(slot, outcomes)| (Slot(slot), Arc::new(SlotBlock { outcomes, ..SlotBlock::empty(Slot(slot)) })));
    let head = watch::Sender::new(2_000);
    MemoryChain {
        oldest: Slot(EARLIEST),
        params: params(),
        blocks: blocks.into(),
        head,
        sender: signed(0).1,
        state: state(),
        intake: Intake::default(),
        under_way: Vec::new(),
        is_ready: true,
        searched_by: Mutex::default(),
        commands: Mutex::default(),
    }
}

impl Chain for MemoryChain {
    fn params(&self) -> &NetworkParams {
        &self.params
    }

    fn earliest(&self) -> Slot {
        Slot(EARLIEST)
    }

    fn oldest(&self) -> Slot {
        self.oldest
    }

    async fn head(&self) -> Result<Slot, Rejection> {
        Ok(Slot(*self.head.borrow()))
    }

    async fn wait_head(&self, slot: Slot) -> Result<Slot, Rejection> {
        let mut head = self.head.subscribe();
        let head = *head.wait_for(|head| *head > slot.0).await.unwrap();
        Ok(Slot(head))
    }

    async fn block(&self, slot: Slot) -> Result<Arc<SlotBlock>, Rejection> {
        Ok(self.blocks.get(&slot).cloned().unwrap_or_else(|| Arc::new(SlotBlock::empty(slot))))
    }

    async fn occupied(&self, from: Slot, to: Slot, count_max: usize) -> Result<Vec<Slot>, Rejection> {
        self.searched_by.lock().unwrap().insert(std::thread::current().id());
        Ok(self.blocks.range(from..=to).map(|(slot, _)| *slot).take(count_max).collect())
    }

    async fn shown_as(&self, hash: B256) -> Result<Option<Slot>, Rejection> {
        Ok(self.blocks.keys().copied().find(|slot| self.params.block_hash(slot.0) == hash))
    }

    async fn transaction(&self, hash: B256) -> Result<Option<Found>, Rejection> {
        if hash == B256::repeat_byte(0xee) {
            let (bytes, sender) = signed(3);
            return Ok(Some(Found::Pending { bytes, sender }));
        }
        let found =
            self.blocks.values().flat_map(|block| Entry::all(block)).find(|entry| entry.record.transaction == hash);
        Ok(found.map(|entry| Found::Placed(Box::new(entry))))
    }

    async fn refusal(&self, hash: B256) -> Result<Option<Ended>, Rejection> {
        let ended = Ended { time: Time(255), reason: "nonce 3 is too low: the sender's next is 4".to_owned() };
        Ok((hash == B256::repeat_byte(0xdd)).then_some(ended))
    }

    async fn account(&self, address: Address, moment: Moment) -> Result<AccountView, Rejection> {
        let code = if address == TOKEN { vec![0x60, 0x00].into() } else { Data::default() };
        let nonce =
            self.blocks.range(..=self.slot_of(moment)).flat_map(|(_, block)| &block.outcomes).count().saturating_sub(1)
                as u64;
        Ok(AccountView { nonce, balance: U256::from(self.slot_of(moment).0), code })
    }

    async fn storage(&self, _: Address, slot: U256, moment: Moment) -> Result<U256, Rejection> {
        Ok(slot + U256::from(self.slot_of(moment).0))
    }

    async fn over<T: Send + 'static>(&self, moment: Moment, run: Run<T>) -> Result<T, Rejection> {
        let slot = self.slot_of(moment);
        let placement = Placement::new(1, 2, BTreeMap::new()).unwrap();
        match run(&Ground::of_slot(&self.params, &placement, slot), &self.state) {
            Ok(ran) => Ok(ran),
            Err(RunFailure::Refused(rejection)) => Err(rejection),
            Err(RunFailure::Missing(missing)) => panic!("a whole state lacks {missing:?}"),
        }
    }

    async fn send_raw(&self, transaction: Data) -> Result<B256, Rejection> {
        match transaction.first() {
            Some(2) => Ok(keccak256(&*transaction)),
            Some(1) => Err(Rejection::new(Reason::NonceTooLow, "nonce 1 is too low: the sender's next is 3")),
            Some(3) => Err(Rejection::new(Reason::InsufficientFunds, "up to 9 wei needed, the sender has 5")),
            Some(0xc0) => Err(evm::TransactionError::Unprotected.into()),
            _ => Err(Rejection::new(Reason::Malformed, "malformed transaction: unexpected type")),
        }
    }

    async fn next_nonce(&self, _: Address) -> Result<u64, Rejection> {
        Ok(4)
    }

    fn accounts(&self) -> Vec<Address> {
        if self.params.environments.has_cheats() { vec![self.sender] } else { Vec::new() }
    }

    async fn cheat(&self, command: Command) -> Result<Done, Rejection> {
        Ok(self.played(command))
    }

    fn under_way(&self, sender: Option<Address>) -> Vec<UnderWay> {
        let of_sender = |one: &&UnderWay| sender.is_none_or(|sender| one.arrival.sender == sender);
        self.under_way.iter().filter(of_sender).cloned().collect()
    }

    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn readiness(&self) -> Readiness {
        Readiness { is_ready: self.is_ready, text: "shard 2 has not answered\n".to_owned() }
    }
}

fn methods() -> RpcModule<Node<MemoryChain>> {
    module(Node::new(Arc::new(chain()), Heavy::default())).unwrap()
}

async fn ask(module: &RpcModule<Node<MemoryChain>>, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let (response, _) = module.raw_json_request(&request, 1).await.unwrap();
    serde_json::from_str(response.get()).unwrap()
}

async fn answer(method: &str, params: Value) -> Value {
    let response = ask(&methods(), method, params).await;
    assert!(response["error"].is_null(), "{method}: {response}");
    response["result"].clone()
}

async fn refusal(method: &str, params: Value) -> (i64, String) {
    let response = ask(&methods(), method, params).await;
    let error = &response["error"];
    assert!(error.is_object(), "{method}: {response}");
    (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn reads_of_many_blocks_take_no_thread_that_serves() {
    let chain = Arc::new(chain());
    let module = module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap();
    let logs = ask(&module, "eth_getLogs", json!([{"fromBlock": "earliest", "toBlock": "latest"}])).await;
    assert_eq!(logs["result"].as_array().map(Vec::len), Some(8), "{logs}");
    let searched_by = chain.searched_by.lock().unwrap().clone();
    assert!(!searched_by.is_empty() && !searched_by.contains(&std::thread::current().id()));
}

#[tokio::test]
async fn constants_are_what_wallets_expect() {
    assert_eq!(answer("eth_chainId", json!([])).await, "0x539");
    assert_eq!(answer("net_version", json!([])).await, "1337");
    assert_eq!(answer("eth_blockNumber", json!([])).await, "0x7d0");
    assert_eq!(answer("eth_gasPrice", json!([])).await, "0x7");
    assert_eq!(answer("eth_maxPriorityFeePerGas", json!([])).await, "0x0");
    assert_eq!(answer("eth_syncing", json!([])).await, false);
    assert_eq!(answer("net_listening", json!([])).await, true);
    assert_eq!(answer("eth_accounts", json!([])).await, json!([]));
    let hash = answer("web3_sha3", json!(["0x68656c6c6f"])).await;
    assert_eq!(hash, json!(keccak256(b"hello")));
    assert!(answer("web3_clientVersion", json!([])).await.as_str().unwrap().starts_with("dovetail/v"));
}

#[tokio::test]
async fn a_hash_that_is_not_known_may_be_of_a_block_that_is_not_kept() {
    let unknown = json!([B256::repeat_byte(9), false]);
    assert!(answer("eth_getBlockByHash", unknown.clone()).await.is_null(), "all blocks are kept");
    let module = module(Node::new(Arc::new(MemoryChain { oldest: Slot(1_400), ..chain() }), Heavy::default())).unwrap();
    let refused = ask(&module, "eth_getBlockByHash", unknown).await;
    assert_eq!(refused["error"]["code"], 4444, "{refused}");
    let text = refused["error"]["message"].as_str().unwrap();
    assert!(text.starts_with("pruned history unavailable: ") && text.contains("block 1400 is the oldest"), "{text}");
    let fees = ask(&module, "eth_feeHistory", json!(["0x400", "0x5dc", []])).await;
    assert_eq!(fees["result"]["oldestBlock"], "0x578", "as far back as blocks are kept: {fees}");
    let capabilities = ask(&module, "eth_capabilities", json!([])).await;
    assert_eq!(capabilities["result"]["logs"]["oldestBlock"], "0x578", "{capabilities}");
    let fees = ask(&module, "eth_feeHistory", json!(["0x1", "0x500", []])).await;
    assert_eq!(fees["error"]["code"], 4444, "{fees}");
}

#[tokio::test]
async fn an_unknown_method_is_exactly_32601() {
    assert_eq!(refusal("eth_sendTransaction", json!([])).await.0, -32601);
    assert_eq!(refusal("debug_setHead", json!([])).await.0, -32601);
}

#[tokio::test]
async fn bad_parameters_are_32602() {
    assert_eq!(refusal("eth_getBalance", json!(["0x12"])).await.0, -32602);
    assert_eq!(refusal("eth_getBalance", json!([])).await.0, -32602);
    assert_eq!(refusal("eth_getBlockByNumber", json!(["new"])).await.0, -32602);
    assert_eq!(refusal("eth_feeHistory", json!(["x", "latest", []])).await.0, -32602);
    assert_eq!(refusal("eth_sendRawTransaction", json!(["0x99"])).await.0, -32602);
}

#[tokio::test]
async fn state_is_that_after_the_block_that_is_named() {
    let sender = json!(chain().sender);
    let hash = json!({"blockHash": params().block_hash(1499), "requireCanonical": true});
    for (block, slot) in [
        (json!("latest"), 2_000),
        (json!("safe"), 2_000),
        (json!("finalized"), 2_000),
        (json!("pending"), 2_005),
        (json!("earliest"), 1_000),
        (json!("0x5dc"), 1_500),
        (json!({"blockNumber": "0x5dc"}), 1_500),
        (hash, 1_499),
    ] {
        assert_eq!(answer("eth_getBalance", json!([sender, block])).await, json!(U256::from(slot)), "{block}");
        let stored = answer("eth_getStorageAt", json!([TOKEN, "0x1", block])).await;
        assert_eq!(stored, json!(B256::from(U256::from(slot + 1))), "{block}");
    }
    assert_eq!(answer("eth_getBalance", json!([sender])).await, json!(U256::from(2_000)));
    assert_eq!(answer("eth_getTransactionCount", json!([sender, "latest"])).await, "0x3");
    assert_eq!(answer("eth_getTransactionCount", json!([sender, "0x5db"])).await, "0x2");
    assert_eq!(answer("eth_getTransactionCount", json!([sender, "pending"])).await, "0x4");
    assert_eq!(answer("eth_getCode", json!([TOKEN, "latest"])).await, "0x6000");
    assert_eq!(refusal("eth_getBalance", json!([sender, "0x7d1"])).await, (-32000, "header not found".to_owned()));
}

#[tokio::test]
async fn a_block_is_found_by_number_tag_and_hash() {
    let block = answer("eth_getBlockByNumber", json!(["0x3f2", false])).await;
    assert_eq!(block["number"], "0x3f2");
    assert_eq!(block["hash"], json!(params().block_hash(1010)));
    assert_eq!(block["parentHash"], json!(params().block_hash(1009)));
    assert_eq!(block["timestamp"], "0x1f9");
    assert_eq!(block["baseFeePerGas"], "0x7");
    assert_eq!(block["gasUsed"], format!("{:#x}", 120_000));
    assert_eq!(block["transactions"].as_array().unwrap().len(), 3);
    let by_hash = answer("eth_getBlockByHash", json!([block["hash"], false])).await;
    assert_eq!(by_hash, block);
    for tag in ["latest", "safe", "finalized", "pending"] {
        assert_eq!(answer("eth_getBlockByNumber", json!([tag, false])).await["number"], "0x7d0", "{tag}");
    }
    assert_eq!(answer("eth_getBlockByNumber", json!(["earliest", false])).await["number"], "0x3e8");
    assert_eq!(answer("eth_getBlockByNumber", json!(["0x7d1", false])).await, Value::Null);
    assert_eq!(answer("eth_getBlockByNumber", json!(["0x0", false])).await, Value::Null);
    assert_eq!(answer("eth_getBlockByHash", json!([B256::repeat_byte(1), true])).await, Value::Null);
    assert_eq!(answer("eth_getBlockTransactionCountByNumber", json!(["0x3f2"])).await, "0x3");
}

#[tokio::test]
async fn a_header_is_its_block_without_what_the_block_holds() {
    let mut block = answer("eth_getBlockByNumber", json!(["0x3f2", false])).await;
    for held in ["transactions", "uncles", "withdrawals", "size"] {
        block.as_object_mut().unwrap().remove(held);
    }
    assert_eq!(answer("eth_getHeaderByNumber", json!(["0x3f2"])).await, block);
    assert_eq!(answer("eth_getHeaderByHash", json!([block["hash"]])).await, block);
    assert_eq!(answer("eth_getHeaderByNumber", json!(["0x7d1"])).await, Value::Null);
    assert_eq!(answer("eth_getHeaderByHash", json!([B256::repeat_byte(1)])).await, Value::Null);
}

#[tokio::test]
async fn a_block_is_as_large_as_ethereum_writes_it() {
    // With two transactions and a delivery, with one transaction, with nothing.
    for (number, count) in [("0x3f2", 3), ("0x5dc", 1), ("0x7d0", 0)] {
        let block = answer("eth_getBlockByNumber", json!([number, false])).await;
        let mut transactions = Vec::new();
        for hash in block["transactions"].as_array().unwrap() {
            let raw: Bytes = serde_json::from_value(answer("debug_getRawTransaction", json!([hash])).await).unwrap();
            transactions.push(raw);
        }
        assert_eq!(transactions.len(), count);
        let header: alloy_rpc_types_eth::Header = serde_json::from_value(block.clone()).unwrap();
        let body = BlockBody { transactions, ommers: Vec::<Header>::new(), withdrawals: Some(Withdrawals::default()) };
        let written = alloy_rlp::encode(alloy_consensus::Block { header: header.inner, body });
        assert_eq!(block["size"], format!("{:#x}", written.len()), "{number}");
    }
}

#[tokio::test]
async fn a_full_block_shows_its_transactions() {
    let block = answer("eth_getBlockByNumber", json!(["0x3f2", true])).await;
    let transactions = block["transactions"].as_array().unwrap();
    assert_eq!(transactions[1]["nonce"], "0x1");
    assert_eq!(transactions[1]["type"], "0x2");
    assert_eq!(transactions[1]["from"], json!(chain().sender));
    assert_eq!(transactions[1]["transactionIndex"], "0x1");
    assert_eq!(transactions[2]["type"], "0x7e");
    assert_eq!(answer("eth_getTransactionByHash", json!([transactions[1]["hash"]])).await, transactions[1]);
    let by_index = answer("eth_getTransactionByBlockNumberAndIndex", json!(["0x3f2", "0x1"])).await;
    assert_eq!(by_index, transactions[1]);
    assert_eq!(answer("eth_getTransactionByBlockNumberAndIndex", json!(["0x3f2", "0x9"])).await, Value::Null);
}

#[tokio::test]
async fn a_transaction_of_no_chain_is_shown_as_ethereum_shows_it() {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let transaction = TxLegacy { gas_price: 10, gas_limit: 50_000, to: TOKEN.into(), ..TxLegacy::default() };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let parity = u64::from(signature.v());
    let bytes: Data = EthereumTxEnvelope::<TxEip4844>::from(transaction.into_signed(signature)).encoded_2718().into();
    let hash = keccak256(&*bytes);
    let mut unprotected = record(0, 1_003, 0);
    (unprotected.transaction, unprotected.bytes, unprotected.outcome.kind) = (hash, bytes.clone(), 0);
    let mut chain = chain();
    let block = SlotBlock { outcomes: vec![unprotected], ..SlotBlock::empty(Slot(1_003)) };
    chain.blocks.insert(Slot(1_003), Arc::new(block));
    let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
    let told = ask(&module, "eth_getTransactionByHash", json!([hash])).await["result"].clone();
    assert_eq!((&told["v"], &told["type"]), (&json!(format!("{:#x}", 27 + parity)), &json!("0x0")));
    assert!(told.get("chainId").is_none(), "{told}");
    let receipt = ask(&module, "eth_getTransactionReceipt", json!([hash])).await["result"].clone();
    assert_eq!((&receipt["transactionHash"], &receipt["type"]), (&json!(hash), &json!("0x0")));
    let raw = ask(&module, "debug_getRawTransaction", json!([hash])).await;
    assert_eq!(raw["result"], json!(Bytes::from(bytes)));
}

#[tokio::test]
async fn a_delivery_shows_whom_it_called_and_with_what() {
    let delivery = B256::repeat_byte(0x5e);
    let told = answer("eth_getTransactionByHash", json!([delivery])).await;
    assert_eq!((&told["from"], &told["to"]), (&json!(chain().sender), &json!(RECIPIENT)));
    assert_eq!((&told["input"], &told["value"], &told["gas"]), (&json!("0x56d5"), &json!("0x9"), &json!("0x7a120")));
    let receipt = answer("eth_getTransactionReceipt", json!([delivery])).await;
    assert_eq!((&receipt["to"], &receipt["contractAddress"]), (&json!(RECIPIENT), &Value::Null));
    let of_recipient = answer("ots_searchTransactionsBefore", json!([RECIPIENT, 0, 100])).await;
    assert_eq!(of_recipient["txs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_roots_and_the_bloom_are_those_of_the_content() {
    let block = answer("eth_getBlockByNumber", json!(["0x5dc", true])).await;
    let envelope: EthereumTxEnvelope<TxEip4844> = serde_json::from_value(block["transactions"][0].clone()).unwrap();
    let root = alloy_consensus::proofs::calculate_transaction_root(&[envelope]);
    assert_eq!(block["transactionsRoot"], json!(root));
    let receipt = answer("eth_getTransactionReceipt", json!([block["transactions"][0]["hash"]])).await;
    assert_eq!(receipt["logsBloom"], block["logsBloom"]);
    let typed: alloy_consensus::ReceiptEnvelope<alloy_rpc_types_eth::Log> = serde_json::from_value(receipt).unwrap();
    let plain = typed.map_logs(|log| log.inner);
    assert_eq!(block["receiptsRoot"], json!(alloy_consensus::proofs::calculate_receipt_root(&[plain])));
}

#[tokio::test]
async fn a_receipt_counts_gas_and_logs_within_its_block() {
    let hash = record(1, 1010, 1).transaction;
    let receipt = answer("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["type"], "0x2");
    assert_eq!(receipt["gasUsed"], format!("{:#x}", 40_000));
    assert_eq!(receipt["cumulativeGasUsed"], format!("{:#x}", 80_000));
    assert_eq!(receipt["effectiveGasPrice"], "0xa");
    assert_eq!(receipt["to"], json!(TOKEN));
    assert_eq!(receipt["logs"][0]["logIndex"], "0x2");
    assert_eq!(receipt["logs"][1]["logIndex"], "0x3");
    assert_eq!(receipt["blockNumber"], "0x3f2");
    let receipts = answer("eth_getBlockReceipts", json!(["0x3f2"])).await;
    assert_eq!(receipts.as_array().unwrap().len(), 3);
    assert_eq!(receipts[1], receipt);
}

#[test]
fn a_failed_creation_names_the_contract_that_it_would_have_made() {
    let (bytes, sender) = signed_to(7, TxKind::Create);
    let mut failed = OutcomeRecord { bytes, ..record(7, 1010, 0) };
    failed.outcome.status = Status::Reverted;
    let contract_of = |record| {
        let entry = Entry { slot: Slot(1010), index: 0, gas_before: 0, logs_before: 0, record };
        entry.view(&params(), 505).receipt().unwrap()["contractAddress"].clone()
    };
    assert_eq!(contract_of(failed), json!(sender.create(7)));
    assert_eq!(contract_of(record(7, 1010, 0)), Value::Null);
}

#[tokio::test]
async fn an_unknown_or_pending_transaction_has_no_receipt() {
    assert_eq!(answer("eth_getTransactionReceipt", json!([B256::repeat_byte(9)])).await, Value::Null);
    assert_eq!(answer("eth_getTransactionByHash", json!([B256::repeat_byte(9)])).await, Value::Null);
    let pending = B256::repeat_byte(0xee);
    assert_eq!(answer("eth_getTransactionReceipt", json!([pending])).await, Value::Null);
    let transaction = answer("eth_getTransactionByHash", json!([pending])).await;
    assert_eq!(transaction["blockHash"], Value::Null);
    assert_eq!(transaction["nonce"], "0x3");
}

#[tokio::test]
async fn what_became_of_a_transaction_is_told_with_or_without_a_receipt() {
    let status = async |hash: B256| answer("dovetail_transactionStatus", json!([hash])).await;
    let committed = chain().blocks[&Slot(1500)].outcomes[0].transaction;
    assert_eq!(status(committed).await, json!({ "status": "committed", "blockNumber": "0x5dc" }));
    assert_eq!(status(B256::repeat_byte(0xee)).await, json!({ "status": "pending" }));
    let reason = "nonce 3 is too low: the sender's next is 4";
    let refused = json!({ "status": "refused", "reason": reason, "timestampMs": "0xff" });
    assert_eq!(status(B256::repeat_byte(0xdd)).await, refused);
    assert_eq!(status(B256::repeat_byte(9)).await, json!({ "status": "unknown" }));
}

#[tokio::test]
async fn a_block_that_shows_anything_is_found_by_its_hash_however_old_it_is() {
    let chain = Arc::new(chain());
    chain.head.send_replace(1_000 + 3 * HASH_SEARCH_SLOTS_MAX);
    let module = module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap();
    let by_hash = async |slot: u64| {
        ask(&module, "eth_getBlockByHash", json!([params().block_hash(slot), false])).await["result"]["number"].clone()
    };
    assert_eq!(by_hash(1010).await, "0x3f2");
    assert_eq!(by_hash(1011).await, Value::Null, "of those that show nothing the last ones are tried");
    let oldest = 1_000 + 2 * HASH_SEARCH_SLOTS_MAX;
    assert_eq!(by_hash(oldest).await, format!("{oldest:#x}"));
    chain.head.send_replace(1_009);
    assert_eq!(by_hash(1010).await, Value::Null, "it lies beyond the head");
}

#[tokio::test]
async fn logs_are_filtered_by_range_address_and_topic() {
    let count = async |filter: Value| answer("eth_getLogs", json!([filter])).await.as_array().unwrap().len();
    assert_eq!(count(json!({"fromBlock": "0x0", "toBlock": "latest"})).await, 8);
    assert_eq!(count(json!({"fromBlock": "0x3f3", "toBlock": "latest"})).await, 2);
    assert_eq!(count(json!({"fromBlock": "earliest", "toBlock": "0x3f2", "address": TOKEN})).await, 6);
    assert_eq!(count(json!({"fromBlock": "earliest", "address": Address::ZERO})).await, 0);
    assert_eq!(count(json!({"fromBlock": "0x0", "topics": [B256::repeat_byte(1)]})).await, 2);
    assert_eq!(count(json!({"fromBlock": "0x0", "topics": [[B256::repeat_byte(1), B256::repeat_byte(2)]]})).await, 4);
    assert_eq!(count(json!({"blockHash": params().block_hash(1500)})).await, 2);
    assert_eq!(count(json!({})).await, 0);
    let (code, message) = refusal("eth_getLogs", json!([{"fromBlock": "0x500", "toBlock": "0x400"}])).await;
    assert!(code == -32602 && message.starts_with("invalid block range params"), "{message}");
    for beyond in [json!({"fromBlock": "0x7d1"}), json!({"fromBlock": "0x0", "toBlock": "0x7d1"})] {
        let (code, message) = refusal("eth_getLogs", json!([beyond])).await;
        assert!(code == -32602 && message.starts_with("block range extends beyond current head block"), "{message}");
    }
    assert_eq!(refusal("eth_getLogs", json!([{"blockHash": B256::repeat_byte(3)}])).await.0, -32000);
}

#[tokio::test]
async fn a_filter_tells_news_once() {
    let chain = Arc::new(chain());
    let module = module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap();
    chain.head.send_replace(1_400);
    let logs = ask(&module, "eth_newFilter", json!([{"address": TOKEN}])).await["result"].clone();
    let blocks = ask(&module, "eth_newBlockFilter", json!([])).await["result"].clone();
    assert_eq!(ask(&module, "eth_getFilterChanges", json!([logs])).await["result"], json!([]));
    chain.head.send_replace(1_600);
    assert_eq!(ask(&module, "eth_getFilterChanges", json!([logs])).await["result"].as_array().unwrap().len(), 2);
    assert_eq!(ask(&module, "eth_getFilterChanges", json!([logs])).await["result"], json!([]));
    let hashes = ask(&module, "eth_getFilterChanges", json!([blocks])).await["result"].clone();
    assert_eq!(hashes.as_array().unwrap().len(), 200);
    assert_eq!(hashes[0], json!(params().block_hash(1_401)));
    assert_eq!(ask(&module, "eth_uninstallFilter", json!([logs])).await["result"], true);
    assert_eq!(ask(&module, "eth_uninstallFilter", json!([logs])).await["result"], false);
    assert_eq!(ask(&module, "eth_getFilterChanges", json!([logs])).await["error"]["code"], -32000);
    assert_eq!(ask(&module, "eth_getFilterLogs", json!([blocks])).await["error"]["code"], -32000);
}

#[tokio::test]
async fn filters_are_bounded() {
    let module = methods();
    let first = ask(&module, "eth_newBlockFilter", json!([])).await["result"].take();
    for _ in 1..=FILTERS_PER_CLIENT_COUNT_MAX {
        assert!(ask(&module, "eth_newBlockFilter", json!([])).await["error"].is_null());
    }
    let answer = ask(&module, "eth_getFilterChanges", json!([first])).await;
    assert_eq!(answer["error"]["message"], "filter not found", "the one that was idle longest made room");
}

/// Found by forty questions at once, which were told most logs twice.
#[tokio::test]
async fn a_log_is_told_once_to_however_many_ask_at_once() {
    let chain = Arc::new(chain());
    chain.head.send_replace(1_000);
    let module = module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap();
    let filter = ask(&module, "eth_newFilter", json!([{"address": TOKEN}])).await["result"].take();
    chain.head.send_replace(2_000);
    let asking = (0..40).map(|_| ask(&module, "eth_getFilterChanges", json!([filter])));
    let answers = futures_util::future::join_all(asking).await;
    let told: usize = answers.iter().map(|answer| answer["result"].as_array().unwrap().len()).sum();
    assert_eq!(told, 8);
}

fn arrival(nonce: u64) -> Arrival {
    let (bytes, sender) = signed(nonce);
    Arrival { hash: keccak256(&*bytes), sender, bytes }
}

#[tokio::test]
async fn a_pending_filter_tells_of_what_is_taken_in() {
    let chain = Arc::new(chain());
    let module = module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap();
    chain.intake.note(arrival(3));
    let hashes = ask(&module, "eth_newPendingTransactionFilter", json!([])).await["result"].take();
    let full = ask(&module, "eth_newPendingTransactionFilter", json!([true])).await["result"].take();
    let told = async |filter: &Value| ask(&module, "eth_getFilterChanges", json!([filter])).await["result"].take();
    assert_eq!(told(&hashes).await, json!([]), "what came before it is not told");
    chain.intake.note(arrival(4));
    assert_eq!(told(&hashes).await, json!([arrival(4).hash]));
    assert_eq!(told(&hashes).await, json!([]));
    assert_eq!(told(&full).await[0]["nonce"], "0x4");
}

#[tokio::test]
async fn what_is_under_way_is_listed_by_kind_sender_and_nonce() {
    let under_way = |nonce, is_ahead| UnderWay { arrival: arrival(nonce), nonce, is_ahead };
    let chain = MemoryChain { under_way: vec![under_way(3, false), under_way(5, true)], ..chain() };
    let sender = chain.sender.to_string();
    let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
    let told = async |method: &str, params: Value| ask(&module, method, params).await["result"].take();
    assert_eq!(told("txpool_status", json!([])).await, json!({"pending": "0x1", "queued": "0x1"}));
    let content = told("txpool_content", json!([])).await;
    assert_eq!(content["pending"][&sender]["3"]["hash"], json!(arrival(3).hash));
    assert_eq!(content["queued"][&sender]["5"]["blockHash"], Value::Null);
    assert_eq!(told("txpool_contentFrom", json!([sender])).await["queued"]["5"], content["queued"][&sender]["5"]);
    assert_eq!(told("txpool_contentFrom", json!([TOKEN])).await, json!({"pending": {}, "queued": {}}));
    let line = told("txpool_inspect", json!([])).await["pending"][&sender]["3"].take();
    assert_eq!(line, format!("{TOKEN}: 0 wei + 50000 gas × 10 wei"));
    assert_eq!(told("eth_pendingTransactions", json!([])).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_transaction_is_filled_with_what_was_left_out() {
    let (mut chain, from) = (chain(), signed(0).1);
    let balance = U256::from(1_000_000_000_u64);
    chain.state.accounts.insert(from, AccountState { balance, ..AccountState::EMPTY });
    let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
    let asked = json!([{"from": from, "to": TOKEN, "value": "0x1"}]);
    let filled = ask(&module, "eth_fillTransaction", asked).await["result"].take();
    let transaction = &filled["tx"];
    let fields =
        ["type", "chainId", "nonce", "maxFeePerGas", "maxPriorityFeePerGas", "value"].map(|name| &transaction[name]);
    assert_eq!(fields, ["0x2", "0x539", "0x4", "0xe", "0x0", "0x1"].map(|text| json!(text)).each_ref());
    let gas = u64::from_str_radix(transaction["gas"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert!((21_000..30_000).contains(&gas), "{gas}");
    assert!(filled["raw"].as_str().unwrap().starts_with("0x02"));
    let given = json!([{"from": from, "to": TOKEN, "gasPrice": "0x9", "nonce": "0x7", "gas": "0x186a0"}]);
    let legacy = answer("eth_fillTransaction", given).await["tx"].take();
    assert_eq!(
        [&legacy["gasPrice"], &legacy["nonce"], &legacy["gas"]],
        ["0x9", "0x7", "0x186a0"].map(|text| json!(text)).each_ref()
    );
    assert_eq!(refusal("eth_fillTransaction", json!([{"chainId": "0x1"}])).await.0, -32602);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_waited_for_only_so_long() {
    let sent = ask(&methods(), "eth_sendRawTransactionSync", json!(["0x02", 50])).await;
    assert_eq!((&sent["error"]["code"], &sent["error"]["data"]), (&json!(4), &json!(keccak256([2]))));
    let chain = chain();
    let raw = Bytes::from(chain.blocks[&Slot(1_500)].outcomes[0].bytes.clone());
    let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
    let receipt = ask(&module, "eth_sendRawTransactionSync", json!([raw, "0x3e8"])).await["result"].take();
    assert_eq!(receipt["blockNumber"], "0x5dc");
    assert_eq!(ask(&module, "eth_sendRawTransactionSync", json!(["0x01"])).await["error"]["code"], -32000);
}

#[tokio::test]
async fn a_block_has_no_uncles() {
    let hash = params().block_hash(1_500);
    assert_eq!(answer("eth_getUncleCountByBlockNumber", json!(["0x5dc"])).await, "0x0");
    assert_eq!(answer("eth_getUncleCountByBlockHash", json!([hash])).await, "0x0");
    assert_eq!(answer("eth_getUncleCountByBlockNumber", json!(["0x7d1"])).await, Value::Null);
    assert_eq!(answer("eth_getUncleByBlockHashAndIndex", json!([hash, "0x0"])).await, Value::Null);
    assert_eq!(answer("eth_getUncleByBlockNumberAndIndex", json!(["latest", "0x0"])).await, Value::Null);
}

#[tokio::test]
async fn many_slots_of_many_accounts_are_read_at_once() {
    let other = Address::repeat_byte(2);
    let values =
        answer("eth_getStorageValues", json!([{TOKEN.to_string(): ["0x1", "0x02"], other.to_string(): []}, "latest"]));
    let values = values.await;
    let word = |number: u64| json!(B256::from(U256::from(number)));
    assert_eq!(values[TOKEN.to_string().to_lowercase()], json!([word(2_001), word(2_002)]));
    assert_eq!(refusal("eth_getStorageValues", json!([{TOKEN.to_string(): vec!["0x0"; 1_025]}])).await.0, -32602);
    assert_eq!(refusal("eth_getStorageValues", json!([{"0x1": []}])).await.0, -32602);
    assert_eq!(refusal("eth_getStorageValues", json!([{}, "latest"])).await, (-32602, "empty request".to_owned()));
}

#[tokio::test]
async fn the_modules_that_are_served_are_listed() {
    let modules = answer("rpc_modules", json!([])).await;
    for kind in ["eth", "net", "web3", "txpool", "debug", "dovetail", "rpc"] {
        assert_eq!(modules[kind], "1.0", "{kind}");
    }
    assert_eq!(modules["engine"], Value::Null);
    assert_eq!(answer("net_peerCount", json!([])).await, "0x0");
    assert_eq!(answer("eth_coinbase", json!([])).await, json!(params().beneficiary));
    assert_eq!(answer("eth_baseFee", json!([])).await, "0x7");
}

#[tokio::test]
async fn a_header_has_the_fields_of_its_fork() {
    let fields = async |fork: &str| {
        let chain = MemoryChain { params: NetworkParams { spec: fork.parse().unwrap(), ..params() }, ..chain() };
        let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
        let block = ask(&module, "eth_getBlockByNumber", json!(["0x5dc", false])).await["result"].take();
        let names =
            ["baseFeePerGas", "withdrawals", "withdrawalsRoot", "blobGasUsed", "parentBeaconBlockRoot", "requestsHash"];
        names.into_iter().filter(|name| block.get(name).is_some()).count()
    };
    assert_eq!(fields("berlin").await, 0);
    assert_eq!(fields("london").await, 1);
    assert_eq!(fields("shanghai").await, 3);
    assert_eq!(fields("cancun").await, 5);
    assert_eq!(fields("prague").await, 6);
}

#[tokio::test]
async fn the_roots_are_over_deliveries_too() {
    let block = answer("eth_getBlockByNumber", json!(["0x3f2", false])).await;
    let raw = answer("debug_getRawReceipts", json!(["0x3f2"])).await;
    let raw: Vec<Bytes> = serde_json::from_value(raw).unwrap();
    assert_eq!((raw.len(), raw[2][0]), (3, 0x7e));
    let root = |items: &[Bytes]| {
        alloy_consensus::proofs::ordered_trie_root_with_encoder(items, |bytes: &Bytes, out| {
            out.extend_from_slice(bytes);
        })
    };
    assert_eq!(block["receiptsRoot"], json!(root(&raw)));
    let mut transactions = Vec::new();
    for hash in block["transactions"].as_array().unwrap() {
        transactions.push(serde_json::from_value(answer("debug_getRawTransaction", json!([hash])).await).unwrap());
    }
    assert_eq!(block["transactionsRoot"], json!(root(&transactions)));
}

#[tokio::test]
async fn a_call_answers_its_output() {
    let output = answer("eth_call", json!([{"to": TOKEN, "data": "0x01"}, "latest"])).await;
    assert_eq!(output, format!("0x{}", "07".repeat(32)));
    assert_eq!(answer("eth_call", json!([{"to": TOKEN, "input": "0x01"}, "latest", {}])).await, output);
}

#[tokio::test]
async fn a_call_finds_accounts_and_the_block_as_it_wants_them() {
    let code = json!({ TOKEN.to_string(): {"code": "0x475f5260205ff3", "balance": "0x5"} });
    let balance = answer("eth_call", json!([{"to": TOKEN}, "latest", code])).await;
    assert_eq!(balance, json!(B256::with_last_byte(5)));
    let number = answer("eth_call", json!([{"to": TOKEN, "data": "0x43"}, "latest", {}, {"number": "0x9"}])).await;
    assert_eq!(number, json!(B256::with_last_byte(9)));
    for wrong in [json!({"balance": "0x01"}), json!({"balanc": "0x1"}), json!({"nonce": 1})] {
        let wrong = json!({ TOKEN.to_string(): wrong });
        assert_eq!(refusal("eth_call", json!([{"to": TOKEN}, "latest", wrong])).await.0, -32602, "{wrong}");
    }
}

#[tokio::test]
async fn a_precompile_is_found_where_a_call_moves_it_and_not_where_it_was() {
    let (identity, elsewhere) = (Address::with_last_byte(4), Address::repeat_byte(0x44));
    let ask = async |to: Address, wanted: Value| {
        answer("eth_call", json!([{"to": to, "data": "0x1234"}, "latest", wanted])).await
    };
    assert_eq!(ask(identity, json!({})).await, "0x1234");
    let moved = json!({ identity.to_string(): {"movePrecompileToAddress": elsewhere} });
    assert_eq!(ask(elsewhere, moved.clone()).await, "0x1234");
    assert_eq!(ask(identity, moved).await, "0x");
    // Code that is written over one runs instead; it may ask the one that was moved.
    let code = json!({ identity.to_string(): {"code": "0x60055f5260205ff3", "movePrecompileToAddress": elsewhere} });
    assert_eq!(ask(identity, code.clone()).await, json!(B256::with_last_byte(5)));
    assert_eq!(ask(elsewhere, code).await, "0x1234");
    let calls = json!([{"to": elsewhere, "input": "0x77"}]);
    let blocks = json!({ "blockStateCalls": [
        {"stateOverrides": {identity.to_string(): {"movePrecompileToAddress": elsewhere}}, "calls": calls},
        {"calls": calls},
    ]});
    let blocks = answer("eth_simulateV1", json!([blocks])).await;
    let answers = [0, 1].map(|block| blocks[block]["calls"][0]["returnData"].clone());
    assert_eq!(answers, ["0x77", "0x"], "it is back in its place in the block that follows");
}

#[tokio::test]
async fn a_call_sees_the_number_of_the_block_that_it_names() {
    let seen = async |id: Value| {
        let output = answer("eth_call", json!([{"to": TOKEN, "data": "0x43"}, id])).await;
        u64::from_str_radix(output.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    assert_eq!(seen(json!("0x7cf")).await, 1_999);
    assert_eq!(seen(json!("0x5dc")).await, 1_500);
    assert_eq!(seen(json!({"blockHash": params().block_hash(1_998)})).await, 1_998);
    for tag in ["latest", "safe", "finalized"] {
        assert_eq!(seen(json!(tag)).await, 2_000, "{tag}");
    }
    assert_eq!(seen(json!("pending")).await, 2_005, "the slot of the newest state");
}

#[tokio::test]
async fn a_transaction_that_was_decided_late_says_when_it_ran() {
    let mut chain = chain();
    let late = OutcomeRecord { number: 1_600, ..record(5, 1_700, 0) };
    let block = SlotBlock { outcomes: vec![late.clone()], ..SlotBlock::empty(Slot(1_700)) };
    chain.blocks.insert(Slot(1_700), Arc::new(block));
    let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
    let receipt = ask(&module, "eth_getTransactionReceipt", json!([late.transaction])).await["result"].clone();
    assert_eq!((&receipt["blockNumber"], &receipt["ranAtBlock"]), (&json!("0x6a4"), &json!("0x640")));
    let receipts = ask(&module, "eth_getBlockReceipts", json!(["0x5dc"])).await["result"].clone();
    assert_eq!(receipts[0].get("ranAtBlock"), None, "one in time does not");
}

#[tokio::test]
async fn a_block_that_was_told_without_a_shard_names_it() {
    let mut chain = chain();
    let block = SlotBlock { silent: vec![ShardId(2), ShardId(17)], ..SlotBlock::empty(Slot(1_700)) };
    chain.blocks.insert(Slot(1_700), Arc::new(block));
    let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
    let block = ask(&module, "eth_getBlockByNumber", json!(["0x6a4", false])).await["result"].clone();
    assert_eq!(block["silentShards"], json!(["0x2", "0x11"]));
    let whole = ask(&module, "eth_getBlockByNumber", json!(["0x5dc", false])).await["result"].clone();
    assert_eq!(whole.get("silentShards"), None);
}

#[tokio::test]
async fn a_revert_is_code_3_with_its_reason_and_data() {
    // Error("too low")
    let mut output = hex!("08c379a0").to_vec();
    output.extend(U256::from(32).to_be_bytes::<32>());
    output.extend(U256::from(7).to_be_bytes::<32>());
    output.extend(b"too low");
    output.resize(4 + 96, 0);
    let input = format!("0xff{}", hex::encode(&output));
    let response = ask(&methods(), "eth_call", json!([{"to": TOKEN, "data": input}, "latest"])).await;
    assert_eq!(response["error"]["code"], 3);
    assert_eq!(response["error"]["message"], "execution reverted: too low");
    assert_eq!(response["error"]["data"], hex::encode_prefixed(&output));
    let response = ask(&methods(), "eth_estimateGas", json!([{"to": TOKEN, "data": "0xff"}])).await;
    assert_eq!(response["error"]["code"], 3);
    assert_eq!(response["error"]["message"], "execution reverted");
    let panic = format!("0xff4e487b71{}", hex::encode(U256::from(0x11).to_be_bytes::<32>()));
    assert_eq!(
        refusal("eth_call", json!([{"to": TOKEN, "data": panic}])).await.1,
        "execution reverted: panic code 0x11"
    );
}

#[tokio::test]
async fn an_estimate_is_enough_and_not_much_more() {
    let text = answer("eth_estimateGas", json!([{"to": TOKEN}])).await;
    let gas = u64::from_str_radix(text.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert!((21_000..=21_300).contains(&gas), "{gas}");
    let call = json!({"to": TOKEN, "gas": text});
    assert!(answer("eth_call", json!([call])).await.is_string());
    let burns = json!({ TOKEN.to_string(): {"code": "0x5b5f56"} });
    let (code, message) = refusal("eth_estimateGas", json!([{"to": TOKEN}, "latest", burns])).await;
    assert_eq!((code, message.as_str()), (-32000, "gas required exceeds allowance (16777216)"));
}

/// What is estimated is a transaction to come: it is never in the block that is the latest now.
#[tokio::test]
async fn an_estimate_is_of_a_block_to_come_unless_a_block_is_named() {
    // JUMPI over an SSTORE if NUMBER is that of the head, 2000.
    let code = json!({ TOKEN.to_string(): {"code": "0x6107d04314600d5760016001555b00"} });
    let gas = async |id: Value| {
        let gas = answer("eth_estimateGas", json!([{"to": TOKEN}, id, code])).await;
        u64::from_str_radix(gas.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    assert!(gas(json!("0x7d0")).await < 25_000, "in the block that is named");
    for open in [json!(null), json!("latest"), json!("pending")] {
        assert!(gas(open.clone()).await > 40_000, "{open}");
    }
}

#[tokio::test]
async fn a_call_that_names_a_price_must_be_able_to_pay_it() {
    let priced = |wei| json!({"to": TOKEN, "from": TOKEN, "gas": "0x7530", "gasPrice": wei});
    let (code, message) = refusal("eth_call", json!([priced("0x7")])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("insufficient funds for gas * price + value: "), "{message}");
    let (code, message) = refusal("eth_call", json!([priced("0x6")])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("max fee per gas less than block base fee: "), "{message}");
}

#[tokio::test]
async fn an_access_list_names_what_is_touched() {
    let reader = json!({ TOKEN.to_string(): {"code": "0x60015460026000555000"} });
    let listed = answer("eth_createAccessList", json!([{"to": TOKEN}, "latest", reader])).await;
    let keys = [B256::with_last_byte(0), B256::with_last_byte(1)];
    assert_eq!(listed["accessList"], json!([{"address": TOKEN, "storageKeys": keys}]), "{listed}");
    assert!(listed["error"].is_null(), "{listed}");
    let reverted = answer("eth_createAccessList", json!([{"to": TOKEN, "data": "0xff"}])).await;
    assert_eq!((&reverted["error"], &reverted["accessList"]), (&json!("execution reverted"), &json!([])));
}

#[tokio::test]
async fn a_call_is_traced_by_whichever_tracer_is_named() {
    let call = json!({"to": TOKEN, "data": "0xff01"});
    let traced = answer("debug_traceCall", json!([call, "latest", {"tracer": "callTracer"}])).await;
    assert_eq!((&traced["type"], &traced["error"]), (&json!("CALL"), &json!("execution reverted")), "{traced}");
    assert_eq!(traced["output"], "0x01");
    let steps = answer("debug_traceCall", json!([call, "latest"])).await;
    assert_eq!((&steps["failed"], &steps["structLogs"][0]["op"]), (&json!(true), &json!("PUSH0")), "{steps}");
    let parity = answer("trace_call", json!([call, ["trace"], "latest"])).await;
    assert_eq!(parity["trace"][0]["error"], "Reverted", "{parity}");
    let (code, _) = refusal("debug_traceCall", json!([call, "latest", {"tracer": "{result: 1}"}])).await;
    assert_eq!(code, -32602);
}

#[tokio::test]
async fn tracers_under_one_have_settings_or_none_as_in_geth() {
    let call = json!({"to": TOKEN, "input": "0x010203040506"});
    let tracers = ["callTracer", "prestateTracer", "4byteTracer", "noopTracer", "flatCallTracer"];
    for settings in [json!({}), Value::Null] {
        let config: Value = tracers.iter().map(|name| ((*name).to_owned(), settings.clone())).collect();
        let options = json!({"tracer": "muxTracer", "tracerConfig": config});
        let all = answer("debug_traceCall", json!([call, "latest", options])).await;
        assert_eq!(all.as_object().unwrap().len(), tracers.len(), "{all}");
        for name in tracers {
            let one =
                answer("debug_traceCall", json!([call, "latest", {"tracer": name, "tracerConfig": settings}])).await;
            assert_eq!(all[name], one, "{name}");
        }
    }
    let unknown = json!({"tracer": "muxTracer", "tracerConfig": {"myTracer": {}}});
    assert_eq!(refusal("debug_traceCall", json!([call, "latest", unknown])).await.0, -32602);
}

/// The sender pays with wei that it only has here.
fn simulation(more: &Value) -> Value {
    let rich = Address::repeat_byte(0x11);
    let pays = json!({"from": rich, "to": TOKEN, "value": "0x5", "gas": "0xc350"});
    let mut payload = json!({
        "blockStateCalls": [
            {"stateOverrides": {rich.to_string(): {"balance": "0xffffffff"}}, "calls": [pays, {"from": rich, "to": TOKEN, "input": "0x43"}]},
            {"blockOverrides": {"number": "0x7d9", "feeRecipient": TOKEN}, "calls": [{"to": TOKEN, "input": "0xff"}]},
        ],
        "traceTransfers": true,
    });
    more.as_object().unwrap().iter().for_each(|(name, value)| payload[name] = value.clone());
    payload
}

#[tokio::test]
async fn blocks_that_never_were_follow_each_other_and_gaps_are_empty() {
    // The newest state is of slot 2005, so the first is 2006, and 2009 is wanted.
    let blocks = answer("eth_simulateV1", json!([simulation(&json!({})), "pending"])).await;
    let numbers: Vec<&str> = blocks.as_array().unwrap().iter().map(|block| block["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["0x7d6", "0x7d7", "0x7d8", "0x7d9"]);
    let first = &blocks[0]["calls"];
    assert_eq!(first[0]["status"], "0x1");
    assert_eq!(first[0]["logs"][0]["address"], "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
    assert_eq!(first[0]["logs"][0]["blockNumber"], "0x7d6");
    // Calls see no price of gas, and no contract has logged what moved.
    assert_eq!((&blocks[0]["baseFeePerGas"], &blocks[0]["logsBloom"]), (&json!("0x0"), &json!(Bloom::ZERO)));
    assert_eq!(first[1]["returnData"], json!(B256::from(U256::from(2_006))));
    assert_eq!(blocks[3]["calls"][0]["error"], json!({"code": 3, "message": "execution reverted", "data": "0x"}));
    assert_eq!(blocks[3]["miner"], json!(TOKEN));
    assert_eq!((&blocks[1]["calls"], &blocks[1]["transactions"]), (&json!([]), &json!([])));
    let full = answer("eth_simulateV1", json!([simulation(&json!({"returnFullTransactions": true})), "pending"])).await;
    let transactions = &full[0]["transactions"];
    assert_eq!((&transactions[1]["nonce"], &transactions[1]["type"]), (&json!("0x1"), &json!("0x2")), "{transactions}");
    assert_eq!(transactions[0]["hash"], blocks[0]["transactions"][0]);
}

#[tokio::test]
async fn a_simulated_block_has_the_gas_limit_and_the_beneficiary_of_the_one_before_it() {
    let overrides = json!({"gasLimit": "0x7530", "feeRecipient": TOKEN});
    let payload = json!({"blockStateCalls": [
        {"calls": []}, {"blockOverrides": overrides, "calls": []}, {"calls": [{"to": TOKEN, "input": "0x43"}]},
    ]});
    let blocks = answer("eth_simulateV1", json!([payload])).await;
    assert_ne!(blocks[0]["gasLimit"], "0x7530");
    for block in [&blocks[1], &blocks[2]] {
        assert_eq!((&block["gasLimit"], &block["miner"]), (&json!("0x7530"), &json!(TOKEN)), "{block}");
    }
    assert_eq!(blocks[2]["calls"][0]["status"], "0x1");
    let more = json!([{"blockStateCalls": [
        {"blockOverrides": {"gasLimit": "0x7530"}, "calls": []}, {"calls": [{"to": TOKEN, "gas": "0x7531"}]},
    ]}]);
    assert_eq!(refusal("eth_simulateV1", more).await.0, -38015);
}

#[tokio::test]
async fn a_simulation_that_cannot_be_is_refused_with_the_specifications_codes() {
    let refused = async |payload: Value| refusal("eth_simulateV1", json!([payload])).await.0;
    assert_eq!(refused(json!({"blockStateCalls": []})).await, -32602);
    assert_eq!(refused(simulation(&json!({"validation": true}))).await, -38012, "no price");
    let block = |number: &str| json!({"blockOverrides": {"number": number}, "calls": []});
    assert_eq!(refused(json!({"blockStateCalls": [block("0x7d9"), block("0x7d9")]})).await, -38020);
    assert_eq!(refused(json!({"blockStateCalls": [block("0x1")]})).await, -38020);
    assert_eq!(refused(json!({"blockStateCalls": [block("0xffff")]})).await, -38026);
    let time = |time: &str| json!({"blockOverrides": {"time": time}, "calls": []});
    assert_eq!(refused(json!({"blockStateCalls": [time("0xfffff"), time("0xffffe")]})).await, -38021);
    let call = |call: Value| json!({"blockStateCalls": [{"calls": [call]}]});
    assert_eq!(refused(call(json!({"to": TOKEN, "gas": "0x1c9c381"}))).await, -38015);
    assert_eq!(refused(call(json!({"to": TOKEN, "gas": "0x1"}))).await, -38013);
    assert_eq!(refused(call(json!({"to": TOKEN, "from": TOKEN, "value": "0x1"}))).await, -38014);
    let moved = json!({"stateOverrides": {TOKEN.to_string(): {"movePrecompileToAddress": Address::repeat_byte(9)}}});
    assert_eq!(refused(json!({"blockStateCalls": [moved]})).await, -32000, "not a precompile");
}

#[tokio::test]
async fn a_transaction_that_does_not_come_to_its_receipt_again_is_not_traced() {
    let hash = record(0, 1010, 0).transaction;
    let (code, message) = refusal("debug_traceTransaction", json!([hash])).await;
    assert_eq!(code, -32603);
    assert!(message.ends_with("did not come to its receipt when it was run again"), "{message}");
    let (code, _) = refusal("debug_traceTransaction", json!([B256::repeat_byte(0x5e)])).await;
    assert_eq!(code, -32004, "a delivery has no input that is kept");
    let unknown = refusal("debug_traceTransaction", json!([B256::repeat_byte(9)])).await;
    assert_eq!(unknown, (-32000, "transaction not found".to_owned()));
    assert_eq!(answer("trace_transaction", json!([B256::repeat_byte(9)])).await, Value::Null);
    assert_eq!(answer("debug_traceBlockByNumber", json!(["0x3f3"])).await, json!([]), "an empty block");
    let refused = async |method, block: Value| refusal(method, json!([block])).await.1;
    assert_eq!(refused("debug_traceBlockByNumber", json!("earliest")).await, "genesis is not traceable");
    let unknown = B256::repeat_byte(3);
    assert_eq!(refused("debug_traceBlockByHash", json!(unknown)).await, format!("block {unknown} not found"));
}

#[tokio::test]
async fn a_refused_transaction_speaks_as_geth_does() {
    let (code, message) = refusal("eth_sendRawTransaction", json!(["0x01"])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("nonce too low: "), "{message}");
    let (code, message) = refusal("eth_sendRawTransaction", json!(["0xc0"])).await;
    let words = "only replay-protected (EIP-155) transactions allowed over RPC: ";
    assert!(code == -32000 && message.starts_with(words), "{message}");
    let (code, message) = refusal("eth_sendRawTransaction", json!(["0x03"])).await;
    assert_eq!(code, -32000);
    assert!(message.starts_with("insufficient funds for gas * price + value: "), "{message}");
    assert_eq!(answer("eth_sendRawTransaction", json!(["0x02"])).await, json!(keccak256([2])));
}

#[tokio::test]
async fn the_fee_history_is_that_of_a_constant_base_fee() {
    let history = answer("eth_feeHistory", json!(["0x2", "0x5dc", [10, 50]])).await;
    assert_eq!(history["oldestBlock"], "0x5db");
    assert_eq!(history["baseFeePerGas"], json!(["0x7", "0x7", "0x7"]));
    assert_eq!(history["gasUsedRatio"], json!([0.0, 40_000.0 / 30_000_000.0]));
    assert_eq!(history["reward"], json!([["0x0", "0x0"], ["0x3", "0x3"]]));
    assert_eq!(history["baseFeePerBlobGas"], json!(["0x1", "0x1", "0x1"]));
    assert_eq!(history["blobGasUsedRatio"], json!([0.0, 0.0]));
    assert_eq!(answer("eth_feeHistory", json!([2, "0x5dc", [10, 50]])).await, history, "a number of JSON");
    // More than there is: as much as there is.
    let history = answer("eth_feeHistory", json!(["0x400", "0x3e9"])).await;
    assert_eq!(history["oldestBlock"], "0x3e8");
    assert_eq!(refusal("eth_feeHistory", json!(["0x1", "latest", [50, 10]])).await.0, -32602);
    let (code, message) = refusal("eth_feeHistory", json!(["0x1", "0x7d1"])).await;
    assert!(code == -32000 && message.starts_with("request beyond head block"), "{message}");
}

#[tokio::test]
async fn what_blobs_cost_is_told_in_the_receipt_and_the_block() {
    let mut chain = chain();
    let (slot, record) = (Slot(1_600), blob_record(1_600));
    let hash = record.transaction;
    chain.blocks.insert(slot, Arc::new(SlotBlock { outcomes: vec![record], ..SlotBlock::empty(slot) }));
    let module = module(Node::new(Arc::new(chain), Heavy::default())).unwrap();
    let receipt = ask(&module, "eth_getTransactionReceipt", json!([hash])).await["result"].take();
    assert_eq!((&receipt["blobGasUsed"], &receipt["blobGasPrice"]), (&json!("0x40000"), &json!("0x1")));
    let block = ask(&module, "eth_getBlockByNumber", json!(["0x640", false])).await["result"].take();
    assert_eq!((&block["blobGasUsed"], &block["excessBlobGas"]), (&json!("0x40000"), &json!("0x0")));
    assert_eq!(ask(&module, "eth_blobBaseFee", json!([])).await["result"], "0x1");
}

#[tokio::test]
async fn what_cannot_be_true_here_is_refused_with_its_reason() {
    let (code, message) = refusal("eth_getProof", json!([TOKEN, ["0x5", "0x0"], "latest"])).await;
    assert_eq!(code, -32601);
    assert!(message.contains("sparse Merkle trees") && message.contains("ProveState"), "{message}");
    for (method, why) in [
        ("eth_sendTransaction", "holds no keys"),
        ("debug_getRawHeader", "not that of a header"),
        ("debug_getRawBlock", "not that of a header"),
        ("eth_getBlockAccessList", "EIP-7928"),
    ] {
        let (code, message) = refusal(method, json!(["latest"])).await;
        assert_eq!(code, -32601);
        assert!(message.starts_with(&format!("the method {method} is not available: ")), "{message}");
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn a_router_hears_of_which_blocks_there_is_what() {
    let capabilities = answer("eth_capabilities", json!([])).await;
    let head = json!({"number": "0x7d0", "hash": params().block_hash(2_000)});
    let all = json!({"disabled": false, "oldestBlock": "0x3e8"});
    assert_eq!((&capabilities["head"], &capabilities["logs"], &capabilities["state"]), (&head, &all, &all));
    assert_eq!(capabilities["stateproofs"], json!({"disabled": true}));
}

#[tokio::test]
async fn the_configuration_is_that_of_the_networks_only_fork() {
    let config = answer("eth_config", json!([])).await;
    let current = &config["current"];
    assert_eq!((&config["next"], &config["last"]), (&Value::Null, &Value::Null));
    assert_eq!((&current["activationTime"], &current["chainId"]), (&json!(0), &json!("0x539")));
    assert_eq!(current["precompiles"]["P256VERIFY"], "0x0000000000000000000000000000000000000100");
    assert_eq!(current["precompiles"].as_object().unwrap().len(), 18);
    assert_eq!(current["blobSchedule"]["baseFeeUpdateFraction"], 5_007_716);
    assert_eq!(current["forkId"].as_str().unwrap().len(), 10);
}

#[tokio::test]
async fn traces_are_looked_for_between_blocks_that_are_named_by_tags_too() {
    for empty in [
        json!({"fromBlock": "latest", "toBlock": "latest"}),
        json!({"fromBlock": "0x3f3", "toBlock": "0x3f4"}),
        json!({"fromBlock": "finalized"}),
    ] {
        assert_eq!(answer("trace_filter", json!([empty])).await, json!([]), "{empty}");
    }
    let (code, message) = refusal("trace_filter", json!([{"fromBlock": "0x7d1"}])).await;
    assert_eq!(code, -32602);
    assert!(message.contains("which is 2000"), "{message}");
    assert_eq!(refusal("trace_filter", json!([{"fromBlock": "earliest", "toBlock": "safe"}])).await.0, -32603);
}

/// Parameters that a method answers, and how often it is tried with each written wrongly.
#[tokio::test]
async fn what_the_specification_forbids_is_refused_as_a_parameter() {
    let (hash, address) = (params().block_hash(1_500), format!("{TOKEN:#x}"));
    let call = json!({"to": address, "value": "0x0", "gas": "0x186a0", "input": "0x01"});
    let asked = [
        ("eth_getBalance", json!([address, "0x7d0"])),
        ("eth_getStorageAt", json!([address, "0x0", "latest"])),
        ("eth_getBlockByNumber", json!(["0x5dc", false])),
        ("eth_getBlockByHash", json!([hash, false])),
        ("eth_getBlockReceipts", json!(["0x5dc"])),
        ("eth_getBlockTransactionCountByHash", json!([hash])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x5dc", "0x0"])),
        ("eth_getTransactionByBlockHashAndIndex", json!([hash, "0x0"])),
        ("eth_getTransactionReceipt", json!([hash])),
        ("eth_feeHistory", json!(["0x2", "latest", [10.0]])),
        ("eth_call", json!([call, "latest"])),
        ("eth_estimateGas", json!([call, "0x7d0"])),
        ("eth_getLogs", json!([{"blockHash": hash, "address": address, "topics": [hash]}])),
        ("eth_newFilter", json!([{"fromBlock": "0x5dc", "toBlock": "0x5dc"}])),
        ("web3_sha3", json!(["0x01"])),
    ];
    for (method, params) in asked {
        answer(method, params.clone()).await;
        let mut many = params.as_array().unwrap().clone();
        many.resize(5, json!(null));
        assert_eq!(refusal(method, json!(many)).await.0, -32602, "{method} with {many:?}");
        for pointer in leaves(&params, "") {
            let text = params.pointer(&pointer).unwrap().as_str().unwrap_or_default().to_owned();
            let is_count = method == "eth_feeHistory" && pointer == "/0";
            // How many blocks may be a number of JSON, as geth takes it.
            for wrong in misspelt(&text).into_iter().filter(|wrong| !(is_count && wrong.is_number())) {
                let mut params = params.clone();
                *params.pointer_mut(&pointer).unwrap() = wrong;
                assert_eq!(refusal(method, params.clone()).await.0, -32602, "{method} with {params}");
            }
        }
    }
}

/// Where in `value` there is text.
fn leaves(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::String(_) => vec![at.to_owned()],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| leaves(item, &format!("{at}/{index}"))).collect()
        }
        Value::Object(fields) => fields.iter().flat_map(|(name, item)| leaves(item, &format!("{at}/{name}"))).collect(),
        _ => Vec::new(),
    }
}

/// Ways to write a parameter that none may be written in.
fn misspelt(text: &str) -> Vec<Value> {
    let bare = text.trim_start_matches("0x");
    let capital = text.strip_prefix('l').map(|rest| json!(format!("L{rest}")));
    let prefixes = (bare.len() < text.len()).then(|| vec![json!(bare), json!(format!("0X{bare}"))]);
    let always =
        [json!(format!(" {text}")), json!(format!("{text}g")), json!(""), json!(7), json!(true), json!([[text]])];
    prefixes.into_iter().flatten().chain(capital).chain(always).collect()
}

#[tokio::test]
async fn a_call_for_another_network_is_refused() {
    assert_eq!(refusal("eth_call", json!([{"to": TOKEN, "chainId": "0x1"}])).await.0, -32602);
    answer("eth_call", json!([{"to": TOKEN, "chainId": "0x539"}])).await;
}

#[tokio::test]
async fn a_call_takes_its_access_list_and_authorizations_along() {
    let list = json!([{"address": TOKEN, "storageKeys": []}]);
    let authorization =
        json!({"address": TOKEN, "chainId": "0x539", "nonce": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x2"});
    let call = json!({"to": TOKEN, "accessList": list, "authorizationList": [authorization]});
    assert!(answer("eth_call", json!([call])).await.is_string());
    let gas = async |call: Value| -> u64 {
        let gas = answer("eth_createAccessList", json!([call])).await["gasUsed"].as_str().unwrap().to_owned();
        u64::from_str_radix(gas.trim_start_matches("0x"), 16).unwrap()
    };
    let plain = gas(json!({"to": TOKEN})).await;
    let borrowing = gas(json!({"to": TOKEN, "authorizationList": [authorization]})).await;
    assert_eq!(borrowing, plain + 25_000, "each authorization is paid for (EIP-7702)");
}

#[tokio::test]
async fn a_subscription_follows_the_head() {
    let chain = Arc::new(chain());
    let module = module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap();
    chain.head.send_replace(1_498);
    let mut heads = module.subscribe_unbounded("eth_subscribe", ["newHeads"]).await.unwrap();
    let mut logs =
        module.subscribe_unbounded("eth_subscribe", json_params(&json!(["logs", {"address": TOKEN}]))).await.unwrap();
    chain.head.send_replace(1_500);
    for number in ["0x5db", "0x5dc"] {
        let (head, _) = heads.next::<Value>().await.unwrap().unwrap();
        assert_eq!(head["number"], number);
    }
    let (log, _) = logs.next::<Value>().await.unwrap().unwrap();
    assert_eq!(log["blockNumber"], "0x5dc");
    assert!(module.subscribe_unbounded("eth_subscribe", ["newUncles"]).await.is_err());
}

#[tokio::test]
async fn a_subscription_follows_what_is_taken_in() {
    let chain = Arc::new(chain());
    let module = module(Node::new(Arc::clone(&chain), Heavy::default())).unwrap();
    chain.intake.note(arrival(3));
    let mut hashes = module.subscribe_unbounded("eth_subscribe", ["newPendingTransactions"]).await.unwrap();
    let full = json_params(&json!(["newPendingTransactions", true]));
    let mut full = module.subscribe_unbounded("eth_subscribe", full).await.unwrap();
    assert!(module.subscribe_unbounded("eth_subscribe", ["syncing"]).await.is_ok());
    chain.intake.note(arrival(4));
    assert_eq!(hashes.next::<B256>().await.unwrap().unwrap().0, arrival(4).hash);
    assert_eq!(full.next::<Value>().await.unwrap().unwrap().0["nonce"], "0x4");
}

/// Parameters of mixed kinds, as jsonrpsee takes them.
fn json_params(params: &Value) -> jsonrpsee::core::params::ArrayParams {
    let mut array = jsonrpsee::core::params::ArrayParams::new();
    for param in params.as_array().unwrap() {
        array.insert(param).unwrap();
    }
    array
}

/// Posts `body` to a server and gives back the whole HTTP answer.
async fn post(address: std::net::SocketAddr, body: &str) -> String {
    post_with(address, "origin: https://wallet.example", body).await
}

/// The same with a header of its own.
async fn post_with(address: std::net::SocketAddr, header: &str, body: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\n{header}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

/// A server of `chain`, what it counts, and what stops it.
struct Serving {
    address: SocketAddr,
    seats: Seats,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

async fn serving(chain: MemoryChain) -> Serving {
    serving_behind(chain, Proxies::default()).await
}

async fn serving_behind(chain: MemoryChain, proxies: Proxies) -> Serving {
    let server = super::JsonRpc::bind("127.0.0.1:0".parse().unwrap(), Arc::new(chain)).await.unwrap().behind(proxies);
    let (address, seats, stop) = (server.address(), server.listener.seats(), CancellationToken::new());
    Serving { address, seats, served: tokio::spawn(server.serve(stop.clone().cancelled_owned())), stop }
}

#[tokio::test]
async fn the_server_answers_over_http_with_cors_and_bounds_batches() {
    let server = serving(chain()).await;
    let response = post(server.address, r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#).await;
    assert!(response.contains("access-control-allow-origin: *"), "{response}");
    assert!(response.ends_with(r#"{"jsonrpc":"2.0","id":1,"result":"0x539"}"#), "{response}");
    let response = post(server.address, r#"{"jsonrpc":"2.0","id":1,"method":"no_such"}"#).await;
    assert!(response.contains("-32601"), "{response}");
    let calls = vec![json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}); 1_001];
    let response = post(server.address, &json!(calls).to_string()).await;
    assert!(response.contains("-32010"), "{response}");
    server.stop.cancel();
    server.served.await.unwrap();
}

/// The JSON of an HTTP answer.
fn body(response: &str) -> Value {
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {response}"))
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_with_ids_as_they_came() {
    let server = serving(chain()).await;
    let call = |id: Value, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method});
    let ids = [json!(1), json!("a"), json!(null), json!(-7), json!(1.5), json!(true)];
    let mut calls: Vec<Value> = ids.iter().map(|id| call(id.clone(), "eth_blockNumber")).collect();
    calls.push(json!({"jsonrpc": "2.0", "method": "eth_blockNumber"}));
    calls.extend((0..900).map(|id| call(json!(id), if id % 3 == 0 { "eth_chainId" } else { "no_such" })));
    let answers = body(&post(server.address, &json!(calls).to_string()).await);
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 906, "a notification is not answered");
    for (answer, id) in answers.iter().zip(ids) {
        assert_eq!((&answer["id"], &answer["result"]), (&id, &json!("0x7d0")));
    }
    for (id, answer) in answers[6..].iter().enumerate() {
        assert_eq!(answer["id"], json!(id));
        assert_eq!(answer["error"]["code"].as_i64(), (id % 3 != 0).then_some(-32601));
    }
    let one = body(&post(server.address, r#"{"jsonrpc":"2.0","id":-1,"method":"eth_chainId"}"#).await);
    assert_eq!(one, json!({"jsonrpc": "2.0", "id": -1, "result": "0x539"}));
    server.stop.cancel();
}

/// One client asks as fast as it can, another as it may: the second never waits for the first.
#[tokio::test]
async fn a_client_over_its_quota_is_told_so_and_takes_nothing_from_another() {
    let quota = |per_second: u32, burst: u32| {
        Some(crate::quota::Quota { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() })
    };
    let trusted: Vec<String> = vec!["127.0.0.0/8".to_owned()];
    let proxies = Proxies { trusted: trusted.try_into().unwrap(), ..Proxies::default() };
    let quotas = super::ClientQuotas::default();
    quotas.set(quota(1, 20));
    let bound = super::JsonRpc::bind("127.0.0.1:0".parse().unwrap(), Arc::new(chain())).await.unwrap();
    let server = bound.behind(proxies).within(quotas.clone());
    let (address, stop) = (server.address(), CancellationToken::new());
    let ended = tokio::spawn(server.serve(stop.clone().cancelled_owned()));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    let greedy = tokio::spawn(async move {
        let mut told = Vec::new();
        for _ in 0..200 {
            told.push(post_with(address, "x-forwarded-for: 10.0.0.1", call).await);
        }
        told
    });
    for _ in 0..20 {
        let answer = post_with(address, "x-forwarded-for: 10.0.0.2", call).await;
        assert_eq!(body(&answer)["result"], "0x539", "{answer}");
    }
    let told = greedy.await.unwrap();
    let (refused, answered): (Vec<_>, Vec<_>) = told.iter().partition(|answer| answer.starts_with("HTTP/1.1 429"));
    assert!((20..40).contains(&answered.len()), "{} went through", answered.len());
    let error = body(refused[0])["error"].take();
    assert_eq!(error["code"], -32_005);
    assert!(error["message"].as_str().unwrap().contains("1 calls a second with bursts of 20: try again in"), "{error}");
    assert!(
        refused[0].contains("retry-after: 1") && refused[0].contains("access-control-allow-origin: *"),
        "{}",
        refused[0]
    );
    // A batch is as many calls as it has.
    let batch = json!(vec![json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}); 30]).to_string();
    let answers = body(&post_with(address, "x-forwarded-for: 10.0.0.3", &batch).await);
    let is_refused = |answer: &&Value| answer["error"]["code"] == -32_005;
    assert_eq!(answers.as_array().unwrap().iter().filter(is_refused).count(), 10);
    quotas.set(None);
    assert_eq!(body(&post_with(address, "x-forwarded-for: 10.0.0.1", call).await)["result"], "0x539");
    stop.cancel();
    ended.await.unwrap();
}

/// Notifications that install filters: as many as a client may have push out the one that is idle longest.
#[tokio::test]
async fn a_notification_is_carried_out_and_not_answered() {
    let server = serving(chain()).await;
    let install = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_newBlockFilter"});
    let first = body(&post(server.address, &install.to_string()).await)["result"].take();
    let silent = json!({"jsonrpc": "2.0", "method": "eth_newBlockFilter"});
    let half = FILTERS_PER_CLIENT_COUNT_MAX / 2;
    for batch in [half, half - 1] {
        let answer = post(server.address, &json!(vec![silent.clone(); batch]).to_string()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    let changes = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getFilterChanges", "params": [first]}).to_string();
    assert_eq!(body(&post(server.address, &changes).await)["result"], json!([]), "it has its place yet");
    for batch in [half, half - 1] {
        post(server.address, &json!(vec![silent.clone(); batch]).to_string()).await;
    }
    let answer = post(server.address, &silent.to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(body(&post(server.address, &changes).await)["error"]["message"], "filter not found");
    let unheard = r#"{"jsonrpc":"2.0","method":"no_such"}"#;
    assert!(post(server.address, unheard).await.ends_with("\r\n\r\n"), "not even that there is no such method");
    server.stop.cancel();
}

#[tokio::test]
async fn what_is_no_request_is_told_from_what_is_no_json() {
    let server = serving(chain()).await;
    let none = Value::Null;
    let cases = [
        ("[]", -32600, &none),
        ("{}", -32600, &none),
        ("7", -32600, &none),
        (r#"{"id":1}"#, -32600, &json!(1)),
        ("{", -32700, &none),
        ("x", -32700, &none),
    ];
    for (text, code, id) in cases {
        let answer = body(&post(server.address, text).await);
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), id), "{text}");
    }
    server.stop.cancel();
}

/// Whether the filter that one client installed is there still when another has installed as many as a client may have.
async fn are_two_clients(proxies: Proxies, first: &str, second: &str) -> bool {
    let server = serving_behind(chain(), proxies).await;
    let install = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_newBlockFilter"});
    let filter = body(&post_with(server.address, first, &install.to_string()).await)["result"].take();
    for _ in 0..2 {
        let batch = json!(vec![install.clone(); FILTERS_PER_CLIENT_COUNT_MAX / 2]).to_string();
        post_with(server.address, second, &batch).await;
    }
    let changes = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getFilterChanges", "params": [filter]}).to_string();
    let answer = body(&post_with(server.address, first, &changes).await);
    server.stop.cancel();
    answer["error"].is_null()
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart_and_others_are_not() {
    let trusted = || Networks::try_from(vec!["127.0.0.0/8".to_owned()]).unwrap();
    let behind = |header| Proxies { trusted: trusted(), header };
    let (one, other) = ("x-forwarded-for: 198.51.100.7", "x-forwarded-for: 198.51.100.8");
    assert!(are_two_clients(behind(ProxyHeader::XForwardedFor), one, other).await);
    assert!(!are_two_clients(behind(ProxyHeader::XForwardedFor), one, "x-forwarded-for: 1.1.1.1, 198.51.100.7").await);
    assert!(!are_two_clients(behind(ProxyHeader::Forwarded), one, other).await, "not where the proxies say it");
    assert!(!are_two_clients(Proxies::default(), one, other).await, "nobody is trusted");
}

#[tokio::test]
async fn a_subscription_over_http_is_refused_in_geths_words() {
    let server = serving(chain()).await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#;
    let answer = body(&post(server.address, request).await);
    assert_eq!(answer["error"], json!({"code": -32601, "message": "notifications not supported"}));
    server.stop.cancel();
}

/// Sends an HTTP request without a body and gives back the whole answer.
async fn request(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn a_balancer_sees_whether_the_node_takes_work() {
    for (is_ready, status) in [(true, "200"), (false, "503")] {
        let server = serving(MemoryChain { is_ready, ..chain() }).await;
        let health = request(server.address, "GET /health HTTP/1.1").await;
        assert!(health.starts_with(&format!("HTTP/1.1 {status}")), "{health}");
        assert!(health.ends_with("shard 2 has not answered\n"), "{health}");
        assert!(request(server.address, "GET / HTTP/1.1").await.starts_with("HTTP/1.1 200"));
        assert!(request(server.address, "HEAD / HTTP/1.1").await.starts_with("HTTP/1.1 200"));
        assert!(request(server.address, "GET /else HTTP/1.1").await.starts_with("HTTP/1.1 404"));
        server.stop.cancel();
    }
}

#[tokio::test]
async fn a_page_from_the_internet_may_ask_a_node_at_home() {
    let server = serving(chain()).await;
    let asked = "OPTIONS / HTTP/1.1\r\norigin: https://wallet.example\r\naccess-control-request-method: POST\r\n\
                 access-control-request-private-network: true";
    let answer = request(server.address, asked).await;
    assert!(answer.contains("access-control-allow-private-network: true"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: *"), "{answer}");
    server.stop.cancel();
}

/// A WebSocket connection, its handshake done.
async fn websocket(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let handshake = "GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// A text message as a client sends it, masked with zeros.
fn message(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&[0x81, 0xfe, length[0], length[1], 0, 0, 0, 0], text.as_bytes()].concat()
}

/// A chain with one block of logs that make an answer of some 6 MB.
fn talkative() -> MemoryChain {
    let mut chain = chain();
    let mut record = record(7, 1_800, 0);
    record.outcome.logs[0].data = vec![1; 3 << 20].into();
    record.outcome.logs.truncate(1);
    let block = SlotBlock { outcomes: vec![record], ..SlotBlock::empty(Slot(1_800)) };
    chain.blocks.insert(Slot(1_800), Arc::new(block));
    chain
}

const LOGS: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{"fromBlock":"0x708","toBlock":"0x708"}]}"#;
const ANSWER_BYTES: usize = 8 << 20;
const PING: [u8; 2] = [0x89, 0];

#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_held_to_its_bytes() {
    let server = serving(talkative()).await;
    let mut greedy = websocket(server.address).await;
    let ask = message(LOGS);
    let asking = async {
        loop {
            // It ends when the server no longer listens to it.
            let sent = tokio::time::timeout(Duration::from_millis(500), greedy.write_all(&ask)).await;
            if !sent.is_ok_and(|sent| sent.is_ok()) {
                break;
            }
        }
    };
    let mut most = 0;
    tokio::pin!(asking);
    loop {
        tokio::select! {
            () = &mut asking => break,
            () = tokio::time::sleep(Duration::from_millis(5)) => most = most.max(server.seats.unread_bytes()),
        }
    }
    // What the system keeps for it is not counted: some megabytes.
    assert!(most > ANSWER_BYTES / 8, "it left {most} bytes unread, too few to show a bound");
    let bound = UNREAD_BYTES_MAX + HEAVY_READS_COUNT_MAX * ANSWER_BYTES;
    assert!(most <= bound, "it left {most} bytes unread, {bound} are its bound");
    let response = post(server.address, r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#).await;
    assert!(response.contains("0x539"), "others are served: {response}");
}

#[tokio::test]
async fn a_client_that_reads_gets_every_answer() {
    let server = serving(talkative()).await;
    let mut client = websocket(server.address).await;
    let ask = message(LOGS);
    for _ in 0..12 {
        client.write_all(&ask).await.unwrap();
        let mut kind = [0; 2];
        client.read_exact(&mut kind).await.unwrap();
        if kind == PING {
            client.read_exact(&mut kind).await.unwrap();
        }
        assert_eq!(kind, [0x81, 127], "a text of more than 64 KiB");
        let mut length = [0; 8];
        client.read_exact(&mut length).await.unwrap();
        let length = u64::from_be_bytes(length);
        let mut answer = vec![0; length as usize];
        client.read_exact(&mut answer).await.unwrap();
        assert!(answer.starts_with(br#"{"jsonrpc":"2.0","id":1,"result""#) && length > 6 << 20);
    }
    assert!(server.seats.unread_bytes() < UNREAD_BYTES_CHECKED_MIN, "what was read is not counted any longer");
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_read_is_cut_off() {
    let chain = chain();
    let head = chain.head.clone();
    let server = serving(chain).await;
    let mut lazy = websocket(server.address).await;
    lazy.write_all(&message(r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#))
        .await
        .unwrap();
    // Heads come, far more than the system keeps for somebody who does not read.
    for _ in 0..400 {
        head.send_modify(|head| *head += 100);
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(server.seats.unread_bytes() <= UNREAD_BYTES_MAX);
        if server.seats.count() == 0 {
            return;
        }
    }
    panic!("it still has its place, with {} bytes unread", server.seats.unread_bytes());
}
