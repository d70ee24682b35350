//! What the network is and what this node has of it, for those who choose between nodes: `eth_config`, `eth_capabilities`.
//!
//! Source: EIP-7910, EIP-6122; execution-apis, "`eth_capabilities`".

use crate::jsonrpc::arguments::read;
use crate::jsonrpc::chain::Chain;
use crate::jsonrpc::error::Answer;
use crate::jsonrpc::node::Node;
use crate::jsonrpc::view::hex;
use alloy_primitives::{Address, B256};
use evm::NetworkParams;
use jsonrpsee::types::Params;
use primitives::Slot;
use serde_json::{Map, Value, json};

/// The precompiles that any fork has, by the names of their EIPs, as EIP-7910 writes them.
const PRECOMPILES: [(&str, u64); 18] = [
    ("ECREC", 0x01),
    ("SHA256", 0x02),
    ("RIPEMD160", 0x03),
    ("ID", 0x04),
    ("MODEXP", 0x05),
    ("BN254_ADD", 0x06),
    ("BN254_MUL", 0x07),
    ("BN254_PAIRING", 0x08),
    ("BLAKE2F", 0x09),
    ("KZG_POINT_EVALUATION", 0x0a),
    ("BLS12_G1ADD", 0x0b),
    ("BLS12_G1MSM", 0x0c),
    ("BLS12_G2ADD", 0x0d),
    ("BLS12_G2MSM", 0x0e),
    ("BLS12_PAIRING_CHECK", 0x0f),
    ("BLS12_MAP_FP_TO_G1", 0x10),
    ("BLS12_MAP_FP2_TO_G2", 0x11),
    ("P256VERIFY", 0x100),
];

impl<C: Chain> Node<C> {
    /// The fork that the network has had from its genesis on. None is scheduled, and there was none before.
    pub(super) fn config(&self, params: &Params<'_>) -> Answer<Value> {
        read::<()>(params)?;
        Ok(json!({ "current": fork(self.chain.params()), "next": null, "last": null }))
    }

    /// The head, and from which block on there is what.
    pub(super) async fn get_capabilities(&self, params: Params<'static>) -> Answer<Value> {
        read::<()>(&params)?;
        let (head, state) = (self.chain.head().await?, self.chain.oldest_state().await?);
        let since = |slot: Slot| json!({ "disabled": false, "oldestBlock": hex(slot.0) });
        let all = since(self.chain.oldest());
        Ok(json!({
            "head": { "number": hex(head.0), "hash": self.chain.params().block_hash(head.0) },
            "state": since(state),
            "tx": all,
            "logs": all,
            "receipts": all,
            "blocks": all,
            "stateproofs": { "disabled": true },
        }))
    }
}

/// A network's only fork. What EIP-7910 calls system contracts is called by nobody here.
fn fork(params: &NetworkParams) -> Value {
    let block = params.block_of(Slot(0));
    // No slot's blobs are counted against others: what one transaction may name is all that there is, and no price follows it.
    let blobs = block.blob.map_or(0, |_| block.blobs_count_max());
    let has = |(name, number): (&'static str, u64)| {
        let address = Address::from_word(B256::from(alloy_primitives::U256::from(number)));
        params.has_precompile(address).then(|| (name.to_owned(), json!(address)))
    };
    let precompiles: Map<String, Value> = PRECOMPILES.into_iter().filter_map(has).collect();
    json!({
        "activationTime": 0,
        "blobSchedule": {
            "baseFeeUpdateFraction": block.blob.map_or(0, |blob| blob.update_fraction),
            "max": blobs,
            "target": blobs,
        },
        "chainId": hex(params.network.0),
        "forkId": fork_hash(params.block_hash(0)),
        "precompiles": precompiles,
        "systemContracts": {},
    })
}

/// `FORK_HASH` where no fork came after the genesis: the checksum of its hash (EIP-6122).
fn fork_hash(genesis: B256) -> String {
    format!("{:#010x}", crc32fast::hash(genesis.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    #[test]
    fn a_fork_id_is_the_checksum_of_the_genesis_hash() {
        // EIP-2124: mainnet, Frontier.
        let mainnet = b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
        assert_eq!(fork_hash(mainnet), "0xfc64ec04");
    }
}
