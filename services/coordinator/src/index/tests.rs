//! The index against a plain list of what it was given.

use super::sample::{at, index, open, params, record};
use super::*;
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip4844, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Signature, U256};
use evm::{Data, Log};
use primitives::NetworkId;
use proptest::prelude::*;

const A: ShardId = ShardId(0);

/// A transaction with logs: each an address and topics, by small numbers.
fn with_logs(id: u8, slot: u64, logs: &[(u8, Vec<u8>)]) -> OutcomeRecord {
    let log = |(address, topics): &(u8, Vec<u8>)| Log {
        address: Address::repeat_byte(*address),
        topics: topics.iter().map(|topic| B256::repeat_byte(*topic)).collect(),
        data: Vec::new().into(),
    };
    let mut record = record(id, slot, 1);
    record.outcome.logs = logs.iter().map(log).collect();
    record
}

/// Whether a log is one that `query` asks for.
fn matches(query: &LogQuery, log: &Log) -> bool {
    let is_one_of =
        |wanted: &[B256], topic: Option<&B256>| wanted.is_empty() || topic.is_some_and(|topic| wanted.contains(topic));
    (query.addresses.is_empty() || query.addresses.contains(&log.address))
        && query.topics.iter().enumerate().all(|(position, wanted)| is_one_of(wanted, log.topics.get(position)))
}

/// All slots that a search finds, however many turns it takes.
fn found(index: &Index, query: &LogQuery, from: u64, to: u64, count_max: usize) -> Vec<Slot> {
    let (mut slots, mut next) = (Vec::new(), Slot(from));
    while next.0 <= to {
        let turn = index.search(query, next, Slot(to), count_max).unwrap();
        assert!(turn.next > next || turn.slots.is_empty(), "a turn leads on");
        slots.extend(turn.slots);
        next = turn.next;
    }
    slots
}

fn small() -> impl Strategy<Value = u8> {
    0..4_u8
}

fn log() -> impl Strategy<Value = (u8, Vec<u8>)> {
    (small(), prop::collection::vec(small(), 0..=4))
}

fn query() -> impl Strategy<Value = LogQuery> {
    let values = || prop::collection::vec(small(), 0..3);
    (values(), prop::array::uniform4(values())).prop_map(|(addresses, topics)| LogQuery {
        addresses: addresses.into_iter().map(Address::repeat_byte).collect(),
        topics: topics.map(|topics| topics.into_iter().map(B256::repeat_byte).collect()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_search_leads_to_every_slot_with_a_log_that_is_asked_for(
        transactions in prop::collection::vec((0..40_u64, prop::collection::vec(log(), 0..4)), 1..60),
        queries in prop::collection::vec((query(), 0..40_u64, 0..40_u64, 1..9_usize), 1..20),
    ) {
        let (_dir, index) = index();
        let mut records = Vec::new();
        for (number, (slot, logs)) in transactions.iter().enumerate() {
            records.push(with_logs(u8::try_from(number).unwrap(), *slot, logs));
        }
        index.add(A, &records, at(40)).unwrap();
        for (query, from, length, count_max) in queries {
            let to = from + length;
            let slots = found(&index, &query, from, to, count_max);
            prop_assert!(slots.is_sorted() && slots.iter().all(|slot| (from..=to).contains(&slot.0)));
            for record in &records {
                let is_asked_for = record.outcome.logs.iter().any(|log| matches(&query, log));
                if is_asked_for && (from..=to).contains(&record.shown.0) {
                    prop_assert!(slots.contains(&record.shown), "{} is missing for {query:?}", record.shown);
                }
            }
        }
    }
}

/// A signed transaction's bytes.
fn signed_with(nonce: u64) -> Data {
    let transaction = TxLegacy { nonce, ..TxLegacy::default() };
    let signed = transaction.into_signed(Signature::new(U256::ONE, U256::ONE, false));
    EthereumTxEnvelope::<TxEip4844>::from(signed).encoded_2718().into()
}

/// A transaction from one account to another, both by small numbers, and what it created.
fn between(id: u8, slot: u64, (from, nonce): (u8, u64), created: Option<u8>) -> OutcomeRecord {
    let mut record = with_logs(id, slot, &[]);
    record.sender = Address::repeat_byte(from);
    record.bytes = signed_with(nonce);
    record.outcome.created = created.map(Address::repeat_byte);
    record
}

#[test]
fn an_addresss_slots_are_told_from_either_end() {
    let (_dir, index) = index();
    let mut records: Vec<_> = (0..9).map(|id| between(id, 10 * u64::from(id), (1 + id % 2, id.into()), None)).collect();
    records.push(with_logs(100, 33, &[(1, vec![])]));
    index.add(A, &records, at(100)).unwrap();
    let slots = |from, to, order, count_max| {
        let found = index.involving(Address::repeat_byte(1), (Slot(from), Slot(to)), order, count_max).unwrap();
        found.into_iter().map(|slot| slot.0).collect::<Vec<_>>()
    };
    assert_eq!(slots(0, 99, Order::Ascending, 9), [0, 20, 33, 40, 60, 80]);
    assert_eq!(slots(0, 99, Order::Descending, 9), [80, 60, 40, 33, 20, 0]);
    assert_eq!(slots(1, 40, Order::Ascending, 2), [20, 33]);
    assert_eq!(slots(1, 40, Order::Descending, 2), [40, 33]);
    assert_eq!(slots(41, 59, Order::Ascending, 2), [0_u64; 0]);
    assert_eq!(slots(41, 59, Order::Descending, 2), [0_u64; 0]);
}

#[test]
fn a_transaction_is_found_by_its_nonce_and_by_what_it_created() {
    let (_dir, index) = index();
    index.add(A, &[between(1, 5, (7, 40), Some(9)), between(2, 6, (7, 41), None)], at(9)).unwrap();
    let (sender, contract) = (Address::repeat_byte(7), Address::repeat_byte(9));
    assert_eq!(index.sent(sender, 41).unwrap(), Some(B256::repeat_byte(2)));
    assert_eq!(index.sent(sender, 42).unwrap(), None);
    assert_eq!(index.sent(contract, 41).unwrap(), None);
    assert_eq!(index.creation(contract).unwrap(), Some(B256::repeat_byte(1)));
    assert_eq!(index.creation(sender).unwrap(), None);
}

#[test]
fn a_search_that_is_long_says_how_far_it_came() {
    let (_dir, index) = index();
    // Two contracts that never write in one slot.
    let records: Vec<_> =
        (0..200).map(|number| with_logs(number, u64::from(number), &[(number % 2, vec![number % 2])])).collect();
    index.add(A, &records, at(200)).unwrap();
    let query = LogQuery {
        addresses: vec![Address::repeat_byte(0)],
        topics: [vec![B256::repeat_byte(1)], vec![], vec![], vec![]],
    };
    let mut unions = vec![
        Union::new(&index.reader, LOGS, vec![address_key(&query.addresses[0])], Slot(199)),
        Union::new(&index.reader, LOGS, vec![topic_key(0, &query.topics[0][0])], Slot(199)),
    ];
    let turn = postings::common(&mut unions, Slot(0), Slot(199), 9, 10);
    assert!(turn.slots.is_empty() && turn.next > Slot(0) && turn.next < Slot(199), "{turn:?}");
    assert_eq!(found(&index, &query, 0, 199, 9), []);
}

#[test]
fn a_page_that_was_not_followed_by_its_cursor_is_brought_again_and_kept_once() {
    let (dir, index) = index();
    index.add(A, &[with_logs(1, 5, &[(1, vec![2])])], at(5)).unwrap();
    drop(index);
    let index = open(&dir);
    assert_eq!(index.place(A).open, Slot(5));
    index.add(A, &[with_logs(1, 5, &[(1, vec![2])]), with_logs(2, 6, &[])], at(9)).unwrap();
    assert_eq!(index.block(Slot(5)).unwrap().len(), 1);
    assert_eq!(index.occupied(Slot(0), Slot(9), 9).unwrap(), [Slot(5), Slot(6)]);
    assert_eq!(index.entry(B256::repeat_byte(2)).unwrap().map(|entry| entry.slot), Some(Slot(6)));
    assert_eq!(index.entry(B256::repeat_byte(3)).unwrap(), None);
}

#[test]
fn the_index_of_another_network_does_not_open() {
    let (dir, index) = index();
    drop(index);
    assert!(Index::open(dir.path(), NetworkParams { network: NetworkId(7), ..params() }).is_err());
}

#[test]
fn an_index_without_the_newer_rows_is_read_from_the_shards_again() {
    let dir = tempfile::tempdir().unwrap();
    let older = Space("index_cursors");
    let identity =
        Identity { kind: "index".to_owned(), network: NetworkId(1), name: "coordinator".to_owned(), key: None };
    let settings = store::Settings { durability: Durability::Buffered, ..store::Settings::default() };
    let spaces = [BLOCKS, SLOTS, PLACES, LOGS, older];
    let mut store = Store::open(&dir.path().join(FOLDER), &spaces, &identity, settings).unwrap();
    store.commit(&[Write::put(older, A.0.to_be_bytes(), 9_u64.to_be_bytes().to_vec())]).unwrap();
    drop(store);
    assert_eq!(open(&dir).place(A).open, Slot(0));
}

#[test]
fn what_blocks_after_a_slot_show_is_forgotten_row_by_row() {
    let (dir, index) = index();
    let kept = [with_logs(1, 10, &[(1, vec![1])]), with_logs(2, 11, &[(2, vec![1, 2])])];
    index.add(A, &kept, at(12)).unwrap();
    let before = rows_count(&index);
    let gone =
        [with_logs(3, 12, &[(1, vec![1])]), with_logs(4, 12, &[(3, vec![3])]), with_logs(5, 400, &[(2, vec![2])])];
    index.add(A, &gone, at(401)).unwrap();
    assert!(rows_count(&index) > before);
    index.forget_after(Slot(11)).unwrap();
    assert_eq!(rows_count(&index), before);
    drop(index);
    let index = open(&dir);
    assert_eq!(index.occupied(Slot(0), Slot(500), 9).unwrap(), [Slot(10), Slot(11)]);
    assert_eq!(index.entry(B256::repeat_byte(3)).unwrap(), None);
    assert_eq!(index.place(A).open, Slot(401), "and nobody is asked for it again");
    index.add(A, &gone[2..], at(402)).unwrap();
    assert!(index.entry(B256::repeat_byte(5)).unwrap().is_some(), "the same may come again");
}

/// Rows of all spaces but the cursors.
fn rows_count(index: &Index) -> usize {
    let spaces = SPACES.iter().filter(|space| **space != CURSORS);
    spaces.map(|space| index.reader.scan(*space, &[], &[], usize::MAX).len()).sum()
}

#[test]
fn what_a_delivery_called_is_kept_with_it_and_found_by_whom_it_called() {
    let (dir, index) = index();
    let (caller, target) = (Address::repeat_byte(3), Address::repeat_byte(4));
    let input = Data::from(vec![1, 2]);
    let funding = evm::Funding::Caller;
    let own = SystemTransaction::Call { caller, target, input, gas_limit: 5, value: U256::from(6), funding };
    let delivery = OutcomeRecord { bytes: Data::default(), called: Some(own), ..record(1, 5, 1) };
    index.add(A, &[delivery.clone(), record(2, 6, 1)], at(9)).unwrap();
    drop(index);
    let index = open(&dir);
    assert_eq!(index.block(Slot(5)).unwrap(), std::slice::from_ref(&delivery));
    assert_eq!(index.entry(delivery.transaction).unwrap().unwrap().record, delivery);
    assert_eq!(index.involving(target, (Slot(0), Slot(9)), Order::Ascending, 10).unwrap(), [Slot(5)]);
    index.forget(Slot(6)).unwrap();
    assert_eq!(index.involving(target, (Slot(0), Slot(9)), Order::Ascending, 10).unwrap(), []);
}

#[test]
fn a_shard_that_had_shown_nothing_yet_is_not_new() {
    let (_dir, index) = index();
    assert!(index.is_new_to(A));
    let place = LogPlace { open: Slot(100), ..LogPlace::genesis(&params(), A) };
    index.add(A, &[], place).unwrap();
    assert!(!index.is_new_to(A), "an index that ends there has a gap if the shard forgets its first blocks");
}
