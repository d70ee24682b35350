//! The past against a plain model: every payload with its slot, executed slot after slot.

use super::*;
use crate::advance;
use crate::ledger::Ledger;
use alloy_primitives::Address;
use evm::{AccountState, Changes, FeesKey};
use primitives::{Memory, Write};
use proptest::prelude::*;

const ALICE: Address = Address::repeat_byte(0xa1);
const BENEFICIARY: FeesKey = FeesKey { shard: ShardId(0), beneficiary: Address::repeat_byte(0xbe) };
const FEES: StateKey = StateKey::Fees(BENEFICIARY);

/// How many slots of one account are written to.
const SLOTS_COUNT: u64 = 3;

fn slot_key(index: u64) -> StateKey {
    StateKey::Slot(ALICE, U256::from(index))
}

/// One thing that happens to a shard.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A payload gives a slot of storage a value, zero for none, `slots` after the newest.
    Write { index: u64, value: u64, slots: u64 },
    /// A payload pays a fee, as many slots before the newest.
    Credit { wei: u64, slots: u64 },
    /// A payload takes all fees.
    Drain { slots: u64 },
    /// A payload destroys the account with all of its storage.
    Wipe { slots: u64 },
    /// The block ends.
    Seal,
    /// The blocks that were sealed are advanced over, so many at most.
    Advance { count: usize },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0..SLOTS_COUNT, 0..3_u64, 0..3_u64).prop_map(|(index, value, slots)| Event::Write { index, value, slots }),
        6 => (1..9_u64, 0..4_u64).prop_map(|(wei, slots)| Event::Credit { wei, slots }),
        1 => (0..3_u64).prop_map(|slots| Event::Drain { slots }),
        1 => (0..3_u64).prop_map(|slots| Event::Wipe { slots }),
        6 => Just(Event::Seal),
        3 => (1..4_usize).prop_map(|count| Event::Advance { count }),
    ]
}

/// A shard's store with what happened to it, told in plain words beside it.
struct Told {
    store: Memory,
    open: Vec<(Slot, Changes)>,
    height: u64,
    newest: u64,
    drained: u64,
    kept: u64,
    ran: Vec<(Slot, Changes)>,
}

impl Told {
    fn new(kept: u64) -> Self {
        let mut told = Self {
            store: Memory::default(),
            open: Vec::new(),
            height: 0,
            newest: 10,
            drained: 10,
            kept,
            ran: Vec::new(),
        };
        let account = (ALICE, Some(AccountState::with_balance(U256::ONE)));
        told.payload(10, Changes { accounts: [account].into(), ..Changes::default() });
        told.seal();
        told
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Write { index, value, slots } => {
                let written = ((ALICE, U256::from(index)), U256::from(value));
                self.payload(self.newest + slots, Changes { slots: [written].into(), ..Changes::default() });
            }
            Event::Credit { wei, slots } => {
                let credit = (BENEFICIARY, U256::from(wei));
                // Credits are ordered against what takes them, and not among themselves.
                let slot = self.newest.saturating_sub(slots).max(self.drained);
                self.payload(slot, Changes { credits: [credit].into(), ..Changes::default() });
            }
            Event::Drain { slots } => {
                self.drained = self.newest + slots;
                self.payload(self.drained, Changes { drained: [BENEFICIARY].into(), ..Changes::default() });
            }
            Event::Wipe { slots } => {
                self.payload(self.newest + slots, Changes { wiped: [ALICE].into(), ..Changes::default() });
            }
            Event::Seal => self.seal(),
            Event::Advance { count } => self.advance(count),
        }
    }

    fn payload(&mut self, slot: u64, changes: Changes) {
        self.newest = self.newest.max(slot);
        self.open.push((Slot(slot), changes.clone()));
        self.ran.push((Slot(slot), changes));
    }

    fn seal(&mut self) {
        let mut ledger = Ledger::new(&self.store);
        for (slot, changes) in self.open.drain(..) {
            ledger.apply(&changes, slot);
        }
        let changed = ledger.take_changed();
        ledger.staged.put_value(CHANGES, spaces::height_key(Height(self.height)), &changed);
        let writes: Vec<Write> = ledger.staged.into_writes();
        self.store.commit(&writes);
        self.height += 1;
    }

    fn advance(&mut self, count: usize) {
        if let Some(advance) = advance(&self.store, count, self.kept).unwrap() {
            self.store.commit(&advance.writes);
        }
    }

    /// What `key` is after `slot`, by running everything up to it in the order of slots.
    fn plain(&self, key: StateKey, slot: Slot) -> U256 {
        let mut ran: Vec<&(Slot, Changes)> = self.ran.iter().filter(|(at, _)| *at <= slot).collect();
        ran.sort_by_key(|(at, _)| *at);
        let mut value = U256::ZERO;
        for (_, changes) in ran {
            match key {
                StateKey::Slot(address, index) => {
                    value = if changes.wiped.contains(&address) { U256::ZERO } else { value };
                    value = changes.slots.get(&(address, index)).copied().unwrap_or(value);
                }
                StateKey::Fees(fees) => {
                    value = if changes.drained.contains(&fees) { U256::ZERO } else { value };
                    value += changes.credits.get(&fees).copied().unwrap_or_default();
                }
                StateKey::Account(_) => {}
            }
        }
        value
    }

    fn assert_told(&self) -> Result<(), TestCaseError> {
        let keys: Vec<StateKey> = (0..SLOTS_COUNT).map(slot_key).chain([FEES]).collect();
        let from = Kept::read(&self.store).from;
        prop_assert!(
            from.0 + self.kept <= self.newest || from == Slot(0),
            "{from} is within {} of {}",
            self.kept,
            self.newest
        );
        for slot in from.0..self.newest + 2 {
            let values = values_after(&self.store, &keys, Slot(slot)).unwrap();
            for (key, value) in keys.iter().zip(values) {
                prop_assert_eq!(number(value.as_deref()), self.plain(*key, Slot(slot)), "{} after {}", key, slot);
            }
        }
        if let Some(before) = from.0.checked_sub(1).map(Slot) {
            prop_assert_eq!(values_after(&self.store, &keys, before), Err(PastError::Pruned { slot: before, from }));
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_state_after_every_slot_is_that_of_one_run_slot_after_slot(
        events in prop::collection::vec(event(), 1..60), kept in 0..12_u64,
    ) {
        let mut told = Told::new(kept);
        for event in events {
            told.happens(event);
            if told.open.is_empty() {
                told.assert_told()?;
            }
        }
        told.seal();
        told.assert_told()?;
        told.advance(usize::MAX);
        told.assert_told()?;
    }
}

#[test]
fn what_is_past_the_window_takes_no_room() {
    let mut told = Told::new(8);
    for turn in 0..500 {
        told.happens(Event::Write { index: turn % SLOTS_COUNT, value: 1 + turn % 2, slots: 1 });
        told.happens(Event::Credit { wei: 1, slots: 0 });
        told.seal();
        told.advance(usize::MAX);
    }
    let rows = |told: &Told| told.store.count(PAST);
    assert!(rows(&told) <= 2 * 10, "{} rows", rows(&told));
    told.happens(Event::Write { index: 0, value: 7, slots: 100 });
    told.seal();
    told.advance(usize::MAX);
    // Some blocks go with each that comes.
    for _ in 0..8 {
        told.seal();
        told.advance(usize::MAX);
    }
    assert!(rows(&told) <= 2, "{} rows", rows(&told));
    told.assert_told().unwrap();
}
