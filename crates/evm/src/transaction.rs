//! Signed Ethereum transactions: from bytes to a sender.
//!
//! Recovery is the expensive part (50 µs and more a signature), so it is a check that a host runs in parallel, before
//! anything is ordered.

use crate::{Data, Environments, NetworkParams, Spec};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{EthereumTxEnvelope, Transaction, TxEip4844, Typed2718};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{NetworkId, Verifier};
use revm::context::{Transaction as _, TxEnv};
use revm::context_interface::either::Either;
use revm::primitives::hardfork::SpecId;

/// The most bytes a signed transaction may have, without blobs.
pub const TRANSACTION_BYTES_MAX: usize = 256 << 10;

/// Why bytes are not a transaction of this network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// More bytes than allowed; nothing was decoded.
    #[error("transaction of {actual} bytes, at most {TRANSACTION_BYTES_MAX} are allowed")]
    TooLong {
        /// How many came.
        actual: usize,
    },
    /// Not the canonical EIP-2718 encoding of a known type without blobs.
    #[error("malformed transaction: {reason}")]
    Malformed {
        /// What the decoder met.
        reason: String,
    },
    /// Signed for another chain.
    #[error("transaction is signed for chain {actual}, this network is chain {expected}: check the wallet's network")]
    ChainId {
        /// This network.
        expected: NetworkId,
        /// What was signed.
        actual: u64,
    },
    /// Signed for any chain (before EIP-155), on a network that does not take that: anyone could replay it here and elsewhere.
    #[error("transaction is not bound to a chain: sign it with EIP-155")]
    Unprotected,
    /// The signature is nobody's, or malleable (EIP-2).
    #[error("the signature recovers to no sender")]
    Signature,
}

/// A signed transaction as it came: EIP-2718 bytes, nothing checked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SignedTransaction(pub Data);

impl SignedTransaction {
    /// keccak256 of the bytes: the transaction's hash.
    pub fn hash(&self) -> B256 {
        keccak256(&*self.0)
    }
}

/// A transaction whose sender is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredTransaction {
    pub(crate) hash: B256,
    pub(crate) bytes: Data,
    pub(crate) env: TxEnv,
    /// Whether its sender is named and did not sign.
    pub(crate) impersonates: bool,
}

impl RecoveredTransaction {
    /// The transaction in `bytes`, which was committed: its `sender` is known from its record and not recovered again.
    pub fn committed(bytes: Data, sender: Address) -> Result<Self, TransactionError> {
        let envelope = decode(&bytes)?;
        let env = tx_env(&envelope, sender);
        Ok(Self { hash: keccak256(&*bytes), bytes, env, impersonates: named(envelope.signature()).is_some() })
    }

    /// keccak256 of the signed bytes.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// Who signed.
    pub fn sender(&self) -> Address {
        self.env.caller
    }

    /// Whether nobody signed it: its sender is named, which only a network with cheats takes.
    pub fn impersonates(&self) -> bool {
        self.impersonates
    }

    /// The sender's transaction count that it was signed for.
    pub fn nonce(&self) -> u64 {
        self.env.nonce
    }

    /// The most gas it may use.
    pub fn gas_limit(&self) -> u64 {
        self.env.gas_limit
    }

    /// The most wei it may cost its sender: all its gas at the highest price, blobs included, and its value. Saturates.
    pub fn cost_max(&self) -> U256 {
        let gas = U256::from(self.env.gas_limit).saturating_mul(U256::from(self.env.gas_price));
        gas.saturating_add(self.env.calc_max_data_fee()).saturating_add(self.env.value)
    }

    /// The called account, or none when it creates a contract.
    pub fn to(&self) -> Option<Address> {
        self.env.kind.to().copied()
    }

    /// The signed EIP-2718 bytes.
    pub fn bytes(&self) -> &Data {
        &self.bytes
    }

    /// All fields, as revm takes them.
    pub fn env(&self) -> &TxEnv {
        &self.env
    }
}

/// Checks that bytes are a transaction of one network and recovers who sent it.
#[derive(Debug, Clone)]
pub struct TransactionVerifier {
    network: NetworkId,
    environments: Environments,
    takes_unprotected: bool,
    spec: Spec,
}

impl TransactionVerifier {
    /// For the network with these parameters, under the rules of `spec`.
    pub fn new(params: &NetworkParams, spec: Spec) -> Self {
        let NetworkParams { network, environments, takes_unprotected, .. } = *params;
        Self { network, environments, takes_unprotected: takes_unprotected || !environments.has_slots(), spec }
    }

    fn check_chain(&self, chain_id: Option<u64>) -> Result<(), TransactionError> {
        match chain_id {
            Some(actual) if actual != self.network.0 => {
                Err(TransactionError::ChainId { expected: self.network, actual })
            }
            None if !self.takes_unprotected => Err(TransactionError::Unprotected),
            _ => Ok(()),
        }
    }

    fn sender(&self, envelope: &EthereumTxEnvelope<TxEip4844>) -> Result<Address, TransactionError> {
        // EIP-2: from Homestead on a signature has one form.
        let sender = if self.spec.includes(SpecId::HOMESTEAD) {
            envelope.recover_signer()
        } else {
            envelope.recover_signer_unchecked()
        };
        sender.map_err(|_| TransactionError::Signature)
    }
}

impl Verifier<SignedTransaction> for TransactionVerifier {
    type Fact = RecoveredTransaction;
    type Error = TransactionError;

    fn verify(&self, claim: SignedTransaction) -> Result<RecoveredTransaction, TransactionError> {
        let envelope = decode(&claim.0)?;
        self.check_chain(envelope.chain_id())?;
        let named = named(envelope.signature()).filter(|_| self.environments.has_cheats());
        let sender = named.map_or_else(|| self.sender(&envelope), Ok)?;
        let env = tx_env(&envelope, sender);
        Ok(RecoveredTransaction { hash: claim.hash(), bytes: claim.0, env, impersonates: named.is_some() })
    }
}

/// What stands in the place of a signature where nobody signed: the sender itself, and a number that no signature has, above the
/// order of the curve. Everywhere but on a network with cheats it recovers to no sender.
pub fn impersonation(sender: Address) -> Signature {
    Signature::new(U256::from_be_slice(sender.as_slice()), U256::MAX, false)
}

/// The sender that stands in the place of a signature.
pub fn named(signature: &Signature) -> Option<Address> {
    let sender = Address::from_word(signature.r().into());
    (*signature == impersonation(sender)).then_some(sender)
}

fn decode(bytes: &[u8]) -> Result<EthereumTxEnvelope<TxEip4844>, TransactionError> {
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return Err(TransactionError::TooLong { actual: bytes.len() });
    }
    let envelope = EthereumTxEnvelope::<TxEip4844>::decode_2718_exact(bytes)
        .map_err(|error| TransactionError::Malformed { reason: error.to_string() })?;
    // The hash is that of the bytes, so a value must have one encoding.
    if envelope.encoded_2718() != bytes {
        return Err(TransactionError::Malformed { reason: "not the canonical encoding".to_owned() });
    }
    Ok(envelope)
}

fn tx_env(envelope: &EthereumTxEnvelope<TxEip4844>, caller: Address) -> TxEnv {
    let authorizations = envelope.authorization_list().unwrap_or_default();
    TxEnv {
        tx_type: envelope.ty(),
        caller,
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: envelope.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().unwrap_or_default(),
        // Recovered here once, so that no replay pays for it.
        authorization_list: authorizations
            .iter()
            .map(|signed| Either::Right(signed.clone().into_recovered()))
            .collect(),
    }
}
