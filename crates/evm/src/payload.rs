//! What an attempt executes: transactions in order, at one place in time.

use crate::{
    Data, Environment, EnvironmentError, Environments, NetworkParams, RecoveredTransaction, SignedTransaction, Status,
    TransactionError, TransactionVerifier,
};
use alloy_primitives::{Address, U256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Domain, Verified, Verifier};
use std::sync::{Arc, LazyLock};

/// The most transactions a bundle may have.
pub const BUNDLE_COUNT_MAX: usize = 16;

/// The most transactions a batch may have.
pub const BATCH_COUNT_MAX: usize = 64;

/// The most gas that the transactions of a batch may use in all: no replay of it keeps others waiting for long, or counts as a
/// dear one.
pub const BATCH_GAS_MAX: u64 = 999_999;

/// The most bytes a payload may have.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

static DOMAIN: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 payload"));
static BINDING: LazyLock<Domain> = LazyLock::new(|| Domain::new("dovetail v1 payload with witness and effects"));

/// Who pays for the value of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Funding {
    /// The caller, from its balance.
    Caller,
    /// Nobody: the value comes into being with the call, and if the call fails there was none.
    Minted,
}

/// What the protocol itself does to state, with no sender, no fee and no nonce.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SystemTransaction {
    /// Calls a contract. A call that does not succeed changes nothing.
    Call {
        /// CALLER.
        caller: Address,
        /// The called account.
        target: Address,
        /// Call data.
        input: Data,
        /// Gas the call may use.
        gas_limit: u64,
        /// Wei sent along.
        value: U256,
        /// Whose wei.
        funding: Funding,
    },
    /// Adds wei to accounts and touches them: withdrawals, block rewards.
    Increase {
        /// Account and wei, in order.
        balances: Vec<(Address, U256)>,
    },
    /// Takes wei from an account for good; fails without change if it has less.
    Burn {
        /// From whom.
        account: Address,
        /// How much.
        value: U256,
    },
    /// Moves whole balances to one account (the DAO fork).
    Gather {
        /// Whose.
        accounts: Vec<Address>,
        /// To whom.
        beneficiary: Address,
    },
    /// Moves the fragments of the environment's beneficiary into its account.
    Settle,
}

/// A transaction of a payload.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TransactionKind {
    /// Anyone's.
    Signed(SignedTransaction),
    /// The protocol's own; from outside only on replay networks.
    System(SystemTransaction),
}

/// What the transactions of a payload have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Grouping {
    /// Sent as one: all must succeed, or nothing of it happens. One alone may revert, and that is a commit.
    Bundle,
    /// Put together by whoever coordinates, to share one attempt: each may revert, and that is a commit.
    Batch,
}

impl Grouping {
    /// The most transactions of such a payload.
    pub fn count_max(self) -> usize {
        match self {
            Self::Bundle => BUNDLE_COUNT_MAX,
            Self::Batch => BATCH_COUNT_MAX,
        }
    }
}

/// Transactions in order, each on what those before it left.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Payload {
    /// Where in time they run.
    pub environment: Environment,
    /// What they have to do with each other.
    pub grouping: Grouping,
    /// At least one.
    pub transactions: Vec<TransactionKind>,
}

impl Payload {
    /// One signed transaction at `environment`.
    pub fn signed(environment: Environment, bytes: impl Into<Data>) -> Self {
        Self::bundle(environment, vec![TransactionKind::Signed(SignedTransaction(bytes.into()))])
    }

    /// One transaction, or several of which all must succeed.
    pub fn bundle(environment: Environment, transactions: Vec<TransactionKind>) -> Self {
        Self { environment, grouping: Grouping::Bundle, transactions }
    }

    /// Whether its transactions may use so much gas in all.
    pub fn may_use(&self, gas: u64) -> bool {
        self.grouping == Grouping::Bundle || gas <= BATCH_GAS_MAX
    }

    /// Whether it is as if none of its transactions had been sent once one of them ends like this.
    pub fn is_undone_by(&self, status: Status) -> bool {
        self.grouping == Grouping::Bundle && self.transactions.len() > 1 && status != Status::Success
    }

    /// The digest of the payload alone.
    pub fn digest(&self) -> Digest {
        DOMAIN.hash_of(self)
    }

    /// The digest that an attempt binds (R3): this payload, run on this witness, with these effects.
    pub fn bind(&self, witness: Digest, effects: Digest) -> Digest {
        bind(self.digest(), witness, effects)
    }
}

/// The digest that an attempt binds, from the digests of payload, witness and effects.
pub(crate) fn bind(payload: Digest, witness: Digest, effects: Digest) -> Digest {
    BINDING.hash_of(&(payload, witness, effects))
}

/// Why a payload is refused before it runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// No transaction, or more than a bundle or batch may have.
    #[error("{actual} transactions where 1 to {max} are allowed")]
    Count {
        /// How many came.
        actual: usize,
        /// How many may come.
        max: usize,
    },
    /// A system transaction from outside, on a network that is no replay.
    #[error("transaction {index} is a system transaction, which only replay networks take")]
    SystemRefused {
        /// Its place in the payload.
        index: usize,
    },
    /// The environment is not one of this network's.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A transaction is malformed, of another chain, or badly signed.
    #[error("transaction {index}: {error}")]
    Transaction {
        /// Its place in the payload.
        index: usize,
        /// What is wrong.
        error: TransactionError,
    },
}

/// One transaction that is ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A signed one, with its sender.
    Signed(Box<RecoveredTransaction>),
    /// The protocol's own.
    System(SystemTransaction),
}

/// A payload whose environment is the network's and whose senders are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredPayload {
    pub(crate) payload: Payload,
    pub(crate) digest: Digest,
    pub(crate) steps: Vec<Step>,
}

impl RecoveredPayload {
    /// A payload of the shard's own making: one system transaction, such as the delivery of a message.
    pub fn system(environment: Environment, transaction: SystemTransaction) -> Self {
        let transactions = vec![TransactionKind::System(transaction.clone())];
        let payload = Payload::bundle(environment, transactions);
        Self { digest: payload.digest(), payload, steps: vec![Step::System(transaction)] }
    }

    /// The payload as it came.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The digest of the payload alone.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The transactions, ready to run.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The signed transactions, in order.
    pub fn signed(&self) -> impl Iterator<Item = &RecoveredTransaction> {
        self.steps.iter().filter_map(|step| match step {
            Step::Signed(transaction) => Some(&**transaction),
            Step::System(_) => None,
        })
    }
}

/// Checks a payload from outside against one network and recovers its senders.
#[derive(Debug, Clone)]
pub struct PayloadVerifier {
    params: NetworkParams,
}

impl PayloadVerifier {
    /// The network's parameters.
    pub fn params(&self) -> &NetworkParams {
        &self.params
    }

    /// For the network with these parameters.
    pub fn new(params: NetworkParams) -> Self {
        Self { params }
    }

    fn step(&self, verifier: &TransactionVerifier, index: usize, kind: &TransactionKind) -> Result<Step, PayloadError> {
        match kind {
            TransactionKind::Signed(signed) => verifier
                .verify(signed.clone())
                .map(|transaction| Step::Signed(Box::new(transaction)))
                .map_err(|error| PayloadError::Transaction { index, error }),
            TransactionKind::System(system) if self.params.environments == Environments::Replay => {
                Ok(Step::System(system.clone()))
            }
            TransactionKind::System(_) => Err(PayloadError::SystemRefused { index }),
        }
    }
}

impl Verifier<Payload> for PayloadVerifier {
    type Fact = RecoveredPayload;
    type Error = PayloadError;

    fn verify(&self, payload: Payload) -> Result<RecoveredPayload, PayloadError> {
        check_count(payload.grouping, payload.transactions.len())?;
        let block = self.params.block(&payload.environment)?;
        let verifier = TransactionVerifier::new(&self.params, block.spec);
        let kinds = payload.transactions.iter().enumerate();
        let steps = kinds.map(|(index, kind)| self.step(&verifier, index, kind)).collect::<Result<_, _>>()?;
        Ok(RecoveredPayload { digest: payload.digest(), payload, steps })
    }
}

/// A payload moved to another place in time. Who signed does not depend on the time, as long as the fork is the same: nothing is
/// recovered again.
impl Verifier<(&Verified<RecoveredPayload>, Environment)> for PayloadVerifier {
    type Fact = RecoveredPayload;
    type Error = PayloadError;

    fn verify(
        &self,
        (known, environment): (&Verified<RecoveredPayload>, Environment),
    ) -> Result<RecoveredPayload, PayloadError> {
        let spec_at = |environment| self.params.block(environment).map(|block| block.spec);
        let is_same_fork = spec_at(&known.payload.environment)? == spec_at(&environment)?;
        let payload = Payload { environment, ..known.payload.clone() };
        if !is_same_fork {
            return self.verify(payload);
        }
        Ok(RecoveredPayload { digest: payload.digest(), payload, steps: known.steps.clone() })
    }
}

/// Payloads of one place in time put together as a batch, in this order: nothing is recovered again.
impl Verifier<&[Arc<Verified<RecoveredPayload>>]> for PayloadVerifier {
    type Fact = RecoveredPayload;
    type Error = PayloadError;

    fn verify(&self, members: &[Arc<Verified<RecoveredPayload>>]) -> Result<RecoveredPayload, PayloadError> {
        let steps: Vec<Step> = members.iter().flat_map(|member| member.steps.iter().cloned()).collect();
        let grouping = Grouping::Batch;
        let first = members.first().ok_or(PayloadError::Count { actual: 0, max: grouping.count_max() })?;
        let transactions: Vec<_> =
            members.iter().flat_map(|member| member.payload.transactions.iter().cloned()).collect();
        check_count(grouping, transactions.len())?;
        let payload = Payload { environment: first.payload.environment.clone(), grouping, transactions };
        Ok(RecoveredPayload { digest: payload.digest(), payload, steps })
    }
}

fn check_count(grouping: Grouping, actual: usize) -> Result<(), PayloadError> {
    let max = grouping.count_max();
    if (1..=max).contains(&actual) { Ok(()) } else { Err(PayloadError::Count { actual, max }) }
}
