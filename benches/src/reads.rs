//! What a wallet, an indexer and an explorer read by JSON-RPC, over so many transactions of history, beside anvil with the same.
//!
//! ```text
//!   fill: token transfers by 64 users, the same in both     measure: the same questions by 16 clients, each in turn
//! ```
//!
//! A request is a connection of its own, to either. anvil is skipped where it is not found.
//!
//! From [`LONG_COUNT`] transactions on the histories are made sooner, and asked in the same way: the network gets several of a user
//! together, and anvil gets them unsigned, from users whom it impersonates, and mines a block for every 500.

use crate::network::{self, WORKLOADS};
use crate::settings::Settings;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolConstructor};
use cluster::anvil::{self, Anvil};
use cluster::client::{Client, until};
use cluster::rpc::Rpc;
use cluster::{Cluster, Node};
use evm::Status;
use eyre::{Result, WrapErr, ensure, eyre};
use fixtures::contracts::{Artifact, Token};
use fixtures::wallet::{Call, Wallet};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// What the rows are called.
pub(crate) const NAME: &str = "reads::json-rpc";

/// Users that fill the history.
const USERS_COUNT: u32 = 64;

/// Clients that ask at once.
const CLIENTS_COUNT: usize = 16;

/// Transactions of one user that are submitted together, where the history is long, so that it is made sooner.
const BUNDLE_COUNT: u64 = 16;
/// From how many transactions on a history is long.
const LONG_COUNT: u64 = 200_000;

/// Transactions that are asked for again.
const SAMPLES_COUNT: u64 = 1_000;

/// Transactions of one user on their way to anvil at once: it keeps a pool.
const UNDER_WAY_COUNT: u64 = 128;

/// Transactions that anvil gets in one request, where the history is long, and mines as one block: it looks through its pool for
/// each that comes, so a small one makes it many times faster.
const BATCH_COUNT: usize = 500;

/// What each of them pays for gas.
const GAS_PRICE: u64 = 2_000_000_000;

/// Who gets a single token, before all others.
const RARE: Address = Address::repeat_byte(0xa1);

/// What is asked.
pub(crate) const QUESTIONS: [&str; 4] = [
    "eth_getTransactionReceipt",
    "eth_getLogs, one sender's of one block",
    "eth_getLogs, one log of all blocks",
    "eth_call, balanceOf",
];

/// Answers a second to each question.
pub(crate) type Rates = [f64; QUESTIONS.len()];

/// What it came to.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Transactions of the history.
    pub(crate) history: u64,
    pub(crate) ours: Rates,
    /// anvil's, and how long it took to make its history; or why there are none.
    pub(crate) anvil: Result<(Rates, Duration), String>,
    /// How long it took to make the history.
    pub(crate) filled: Duration,
    /// Of the chain index.
    pub(crate) index_bytes: u64,
    /// Of the shard's store: state, outcomes, blocks, and the state after each block.
    pub(crate) shard_bytes: u64,
    /// From a coordinator's start without an index to an answer about the newest transaction.
    pub(crate) caught_up: Duration,
}

/// A history, and what is asked about it.
#[derive(Debug)]
struct History {
    token: Address,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    hash: B256,
    sender: Address,
}

/// Fills both with `history` transactions and asks.
pub(crate) async fn run(settings: &Settings, history: u64) -> Result<Reads> {
    let dir = tempfile::tempdir()?;
    let plan = network::plan(WORKLOADS[0], USERS_COUNT)?;
    let id = plan.network;
    let mut cluster = Cluster::start(plan, dir.path())?;
    let client = cluster.client(0)?;
    let begun = Instant::now();
    let told = fill_ours(&client, id, history).await.wrap_err("the network was not filled")?;
    let filled = begun.elapsed();
    let ours = rates(client.rpc(), &told, settings).await?;
    let index = dir.path().join(Node::Coordinator(0).to_string()).join("index");
    let (index_bytes, shard_bytes) = (bytes(&index)?, bytes(&dir.path().join(Node::Executor(0).to_string()))?);
    let caught_up = catch_up(&mut cluster, &index, &told).await?;
    cluster.stop()?;
    let anvil = match start_anvil(id).await? {
        Ok(anvil) => {
            let begun = Instant::now();
            let told = fill_anvil(anvil.rpc(), id, history).await.wrap_err("anvil was not filled")?;
            let filled = begun.elapsed();
            Ok((rates(anvil.rpc(), &told, settings).await?, filled))
        }
        Err(reason) => Err(reason),
    };
    Ok(Reads { history, ours, anvil, filled, index_bytes, shard_bytes, caught_up })
}

/// What both begin with.
struct Opening {
    token: Address,
    deployer: Wallet,
    /// The token's deployment, the rare log, and a mint for each user.
    calls: Vec<Call>,
    /// Each with its transfer.
    users: Vec<(Wallet, Call)>,
}

fn opening(id: u64) -> Result<Opening> {
    let deployer = Wallet::development(id, 0)?;
    let token = deployer.next_contract();
    let arguments = Token::constructorCall { name: "Gold".into(), symbol: "GLD".into() }.abi_encode();
    let mint = |to| Call::to(token, Token::mintCall { to, amount: U256::from(1_000_000_000_u64) }.abi_encode());
    let mut calls = vec![Call::create(Artifact::TOKEN.init_code(&arguments)?), mint(RARE)];
    let mut users = Vec::new();
    for user in 0..USERS_COUNT {
        let wallet = network::user(id, user)?;
        calls.push(mint(wallet.address()));
        let to = Address::from_slice(&keccak256(wallet.address())[..20]);
        let call = Call::to(token, Token::transferCall { to, amount: U256::ONE }.abi_encode()).with_gas_limit(100_000);
        users.push((wallet, call));
    }
    Ok(Opening { token, deployer, calls, users })
}

/// How many transfers each user sends, and each how many of them is asked for again.
fn shares(history: u64) -> (u64, u64) {
    let each = history.div_ceil(u64::from(USERS_COUNT));
    (each, (history / SAMPLES_COUNT).max(1))
}

async fn fill_ours(client: &Client, id: u64, history: u64) -> Result<History> {
    let Opening { token, mut deployer, calls, users } = opening(id)?;
    for call in &calls {
        client.succeed(&mut deployer, call).await?;
    }
    let (each, step) = shares(history);
    let at_once = if history < LONG_COUNT { 1 } else { BUNDLE_COUNT };
    let fill = users.into_iter().map(|(mut wallet, call)| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut samples = Vec::new();
            for first in (0..each).step_by(at_once as usize) {
                let count = at_once.min(each - first);
                let mut signed = (0..count).map(|_| wallet.sign(&call)).collect::<Result<Vec<_>>>()?;
                let ended = match signed.pop() {
                    Some(only) if signed.is_empty() => client.submit(only).await?,
                    last => client.submit_bundle(signed.into_iter().chain(last).collect()).await?,
                };
                let settled = ended.committed()?;
                for (number, outcome) in (first..).zip(&settled.outcomes) {
                    ensure!(outcome.status == Status::Success, "a transfer ended as {:?}", outcome.status);
                    if let (0, Some(hash)) = (number % step, outcome.transaction) {
                        samples.push(Sample { hash, sender: wallet.address() });
                    }
                }
            }
            Ok::<_, eyre::Report>(samples)
        })
    });
    history_of(token, try_join_all(fill).await?)
}

async fn fill_anvil(rpc: &Rpc, id: u64, history: u64) -> Result<History> {
    let Opening { token, mut deployer, calls, users } = opening(id)?;
    let funded = U256::from(10).pow(U256::from(24));
    for address in users.iter().map(|(wallet, _)| wallet.address()).chain([deployer.address()]) {
        rpc.request::<Value>("anvil_setBalance", json!([address, funded])).await?;
    }
    for call in &calls {
        rpc.request::<B256>("eth_sendRawTransaction", json!([deployer.sign(call)?])).await?;
    }
    mined(rpc, &deployer, 0).await?;
    let (each, step) = shares(history);
    if history >= LONG_COUNT {
        let samples = fill_anvil_at_once(rpc, &users, (each, step)).await?;
        return Ok(History { token, samples });
    }
    let fill = users.into_iter().map(|(mut wallet, call)| {
        let rpc = rpc.clone();
        tokio::spawn(async move {
            let mut samples = Vec::new();
            for number in 0..each {
                if number % UNDER_WAY_COUNT == 0 {
                    mined(&rpc, &wallet, UNDER_WAY_COUNT / 2).await?;
                }
                let raw: Bytes = wallet.sign(&call)?;
                let hash = rpc.request("eth_sendRawTransaction", json!([raw])).await?;
                if number % step == 0 {
                    samples.push(Sample { hash, sender: wallet.address() });
                }
            }
            mined(&rpc, &wallet, 0).await?;
            Ok::<_, eyre::Report>(samples)
        })
    });
    history_of(token, try_join_all(fill).await?)
}

/// The same transfers, one of each user in turn, without their signatures.
async fn fill_anvil_at_once(rpc: &Rpc, users: &[(Wallet, Call)], (each, step): (u64, u64)) -> Result<Vec<Sample>> {
    let unsigned = |(number, (wallet, call)): &(u64, &(Wallet, Call))| {
        let nonce = U256::from(wallet.nonce() + number);
        let (gas, price) = (U256::from(call.gas_limit), U256::from(GAS_PRICE));
        json!([{ "from": wallet.address(), "to": call.to, "data": call.input, "gas": gas, "gasPrice": price, "nonce": nonce }])
    };
    let mut transfers = (0..each).flat_map(|number| users.iter().map(move |user| (number, user)));
    let mut samples = Vec::new();
    loop {
        let batch: Vec<_> = transfers.by_ref().take(BATCH_COUNT).collect();
        if batch.is_empty() {
            break;
        }
        let hashes: Vec<B256> = rpc.batch("eth_sendTransaction", batch.iter().map(unsigned)).await?;
        let sent = batch.iter().zip(hashes).filter(|((number, _), _)| number % step == 0);
        samples.extend(sent.map(|((_, (wallet, _)), hash)| Sample { hash, sender: wallet.address() }));
        rpc.request::<Value>("anvil_mine", json!(["0x1"])).await?;
    }
    Ok(samples)
}

fn history_of(token: Address, samples: Vec<Result<Vec<Sample>>>) -> Result<History> {
    let samples = samples.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    Ok(History { token, samples })
}

/// Waits until all but `left` of the wallet's transactions are in blocks.
async fn mined(rpc: &Rpc, wallet: &Wallet, left: u64) -> Result<()> {
    until("anvil's blocks", || async {
        let count: U256 = rpc.request("eth_getTransactionCount", json!([wallet.address(), "latest"])).await?;
        Ok((count.to::<u64>() + left >= wallet.nonce()).then_some(()))
    })
    .await
}

/// Asks each question for a quarter of the time.
async fn rates(rpc: &Rpc, history: &History, settings: &Settings) -> Result<Rates> {
    let transfer = keccak256("Transfer(address,address,uint256)");
    let token = history.token;
    let mut asked: [Vec<(&str, Value)>; QUESTIONS.len()] = Default::default();
    let everywhere = json!({ "fromBlock": "0x0", "toBlock": "latest", "address": token, "topics": [transfer, null, RARE.into_word()] });
    asked[2].push(("eth_getLogs", json!([everywhere])));
    for Sample { hash, sender } in &history.samples {
        let block = told(rpc, *hash).await?;
        let here =
            json!({ "fromBlock": block, "toBlock": block, "address": token, "topics": [transfer, sender.into_word()] });
        asked[0].push(("eth_getTransactionReceipt", json!([hash])));
        asked[1].push(("eth_getLogs", json!([here])));
        let input = Bytes::from(Token::balanceOfCall { holder: *sender }.abi_encode());
        asked[3].push(("eth_call", json!([{ "to": token, "data": input }, "latest"])));
    }
    let mut rates = Rates::default();
    for (rate, asked) in rates.iter_mut().zip(&asked) {
        *rate = ask(rpc, asked, settings.duration / QUESTIONS.len() as u32).await?;
    }
    Ok(rates)
}

/// In which block a transaction is, once that is told.
async fn told(rpc: &Rpc, hash: B256) -> Result<Value> {
    until("a receipt", || async {
        let receipt: Value = rpc.request("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(receipt.get("blockNumber").cloned())
    })
    .await
}

/// Answers a second to these questions, over and over, by [`CLIENTS_COUNT`] clients; each answer has something in it.
async fn ask(rpc: &Rpc, asked: &[(&str, Value)], duration: Duration) -> Result<f64> {
    let begun = Instant::now();
    let clients = (0..CLIENTS_COUNT).map(async |client| {
        let mut answers = 0_u64;
        for (method, params) in asked.iter().cycle().skip(client * asked.len() / CLIENTS_COUNT) {
            if begun.elapsed() >= duration {
                break;
            }
            let answer: Value = rpc.request(method, params.clone()).await?;
            if answer.is_null() || answer.as_array().is_some_and(Vec::is_empty) {
                return Err(eyre!("{method} {params} was answered {answer}"));
            }
            answers += 1;
        }
        Ok(answers)
    });
    let answers: u64 = try_join_all(clients).await?.into_iter().sum();
    Ok(answers as f64 / begun.elapsed().as_secs_f64())
}

/// How long a coordinator whose index was deleted takes to know the newest transaction again.
async fn catch_up(cluster: &mut Cluster, index: &Path, history: &History) -> Result<Duration> {
    let coordinator = Node::Coordinator(0);
    cluster.terminate(coordinator)?;
    std::fs::remove_dir_all(index)?;
    let begun = Instant::now();
    cluster.restart(coordinator)?;
    cluster.wait_ready(coordinator)?;
    let rpc = Rpc::new(&cluster.rpc(0));
    let last = history.samples.last().ok_or_else(|| eyre!("no transaction was made"))?.hash;
    while rpc.request::<Value>("eth_getTransactionReceipt", json!([last])).await.is_ok_and(|receipt| receipt.is_null())
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(begun.elapsed())
}

/// The bytes of all files below `folder`.
pub(crate) fn bytes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(sum)
}

/// An anvil of the network's id and fees; none, with the reason, where it is not found.
async fn start_anvil(id: u64) -> Result<Result<Anvil, String>> {
    let Some(program) = anvil::program() else {
        return Ok(Err("no anvil: run scripts/setup tests, or name one as DOVETAIL_ANVIL".to_owned()));
    };
    let id = id.to_string();
    let blocks = ["--block-time", "1", "--gas-limit", "1000000000", "--base-fee", "1000000000"];
    let arguments = [&["--chain-id", &id, "--no-request-size-limit", "--auto-impersonate"], &blocks[..]].concat();
    Ok(Ok(Anvil::start(&program, &arguments).await?))
}
