//! What the methods share: the chain, the installed filters, the turns of heavy reads.
//!
//! State is the latest only. A question about an older block's state is answered when that is the same, and refused
//! otherwise: never answered with another state than was asked for, but for the last few slots, where a wallet that asks
//! for the head it saw a moment ago means `latest`.

use super::chain::Chain;
use super::filters::Filters;
use super::heavy::Heavy;
use std::sync::Arc;

/// A chain as the JSON-RPC methods see it.
#[derive(Debug)]
pub(super) struct Node<C> {
    pub(super) chain: Arc<C>,
    pub(super) filters: Filters,
    pub(super) heavy: Heavy,
}

impl<C: Chain> Node<C> {
    pub(super) fn new(chain: Arc<C>, heavy: Heavy) -> Self {
        Self { chain, filters: Filters::default(), heavy }
    }
}
