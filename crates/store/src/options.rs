//! How RocksDB is set, and why.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options, WriteOptions};

/// Whether a batch is on the disk when `commit` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It is: it survives power loss. The only choice for a process whose word others rely on (R2).
    Synced,
    /// It is in the system's memory: it survives kill -9 but not power loss. For a coordinator only, whose log merely
    /// saves work: losing its end loses no promise, because a coordinator makes none. After power loss such a store may
    /// refuse to open; then it may be deleted.
    Buffered,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether batches are synced.
    pub durability: Durability,
    /// The high-water mark: with less than this free on its disk, a store has no room for new work.
    pub bytes_free_min: u64,
    /// The size of the reserve file that is given up when the disk runs full, so that decisions can still be written.
    pub bytes_reserve: u64,
    /// Memory for cached blocks.
    pub bytes_cache: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Synced,
            bytes_free_min: 512 << 20,
            bytes_reserve: 64 << 20,
            bytes_cache: 64 << 20,
        }
    }
}

/// Memory for writes not yet in a table file, over all spaces.
const WRITE_BUFFER_BYTES_MAX: usize = 64 << 20;
/// The log's size over all its files; reaching it flushes the oldest space.
const LOG_BYTES_MAX: u64 = 128 << 20;
/// Files RocksDB keeps open.
const OPEN_FILES_COUNT_MAX: i32 = 512;
/// Background threads for flushing and compaction.
const BACKGROUND_JOBS_COUNT: i32 = 2;
/// RocksDB's own log files kept.
const INFO_LOGS_COUNT_MAX: usize = 2;

/// The options of the whole database.
pub(crate) fn database() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // The default mode (point in time) drops synced batches silently after one flipped bit. This one refuses to open,
    // and forgives only a record cut short at the very end: a batch whose sync never returned.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    // A recycled log ends in old records, which a torn tail cannot be told from.
    options.set_recycle_log_file_num(0);
    options.set_db_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
    options.set_max_total_wal_size(LOG_BYTES_MAX);
    options.set_max_open_files(OPEN_FILES_COUNT_MAX);
    options.set_max_background_jobs(BACKGROUND_JOBS_COUNT);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(INFO_LOGS_COUNT_MAX);
    options.set_stats_dump_period_sec(0);
    options
}

/// The options of one space. `cache` is shared by all spaces of a store.
pub(crate) fn space(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_bloom_filter(10.0, false);
    table.set_format_version(5);
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&table);
    options.set_paranoid_checks(true);
    options
}

/// The options of one batch.
pub(crate) fn batch(durability: Durability) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(durability == Durability::Synced);
    options
}
