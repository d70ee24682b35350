//! Where every corpus begins: real values, and for targets that take choices, bytes of a fixed stream.

use crate::{canonical, files, grpc, jsonrpc, merkle, payloads, receipts, text, votes, wire_values};

/// How many streams a target of choices begins with, and their lengths in bytes.
const STREAMS_COUNT: u64 = 8;
const STREAM_BYTES: usize = 200;

/// A stream of numbers that depends on its seed alone (splitmix64).
#[derive(Debug, Clone)]
pub struct Stream(pub u64);

impl Stream {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}

/// The seeds of the target with this name.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "canonical" => canonical::canonical_seeds(),
        "decision" => votes::decision_seeds(),
        "equivocation" => receipts::equivocation_seeds(),
        "grpc" => grpc::grpc_seeds(),
        "json_rpc" => jsonrpc::json_rpc_seeds(),
        "mainnet_block" => files::mainnet_block_seeds(),
        "network_file" => files::network_file_seeds(),
        "payload" => payloads::payload_seeds(),
        "receipt" => receipts::receipt_seeds(),
        "state_proof" => merkle::state_proof_seeds(),
        "text" => text::text_seeds(),
        "vote" => votes::vote_seeds(),
        "wire_values" => wire_values::wire_values_seeds(),
        "witness" => payloads::witness_seeds(),
        _ => (1..=STREAMS_COUNT).map(|seed| Stream(seed).bytes(STREAM_BYTES)).collect(),
    }
}
