//! From the queue to the collector: in batches, one call at a time, none of them for long.

use super::{Context, Item, Nanos, Side, Span, Tracer};
use crate::client::{Connection, Deadlines, Repeat};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Told, Status};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Spans that may wait for the collector; what is told beyond is lost.
const SPANS_QUEUED_COUNT_MAX: usize = 8_192;
/// Spans of one call.
const SPANS_PER_CALL_COUNT_MAX: usize = 512;
/// How long spans are gathered before a call.
const GATHER_PAUSE: Duration = Duration::from_millis(200);
/// How long a collector may take; what it has not taken by then is lost.
const EXPORT_DEADLINE: Duration = Duration::from_secs(5);

/// Counts spans that were lost, by why.
pub type Lost = Arc<dyn Fn(&'static str, u64) + Send + Sync>;

/// A tracer of so large a part of all traces, and what brings its spans to the collector behind `connection`, for as long as it is
/// polled. `service` and `instance` say whose they are.
pub fn start<T: Fn(u64) + Send + 'static>(
    ratio: f64,
    (service, instance): (&str, &str),
    connection: &Connection,
    taken: T,
    lost: Lost,
) -> (Tracer, impl Future<Output = ()> + Send + use<T>) {
    let (queue, waiting) = mpsc::channel(SPANS_QUEUED_COUNT_MAX);
    #[expect(clippy::cast_sign_loss, reason = "it is held between 0 and 1")]
    let share = (ratio.clamp(0.0, 1.0) * 2_f64.powi(63)) as u64;
    let tracer = Tracer(Some(Arc::new(super::Inner { share, queue, lost: Arc::clone(&lost) })));
    let attributes = vec![
        attribute("service.namespace", "dovetail".to_owned()),
        attribute("service.name", service.to_owned()),
        attribute("service.instance.id", instance.to_owned()),
        attribute("service.version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let collector = Collector {
        connection: connection.with_deadlines(Deadlines { read: EXPORT_DEADLINE, write: EXPORT_DEADLINE }),
        resource: Resource { attributes, ..Resource::default() },
    };
    (tracer, export(waiting, collector, taken, lost))
}

async fn export(mut waiting: mpsc::Receiver<Item>, collector: Collector, taken: impl Fn(u64), lost: Lost) {
    let (mut items, mut is_heard) = (Vec::new(), true);
    while waiting.recv_many(&mut items, 1).await > 0 {
        if !matches!(items.first(), Some(Item::Flush(_))) {
            tokio::time::sleep(GATHER_PAUSE).await;
        }
        while items.len() < SPANS_PER_CALL_COUNT_MAX
            && let Ok(item) = waiting.try_recv()
        {
            items.push(item);
        }
        let (mut spans, mut flushed) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items.drain(..) {
            match item {
                Item::Span(span, ended) => spans.push(told(*span, ended)),
                Item::Flush(done) => flushed.push(done),
            }
        }
        let count = spans.len() as u64;
        match collector.take(spans).await {
            Ok(()) => {
                taken(count);
                is_heard = true;
            }
            Err(error) => {
                lost("not_taken", count);
                // Once, not for every batch.
                if std::mem::replace(&mut is_heard, false) {
                    tracing::warn!(%error, count, "the collector took no spans; they are lost and counted");
                }
            }
        }
        // An error says that nobody waits any longer.
        for done in flushed {
            let _ = done.send(());
        }
    }
}

struct Collector {
    connection: Connection,
    resource: Resource,
}

impl Collector {
    async fn take(&self, spans: Vec<Told>) -> Result<(), crate::Rejection> {
        if spans.is_empty() {
            return Ok(());
        }
        let scope = InstrumentationScope { name: "dovetail".to_owned(), ..InstrumentationScope::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
        };
        let call = |request| {
            let mut grpc = TraceServiceClient::new(self.connection.transport());
            async move { grpc.export(request).await }
        };
        self.connection.write(Repeat::Once, request, call).await.map(drop)
    }
}

fn told(span: Span, Nanos(ended): Nanos) -> Told {
    let link = |Context { trace, span }: Context| Link {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        ..Link::default()
    };
    let event = |(Nanos(time), name)| Event { time_unix_nano: time, name, ..Event::default() };
    let failed = |message| Status { message, code: StatusCode::Error.into() };
    Told {
        trace_id: span.context.trace.to_be_bytes().to_vec(),
        span_id: span.context.span.to_be_bytes().to_vec(),
        parent_span_id: span.above.map(|above| above.span.to_be_bytes().to_vec()).unwrap_or_default(),
        // Recorded.
        flags: 1,
        name: span.name,
        kind: kind(span.side).into(),
        start_time_unix_nano: span.begun.0.min(ended),
        end_time_unix_nano: ended,
        attributes: span.attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
        events: span.events.into_iter().map(event).collect(),
        links: span.links.into_iter().map(link).collect(),
        status: span.failed.map(failed),
        ..Told::default()
    }
}

fn kind(side: Side) -> SpanKind {
    match side {
        Side::Within => SpanKind::Internal,
        Side::Caller => SpanKind::Client,
        Side::Server => SpanKind::Server,
    }
}

fn attribute(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
