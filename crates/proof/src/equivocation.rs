//! Two certified headers of one shard for one height: evidence that anyone can check, and keep.
//!
//! Promise: evidence names validators that signed both headers; in a set of `n` they are at least a third of it. An honest
//! shard never makes any, whatever is lost or replayed, because two certificates over one header are no evidence.

use crate::{Certificate, Certified, Header, ReceiptError, ReceiptVerifier, certificate::bits, purpose};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::{DecodeError, Digest, Epoch, Height, ShardId, Verifier, decode, encode};

/// How many bytes evidence may have: two headers and two certificates of 256 signatures.
pub const EQUIVOCATION_BYTES_MAX: usize = 40 * 1024;

/// A claim that a shard certified two headers for one height.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Equivocation {
    /// One header and its certificate.
    pub first: (Header, Certificate),
    /// The other.
    pub second: (Header, Certificate),
}

impl Equivocation {
    /// The claim that these two contradict each other.
    pub fn between(first: &Certified, second: &Certified) -> Self {
        let pair = |certified: &Certified| (certified.header.clone(), certified.certificate.clone());
        Self { first: pair(first), second: pair(second) }
    }

    /// What names this evidence: the same whichever of the two headers comes first, and whoever of the set signed.
    pub fn id(&self) -> Digest {
        let mut digests = [self.first.0.digest(), self.second.0.digest()];
        digests.sort_unstable();
        purpose::EVIDENCE.hash_of(&digests)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// The claim with these canonical bytes; at most [`EQUIVOCATION_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, EQUIVOCATION_BYTES_MAX)
    }
}

/// A checked equivocation: who said two things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equivocated {
    /// The shard.
    pub shard: ShardId,
    /// The height of both headers.
    pub height: Height,
    /// The epoch of the first header, in whose set the places are.
    pub epoch: Epoch,
    /// The places of those who signed both; empty if the headers are of different epochs.
    pub signers: Vec<usize>,
}

/// Why a claim is no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// The headers are of different shards or heights: both may be true.
    #[error("the two headers are not of one shard and height")]
    Unrelated,
    /// It is one header twice.
    #[error("the two headers are one and the same")]
    Same,
    /// One of them is not certified.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

impl Verifier<Equivocation> for ReceiptVerifier {
    type Fact = Equivocated;
    type Error = EquivocationError;

    fn verify(&self, claim: Equivocation) -> Result<Equivocated, EquivocationError> {
        let (first, second) = (&claim.first.0, &claim.second.0);
        if (first.shard, first.height) != (second.shard, second.height) {
            return Err(EquivocationError::Unrelated);
        }
        if first == second {
            return Err(EquivocationError::Same);
        }
        let (shard, height, epoch) = (first.shard, first.height, first.epoch);
        let signers = if epoch == second.epoch { both(&claim) } else { Vec::new() };
        let _: Header = self.verify(claim.first)?;
        let _: Header = self.verify(claim.second)?;
        Ok(Equivocated { shard, height, epoch, signers })
    }
}

/// The places that both bitmaps name.
fn both(claim: &Equivocation) -> Vec<usize> {
    let (first, second) = (&claim.first.1.signers, &claim.second.1.signers);
    let common: Vec<u8> = first.iter().zip(second).map(|(a, b)| a & b).collect();
    bits(&common)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Chain};
    use primitives::Time;

    fn claim() -> Equivocation {
        let first = Chain::new().certified(3);
        let header = Header { time: Time(1), ..first.0.clone() };
        let certificate = sample::certificate(&header, &[1, 2, 3]);
        Equivocation { first, second: (header, certificate) }
    }

    #[test]
    fn two_certified_headers_of_one_height_are_evidence() {
        let equivocated = sample::verifier().verify(claim()).unwrap();
        assert_eq!((equivocated.shard, equivocated.height), (sample::SHARD, Height(3)));
        assert_eq!(equivocated.signers, [1, 3], "those who signed both");
        assert_eq!(Equivocation::from_bytes(&claim().to_bytes()), Ok(claim()));
    }

    #[test]
    fn one_header_certified_twice_is_no_evidence() {
        let first = Chain::new().certified(3);
        let second = (first.0.clone(), sample::certificate(&first.0, &[1, 2, 3]));
        assert_eq!(sample::verifier().verify(Equivocation { first, second }), Err(EquivocationError::Same));
    }

    #[test]
    fn headers_of_two_heights_are_no_evidence() {
        let (first, second) = (Chain::new().certified(3), Chain::new().certified(4));
        let result = sample::verifier().verify(Equivocation { first, second });
        assert_eq!(result, Err(EquivocationError::Unrelated));
    }

    #[test]
    fn a_forged_header_is_no_evidence() {
        let mut forged = claim();
        forged.second.0.time = Time(2);
        assert!(matches!(sample::verifier().verify(forged), Err(EquivocationError::Receipt(_))));
    }
}
