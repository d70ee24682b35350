//! Calls and unsigned transactions, field by field. What contradicts itself is for [`super::super::call::call_of`].

use super::{Argument, Misfit, field, object};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_rpc_types_eth::{TransactionInput, TransactionRequest};
use serde_json::Value;

impl Argument for TransactionRequest {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        Ok(Self {
            from: field(fields, "from")?,
            to: field::<Option<Address>>(fields, "to")?.map(TxKind::Call),
            gas_price: field(fields, "gasPrice")?,
            max_fee_per_gas: field(fields, "maxFeePerGas")?,
            max_priority_fee_per_gas: field(fields, "maxPriorityFeePerGas")?,
            max_fee_per_blob_gas: field(fields, "maxFeePerBlobGas")?,
            gas: field(fields, "gas")?,
            value: field(fields, "value")?,
            input: TransactionInput { input: field(fields, "input")?, data: field(fields, "data")? },
            nonce: field(fields, "nonce")?,
            chain_id: field(fields, "chainId")?,
            access_list: field(fields, "accessList")?,
            transaction_type: field(fields, "type")?,
            blob_versioned_hashes: field(fields, "blobVersionedHashes")?,
            sidecar: None,
            authorization_list: field(fields, "authorizationList")?,
        })
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
