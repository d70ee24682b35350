//! A shard's machine: ledger, locks, inbox and outbox in one ordered log of blocks.
