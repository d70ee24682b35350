//! Delivers messages to an EVM chain's mailbox: one at a time, each once, whatever dies in between.
//!
//! ```text
//!   delivered there? --yes--> done
//!        | no
//!   nonce from the chain, signed bytes --> journal, synced --> broadcast --> receipt
//!                                             ^  after a crash: the same bytes again; they are the same transaction
//!                                             |  stuck: the same nonce with a higher fee, journalled first
//! ```
//!
//! Promise: there is one transaction to look for at any time and it is in the journal before anybody sees it, so a crash between
//! broadcast and record finds it again by its bytes; a second delivery would be another nonce, which is never used while
//! the first one's may still be mined. The mailbox refuses a second one in any case.
//! Knows nothing of checkpoints: metadata comes ready. One submitter has one key to itself; a second process with the same key takes
//! nonces away, which shows as a replaced transaction and is tried again.

use crate::endpoint::{Endpoint, EndpointError};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, sol};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

sol! {
    /// Hyperlane's mailbox, as far as a submitter needs it.
    #[derive(Debug)]
    interface HyperlaneMailbox {
        function delivered(bytes32 id) external view returns (bool);
        function process(bytes metadata, bytes message) external payable;
    }
}

/// Between two looks for a receipt.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a node wants at least for the same nonce again, in percent; nodes ask for 10.
const REPLACEMENT_PERCENT: u128 = 125;

/// Gas over what the node estimates, in percent: an estimate is the least that was enough.
const GAS_PERCENT: u64 = 120;

/// A replacement that nobody takes is not tried for ever.
const REPLACEMENTS_COUNT_MAX: u32 = 20;

/// Why a message was not delivered now.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The endpoint gave no answer; try again.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The chain says that the delivery would revert, with its words: metadata, recipient or gas. It costs nothing to try again.
    #[error("the delivery would revert: {0}")]
    Reverts(String),
    /// It was mined and reverted.
    #[error("transaction {0} reverted")]
    Reverted(B256),
    /// Fees are above what is allowed; nothing was sent, or what was sent stays.
    #[error("a fee of {wanted} wei a gas where at most {max} are allowed")]
    TooDear {
        /// What it would take.
        wanted: u128,
        /// What is allowed.
        max: u128,
    },
    /// The account cannot pay.
    #[error("{payer} has {balance} wei where {needed} are needed: fund it")]
    Dry {
        /// Whose account.
        payer: Address,
        /// What it has.
        balance: U256,
        /// What it needs.
        needed: U256,
    },
    /// The journal cannot be written: nothing is sent.
    #[error("the journal: {0}")]
    Journal(#[from] io::Error),
    /// The key does not sign.
    #[error(transparent)]
    Signer(#[from] alloy_signer::Error),
    /// Still not mined after so many replacements.
    #[error("nonce {0} is stuck: it was replaced {REPLACEMENTS_COUNT_MAX} times")]
    Stuck(u64),
}

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// By this transaction, with so much gas.
    Now {
        /// The transaction.
        transaction: B256,
        /// What it took.
        gas_used: u64,
    },
    /// It had been delivered.
    Before,
}

/// The transaction that may be on its way: what the journal holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Flight {
    id: B256,
    nonce: u64,
    fee: u128,
    tip: u128,
    gas: u64,
    input: Bytes,
    raw: Bytes,
    /// Every transaction that was sent for this nonce.
    hashes: Vec<B256>,
}

/// What a submitter is told.
#[derive(Debug, Clone)]
pub struct SubmitterSettings {
    /// The chain's id.
    pub chain_id: u64,
    /// The mailbox there.
    pub mailbox: Address,
    /// The most a gas may cost, in wei.
    pub fee_max: u128,
    /// After how long without a receipt a transaction is replaced.
    pub patience: Duration,
    /// The journal's file.
    pub journal: PathBuf,
}

/// Delivers to one mailbox from one account.
#[derive(Debug)]
pub struct Submitter {
    settings: SubmitterSettings,
    endpoint: Endpoint,
    signer: PrivateKeySigner,
    flight: Option<Flight>,
}

impl Submitter {
    /// The submitter whose journal is at `settings.journal`, with what it had under way.
    pub fn open(settings: SubmitterSettings, endpoint: Endpoint, signer: PrivateKeySigner) -> io::Result<Self> {
        let flight = match fs::read(&settings.journal) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { settings, endpoint, signer, flight })
    }

    /// Who pays.
    pub fn payer(&self) -> Address {
        self.signer.address()
    }

    /// Delivers `message` with `metadata`, and waits until that is mined.
    pub async fn deliver(&mut self, message: &[u8], metadata: &[u8]) -> Result<Submitted, SubmitError> {
        self.finish().await?;
        let id = keccak256(message);
        if self.is_delivered(id).await? {
            return Ok(Submitted::Before);
        }
        let call =
            HyperlaneMailbox::processCall { metadata: metadata.to_vec().into(), message: message.to_vec().into() };
        self.begin(id, call.abi_encode().into()).await?;
        self.finish().await.map(|ended| ended.unwrap_or(Submitted::Before))
    }

    /// Brings what is under way to its end, if anything is.
    ///
    /// # Errors
    /// What keeps it; it stays under way, but for a revert, which ends it.
    pub async fn finish(&mut self) -> Result<Option<Submitted>, SubmitError> {
        let mut replacements = 0;
        let mut since = Instant::now();
        self.broadcast().await?;
        while let Some(flight) = &self.flight {
            if let Some(receipt) = self.receipt(&flight.hashes).await? {
                self.land()?;
                let (transaction, gas_used) = (receipt.transaction_hash, receipt.gas_used);
                let ended = Submitted::Now { transaction, gas_used };
                return if receipt.status() { Ok(Some(ended)) } else { Err(SubmitError::Reverted(transaction)) };
            }
            if self.mined_count().await? > flight.nonce {
                // Mined, by us with a receipt still to come, or by somebody with the same key: the chain knows which.
                if self.receipt(&flight.hashes).await?.is_none() && !self.is_delivered(flight.id).await? {
                    tracing::warn!(nonce = flight.nonce, "a nonce was taken by a transaction that is not ours");
                    self.land()?;
                    return Ok(None);
                }
            }
            if since.elapsed() > self.settings.patience {
                replacements += 1;
                if replacements > REPLACEMENTS_COUNT_MAX {
                    return Err(SubmitError::Stuck(flight.nonce));
                }
                self.replace().await?;
                since = Instant::now();
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(None)
    }

    /// Signs a delivery for the account's next nonce, as the chain knows it, and has it in the journal before anybody sees it.
    async fn begin(&mut self, id: B256, input: Bytes) -> Result<(), SubmitError> {
        let nonce = self.mined_count().await?;
        let gas = self.estimate(&input).await? * GAS_PERCENT / 100;
        let price: U256 = self.endpoint.call("eth_gasPrice", json!([])).await?;
        let tip: U256 = self.endpoint.call("eth_maxPriorityFeePerGas", json!([])).await?;
        let (tip, price) = (tip.saturating_to::<u128>(), price.saturating_to::<u128>());
        let fee = price.saturating_mul(2).saturating_add(tip);
        self.check_payable(fee, gas).await?;
        let raw = Bytes::new();
        let flight = Flight { id, nonce, fee, tip, gas, input, raw, hashes: Vec::new() };
        self.launch(flight)?;
        self.broadcast().await
    }

    /// The same delivery for the same nonce, dearer.
    async fn replace(&mut self) -> Result<(), SubmitError> {
        let Some(mut flight) = self.flight.clone() else { return Ok(()) };
        let raised = |fee: u128| (fee.saturating_mul(REPLACEMENT_PERCENT) / 100).saturating_add(1);
        (flight.fee, flight.tip) = (raised(flight.fee), raised(flight.tip));
        self.check_payable(flight.fee, flight.gas).await?;
        tracing::info!(nonce = flight.nonce, fee = flight.fee, "a stuck delivery was replaced");
        self.launch(flight)?;
        self.broadcast().await
    }

    /// Signs `flight` and writes it down, synced.
    fn launch(&mut self, mut flight: Flight) -> Result<(), SubmitError> {
        let transaction = TxEip1559 {
            chain_id: self.settings.chain_id,
            nonce: flight.nonce,
            gas_limit: flight.gas,
            max_fee_per_gas: flight.fee,
            max_priority_fee_per_gas: flight.tip.min(flight.fee),
            to: TxKind::Call(self.settings.mailbox),
            input: flight.input.clone(),
            ..TxEip1559::default()
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash())?;
        let signed = TxEnvelope::from(transaction.into_signed(signature));
        flight.raw = signed.encoded_2718().into();
        flight.hashes.push(*signed.tx_hash());
        write_synced(&self.settings.journal, &serde_json::to_vec(&flight).map_err(io::Error::from)?)?;
        self.flight = Some(flight);
        Ok(())
    }

    /// Sends what is under way. That it is known already, or mined, is what a second time should hear.
    async fn broadcast(&self) -> Result<(), SubmitError> {
        let Some(flight) = &self.flight else { return Ok(()) };
        match self.endpoint.call::<B256>("eth_sendRawTransaction", json!([flight.raw])).await {
            Ok(_) => Ok(()),
            // Nodes word it each their own way; the receipt and the nonce say what is true.
            Err(EndpointError::Refused { message, .. }) => {
                tracing::debug!(nonce = flight.nonce, message, "a delivery was not taken, or not again");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what was under way, once the chain has it.
    fn land(&mut self) -> io::Result<()> {
        self.flight = None;
        fs::remove_file(&self.settings.journal)
    }

    async fn receipt(&self, hashes: &[B256]) -> Result<Option<TransactionReceipt>, EndpointError> {
        for hash in hashes.iter().rev() {
            let receipt: Option<TransactionReceipt> =
                self.endpoint.call("eth_getTransactionReceipt", json!([hash])).await?;
            // Another transaction's receipt is nobody's answer to this question.
            if let Some(receipt) = receipt.filter(|receipt| receipt.transaction_hash == *hash) {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }

    /// How many of the account's transactions are mined: its next nonce.
    async fn mined_count(&self) -> Result<u64, EndpointError> {
        let count: U64 = self.endpoint.call("eth_getTransactionCount", json!([self.payer(), "latest"])).await?;
        Ok(count.to())
    }

    async fn is_delivered(&self, id: B256) -> Result<bool, EndpointError> {
        let call = json!({ "to": self.settings.mailbox, "data": Bytes::from(HyperlaneMailbox::deliveredCall { id }.abi_encode()) });
        let answer: Bytes = self.endpoint.call("eth_call", json!([call, "latest"])).await?;
        HyperlaneMailbox::deliveredCall::abi_decode_returns(&answer)
            .map_err(|error| EndpointError::Garbage(error.to_string()))
    }

    async fn estimate(&self, input: &Bytes) -> Result<u64, SubmitError> {
        let call = json!({ "from": self.payer(), "to": self.settings.mailbox, "data": input });
        match self.endpoint.call::<U64>("eth_estimateGas", json!([call])).await {
            Ok(gas) => Ok(gas.to()),
            Err(EndpointError::Refused { message, .. }) => Err(SubmitError::Reverts(message)),
            Err(error) => Err(error.into()),
        }
    }

    async fn check_payable(&self, fee: u128, gas: u64) -> Result<(), SubmitError> {
        if fee > self.settings.fee_max {
            return Err(SubmitError::TooDear { wanted: fee, max: self.settings.fee_max });
        }
        let payer = self.payer();
        let balance: U256 = self.endpoint.call("eth_getBalance", json!([payer, "latest"])).await?;
        let needed = U256::from(fee) * U256::from(gas);
        if balance < needed { Err(SubmitError::Dry { payer, balance, needed }) } else { Ok(()) }
    }
}

/// Puts `bytes` in the place of the file at `path`: the old ones or the new ones are there after a crash, on the disk.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
