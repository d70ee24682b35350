//! Accounts and storage.

use super::Answer;
use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::error::invalid_params;
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::hex;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, EIP1186AccountProofResponse, EIP1186StorageProof};
use jsonrpsee::types::Params;

/// The most slots that one `eth_getProof` reads.
const PROOF_SLOTS_COUNT_MAX: usize = 1_024;

impl<C: Chain> Node<C> {
    pub(super) async fn get_balance(&self, params: Params<'static>) -> Answer<U256> {
        let (address, id): (Address, _) = with_block(&params)?;
        let moment = self.moment_of(id).await?;
        Ok(self.chain.account(address, moment).await?.balance)
    }

    pub(super) async fn get_transaction_count(&self, params: Params<'static>) -> Answer<String> {
        let (address, id): (Address, _) = with_block(&params)?;
        if id == Some(BlockId::Number(BlockNumberOrTag::Pending)) {
            return Ok(hex(self.chain.next_nonce(address).await?));
        }
        let moment = self.moment_of(id).await?;
        Ok(hex(self.chain.account(address, moment).await?.nonce))
    }

    pub(super) async fn get_code(&self, params: Params<'static>) -> Answer<Bytes> {
        let (address, id): (Address, _) = with_block(&params)?;
        let moment = self.moment_of(id).await?;
        Ok(self.chain.account(address, moment).await?.code.into())
    }

    pub(super) async fn get_storage_at(&self, params: Params<'static>) -> Answer<B256> {
        let (address, slot, id) = {
            let mut params = params.sequence();
            (params.next::<Address>()?, params.next::<U256>()?, params.optional_next::<BlockId>()?)
        };
        let moment = self.moment_of(id).await?;
        Ok(self.chain.storage(address, slot, moment).await?.into())
    }

    /// The values without the proof: each shard commits to its state by a tree of its own, not by Ethereum's trie, and
    /// `ShardService.ProveState` proves against that. Who checks this answer finds no proof in it, and no root to check by.
    pub(super) async fn get_proof(&self, params: Params<'static>) -> Answer<EIP1186AccountProofResponse> {
        let (address, keys, id) = {
            let mut params = params.sequence();
            (params.next::<Address>()?, params.next::<Vec<_>>()?, params.optional_next::<BlockId>()?)
        };
        let slot = |key| EIP1186StorageProof { key, ..EIP1186StorageProof::default() };
        let mut storage_proof: Vec<EIP1186StorageProof> = keys.into_iter().map(slot).collect();
        if storage_proof.len() > PROOF_SLOTS_COUNT_MAX {
            return Err(invalid_params(format!("at most {PROOF_SLOTS_COUNT_MAX} slots at once")));
        }
        let moment = self.moment_of(id).await?;
        let account = self.chain.account(address, moment).await?;
        for slot in &mut storage_proof {
            slot.value = self.chain.storage(address, slot.key.as_b256().into(), moment).await?;
        }
        Ok(EIP1186AccountProofResponse {
            address,
            balance: account.balance,
            nonce: account.nonce,
            code_hash: keccak256(&*account.code),
            account_proof: Vec::new(),
            storage_hash: B256::ZERO,
            storage_proof,
        })
    }
}

/// One parameter and the block it is asked of, the latest if none is named.
fn with_block<T: serde::de::DeserializeOwned>(params: &Params<'static>) -> Answer<(T, Option<BlockId>)> {
    let mut params = params.sequence();
    Ok((params.next()?, params.optional_next()?))
}
