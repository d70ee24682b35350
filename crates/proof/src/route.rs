//! A route from a foreign chain: which mailbox there is listened to, whose word counts, and on what terms its messages run here.
//!
//! Promise: a [`Route`] that exists is safe to start with: no zero name, at least two attestors, more than half of them needed. The
//! digest that attestors sign under binds every field, the network and what it began with, so that a signature given for one route
//! is worth nothing on another, nor on this one after any of its terms has changed.

use crate::message::is_own_domain;
use crate::{PublicKey, purpose};
use alloy_primitives::Address;
use borsh::BorshSerialize;
use primitives::{Digest, Millis, NetworkId};

/// How many attestors a route may have.
pub const ATTESTORS_COUNT_MAX: usize = 64;

/// Why terms are no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A domain, chain id, mailbox, gas limit or window of zero (Nomad).
    #[error("the route's {field} is zero")]
    Zero {
        /// Which field.
        field: &'static str,
    },
    /// A domain that shards of some network have.
    #[error("domain {domain:#x} is marked as a shard's: a foreign chain has another")]
    OwnDomain {
        /// Which.
        domain: u32,
    },
    /// One attestor is one key to steal (`KelpDAO`).
    #[error("{actual} attestors where 2 to {ATTESTORS_COUNT_MAX} are allowed")]
    Attestors {
        /// How many there are.
        actual: usize,
    },
    /// One key twice would count twice.
    #[error("attestor {key} appears twice")]
    Duplicate {
        /// Which key.
        key: Box<PublicKey>,
    },
    /// At most half of them, or more than there are (Ronin).
    #[error(
        "a threshold of {threshold} of {attestors} attestors: more than half are needed, and no more than there are"
    )]
    Threshold {
        /// How many are asked for.
        threshold: usize,
        /// How many there are.
        attestors: usize,
    },
}

/// What a route is, before it is checked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize)]
pub struct RouteTerms {
    /// The Hyperlane domain of the foreign chain.
    pub domain: u32,
    /// Its EIP-155 chain id.
    pub chain_id: u64,
    /// The Hyperlane mailbox there.
    pub mailbox: Address,
    /// How much gas the handler of each of its messages is run with.
    pub gas_limit: u64,
    /// For how long after the time of its foreign block a message may be delivered.
    pub window: Millis,
    /// Whose word counts.
    pub attestors: Vec<PublicKey>,
    /// How many of them have to say the same.
    pub threshold: usize,
}

/// A checked route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route(RouteTerms);

impl Route {
    /// The route of these terms; the order of its attestors does not matter.
    pub fn new(mut terms: RouteTerms) -> Result<Self, RouteError> {
        check_names(&terms)?;
        terms.attestors.sort_unstable();
        check_attestors(&terms)?;
        Ok(Self(terms))
    }

    /// Its terms.
    pub fn terms(&self) -> &RouteTerms {
        &self.0
    }

    /// The place of `key` among its attestors.
    pub fn place_of(&self, key: &PublicKey) -> Option<usize> {
        self.0.attestors.binary_search(key).ok()
    }

    /// What attestors of this route sign under, on the network that began with `genesis`.
    pub fn digest(&self, network: NetworkId, genesis: Option<&Digest>) -> Digest {
        let RouteTerms { domain, chain_id, mailbox, gas_limit, window, attestors, threshold } = &self.0;
        let place = (domain, chain_id, mailbox.0.0);
        purpose::ROUTE.hash_of(&(network, genesis, place, gas_limit, window.0, attestors, *threshold as u64))
    }
}

fn check_names(terms: &RouteTerms) -> Result<(), RouteError> {
    let zeros = [
        ("domain", terms.domain == 0),
        ("chain id", terms.chain_id == 0),
        ("mailbox", terms.mailbox.is_zero()),
        ("gas limit", terms.gas_limit == 0),
        ("window", terms.window.0 == 0),
    ];
    if let Some((field, _)) = zeros.into_iter().find(|(_, is_zero)| *is_zero) {
        return Err(RouteError::Zero { field });
    }
    if is_own_domain(terms.domain) { Err(RouteError::OwnDomain { domain: terms.domain }) } else { Ok(()) }
}

fn check_attestors(terms: &RouteTerms) -> Result<(), RouteError> {
    let (threshold, attestors) = (terms.threshold, terms.attestors.len());
    if !(2..=ATTESTORS_COUNT_MAX).contains(&attestors) {
        return Err(RouteError::Attestors { actual: attestors });
    }
    if let Some(pair) = terms.attestors.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(RouteError::Duplicate { key: Box::new(pair[0]) });
    }
    if threshold > attestors || threshold * 2 <= attestors {
        return Err(RouteError::Threshold { threshold, attestors });
    }
    Ok(())
}
