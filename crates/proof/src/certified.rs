//! A header with its certificate: what everybody who met it can show to everybody else.

use crate::{Certificate, Header, ReceiptError, ReceiptVerifier};
use borsh::{BorshDeserialize, BorshSerialize};
use primitives::Verifier;

/// A header and the signatures over it: a claim unless it is [`primitives::Verified`], or a part of something that is.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certified {
    /// The header.
    pub header: Header,
    /// The signatures over it.
    pub certificate: Certificate,
}

impl From<(Header, Certificate)> for Certified {
    fn from((header, certificate): (Header, Certificate)) -> Self {
        Self { header, certificate }
    }
}

impl Verifier<Certified> for ReceiptVerifier {
    type Fact = Certified;
    type Error = ReceiptError;

    fn verify(&self, claim: Certified) -> Result<Certified, ReceiptError> {
        let _: Header = self.verify((claim.header.clone(), claim.certificate.clone()))?;
        Ok(claim)
    }
}
