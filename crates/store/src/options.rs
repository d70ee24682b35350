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
    /// The high-water mark: with less than this free on its disk, a store has no room for new work. `None`: a 16th of the
    /// disk, at least 64 MiB and at most 512.
    pub bytes_free_min: Option<u64>,
    /// How large the reserve file may become that is given up when the disk runs full, so that decisions can still be
    /// written. `None`: an eighth of the high-water mark.
    pub bytes_reserve_max: Option<u64>,
    /// Memory for cached blocks.
    pub bytes_cache: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { durability: Durability::Synced, bytes_free_min: None, bytes_reserve_max: None, bytes_cache: 64 << 20 }
    }
}

/// Memory for writes not yet in a table file, over all spaces.
const WRITE_BUFFER_BYTES_MAX: usize = 64 << 20;
/// Memory for writes of one space. A tenth more is what RocksDB allocates of the log's file at a time, used or not: with
/// its default of 64 MiB an empty store took as much.
const SPACE_WRITE_BUFFER_BYTES_MAX: usize = 8 << 20;
/// How much of a space's memory for writes tells which keys are not there.
const WRITE_BUFFER_FILTER_RATIO: f64 = 0.02;
/// What is allocated of the file that lists the table files at a time.
const MANIFEST_STEP_BYTES: usize = 256 << 10;
/// The log's size over all its files; reaching it flushes the oldest space.
const LOG_BYTES_MAX: u64 = 64 << 20;
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
    options.set_manifest_preallocation_size(MANIFEST_STEP_BYTES);
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
    options.set_write_buffer_size(SPACE_WRITE_BUFFER_BYTES_MAX);
    // Most keys that are asked for are not among the newest writes: attempts never heard of, keys that nobody holds.
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(WRITE_BUFFER_FILTER_RATIO);
    options.set_compression_type(DBCompressionType::Lz4);
    // A table of the first level is read back and merged within seconds: packing it would be for that alone.
    options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::Lz4]);
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
