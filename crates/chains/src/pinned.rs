//! The state of another EVM chain at one block, value by value, through one JSON-RPC endpoint.
//!
//! ```text
//!   accounts, slots --> batches, each with the block's own hash in it --> the values at that block, all of them, or an error
//! ```
//!
//! Promise: what is given is what the endpoint says of the pinned block, in the same answer in which it shows that it has that very
//! block; an endpoint that is silent, refuses, has forgotten the block or follows another chain is an error, never a zero.
//! The endpoint is believed: no proof is asked for.

use crate::endpoint::{Endpoint, EndpointError};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Most calls in one batch, the block's included: providers take as many.
pub const CALLS_PER_BATCH_COUNT_MAX: usize = 100;

/// Most batches at once.
const BATCHES_COUNT_MAX: usize = 4;

/// How long one batch may take, all its tries included.
pub const READ_DURATION_MAX: Duration = Duration::from_secs(10);

/// Most calls at once to an endpoint that takes no batches.
const SINGLE_CALLS_COUNT_MAX: usize = 8;

/// The pause before the second try; it doubles with each, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest pause, and so the last: what has failed after it fails.
const BACKOFF_MAX: Duration = Duration::from_millis(800);

/// JSON-RPC codes for too many requests: EIP-1474's, and what providers use.
const LIMIT_CODES: [i64; 3] = [-32_005, -32_016, 429];

/// Method and parameters.
type Call = (&'static str, Value);

/// Which block of which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The block's number.
    pub number: u64,
    /// Its hash, as the endpoint says it.
    pub hash: B256,
}

/// An account at the block; one that does not exist has nothing of all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// Its code.
    pub code: Bytes,
}

/// What was read, in the order in which it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    /// Accounts.
    pub accounts: Vec<Account>,
    /// What is in slots.
    pub slots: Vec<U256>,
}

/// Why there is no value. The endpoint is named without what its URL may hold of secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// No URL that a chain could be at.
    #[error("{url:?} is not the URL of a JSON-RPC endpoint: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No answer, or none to be used.
    #[error("the chain at {endpoint} gives no answer: {source}")]
    Endpoint {
        /// Where.
        endpoint: String,
        /// What happened last.
        source: EndpointError,
    },
    /// It has not answered in all the time that a batch has.
    #[error("the chain at {endpoint} has not answered within {READ_DURATION_MAX:?}")]
    Slow {
        /// Where.
        endpoint: String,
    },
    /// It has no such block, or has it no longer.
    #[error("the chain at {endpoint} has no block {number}")]
    NoBlock {
        /// Where.
        endpoint: String,
        /// Which.
        number: u64,
    },
    /// Its block of that number is another one than before: another chain, or one that was reorganised.
    #[error("block {number} of the chain at {endpoint} is {actual}, and was {expected}: it is another chain now")]
    OtherBlock {
        /// Where.
        endpoint: String,
        /// Which.
        number: u64,
        /// Its hash when it was pinned.
        expected: B256,
        /// What is there.
        actual: B256,
    },
    /// Another chain altogether.
    #[error("the chain at {endpoint} has id {actual}, not {expected}")]
    OtherChain {
        /// Where.
        endpoint: String,
        /// The pinned one's.
        expected: u64,
        /// Its own.
        actual: u64,
    },
}

/// As much of a block as is needed.
#[derive(Debug, Deserialize)]
struct Block {
    number: U64,
    hash: B256,
}

/// The endpoint at `url`.
///
/// # Errors
/// [`PinError::Url`] for what is not http or https.
pub fn endpoint(url: &str) -> Result<Endpoint, PinError> {
    let wrong = |reason: String| PinError::Url { url: url.to_owned(), reason };
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(wrong("it begins with neither http:// nor https://".to_owned()));
    }
    Endpoint::new(url).map_err(|error| wrong(error.to_string()))
}

/// One block of the chain behind an endpoint.
#[derive(Debug, Clone)]
pub struct Pinned {
    endpoint: Endpoint,
    pin: Pin,
}

impl Pinned {
    /// Pins block `number` of the chain at `endpoint`, or the newest that it has.
    pub async fn pin(endpoint: Endpoint, number: Option<u64>) -> Result<Self, PinError> {
        let pinned = Self { endpoint, pin: Pin { chain_id: 0, number: number.unwrap_or_default(), hash: B256::ZERO } };
        let tag = number.map_or_else(|| json!("latest"), |number| json!(U64::from(number)));
        let calls = [("eth_chainId", json!([])), ("eth_getBlockByNumber", json!([tag, false]))];
        let answers = pinned.patiently(|| pinned.ask(&calls)).await?;
        let chain: U64 = pinned.parse(&answers[0])?;
        let block: Block = pinned.block(&answers[1])?;
        let pin = Pin { chain_id: chain.to(), number: block.number.to(), hash: block.hash };
        Ok(Self { pin, ..pinned })
    }

    /// What `pin` names, at an endpoint that is asked when something is read.
    pub fn at(endpoint: Endpoint, pin: Pin) -> Self {
        Self { endpoint, pin }
    }

    /// Which block.
    pub fn block_pinned(&self) -> Pin {
        self.pin
    }

    /// Fails unless the endpoint has this very block of this very chain.
    pub async fn check(&self) -> Result<(), PinError> {
        let there = Self::pin(self.endpoint.clone(), Some(self.pin.number)).await?.pin;
        if there.chain_id != self.pin.chain_id {
            let (expected, actual) = (self.pin.chain_id, there.chain_id);
            return Err(PinError::OtherChain { endpoint: self.name(), expected, actual });
        }
        self.check_hash(there.hash)
    }

    /// The accounts and the slots at the block: as many batches as that takes, a few at once, each tried again for a while.
    pub async fn read(&self, accounts: &[Address], slots: &[(Address, U256)]) -> Result<Values, PinError> {
        let block = U64::from(self.pin.number);
        let of_account = |address: &Address| {
            ["eth_getTransactionCount", "eth_getBalance", "eth_getCode"].map(|method| (method, json!([address, block])))
        };
        let of_slot =
            |(address, slot): &(Address, U256)| ("eth_getStorageAt", json!([address, B256::from(*slot), block]));
        let calls: Vec<_> = accounts.iter().flat_map(of_account).chain(slots.iter().map(of_slot)).collect();
        let batches = calls.chunks(CALLS_PER_BATCH_COUNT_MAX - 1);
        let asks: Vec<_> = batches.map(|batch| self.patiently(move || self.ask_at_block(batch)).boxed()).collect();
        let answers: Vec<_> = stream::iter(asks).buffered(BATCHES_COUNT_MAX).try_collect().await?;
        let answers = answers.concat();
        let (of_accounts, of_slots) = answers.split_at(3 * accounts.len());
        let accounts = of_accounts.chunks(3).map(|answers| self.account(answers));
        let slots = of_slots.iter().map(|answer| self.number(answer));
        Ok(Values { accounts: accounts.collect::<Result<_, _>>()?, slots: slots.collect::<Result<_, _>>()? })
    }

    /// The answers to `calls` out of one batch that shows the block, too.
    async fn ask_at_block(&self, calls: &[Call]) -> Result<Vec<Value>, PinError> {
        let shown = ("eth_getBlockByNumber", json!([U64::from(self.pin.number), false]));
        let mut answers = self.ask(&[&[shown], calls].concat()).await?;
        self.check_hash(self.block(&answers.remove(0))?.hash)?;
        Ok(answers)
    }

    async fn ask(&self, calls: &[Call]) -> Result<Vec<Value>, PinError> {
        let answers = match self.endpoint.batch(calls).await {
            Err(EndpointError::NoBatch) => self.ask_singly(calls).await,
            answers => answers,
        };
        answers.map_err(|source| self.no_answer(source))
    }

    async fn ask_singly(&self, calls: &[Call]) -> Result<Vec<Value>, EndpointError> {
        let ask = |(method, params): &Call| self.endpoint.call(method, params.clone()).boxed();
        let asks: Vec<_> = calls.iter().map(ask).collect();
        stream::iter(asks).buffered(SINGLE_CALLS_COUNT_MAX).try_collect().await
    }

    /// What `ask` comes to, tried again while that may help and there is time.
    async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, PinError>
    where
        F: Future<Output = Result<T, PinError>>,
    {
        let (until, mut pause) = (Instant::now() + READ_DURATION_MAX, BACKOFF_MIN);
        loop {
            let slow = |_| PinError::Slow { endpoint: self.name() };
            match tokio::time::timeout_at(until, ask()).await.map_err(slow)? {
                Err(PinError::Endpoint { source, .. }) if may_pass(&source) && pause <= BACKOFF_MAX => {
                    tracing::info!(endpoint = self.name(), error = %source, "the forked chain is asked again");
                }
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    fn check_hash(&self, actual: B256) -> Result<(), PinError> {
        let Pin { number, hash: expected, .. } = self.pin;
        if actual == expected {
            return Ok(());
        }
        Err(PinError::OtherBlock { endpoint: self.name(), number, expected, actual })
    }

    fn block(&self, answer: &Value) -> Result<Block, PinError> {
        if answer.is_null() {
            return Err(PinError::NoBlock { endpoint: self.name(), number: self.pin.number });
        }
        self.parse(answer)
    }

    fn account(&self, answers: &[Value]) -> Result<Account, PinError> {
        let [nonce, balance, code] = answers else { return Err(self.garbage("an account with a part missing")) };
        let nonce = u64::try_from(self.number(nonce)?).map_err(|_| self.garbage("a nonce of more than 64 bits"))?;
        Ok(Account { nonce, balance: self.number(balance)?, code: self.parse(code)? })
    }

    /// A quantity, or 32 bytes of data: nodes give either for a slot. Nothing at all is no number.
    fn number(&self, answer: &Value) -> Result<U256, PinError> {
        let digits = answer.as_str().and_then(|text| text.strip_prefix("0x")).filter(|digits| !digits.is_empty());
        let number = digits.and_then(|digits| U256::from_str_radix(digits, 16).ok());
        number.ok_or_else(|| self.garbage("not a number where one was asked for"))
    }

    fn parse<T: for<'a> Deserialize<'a>>(&self, answer: &Value) -> Result<T, PinError> {
        T::deserialize(answer).map_err(|error| self.garbage(&error.to_string()))
    }

    fn garbage(&self, what: &str) -> PinError {
        self.no_answer(EndpointError::Garbage(what.to_owned()))
    }

    fn no_answer(&self, source: EndpointError) -> PinError {
        PinError::Endpoint { endpoint: self.name(), source }
    }

    fn name(&self) -> String {
        self.endpoint.name()
    }
}

/// Whether the same question may be answered a little later.
fn may_pass(error: &EndpointError) -> bool {
    match error {
        EndpointError::Unreachable(_) | EndpointError::Timeout | EndpointError::RateLimited => true,
        EndpointError::Status(status) => *status >= 500,
        EndpointError::Refused { code, .. } => LIMIT_CODES.contains(code),
        EndpointError::Url(_) | EndpointError::TooLarge | EndpointError::NoBatch | EndpointError::Garbage(_) => false,
    }
}
