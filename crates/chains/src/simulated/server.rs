//! The JSON-RPC endpoints of a simulated chain, each with a fault of its own.

use super::{Block, SimulatedChain};
use alloy_consensus::{ReceiptEnvelope, TxType};
use alloy_primitives::{Address, B256, Log};
use alloy_rpc_types_eth::TransactionReceipt;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How many bytes a huge answer has.
const HUGE_BYTES: usize = 100 * 1024 * 1024;

/// What an endpoint does instead of telling the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is honest.
    None,
    /// HTTP 429.
    RateLimited,
    /// Bytes that are no JSON.
    Garbage,
    /// 100 MB.
    Huge,
    /// No answer, ever.
    Stalled,
    /// `null`.
    Nothing,
    /// Another chain's id.
    WrongChain,
    /// Receipts of the block before.
    OtherReceipts,
    /// Receipts without the last message.
    OmittedLog,
    /// An error where a whole block's receipts are asked for, and the truth one by one.
    NoBlockReceipts,
}

/// A served endpoint; it goes when this is dropped.
#[derive(Debug)]
pub struct Served {
    /// Its URL.
    pub url: String,
    fault: Arc<Mutex<Fault>>,
    task: JoinHandle<()>,
}

impl Served {
    /// From now on it has this fault.
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Shown {
    chain: SimulatedChain,
    fault: Arc<Mutex<Fault>>,
}

impl SimulatedChain {
    /// Serves it on a free port of the loopback, with this fault.
    pub async fn serve(&self, fault: Fault) -> io::Result<Served> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let fault = Arc::new(Mutex::new(fault));
        let shown = Shown { chain: self.clone(), fault: Arc::clone(&fault) };
        let app = Router::new().route("/", post(answer)).with_state(shown);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "a simulated endpoint ended");
            }
        });
        Ok(Served { url, fault, task })
    }
}

async fn answer(State(shown): State<Shown>, axum::Json(request): axum::Json<Value>) -> Response {
    let fault = *shown.fault.lock().unwrap_or_else(PoisonError::into_inner);
    match fault {
        Fault::RateLimited => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Fault::Garbage => return "<html>not today</html>".into_response(),
        Fault::Huge => return Body::from(vec![b' '; HUGE_BYTES]).into_response(),
        Fault::Stalled => std::future::pending().await,
        _ => {}
    }
    if fault == Fault::NoBlockReceipts && request["method"] == "eth_getBlockReceipts" {
        let error = json!({ "code": -32601, "message": "the method does not exist" });
        return axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })).into_response();
    }
    let result = if fault == Fault::Nothing { Value::Null } else { shown.result(&request, fault) };
    axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

impl Shown {
    fn result(&self, request: &Value, fault: Fault) -> Value {
        let chain = &self.chain;
        match request["method"].as_str().unwrap_or_default() {
            "eth_chainId" => json!(format!("{:#x}", chain.chain_id + u64::from(fault == Fault::WrongChain))),
            "eth_blockNumber" => json!(format!("{:#x}", chain.tip())),
            "eth_getBlockByNumber" => self.block(request).map_or(Value::Null, |block| header(&block)),
            "eth_getBlockReceipts" => self.block(request).map_or(Value::Null, |block| self.receipts(block, fault)),
            "eth_getBlockByHash" => self.block_of_hash(request).map_or(Value::Null, |block| transactions(&block)),
            "eth_getTransactionReceipt" => self.transaction(request).map_or(Value::Null, |found| json!(found)),
            _ => Value::Null,
        }
    }

    fn block_of_hash(&self, request: &Value) -> Option<Block> {
        let hash: B256 = serde_json::from_value(request["params"][0].clone()).ok()?;
        let mut blocks = (0..=self.chain.tip()).filter_map(|number| self.chain.get(number));
        blocks.find(|block| block.header.hash_slow() == hash)
    }

    fn transaction(&self, request: &Value) -> Option<TransactionReceipt> {
        let hash: B256 = serde_json::from_value(request["params"][0].clone()).ok()?;
        let blocks = (0..=self.chain.tip()).filter_map(|number| self.chain.get(number));
        let mut all = blocks.flat_map(|block| block.transactions().into_iter().zip(block.receipts));
        all.find(|(name, _)| *name == hash).map(|(name, shown)| receipt(name, shown))
    }

    fn block(&self, request: &Value) -> Option<Block> {
        let text = request["params"][0].as_str()?;
        let number = match text {
            "finalized" => self.chain.final_number(),
            "latest" => self.chain.tip(),
            number => u64::from_str_radix(number.trim_start_matches("0x"), 16).ok()?,
        };
        self.chain.get(number)
    }

    fn receipts(&self, block: Block, fault: Fault) -> Value {
        let (names, mut receipts) = (block.transactions(), block.receipts);
        match fault {
            Fault::OtherReceipts => {
                let before = self.chain.get(block.header.number.saturating_sub(1));
                receipts = before.map(|before| before.receipts).unwrap_or_default();
            }
            Fault::OmittedLog => drop(receipts.pop()),
            _ => {}
        }
        let shown: Vec<_> = names.into_iter().zip(receipts).map(|(name, shown)| receipt(name, shown)).collect();
        json!(shown)
    }
}

fn header(block: &Block) -> Value {
    let header = alloy_rpc_types_eth::Header {
        hash: block.header.hash_slow(),
        inner: block.header.clone(),
        total_difficulty: None,
        size: None,
    };
    json!(header)
}

fn transactions(block: &Block) -> Value {
    json!({ "transactions": block.transactions() })
}

fn receipt(transaction_hash: B256, envelope: ReceiptEnvelope<Log>) -> TransactionReceipt {
    debug_assert_eq!(envelope.tx_type(), TxType::Eip1559, "what a simulated chain makes");
    let log = |log| alloy_rpc_types_eth::Log { inner: log, ..alloy_rpc_types_eth::Log::default() };
    TransactionReceipt {
        inner: envelope.map_logs(log),
        transaction_hash,
        transaction_index: Some(0),
        block_hash: None,
        block_number: None,
        gas_used: 100_000,
        effective_gas_price: 1,
        blob_gas_used: None,
        blob_gas_price: None,
        from: Address::ZERO,
        to: None,
        contract_address: None,
    }
}
