//! RocksDB as ordered spaces: one synced batch in, snapshot reads out.
