//! Codes that were checked and analysed before, so that a replay does not do it again.

use crate::Data;
use alloy_primitives::{B256, keccak256};
use revm::bytecode::Bytecode;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// The most codes kept; one more empties the cache. At 24 KiB each that is 96 MiB.
pub const CODES_COUNT_MAX: usize = 4096;

/// Bytes that are not the code they are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes given for code {hash} are not that code")]
pub struct WrongCode {
    /// The hash they were given for.
    pub hash: B256,
}

/// Analysed codes by keccak256. What is in it never changes a result, only how soon it comes.
#[derive(Debug, Default)]
pub struct CodeCache {
    codes: RwLock<BTreeMap<B256, Bytecode>>,
}

impl CodeCache {
    /// The code in `bytes`, analysed, if `hash` is its keccak256.
    pub fn code(&self, hash: B256, bytes: &Data) -> Result<Bytecode, WrongCode> {
        if let Some(code) = self.get(hash).filter(|code| *code.original_byte_slice() == bytes.0[..]) {
            return Ok(code);
        }
        let code = checked(hash, bytes)?;
        let mut codes = self.codes.write().unwrap_or_else(PoisonError::into_inner);
        if codes.len() >= CODES_COUNT_MAX {
            codes.clear();
        }
        codes.insert(hash, code.clone());
        Ok(code)
    }

    /// The code with this keccak256, if it is here.
    pub fn get(&self, hash: B256) -> Option<Bytecode> {
        self.codes.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }
}

/// The code in `bytes`, analysed, if `hash` is its keccak256.
pub(crate) fn checked(hash: B256, bytes: &Data) -> Result<Bytecode, WrongCode> {
    if keccak256(&bytes.0) != hash {
        return Err(WrongCode { hash });
    }
    // What only starts like a delegation (EIP-7702) is code like any other, and stops at its first byte.
    Ok(Bytecode::new_raw_checked(bytes.0.clone()).unwrap_or_else(|_| Bytecode::new_legacy(bytes.0.clone())))
}
