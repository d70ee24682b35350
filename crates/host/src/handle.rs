//! How callers reach a machine: inputs in, replies out, one ticket each.

use crate::metrics::Instruments;
use primitives::Time;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Reader;
use tokio::sync::{mpsc, oneshot, watch};

/// What ties a reply to the call that waits for it. It lives in memory only and means nothing to another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Whether an input starts something or lets something end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// New work: refused at once when the queue or the disk is full.
    New,
    /// Work under way (a decision, an acknowledgement, a query): waits for its place in the queue, and is taken on a
    /// full disk.
    UnderWay,
}

/// Why a call has no reply. The machine may have taken the input all the same unless the variant says not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The queue is full; the input was not taken. Try again later.
    #[error("too much is waiting already: try again later")]
    Busy,
    /// The disk is too full for new work; the input was not taken.
    #[error("the disk is too full for new work: free some space")]
    DiskFull,
    /// The host is draining or has stopped.
    #[error("the process is stopping: try again elsewhere or later")]
    Stopped,
}

/// What a step gave out beside replies that a call waits for.
#[derive(Debug)]
pub struct Handout<S, R> {
    /// When the step was.
    pub time: Time,
    /// The store's last batch then; all of it is on the disk.
    pub sequence: u64,
    /// For other parties, in order.
    pub sends: Vec<S>,
    /// Replies without a ticket, in order.
    pub notices: Vec<R>,
}

/// Where inputs go in. Clones are cheap.
pub struct Handle<I, R> {
    shared: Arc<Shared<I, R>>,
}

pub(crate) struct Shared<I, R> {
    pub(crate) inputs: mpsc::Sender<I>,
    pub(crate) disk_full: AtomicBool,
    pub(crate) waiting: Waiting<R>,
    pub(crate) instruments: Instruments,
    pub(crate) reader: Reader,
    pub(crate) committed: watch::Receiver<u64>,
}

impl<I, R> Handle<I, R> {
    pub(crate) fn new(shared: Arc<Shared<I, R>>) -> Self {
        Self { shared }
    }

    /// Gives the machine the input that `input` makes of a fresh ticket, and waits for the reply with that ticket.
    ///
    /// There is no deadline here: wrap it in one. A call that is dropped leaves nothing behind.
    ///
    /// # Errors
    /// [`CallError`]; after `Stopped` the machine may still have taken the input.
    pub async fn call(&self, class: Class, input: impl FnOnce(Ticket) -> I) -> Result<R, CallError> {
        let mut seat = self.shared.waiting.seat().ok_or_else(|| self.refused(CallError::Busy))?;
        self.tell(class, input(seat.ticket)).await?;
        (&mut seat.reply).await.map_err(|_| CallError::Stopped)
    }

    /// Gives the machine an input that nobody waits for.
    ///
    /// # Errors
    /// [`CallError`]; the input was not taken.
    pub async fn tell(&self, class: Class, input: I) -> Result<(), CallError> {
        match class {
            Class::New if self.shared.disk_full.load(Ordering::Relaxed) => Err(self.refused(CallError::DiskFull)),
            Class::New => self.shared.inputs.try_send(input).map_err(|error| {
                self.refused(match error {
                    mpsc::error::TrySendError::Full(_) => CallError::Busy,
                    mpsc::error::TrySendError::Closed(_) => CallError::Stopped,
                })
            }),
            Class::UnderWay => self.shared.inputs.send(input).await.map_err(|_| self.refused(CallError::Stopped)),
        }
    }

    /// Reads of the machine's store, beside the machine. Take a snapshot of it for more than one read.
    pub fn reader(&self) -> Reader {
        self.shared.reader.clone()
    }

    /// The number of the last batch, as it grows: what a stream waits for before it reads on from its cursor.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.shared.committed.clone()
    }

    fn refused(&self, error: CallError) -> CallError {
        self.shared.instruments.call_refused(error);
        error
    }
}

impl<I, R> Clone for Handle<I, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<I, R> fmt::Debug for Handle<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The calls that wait for a reply.
pub(crate) struct Waiting<R> {
    seats: Arc<Mutex<BTreeMap<Ticket, oneshot::Sender<R>>>>,
    count_max: usize,
    next: AtomicU64,
}

impl<R> Waiting<R> {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { seats: Arc::default(), count_max, next: AtomicU64::new(1) }
    }

    /// Gives `reply` to the call with `ticket`; a call that no longer waits has no use for it.
    pub(crate) fn answer(&self, ticket: Ticket, reply: R) {
        if let Some(seat) = lock(&self.seats).remove(&ticket) {
            // An error says that the caller left this very moment.
            let _ = seat.send(reply);
        }
    }

    /// Sends every waiting call away.
    pub(crate) fn close(&self) {
        lock(&self.seats).clear();
    }

    fn seat(&self) -> Option<Seat<R>> {
        let (sender, reply) = oneshot::channel();
        let ticket = Ticket(self.next.fetch_add(1, Ordering::Relaxed));
        let mut seats = lock(&self.seats);
        if seats.len() >= self.count_max {
            return None;
        }
        seats.insert(ticket, sender);
        Some(Seat { ticket, reply, seats: Arc::clone(&self.seats) })
    }
}

/// One waiting call; its place is free again when it is dropped, answered or not.
struct Seat<R> {
    ticket: Ticket,
    reply: oneshot::Receiver<R>,
    seats: Arc<Mutex<BTreeMap<Ticket, oneshot::Sender<R>>>>,
}

impl<R> Drop for Seat<R> {
    fn drop(&mut self) {
        lock(&self.seats).remove(&self.ticket);
    }
}

/// The map behind the lock is whole after every operation, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<CallError> for wire::Rejection {
    fn from(error: CallError) -> Self {
        let reason = match error {
            CallError::Busy => wire::Reason::Busy,
            CallError::DiskFull => wire::Reason::DiskFull,
            CallError::Stopped => wire::Reason::Unavailable,
        };
        Self::new(reason, error.to_string())
    }
}
