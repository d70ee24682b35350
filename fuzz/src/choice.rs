//! Bytes as a source of choices, and changes made to bytes.

use arbitrary::Unstructured;

/// Most changes that [`Choice::edited`] makes.
const EDITS_COUNT_MAX: usize = 4;

/// Most bytes that one change inserts or removes.
const STRETCH_BYTES_MAX: usize = 40;

/// Answers questions from bytes; when they are used up, every answer is the first.
pub(crate) struct Choice<'a>(Unstructured<'a>);

impl<'a> Choice<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// Whether nothing is left to choose by.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound - 1).unwrap_or_default()
    }

    /// One of these.
    pub(crate) fn of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// True once in `times`, but never when there is nothing to choose by.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) + 1 == times
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number that is often small, often at an edge, and anything else sometimes.
    pub(crate) fn number(&mut self) -> u64 {
        match self.below(8) {
            0..=3 => u64::from(self.byte()),
            4 => 0,
            5 => u64::MAX - u64::from(self.byte()),
            6 => 1_u64 << self.below(64),
            _ => self.0.arbitrary().unwrap_or_default(),
        }
    }

    /// Up to `bytes_max` bytes.
    pub(crate) fn bytes(&mut self, bytes_max: usize) -> Vec<u8> {
        let length = self.below(bytes_max + 1).min(self.0.len());
        self.0.bytes(length).map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// `base` with one to [`EDITS_COUNT_MAX`] changes.
    pub(crate) fn edited(&mut self, base: &[u8]) -> Vec<u8> {
        let mut bytes = base.to_vec();
        for _ in 0..=self.below(EDITS_COUNT_MAX) {
            self.edit(&mut bytes);
        }
        bytes
    }

    fn edit(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match (self.below(6), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << self.below(8),
            (1, Some(byte)) => *byte = self.byte(),
            (2, Some(byte)) => *byte = byte.wrapping_add(1),
            (3, _) => drop(bytes.splice(at..at, self.bytes(STRETCH_BYTES_MAX))),
            (4, _) => {
                let end = bytes.len().min(at + 1 + self.below(STRETCH_BYTES_MAX));
                bytes.drain(at..end);
            }
            // A stretch is written over another: numbers and digests change places.
            _ => {
                let from = self.below(bytes.len() + 1);
                let length = self.below(STRETCH_BYTES_MAX).min(bytes.len() - at).min(bytes.len() - from);
                bytes.copy_within(from..from + length, at);
            }
        }
    }
}
