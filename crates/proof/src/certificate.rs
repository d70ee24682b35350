//! A quorum of signatures over one header.
//!
//! Promise (R9): a certificate is checked against the validator set of the header's own epoch, with one signature rule,
//! distinct signers, strictly more than two thirds; every bit of it matters.
//! The signed preimage names network, shard, epoch, header digest and the network's genesis under a domain of its own, so a
//! signature in any other role of the same key, or in another life of the network, is no part of a certificate.

use crate::{Header, HeaderError, PublicKey, SecretKey, Signature, ValidatorSet, purpose};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{Digest, Epoch};

/// How a certificate's signatures are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Scheme {
    /// One ed25519 signature for each signer, in the order of the set.
    Ed25519 = 1,
}

/// Why a certificate does not certify a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The set, the certificate and the header are not of one epoch.
    #[error(
        "a certificate of epoch {certificate} for a header of epoch {header}, checked against the set of epoch {set}"
    )]
    Epoch {
        /// The certificate's epoch.
        certificate: Epoch,
        /// The header's epoch.
        header: Epoch,
        /// The set's epoch.
        set: Epoch,
    },
    /// It is for another header.
    #[error("the certificate is for header {actual}, not for {expected}")]
    Header {
        /// The header in hand.
        expected: Digest,
        /// The header the certificate names.
        actual: Digest,
    },
    /// The bitmap is not one bit for each validator.
    #[error("a bitmap of {actual} bytes where {expected} are due")]
    BitmapLength {
        /// How many bytes came.
        actual: usize,
        /// How many the set needs.
        expected: usize,
    },
    /// A bit is set for a validator that the set does not have.
    #[error("the bitmap names a signer beyond the {members} validators of the set")]
    UnknownSigner {
        /// How many validators the set has.
        members: usize,
    },
    /// More or fewer signatures than bits.
    #[error("{signatures} signatures of {signers} signers")]
    Count {
        /// How many signatures came.
        signatures: usize,
        /// How many bits are set.
        signers: usize,
    },
    /// Two thirds or fewer.
    #[error("{actual} signers where the quorum is {quorum}")]
    UnderQuorum {
        /// How many signed.
        actual: usize,
        /// How many are enough.
        quorum: usize,
    },
    /// A signature does not verify.
    #[error("the signature of validator {place} of the set does not verify")]
    Signature {
        /// The place in the set of the validator whose it is said to be.
        place: usize,
    },
    /// Two certificates to be merged are not of one epoch and header.
    #[error("certificates of different headers or epochs do not merge")]
    Unrelated,
}

/// Signatures of one set's members over one header.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// How the signatures are made.
    pub scheme: Scheme,
    /// The set that signed.
    pub epoch: Epoch,
    /// The digest of the header that is certified.
    pub header: Digest,
    /// Bit `i` (lowest first) of byte `i / 8`: validator `i` of the set has signed. Exactly one bit for each validator,
    /// the unused bits of the last byte zero.
    pub signers: Vec<u8>,
    /// One for each bit set, in the order of the bits.
    pub signatures: Vec<Signature>,
}

impl Certificate {
    /// Checks that a quorum of `set` signed `header`. One `verify_strict` for each signer.
    ///
    /// # Errors
    /// All but [`CertificateError::Signature`] before any signature is checked.
    pub fn verify(&self, header: &Header, set: &ValidatorSet) -> Result<(), CertificateError> {
        let Scheme::Ed25519 = self.scheme;
        if self.epoch != set.epoch() || header.epoch != set.epoch() {
            return Err(CertificateError::Epoch { certificate: self.epoch, header: header.epoch, set: set.epoch() });
        }
        let expected = header.digest();
        if self.header != expected {
            return Err(CertificateError::Header { expected, actual: self.header });
        }
        let places = self.places(set.keys().len())?;
        if self.signatures.len() != places.len() {
            return Err(CertificateError::Count { signatures: self.signatures.len(), signers: places.len() });
        }
        if places.len() < set.quorum() {
            return Err(CertificateError::UnderQuorum { actual: places.len(), quorum: set.quorum() });
        }
        let digest = signed_digest(header, &expected, set.genesis());
        for (place, signature) in places.into_iter().zip(&self.signatures) {
            let key = &set.keys()[place];
            key.verify(&digest, signature).map_err(|_| CertificateError::Signature { place })?;
        }
        Ok(())
    }

    /// The signers' places in a set of `members`, ascending and distinct: a bitmap has no other way to say it.
    fn places(&self, members: usize) -> Result<Vec<usize>, CertificateError> {
        let expected = members.div_ceil(8);
        if self.signers.len() != expected {
            return Err(CertificateError::BitmapLength { actual: self.signers.len(), expected });
        }
        let places = bits(&self.signers);
        match places.last() {
            Some(last) if *last >= members => Err(CertificateError::UnknownSigner { members }),
            _ => Ok(places),
        }
    }

    /// The certificate with the signatures of both, for one header and one set.
    ///
    /// # Errors
    /// [`CertificateError::Unrelated`], [`CertificateError::Count`] if either is malformed.
    pub fn merge(&self, other: &Self) -> Result<Self, CertificateError> {
        let related = |a: &Self| (a.epoch, a.header, a.signers.len());
        if related(self) != related(other) {
            return Err(CertificateError::Unrelated);
        }
        let mut by_place = std::collections::BTreeMap::new();
        for certificate in [other, self] {
            let places = bits(&certificate.signers);
            if places.len() != certificate.signatures.len() {
                let signatures = certificate.signatures.len();
                return Err(CertificateError::Count { signatures, signers: places.len() });
            }
            by_place.extend(places.into_iter().zip(certificate.signatures.iter().copied()));
        }
        let signers = self.signers.iter().zip(&other.signers).map(|(a, b)| a | b).collect();
        Ok(Self { signers, signatures: by_place.into_values().collect(), ..self.clone() })
    }
}

/// The places whose bits are set, ascending.
pub(crate) fn bits(bitmap: &[u8]) -> Vec<usize> {
    (0..bitmap.len() * 8).filter(|place| bitmap[place / 8] >> (place % 8) & 1 == 1).collect()
}

/// What each signer signs: network, shard, epoch, header digest and the network's genesis under a domain of certificates.
fn signed_digest(header: &Header, digest: &Digest, genesis: Option<&Digest>) -> Digest {
    let named = (header.network, header.shard, header.epoch, digest);
    match genesis {
        Some(genesis) => purpose::CERTIFICATE.hash_of(&(named, genesis)),
        None => purpose::CERTIFICATE.hash_of(&named),
    }
}

/// A key that is not in a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key} is no validator of epoch {epoch}")]
pub struct NotMember {
    /// Whose, as text.
    pub key: String,
    /// Which set's.
    pub epoch: Epoch,
}

/// One validator: a secret key and its place in the set of an epoch.
#[derive(Debug)]
pub struct Signer {
    key: SecretKey,
    place: usize,
    members: usize,
    epoch: Epoch,
    genesis: Option<Digest>,
}

impl Signer {
    /// The member of `set` that holds `key`.
    pub fn new(key: SecretKey, set: &ValidatorSet) -> Result<Self, NotMember> {
        let public = key.public();
        match set.place_of(&public) {
            Some(place) => {
                let (members, epoch, genesis) = (set.keys().len(), set.epoch(), set.genesis().copied());
                Ok(Self { key, place, members, epoch, genesis })
            }
            None => Err(NotMember { key: public.to_string(), epoch: set.epoch() }),
        }
    }

    /// The public key it signs with.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// The epoch it signs in.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A certificate with this one signature: whole if the set has one member, else to be merged with others'.
    ///
    /// # Errors
    /// [`HeaderError`]: nothing is signed that a verifier would refuse, nor for another epoch.
    pub fn certify(&self, header: &Header) -> Result<Certificate, HeaderError> {
        header.check()?;
        if header.epoch != self.epoch {
            return Err(HeaderError::Epoch { actual: header.epoch, expected: self.epoch });
        }
        let digest = header.digest();
        let mut signers = vec![0; self.members.div_ceil(8)];
        signers[self.place / 8] = 1 << (self.place % 8);
        Ok(Certificate {
            scheme: Scheme::Ed25519,
            epoch: self.epoch,
            header: digest,
            signers,
            signatures: vec![self.key.sign(&signed_digest(header, &digest, self.genesis.as_ref()))],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_quorum_certifies_a_header() {
        let header = sample::header(3);
        assert_eq!(sample::certificate(&header, &[0, 1, 2]).verify(&header, &sample::set()), Ok(()));
        assert_eq!(sample::certificate(&header, &[1, 2, 3]).verify(&header, &sample::set()), Ok(()));
        assert_eq!(sample::certificate(&header, &[0, 1, 2, 3]).verify(&header, &sample::set()), Ok(()));
    }

    #[test]
    fn merging_does_not_depend_on_the_order() {
        let header = sample::header(3);
        let [a, b] = [[0, 2], [1, 2]].map(|places| sample::certificate(&header, &places));
        assert_eq!(a.merge(&b), b.merge(&a));
        assert_eq!(a.merge(&b).unwrap().signatures.len(), 3);
    }

    #[test]
    fn certificates_of_different_headers_do_not_merge() {
        let a = sample::certificate(&sample::header(3), &[0]);
        let b = sample::certificate(&sample::header(4), &[1]);
        assert_eq!(a.merge(&b), Err(CertificateError::Unrelated));
    }

    #[test]
    fn a_signer_outside_the_set_is_refused() {
        let stranger = SecretKey::from_bytes(&[99; 32]).unwrap();
        assert!(Signer::new(stranger, &sample::set()).is_err());
    }

    #[test]
    fn a_signer_signs_nothing_of_another_epoch() {
        let header = Header { epoch: Epoch(2), ..sample::header(3) };
        assert!(matches!(sample::signers()[0].certify(&header), Err(HeaderError::Epoch { .. })));
    }
}
