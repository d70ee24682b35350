//! A bounded memory of decisions, oldest forgotten first.

use super::{DECISIONS, DECISIONS_COUNT_MAX, OpenError, attempt::damaged};
use crate::Decision;
use primitives::{AttemptId, Read, Write, decode, encode};
use std::collections::{BTreeMap, VecDeque};

/// Entries read from the store at a time when it is opened.
const SCAN_COUNT: usize = 1024;
/// Most bytes of one entry.
const ENTRY_BYTES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Memory {
    decisions: BTreeMap<AttemptId, Decision>,
    order: VecDeque<AttemptId>,
    /// The number of the first entry of `order`.
    first: u64,
}

impl Memory {
    pub(super) fn open(read: &impl Read) -> Result<Self, OpenError> {
        let mut memory = Self::default();
        let mut from: Vec<u8> = Vec::new();
        loop {
            let entries = read.scan(DECISIONS, &[], &from, SCAN_COUNT);
            let Some((last, _)) = entries.last() else { return Ok(memory) };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in entries {
                let number = <[u8; 8]>::try_from(key.as_slice())
                    .map(u64::from_be_bytes)
                    .map_err(|_| damaged(DECISIONS, &key, &"the key is not a number"))?;
                let (attempt, decision) =
                    decode(&value, ENTRY_BYTES_MAX).map_err(|error| damaged(DECISIONS, &key, &error))?;
                if memory.order.is_empty() {
                    memory.first = number;
                }
                memory.order.push_back(attempt);
                memory.decisions.insert(attempt, decision);
            }
        }
    }

    pub(super) fn get(&self, attempt: AttemptId) -> Option<Decision> {
        self.decisions.get(&attempt).copied()
    }

    pub(super) fn is_full(&self) -> bool {
        self.order.len() >= DECISIONS_COUNT_MAX
    }

    /// Remembers a decision, and forgets the oldest above the bound.
    pub(super) fn remember(&mut self, attempt: AttemptId, decision: Decision) -> Vec<Write> {
        let mut writes = Vec::new();
        if self.is_full()
            && let Some(oldest) = self.order.pop_front()
        {
            self.decisions.remove(&oldest);
            writes.push(Write::delete(DECISIONS, self.first.to_be_bytes()));
            self.first += 1;
        }
        let number = self.first + self.order.len() as u64;
        writes.push(Write::put(DECISIONS, number.to_be_bytes(), encode(&(attempt, decision))));
        self.order.push_back(attempt);
        self.decisions.insert(attempt, decision);
        writes
    }
}
