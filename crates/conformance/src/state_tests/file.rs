//! A state test file: JSON to values, and where it is wrong if it is.
//!
//! Source: <https://ethereum-tests.readthedocs.io/en/latest/test_filler/state_filler.html>, "filled" form, and EEST's
//! `state_test` fixtures, which are the same with a few fields more.

use crate::state_tests::section::{Indexes, Section};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Why bytes are no state tests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No JSON at all.
    #[error("not JSON: {reason}")]
    Json {
        /// What the parser met, with line and column.
        reason: String,
    },
    /// JSON, but a test of it is no state test.
    #[error("test {test:?} is no state test: {reason}")]
    Test {
        /// Which test.
        test: String,
        /// What is wrong, with line and column in the file.
        reason: String,
    },
    /// JSON, but not an object of tests by name.
    #[error("no object of tests by name: {reason}")]
    Shape {
        /// What is wrong, with line and column.
        reason: String,
    },
    /// An object without tests.
    #[error("no tests in it")]
    Empty,
}

/// One state test: a pre-state, an environment, transactions, and what becomes of them by fork.
#[derive(Debug, Clone, Deserialize)]
pub struct StateTest {
    /// The block.
    pub env: Env,
    /// The state before.
    pub pre: BTreeMap<Address, Account>,
    /// The transactions.
    pub transaction: Section,
    /// Results by fork.
    pub post: BTreeMap<String, Vec<Post>>,
    /// Chain and blobs; newer files only.
    #[serde(default)]
    pub config: Config,
}

/// The block a test runs in.
#[allow(clippy::struct_field_names, reason = "the file's names")]
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Env {
    /// COINBASE.
    pub current_coinbase: Address,
    /// GASLIMIT.
    pub current_gas_limit: U256,
    /// NUMBER.
    pub current_number: U256,
    /// TIMESTAMP, seconds.
    pub current_timestamp: U256,
    /// DIFFICULTY before the merge.
    pub current_difficulty: Option<U256>,
    /// PREVRANDAO after it.
    pub current_random: Option<U256>,
    /// BASEFEE from London on.
    pub current_base_fee: Option<U64>,
    /// What the blob base fee follows, from Cancun on.
    pub current_excess_blob_gas: Option<U64>,
}

/// An account.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// Wei.
    pub balance: U256,
    /// Transactions sent or contracts created.
    pub nonce: U64,
    /// Empty for none.
    pub code: Bytes,
    /// Slots that are not zero.
    #[serde(default)]
    pub storage: BTreeMap<U256, U256>,
}

/// What one transaction comes to under one fork.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Post {
    /// The state root after.
    pub hash: B256,
    /// keccak256 of the RLP of the logs.
    pub logs: B256,
    /// Which parts of the section.
    pub indexes: Indexes,
    /// The signed transaction; older files leave it out.
    pub txbytes: Option<Bytes>,
    /// Why the transaction cannot be included, where it cannot: alternatives separated by `|`.
    pub expect_exception: Option<String>,
    /// The whole state after, in newer files.
    pub state: Option<BTreeMap<Address, Account>>,
}

/// Chain and blobs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// EIP-155; 1 where nothing is said.
    pub chainid: Option<U64>,
    /// By fork.
    #[serde(default)]
    pub blob_schedule: BTreeMap<String, BlobSchedule>,
}

/// Blobs under one fork.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobSchedule {
    /// How fast the blob base fee follows the excess.
    pub base_fee_update_fraction: U64,
}

/// The tests in a file, by name.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, StateTest>, FileError> {
    match serde_json::from_slice::<BTreeMap<String, StateTest>>(bytes) {
        Ok(tests) if tests.is_empty() => Err(FileError::Empty),
        Ok(tests) => Ok(tests),
        Err(error) => Err(explained(bytes, &error)),
    }
}

/// Reads the file again to say whose fault it is.
fn explained(bytes: &[u8], error: &serde_json::Error) -> FileError {
    let reason = error.to_string();
    match serde_json::from_slice::<BTreeMap<String, Value>>(bytes) {
        Err(_) if error.is_syntax() || error.is_eof() => FileError::Json { reason },
        Err(_) => FileError::Shape { reason },
        Ok(tests) => {
            let wrong =
                tests.into_iter().find(|(_, value)| serde_json::from_value::<StateTest>(value.clone()).is_err());
            match wrong {
                Some((test, _)) => FileError::Test { test, reason },
                None => FileError::Shape { reason },
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A test of one transfer, as the files have them; its expected hashes are given.
    pub(crate) fn transfer(hash: &str, logs: &str) -> String {
        format!(
            r#"{{"transfer": {{
  "env": {{"currentCoinbase": "0x2adc25665018aa1fe0e6bc666dac8fc2697ff9ba", "currentGasLimit": "0x05500000",
    "currentNumber": "0x01", "currentTimestamp": "0x03e8", "currentDifficulty": "0x020000", "currentBaseFee": "0x0a",
    "currentRandom": "0x0000000000000000000000000000000000000000000000000000000000020000"}},
  "pre": {{
    "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b": {{"balance": "0x0de0b6b3a7640000", "code": "0x", "nonce": "0x00", "storage": {{}}}},
    "0x095e7baea6a6c7c4c2dfeb977efac326af552d87": {{"balance": "0x00", "code": "0x6001600055", "nonce": "0x00", "storage": {{}}}}
  }},
  "transaction": {{"data": ["0x"], "gasLimit": ["0x061a80"], "gasPrice": "0x0a", "nonce": "0x00", "value": ["0x0186a0"],
    "secretKey": "0x45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8",
    "sender": "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b", "to": "0x095e7baea6a6c7c4c2dfeb977efac326af552d87"}},
  "post": {{"Cancun": [{{"hash": "{hash}", "logs": "{logs}", "indexes": {{"data": 0, "gas": 0, "value": 0}}}}]}}
}}}}"#
        )
    }

    const ZERO: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

    fn whole() -> String {
        transfer(ZERO, ZERO)
    }

    #[test]
    fn a_whole_file_is_its_tests() {
        let tests = parse(whole().as_bytes()).unwrap();
        assert_eq!(tests.keys().collect::<Vec<_>>(), ["transfer"]);
        assert_eq!(tests["transfer"].pre.len(), 2);
    }

    #[test]
    fn a_truncated_file_names_line_and_column() {
        let text = whole();
        for length in [1, 40, text.len() / 2, text.len() - 1] {
            let error = parse(&text.as_bytes()[..length]).unwrap_err();
            assert!(matches!(&error, FileError::Json { reason } if reason.contains("line")), "{length}: {error}");
        }
    }

    #[test]
    fn a_field_that_is_missing_or_wrong_is_named_with_its_test() {
        for (was, becomes, named) in [
            ("\"pre\"", "\"prae\"", "pre"),
            ("0x05500000", "many", "line 2"),
            ("\"indexes\"", "\"indices\"", "indexes"),
        ] {
            let error = parse(whole().replace(was, becomes).as_bytes()).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, FileError::Test { .. }), "{text}");
            assert!(text.contains("transfer") && text.contains(named), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_of_tests_is_refused() {
        assert!(matches!(parse(b"[1]"), Err(FileError::Shape { .. })));
        assert!(matches!(parse(b""), Err(FileError::Json { .. })));
        assert_eq!(parse(b"{}").unwrap_err(), FileError::Empty);
    }
}
