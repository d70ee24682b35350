//! Delivers messages to an EVM chain's mailbox: several at a time, each once, whatever dies in between.
//!
//! ```text
//!   offer: delivered there? --yes--> nothing to do
//!              | no
//!          next nonce, signed bytes --> a file of the journal, synced --> broadcast
//!   look:  receipt? --> landed;  nonce taken by another? --> displaced;  old? --> the same nonce, dearer, journalled first
//! ```
//!
//! Promise: every transaction that anybody may have seen is in the journal, so a crash between broadcast and record finds it again by
//! its bytes. A message has one transaction under way; another is signed for it only once the first one's nonce is used up. The
//! mailbox refuses a second delivery in any case.
//! One that reverts uses its nonce up and holds up nobody; what holds all up is a fee that is too low, since nonces are used in their
//! order, and that is what is replaced.
//! Knows nothing of checkpoints and of finality: metadata comes ready, and whether a delivery stays is for attestors to say. A second
//! process with the same key takes nonces away, which shows as a displaced delivery that is to be offered again.

use crate::endpoint::{Endpoint, EndpointError};
use crate::journal::write_synced;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, sol};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
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

/// How many deliveries may be under way at once: nodes keep some 16 of an account's in their pools for sure.
pub const FLIGHTS_COUNT_MAX: usize = 16;

/// For how long a receipt may be missing once its nonce is used up: nodes behind one address are not all equally far.
const RECEIPT_GRACE: Duration = Duration::from_secs(2);

/// After how long what is under way is sent again as it is, in case a node forgot it.
const REBROADCAST_INTERVAL: Duration = Duration::from_secs(5);

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
    /// As many are under way as may be.
    #[error("{FLIGHTS_COUNT_MAX} deliveries are under way")]
    Full,
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
        /// The block that has it, as the endpoint says.
        block: Option<BlockPlace>,
    },
    /// It had been delivered.
    Before,
}

/// A block by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlace {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

impl BlockPlace {
    fn of(receipt: &TransactionReceipt) -> Option<Self> {
        Some(Self { number: receipt.block_number?, hash: receipt.block_hash? })
    }
}

/// What to deliver.
#[derive(Debug, Clone, Copy)]
pub struct Parcel<'a> {
    /// The v3 bytes.
    pub message: &'a [u8],
    /// What the ISM takes.
    pub metadata: &'a [u8],
    /// The least gas to send it with; the estimate and some more if that is higher.
    pub gas_min: u64,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is under way.
    UnderWay,
    /// It had been delivered.
    Before,
}

/// A delivery that is no longer under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landed {
    /// Hyperlane's id of the message.
    pub id: B256,
    /// How.
    pub landing: Landing,
}

/// How a delivery stopped being under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landing {
    /// It was mined and did what it should.
    Delivered(Submitted),
    /// It was mined and reverted, at the payer's cost.
    Reverted {
        /// The transaction.
        transaction: B256,
        /// The gas that it had.
        gas: u64,
        /// The block that has it, as the endpoint says.
        block: Option<BlockPlace>,
    },
    /// Its nonce was taken by a transaction that is not ours, and the message is not delivered.
    Displaced,
}

/// A transaction that may be on its way: what a file of the journal holds.
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
    /// When the newest of them was signed; a restart is patient anew.
    #[serde(skip, default = "Instant::now")]
    signed: Instant,
    /// When it was sent last.
    #[serde(skip)]
    sent: Option<Instant>,
    /// Since when its nonce is used up and no receipt is there.
    #[serde(skip)]
    missed: Option<Instant>,
}

impl Flight {
    fn cost_max(&self) -> U256 {
        U256::from(self.fee) * U256::from(self.gas)
    }
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
    /// The journal's folder; made if it is not there.
    pub journal: PathBuf,
}

/// Delivers to one mailbox from one account.
#[derive(Debug)]
pub struct Submitter {
    settings: SubmitterSettings,
    endpoint: Endpoint,
    signer: PrivateKeySigner,
    /// By nonce.
    flights: BTreeMap<u64, Flight>,
}

impl Submitter {
    /// The submitter whose journal is in `settings.journal`, with what it had under way.
    pub fn open(settings: SubmitterSettings, endpoint: Endpoint, signer: PrivateKeySigner) -> io::Result<Self> {
        fs::create_dir_all(&settings.journal)?;
        let mut flights = BTreeMap::new();
        for entry in fs::read_dir(&settings.journal)? {
            let path = entry?.path();
            // What has another name was not written to its end, so nobody saw it.
            if path.extension().is_some_and(|extension| extension == "json") {
                let flight: Flight = serde_json::from_slice(&fs::read(path)?)?;
                flights.insert(flight.nonce, flight);
            }
        }
        Ok(Self { settings, endpoint, signer, flights })
    }

    /// Who pays.
    pub fn payer(&self) -> Address {
        self.signer.address()
    }

    /// How many deliveries are under way.
    pub fn under_way_count(&self) -> usize {
        self.flights.len()
    }

    /// Whether a transaction for this message is under way.
    pub fn is_under_way(&self, id: B256) -> bool {
        self.flights.values().any(|flight| flight.id == id)
    }

    /// The transactions for this message that are under way, the dearest, of which one nonce takes but one, last.
    pub fn under_way(&self, id: B256) -> &[B256] {
        let flight = self.flights.values().find(|flight| flight.id == id);
        flight.map_or(&[], |flight| &flight.hashes)
    }

    /// What the payer has, in wei.
    pub async fn balance(&self) -> Result<U256, EndpointError> {
        self.endpoint.call("eth_getBalance", json!([self.payer(), "latest"])).await
    }

    /// Whether there is a contract at `address` now.
    pub async fn has_code(&self, address: Address) -> Result<bool, EndpointError> {
        let code: Bytes = self.endpoint.call("eth_getCode", json!([address, "latest"])).await?;
        Ok(!code.is_empty())
    }

    /// Delivers `message` with `metadata`, and waits until that is mined.
    pub async fn deliver(&mut self, message: &[u8], metadata: &[u8]) -> Result<Submitted, SubmitError> {
        let (id, parcel) = (keccak256(message), Parcel { message, metadata, gas_min: 0 });
        loop {
            if !self.is_under_way(id) && self.offer(parcel).await? == Offered::Before {
                return Ok(Submitted::Before);
            }
            let landed = self.look().await?;
            match landed.into_iter().find(|landed| landed.id == id).map(|landed| landed.landing) {
                Some(Landing::Delivered(ended)) => return Ok(ended),
                Some(Landing::Reverted { transaction, .. }) => return Err(SubmitError::Reverted(transaction)),
                Some(Landing::Displaced) | None => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }

    /// Puts a delivery under way, unless it is there or under way already.
    ///
    /// # Errors
    /// [`SubmitError::Reverts`] says something of this message alone, every other error of all.
    pub async fn offer(&mut self, parcel: Parcel<'_>) -> Result<Offered, SubmitError> {
        let id = keccak256(parcel.message);
        if self.is_under_way(id) {
            return Ok(Offered::UnderWay);
        }
        if self.is_delivered(id).await? {
            return Ok(Offered::Before);
        }
        if self.flights.len() >= FLIGHTS_COUNT_MAX {
            return Err(SubmitError::Full);
        }
        let (metadata, message) = (parcel.metadata.to_vec().into(), parcel.message.to_vec().into());
        let input: Bytes = HyperlaneMailbox::processCall { metadata, message }.abi_encode().into();
        let gas = (self.estimate(&input).await? * GAS_PERCENT / 100).max(parcel.gas_min);
        let (fee, tip) = self.price().await?;
        self.check_payable(fee, U256::from(fee) * U256::from(gas)).await?;
        let own = self.flights.last_key_value().map_or(0, |(nonce, _)| nonce + 1);
        let nonce = self.mined_count().await?.max(own);
        let (raw, hashes) = (Bytes::new(), Vec::new());
        self.launch(Flight {
            id,
            nonce,
            fee,
            tip,
            gas,
            input,
            raw,
            hashes,
            signed: Instant::now(),
            sent: None,
            missed: None,
        })?;
        self.broadcast(nonce).await?;
        Ok(Offered::UnderWay)
    }

    /// Looks at what is under way: what of it landed. What is old is sent again, and what keeps the others waiting is made dearer.
    ///
    /// # Errors
    /// What keeps it from looking, or from making something dearer; what is under way stays so.
    pub async fn look(&mut self) -> Result<Vec<Landed>, SubmitError> {
        if self.flights.is_empty() {
            return Ok(Vec::new());
        }
        let (mined, mut landed) = (self.mined_count().await?, Vec::new());
        for nonce in self.flights.keys().copied().collect::<Vec<_>>() {
            if let Some(landing) = self.landing(nonce, mined).await?
                && let Some(flight) = self.land(nonce)?
            {
                landed.push(Landed { id: flight.id, landing });
            }
        }
        // What has landed is not forgotten because the rest is in trouble.
        match self.push_on().await {
            Err(error) if landed.is_empty() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "what is under way is not pushed on for now");
                Ok(landed)
            }
            Ok(()) => Ok(landed),
        }
    }

    /// How the flight with this nonce landed, if it did, where the chain has mined `mined` of the account's transactions.
    async fn landing(&mut self, nonce: u64, mined: u64) -> Result<Option<Landing>, SubmitError> {
        let Some(flight) = self.flights.get(&nonce) else { return Ok(None) };
        if let Some(receipt) = self.receipt(&flight.hashes).await? {
            let (transaction, gas_used, block) = (receipt.transaction_hash, receipt.gas_used, BlockPlace::of(&receipt));
            let delivered = Landing::Delivered(Submitted::Now { transaction, gas_used, block });
            let reverted = Landing::Reverted { transaction, gas: flight.gas, block };
            return Ok(Some(if receipt.status() { delivered } else { reverted }));
        }
        let id = flight.id;
        if mined <= nonce || !self.is_missed(nonce) {
            return Ok(None);
        }
        if self.is_delivered(id).await? {
            return Ok(Some(Landing::Delivered(Submitted::Before)));
        }
        tracing::warn!(nonce, "a nonce was taken by a transaction that is not ours");
        Ok(Some(Landing::Displaced))
    }

    /// Whether the receipt for a nonce that is used up has been missing for long enough.
    fn is_missed(&mut self, nonce: u64) -> bool {
        let Some(flight) = self.flights.get_mut(&nonce) else { return false };
        flight.missed.get_or_insert_with(Instant::now).elapsed() >= RECEIPT_GRACE
    }

    /// Sends again what is old, and makes the first dearer once patience with it is at its end.
    async fn push_on(&mut self) -> Result<(), SubmitError> {
        let is_due = |flight: &Flight| flight.sent.is_none_or(|sent| sent.elapsed() > REBROADCAST_INTERVAL);
        let due: Vec<u64> = self.flights.values().filter(|flight| is_due(flight)).map(|flight| flight.nonce).collect();
        for nonce in due {
            self.broadcast(nonce).await?;
        }
        match self.flights.values().next() {
            Some(first) if first.signed.elapsed() > self.settings.patience => self.replace(first.clone()).await,
            _ => Ok(()),
        }
    }

    /// The same delivery for the same nonce, dearer.
    async fn replace(&mut self, mut flight: Flight) -> Result<(), SubmitError> {
        let raised = |fee: u128| (fee.saturating_mul(REPLACEMENT_PERCENT) / 100).saturating_add(1);
        let (fee, tip) = self.price().await?;
        let before = flight.cost_max();
        // After a spike what the network asks for may be far above the next step.
        (flight.fee, flight.tip) = (raised(flight.fee).max(fee), raised(flight.tip).max(tip));
        self.check_payable(flight.fee, flight.cost_max() - before).await?;
        tracing::info!(nonce = flight.nonce, fee = flight.fee, "a stuck delivery was replaced");
        flight.signed = Instant::now();
        let nonce = flight.nonce;
        self.launch(flight)?;
        self.broadcast(nonce).await
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
        write_synced(&self.file(flight.nonce), &serde_json::to_vec(&flight).map_err(io::Error::from)?)?;
        self.flights.insert(flight.nonce, flight);
        Ok(())
    }

    /// Sends what has this nonce. That it is known already, or mined, is what a second time should hear.
    async fn broadcast(&mut self, nonce: u64) -> Result<(), SubmitError> {
        let Some(flight) = self.flights.get_mut(&nonce) else { return Ok(()) };
        flight.sent = Some(Instant::now());
        match self.endpoint.call::<B256>("eth_sendRawTransaction", json!([flight.raw])).await {
            Ok(_) => Ok(()),
            // Nodes word it each their own way; the receipt and the nonce say what is true.
            Err(EndpointError::Refused { message, .. }) => {
                tracing::debug!(nonce, message, "a delivery was not taken, or not again");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets what was under way, once its nonce is used up.
    fn land(&mut self, nonce: u64) -> io::Result<Option<Flight>> {
        fs::remove_file(self.file(nonce))?;
        Ok(self.flights.remove(&nonce))
    }

    fn file(&self, nonce: u64) -> PathBuf {
        self.settings.journal.join(format!("{nonce}.json"))
    }

    /// What a gas costs at most, and the tip in it, by what the node says now.
    async fn price(&self) -> Result<(u128, u128), EndpointError> {
        let price: U256 = self.endpoint.call("eth_gasPrice", json!([])).await?;
        let tip: U256 = self.endpoint.call("eth_maxPriorityFeePerGas", json!([])).await?;
        let (price, tip) = (price.saturating_to::<u128>(), tip.saturating_to::<u128>());
        Ok((price.saturating_mul(2).saturating_add(tip), tip))
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

    /// Whether a gas may cost `fee`, and the payer has `more` beside all that is under way.
    async fn check_payable(&self, fee: u128, more: U256) -> Result<(), SubmitError> {
        if fee > self.settings.fee_max {
            return Err(SubmitError::TooDear { wanted: fee, max: self.settings.fee_max });
        }
        let balance = self.balance().await?;
        let needed = self.flights.values().map(Flight::cost_max).fold(more, U256::saturating_add);
        if balance < needed { Err(SubmitError::Dry { payer: self.payer(), balance, needed }) } else { Ok(()) }
    }
}
