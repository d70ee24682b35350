//! One wrong way to write a parameter a test.

use super::*;
use crate::jsonrpc::call::call_of;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, Filter, FilterBlockOption, TransactionRequest};
use primitives::NetworkId;
use serde_json::json;

fn misfit<T: Argument + std::fmt::Debug>(value: &Value) -> String {
    match T::read(value) {
        Ok(read) => panic!("{value} was read as {read:?}"),
        Err(misfit) => misfit.to_string(),
    }
}

#[test]
fn a_quantity_has_a_prefix_and_no_leading_zeros() {
    assert_eq!(u64::read(&json!("0x0")), Ok(0));
    assert_eq!(u64::read(&json!("0xff")), Ok(255));
    assert_eq!(U256::read(&json!(format!("{:#x}", U256::MAX))), Ok(U256::MAX));
    assert_eq!(misfit::<u64>(&json!("ff")), "hex string without 0x prefix");
    assert_eq!(misfit::<u64>(&json!("0Xff")), "hex string without 0x prefix");
    assert_eq!(misfit::<u64>(&json!(" 0xff")), "hex string without 0x prefix");
    assert_eq!(misfit::<u64>(&json!("0x01")), "hex number with leading zero digits");
    assert_eq!(misfit::<u64>(&json!("0x")), "hex string \"0x\"");
    assert_eq!(misfit::<u64>(&json!("")), "empty hex string");
    assert_eq!(misfit::<u64>(&json!("0xfg")), "invalid hex string");
    assert_eq!(misfit::<u64>(&json!("0x1_0")), "invalid hex string");
    assert_eq!(misfit::<u64>(&json!("0x+1")), "invalid hex string");
}

#[test]
fn a_number_of_json_is_no_quantity() {
    assert_eq!(misfit::<u64>(&json!(1)), "a number where a hex string is due");
    assert_eq!(misfit::<B256>(&json!(1)), "a number where a hex string is due");
    assert_eq!(misfit::<BlockNumberOrTag>(&json!(1)), "a number where a block number or tag is due");
}

#[test]
fn a_quantity_beyond_its_bits_is_refused() {
    assert_eq!(misfit::<u64>(&json!("0x10000000000000000")), "hex number > 64 bits");
    assert_eq!(misfit::<u128>(&json!(format!("{:#x}", U256::MAX))), "hex number > 128 bits");
    assert_eq!(misfit::<U256>(&json!(format!("{:#x}0", U256::MAX))), "hex number > 256 bits");
    assert_eq!(misfit::<u8>(&json!("0x100")), "hex number > 8 bits");
    assert_eq!((u8::read(&json!("0x2")), u8::read(&json!("0x02"))), (Ok(2), Ok(2)));
}

#[test]
fn data_is_whole_bytes() {
    assert_eq!(Bytes::read(&json!("0x")), Ok(Bytes::new()));
    assert_eq!(Bytes::read(&json!("0x0aFF")), Ok(Bytes::from(vec![10, 255])));
    assert_eq!(misfit::<Bytes>(&json!("0x123")), "hex string of odd length");
    assert_eq!(misfit::<Bytes>(&json!("0x0x")), "invalid hex string");
    assert_eq!(misfit::<Bytes>(&json!("")), "empty hex string");
}

#[test]
fn a_hash_an_address_and_a_key_have_their_lengths() {
    let long = format!("0x{}", "00".repeat(33));
    assert_eq!(misfit::<B256>(&json!(long)), "hex string has length 66, want 64 for a hash");
    assert_eq!(misfit::<Address>(&json!("0x12")), "hex string has length 2, want 40 for an address");
    assert_eq!(misfit::<StorageKey>(&json!(long)), "hex string has length 66, want 64 for a storage key");
    for key in ["0x", "0x0", "0x00", &format!("0x{}", "00".repeat(32))] {
        assert_eq!(StorageKey::read(&json!(key)), Ok(StorageKey(U256::ZERO)), "{key}");
    }
    assert_eq!(misfit::<StorageKey>(&json!("5")), "hex string without 0x prefix");
}

#[test]
fn a_tag_is_written_small() {
    assert_eq!(BlockNumberOrTag::read(&json!("latest")), Ok(BlockNumberOrTag::Latest));
    assert_eq!(misfit::<BlockNumberOrTag>(&json!("Latest")), "hex string without 0x prefix");
    assert_eq!(misfit::<BlockId>(&json!("0x01")), "hex number with leading zero digits");
}

#[test]
fn a_block_is_named_by_one_name() {
    let hash = B256::repeat_byte(7);
    assert_eq!(BlockId::read(&json!(hash)), Ok(BlockId::from(hash)));
    assert_eq!(BlockId::read(&json!({"blockHash": hash})), Ok(BlockId::from(hash)));
    assert_eq!(BlockId::read(&json!({"blockNumber": "0x5"})), Ok(BlockId::from(5)));
    assert!(misfit::<BlockId>(&json!({"blockHash": hash, "blockNumber": "0x5"})).starts_with("cannot specify both"));
    assert!(misfit::<BlockId>(&json!({})).starts_with("neither"));
    assert_eq!(
        misfit::<BlockId>(&json!({"blockHash": "0x7"})),
        "blockHash: hex string has length 1, want 64 for a hash"
    );
}

#[test]
fn a_filter_names_a_range_or_a_block() {
    let (hash, address) = (B256::repeat_byte(7), Address::repeat_byte(1));
    let filter = Filter::read(&json!({"address": [address], "topics": [null, hash, [hash, null], []]})).unwrap();
    assert_eq!(filter.topics.each_ref().map(alloy_rpc_types_eth::Topic::len), [0, 1, 0, 0]);
    assert!(filter.address.matches(&address));
    let filter = Filter::read(&json!({"blockHash": hash, "address": address, "topics": null})).unwrap();
    assert_eq!(filter.block_option, FilterBlockOption::AtBlockHash(hash));
    assert!(misfit::<Filter>(&json!({"blockHash": hash, "fromBlock": "0x1"})).starts_with("cannot specify both"));
    assert!(misfit::<Filter>(&json!({"topics": [null, null, null, null, null]})).starts_with("exceed max topics"));
    assert_eq!(misfit::<Filter>(&json!({"topics": [[5]]})), "topics: 0: 0: a number where a hex string is due");
    assert_eq!(
        misfit::<Filter>(&json!({"address": "0x1"})),
        "address: hex string has length 1, want 40 for an address"
    );
}

#[test]
fn a_call_does_not_contradict_itself() {
    let said = |call: &Value| call_of(TransactionRequest::read(call).unwrap(), NetworkId(1337));
    let sense = |call: Value| said(&call).unwrap_err().message().to_owned();
    assert!(sense(json!({"input": "0x01", "data": "0x02"})).starts_with(r#"both "data" and "input" are set"#));
    assert!(sense(json!({"gasPrice": "0x1", "maxFeePerGas": "0x2"})).starts_with("both gasPrice and"));
    assert_eq!(
        sense(json!({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"})),
        "maxFeePerGas (1) < maxPriorityFeePerGas (2)"
    );
    let call = said(&json!({"input": "0x01", "data": "0x01", "to": null})).unwrap();
    assert_eq!((call.input, call.to), (vec![1].into(), None));
}

#[test]
fn parameters_are_neither_too_many_nor_missing() {
    let said = |params: &str| {
        read::<(u64, Option<bool>)>(&Params::new(Some(params))).map_err(|error| error.message().to_owned())
    };
    assert_eq!(said(r#"["0x1"]"#), Ok((1, None)));
    assert_eq!(said(r#"["0x1",null]"#), Ok((1, None)));
    assert_eq!(said(r#"["0x1",true]"#), Ok((1, Some(true))));
    assert_eq!(said("[]").unwrap_err(), "missing value for required argument 0");
    assert_eq!(said("[null]").unwrap_err(), "missing value for required argument 0");
    assert_eq!(said(r#"["0x1",true,null]"#).unwrap_err(), "too many arguments, want at most 2");
    assert_eq!(said(r#"["0x1","true"]"#).unwrap_err(), "invalid argument 1: a string where a boolean is due");
    assert_eq!(said("{}").unwrap_err(), "non-array args");
    assert!(read::<()>(&Params::new(None)).is_ok());
}
