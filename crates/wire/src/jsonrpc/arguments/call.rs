//! Calls and unsigned transactions: what they say must not contradict itself.

use super::{Argument, Misfit, field, object};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{TransactionInput, TransactionRequest};
use serde_json::{Map, Value};

impl Argument for TransactionRequest {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        let request = Self {
            from: field(fields, "from")?,
            to: field::<Option<Address>>(fields, "to")?.map(TxKind::Call),
            gas_price: field(fields, "gasPrice")?,
            max_fee_per_gas: field(fields, "maxFeePerGas")?,
            max_priority_fee_per_gas: field(fields, "maxPriorityFeePerGas")?,
            max_fee_per_blob_gas: field(fields, "maxFeePerBlobGas")?,
            gas: field(fields, "gas")?,
            value: field(fields, "value")?,
            input: TransactionInput { input: input(fields)?, data: None },
            nonce: field(fields, "nonce")?,
            chain_id: field(fields, "chainId")?,
            access_list: field(fields, "accessList")?,
            transaction_type: field(fields, "type")?,
            blob_versioned_hashes: field(fields, "blobVersionedHashes")?,
            sidecar: None,
            authorization_list: field(fields, "authorizationList")?,
        };
        fees(&request)?;
        Ok(request)
    }
}

/// The input, by either of its names; both only where they say the same.
fn input(fields: &Map<String, Value>) -> Result<Option<Bytes>, Misfit> {
    let (input, data): (Option<Bytes>, Option<Bytes>) = (field(fields, "input")?, field(fields, "data")?);
    match (input, data) {
        (Some(input), Some(data)) if input != data => Err(Misfit::Sense(
            r#"both "data" and "input" are set and not equal. Please use "input" to pass transaction call data"#
                .to_owned(),
        )),
        (input, data) => Ok(input.or(data)),
    }
}

/// That the fees are those of one kind of transaction.
fn fees(request: &TransactionRequest) -> Result<(), Misfit> {
    let (max, priority) = (request.max_fee_per_gas, request.max_priority_fee_per_gas);
    if request.gas_price.is_some() && (max.is_some() || priority.is_some()) {
        let text = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
        return Err(Misfit::Sense(text.to_owned()));
    }
    match (max, priority) {
        (Some(max), Some(priority)) if max < priority => {
            Err(Misfit::Sense(format!("maxFeePerGas ({max}) < maxPriorityFeePerGas ({priority})")))
        }
        _ => Ok(()),
    }
}

impl Argument for AccessList {
    fn read(value: &Value) -> Result<Self, Misfit> {
        Vec::read(value).map(Self)
    }
}

impl Argument for AccessListItem {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        let storage_keys: Option<Vec<B256>> = field(fields, "storageKeys")?;
        Ok(Self { address: field(fields, "address")?, storage_keys: storage_keys.unwrap_or_default() })
    }
}

impl Argument for SignedAuthorization {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        let authorization = Authorization {
            chain_id: field(fields, "chainId")?,
            address: field(fields, "address")?,
            nonce: field(fields, "nonce")?,
        };
        // Some clients still call the parity by the name it had in older transactions.
        let parity: Option<u8> = field(fields, "yParity")?;
        let parity = match parity {
            Some(parity) => parity,
            None => field(fields, "v").map_err(|_| Misfit::Missing.within("yParity"))?,
        };
        let (r, s): (U256, U256) = (field(fields, "r")?, field(fields, "s")?);
        Ok(Self::new_unchecked(authorization, parity, r, s))
    }
}
