//! What the methods share: the chain, the installed filters, the turns of heavy reads.
//!
//! Knows nothing of connections and clients.

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
