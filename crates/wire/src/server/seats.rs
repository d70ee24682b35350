//! The connections of one listener: at most so many, and when there is room for no more, the idlest goes.
//!
//! ```text
//! accept --> take a seat --------------------------> call --> call --> … --> the seat is free again
//!              | full: the idlest connection that has been silent for a while is dismissed, one at a time;
//!              | while there is none, who comes waits, and connections end with their answers
//! ```
//!
//! Promise (I19): a listener holds no more connections, and no more bytes that its clients leave unread, than it is told;
//! and whoever only holds a connection, half-open or silent, locks nobody out.
//! Knows nothing of protocols: who serves a connection says when a call begins and ends, and what it has to write.

use crate::limits::{
    CONNECTION_FIRST_CALL_TIMEOUT, CONNECTION_IDLE_MAX, UNREAD_BYTES_CHECKED_MIN, UNREAD_BYTES_OF_ALL_MAX,
    UNREAD_PROGRESS_BYTES_MIN,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// All seats of a listener. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Seats(Arc<Hall>);

#[derive(Debug)]
struct Hall {
    count_max: usize,
    seated: Mutex<BTreeMap<u64, Arc<Seat>>>,
    next: AtomicU64,
    freed: Notify,
    unread_bytes: AtomicUsize,
}

/// Why a connection is closed from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Dismissal {
    /// Somebody else needs its place.
    #[error("the server is full and this connection was the idlest")]
    Idlest,
    /// It never called.
    #[error("the connection was opened and nothing was asked")]
    NeverCalled,
    /// It has not called for long.
    #[error("nothing was asked for too long")]
    Idle,
    /// It asks and does not read.
    #[error("the client does not read its answers")]
    Unread,
    /// The server has drained.
    #[error("the server is stopping")]
    Stopping,
}

/// Who goes first: the least.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Idleness {
    /// A subscriber waits by right.
    is_standing: bool,
    has_called: bool,
    active: Instant,
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    hall: Arc<Hall>,
    state: Mutex<State>,
    dismissed: CancellationToken,
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own about one connection")]
struct State {
    /// Calls in work, answers that are being read included.
    calls_count: usize,
    has_called: bool,
    /// Held open by both sides without a call: a WebSocket.
    is_standing: bool,
    active: Instant,
    unread_bytes: usize,
    /// Written since the last look at whether the client reads.
    written_bytes: usize,
    /// Whether it had read too little at the last look. What was given to read just before a look is no sign.
    is_behind: bool,
    dismissal: Option<Dismissal>,
    is_free: bool,
}

impl Seats {
    /// So many seats.
    pub(crate) fn new(count_max: usize) -> Self {
        Self(Arc::new(Hall {
            count_max,
            seated: Mutex::default(),
            next: AtomicU64::new(0),
            freed: Notify::new(),
            unread_bytes: AtomicUsize::new(0),
        }))
    }

    /// A seat, as soon as there is one: where all are taken, the idlest connection is dismissed first. It waits while every
    /// connection has a call in work, or may be about to call.
    pub(crate) async fn take(&self) -> Held {
        loop {
            let freed = self.0.freed.notified();
            if let Some(held) = self.try_take() {
                return held;
            }
            let _ = timeout(SEAT_SILENT_MIN, freed).await;
        }
    }

    fn try_take(&self) -> Option<Held> {
        let mut seated = self.0.lock();
        if seated.len() >= self.0.count_max {
            if seated.values().any(|seat| seat.dismissal() == Some(Dismissal::Idlest)) {
                return None;
            }
            let idlest = seated
                .values()
                .filter_map(|seat| Some((seat.idleness()?, seat)))
                .min_by(|(one, _), (other, _)| one.cmp(other));
            if let Some((idleness, seat)) = idlest
                && idleness.active.elapsed() >= SEAT_SILENT_MIN
            {
                seat.dismiss(Dismissal::Idlest);
            }
            return None;
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat::new(number, Arc::clone(&self.0)));
        seated.insert(number, Arc::clone(&seat));
        Some(Held(seat))
    }

    /// Whether all are taken.
    fn are_taken(&self) -> bool {
        self.count() >= self.0.count_max
    }

    /// How many are taken.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Bytes that all clients have not read yet.
    #[cfg(test)]
    pub(crate) fn unread_bytes(&self) -> usize {
        self.0.unread_bytes.load(Ordering::Relaxed)
    }

    /// Waits until all are free.
    pub(crate) async fn all_free(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.count() == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Sends every connection away.
    pub(crate) fn dismiss_all(&self) {
        let seated: Vec<Arc<Seat>> = self.0.lock().values().cloned().collect();
        for seat in seated {
            seat.dismiss(Dismissal::Stopping);
        }
    }
}

impl Hall {
    /// Dismisses those who leave most unread until the rest leaves what is allowed: nobody else pays for it.
    fn dismiss_who_leaves_most(&self) {
        let seated: Vec<Arc<Seat>> = self.lock().values().cloned().collect();
        let mut staying: Vec<(usize, Arc<Seat>)> = seated
            .into_iter()
            .filter(|seat| seat.dismissal().is_none())
            .map(|seat| (seat.unread_bytes(), seat))
            .collect();
        staying.sort_unstable_by_key(|(unread, _)| *unread);
        let mut left: usize = staying.iter().map(|(unread, _)| unread).sum();
        while left > UNREAD_BYTES_OF_ALL_MAX
            && let Some((unread, seat)) = staying.pop()
        {
            seat.dismiss(Dismissal::Unread);
            left -= unread;
        }
    }

    /// The map behind the lock is whole after every operation, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Seat>>> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A seat that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Held(Arc<Seat>);

impl Held {
    /// The seat, for those who serve the connection.
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.free();
        self.0.hall.lock().remove(&self.0.number);
        self.0.hall.freed.notify_waiters();
    }
}

/// A call in work, until this is dropped.
#[derive(Debug)]
pub(crate) struct InWork(Arc<Seat>);

impl InWork {
    /// Whose call it is.
    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.0
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.calls_count -= 1;
        state.active = Instant::now();
    }
}

impl Seat {
    fn new(number: u64, hall: Arc<Hall>) -> Self {
        let state = State {
            calls_count: 0,
            has_called: false,
            is_standing: false,
            active: Instant::now(),
            unread_bytes: 0,
            written_bytes: 0,
            is_behind: false,
            dismissal: None,
            is_free: false,
        };
        Self { number, hall, state: Mutex::new(state), dismissed: CancellationToken::new() }
    }

    /// Begins a call.
    pub(crate) fn begin(self: &Arc<Self>) -> InWork {
        let mut state = self.lock();
        state.calls_count += 1;
        state.has_called = true;
        state.active = Instant::now();
        drop(state);
        InWork(Arc::clone(self))
    }

    /// What tells it from the listener's other connections.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether a call ever began.
    pub(crate) fn has_called(&self) -> bool {
        self.lock().has_called
    }

    /// Calls in work.
    pub(crate) fn calls_count(&self) -> usize {
        self.lock().calls_count
    }

    /// Says that both sides hold the connection open without a call, so that silence is no reason to close it.
    pub(crate) fn stand(&self) {
        self.lock().is_standing = true;
    }

    /// Whether it stands.
    pub(crate) fn is_standing(&self) -> bool {
        self.lock().is_standing
    }

    /// Notes bytes that the client has been given to read.
    pub(crate) fn add_unread(&self, bytes: usize) {
        let mut state = self.lock();
        if !state.is_free {
            state.active = Instant::now();
            state.unread_bytes += bytes;
            self.hall.unread_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        drop(state);
        if self.hall.unread_bytes.load(Ordering::Relaxed) > UNREAD_BYTES_OF_ALL_MAX {
            self.hall.dismiss_who_leaves_most();
        }
    }

    /// Notes bytes that left for the client: what a pipe holds is bounded by the system.
    pub(crate) fn note_written(&self, bytes: usize) {
        let mut state = self.lock();
        let read = bytes.min(state.unread_bytes);
        state.unread_bytes -= read;
        state.written_bytes = state.written_bytes.saturating_add(bytes);
        self.hall.unread_bytes.fetch_sub(read, Ordering::Relaxed);
    }

    /// Bytes that this client has not read yet.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.lock().unread_bytes
    }

    /// Closes the connection, soon. The first reason stays.
    pub(crate) fn dismiss(&self, reason: Dismissal) {
        let first = *self.lock().dismissal.get_or_insert(reason);
        if !self.dismissed.is_cancelled() && first == Dismissal::Unread {
            tracing::info!(bytes = self.unread_bytes(), "a client that does not read was cut off");
        }
        self.dismissed.cancel();
    }

    /// Why the connection is to be closed, if it is.
    pub(crate) fn dismissal(&self) -> Option<Dismissal> {
        self.lock().dismissal
    }

    /// Whether somebody else may be waiting for a seat.
    pub(crate) fn is_wanted(&self) -> bool {
        Seats(Arc::clone(&self.hall)).are_taken()
    }

    /// What ends when the connection is dismissed.
    pub(crate) fn dismissed(&self) -> CancellationToken {
        self.dismissed.clone()
    }

    /// Looks, now and then, whether the connection is worth its seat, and dismisses it if not.
    pub(crate) fn look(&self) {
        let mut state = self.lock();
        let silent = state.active.elapsed();
        let reads = state.written_bytes >= UNREAD_PROGRESS_BYTES_MIN || state.unread_bytes < UNREAD_BYTES_CHECKED_MIN;
        state.written_bytes = 0;
        let was_behind = std::mem::replace(&mut state.is_behind, !reads);
        let reason = match &*state {
            State { is_behind: true, .. } if was_behind => Some(Dismissal::Unread),
            State { calls_count: 1.., .. } | State { is_standing: true, .. } => None,
            State { has_called: false, .. } if silent >= CONNECTION_FIRST_CALL_TIMEOUT => Some(Dismissal::NeverCalled),
            _ if silent >= CONNECTION_IDLE_MAX => Some(Dismissal::Idle),
            _ => None,
        };
        drop(state);
        if let Some(reason) = reason {
            self.dismiss(reason);
        }
    }

    /// What the idlest has least of. None with a call in work, and none where it is on its way out.
    fn idleness(&self) -> Option<Idleness> {
        let state = self.lock();
        let is_idle = state.calls_count == 0 && state.dismissal.is_none();
        is_idle.then(|| Idleness { is_standing: state.is_standing, has_called: state.has_called, active: state.active })
    }

    fn free(&self) {
        let mut state = self.lock();
        state.is_free = true;
        let unread = std::mem::take(&mut state.unread_bytes);
        self.hall.unread_bytes.fetch_sub(unread, Ordering::Relaxed);
    }

    /// The state behind the lock is whole after every operation, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a connection has to be silent before somebody else may get its seat: its call may be on its way.
const SEAT_SILENT_MIN: Duration = Duration::from_millis(200);

/// How long until a connection is looked at again.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(seats: &Seats) -> Held {
        seats.try_take().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_called_goes_before_who_has_called_and_who_calls_stays() {
        let seats = Seats::new(3);
        let (calls, called, silent) = (taken(&seats), taken(&seats), taken(&seats));
        let in_work = calls.seat().begin();
        drop(called.seat().begin());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(seats.try_take().is_none());
        let reasons = || [&calls, &called].map(|held| held.seat().dismissal());
        assert_eq!((reasons(), silent.seat().dismissal()), ([None, None], Some(Dismissal::Idlest)));
        assert!(seats.try_take().is_none());
        assert_eq!(reasons(), [None, None], "one place is about to be free");
        drop(silent);
        let another = taken(&seats);
        assert!(seats.try_take().is_none());
        assert_eq!((reasons(), another.seat().dismissal()), ([None, None], None), "it may be about to call");
        tokio::time::advance(SEAT_SILENT_MIN).await;
        assert!(seats.try_take().is_none());
        assert_eq!((reasons(), another.seat().dismissal()), ([None, None], Some(Dismissal::Idlest)));
        drop(another);
        let another = taken(&seats);
        drop(another.seat().begin());
        tokio::time::advance(SEAT_SILENT_MIN).await;
        assert!(seats.try_take().is_none());
        assert_eq!((reasons(), another.seat().dismissal()), ([None, Some(Dismissal::Idlest)], None));
        drop(in_work);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_or_called_is_not_sent_away() {
        let seats = Seats::new(1);
        let held = taken(&seats);
        assert!(seats.try_take().is_none());
        assert_eq!(held.seat().dismissal(), None);
        tokio::time::advance(SEAT_SILENT_MIN).await;
        assert!(held.seat().is_wanted() && seats.try_take().is_none());
        assert_eq!(held.seat().dismissal(), Some(Dismissal::Idlest));
    }

    #[tokio::test]
    async fn who_waits_for_a_seat_gets_the_one_that_is_left() {
        let seats = Seats::new(1);
        let held = taken(&seats);
        let leaving = held.seat().dismissed();
        tokio::spawn(async move {
            leaving.cancelled().await;
            drop(held);
        });
        let next = seats.take().await;
        assert_eq!(seats.count(), 1);
        drop(next);
        seats.all_free().await;
    }

    #[tokio::test]
    async fn bytes_left_unread_are_counted_and_go_with_their_connection() {
        let seats = Seats::new(2);
        let (one, other) = (taken(&seats), taken(&seats));
        one.seat().add_unread(100);
        other.seat().add_unread(10);
        one.seat().note_written(30);
        other.seat().note_written(1_000);
        assert_eq!((one.seat().unread_bytes(), seats.unread_bytes()), (70, 70));
        let seat = Arc::clone(one.seat());
        drop(one);
        seat.add_unread(5);
        assert_eq!(seats.unread_bytes(), 0, "nobody reads for a connection that is gone");
    }

    #[tokio::test]
    async fn those_who_leave_most_unread_are_cut_off_and_nobody_else() {
        let seats = Seats::new(3);
        let (most, more, little) = (taken(&seats), taken(&seats), taken(&seats));
        little.seat().add_unread(1_000);
        more.seat().add_unread(UNREAD_BYTES_OF_ALL_MAX / 2 - 10_000);
        most.seat().add_unread(UNREAD_BYTES_OF_ALL_MAX / 2);
        let reasons = || [&most, &more, &little].map(|held| held.seat().dismissal());
        assert_eq!(reasons(), [None; 3]);
        little.seat().add_unread(20_000);
        assert_eq!(reasons(), [Some(Dismissal::Unread), None, None]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_keeps_its_seat_before_those_who_only_called() {
        let seats = Seats::new(2);
        let (standing, called) = (taken(&seats), taken(&seats));
        drop(standing.seat().begin());
        standing.seat().stand();
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(called.seat().begin());
        let reasons = || [&standing, &called].map(|held| held.seat().dismissal());
        assert!(seats.try_take().is_none());
        assert_eq!(reasons(), [None, None]);
        tokio::time::advance(SEAT_SILENT_MIN).await;
        assert!(seats.try_take().is_none());
        assert_eq!(reasons(), [None, Some(Dismissal::Idlest)]);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_dismissed_and_a_slow_one_is_not() {
        let seats = Seats::new(1);
        let held = taken(&seats);
        held.seat().add_unread(UNREAD_BYTES_CHECKED_MIN + UNREAD_PROGRESS_BYTES_MIN);
        held.seat().note_written(UNREAD_PROGRESS_BYTES_MIN);
        let looked = || {
            held.seat().look();
            held.seat().dismissal()
        };
        assert_eq!([looked(), looked(), looked()], [None, None, Some(Dismissal::Unread)]);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_connection_unless_it_stands() {
        let seats = Seats::new(3);
        let (silent, called, standing) = (taken(&seats), taken(&seats), taken(&seats));
        drop(called.seat().begin());
        drop(standing.seat().begin());
        standing.seat().stand();
        let reasons = || {
            [&silent, &called, &standing].map(|held| {
                held.seat().look();
                held.seat().dismissal()
            })
        };
        assert_eq!(reasons(), [None; 3]);
        tokio::time::advance(CONNECTION_FIRST_CALL_TIMEOUT).await;
        assert_eq!(reasons(), [Some(Dismissal::NeverCalled), None, None]);
        tokio::time::advance(CONNECTION_IDLE_MAX).await;
        assert_eq!(reasons(), [Some(Dismissal::NeverCalled), Some(Dismissal::Idle), None]);
    }
}
