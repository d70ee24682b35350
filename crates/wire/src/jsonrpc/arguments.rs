//! Parameters as Ethereum's specification writes them: what is written otherwise is refused as a parameter, in geth's words.
//!
//! ```text
//! [ "0x…", {…} ] -> one value a position, none too many -> Quantity, data, hash, tag, call, filter -> the method
//! ```
//!
//! A quantity is `0x` and hex without leading zeros; data is `0x` and whole bytes; a number of JSON is neither. `null` stands
//! for what is left out. Lenient where clients are, and nowhere else: digits of either case, fields of objects that nothing
//! here knows, `input` and `data` for the same bytes.  Source: execution-apis; EIP-1474; EIP-1898.

mod block;
mod call;
mod filter;
mod overrides;
mod traces;
mod value;

pub(super) use traces::TraceQuery;
pub(super) use value::{Count, Height, Json, Patience, StorageKey, StorageKeys};

use value::object;

use super::error::invalid_params;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::{Map, Value};

/// Why a value is not what a method takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    /// Something has to be there.
    #[error("missing value")]
    Missing,
    /// It is of another kind of JSON.
    #[error("{found} where {expected} is due")]
    Kind {
        /// What there is.
        found: &'static str,
        /// What there should be.
        expected: &'static str,
    },
    /// Text without a digit or a prefix.
    #[error("empty hex string")]
    Empty,
    /// `0x` alone is no number.
    #[error("hex string \"0x\"")]
    EmptyNumber,
    /// Hex begins with `0x`.
    #[error("hex string without 0x prefix")]
    Prefix,
    /// Something else than a hex digit.
    #[error("invalid hex string")]
    Syntax,
    /// Half a byte.
    #[error("hex string of odd length")]
    OddLength,
    /// A quantity has as few digits as it can.
    #[error("hex number with leading zero digits")]
    LeadingZero,
    /// A quantity that is too large for what it says.
    #[error("hex number > {bits} bits")]
    Range {
        /// How many there may be.
        bits: u32,
    },
    /// Not as many digits as such a thing has.
    #[error("hex string has length {found}, want {expected} for {what}")]
    Length {
        /// Digits found.
        found: usize,
        /// Digits of such a thing.
        expected: usize,
        /// Which thing.
        what: &'static str,
    },
    /// What is in a field or at a place does not fit.
    #[error("{place}: {misfit}")]
    Within {
        /// The field's name or the place's number.
        place: String,
        /// Why not.
        misfit: Box<Misfit>,
    },
    /// Two things that exclude each other, or a name that means nothing here.
    #[error("{0}")]
    Sense(String),
}

impl Misfit {
    fn kind(value: &Value, expected: &'static str) -> Self {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Self::Kind { found, expected }
    }

    fn within(self, place: impl Into<String>) -> Self {
        Self::Within { place: place.into(), misfit: Box::new(self) }
    }
}

/// What a value of JSON can be read as.
pub(super) trait Argument: Sized {
    /// Reads a value that is there.
    fn read(value: &Value) -> Result<Self, Misfit>;

    /// What stands for one that is left out or null, if it may be.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Argument> Argument for Option<T> {
    fn read(value: &Value) -> Result<Self, Misfit> {
        T::read(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Argument> Argument for Vec<T> {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let items = value.as_array().ok_or_else(|| Misfit::kind(value, "a list"))?;
        let item =
            |(place, item): (usize, &Value)| taken(Some(item)).map_err(|misfit| misfit.within(place.to_string()));
        items.iter().enumerate().map(item).collect()
    }
}

/// What is read from a place that may be empty.
fn taken<T: Argument>(value: Option<&Value>) -> Result<T, Misfit> {
    match value.filter(|value| !value.is_null()) {
        Some(value) => T::read(value),
        None => T::absent().ok_or(Misfit::Missing),
    }
}

/// The field `name` of an object.
fn field<T: Argument>(fields: &Map<String, Value>, name: &str) -> Result<T, Misfit> {
    taken(fields.get(name)).map_err(|misfit| misfit.within(name))
}

/// All parameters of a method, in their order.
pub(super) trait Arguments: Sized {
    /// Reads them from as many values as there are.
    fn read(values: &[Value]) -> Result<Self, ErrorObjectOwned>;
}

/// Implements [`Arguments`] for tuples of so many.
macro_rules! arguments {
    ($count:literal: $($name:ident $index:literal)*) => {
        impl<$($name: Argument),*> Arguments for ($($name,)*) {
            fn read(values: &[Value]) -> Result<Self, ErrorObjectOwned> {
                if values.len() > $count {
                    return Err(invalid_params(concat!("too many arguments, want at most ", $count)));
                }
                Ok(($(at::<$name>(values, $index)?,)*))
            }
        }
    };
}

arguments!(0:);
arguments!(1: A 0);
arguments!(2: A 0 B 1);
arguments!(3: A 0 B 1 C 2);
arguments!(4: A 0 B 1 C 2 D 3);

fn at<T: Argument>(values: &[Value], index: usize) -> Result<T, ErrorObjectOwned> {
    taken(values.get(index)).map_err(|misfit| match misfit {
        Misfit::Missing => invalid_params(format!("missing value for required argument {index}")),
        misfit => invalid_params(format!("invalid argument {index}: {misfit}")),
    })
}

/// Reads the parameters of a method.
///
/// # Errors
/// -32602, which names the place and what is wrong with it.
pub(super) fn read<T: Arguments>(params: &Params<'_>) -> Result<T, ErrorObjectOwned> {
    let broken = |error: serde_json::Error| invalid_params(format!("invalid arguments: {error}"));
    match params.as_str().map(serde_json::from_str).transpose().map_err(broken)? {
        None | Some(Value::Null) => T::read(&[]),
        Some(Value::Array(values)) => T::read(&values),
        Some(_) => Err(invalid_params("non-array args")),
    }
}

#[cfg(test)]
mod tests;
