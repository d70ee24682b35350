use super::*;
use crate::client::{ClientSettings, Connection};
use std::sync::Mutex;

fn id(byte: u8) -> B256 {
    B256::repeat_byte(byte)
}

#[test]
fn a_context_is_read_as_it_was_written() {
    let context = Context::of(&id(0xab)).below();
    assert_eq!(Context::parse(&context.to_string()), Some(context));
    assert_eq!(context.trace_id(), "ab".repeat(16));
    let example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(Context::parse(example).unwrap().to_string(), example);
}

#[test]
fn what_is_no_traceparent_or_of_a_trace_that_is_not_recorded_is_none() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    for text in [
        String::new(),
        format!("00-{trace}-{span}"),
        format!("00-{trace}-{span}-00"),
        format!("01-{trace}-{span}-01"),
        format!("00-{trace}-{span}-01-more"),
        format!("00-{trace}-{span}-0001"),
        format!("00-{}-{span}-01", "0".repeat(32)),
        format!("00-{trace}-{}-01", "0".repeat(16)),
        format!("00-{}-{span}-01", trace.to_uppercase()),
        format!("00-+{}-{span}-01", &trace[1..]),
        format!("00-{trace}0-{span}-01"),
    ] {
        assert_eq!(Context::parse(&text), None, "{text:?}");
    }
}

#[test]
fn a_call_continues_a_bounded_number_of_traces() {
    let mut headers = http::HeaderMap::new();
    for byte in 1..=200 {
        headers.append(TRACEPARENT, Context::of(&id(byte)).to_string().parse().unwrap());
    }
    assert_eq!(received(&headers).len(), TRACED_ITEMS_COUNT_MAX);
}

type Losses = Arc<Mutex<Vec<(&'static str, u64)>>>;

/// A tracer whose collector is not there, and what it lost.
fn unheard(ratio: f64) -> (Tracer, impl Future<Output = ()> + Send + 'static, Losses) {
    let losses = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&losses);
    let lost: Lost = Arc::new(move |reason, count| noted.lock().unwrap().push((reason, count)));
    let nowhere = Connection::open(&ClientSettings::plain("http://127.0.0.1:1")).unwrap();
    let (tracer, exporter) = start(ratio, ("test", "0"), &nowhere, |_| panic!("nobody takes them"), lost);
    (tracer, exporter, losses)
}

#[tokio::test]
async fn a_sample_is_the_same_wherever_the_ratio_is() {
    let (all, _exporter, _) = unheard(1.0);
    let (none, _exporter, _) = unheard(0.0);
    let [(half, _one, _), (other, _two, _)] = [unheard(0.5), unheard(0.5)];
    let sample = |tracer: &Tracer| (0..=255).filter(|byte| tracer.sampled(&id(*byte)).is_some()).collect::<Vec<_>>();
    assert_eq!((sample(&all).len(), sample(&none).len()), (256, 0));
    assert_eq!(sample(&half), sample(&other));
    assert_eq!(sample(&half).len(), 128);
    assert_eq!(sample(&Tracer::default()).len(), 0);
}

#[tokio::test]
async fn what_the_queue_does_not_take_is_lost_and_counted_and_nobody_waits() {
    let (tracer, _exporter, losses) = unheard(1.0);
    for _ in 0..9_000 {
        tracer.tell(Span::first(Context::of(&id(1)), Side::Within, "work"));
    }
    let lost: u64 = losses
        .lock()
        .unwrap()
        .iter()
        .map(|(reason, count)| {
            assert_eq!(*reason, "queue_full");
            count
        })
        .sum();
    assert_eq!(lost, 9_000 - 8_192);
}

#[tokio::test]
async fn what_no_collector_takes_is_lost_and_counted() {
    let (tracer, exporter, losses) = unheard(1.0);
    let exporter = tokio::spawn(exporter);
    tracer.tell(Span::first(Context::of(&id(1)), Side::Within, "work"));
    tracer.flush().await;
    assert_eq!(*losses.lock().unwrap(), [("not_taken", 1)]);
    drop(tracer);
    exporter.await.unwrap();
}

#[tokio::test]
async fn work_is_done_below_what_it_is_traced_for_and_calls_carry_it_on() {
    let (tracer, _exporter, _) = unheard(1.0);
    let above = [Context::of(&id(1)), Context::of(&id(2))];
    let carried = tracer.follow(Side::Server, "work", &above, async {
        during("part of it", async {
            let mut metadata = MetadataMap::new();
            inject(&mut metadata);
            received(&metadata.into_headers())
        })
        .await
    });
    let carried = carried.await;
    let ids: Vec<u128> = carried.iter().map(|context| context.trace).collect();
    assert_eq!(ids, above.map(|context| context.trace));
    assert!(carried.iter().zip(above).all(|(below, above)| below.span != above.span));
    let mut metadata = MetadataMap::new();
    inject(&mut metadata);
    assert!(active().is_empty() && metadata.is_empty(), "outside nothing is traced");
}
