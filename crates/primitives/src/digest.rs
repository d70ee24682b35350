//! Digests: 32 bytes of blake3, each purpose under a key of its own.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// A zero digest: never a valid root, id or key (Nomad, 2022).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the zero digest is never valid")]
pub struct ZeroDigest;

/// 32 bytes that stand for a value. There is no `Default`: a digest nobody computed is not a digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with these bytes, as read from a trusted place: own hash or own store.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest with these bytes, as a verifier takes it.
    pub fn nonzero(bytes: [u8; 32]) -> Result<Self, ZeroDigest> {
        if bytes == [0; 32] { Err(ZeroDigest) } else { Ok(Self(bytes)) }
    }

    /// Whether every byte is zero.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 32]
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}…", hex::encode(&self.0[..4]))
    }
}

impl std::str::FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// A purpose that bytes are hashed for. Two domains never give one digest for the same bytes.
///
/// The key is derived once, at compile time of the caller or at start; hashing under it costs what plain blake3 costs
/// (up to 64 bytes: one compression).
#[derive(Clone, Copy)]
pub struct Domain {
    key: [u8; 32],
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({}…)", hex::encode(&self.key[..4]))
    }
}

impl Domain {
    /// The domain named `context`: "dovetail v1 <what>", hard-coded and unique in the project.
    pub fn new(context: &str) -> Self {
        Self { key: blake3::derive_key(context, &[]) }
    }

    /// The digest of `bytes` in this domain.
    pub fn hash(&self, bytes: &[u8]) -> Digest {
        Digest(*blake3::keyed_hash(&self.key, bytes).as_bytes())
    }

    /// The digest of the canonical bytes of `value` in this domain.
    pub fn hash_of<T: BorshSerialize + ?Sized>(&self, value: &T) -> Digest {
        self.hash(&crate::encode(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_domains_never_share_a_digest() {
        assert_ne!(Domain::new("a").hash(b"x"), Domain::new("b").hash(b"x"));
    }

    #[test]
    fn the_zero_digest_is_refused() {
        assert_eq!(Digest::nonzero([0; 32]), Err(ZeroDigest));
    }

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Domain::new("a").hash(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
}
