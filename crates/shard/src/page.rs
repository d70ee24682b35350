//! What one page of an answer may take, in items and in bytes.

/// Bytes after which a page ends, of outcomes, leaves or headers: with its last item it fits the 4 MiB that a stock gRPC client
/// takes. A single outcome of more than half of that may not.
pub const PAGE_BYTES_MAX: usize = 2 << 20;

/// What a page may still take.
#[derive(Debug)]
pub(crate) struct Room {
    count: usize,
    bytes: usize,
}

impl Room {
    /// For up to `count_max` items, and up to [`PAGE_BYTES_MAX`] with the last one.
    pub(crate) fn new(count_max: usize) -> Self {
        Self { count: count_max, bytes: PAGE_BYTES_MAX }
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.count == 0 || self.bytes == 0
    }

    /// Takes an item of so many bytes.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}
