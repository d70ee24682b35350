//! Single values: quantities, data, hashes, addresses, and plain JSON.

use super::{Argument, Misfit};
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use alloy_rpc_types_eth::BlockNumberOrTag;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A key of an account's storage: up to 32 bytes, leading zeros or not, because both are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StorageKey(pub(crate) U256);

/// Something that is read as its own type has it, such as a tracer's options.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// Keys of storage by account.
#[derive(Debug)]
pub(crate) struct StorageKeys(pub(crate) BTreeMap<Address, Vec<StorageKey>>);

/// Milliseconds to wait: a number of JSON, as EIP-7966 says, or a quantity.
#[derive(Debug)]
pub(crate) struct Patience(pub(crate) Duration);

/// A number of JSON or a quantity: explorers write either, and older clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) u64);

/// A block by its number, in either way, or by a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Height(pub(crate) BlockNumberOrTag);

/// The digits of a hex string, after its prefix.
fn digits(value: &Value) -> Result<&str, Misfit> {
    let text = value.as_str().ok_or_else(|| Misfit::kind(value, "a hex string"))?;
    if text.is_empty() {
        return Err(Misfit::Empty);
    }
    text.strip_prefix("0x").ok_or(Misfit::Prefix)
}

/// That there is no other prefix among the digits, which decoders take off, nor anything else that some of them allow.
fn check_digits(digits: &str) -> Result<(), Misfit> {
    if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) { Ok(()) } else { Err(Misfit::Syntax) }
}

/// A quantity of at most `bits`.
fn quantity(value: &Value, bits: u32) -> Result<U256, Misfit> {
    let digits = digits(value)?;
    match digits.as_bytes() {
        [] => return Err(Misfit::EmptyNumber),
        [b'0', _, ..] => return Err(Misfit::LeadingZero),
        _ => check_digits(digits)?,
    }
    let number = U256::from_str_radix(digits, 16).map_err(|_| Misfit::Range { bits })?;
    if number.bit_len() > bits as usize { Err(Misfit::Range { bits }) } else { Ok(number) }
}

/// Data of exactly `N` bytes.
fn fixed<const N: usize>(value: &Value, what: &'static str) -> Result<[u8; N], Misfit> {
    let digits = digits(value)?;
    if digits.len() != 2 * N {
        return Err(Misfit::Length { found: digits.len(), expected: 2 * N, what });
    }
    let mut bytes = [0; N];
    check_digits(digits)?;
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| Misfit::Syntax)?;
    Ok(bytes)
}

impl Argument for U256 {
    fn read(value: &Value) -> Result<Self, Misfit> {
        quantity(value, Self::BITS as u32)
    }
}

impl Argument for u128 {
    fn read(value: &Value) -> Result<Self, Misfit> {
        quantity(value, Self::BITS)?.try_into().map_err(|_| Misfit::Range { bits: Self::BITS })
    }
}

impl Argument for u64 {
    fn read(value: &Value) -> Result<Self, Misfit> {
        quantity(value, Self::BITS)?.try_into().map_err(|_| Misfit::Range { bits: Self::BITS })
    }
}

/// A byte, such as a transaction's type: `0x2` and `0x02` are both in use.
impl Argument for u8 {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let digits = digits(value)?;
        check_digits(digits)?;
        match digits {
            "" => Err(Misfit::EmptyNumber),
            digits if digits.len() > 2 => Err(Misfit::Range { bits: Self::BITS }),
            digits => Self::from_str_radix(digits, 16).map_err(|_| Misfit::Syntax),
        }
    }
}

impl Argument for Bytes {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let digits = digits(value)?;
        if !digits.len().is_multiple_of(2) {
            return Err(Misfit::OddLength);
        }
        check_digits(digits)?;
        hex::decode(digits).map(Self::from).map_err(|_| Misfit::Syntax)
    }
}

impl Argument for B256 {
    fn read(value: &Value) -> Result<Self, Misfit> {
        fixed(value, "a hash").map(Self::new)
    }
}

impl Argument for Address {
    fn read(value: &Value) -> Result<Self, Misfit> {
        fixed(value, "an address").map(Self::new)
    }
}

impl Argument for StorageKey {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let digits = digits(value)?;
        if digits.len() > 64 {
            return Err(Misfit::Length { found: digits.len(), expected: 64, what: "a storage key" });
        }
        check_digits(digits)?;
        if digits.is_empty() {
            return Ok(Self(U256::ZERO));
        }
        U256::from_str_radix(digits, 16).map(Self).map_err(|_| Misfit::Syntax)
    }
}

impl Argument for StorageKeys {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let account = |(address, keys): (&String, &Value)| {
            let within = |misfit: Misfit| misfit.within(address.as_str());
            let keys = Vec::read(keys).map_err(within)?;
            Ok((Address::read(&Value::String(address.clone())).map_err(within)?, keys))
        };
        object(value)?.iter().map(account).collect::<Result<_, _>>().map(Self)
    }
}

impl Argument for Patience {
    fn read(value: &Value) -> Result<Self, Misfit> {
        Count::read(value).map(|Count(milliseconds)| Self(Duration::from_millis(milliseconds)))
    }
}

impl Argument for Count {
    fn read(value: &Value) -> Result<Self, Misfit> {
        value.as_u64().map_or_else(|| u64::read(value), Ok).map(Self)
    }
}

impl Argument for Height {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let number = value.as_u64().map(BlockNumberOrTag::Number);
        number.map_or_else(|| BlockNumberOrTag::read(value), Ok).map(Self)
    }
}

impl Argument for bool {
    fn read(value: &Value) -> Result<Self, Misfit> {
        value.as_bool().ok_or_else(|| Misfit::kind(value, "a boolean"))
    }
}

impl Argument for f64 {
    fn read(value: &Value) -> Result<Self, Misfit> {
        value.as_f64().ok_or_else(|| Misfit::kind(value, "a number"))
    }
}

impl Argument for String {
    fn read(value: &Value) -> Result<Self, Misfit> {
        value.as_str().map(str::to_owned).ok_or_else(|| Misfit::kind(value, "a string"))
    }
}

impl<T: DeserializeOwned> Argument for Json<T> {
    fn read(value: &Value) -> Result<Self, Misfit> {
        T::deserialize(value).map(Self).map_err(|error| Misfit::Sense(error.to_string()))
    }

    fn absent() -> Option<Self> {
        T::deserialize(Value::Null).ok().map(Self)
    }
}

/// What is read further where it is used.
impl Argument for Value {
    fn read(value: &Value) -> Result<Self, Misfit> {
        Ok(value.clone())
    }
}

/// The fields of an object.
pub(crate) fn object(value: &Value) -> Result<&Map<String, Value>, Misfit> {
    value.as_object().ok_or_else(|| Misfit::kind(value, "an object"))
}
