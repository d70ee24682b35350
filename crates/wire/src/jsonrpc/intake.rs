//! Transactions that a node has taken in lately, numbered, for those who follow what is pending.
//!
//! Promise: a reader is told of each once, as long as it comes back before [`ARRIVALS_COUNT_MAX`] others have come.

use super::view;
use alloy_primitives::{Address, B256};
use evm::Data;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Arrivals that are remembered.
pub const ARRIVALS_COUNT_MAX: usize = 8_192;

/// A transaction that was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its hash.
    pub hash: B256,
    /// Who signed.
    pub sender: Address,
    /// The signed bytes.
    pub bytes: Data,
}

impl Arrival {
    /// All its fields, as those of a transaction without a block.
    pub(super) fn view(&self) -> Result<Value, ErrorObjectOwned> {
        view::pending(&self.bytes, self.sender)
    }
}

/// Arrivals from some number on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order they came in.
    pub arrivals: Vec<Arrival>,
    /// The number of the next one.
    pub next: u64,
}

/// The last arrivals.
#[derive(Debug)]
pub struct Intake {
    kept: Mutex<VecDeque<Arrival>>,
    /// How many ever came: the number of the next one.
    count: watch::Sender<u64>,
}

impl Default for Intake {
    fn default() -> Self {
        Self { kept: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Intake {
    /// Notes one that was taken in.
    pub fn note(&self, arrival: Arrival) {
        let mut kept = self.lock();
        if kept.len() == ARRIVALS_COUNT_MAX {
            kept.pop_front();
        }
        kept.push_back(arrival);
        // Under the lock: the count and what is kept move together.
        self.count.send_modify(|count| *count += 1);
    }

    /// The number of the next one.
    pub(super) fn next(&self) -> u64 {
        *self.count.borrow()
    }

    /// All that came from number `from` on and are remembered.
    pub fn page(&self, from: u64) -> Page {
        let kept = self.lock();
        let next = self.next();
        let count = usize::try_from(next.saturating_sub(from)).unwrap_or(usize::MAX).min(kept.len());
        Page { arrivals: kept.iter().skip(kept.len() - count).cloned().collect(), next }
    }

    /// Waits until one with number `from` has come.
    pub(super) async fn wait(&self, from: u64) {
        // It ends with an error only when the sender is gone, which lives here.
        let _ = self.count.subscribe().wait_for(|count| *count > from).await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arrival>> {
        // A panic while it was held left a whole queue: nothing in here fails half way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(number: u64) -> Arrival {
        Arrival {
            hash: B256::from(alloy_primitives::U256::from(number)),
            sender: Address::ZERO,
            bytes: Data::default(),
        }
    }

    #[tokio::test]
    async fn a_reader_is_told_of_each_arrival_once() {
        let intake = Intake::default();
        assert_eq!(intake.page(0), Page { arrivals: Vec::new(), next: 0 });
        intake.note(arrival(1));
        intake.note(arrival(2));
        assert_eq!(intake.page(0), Page { arrivals: vec![arrival(1), arrival(2)], next: 2 });
        assert_eq!(intake.page(1).arrivals, [arrival(2)]);
        assert_eq!(intake.page(2).arrivals, []);
        intake.wait(1).await;
    }

    #[test]
    fn the_oldest_arrivals_are_forgotten() {
        let intake = Intake::default();
        for number in 0..=ARRIVALS_COUNT_MAX as u64 {
            intake.note(arrival(number));
        }
        let page = intake.page(0);
        assert_eq!((page.arrivals.len(), page.next), (ARRIVALS_COUNT_MAX, ARRIVALS_COUNT_MAX as u64 + 1));
        assert_eq!(page.arrivals[0], arrival(1));
    }
}
