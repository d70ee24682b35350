//! What time it is from one block to the next.

use super::*;
use crate::index::sample::params;
use evm::Environments;
use std::collections::BTreeMap;
use tempfile::TempDir;

fn cheats() -> (TempDir, Cheats) {
    let data = tempfile::tempdir().unwrap();
    let params = NetworkParams { environments: Environments::Cheats, ..params() };
    let offset = TimeOffset::of_network(&params, Some(&data.path().join("clock"))).unwrap();
    let (kept, known) = Kept::open(data.path()).unwrap();
    let state = State {
        travels: known.travels(),
        shift_ms: 0,
        increased: 0,
        next: None,
        snapshots: BTreeMap::new(),
        snapshots_count: 0,
        is_automining: true,
        is_open: false,
    };
    let cheats = Cheats {
        params,
        offset,
        accounts: Vec::new(),
        turn: tokio::sync::Mutex::new(()),
        sending: AtomicUsize::new(0),
        sent: Notify::new(),
        state: Mutex::new(state),
        kept,
    };
    (data, cheats)
}

/// Begins a block, some slots after the last.
fn begun(cheats: &Cheats) -> Leg {
    let closed = cheats.params.end_of(cheats.slot()).after(SLOT_BEHIND_MAX);
    cheats.offset.reach(wall(), closed).unwrap();
    cheats.begin_block(&mut cheats.state())
}

#[test]
fn the_next_block_has_the_time_that_was_asked_for_to_the_second() {
    let (_data, cheats) = cheats();
    cheats.state().next = Some(4_000_000_000);
    let leg = begun(&cheats);
    assert_eq!((leg.begin, leg.step), (Time(4_000_000_000_000), Millis(0)));
    assert_eq!(cheats.coming(leg.slot), leg.begin, "what runs with it has the same");
    cheats.state().is_open = false;
    let next = begun(&cheats);
    let later = next.begin.since(leg.begin);
    assert!(later >= BLOCK_STEP && later < Millis(60_000), "and time goes on from there: {later}");
}

#[test]
fn each_block_is_a_second_after_the_one_before_however_fast_they_come() {
    let (_data, cheats) = cheats();
    let legs: Vec<Leg> = (0..50).map(|_| begun(&cheats)).collect();
    assert!(legs.windows(2).all(|pair| pair[1].begin.since(pair[0].begin) >= BLOCK_STEP), "{legs:?}");
    assert!(legs.windows(2).all(|pair| pair[1].slot > pair[0].slot), "and in a later slot");
}

#[test]
fn time_is_increased_from_what_it_is_now_also_where_blocks_came_fast() {
    let (_data, cheats) = cheats();
    let legs: Vec<Leg> = (0..50).map(|_| begun(&cheats)).collect();
    let last = legs[49];
    assert_eq!(increase(&mut cheats.state(), 3_600), Ok(Done::Number(3_600)));
    assert_eq!(increase(&mut cheats.state(), 3_600), Ok(Done::Number(7_200)));
    let later = begun(&cheats).begin.since(last.begin);
    assert!(later >= Millis(7_200_000) && later < Millis(7_260_000), "{later}");
    assert!(increase(&mut cheats.state(), u64::MAX).is_err());
}

#[test]
fn a_call_on_what_is_to_come_sees_the_time_of_the_next_block() {
    let (_data, cheats) = cheats();
    cheats.state().next = Some(4_000_000_000);
    let slot = cheats.slot();
    let block = cheats.travels_to_come(slot).block_of(&cheats.params, slot);
    assert_eq!((block.number, block.timestamp), (slot.0, 4_000_000_000));
    assert!(cheats.travels().legs().is_empty(), "and nothing has begun");
}
