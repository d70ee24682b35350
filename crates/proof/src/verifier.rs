//! The one check that turns a receipt into a fact.
//!
//! Promise: context (network, validator sets) comes from this verifier's own configuration and never from the receipt
//! (Wormhole, 2022); every way in, whatever its transport, ends here (Crosscurve, 2026).
//! Cheap checks first: a receipt whose hashes do not fit costs no signature check.

use crate::{
    Ancestry, Certificate, CertificateError, Fact, Header, HeaderError, LEAF_BODY_BYTES_MAX, PathError, Receipt,
    ValidatorSet, cache::Checked, history, merkle, outbox, purpose,
};
use primitives::{DecodeError, Digest, Epoch, NetworkId, ShardId, Verifier, encode};
use std::collections::BTreeMap;

/// How many checked certificates a verifier remembers: 32 bytes each, twice.
pub const HEADERS_CACHED_COUNT_MAX: usize = 4096;

/// Why a receipt is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The bytes are no receipt.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A header that no validator may sign.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Another network's.
    #[error("a receipt of network {actual} on network {expected}")]
    Network {
        /// This verifier's network.
        expected: NetworkId,
        /// The receipt's.
        actual: NetworkId,
    },
    /// No validator set is known for that shard and epoch.
    #[error("no validators are known for shard {shard} in epoch {epoch}")]
    UnknownValidators {
        /// Which shard.
        shard: ShardId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// The body is above [`LEAF_BODY_BYTES_MAX`].
    #[error("a leaf body of {actual} bytes where at most {max} are allowed")]
    BodyTooLong {
        /// How many bytes it has.
        actual: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The leaf is not in the header's outbox.
    #[error("the leaf is not in the outbox: {0}")]
    Path(PathError),
    /// The header is not in the certified header's history.
    #[error("the header is not in the certified history: {0}")]
    Ancestry(PathError),
    /// The certificate does not certify.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Checks receipts against one network's validator sets. Shared between threads by reference.
#[derive(Debug)]
pub struct ReceiptVerifier {
    network: NetworkId,
    validators: BTreeMap<(ShardId, Epoch), ValidatorSet>,
    checked: Checked,
}

impl ReceiptVerifier {
    /// A verifier for `network` that knows these sets; [`ReceiptVerifier::with`] is easier to call.
    pub fn new(network: NetworkId, validators: BTreeMap<(ShardId, Epoch), ValidatorSet>) -> Self {
        let validators = validators.into_iter().map(|((shard, _), set)| ((shard, set.epoch()), set)).collect();
        Self { network, validators, checked: Checked::new(HEADERS_CACHED_COUNT_MAX) }
    }

    /// A verifier for `network` that knows each shard's set, filed under the set's own epoch.
    pub fn with(network: NetworkId, sets: impl IntoIterator<Item = (ShardId, ValidatorSet)>) -> Self {
        Self::new(network, sets.into_iter().map(|(shard, set)| ((shard, set.epoch()), set)).collect())
    }

    /// The network it believes receipts of.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// The set of `shard` in `epoch`, if known.
    pub fn validators(&self, shard: ShardId, epoch: Epoch) -> Option<&ValidatorSet> {
        self.validators.get(&(shard, epoch))
    }

    /// Checks what can be checked of a header without a signature.
    fn check_header(&self, header: &Header) -> Result<(), ReceiptError> {
        if header.network != self.network {
            return Err(ReceiptError::Network { expected: self.network, actual: header.network });
        }
        Ok(header.check()?)
    }

    /// Checks that a quorum of the header's shard and epoch signed it, or remembers that it did; `digest` is the header's.
    fn check_certificate(
        &self,
        header: &Header,
        digest: Digest,
        certificate: &Certificate,
    ) -> Result<(), ReceiptError> {
        let (shard, epoch) = (header.shard, header.epoch);
        let set = self.validators(shard, epoch).ok_or(ReceiptError::UnknownValidators { shard, epoch })?;
        let key = checked_key(digest, certificate);
        if self.checked.contains(&key) {
            return Ok(());
        }
        certificate.verify(header, set)?;
        self.checked.insert(key);
        Ok(())
    }

    /// Checks a receipt, and says the digest of its header.
    fn check_receipt(&self, receipt: &Receipt) -> Result<Digest, ReceiptError> {
        let header = &receipt.header;
        self.check_header(header)?;
        check_leaf(receipt)?;
        let digest = header.digest();
        let certified = match &receipt.ancestry {
            None => digest,
            Some(Ancestry { header: later, path }) => {
                self.check_header(later)?;
                history::verify_ancestor(header, later, path).map_err(ReceiptError::Ancestry)?;
                later.digest()
            }
        };
        self.check_certificate(receipt.certified(), certified, &receipt.certificate)?;
        Ok(digest)
    }
}

fn check_leaf(receipt: &Receipt) -> Result<(), ReceiptError> {
    let Receipt { leaf, index, path, header, .. } = receipt;
    if leaf.body.len() > LEAF_BODY_BYTES_MAX {
        return Err(ReceiptError::BodyTooLong { actual: leaf.body.len(), max: LEAF_BODY_BYTES_MAX });
    }
    let place = outbox::place_of(header.network, header.shard, header.height);
    let (count, index) = (u64::from(header.outbox_count), u64::from(*index));
    merkle::verify_path(&place, &header.outbox_root, count, index, &encode(leaf), path).map_err(ReceiptError::Path)
}

fn checked_key(header: Digest, certificate: &Certificate) -> Digest {
    purpose::CHECKED.hash_of(&(header, certificate))
}

impl Verifier<Receipt> for ReceiptVerifier {
    type Fact = Fact;
    type Error = ReceiptError;

    fn verify(&self, receipt: Receipt) -> Result<Fact, ReceiptError> {
        let header_digest = self.check_receipt(&receipt)?;
        let seal = receipt.seal();
        let Receipt { leaf, index, header, .. } = receipt;
        Ok(Fact {
            network: header.network,
            shard: header.shard,
            epoch: header.epoch,
            height: header.height,
            time: header.time,
            index,
            leaf,
            header_digest,
            seal,
        })
    }
}

/// Receipts as they come from outside: bounded before they are decoded.
impl Verifier<&[u8]> for ReceiptVerifier {
    type Fact = Fact;
    type Error = ReceiptError;

    fn verify(&self, bytes: &[u8]) -> Result<Fact, ReceiptError> {
        self.verify(Receipt::from_bytes(bytes)?)
    }
}

/// A certified header by itself, as a block stream carries it.
impl Verifier<(Header, Certificate)> for ReceiptVerifier {
    type Fact = Header;
    type Error = ReceiptError;

    fn verify(&self, (header, certificate): (Header, Certificate)) -> Result<Header, ReceiptError> {
        self.check_header(&header)?;
        self.check_certificate(&header, header.digest(), &certificate)?;
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Chain};

    #[test]
    fn many_receipts_of_one_block_cost_one_signature_check() {
        let verifier = sample::verifier();
        let chain = Chain::new();
        let receipt = chain.receipt(9, 0);
        let key = checked_key(receipt.header.digest(), &receipt.certificate);
        assert!(!verifier.checked.contains(&key));
        assert!(verifier.verify(receipt).is_ok());
        assert!(verifier.checked.contains(&key));
        // A verifier that only remembers, and could not check: the second receipt is believed by memory alone.
        let mut spoiled = chain.receipt(9, 1);
        spoiled.certificate.signatures[0] = spoiled.certificate.signatures[1];
        assert!(verifier.verify(spoiled.clone()).is_err());
        verifier.checked.insert(checked_key(spoiled.header.digest(), &spoiled.certificate));
        assert!(verifier.verify(spoiled).is_ok());
    }

    #[test]
    fn a_refused_certificate_is_not_remembered() {
        let verifier = sample::verifier();
        let mut receipt = Chain::new().receipt(9, 0);
        receipt.certificate.signatures[0] = receipt.certificate.signatures[1];
        for _ in 0..2 {
            let result = verifier.verify(receipt.clone());
            assert!(matches!(result, Err(ReceiptError::Certificate(CertificateError::Signature { .. }))));
        }
    }

    #[test]
    fn a_certified_header_is_believed_by_itself() {
        let (header, certificate) = Chain::new().certified(4);
        assert_eq!(sample::verifier().verify((header.clone(), certificate.clone())), Ok(header.clone()));
        let forged = Header { time: primitives::Time(1), ..header };
        assert!(sample::verifier().verify((forged, certificate)).is_err());
    }
}
