//! What the methods share: the chain, the installed filters, the turns of heavy reads.
//!
//! Knows nothing of connections and clients.

use super::chain::Chain;
use super::cheats::Named;
use super::entry::{Entry, EntryView};
use super::filters::Filters;
use super::heavy::Heavy;
use std::sync::Arc;

/// A chain as the JSON-RPC methods see it.
#[derive(Debug)]
pub(super) struct Node<C> {
    pub(super) chain: Arc<C>,
    pub(super) filters: Filters,
    pub(super) heavy: Heavy,
    /// Who is impersonated, on a chain with cheats.
    pub(super) named: Named,
}

impl<C: Chain> Node<C> {
    pub(super) fn new(chain: Arc<C>, heavy: Heavy) -> Self {
        Self { chain, filters: Filters::default(), heavy, named: Named::default() }
    }

    /// A transaction of a closed slot, as Ethereum tells it.
    pub(super) fn seen<'a>(&'a self, entry: &'a Entry) -> EntryView<'a> {
        entry.view(self.chain.params(), self.chain.time_of(entry.slot))
    }
}
