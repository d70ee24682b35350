//! Transactions that came before their sender's earlier ones.

use crate::claims::Turn;
use crate::settings::NONCE_WAITS_PER_SENDER_COUNT_MAX;
use alloy_primitives::Address;
use std::collections::{BTreeMap, BTreeSet};

/// Who waits for which nonce, by sender.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    waiting: BTreeMap<Address, BTreeSet<(u64, Turn)>>,
}

/// The sender has [`NONCE_WAITS_PER_SENDER_COUNT_MAX`] waiting already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Senders {
    /// Has `turn` wait until its sender's next nonce is `nonce`.
    pub(crate) fn wait(&mut self, sender: Address, nonce: u64, turn: Turn) -> Result<(), TooMany> {
        let waiting = self.waiting.entry(sender).or_default();
        if waiting.len() >= NONCE_WAITS_PER_SENDER_COUNT_MAX {
            return Err(TooMany);
        }
        waiting.insert((nonce, turn));
        Ok(())
    }

    /// Has `turn` wait no more.
    pub(crate) fn leave(&mut self, sender: Address, nonce: u64, turn: Turn) {
        if let Some(waiting) = self.waiting.get_mut(&sender) {
            waiting.remove(&(nonce, turn));
            if waiting.is_empty() {
                self.waiting.remove(&sender);
            }
        }
    }

    /// Those of `sender` whose turn it is when its next nonce is `next`: at it, and past it to be told so.
    pub(crate) fn due(&self, sender: Address, next: u64) -> Vec<Turn> {
        let waiting = self.waiting.get(&sender).into_iter().flatten();
        waiting.take_while(|(nonce, _)| *nonce <= next).map(|(_, turn)| *turn).collect()
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_served_in_the_order_of_nonces() {
        let (mut senders, sender) = (Senders::default(), Address::repeat_byte(1));
        for (nonce, turn) in [(7, 1), (5, 2), (6, 3)] {
            assert_eq!(senders.wait(sender, nonce, Turn(turn)), Ok(()));
        }
        assert_eq!(senders.due(sender, 4), []);
        assert_eq!(senders.due(sender, 5), [Turn(2)]);
        senders.leave(sender, 5, Turn(2));
        assert_eq!(senders.due(sender, 7), [Turn(3), Turn(1)]);
        assert_eq!(senders.due(Address::repeat_byte(2), 9), []);
    }

    #[test]
    fn the_waiters_of_one_sender_are_bounded() {
        let (mut senders, sender) = (Senders::default(), Address::repeat_byte(1));
        for nonce in 0..NONCE_WAITS_PER_SENDER_COUNT_MAX as u64 {
            assert_eq!(senders.wait(sender, nonce, Turn(nonce)), Ok(()));
        }
        assert_eq!(senders.wait(sender, 1_000, Turn(1_000)), Err(TooMany));
        assert_eq!(senders.wait(Address::repeat_byte(2), 1, Turn(1_001)), Ok(()));
    }
}
