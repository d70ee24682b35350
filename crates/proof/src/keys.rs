//! ed25519 keys and signatures, under one rule for all verifiers (R9).
//!
//! Promise: a [`PublicKey`] is canonical and not weak, a signature is checked by `verify_strict` and by nothing else. No
//! verdict comes from a batch, whose answers differ from single verification's (HARDENING, "Signatures and hashes").
//! Knows nothing of what is signed: callers sign digests made under a domain of their own.

use crate::purpose;
use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use primitives::{Digest, NetworkId};
use std::{fmt, io, str::FromStr};
use zeroize::Zeroizing;

/// Why bytes are not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not 64 hexadecimal digits.
    #[error("a key is 32 bytes, written as 64 hexadecimal digits")]
    Text,
    /// All bytes are zero.
    #[error("the zero key is never valid")]
    Zero,
    /// The bytes are no point of the curve, or another encoding of one.
    #[error("the public key is not the canonical encoding of a curve point")]
    NotCanonical,
    /// The point has small order, so one signature would fit many messages.
    #[error("the public key is weak: its point has small order")]
    Weak,
}

/// A signature that the one rule refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

/// A validator's secret: 32 bytes, wiped when dropped, never printed.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with this seed. The caller draws the randomness: nothing here does.
    ///
    /// # Errors
    /// [`KeyError::Zero`].
    pub fn from_bytes(seed: &[u8; 32]) -> Result<Self, KeyError> {
        if *seed == [0; 32] { Err(KeyError::Zero) } else { Ok(Self(SigningKey::from_bytes(seed))) }
    }

    /// The key whose seed is written in `text`: 64 hexadecimal digits, with or without `0x`, space around them ignored.
    ///
    /// # Errors
    /// [`KeyError::Text`], without repeating the text; [`KeyError::Zero`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        let text = text.trim();
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), seed.as_mut()).map_err(|_| KeyError::Text)?;
        Self::from_bytes(&seed)
    }

    /// The seed, to be put in a key file; wiped when dropped.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key that goes with it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `digest`, which was made under a domain that names what is signed.
    pub fn sign(&self, digest: &Digest) -> Signature {
        Signature(self.0.sign(digest.as_bytes()).to_bytes())
    }

    /// Shows that whoever registers the public key on `network` also holds the secret.
    pub fn prove_possession(&self, network: NetworkId) -> PossessionProof {
        PossessionProof(self.sign(&possession_digest(network, &self.public())))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(redacted, public {})", self.public())
    }
}

/// A validator's public key: canonical and not weak by construction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Checks `signature` over `digest` with `verify_strict`.
    pub fn verify(&self, digest: &Digest, signature: &Signature) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(digest.as_bytes(), &signature).map_err(|_| SignatureError)
    }

    /// Checks that whoever registers this key on `network` holds its secret.
    pub fn verify_possession(&self, network: NetworkId, proof: &PossessionProof) -> Result<(), SignatureError> {
        self.verify(&possession_digest(network, self), &proof.0)
    }
}

fn possession_digest(network: NetworkId, key: &PublicKey) -> Digest {
    purpose::POSSESSION.hash_of(&(network, key))
}

impl TryFrom<[u8; 32]> for PublicKey {
    type Error = KeyError;

    fn try_from(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if bytes == [0; 32] {
            return Err(KeyError::Zero);
        }
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotCanonical)?;
        if key.to_edwards().compress().to_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self(key))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).map_err(|_| KeyError::Text)?;
        Self::try_from(bytes)
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}…", hex::encode(&self.as_bytes()[..4]))
    }
}

impl BorshSerialize for PublicKey {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.as_bytes())
    }
}

impl BorshDeserialize for PublicKey {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        let bytes = <[u8; 32]>::deserialize_reader(reader)?;
        Self::try_from(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// 64 bytes that claim to be a signature; only [`PublicKey::verify`] says whether they are one.
#[derive(Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Signature([u8; 64]);

impl Signature {
    /// The signature with these bytes.
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({}…)", hex::encode(&self.0[..4]))
    }
}

/// A signature by which a key enters a registry: over the network and the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PossessionProof(Signature);

#[cfg(test)]
mod tests {
    use super::*;
    use primitives::Domain;

    /// The order 8 point of the HARDENING notes, canonical encoding.
    const SMALL_ORDER: &str = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[7; 32]).unwrap()
    }

    fn digest() -> Digest {
        Domain::new("test").hash(b"x")
    }

    #[test]
    fn a_signature_verifies_under_its_key_and_no_other() {
        let signature = key().sign(&digest());
        assert_eq!(key().public().verify(&digest(), &signature), Ok(()));
        let other = SecretKey::from_bytes(&[8; 32]).unwrap().public();
        assert_eq!(other.verify(&digest(), &signature), Err(SignatureError));
    }

    #[test]
    fn a_secret_key_never_prints_itself() {
        assert!(!format!("{:?}", key()).contains("0707"));
    }

    #[test]
    fn a_secret_key_survives_its_text() {
        let text = hex::encode(*key().to_bytes());
        assert_eq!(SecretKey::from_hex(&format!(" 0x{text}\n")).unwrap().public(), key().public());
    }

    #[test]
    fn a_bad_secret_text_is_refused_without_being_repeated() {
        let error = SecretKey::from_hex("secret!").unwrap_err();
        assert_eq!(error, KeyError::Text);
        assert!(!error.to_string().contains("secret!"));
    }

    #[test]
    fn a_zero_key_is_refused() {
        assert_eq!(SecretKey::from_bytes(&[0; 32]).unwrap_err(), KeyError::Zero);
        assert_eq!(PublicKey::try_from([0; 32]), Err(KeyError::Zero));
    }

    #[test]
    fn a_small_order_key_is_refused() {
        assert_eq!(SMALL_ORDER.parse::<PublicKey>(), Err(KeyError::Weak));
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::try_from(identity), Err(KeyError::Weak));
    }

    #[test]
    fn a_second_encoding_of_a_point_is_refused() {
        // y = p + 3 and y = 3 are one point; y = 3 is on the curve, p + 3 is its other encoding.
        let mut second = [0xff; 32];
        second[0] = 0xed + 3;
        second[31] = 0x7f;
        assert!(VerifyingKey::from_bytes(&second).is_ok(), "the library takes it");
        assert_eq!(PublicKey::try_from(second), Err(KeyError::NotCanonical));
    }

    #[test]
    fn a_malleable_signature_is_refused() {
        // s + L signs the same message for a verifier that does not check s < L.
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut bytes = *key().sign(&digest()).as_bytes();
        let mut carry = 0;
        for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert_eq!(key().public().verify(&digest(), &Signature::new(bytes)), Err(SignatureError));
    }

    #[test]
    fn a_small_order_commitment_is_refused() {
        let mut bytes = *key().sign(&digest()).as_bytes();
        hex::decode_to_slice(SMALL_ORDER, &mut bytes[..32]).unwrap();
        assert_eq!(key().public().verify(&digest(), &Signature::new(bytes)), Err(SignatureError));
    }

    #[test]
    fn a_possession_proof_is_for_one_key_on_one_network() {
        let proof = key().prove_possession(NetworkId(7));
        assert_eq!(key().public().verify_possession(NetworkId(7), &proof), Ok(()));
        assert_eq!(key().public().verify_possession(NetworkId(8), &proof), Err(SignatureError));
        let other = SecretKey::from_bytes(&[8; 32]).unwrap().public();
        assert_eq!(other.verify_possession(NetworkId(7), &proof), Err(SignatureError));
    }
}
