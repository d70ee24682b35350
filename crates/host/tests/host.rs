//! What a host promises its callers and its machine.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod fixture;

use dovetail_host::{Bounds, CallError, Class, HostError, State};
use fixture::{Input, SETTINGS, add, host, start, store, sum};
use std::sync::mpsc;
use std::task::Poll;
use store::Settings;

#[tokio::test]
async fn every_call_gets_its_own_reply() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path());
    let calls = (0..100).map(|_| {
        let handle = running.handle.clone();
        tokio::spawn(async move { handle.call(Class::New, add(1)).await.unwrap() })
    });
    let mut tickets = Vec::new();
    let mut sums = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let (ticket, sum) = call.await.unwrap();
        tickets.push(ticket);
        sums.push(sum);
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=100).collect::<Vec<_>>());
    tickets.sort_unstable();
    tickets.dedup();
    assert_eq!(tickets.len(), 100);
}

#[tokio::test]
async fn inputs_that_came_during_a_step_share_the_next_batch() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path());
    let go = hold(&running.handle).await;
    for _ in 0..50 {
        running.handle.tell(Class::New, Input::Add { ticket: None, value: 1 }).await.unwrap();
    }
    go.send(()).unwrap();
    let (_, sum) = running.handle.call(Class::UnderWay, add(1)).await.unwrap();
    assert_eq!(sum, 51);
    // The last call may have missed the step of the others.
    assert!(*running.handle.committed().borrow() <= 2);
}

#[tokio::test]
async fn sends_come_out_in_order_with_the_batch_that_is_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path());
    running.handle.call(Class::New, add(7)).await.unwrap();
    let handout = running.handouts.recv().await.unwrap();
    assert_eq!((handout.sends, handout.sequence), (vec![7], 1));
    assert!(handout.notices.is_empty());
    running.handle.tell(Class::New, Input::Add { ticket: None, value: 2 }).await.unwrap();
    let handout = running.handouts.recv().await.unwrap();
    assert_eq!((handout.sends, handout.notices), (vec![2], vec![(None, 9)]));
    assert_eq!(sum(&running.handle.reader()), 9);
}

#[tokio::test]
async fn a_machine_is_woken_without_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path());
    running.handle.tell(Class::New, Input::WakeLater).await.unwrap();
    assert_eq!(running.handouts.recv().await.unwrap().sends, [0]);
}

#[tokio::test]
async fn a_failed_read_stops_the_host_before_anything_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path());
    let reply = running.handle.call(Class::New, |ticket| Input::ReadNowhere { ticket }).await;
    assert_eq!(reply, Err(CallError::Stopped));
    assert!(matches!(running.lifeline.ended().await, Err(HostError::Fault(_))));
    assert!(running.handouts.recv().await.is_none());
    assert_eq!(running.handle.call(Class::UnderWay, add(1)).await, Err(CallError::Stopped));
}

#[tokio::test]
async fn a_machine_that_panics_leaves_no_caller_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path());
    let handle = running.handle.clone();
    let go = hold(&handle).await;
    let mut call = Box::pin(handle.call(Class::New, add(1)));
    assert!(poll_once(call.as_mut()).await.is_pending());
    let mut ignored = Box::pin(handle.call(Class::New, |_| Input::Ignore));
    assert!(poll_once(ignored.as_mut()).await.is_pending());
    handle.tell(Class::New, Input::Panic).await.unwrap();
    go.send(()).unwrap();
    assert_eq!(ignored.await, Err(CallError::Stopped));
    assert_eq!(call.await, Err(CallError::Stopped));
    assert!(matches!(running.lifeline.ended().await, Err(HostError::Panicked)));
}

#[tokio::test]
async fn a_drain_finishes_the_queue_and_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(folder.path());
    let go = hold(&running.handle).await;
    for _ in 0..20 {
        running.handle.tell(Class::New, Input::Add { ticket: None, value: 1 }).await.unwrap();
    }
    running.lifeline.drain();
    go.send(()).unwrap();
    running.lifeline.ended().await.unwrap();
    assert_eq!(running.handle.call(Class::New, add(1)).await, Err(CallError::Stopped));
    assert_eq!(running.handle.call(Class::UnderWay, add(1)).await, Err(CallError::Stopped));
    drop(running);
    assert_eq!(sum(&store(folder.path(), SETTINGS).reader()), 20);
}

#[tokio::test]
async fn a_full_queue_refuses_new_work_and_lets_work_under_way_wait() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { inputs_queued_count_max: 2, ..Bounds::default() };
    let running = host(folder.path(), SETTINGS, bounds).spawn().unwrap();
    let handle = running.handle.clone();
    let go = hold(&handle).await;
    for _ in 0..2 {
        handle.tell(Class::New, Input::Add { ticket: None, value: 1 }).await.unwrap();
    }
    assert_eq!(handle.call(Class::New, add(1)).await, Err(CallError::Busy));
    let mut under_way = Box::pin(handle.call(Class::UnderWay, add(1)));
    assert!(poll_once(under_way.as_mut()).await.is_pending());
    go.send(()).unwrap();
    assert_eq!(under_way.await.unwrap().1, 3);
}

#[tokio::test]
async fn a_call_that_was_dropped_gives_its_place_back() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { calls_waiting_count_max: 1, ..Bounds::default() };
    let running = host(folder.path(), SETTINGS, bounds).spawn().unwrap();
    let mut ignored = Box::pin(running.handle.call(Class::New, |_| Input::Ignore));
    assert!(poll_once(ignored.as_mut()).await.is_pending());
    assert_eq!(running.handle.call(Class::New, add(1)).await, Err(CallError::Busy));
    drop(ignored);
    assert_eq!(running.handle.call(Class::New, add(1)).await.unwrap().1, 1);
}

#[tokio::test]
async fn a_full_disk_refuses_new_work_and_takes_work_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let full = Settings { bytes_free_min: Some(u64::MAX), ..SETTINGS };
    let host = host(folder.path(), full, Bounds::default());
    let health = host.health.clone();
    health.set(State::Ready);
    let running = host.spawn().unwrap();
    // The first step has looked at the disk when the first call is answered.
    assert_eq!(running.handle.call(Class::UnderWay, add(1)).await.unwrap().1, 1);
    assert_eq!(running.handle.call(Class::New, add(1)).await, Err(CallError::DiskFull));
    let readiness = health.readiness();
    assert!(!readiness.is_ready && readiness.text.contains("free some space"), "{readiness:?}");
}

#[tokio::test]
async fn sends_that_nobody_takes_are_dropped_and_replies_still_come() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { handouts_queued_count_max: 1, ..Bounds::default() };
    let mut running = host(folder.path(), SETTINGS, bounds).spawn().unwrap();
    for number in 1..=5 {
        assert_eq!(running.handle.call(Class::New, add(1)).await.unwrap().1, number);
    }
    assert_eq!(running.handouts.recv().await.unwrap().sequence, 1);
}

#[tokio::test]
async fn notices_that_nobody_takes_in_time_wait_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = Bounds { handouts_queued_count_max: 1, inputs_per_step_count_max: 1, ..Bounds::default() };
    let mut running = host(folder.path(), SETTINGS, bounds).spawn().unwrap();
    for _ in 0..5 {
        running.handle.tell(Class::New, Input::Add { ticket: None, value: 1 }).await.unwrap();
    }
    let mut sums = Vec::new();
    while sums.len() < 5 {
        sums.extend(running.handouts.recv().await.unwrap().notices.into_iter().map(|(_, sum)| sum));
    }
    assert_eq!(sums, [1, 2, 3, 4, 5]);
}

/// Holds the machine inside a step; it goes on when the test says so.
async fn hold(handle: &dovetail_host::Handle<Input, fixture::Reply>) -> mpsc::Sender<()> {
    let (begun, has_begun) = mpsc::channel();
    let (say_go, go) = mpsc::channel();
    handle.tell(Class::UnderWay, Input::Hold { begun, go }).await.unwrap();
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
    say_go
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn a_host_that_is_dropped_ends_before_its_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path());
    running.handle.tell(Class::New, Input::Add { ticket: None, value: 3 }).await.unwrap();
    drop(running);
    assert_eq!(sum(&store(folder.path(), SETTINGS).reader()), 3);
}
