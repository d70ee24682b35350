//! The host: one thread that owns a machine and its store, and runs steps until it is told to drain.
//!
//! While a batch is being synced the next inputs queue up, so one sync serves all that came meanwhile.

use crate::crash::{self, CrashPointError, Saboteur};
use crate::handle::{Handle, Handout, Shared, Waiting};
use crate::step::{Committed, Stepped};
use crate::{Clock, Health, Instruments, Ticket};
use primitives::{Machine, Time};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, thread};
use store::{Fault, Reader, Room, Store};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How often the disk's room is looked at.
const ROOM_CHECK: Duration = Duration::from_millis(500);
/// The shortest wait for a wake that is due already: a machine that always wants to be woken does not spin.
const WAKE_MILLIS_MIN: u64 = 1;
/// The longest wait, so that no clock arithmetic overflows.
const WAKE_MILLIS_MAX: u64 = 3_600_000;

/// The bounds of a host (I19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Inputs that may wait for a step; new work beyond is refused.
    pub inputs_queued_count_max: usize,
    /// Inputs that one step takes.
    pub inputs_per_step_count_max: usize,
    /// Calls that may wait for their reply; calls beyond are refused.
    pub calls_waiting_count_max: usize,
    /// Steps whose handouts may wait for the senders; sends of steps beyond are dropped, as a network would. Notices are
    /// not: nobody says them again, so the host waits until they are taken.
    pub handouts_queued_count_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            inputs_queued_count_max: 16_384,
            inputs_per_step_count_max: 1_024,
            calls_waiting_count_max: 65_536,
            handouts_queued_count_max: 4_096,
        }
    }
}

/// Why a host stopped, other than by a drain.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The store failed. Nothing was handed out since its last batch.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The environment names a crash point that is none.
    #[error(transparent)]
    CrashPoint(#[from] CrashPointError),
    /// The system gave no thread.
    #[error("no thread for the host: {0}")]
    Thread(io::Error),
    /// The machine panicked, which is a bug: its checks of itself failed, or it met what it takes for impossible.
    #[error("the machine panicked: the log says where; the store is as of its last batch")]
    Panicked,
}

/// All that a host needs to run.
pub struct Host<M: Machine> {
    /// What the thread and the logs call it: "shard 3".
    pub name: String,
    /// What decides.
    pub machine: M,
    /// Where it is written.
    pub store: Store,
    /// What time steps get.
    pub clock: Clock,
    /// How much may wait.
    pub bounds: Bounds,
    /// Where it is counted.
    pub instruments: Instruments,
    /// Where it is told that new work is refused.
    pub health: Health,
    /// Which call a reply is for; a reply for none goes out with the step's sends.
    pub ticket_of: fn(&M::Reply) -> Option<Ticket>,
}

/// A host that runs.
pub struct Running<M: Machine> {
    /// Where inputs go in.
    pub handle: Handle<M::Input, M::Reply>,
    /// What comes out beside replies: one entry per step that has any. Take it, or it is dropped when full.
    pub handouts: mpsc::Receiver<Handout<M::Send, M::Reply>>,
    /// How it is stopped.
    pub lifeline: Lifeline,
}

/// Stops a host, and says how it ended. Dropping it drains the host and waits for its end: a process must not end while a
/// thread of it is inside RocksDB.
#[derive(Debug)]
pub struct Lifeline {
    drain: CancellationToken,
    ended: oneshot::Receiver<Result<(), HostError>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.drain.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told by `ended`, and by the log.
            let _ = thread.join();
        }
    }
}

impl Lifeline {
    /// Asks the host to take no more inputs, finish those that wait, sync and stop. Returns at once.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Waits for the host's end, which is an error unless it was asked to drain. May be polled again after it was
    /// dropped, but not after it returned.
    ///
    /// # Errors
    /// [`HostError`]: log it and stop the process.
    pub async fn ended(&mut self) -> Result<(), HostError> {
        (&mut self.ended).await.unwrap_or(Err(HostError::Panicked))
    }
}

impl<M> Host<M>
where
    M: Machine + Send + 'static,
    M::Input: Send + 'static,
    M::Send: Send + 'static,
    M::Reply: Send + 'static,
{
    /// Starts the host's thread. Its first step has no inputs, so that a machine can go on with what it recovered.
    ///
    /// # Errors
    /// [`HostError::CrashPoint`] or [`HostError::Thread`].
    pub fn spawn(self) -> Result<Running<M>, HostError> {
        let crash_point = crash::from_environment()?;
        if let Some(point) = crash_point {
            warn!(host = self.name, ?point, "crash point set, this process will kill itself: for tests only");
        }
        let (inputs, queue) = mpsc::channel(self.bounds.inputs_queued_count_max);
        let (handouts_in, handouts) = mpsc::channel(self.bounds.handouts_queued_count_max);
        let (committed_in, committed) = watch::channel(self.store.sequence());
        let (end, ended) = oneshot::channel();
        let drain = CancellationToken::new();
        let shared = Arc::new(Shared {
            inputs,
            disk_full: AtomicBool::new(false),
            waiting: Waiting::new(self.bounds.calls_waiting_count_max),
            instruments: self.instruments.clone(),
            reader: self.store.reader(),
            committed,
        });
        let name = self.name.clone();
        let runner = Runner {
            reader: self.store.reader(),
            outlets: Outlets {
                shared: Arc::clone(&shared),
                handouts: handouts_in,
                committed: committed_in,
                ticket_of: self.ticket_of,
            },
            saboteur: Saboteur::new(crash_point),
            queue,
            drain: drain.clone(),
            room_checked: None,
            wake: None,
            host: self,
        };
        // A runtime of its own, for timers and wake-ups on this one thread: the host outlives its callers' runtime.
        let runtime = runtime::Builder::new_current_thread().enable_time().build().map_err(HostError::Thread)?;
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                // Nobody may listen for the end any more; then there is nobody to tell.
                let _ = end.send(runner.run(&runtime));
            })
            .map_err(HostError::Thread)?;
        let lifeline = Lifeline { drain, ended, thread: Some(thread) };
        Ok(Running { handle: Handle::new(shared), handouts, lifeline })
    }
}

impl<M: Machine> fmt::Debug for Host<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<M: Machine> fmt::Debug for Running<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").finish_non_exhaustive()
    }
}

/// What the host's thread owns.
struct Runner<M: Machine> {
    host: Host<M>,
    reader: Reader,
    outlets: Outlets<M>,
    saboteur: Saboteur,
    queue: mpsc::Receiver<M::Input>,
    drain: CancellationToken,
    room_checked: Option<Instant>,
    wake: Option<Time>,
}

/// Why the thread goes on.
enum Woken<I> {
    /// Inputs, or a timer without any.
    Step(Vec<I>),
    /// The queue is closed and empty.
    Drained,
}

impl<M: Machine> Runner<M> {
    fn run(mut self, runtime: &runtime::Runtime) -> Result<(), HostError> {
        info!(host = self.host.name, sequence = self.host.store.sequence(), "host started");
        let result = self.steps(runtime);
        match &result {
            Ok(()) => info!(host = self.host.name, sequence = self.host.store.sequence(), "host drained"),
            Err(fault) => error!(host = self.host.name, %fault, "host stopped, nothing unsynced was handed out"),
        }
        result
    }

    fn steps(&mut self, runtime: &runtime::Runtime) -> Result<(), HostError> {
        let mut inputs = Vec::new();
        loop {
            self.step(inputs)?;
            inputs = match runtime.block_on(self.wait()) {
                Woken::Step(inputs) => inputs,
                Woken::Drained => break,
            };
        }
        Ok(self.host.store.sync()?)
    }

    fn step(&mut self, inputs: Vec<M::Input>) -> Result<(), HostError> {
        let instruments = &self.host.instruments;
        instruments.steps.inc();
        instruments.step_inputs.observe(f64::from(u32::try_from(inputs.len()).unwrap_or(u32::MAX)));
        instruments.queue_depth.set(i64::try_from(self.queue.len()).unwrap_or(i64::MAX));
        let now = self.host.clock.now();
        let begun = Instant::now();
        let stepped = Stepped::new(self.host.machine.step(now, inputs, &self.reader));
        let decided = Instant::now();
        instruments.step_seconds.observe((decided - begun).as_secs_f64());
        let before = self.host.store.sequence();
        let committed = stepped.commit(&mut self.host.store, &mut self.saboteur)?;
        instruments.batches.inc_by(committed.sequence.saturating_sub(before));
        instruments.commit_seconds.observe(decided.elapsed().as_secs_f64());
        self.check_room()?;
        self.wake = committed.wake;
        self.outlets.hand_out(now, committed);
        Ok(())
    }

    /// Looks at the disk now and then, and lets callers know.
    fn check_room(&mut self) -> Result<(), Fault> {
        if self.room_checked.is_some_and(|checked| checked.elapsed() < ROOM_CHECK) {
            return Ok(());
        }
        self.room_checked = Some(Instant::now());
        let full = self.host.store.room()?;
        let was_full = self.outlets.shared.disk_full.swap(full != Room::Plenty, Ordering::Relaxed);
        self.host.instruments.disk_full.set(i64::from(full != Room::Plenty));
        match full {
            Room::Low { bytes_free } => {
                let why = format!("the disk is too full for new work: {bytes_free} bytes are free, free some space");
                self.host.health.refuse_work(Some(why));
                if !was_full {
                    warn!(host = self.host.name, bytes_free, "disk is too full, new work is refused");
                }
            }
            Room::Plenty if was_full => {
                info!(host = self.host.name, "disk has room again, new work is taken");
                self.host.health.refuse_work(None);
            }
            Room::Plenty => {}
        }
        Ok(())
    }

    /// Waits for inputs, for the time to wake, or for the drain to find the queue empty.
    async fn wait(&mut self) -> Woken<M::Input> {
        let deadline = self.deadline();
        let mut inputs = Vec::new();
        let count_max = self.host.bounds.inputs_per_step_count_max;
        let received = async {
            tokio::select! {
                biased;
                count = self.queue.recv_many(&mut inputs, count_max) => count,
                () = self.drain.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    self.queue.recv_many(&mut inputs, count_max).await
                }
            }
        };
        match timeout_at(deadline, received).await {
            Ok(0) => Woken::Drained,
            Ok(_) | Err(_) => Woken::Step(inputs),
        }
    }

    fn deadline(&mut self) -> Instant {
        let now = self.host.clock.now();
        let millis =
            self.wake.map_or(WAKE_MILLIS_MAX, |wake| wake.since(now).0.clamp(WAKE_MILLIS_MIN, WAKE_MILLIS_MAX));
        let until_wake = Duration::from_millis(millis);
        // On a full disk nothing new comes in, so the thread must look by itself whether there is room again.
        let full = self.outlets.shared.disk_full.load(Ordering::Relaxed);
        Instant::now() + if full { until_wake.min(ROOM_CHECK) } else { until_wake }
    }
}

/// However the thread ends, by a panic too, nobody waits for it any longer: first no input can come in, then whoever waits
/// is sent away.
impl<M: Machine> Drop for Runner<M> {
    fn drop(&mut self) {
        self.queue.close();
        self.outlets.shared.waiting.close();
    }
}

/// Where a committed step goes.
struct Outlets<M: Machine> {
    shared: Arc<Shared<M::Input, M::Reply>>,
    handouts: mpsc::Sender<Handout<M::Send, M::Reply>>,
    committed: watch::Sender<u64>,
    ticket_of: fn(&M::Reply) -> Option<Ticket>,
}

impl<M: Machine> Outlets<M> {
    fn hand_out(&self, time: Time, step: Committed<M::Send, M::Reply>) {
        let Committed { sequence, sends, replies, wake: _ } = step;
        let mut notices = Vec::new();
        for reply in replies {
            match (self.ticket_of)(&reply) {
                Some(ticket) => self.shared.waiting.answer(ticket, reply),
                None => notices.push(reply),
            }
        }
        self.committed.send_replace(sequence);
        if sends.is_empty() && notices.is_empty() {
            return;
        }
        // Sends may be lost by contract: a machine sends again what matters. Waiting here would stop every step instead.
        if let Err(refused) = self.handouts.try_send(Handout { time, sequence, sends, notices }) {
            let handout = refused.into_inner();
            let count = handout.sends.len() as u64;
            self.shared.instruments.sends_dropped.inc_by(count);
            warn!(count, "sends dropped, no sender took them");
            if !handout.notices.is_empty() {
                // An error says that nobody will ever take them.
                let _ = self.handouts.blocking_send(Handout { sends: Vec::new(), ..handout });
            }
        }
    }
}
