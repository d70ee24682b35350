//! What an event costs where many wait: entries of queues that were looked at, not time.

use super::queue::LOOKS;
use super::{Claim, Claims, Turn, Usage, Uses};
use alloy_primitives::{Address, B256, U256};
use evm::{FeesKey, LockMode, StateKey};
use primitives::ShardId;
use std::collections::BTreeSet;

/// What one payment of a token claims: all pay the same recipient.
fn payment(payer: u64) -> Uses {
    let token = Address::repeat_byte(0xaa);
    let [account, payer] = [0xbb_u64, 0xcc].map(|kind| U256::from(kind) << 64 | U256::from(payer));
    let fees = FeesKey { shard: ShardId(0), beneficiary: Address::repeat_byte(0xfe) };
    let modes = [
        (StateKey::Account(Address::from_word(B256::from(account))), LockMode::Exclusive),
        (StateKey::Account(token), LockMode::Shared),
        (StateKey::Slot(token, payer), LockMode::Exclusive),
        (StateKey::Slot(token, U256::ZERO), LockMode::Exclusive),
        (StateKey::Fees(fees), LockMode::Credit),
    ];
    modes.map(|(key, mode)| (key, Usage::Locked(mode))).into()
}

/// How many entries are looked at for each of `count` payments that are handed in at once and made one after the other.
fn looks_of_each(count: u64) -> u64 {
    let before = LOOKS.get();
    let (mut claims, mut free) = (Claims::default(), BTreeSet::new());
    for turn in 0..count {
        let (claim, others) = claims.claim(Turn(turn), &payment(turn));
        assert_eq!((claim == Claim::Held, others.len()), (turn == 0, 0));
    }
    for turn in 0..count {
        if turn > 0 {
            assert_eq!(free, [Turn(turn)].into(), "one after the other");
            assert_eq!(claims.claim(Turn(turn), &payment(turn)), (Claim::Held, BTreeSet::new()));
        }
        free = claims.release(Turn(turn));
    }
    assert!(claims.is_empty());
    (LOOKS.get() - before) / count
}

#[test]
fn what_a_payment_costs_does_not_grow_with_those_that_wait() {
    let looks = [250, 1_000, 4_000].map(looks_of_each);
    assert!(looks.iter().all(|looks| *looks < 400), "{looks:?} at 250, 1,000 and 4,000 waiting");
}
