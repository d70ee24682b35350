//! Names of blocks: numbers, tags, hashes, and objects of EIP-1898.

use super::{Argument, Misfit, field, object};
use alloy_primitives::B256;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, RpcBlockHash};
use serde_json::Value;

/// Characters of a hash with its prefix: no quantity has so many.
const HASH_TEXT_BYTES: usize = 66;

impl Argument for BlockNumberOrTag {
    fn read(value: &Value) -> Result<Self, Misfit> {
        let text = value.as_str().ok_or_else(|| Misfit::kind(value, "a block number or tag"))?;
        match text {
            "latest" => Ok(Self::Latest),
            "pending" => Ok(Self::Pending),
            "safe" => Ok(Self::Safe),
            "finalized" => Ok(Self::Finalized),
            "earliest" => Ok(Self::Earliest),
            _ => u64::read(value).map(Self::Number),
        }
    }
}

impl Argument for BlockId {
    fn read(value: &Value) -> Result<Self, Misfit> {
        match value {
            Value::Object(_) => named(value),
            Value::String(text) if text.len() == HASH_TEXT_BYTES => B256::read(value).map(Self::from),
            _ => BlockNumberOrTag::read(value).map(Self::Number),
        }
    }
}

/// The block that an object names: exactly one of its two names is there.
fn named(value: &Value) -> Result<BlockId, Misfit> {
    let fields = object(value)?;
    let number: Option<BlockNumberOrTag> = field(fields, "blockNumber")?;
    let block_hash: Option<B256> = field(fields, "blockHash")?;
    let require_canonical = field(fields, "requireCanonical")?;
    match (number, block_hash) {
        (Some(number), None) => Ok(BlockId::Number(number)),
        (None, Some(block_hash)) => Ok(BlockId::Hash(RpcBlockHash { block_hash, require_canonical })),
        (Some(_), Some(_)) => {
            Err(Misfit::Sense("cannot specify both BlockHash and BlockNumber, choose one or the other".to_owned()))
        }
        (None, None) => Err(Misfit::Sense("neither block nor hash specified".to_owned())),
    }
}
