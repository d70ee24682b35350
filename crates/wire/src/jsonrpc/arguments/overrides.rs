//! What a call finds otherwise: accounts, their storage, the block; and blocks that are simulated.
//!
//! A field that an account does not have is refused, since leaving out what was meant changes the answer.
//! Source: execution-apis, `AccountOverride`, `BlockOverrides`, `eth_simulateV1`; geth, `override.go`; Erigon for other names.

use super::{Argument, Misfit, field, object};
use alloy_primitives::map::B256HashMap;
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::simulate::{SimBlock, SimulatePayload};
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use alloy_rpc_types_trace::geth::GethDebugTracingCallOptions;
use serde::Deserialize;
use serde_json::{Map, Value};

/// All fields of an account that can be otherwise.
const ACCOUNT_FIELDS: [&str; 6] = ["balance", "nonce", "code", "state", "stateDiff", "movePrecompileToAddress"];

impl Argument for StateOverride {
    fn read(value: &Value) -> Result<Self, Misfit> {
        object(value)?.iter().map(|(address, wanted)| Ok((key(address)?, named(address, wanted)?))).collect()
    }
}

impl Argument for AccountOverride {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        if let Some(unknown) = fields.keys().find(|name| !ACCOUNT_FIELDS.contains(&name.as_str())) {
            return Err(Misfit::Sense(format!("an account has no field {unknown:?}")));
        }
        Ok(Self {
            balance: field(fields, "balance")?,
            nonce: field(fields, "nonce")?,
            code: field(fields, "code")?,
            state: field(fields, "state")?,
            state_diff: field(fields, "stateDiff")?,
            move_precompile_to: field(fields, "movePrecompileToAddress")?,
        })
    }
}

/// Slots and what is in them: both whole words.
impl Argument for B256HashMap<B256> {
    fn read(value: &Value) -> Result<Self, Misfit> {
        object(value)?.iter().map(|(slot, word)| Ok((key(slot)?, named(slot, word)?))).collect()
    }
}

impl Argument for BlockOverrides {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        if fields.get("blockHash").is_some_and(|hashes| !hashes.is_null()) {
            return Err(Misfit::Sense("blockHash overrides are not supported".to_owned()));
        }
        let withdrawals: Option<Vec<Value>> = field(fields, "withdrawals")?;
        if withdrawals.is_some_and(|withdrawals| !withdrawals.is_empty()) {
            return Err(Misfit::Sense("withdrawals are not supported".to_owned()));
        }
        let random: Option<Randomness> = either(fields, "prevRandao", "random")?;
        Ok(Self {
            number: either(fields, "number", "blockNumber")?,
            difficulty: field(fields, "difficulty")?,
            time: either(fields, "time", "timestamp")?,
            gas_limit: field(fields, "gasLimit")?,
            coinbase: either(fields, "feeRecipient", "coinbase")?,
            random: random.map(|Randomness(random)| random),
            base_fee: either(fields, "baseFeePerGas", "baseFee")?,
            blob_base_fee: field(fields, "blobBaseFee")?,
            beacon_root: either(fields, "parentBeaconBlockRoot", "beaconRoot")?,
            block_hash: None,
        })
    }
}

/// A word: a quantity in the specification, a hash in geth.
struct Randomness(B256);

impl Argument for Randomness {
    fn read(value: &Value) -> Result<Self, Misfit> {
        B256::read(value).or_else(|_| U256::read(value).map(B256::from)).map(Self)
    }
}

impl Argument for SimBlock {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        Ok(Self {
            block_overrides: field(fields, "blockOverrides")?,
            state_overrides: field(fields, "stateOverrides")?,
            calls: field::<Option<Vec<TransactionRequest>>>(fields, "calls")?.unwrap_or_default(),
        })
    }
}

impl Argument for SimulatePayload {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let fields = object(value)?;
        let flag = |name| Ok::<_, Misfit>(field::<Option<bool>>(fields, name)?.unwrap_or_default());
        Ok(Self {
            block_state_calls: field::<Option<Vec<SimBlock>>>(fields, "blockStateCalls")?.unwrap_or_default(),
            trace_transfers: flag("traceTransfers")?,
            validation: flag("validation")?,
            return_full_transactions: flag("returnFullTransactions")?,
        })
    }
}

/// A tracer's own settings as their type has them; what the call finds otherwise as everywhere.
impl Argument for GethDebugTracingCallOptions {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let mut own = object(value)?.clone();
        let state_overrides = field(&own, "stateOverrides")?;
        let block_overrides = field(&own, "blockOverrides")?;
        own.retain(|name, _| !["stateOverrides", "blockOverrides"].contains(&name.as_str()));
        let options = Self::deserialize(Value::Object(own)).map_err(|error| Misfit::Sense(error.to_string()))?;
        Ok(Self { state_overrides, block_overrides, ..options })
    }
}

/// A field that clients know by two names; not by both at once.
fn either<T: Argument>(fields: &Map<String, Value>, name: &str, other: &str) -> Result<Option<T>, Misfit> {
    match (field(fields, name)?, field(fields, other)?) {
        (Some(_), Some(_)) => Err(Misfit::Sense(format!("cannot specify both {name} and {other}"))),
        (wanted, other) => Ok(wanted.or(other)),
    }
}

/// The key of an object, as a value of its own.
fn key<T: Argument>(text: &str) -> Result<T, Misfit> {
    T::read(&Value::String(text.to_owned())).map_err(|misfit| misfit.within(text))
}

fn named<T: Argument>(place: &str, value: &Value) -> Result<T, Misfit> {
    T::read(value).map_err(|misfit| misfit.within(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use serde_json::json;

    fn misfit<T: Argument>(value: &Value) -> String {
        T::read(value).err().map(|misfit| misfit.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_an_account_is_instead_is_read_as_strictly_as_a_parameter() {
        let account = |wanted: Value| misfit::<StateOverride>(&json!({ Address::ZERO.to_string(): wanted }));
        let place = Address::ZERO.to_string();
        assert_eq!(account(json!({ "balance": "0x0", "nonce": "0x1", "code": "0x" })), "");
        assert_eq!(
            account(json!({ "balance": "0x01" })),
            format!("{place}: balance: hex number with leading zero digits")
        );
        assert_eq!(account(json!({ "balance": 1 })), format!("{place}: balance: a number where a hex string is due"));
        assert_eq!(account(json!({ "code": "0x123" })), format!("{place}: code: hex string of odd length"));
        assert_eq!(account(json!({ "blance": "0x1" })), format!("{place}: an account has no field \"blance\""));
        let short = account(json!({ "stateDiff": { "0x1": B256::ZERO } }));
        assert_eq!(short, format!("{place}: stateDiff: 0x1: hex string has length 1, want 64 for a hash"));
        assert_eq!(
            misfit::<StateOverride>(&json!({ "0x1": {} })),
            "0x1: hex string has length 1, want 40 for an address"
        );
    }

    #[test]
    fn a_block_is_read_by_either_of_its_names_and_not_by_both() {
        let block = BlockOverrides::read(&json!({ "time": "0x5", "coinbase": Address::ZERO })).unwrap();
        assert_eq!((block.time, block.coinbase), (Some(5), Some(Address::ZERO)));
        assert_eq!(BlockOverrides::read(&json!({ "timestamp": "0x5" })).unwrap().time, Some(5));
        let both = misfit::<BlockOverrides>(&json!({ "time": "0x5", "timestamp": "0x5" }));
        assert_eq!(both, "cannot specify both time and timestamp");
        for (random, word) in
            [(json!("0x7"), B256::with_last_byte(7)), (json!(B256::repeat_byte(7)), B256::repeat_byte(7))]
        {
            assert_eq!(BlockOverrides::read(&json!({ "prevRandao": random })).unwrap().random, Some(word));
        }
        assert_eq!(
            misfit::<BlockOverrides>(&json!({ "prevRandao": "0x07" })),
            "prevRandao: hex number with leading zero digits"
        );
        assert_eq!(misfit::<BlockOverrides>(&json!({ "withdrawals": [{}] })), "withdrawals are not supported");
        assert_eq!(
            misfit::<BlockOverrides>(&json!({ "gasLimit": "0x05" })),
            "gasLimit: hex number with leading zero digits"
        );
    }

    #[test]
    fn a_simulation_names_the_place_that_is_wrong() {
        let payload = json!({ "blockStateCalls": [{ "calls": [{}, { "value": "0x01" }] }] });
        let place = "blockStateCalls: 0: calls: 1: value: hex number with leading zero digits";
        assert_eq!(misfit::<SimulatePayload>(&payload), place);
        assert_eq!(
            misfit::<SimulatePayload>(&json!({ "validation": "true" })),
            "validation: a string where a boolean is due"
        );
        assert_eq!(misfit::<SimulatePayload>(&json!([])), "a list where an object is due");
        assert!(SimulatePayload::read(&json!({})).unwrap().block_state_calls.is_empty());
    }
}
