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
    let ticket = lives.begin(id, Vec::new());
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
    let ticket = lives.begin(id, Vec::new());
    let waiting = tokio::spawn({
        let lives = Arc::clone(&lives);
        async move { lives.passed(id, 0).await }
    });
    tokio::task::yield_now().await;
    lives.forget(ticket);
    assert_eq!(waiting.await.unwrap(), None);
}
