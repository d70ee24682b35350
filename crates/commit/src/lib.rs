//! Two-phase commit between shards, decided by votes alone.
