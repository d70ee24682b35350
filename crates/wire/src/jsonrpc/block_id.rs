//! From a block's name to a slot.

use super::chain::Chain;
use super::error::{SERVER_ERROR_CODE, error};
use super::node::Node;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag};
use jsonrpsee::types::ErrorObjectOwned;
use primitives::Slot;

/// How many slots behind the head a block may be and still be answered with the latest state: wallets ask for the number
/// they saw last, and that is a moment ago.
pub(super) const STATE_RECENT_SLOTS_MAX: u64 = 16;

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

    /// The slot that a call of block `id` sees: the block that was named; where none was, that of the state, which is ahead of
    /// the head. A state that has seen a slot is never shown an earlier one, unless somebody asks for just that.
    pub(super) async fn state_slot(&self, id: Option<BlockId>) -> Result<Slot, ErrorObjectOwned> {
        self.latest_state(id).await?;
        let named = match id {
            Some(
                id @ (BlockId::Hash(_) | BlockId::Number(BlockNumberOrTag::Number(_) | BlockNumberOrTag::Earliest)),
            ) => self.slot_of(id).await?,
            _ => None,
        };
        Ok(named.unwrap_or_else(|| self.chain.current()))
    }

    /// Checks that the state after block `id` is the latest: the only state there is.
    ///
    /// It is, for every tag but `earliest`; for a block a moment ago; and for any older one since which nothing happened.
    pub(super) async fn latest_state(&self, id: Option<BlockId>) -> Result<(), ErrorObjectOwned> {
        let Some(id) = id else { return Ok(()) };
        if matches!(id, BlockId::Number(tag) if !matches!(tag, BlockNumberOrTag::Number(_) | BlockNumberOrTag::Earliest))
        {
            return Ok(());
        }
        let Some(slot) = self.slot_of(id).await? else { return Err(error(SERVER_ERROR_CODE, "header not found")) };
        let head = self.chain.head().await?;
        if slot.0.saturating_add(STATE_RECENT_SLOTS_MAX) >= head.0 {
            return Ok(());
        }
        if self.chain.occupied(Slot(slot.0 + 1), head, 1).await?.is_empty() {
            return Ok(());
        }
        let message = format!("historical state of block {slot} is not available: only the latest state is kept");
        Err(error(SERVER_ERROR_CODE, message))
    }
}
