//! Variables of the environment, which may hold any bytes: those we read must be text, and the rest does not matter.

use std::env;
use std::ffi::OsString;

/// A variable that we read is not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} is not UTF-8: set it anew or unset it")]
pub struct NotUnicode {
    /// Which.
    pub variable: String,
}

/// The value of a variable, if it is set.
///
/// # Errors
/// [`NotUnicode`]: what was meant cannot be told, so it is not taken for unset.
pub(crate) fn variable(name: &str) -> Result<Option<String>, NotUnicode> {
    let value = env::var_os(name).map(OsString::into_string).transpose();
    value.map_err(|_| NotUnicode { variable: name.to_owned() })
}

/// All variables whose name starts with `prefix`.
///
/// # Errors
/// [`NotUnicode`] if one of them is not text; others are not looked at.
pub(crate) fn with_prefix(prefix: &str) -> Result<Vec<(String, String)>, NotUnicode> {
    let named = env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(prefix.as_bytes()));
    let text = |(name, value): (OsString, OsString)| {
        let lossy = name.to_string_lossy().into_owned();
        name.into_string().and_then(|name| Ok((name, value.into_string()?))).map_err(|_| NotUnicode { variable: lossy })
    };
    named.map(text).collect()
}
