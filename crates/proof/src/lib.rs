//! Merkle trees, headers, certificates and receipts: how a fact about one shard is believed on another.
