//! What the process says about itself, and about the others that it needs.
//!
//! ```text
//! a peer:  unknown --answers--> answers --no answer for PEER_SILENT_MAX--> silent --answers--> answers
//!             '---------------- it runs another network -----------------> foreign
//! ```
//!
//! Promise: a peer that is lost is one line in the log, one more when it is back, and all the while a line of `/readyz` and a
//! gauge that name it. A peer that is lost makes a process unready only where nothing can be served without any; who refuses
//! new work is not ready, nor is who tells what stands still. What else an operator should know is a line of `/readyz` for as long as it is so.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For how long a peer may be without an answer before it counts as lost.
pub const PEER_SILENT_MAX: Duration = Duration::from_secs(2);

/// Where a process is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It opens its store and recovers: alive, not ready.
    Starting,
    /// It takes work.
    Ready,
    /// It takes no more work and finishes what it has.
    Draining,
    /// It cannot go on.
    Failed(String),
}

/// How a peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has not answered yet, and may still.
    Unknown,
    /// It answers.
    Answers,
    /// It has not answered for [`PEER_SILENT_MAX`] or longer.
    Silent {
        /// Its last answer, or when the first one was asked for.
        since: Instant,
        /// What the last try came to.
        reason: String,
    },
    /// It answers, for another network than this process is of.
    Foreign {
        /// Both sides.
        reason: String,
    },
}

impl Standing {
    /// Whether it is to be counted on: it answers, or may be about to.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Unknown | Self::Answers)
    }

    /// What is wrong with it, for a person; none while nothing is.
    pub fn complaint(&self) -> Option<String> {
        match self {
            Self::Unknown | Self::Answers => None,
            Self::Silent { since, reason } => {
                Some(format!("has not answered for {} s: {reason}", since.elapsed().as_secs()))
            }
            Self::Foreign { reason } => Some(format!("is of another network: {reason}")),
        }
    }
}

#[derive(Debug)]
struct Known {
    standing: Standing,
    /// Its last answer, or when it was first spoken of.
    heard: Instant,
}

/// Whether a process can do anything at all alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// It can.
    Nobody,
    /// One of its peers at least.
    SomePeer,
}

#[derive(Debug)]
struct Inner {
    state: State,
    needs: Needs,
    /// Why new work is refused, while it is.
    refusing: Option<String>,
    peers: BTreeMap<String, Known>,
    /// Why what is told is not the newest, by what stands still.
    standstills: BTreeMap<String, String>,
    /// What else an operator should know, by what it is about.
    remarks: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    peer: String,
}

/// The state of the process, shared by all that set or show it.
#[derive(Debug, Clone)]
pub struct Health {
    inner: Arc<Mutex<Inner>>,
    lost: Family<PeerLabel, Gauge>,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the process takes work.
    pub is_ready: bool,
    /// Why not, and which peers are lost; lines.
    pub text: String,
}

impl Health {
    /// A process that is starting.
    pub fn new() -> Self {
        let inner = Inner {
            state: State::Starting,
            needs: Needs::Nobody,
            refusing: None,
            peers: BTreeMap::new(),
            standstills: BTreeMap::new(),
            remarks: BTreeMap::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), lost: Family::default() }
    }

    /// Enters the gauge of lost peers in `registry`, whose prefix is `dovetail`.
    pub fn register(&self, registry: &mut Registry) {
        let host = registry.sub_registry_with_prefix("host");
        host.register("peer_lost", "1 while a peer does not answer, or answers for another network", self.lost.clone());
    }

    /// Notes where the process is. One that failed stays so.
    pub fn set(&self, state: State) {
        let mut inner = self.lock();
        if !matches!(inner.state, State::Failed(_)) {
            inner.state = state;
        }
    }

    /// Says whether the process is any use without its peers.
    pub fn set_needs(&self, needs: Needs) {
        self.lock().needs = needs;
    }

    /// Says why new work is refused, or with none that it is taken again.
    pub(crate) fn refuse_work(&self, why: Option<String>) {
        self.lock().refusing = why;
    }

    /// Says why something stands still that others read here, or with none that it goes on: who balances readers sends them elsewhere.
    pub fn stand_still(&self, what: impl Into<String>, why: Option<&str>) {
        let (what, mut inner) = (what.into(), self.lock());
        match why {
            Some(why) => drop(inner.standstills.insert(what, why.to_owned())),
            None => drop(inner.standstills.remove(&what)),
        }
    }

    /// Says of something that is in order what an operator should know of it all the same, or with none that there is
    /// nothing any more. It makes nothing unready.
    pub fn remark(&self, about: impl Into<String>, text: Option<&str>) {
        let (about, mut inner) = (about.into(), self.lock());
        match text {
            Some(text) => drop(inner.remarks.insert(about, text.to_owned())),
            None => drop(inner.remarks.remove(&about)),
        }
    }

    /// Where the process is.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// A peer by the name that people know it by, such as `shard 2`.
    pub fn peer(&self, name: impl Into<String>) -> Peer {
        let name = name.into();
        let known = Known { standing: Standing::Unknown, heard: Instant::now() };
        self.lock().peers.entry(name.clone()).or_insert(known);
        self.gauge(&name, 0);
        Peer { name, health: self.clone() }
    }

    /// What to answer who asks whether the process is ready.
    pub fn readiness(&self) -> Readiness {
        let inner = self.lock();
        let not = |text: String| Readiness { is_ready: false, text };
        match &inner.state {
            State::Starting => return not("starting\n".to_owned()),
            State::Draining => return not("draining\n".to_owned()),
            State::Failed(reason) => return not(format!("failed: {reason}\n")),
            State::Ready => {}
        }
        let mut lines = String::new();
        for (name, known) in &inner.peers {
            if let Some(complaint) = known.standing.complaint() {
                // Writing into a string does not fail.
                let _ = writeln!(lines, "{name} {complaint}");
            }
        }
        for (about, remark) in &inner.remarks {
            let _ = writeln!(lines, "{about} {remark}");
        }
        let is_alone = !inner.peers.is_empty() && !inner.peers.values().any(|known| known.standing.is_sound());
        if let Some((what, why)) = inner.standstills.first_key_value() {
            return not(format!("not ready, {what} stands still: {why}\n{lines}"));
        }
        match (&inner.refusing, inner.needs, is_alone) {
            (Some(why), ..) => not(format!("not ready, {why}\n{lines}")),
            (None, Needs::SomePeer, true) => not(format!("not ready, none of its peers can be used\n{lines}")),
            _ if lines.is_empty() => Readiness { is_ready: true, text: "ready\n".to_owned() },
            _ => Readiness { is_ready: true, text: format!("ready, but\n{lines}") },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here fails half way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauge(&self, peer: &str, lost: i64) {
        self.lost.get_or_create(&PeerLabel { peer: peer.to_owned() }).set(lost);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

/// Notes how one peer is.
#[derive(Debug, Clone)]
pub struct Peer {
    name: String,
    health: Health,
}

impl Peer {
    /// How it is.
    pub fn standing(&self) -> Standing {
        self.health.lock().peers.get(&self.name).map_or(Standing::Unknown, |known| known.standing.clone())
    }

    /// It has answered.
    pub fn answered(&self) {
        let now = Instant::now();
        let silent = self.change(|known| {
            let silent = now.duration_since(known.heard);
            *known = Known { standing: Standing::Answers, heard: now };
            silent
        });
        if let Some((before, silent)) = silent
            && !before.is_sound()
        {
            self.health.gauge(&self.name, 0);
            tracing::info!(peer = self.name, silent_ms = silent.as_millis(), "a peer is back");
        }
    }

    /// It has not answered.
    pub fn failed(&self, reason: &(impl ToString + ?Sized)) {
        let reason = reason.to_string();
        let changed = self.change(|known| {
            let is_lost = known.heard.elapsed() >= PEER_SILENT_MAX || !known.standing.is_sound();
            if is_lost {
                known.standing = Standing::Silent { since: known.heard, reason: reason.clone() };
            }
            is_lost
        });
        if let Some((before, true)) = changed
            && before.is_sound()
        {
            self.health.gauge(&self.name, 1);
            tracing::warn!(peer = self.name, reason, "a peer is lost");
        }
    }

    /// It is of another network: both sides are named in `reason`.
    pub fn refused(&self, reason: &(impl ToString + ?Sized)) {
        let reason = reason.to_string();
        let standing = Standing::Foreign { reason: reason.clone() };
        let changed = self.change(|known| *known = Known { standing: standing.clone(), heard: Instant::now() });
        if let Some((before, ())) = changed
            && before != standing
        {
            self.health.gauge(&self.name, 1);
            tracing::error!(peer = self.name, reason, "a peer is of another network");
        }
    }

    /// Changes what is known of it; gives how it was, too.
    fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> Option<(Standing, T)> {
        let mut inner = self.health.lock();
        let known = inner.peers.get_mut(&self.name)?;
        let before = known.standing.clone();
        Some((before, change(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Health {
        let health = Health::new();
        health.set(State::Ready);
        health
    }

    #[test]
    fn a_failed_process_never_recovers_by_itself() {
        let health = Health::new();
        health.set(State::Failed("disk".into()));
        health.set(State::Ready);
        assert_eq!(health.state(), State::Failed("disk".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_fails_for_long_is_named_until_it_answers() {
        let health = ready();
        let (one, two) = (health.peer("shard 1"), health.peer("shard 2"));
        one.answered();
        two.answered();
        one.failed("refused");
        assert_eq!(health.readiness(), Readiness { is_ready: true, text: "ready\n".to_owned() });
        tokio::time::advance(PEER_SILENT_MAX).await;
        two.answered();
        one.failed("refused");
        let text = "ready, but\nshard 1 has not answered for 2 s: refused\n".to_owned();
        assert_eq!(health.readiness(), Readiness { is_ready: true, text });
        one.answered();
        assert_eq!(health.readiness().text, "ready\n");
    }

    #[test]
    fn who_refuses_new_work_is_not_ready_and_says_why() {
        let health = ready();
        health.refuse_work(Some("the disk is full".to_owned()));
        let text = "not ready, the disk is full\n".to_owned();
        assert_eq!(health.readiness(), Readiness { is_ready: false, text });
        health.refuse_work(None);
        assert!(health.readiness().is_ready);
    }

    #[test]
    fn what_an_operator_should_know_is_a_line_until_it_is_over() {
        let health = ready();
        health.remark("route 0 to 1", Some("is paused"));
        let text = "ready, but\nroute 0 to 1 is paused\n".to_owned();
        assert_eq!(health.readiness(), Readiness { is_ready: true, text });
        health.remark("route 0 to 1", None);
        assert_eq!(health.readiness().text, "ready\n");
    }

    #[tokio::test(start_paused = true)]
    async fn who_needs_a_peer_is_not_ready_without_any() {
        let health = ready();
        let (one, two) = (health.peer("shard 1"), health.peer("shard 2"));
        health.set_needs(Needs::SomePeer);
        two.answered();
        one.refused("slot 500 ms there, 250 ms here");
        assert!(health.readiness().is_ready, "one is left");
        tokio::time::advance(PEER_SILENT_MAX).await;
        two.failed("no answer");
        let readiness = health.readiness();
        assert!(!readiness.is_ready);
        assert!(readiness.text.contains("shard 1 is of another network: slot 500 ms there"), "{}", readiness.text);
        assert!(readiness.text.contains("shard 2 has not answered for 2 s: no answer"), "{}", readiness.text);
    }
}
