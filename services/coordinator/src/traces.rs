//! The traces of submissions in the sample, from their acceptance to their end.
//!
//! ```text
//!   submission                                                          its id gives the trace
//!     ├─ execute                                                        until it is known which shards it touches
//!     ├─ attempt, with each vote as an event                            each try over several shards
//!     │    ├─ prepare (a call) ── ParticipantService/Prepare            the shard's own, by `traceparent`
//!     │    └─ decide (a call) ─── ParticipantService/Decide
//!     └─ submit (a call) ──────── ShardService/SubmitLocal              of what concerns one shard alone
//! ```
//!
//! Promise: nothing is decided by it, and nothing waits for it. Knows what the machine tells of submissions, and no more.

use crate::explorer::DISPATCH;
use alloy_primitives::B256;
use coordinator::{Event, Reply, Ticket};
use primitives::AttemptId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wire::traces::{Context, Nanos, Side, Span, Tracer, active};

/// Submissions that are traced at once; others beyond are not.
const OPEN_COUNT_MAX: usize = 4_096;

/// Attempts whose decisions are still followed, the newest.
const ATTEMPTS_COUNT_MAX: usize = 4_096;

/// Events of one span; more of them are not told.
const EVENTS_COUNT_MAX: usize = 64;

/// Messages of one submission whose traces are named in its own.
const LINKS_COUNT_MAX: usize = 64;

/// What is traced of submissions.
#[derive(Debug)]
pub(crate) struct Traces {
    tracer: Tracer,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    open: BTreeMap<Ticket, Traced>,
    attempts: BTreeMap<AttemptId, Vec<Context>>,
    /// Their order, the oldest first.
    order: VecDeque<AttemptId>,
}

/// A submission under way.
#[derive(Debug)]
struct Traced {
    span: Span,
    /// Since when it is executed, until it is known what it touches.
    executing: Option<Span>,
    attempt: Option<(AttemptId, Span)>,
}

impl Traces {
    /// Of what `tracer` has in its sample.
    pub(crate) fn new(tracer: Tracer) -> Self {
        Self { tracer, known: Mutex::default() }
    }

    /// Where spans go.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Begins the trace of a submission if it is in the sample, or if whoever submits it is traced.
    pub(crate) fn begin(&self, ticket: Ticket, id: B256) {
        if !self.tracer.is_on() {
            return;
        }
        let links = active();
        let asked_for = || (!links.is_empty()).then(|| Context::of(&id));
        let Some(context) = self.tracer.sampled(&id).or_else(asked_for) else { return };
        let span = Span { links, ..Span::first(context, Side::Within, "submission").with("dovetail.submission", id) };
        let executing = Some(Span::below(context, Side::Within, "execute"));
        let mut known = self.lock();
        if known.open.len() < OPEN_COUNT_MAX {
            known.open.insert(ticket, Traced { span, executing, attempt: None });
        }
    }

    /// Forgets a submission that the machine never heard of.
    pub(crate) fn forget(&self, ticket: Ticket) {
        if self.tracer.is_on() {
            self.lock().open.remove(&ticket);
        }
    }

    /// Takes down what the machine says of submissions. Before what it asks for is done: that belongs to their attempts.
    pub(crate) fn note(&self, replies: &[Reply]) {
        if !self.tracer.is_on() {
            return;
        }
        let mut known = self.lock();
        for reply in replies {
            known.note(&self.tracer, reply);
        }
    }

    /// The spans of attempts that are traced.
    pub(crate) fn of_attempts<'a>(&self, attempts: impl IntoIterator<Item = &'a AttemptId>) -> Vec<Context> {
        if !self.tracer.is_on() {
            return Vec::new();
        }
        let known = self.lock();
        attempts.into_iter().filter_map(|attempt| known.attempts.get(attempt)).flatten().copied().collect()
    }

    /// The spans of submissions that are traced.
    pub(crate) fn of_tickets<'a>(&self, tickets: impl IntoIterator<Item = &'a Ticket>) -> Vec<Context> {
        if !self.tracer.is_on() {
            return Vec::new();
        }
        let known = self.lock();
        tickets.into_iter().filter_map(|ticket| Some(known.open.get(ticket)?.span.context)).collect()
    }

    /// The maps behind the lock are whole after every operation.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn note(&mut self, tracer: &Tracer, reply: &Reply) {
        let Some(life) = self.open.get_mut(&reply.ticket) else { return };
        let context = life.span.context;
        match &reply.event {
            Event::Accepted => {}
            Event::Executed { participants } => {
                if let Some(span) = life.executing.take() {
                    let shards: Vec<String> = participants.iter().map(ToString::to_string).collect();
                    tracer.tell(span.with("dovetail.shards", shards.join(" ")));
                }
            }
            Event::Queued { key } => {
                happened(&mut life.span, format!("waits for another submission, which needs {key}"));
            }
            Event::AwaitsNonce { .. } => {
                happened(&mut life.span, "waits for an earlier nonce of its sender".to_owned());
            }
            Event::SentLocally { shard } => happened(&mut life.span, format!("handed to shard {shard}")),
            Event::Preparing { attempt, number } => {
                let span = Span::below(context, Side::Within, "attempt");
                let span = span.with("dovetail.attempt", attempt).with("dovetail.try", number);
                let of_attempt = span.context;
                life.attempt = Some((*attempt, span));
                self.follow(*attempt, of_attempt);
            }
            Event::Voted { attempt, shard, verdict } => {
                let verdict = match verdict {
                    commit::Verdict::Yes => "yes".to_owned(),
                    commit::Verdict::No(refusal) => format!("no: {refusal}"),
                };
                match &mut life.attempt {
                    Some((of, span)) if of == attempt => happened(span, format!("shard {shard} voted {verdict}")),
                    _ => {}
                }
            }
            Event::Decided { attempt, decision, .. } => {
                if let Some((_, span)) = life.attempt.take_if(|(of, _)| of == attempt) {
                    tracer.tell(span.with("dovetail.decision", decision.name()));
                }
            }
            Event::Committed(committed) => {
                let logs = committed.outcomes.iter().flat_map(|outcome| &outcome.logs);
                let messages = logs.filter(|log| log.topics.first() == Some(&DISPATCH));
                let messages = messages.filter_map(|log| log.topics.get(1)).take(LINKS_COUNT_MAX).map(Context::of);
                life.span.links.extend(messages);
                self.end(tracer, reply.ticket, None);
            }
            Event::Refused(refusal) => self.end(tracer, reply.ticket, Some(refusal.to_string())),
        }
    }

    fn follow(&mut self, attempt: AttemptId, context: Context) {
        let contexts = self.attempts.entry(attempt).or_default();
        if contexts.is_empty() {
            self.order.push_back(attempt);
        }
        contexts.push(context);
        if self.order.len() > ATTEMPTS_COUNT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.attempts.remove(&oldest);
        }
    }

    fn end(&mut self, tracer: &Tracer, ticket: Ticket, failed: Option<String>) {
        let Some(Traced { span, executing, attempt }) = self.open.remove(&ticket) else { return };
        let trace_id = span.context.trace_id();
        match &failed {
            None => tracing::info!(trace_id, "a traced submission was committed"),
            Some(reason) => tracing::info!(trace_id, reason, "a traced submission was refused"),
        }
        let left = executing.into_iter().chain(attempt.map(|(_, span)| span));
        left.chain([Span { failed, ..span }]).for_each(|span| tracer.tell(span));
    }
}

fn happened(span: &mut Span, what: String) {
    if span.events.len() < EVENTS_COUNT_MAX {
        span.events.push((Nanos::now(), what));
    }
}
