//! The `transaction` section of a state test: one transaction in parts, of which each subtest picks some.
//!
//! ```text
//!  section + indexes ── fields ──> Fields ──┬── env ──> what plain revm runs
//!                                           └── sign ──> EIP-2718 bytes, for files that have none
//! ```
//!
//! Fields are parsed when they are picked: a test of what no transaction can say (a value of more than 256 bits) is as much
//! a test as any other.

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
    transaction::TxEip4844Variant,
};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use serde::Deserialize;
use std::str::FromStr;

/// Which parts of a section a subtest takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct Indexes {
    /// Of `data` and `accessLists`.
    pub data: usize,
    /// Of `gasLimit`.
    pub gas: usize,
    /// Of `value`.
    pub value: usize,
}

/// The section as the file has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    data: Vec<String>,
    gas_limit: Vec<String>,
    value: Vec<String>,
    nonce: String,
    #[serde(default)]
    to: Option<String>,
    gas_price: Option<String>,
    max_fee_per_gas: Option<String>,
    max_priority_fee_per_gas: Option<String>,
    access_lists: Option<Vec<Option<Vec<AccessItem>>>>,
    max_fee_per_blob_gas: Option<String>,
    blob_versioned_hashes: Option<Vec<String>>,
    authorization_list: Option<Vec<AuthorizationItem>>,
    sender: Option<Address>,
    secret_key: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessItem {
    address: String,
    storage_keys: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationItem {
    chain_id: String,
    address: String,
    nonce: String,
    v: Option<String>,
    y_parity: Option<String>,
    r: String,
    s: String,
}

/// Why a section is no transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SectionError {
    /// An index beyond what there is.
    #[error("index {index} of {field}, which has {count}")]
    Index {
        /// Which list.
        field: &'static str,
        /// The subtest's index.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// A value that no transaction can carry.
    #[error("{field} is {text:?}, which no transaction can carry")]
    Field {
        /// Which field.
        field: &'static str,
        /// What the file has.
        text: String,
    },
    /// A field that the transaction's type needs.
    #[error("{field} is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A type of transaction that always calls somebody has nobody to call.
    #[error("a transaction of type {kind} that creates a contract, which its encoding cannot say")]
    Creates {
        /// Which type.
        kind: u8,
    },
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    kind: u8,
    nonce: u64,
    gas_limit: u64,
    max_fee: u128,
    priority_fee: Option<u128>,
    to: TxKind,
    value: U256,
    data: Bytes,
    access_list: AccessList,
    blob_hashes: Vec<B256>,
    max_fee_per_blob_gas: u128,
    authorizations: Vec<SignedAuthorization>,
}

fn parse<T: FromStr>(field: &'static str, text: &str) -> Result<T, SectionError> {
    text.parse().map_err(|_| SectionError::Field { field, text: shortened(text) })
}

/// Numbers: hexadecimal, leading zeros allowed, nothing of a number too big is dropped.
fn number<T: TryFrom<U256>>(field: &'static str, text: &str) -> Result<T, SectionError> {
    let value: U256 = parse(field, text)?;
    value.try_into().map_err(|_| SectionError::Field { field, text: shortened(text) })
}

fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    if text.chars().count() <= SHOWN_MAX {
        text.to_owned()
    } else {
        text.chars().take(SHOWN_MAX).chain(['…']).collect()
    }
}

fn picked<'a, T>(field: &'static str, list: &'a [T], index: usize) -> Result<&'a T, SectionError> {
    list.get(index).ok_or(SectionError::Index { field, index, count: list.len() })
}

impl Section {
    /// Who sends it, if the file says so.
    pub fn sender(&self) -> Option<Address> {
        self.sender.or_else(|| self.signer().ok().map(|signer| signer.address()))
    }

    /// The sender's key.
    pub fn signer(&self) -> Result<PrivateKeySigner, SectionError> {
        let text = self.secret_key.as_deref().ok_or(SectionError::Missing { field: "secretKey" })?;
        let key: B256 = parse("secretKey", text)?;
        PrivateKeySigner::from_bytes(&key)
            .map_err(|_| SectionError::Field { field: "secretKey", text: text.to_owned() })
    }

    /// The transaction that `indexes` pick.
    pub fn fields(&self, indexes: Indexes) -> Result<Fields, SectionError> {
        let kind = self.kind(indexes.data);
        let max_fee = self.max_fee_per_gas.as_deref().or(self.gas_price.as_deref());
        let max_fee = max_fee.ok_or(SectionError::Missing { field: "gasPrice" })?;
        let to = match self.to.as_deref() {
            None | Some("") => TxKind::Create,
            Some(text) => TxKind::Call(parse("to", text)?),
        };
        if to.is_create() && kind >= 3 {
            return Err(SectionError::Creates { kind });
        }
        Ok(Fields {
            kind,
            nonce: number("nonce", &self.nonce)?,
            gas_limit: number("gasLimit", picked("gasLimit", &self.gas_limit, indexes.gas)?)?,
            max_fee: number("gasPrice", max_fee)?,
            priority_fee: match (kind, &self.max_priority_fee_per_gas) {
                (0 | 1, _) => None,
                (_, Some(text)) => Some(number("maxPriorityFeePerGas", text)?),
                (_, None) => Some(0),
            },
            to,
            value: number("value", picked("value", &self.value, indexes.value)?)?,
            data: parse("data", picked("data", &self.data, indexes.data)?)?,
            access_list: self.access_list(indexes.data)?,
            blob_hashes: self.blob_hashes()?,
            max_fee_per_blob_gas: match &self.max_fee_per_blob_gas {
                Some(text) => number("maxFeePerBlobGas", text)?,
                None => 0,
            },
            authorizations: self.authorization_list.iter().flatten().map(authorization).collect::<Result<_, _>>()?,
        })
    }

    /// The newest type whose fields it has.
    fn kind(&self, data: usize) -> u8 {
        if self.authorization_list.is_some() {
            4
        } else if self.max_fee_per_blob_gas.is_some() {
            3
        } else if self.max_fee_per_gas.is_some() {
            2
        } else {
            u8::from(self.access_lists.as_ref().is_some_and(|lists| matches!(lists.get(data), Some(Some(_)))))
        }
    }

    fn access_list(&self, data: usize) -> Result<AccessList, SectionError> {
        let Some(items) = self.access_lists.as_ref().and_then(|lists| lists.get(data)?.as_ref()) else {
            return Ok(AccessList::default());
        };
        let item = |item: &AccessItem| {
            let keys = item.storage_keys.iter().map(|key| number::<U256>("storageKeys", key).map(B256::from));
            let address = parse("accessLists", &item.address)?;
            Ok(AccessListItem { address, storage_keys: keys.collect::<Result<_, _>>()? })
        };
        items.iter().map(item).collect::<Result<Vec<_>, _>>().map(AccessList)
    }

    fn blob_hashes(&self) -> Result<Vec<B256>, SectionError> {
        self.blob_versioned_hashes.iter().flatten().map(|text| parse("blobVersionedHashes", text)).collect()
    }
}

fn authorization(item: &AuthorizationItem) -> Result<SignedAuthorization, SectionError> {
    let parity = item.y_parity.as_deref().or(item.v.as_deref());
    let parity = parity.ok_or(SectionError::Missing { field: "yParity" })?;
    let authorization = Authorization {
        chain_id: number("chainId", &item.chain_id)?,
        address: parse("authorizationList", &item.address)?,
        nonce: number("nonce", &item.nonce)?,
    };
    let (parity, r, s) = (number("yParity", parity)?, number("r", &item.r)?, number("s", &item.s)?);
    Ok(SignedAuthorization::new_unchecked(authorization, parity, r, s))
}

impl Fields {
    /// As revm takes it.
    pub fn env(&self, caller: Address, chain: u64) -> TxEnv {
        TxEnv {
            tx_type: self.kind,
            caller,
            gas_limit: self.gas_limit,
            gas_price: self.max_fee,
            kind: self.to,
            value: self.value,
            data: self.data.clone(),
            nonce: self.nonce,
            chain_id: Some(chain),
            access_list: self.access_list.clone(),
            gas_priority_fee: self.priority_fee,
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas,
            authorization_list: self.authorizations.iter().cloned().map(Either::Left).collect(),
        }
    }

    /// The first field in which a transaction's bytes say something else, if any does.
    pub fn difference(&self, other: &TxEnv) -> Option<&'static str> {
        let mine = self.env(other.caller, other.chain_id.unwrap_or_default());
        let equal = [
            ("type", mine.tx_type == other.tx_type),
            ("nonce", mine.nonce == other.nonce),
            ("gasLimit", mine.gas_limit == other.gas_limit),
            ("gasPrice", mine.gas_price == other.gas_price),
            ("maxPriorityFeePerGas", mine.gas_priority_fee == other.gas_priority_fee),
            ("to", mine.kind == other.kind),
            ("value", mine.value == other.value),
            ("data", mine.data == other.data),
            ("accessLists", mine.access_list == other.access_list),
            ("blobVersionedHashes", mine.blob_hashes == other.blob_hashes),
            ("maxFeePerBlobGas", mine.max_fee_per_blob_gas == other.max_fee_per_blob_gas),
            ("authorizationList", mine.authorization_list.len() == other.authorization_list.len()),
        ];
        equal.into_iter().find(|(_, equal)| !equal).map(|(field, _)| field)
    }

    /// The signed EIP-2718 bytes. Legacy transactions bind no chain, as those of most test files do.
    pub fn sign(&self, signer: &PrivateKeySigner, chain: u64) -> Result<Bytes, SectionError> {
        let envelope = match self.kind {
            0 => TxEnvelope::Legacy(signed(self.legacy(), signer)?),
            1 => TxEnvelope::Eip2930(signed(self.eip2930(chain), signer)?),
            2 => TxEnvelope::Eip1559(signed(self.eip1559(chain), signer)?),
            3 => TxEnvelope::Eip4844(signed(TxEip4844Variant::TxEip4844(self.eip4844(chain)?), signer)?),
            _ => TxEnvelope::Eip7702(signed(self.eip7702(chain)?, signer)?),
        };
        Ok(envelope.encoded_2718().into())
    }

    fn legacy(&self) -> TxLegacy {
        TxLegacy {
            chain_id: None,
            nonce: self.nonce,
            gas_price: self.max_fee,
            gas_limit: self.gas_limit,
            to: self.to,
            value: self.value,
            input: self.data.clone(),
        }
    }

    fn eip2930(&self, chain_id: u64) -> TxEip2930 {
        TxEip2930 {
            chain_id,
            nonce: self.nonce,
            gas_price: self.max_fee,
            gas_limit: self.gas_limit,
            to: self.to,
            value: self.value,
            access_list: self.access_list.clone(),
            input: self.data.clone(),
        }
    }

    fn eip1559(&self, chain_id: u64) -> TxEip1559 {
        TxEip1559 {
            chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: self.max_fee,
            max_priority_fee_per_gas: self.priority_fee.unwrap_or_default(),
            to: self.to,
            value: self.value,
            access_list: self.access_list.clone(),
            input: self.data.clone(),
        }
    }

    fn called(&self) -> Result<Address, SectionError> {
        self.to.to().copied().ok_or(SectionError::Creates { kind: self.kind })
    }

    fn eip4844(&self, chain_id: u64) -> Result<TxEip4844, SectionError> {
        Ok(TxEip4844 {
            chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: self.max_fee,
            max_priority_fee_per_gas: self.priority_fee.unwrap_or_default(),
            to: self.called()?,
            value: self.value,
            access_list: self.access_list.clone(),
            blob_versioned_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas,
            input: self.data.clone(),
        })
    }

    fn eip7702(&self, chain_id: u64) -> Result<TxEip7702, SectionError> {
        Ok(TxEip7702 {
            chain_id,
            nonce: self.nonce,
            gas_limit: self.gas_limit,
            max_fee_per_gas: self.max_fee,
            max_priority_fee_per_gas: self.priority_fee.unwrap_or_default(),
            to: self.called()?,
            value: self.value,
            access_list: self.access_list.clone(),
            authorization_list: self.authorizations.clone(),
            input: self.data.clone(),
        })
    }
}

fn signed<T: SignableTransaction<Signature>>(
    transaction: T,
    signer: &PrivateKeySigner,
) -> Result<alloy_consensus::Signed<T>, SectionError> {
    let signature = signer.sign_hash_sync(&transaction.signature_hash());
    let signature = signature.map_err(|_| SectionError::Missing { field: "secretKey" })?;
    Ok(transaction.into_signed(signature))
}
