//! Traces of sampled transactions and messages, as OpenTelemetry has them.
//!
//! ```text
//!   traceparent: one for each traced item of a call ──> spans of what is done for it ──> queue (bounded) ──> collector (OTLP)
//!                                                         └──> traceparent of the calls made meanwhile
//! ```
//!
//! A call serves many transactions at once, so it may carry many `traceparent`s (W3C Trace Context, level 1), each of which is
//! continued by a span of its own. What has an id has its trace by it ([`Context::of`]): so whoever meets a message continues the trace
//! that others began.
//!
//! Promise: nothing waits for a collector. What does not fit the queue, and what no collector takes, is lost and counted. Where there is
//! no collector, a call costs a look at whether it is traced.
//! Knows nothing of what the items are.

mod export;

pub use export::{Lost, start};

use crate::limits::TRACED_ITEMS_COUNT_MAX;
use alloy_primitives::B256;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tonic::metadata::MetadataMap;
use tracing::Instrument;

/// The header, and the field of gRPC's metadata, that carries a [`Context`].
pub(crate) const TRACEPARENT: &str = "traceparent";

/// How long a process that ends waits for its last spans to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// What is traced of what this task does.
    static ACTIVE: Active;
}

#[derive(Clone)]
struct Active {
    tracer: Tracer,
    contexts: Arc<[Context]>,
}

/// Where in which trace something happens: a span of it, which others are below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Context {
    trace: u128,
    span: u64,
}

impl Context {
    /// The first span of the trace of what has this id: the trace's id is its first half, the span's the quarter after that.
    pub fn of(id: &B256) -> Self {
        let (words, _) = id.as_chunks::<8>();
        let word = |index: usize| words.get(index).copied().map_or(0, u64::from_be_bytes);
        Self { trace: u128::from(word(0)) << 64 | u128::from(word(1)), span: word(2) }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn below(self) -> Self {
        // Random enough: a span's id has to differ from its siblings'. Zero is none.
        Self { span: RandomState::new().build_hasher().finish() | 1, ..self }
    }

    /// The trace, as logs and tools write it.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// What a `traceparent` says, if it is one and its trace is recorded.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(part)
        };
        part(2).filter(|version| *version == "00")?;
        let (trace, span) = (u128::from_str_radix(part(32)?, 16).ok()?, u64::from_str_radix(part(16)?, 16).ok()?);
        let is_recorded = u8::from_str_radix(part(2)?, 16).ok()? & 1 == 1;
        (is_recorded && trace != 0 && span != 0 && parts.next().is_none()).then_some(Self { trace, span })
    }
}

/// As a `traceparent` has it, of a trace that is recorded.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

/// On which side of a call, if any, something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Of none.
    Within,
    /// It is asked for.
    Caller,
    /// It is answered.
    Server,
}

/// A time, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Now, by the system's clock: a span is compared with those of other machines, so no other will do.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What was done, and for how long: from [`Span::begun`] to when it is told.
#[derive(Debug, Clone)]
pub struct Span {
    /// Which it is.
    pub context: Context,
    /// The one it is part of.
    pub above: Option<Context>,
    /// What was done.
    pub name: String,
    /// On which side of a call.
    pub side: Side,
    /// When it began.
    pub begun: Nanos,
    /// What else is known of it.
    pub attributes: Vec<(&'static str, String)>,
    /// What happened meanwhile.
    pub events: Vec<(Nanos, String)>,
    /// Spans of other traces that have to do with it.
    pub links: Vec<Context>,
    /// Why it did not come to what it was for.
    pub failed: Option<String>,
}

impl Span {
    /// One that begins now and is part of `above`.
    pub fn below(above: Context, side: Side, name: impl Into<String>) -> Self {
        Self { above: Some(above), ..Self::first(above.below(), side, name) }
    }

    /// One that begins now and is part of none.
    pub fn first(context: Context, side: Side, name: impl Into<String>) -> Self {
        let (attributes, events, links) = (Vec::new(), Vec::new(), Vec::new());
        let (name, begun) = (name.into(), Nanos::now());
        Self { context, above: None, name, side, begun, attributes, events, links, failed: None }
    }

    /// The same with something more known of it.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "whoever tells a number has no name for it")]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }
}

/// What waits for the exporter.
enum Item {
    Span(Box<Span>, Nanos),
    /// All before it are with the collector, or lost.
    Flush(oneshot::Sender<()>),
}

/// Takes spans for a collector; takes none where there is no collector. Clones are the same.
#[derive(Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

struct Inner {
    /// Of 2^63 traces so many are in the sample.
    share: u64,
    queue: mpsc::Sender<Item>,
    lost: Lost,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("is_on", &self.is_on()).finish()
    }
}

impl Tracer {
    /// Whether there is a collector.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The first span of the trace of what has this id, if it is in the sample: wherever the ratio is the same, so is the sample.
    pub fn sampled(&self, id: &B256) -> Option<Context> {
        let inner = self.0.as_deref()?;
        let context = Context::of(id);
        // As OpenTelemetry's own sampler by ratio does it: by the lower half of the trace's id.
        (context.trace as u64 >> 1 < inner.share).then_some(context)
    }

    /// Takes a span that ends now. Never waits.
    pub fn tell(&self, span: Span) {
        let Some(inner) = self.0.as_deref() else { return };
        if inner.queue.try_send(Item::Span(Box::new(span), Nanos::now())).is_err() {
            (inner.lost)("queue_full", 1);
        }
    }

    /// Does `work` as a span below each of `above`; calls that are made meanwhile carry it on.
    pub async fn follow<F: Future>(&self, side: Side, name: &str, above: &[Context], work: F) -> F::Output {
        if above.is_empty() || !self.is_on() {
            return work.await;
        }
        let spans: Vec<Span> = above.iter().map(|above| Span::below(*above, side, name)).collect();
        let contexts: Arc<[Context]> = spans.iter().map(|span| span.context).collect();
        let ids: Vec<String> = contexts.iter().map(Context::trace_id).collect();
        // Of the highest level, so that no filter takes the id from the lines that it leaves.
        let logged = tracing::error_span!("traced", trace_id = ids.join(" "));
        let _told = Open { tracer: self, spans };
        ACTIVE.scope(Active { tracer: self.clone(), contexts }, work).instrument(logged).await
    }

    /// Waits until all that was told before is with the collector or lost, for a second at most.
    pub async fn flush(&self) {
        let Some(inner) = self.0.as_deref() else { return };
        let (flushed, done) = oneshot::channel();
        if inner.queue.try_send(Item::Flush(flushed)).is_ok() {
            let _ = tokio::time::timeout(FLUSH_TIMEOUT, done).await;
        }
    }
}

/// Spans of work that may be given up: they are told whatever becomes of it.
struct Open<'a> {
    tracer: &'a Tracer,
    spans: Vec<Span>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.spans.drain(..).for_each(|span| self.tracer.tell(span));
    }
}

/// What is traced of what this task does: none where nothing is.
pub fn active() -> Vec<Context> {
    ACTIVE.try_with(|active| active.contexts.to_vec()).unwrap_or_default()
}

/// Does `work` as a span of whatever this task is traced for.
pub async fn during<F: Future>(name: &str, work: F) -> F::Output {
    match ACTIVE.try_with(Active::clone) {
        Ok(Active { tracer, contexts }) => tracer.follow(Side::Within, name, &contexts, work).await,
        Err(_) => work.await,
    }
}

/// Puts what this task is traced for on a call that it makes.
pub(crate) fn inject(metadata: &mut MetadataMap) {
    // An error says that it is traced for nothing.
    let _ = ACTIVE.try_with(|active| {
        for context in active.contexts.iter().take(TRACED_ITEMS_COUNT_MAX) {
            if let Ok(value) = context.to_string().parse() {
                metadata.append(TRACEPARENT, value);
            }
        }
    });
}

/// What a call is traced for, as its headers say.
pub(crate) fn received(headers: &http::HeaderMap) -> Vec<Context> {
    let values = headers.get_all(TRACEPARENT).iter().take(TRACED_ITEMS_COUNT_MAX);
    values.filter_map(|value| Context::parse(value.to_str().ok()?)).collect()
}

#[cfg(test)]
mod tests;
