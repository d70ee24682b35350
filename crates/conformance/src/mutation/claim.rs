//! What a coordinator tells the participants of one attempt, true or not.

use commit::Descriptor;
use evm::{Address, Data, Executed, Prepared};
use std::collections::BTreeMap;

/// Which votes a coordinator hands to those who are no homes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HomeVotes {
    /// Those that the homes gave.
    Given,
    /// None.
    Withheld,
    /// Their yes on another attempt at the same.
    OfAnotherAttempt,
    /// Their yes on another attempt, said to be on this one.
    Borrowed,
    /// Theirs, with a signature that is not theirs.
    Forged,
}

/// A prepare, as it reaches every participant.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The attempt.
    pub descriptor: Descriptor,
    /// Canonical bytes of [`Prepared`], or what is said to be.
    pub bytes: Vec<u8>,
    /// What the homes are said to have voted.
    pub homes: HomeVotes,
}

/// What a coordinator that follows the rules would send, and what it comes to.
#[derive(Debug, Clone)]
pub struct Honest {
    /// The attempt.
    pub descriptor: Descriptor,
    /// What its bytes hold.
    pub prepared: Prepared,
    /// What running it gives.
    pub executed: Executed,
    /// What proves the codes of the contracts that it reads or runs, as their owners have it.
    pub genuine: BTreeMap<Address, Data>,
}

impl Honest {
    /// As it is sent.
    pub fn claim(&self) -> Claim {
        self.claim_of(self.descriptor.clone(), &self.prepared)
    }

    /// Something else in its place.
    pub fn claim_of(&self, descriptor: Descriptor, prepared: &Prepared) -> Claim {
        Claim { descriptor, bytes: primitives::encode(prepared), homes: HomeVotes::Given }
    }
}
