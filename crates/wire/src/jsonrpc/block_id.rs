//! From a block's name to a slot.

use super::chain::{Chain, Moment};
use super::error::{SERVER_ERROR_CODE, error};
use super::node::Node;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag};
use jsonrpsee::types::ErrorObjectOwned;
use primitives::Slot;

/// There is no such closed block.
pub(super) fn unknown_block() -> ErrorObjectOwned {
    error(SERVER_ERROR_CODE, "unknown block")
}

impl<C: Chain> Node<C> {
    /// The closed slot that `tag` names; none if it is not closed yet, or before the first.
    pub(super) async fn slot_of_tag(&self, tag: BlockNumberOrTag) -> Result<Option<Slot>, ErrorObjectOwned> {
        let head = self.chain.head().await?;
        Ok(match tag {
            BlockNumberOrTag::Number(number) => {
                Some(Slot(number)).filter(|slot| (self.chain.earliest()..=head).contains(slot))
            }
            BlockNumberOrTag::Earliest => Some(self.chain.earliest()),
            // What is decided is final, and there is no block before its slot is closed.
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized
            | BlockNumberOrTag::Pending => Some(head),
        })
    }

    /// The closed slot that `id` names.
    pub(super) async fn slot_of(&self, id: BlockId) -> Result<Option<Slot>, ErrorObjectOwned> {
        match id {
            BlockId::Hash(hash) => Ok(self.chain.slot_of_hash(hash.block_hash).await?),
            BlockId::Number(tag) => self.slot_of_tag(tag).await,
        }
    }

    /// The moment that a reader of block `id` asks for: the state after that block, which is the head where none is named.
    pub(super) async fn moment_of(&self, id: Option<BlockId>) -> Result<Moment, ErrorObjectOwned> {
        match id.unwrap_or_default() {
            BlockId::Number(BlockNumberOrTag::Pending) => Ok(Moment::Newest),
            id => {
                let slot = self.slot_of(id).await?;
                slot.map(Moment::After).ok_or_else(|| error(SERVER_ERROR_CODE, "header not found"))
            }
        }
    }
}
