//! Bytes that are cheap to clone and have one canonical encoding.

use alloy_primitives::Bytes;
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;
use std::io::{Read, Result, Write};

/// Shared bytes: code, call data, return data. Encoded as borsh encodes a `Vec<u8>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Data(pub Bytes);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(8)];
        write!(f, "{} bytes 0x{}", self.0.len(), alloy_primitives::hex::encode(shown))?;
        if self.0.len() > shown.len() { f.write_str("…") } else { Ok(()) }
    }
}

impl std::ops::Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Data> for Bytes {
    fn from(data: Data) -> Self {
        data.0
    }
}

impl BorshSerialize for Data {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        self.0[..].serialize(writer)
    }
}

impl BorshDeserialize for Data {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        Vec::deserialize_reader(reader).map(Self::from)
    }
}
