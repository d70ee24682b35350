use super::*;
use primitives::Time;
use std::sync::mpsc;
use std::time::Duration;

fn told(ticket: Ticket, event: Event) -> Vec<Reply> {
    vec![Reply { ticket, time: Time(1), event }]
}

/// Found by killing a network under load: a submission kept what its wait ended with, a lock, while it looked at its life;
/// whoever brought the next word held the other lock, and the coordinator stood still.
#[tokio::test]
async fn what_a_wait_ends_with_stops_nobody_who_brings_the_next_word() {
    let (lives, id) = (Arc::new(Lives::default()), B256::with_last_byte(1));
    let ticket = lives.begin(id, Vec::new()).unwrap();
    lives.note(told(ticket, Event::Accepted));
    let first = lives.passed(id, 0).await;
    let (done, is_done) = mpsc::channel();
    let bringer = Arc::clone(&lives);
    std::thread::spawn(move || {
        bringer.note(told(ticket, Event::SentLocally { shard: ShardId(0) }));
        done.send(()).unwrap();
    });
    assert!(is_done.recv_timeout(Duration::from_secs(20)).is_ok(), "the next word cannot be brought");
    assert_eq!((first, lives.passed(id, 1).await), (Some(1), Some(2)));
}

#[tokio::test]
async fn a_life_that_is_forgotten_or_unknown_ends_the_wait_for_it() {
    let (lives, id) = (Arc::new(Lives::default()), B256::with_last_byte(1));
    assert_eq!(lives.passed(id, 0).await, None);
    let ticket = lives.begin(id, Vec::new()).unwrap();
    let waiting = tokio::spawn({
        let lives = Arc::clone(&lives);
        async move { lives.passed(id, 0).await }
    });
    tokio::task::yield_now().await;
    lives.forget(ticket);
    assert_eq!(waiting.await.unwrap(), None);
}

fn signed(byte: u8, nonce: u64) -> Signed {
    Signed { hash: B256::repeat_byte(byte), sender: Address::repeat_byte(9), nonce, bytes: Data::default() }
}

#[test]
fn what_is_accepted_is_told_as_pending_once_and_is_under_way_until_it_ends() {
    let (lives, sender) = (Lives::default(), Address::repeat_byte(9));
    let [first, later] =
        [1, 2].map(|byte| lives.begin(B256::repeat_byte(byte), vec![signed(byte, byte.into())]).unwrap());
    assert!(lives.under_way(None).is_empty(), "what may yet be refused is not pending");
    lives.note(told(first, Event::Executed { participants: [ShardId(0)].into() }));
    lives.note(told(later, Event::AwaitsNonce { transaction: 2, state: 1 }));
    lives.note(told(first, Event::Queued { key: evm::StateKey::Account(sender) }));
    let arrivals = lives.intake().page(0).arrivals;
    assert_eq!(arrivals.iter().map(|arrival| arrival.hash).collect::<Vec<_>>(), [1, 2].map(B256::repeat_byte));
    let under_way =
        |sender| lives.under_way(sender).into_iter().map(|one| (one.nonce, one.is_ahead)).collect::<Vec<_>>();
    assert_eq!(under_way(Some(sender)), [(1, false), (2, true)]);
    assert_eq!(under_way(Some(Address::ZERO)), []);
    lives.note(told(first, refusal()));
    assert_eq!(under_way(None), [(2, true)]);
}

#[test]
fn a_replacement_that_is_refused_leaves_the_first_under_way() {
    let (lives, sender) = (Lives::default(), Address::repeat_byte(9));
    let [first, second] = [1, 2].map(|byte| lives.begin(B256::repeat_byte(byte), vec![signed(byte, 0)]).unwrap());
    lives.note(told(first, Event::Executed { participants: [ShardId(0)].into() }));
    lives.note(told(second, refusal()));
    assert_eq!(lives.next_nonce(sender, 0), 1);
    assert_eq!(lives.under_way(None).len(), 1);
}

fn refusal() -> Event {
    Event::Refused(Box::new(Refusal::Unsettled))
}

#[test]
fn of_two_equal_submissions_at_once_one_begins() {
    let (lives, id) = (Arc::new(Lives::default()), B256::repeat_byte(1));
    let begin = |_| {
        let lives = Arc::clone(&lives);
        std::thread::spawn(move || lives.begin(id, vec![signed(1, 0)]))
    };
    let threads: Vec<_> = (0..8).map(begin).collect();
    let ends: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1);
    assert!(ends.contains(&Err(id)));
}

#[test]
fn a_transaction_of_a_bundle_under_way_is_known_by_its_own_hash() {
    let lives = Lives::default();
    let bundle = lives.begin(B256::repeat_byte(7), vec![signed(1, 0), signed(2, 1)]).unwrap();
    assert_eq!(lives.begin(B256::repeat_byte(2), vec![signed(2, 1)]), Err(B256::repeat_byte(2)));
    lives.note(told(bundle, refusal()));
    assert!(lives.begin(B256::repeat_byte(2), vec![signed(2, 1)]).is_ok(), "what was refused may be tried again");
}

#[test]
fn what_was_accepted_and_refused_is_found_with_the_reason_and_what_was_not_accepted_is_not() {
    let lives = Lives::default();
    let [accepted, refused] = [1, 2].map(|byte| lives.begin(B256::repeat_byte(byte), vec![signed(byte, 0)]).unwrap());
    lives.note(told(accepted, Event::Executed { participants: [ShardId(0)].into() }));
    let lost = lives.note([told(accepted, refusal()), told(refused, refusal())].concat());
    let [lost] = &lost[..] else { panic!("{lost:?}") };
    assert_eq!(lost.transactions[0].hash, B256::repeat_byte(1));
    let ended = Ended { time: Time(1), reason: Refusal::Unsettled.to_string() };
    assert_eq!(lives.refusal(B256::repeat_byte(1)), Some(ended));
    assert_eq!(lives.refusal(B256::repeat_byte(2)), None);
}

#[test]
fn the_first_word_is_said_when_the_first_try_is_over() {
    let is_settled = |events: Vec<Event>| {
        let (lives, id) = (Lives::default(), B256::repeat_byte(1));
        let ticket = lives.begin(id, vec![signed(1, 0)]).unwrap();
        for event in events {
            drop(lives.note(told(ticket, event)));
        }
        lives.look(id, |life| *life.milestone.borrow() == Milestone::Settled).unwrap()
    };
    let executed = || Event::Executed { participants: [ShardId(0)].into() };
    let local = || Event::SentLocally { shard: ShardId(0) };
    assert!(!is_settled(vec![Event::Accepted, executed(), local()]));
    let tries = |count: usize| [Event::Accepted].into_iter().chain((0..count).flat_map(|_| [executed(), local()]));
    assert!(!is_settled(tries(3).collect()), "its shard may yet refuse it for good");
    assert!(is_settled(tries(4).collect()), "it is tried again and again");
    assert!(is_settled(vec![Event::Accepted, Event::AwaitsNonce { transaction: 2, state: 1 }]));
    assert!(is_settled(vec![Event::Accepted, refusal()]));
}

#[tokio::test]
async fn whoever_submitted_is_woken_when_it_is_accepted_and_when_it_has_ended_and_not_between() {
    let (lives, id) = (Lives::default(), B256::repeat_byte(1));
    let ticket = lives.begin(id, vec![signed(1, 0)]).unwrap();
    let mut milestones = lives.look(id, |life| life.milestone.subscribe()).unwrap();
    let mut woken = |event: Event| {
        drop(lives.note(told(ticket, event)));
        let is_woken = milestones.has_changed().unwrap();
        milestones.mark_unchanged();
        is_woken
    };
    assert!(!woken(Event::Accepted), "it is taken in, and not kept yet");
    assert!(woken(Event::Executed { participants: [ShardId(0)].into() }));
    assert!(!woken(Event::SentLocally { shard: ShardId(0) }));
    assert!(woken(refusal()));
    lives.reached(id, Milestone::Accepted).await;
    lives.reached(id, Milestone::Settled).await;
}

#[tokio::test]
async fn a_wait_for_a_life_that_is_unknown_or_forgotten_ends() {
    let (lives, id) = (Arc::new(Lives::default()), B256::repeat_byte(1));
    lives.reached(id, Milestone::Settled).await;
    let ticket = lives.begin(id, vec![signed(1, 0)]).unwrap();
    let waiting = tokio::spawn({
        let lives = Arc::clone(&lives);
        async move { lives.reached(id, Milestone::Accepted).await }
    });
    tokio::task::yield_now().await;
    lives.forget(ticket);
    waiting.await.unwrap();
}

#[test]
fn lives_that_have_ended_are_forgotten_when_they_take_too_much_memory() {
    let (lives, large) = (Lives::default(), Data::from(vec![0; ENDED_BYTES_MAX / 2]));
    let ids = [1, 2, 3].map(B256::repeat_byte);
    for (id, byte) in ids.into_iter().zip(1..) {
        let ticket = lives.begin(id, vec![Signed { bytes: large.clone(), ..signed(byte, byte.into()) }]).unwrap();
        lives.note(told(ticket, refusal()));
    }
    let is_known = ids.map(|id| lives.look(id, |_| ()).is_some());
    assert_eq!(is_known, [false, false, true], "two of them are too much, with what belongs to them");
    let registry = lives.lock();
    assert_eq!((registry.ended.len(), registry.lives.len(), registry.tickets.len()), (1, 1, 1));
}

#[test]
fn what_has_ended_is_forgotten_where_it_may_be_done_again_and_what_is_under_way_is_not() {
    let lives = Lives::default();
    let begin = |byte| lives.begin(B256::repeat_byte(byte), vec![signed(byte, byte.into())]);
    let [done, refused, going] = [1, 2, 3].map(|byte| begin(byte).unwrap());
    for ticket in [done, refused, going] {
        lives.note(told(ticket, Event::Executed { participants: [ShardId(0)].into() }));
    }
    lives.note(told(refused, Event::Refused(Box::new(Refusal::Busy))));
    lives.note(told(done, Event::Refused(Box::new(Refusal::Busy))));
    assert!(lives.refusal(B256::repeat_byte(2)).is_some());
    lives.forget_ended();
    assert_eq!(lives.refusal(B256::repeat_byte(2)), None);
    assert!(begin(1).is_ok() && begin(2).is_ok());
    assert_eq!(begin(3), Err(B256::repeat_byte(3)), "it is under way");
}
