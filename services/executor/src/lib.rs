//! A shard node: configuration and wiring.
