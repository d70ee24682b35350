//! Fees. The base fee is a parameter of the network and never changes, and so it is with what blobs cost: the history says just that.
//! A block has no limit of blobs; what they used is told as a part of what one transaction may name.

use super::chain::{Chain, SlotBlock, pruned};
use super::error::{SERVER_ERROR_CODE, error, invalid_params};
use super::node::Node;
use super::view::{blob_gas, blob_price};
use crate::limits::{FEE_HISTORY_SLOTS_MAX, FEE_PERCENTILES_COUNT_MAX};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_rpc_types_eth::{BlockNumberOrTag, FeeHistory};
use jsonrpsee::types::ErrorObjectOwned;
use primitives::Slot;
use std::collections::BTreeMap;
use std::sync::Arc;

impl<C: Chain> Node<C> {
    /// What gas costs now: base fee and what the chain suggests on top.
    pub(super) fn gas_price(&self) -> u128 {
        self.base_fee() + self.chain.priority_fee()
    }

    /// What gas burns.
    pub(super) fn base_fee(&self) -> u128 {
        u128::from(self.chain.params().block_of(Slot(0)).base_fee)
    }

    /// The fees of up to [`FEE_HISTORY_SLOTS_MAX`] closed slots up to `newest`.
    pub(super) async fn fee_history(
        &self,
        count: u64,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> Result<FeeHistory, ErrorObjectOwned> {
        let percentiles = percentiles.map(checked).transpose()?;
        let unknown = || error(SERVER_ERROR_CODE, "request beyond head block: the newest block is not closed yet");
        let newest = self.slot_of_tag(newest).await?.ok_or_else(unknown)?;
        let first = self.chain.oldest().max(self.chain.earliest());
        if newest < first {
            return Err(pruned(format_args!("nothing of block {newest}"), first).into());
        }
        let available = newest.0 - first.0 + 1;
        let count = count.min(FEE_HISTORY_SLOTS_MAX).min(available);
        if count == 0 {
            return Ok(FeeHistory { oldest_block: newest.0, ..FeeHistory::default() });
        }
        let oldest = newest.0 + 1 - count;
        let blocks = self.blocks_between(Slot(oldest), newest, count as usize).await?;
        let gas_limit = float(self.chain.params().gas_limit);
        let gas_used = |slot| blocks.get(&slot).map_or(0, |block| gas_used(block));
        let blob_price = blob_price(self.chain.params(), newest);
        let blob_gas_limit = float(self.chain.params().block_of(newest).blobs_count_max() * DATA_GAS_PER_BLOB);
        let blobs_ratio = |slot| float(blocks.get(&slot).map_or(0, |block| blob_gas_used(block))) / blob_gas_limit;
        let reward = percentiles.map(|percentiles| {
            (oldest..=newest.0)
                .map(|slot| rewards(blocks.get(&slot).map(|block| &**block), self.base_fee(), &percentiles))
                .collect()
        });
        Ok(FeeHistory {
            base_fee_per_gas: vec![self.base_fee(); count as usize + 1],
            gas_used_ratio: (oldest..=newest.0).map(|slot| float(gas_used(slot)) / gas_limit).collect(),
            base_fee_per_blob_gas: blob_price.map(|price| vec![price; count as usize + 1]).unwrap_or_default(),
            blob_gas_used_ratio: blob_price.map(|_| (oldest..=newest.0).map(blobs_ratio).collect()).unwrap_or_default(),
            oldest_block: oldest,
            reward,
        })
    }

    async fn blocks_between(
        &self,
        from: Slot,
        to: Slot,
        count_max: usize,
    ) -> Result<BTreeMap<u64, Arc<SlotBlock>>, ErrorObjectOwned> {
        let mut blocks = BTreeMap::new();
        for slot in self.chain.occupied(from, to, count_max).await? {
            blocks.insert(slot.0, self.chain.block(slot).await?);
        }
        Ok(blocks)
    }
}

fn checked(percentiles: Vec<f64>) -> Result<Vec<f64>, ErrorObjectOwned> {
    if percentiles.len() > FEE_PERCENTILES_COUNT_MAX {
        return Err(invalid_params(format!("at most {FEE_PERCENTILES_COUNT_MAX} reward percentiles are allowed")));
    }
    let is_sound = percentiles.iter().all(|percentile| (0.0..=100.0).contains(percentile));
    if is_sound && percentiles.is_sorted() {
        return Ok(percentiles);
    }
    Err(invalid_params("reward percentiles are numbers from 0 to 100 in ascending order"))
}

/// Gas as a part of a fraction.
#[allow(clippy::cast_precision_loss, reason = "the gas of a block is far below 2^52")]
fn float(gas: u64) -> f64 {
    gas as f64
}

fn gas_used(block: &SlotBlock) -> u64 {
    block.outcomes.iter().map(|record| record.outcome.gas_used).sum()
}

fn blob_gas_used(block: &SlotBlock) -> u64 {
    block.outcomes.iter().filter_map(blob_gas).sum()
}

/// The priority fees paid at the percentiles of a block's gas; zeros of an empty block.
fn rewards(block: Option<&SlotBlock>, base_fee: u128, percentiles: &[f64]) -> Vec<u128> {
    let Some(block) = block else { return vec![0; percentiles.len()] };
    let signed = block.outcomes.iter().filter(|record| !record.bytes.is_empty()).map(|record| &record.outcome);
    let mut paid: Vec<(u128, u64)> =
        signed.map(|outcome| (outcome.gas_price.saturating_sub(base_fee), outcome.gas_used)).collect();
    paid.sort_unstable();
    let total: u64 = paid.iter().map(|(_, gas)| gas).sum();
    let at = |percentile: &f64| {
        let threshold = float(total) * percentile / 100.0;
        let mut gas = 0;
        let reached = paid.iter().find(|(_, used)| {
            gas += used;
            float(gas) >= threshold
        });
        reached.map_or(0, |(fee, _)| *fee)
    };
    percentiles.iter().map(at).collect()
}
