//! Facts: values that a verifier has checked.
//!
//! Decoding cannot construct a [`Verified`], so a machine that takes one as its input cannot be handed an unchecked claim
//! by mistake. The verifier takes its context from its own configuration, never from the claim (Wormhole, 2022).

/// Turns a claim into a fact, or says why not.
pub trait Verifier<Claim> {
    /// What is believed after the check.
    type Fact;
    /// Why a claim was refused.
    type Error;

    /// Checks `claim` against this verifier's own context.
    fn verify(&self, claim: Claim) -> Result<Self::Fact, Self::Error>;
}

/// A fact that came out of a [`Verifier`]; it has no other constructor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The fact `claim` amounts to under `verifier`.
    pub fn by<V, Claim>(verifier: &V, claim: Claim) -> Result<Self, V::Error>
    where
        V: Verifier<Claim, Fact = T>,
    {
        verifier.verify(claim).map(Self)
    }

    /// The fact itself, which is from here on a plain value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
