//! A call as JSON-RPC describes it, and what it wants otherwise.
//!
//! Promise: fields that contradict each other are refused, in geth's words; nothing that is given is passed over but `nonce`,
//! which no call needs.
//! Source: execution-apis, `GenericTransaction`; geth, `TransactionArgs` and `override.go`.

use super::error::{Answer, SERVER_ERROR_CODE, error, invalid_params};
use alloy_primitives::{Address, U256};
use alloy_rpc_types_eth::state::{AccountOverride as RpcAccount, StateOverride};
use alloy_rpc_types_eth::{BlockOverrides as RpcBlock, TransactionRequest};
use evm::{AccountOverride, BlockOverrides, CallPrice, CallRequest, Data, NetworkParams, Overrides, StorageOverride};
use primitives::NetworkId;
use std::collections::{BTreeMap, BTreeSet};

/// The most accounts that one call may override.
pub(super) const OVERRIDES_COUNT_MAX: usize = 1_024;

/// The specification's: a precompile that is moved to itself.
const MOVED_TO_ITSELF_CODE: i32 = -38_022;
/// The specification's: several that are moved to one address.
const MOVED_TWICE_CODE: i32 = -38_023;

/// The newest type of transaction that there is (EIP-7702).
const TRANSACTION_TYPE_MAX: u8 = 4;

/// The call that `request` describes on `network`.
pub(super) fn call_of(request: TransactionRequest, network: NetworkId) -> Answer<CallRequest> {
    if let Some(have) = request.chain_id.filter(|have| *have != network.0) {
        return Err(invalid_params(format!("chainId does not match node's (have={have}, want={network})")));
    }
    if let Some(unknown) = request.transaction_type.filter(|kind| *kind > TRANSACTION_TYPE_MAX) {
        return Err(invalid_params(format!("transaction type not supported: {unknown:#x}")));
    }
    let price = price_of(&request)?;
    let to = request.to.and_then(|kind| kind.to().copied());
    let blob_hashes = request.blob_versioned_hashes.unwrap_or_default();
    if to.is_none() && !blob_hashes.is_empty() {
        return Err(invalid_params("missing \"to\" in blob transaction"));
    }
    let unequal =
        "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass transaction call data";
    let input = request.input.try_into_unique_input().map_err(|_| invalid_params(unequal))?;
    Ok(CallRequest {
        from: request.from.unwrap_or_default(),
        to,
        value: request.value.unwrap_or_default(),
        input: Data(input.unwrap_or_default()),
        gas_limit: request.gas,
        price,
        access_list: request.access_list.unwrap_or_default(),
        authorizations: request.authorization_list.unwrap_or_default(),
        blob_hashes,
        blob_price: request.max_fee_per_blob_gas.unwrap_or_default(),
        nonce: request.nonce,
        overrides: Overrides::default(),
    })
}

fn price_of(request: &TransactionRequest) -> Answer<CallPrice> {
    match (request.gas_price, request.max_fee_per_gas, request.max_priority_fee_per_gas) {
        (Some(_), max, priority) if max.is_some() || priority.is_some() => {
            Err(invalid_params("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"))
        }
        (Some(0), ..) | (None, None | Some(0), None | Some(0)) => Ok(CallPrice::Free),
        (Some(price), ..) => Ok(CallPrice::Legacy(price)),
        (None, max, priority) => {
            let (max, priority) = (max.unwrap_or_default(), priority.unwrap_or_default());
            if max < priority {
                let text = format!("maxFeePerGas ({max}) < maxPriorityFeePerGas ({priority})");
                return Err(invalid_params(text));
            }
            Ok(CallPrice::Dynamic { max, priority })
        }
    }
}

/// What a call wants otherwise.
pub(super) fn overrides_of(
    params: &NetworkParams,
    state: Option<StateOverride>,
    block: Option<RpcBlock>,
) -> Answer<Overrides> {
    let accounts = accounts_of(params, state.unwrap_or_default())?;
    Ok(Overrides { accounts, block: block_of(&block.unwrap_or_default())? })
}

/// Accounts that are otherwise.
pub(super) fn accounts_of(params: &NetworkParams, state: StateOverride) -> Answer<BTreeMap<Address, AccountOverride>> {
    if state.len() > OVERRIDES_COUNT_MAX {
        return Err(invalid_params(format!("at most {OVERRIDES_COUNT_MAX} accounts can be overridden")));
    }
    check_moves(params, &state)?;
    state.into_iter().map(|(address, wanted)| Ok((address, account_of(address, wanted)?))).collect()
}

/// That what is moved is a precompile, and goes where nothing else is otherwise.
fn check_moves(params: &NetworkParams, state: &StateOverride) -> Answer<()> {
    let mut taken = BTreeSet::new();
    for (address, wanted) in state {
        let Some(to) = wanted.move_precompile_to else { continue };
        if !params.has_precompile(*address) {
            return Err(error(SERVER_ERROR_CODE, format!("account {address} is not a precompile")));
        }
        if to == *address {
            return Err(error(MOVED_TO_ITSELF_CODE, format!("precompile {address} is moved to itself")));
        }
        if !taken.insert(to) {
            return Err(error(MOVED_TWICE_CODE, format!("more than one precompile is moved to {to}")));
        }
        if state.contains_key(&to) {
            return Err(error(SERVER_ERROR_CODE, format!("account {to} is already overridden")));
        }
    }
    Ok(())
}

fn account_of(address: Address, wanted: RpcAccount) -> Answer<AccountOverride> {
    let precompile_to = wanted.move_precompile_to;
    let slots = |slots: alloy_primitives::map::B256HashMap<_>| {
        slots.into_iter().map(|(slot, value)| (U256::from_be_bytes(slot.0), word(value))).collect()
    };
    let storage = match (wanted.state, wanted.state_diff) {
        (Some(_), Some(_)) => {
            return Err(error(SERVER_ERROR_CODE, format!("account {address} has both 'state' and 'stateDiff'")));
        }
        (Some(whole), None) => StorageOverride::Whole(slots(whole)),
        (None, Some(parts)) => StorageOverride::Parts(slots(parts)),
        (None, None) => StorageOverride::None,
    };
    Ok(AccountOverride {
        balance: wanted.balance,
        nonce: wanted.nonce,
        code: wanted.code.map(Data),
        storage,
        precompile_to,
    })
}

fn word(value: alloy_primitives::B256) -> U256 {
    U256::from_be_bytes(value.0)
}

/// A block that is otherwise.
pub(super) fn block_of(wanted: &RpcBlock) -> Answer<BlockOverrides> {
    if wanted.block_hash.is_some() {
        return Err(invalid_params("blockHash overrides are not supported"));
    }
    if wanted.beacon_root.is_some() {
        return Err(invalid_params("beaconRoot overrides are not supported"));
    }
    Ok(BlockOverrides {
        number: wanted.number.map(|number| fits("number", number)).transpose()?,
        timestamp: wanted.time,
        gas_limit: wanted.gas_limit,
        beneficiary: wanted.coinbase,
        base_fee: wanted.base_fee.map(|wei| fits("baseFeePerGas", wei)).transpose()?,
        randomness: wanted.random,
        blob_base_fee: wanted.blob_base_fee.map(|wei| fits("blobBaseFee", wei)).transpose()?,
        difficulty: wanted.difficulty,
    })
}

fn fits<T: TryFrom<U256>>(field: &str, value: U256) -> Answer<T> {
    T::try_from(value).map_err(|_| invalid_params(format!("{field} {value} is too large")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::tests::params;
    use serde_json::{Value, json};

    fn call(request: Value) -> Answer<CallRequest> {
        call_of(serde_json::from_value(request).unwrap(), NetworkId(1337))
    }

    fn refused(request: Value) -> String {
        call(request).unwrap_err().message().to_owned()
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        assert!(refused(json!({"input": "0x01", "data": "0x02"})).contains("set and not equal"));
        assert!(refused(json!({"chainId": "0x1"})).starts_with("chainId does not match node's (have=1, want=1337)"));
        assert!(refused(json!({"gasPrice": "0x1", "maxFeePerGas": "0x1"})).starts_with("both gasPrice and"));
        let priority = json!({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"});
        assert_eq!(refused(priority), "maxFeePerGas (1) < maxPriorityFeePerGas (2)");
        assert!(call(json!({"input": "0x01", "data": "0x01", "chainId": "0x539"})).is_ok());
        assert_eq!(refused(json!({"type": "0x5"})), "transaction type not supported: 0x5");
    }

    #[test]
    fn a_call_that_names_no_price_is_free() {
        for free in
            [json!({}), json!({"gasPrice": "0x0"}), json!({"maxFeePerGas": "0x0", "maxPriorityFeePerGas": "0x0"})]
        {
            assert_eq!(call(free).unwrap().price, CallPrice::Free);
        }
        assert_eq!(call(json!({"gasPrice": "0x7"})).unwrap().price, CallPrice::Legacy(7));
        let dynamic = call(json!({"maxFeePerGas": "0x7", "maxPriorityFeePerGas": "0x2"})).unwrap().price;
        assert_eq!(dynamic, CallPrice::Dynamic { max: 7, priority: 2 });
    }

    #[test]
    fn an_account_has_a_whole_storage_or_parts_of_one() {
        let slot = format!("0x{:064x}", 1);
        let both = json!({ Address::ZERO.to_string(): {"state": {&slot: &slot}, "stateDiff": {&slot: &slot}} });
        let both = accounts_of(&params(), serde_json::from_value(both).unwrap()).unwrap_err();
        assert!(both.message().contains("both 'state' and 'stateDiff'"), "{both}");
        let parts = json!({ Address::ZERO.to_string(): {"stateDiff": {&slot: &slot}, "nonce": "0x2"} });
        let parts = accounts_of(&params(), serde_json::from_value(parts).unwrap()).unwrap();
        let wanted = &parts[&Address::ZERO];
        assert_eq!(wanted.storage, StorageOverride::Parts([(U256::from(1), U256::from(1))].into()));
        assert_eq!(wanted.nonce, Some(2));
    }

    #[test]
    fn a_precompile_is_moved_where_nothing_else_is_otherwise() {
        let (first, second, elsewhere) =
            (Address::with_last_byte(1), Address::with_last_byte(2), Address::repeat_byte(9));
        let said = |wanted: &[(Address, Address)], other: Option<Address>| {
            let moved = |(from, to): &(Address, Address)| (from.to_string(), json!({"movePrecompileToAddress": to}));
            let mut state: serde_json::Map<String, Value> = wanted.iter().map(moved).collect();
            state.extend(other.map(|other| (other.to_string(), json!({"balance": "0x1"}))));
            accounts_of(&params(), serde_json::from_value(state.into()).unwrap()).map_err(|error| error.code())
        };
        assert_eq!(said(&[(first, elsewhere)], None).unwrap()[&first].precompile_to, Some(elsewhere));
        assert_eq!(said(&[(elsewhere, first)], None), Err(-32000), "no precompile");
        assert_eq!(said(&[(first, first)], None), Err(-38022));
        assert_eq!(said(&[(first, elsewhere), (second, elsewhere)], None), Err(-38023));
        assert_eq!(said(&[(first, elsewhere)], Some(elsewhere)), Err(-32000), "overridden");
    }
}
