//! Between protobuf and the relay's types.

use super::{DeadLetter, Novelty, Route, RouteKey, Taken, Trace, TraceEvent, TraceStage};
use crate::convert::{ConvertError, bytes_of, canonical, encoded, hash, required};
use crate::limits::{MESSAGE_BYTES_MAX, TRACE_EVENTS_COUNT_MAX};
use crate::proto::v1;
use crate::rejection::{Rejection, cut};
use primitives::Time;
use proof::MessageId;

/// A message's id.
pub(super) fn message_id(field: &'static str, bytes: &[u8]) -> Result<MessageId, ConvertError> {
    hash(field, bytes).map(MessageId)
}

impl From<Result<Taken, Rejection>> for v1::SubmitReceiptResult {
    fn from(result: Result<Taken, Rejection>) -> Self {
        use v1::submit_receipt_result::Result as Of;
        let result = match result {
            Ok(Taken { message, novelty }) => {
                let accepted = v1::ReceiptAccepted { message_id: bytes_of(message.0.as_slice()) };
                match novelty {
                    Novelty::New => Of::Accepted(accepted),
                    Novelty::Already => Of::Duplicate(accepted),
                }
            }
            Err(rejection) => Of::Rejection(rejection.into()),
        };
        Self { result: Some(result) }
    }
}

/// What became of a receipt, as a relay says.
pub(super) fn taken(result: v1::SubmitReceiptResult) -> Result<Taken, Rejection> {
    use v1::submit_receipt_result::Result as Of;
    let (novelty, accepted) = match required("result", result.result)? {
        Of::Accepted(accepted) => (Novelty::New, accepted),
        Of::Duplicate(accepted) => (Novelty::Already, accepted),
        Of::Rejection(rejection) => return Err(rejection.into()),
    };
    Ok(Taken { message: message_id("message_id", &accepted.message_id)?, novelty })
}

impl From<TraceStage> for v1::TraceStage {
    fn from(stage: TraceStage) -> Self {
        match stage {
            TraceStage::Accepted => Self::Accepted,
            TraceStage::Sent => Self::Sent,
            TraceStage::Retrying => Self::Retrying,
            TraceStage::Delivered => Self::Delivered,
            TraceStage::Acknowledging => Self::Acknowledging,
            TraceStage::Acknowledged => Self::Acknowledged,
            TraceStage::Dead => Self::Dead,
            TraceStage::Revived => Self::Revived,
        }
    }
}

fn trace_stage(value: i32) -> Result<TraceStage, ConvertError> {
    match v1::TraceStage::try_from(value) {
        Ok(v1::TraceStage::Accepted) => Ok(TraceStage::Accepted),
        Ok(v1::TraceStage::Sent) => Ok(TraceStage::Sent),
        Ok(v1::TraceStage::Retrying) => Ok(TraceStage::Retrying),
        Ok(v1::TraceStage::Delivered) => Ok(TraceStage::Delivered),
        Ok(v1::TraceStage::Acknowledging) => Ok(TraceStage::Acknowledging),
        Ok(v1::TraceStage::Acknowledged) => Ok(TraceStage::Acknowledged),
        Ok(v1::TraceStage::Dead) => Ok(TraceStage::Dead),
        Ok(v1::TraceStage::Revived) => Ok(TraceStage::Revived),
        Ok(v1::TraceStage::Unspecified) | Err(_) => Err(ConvertError::Unknown { field: "stage", value: value.into() }),
    }
}

impl From<TraceEvent> for v1::TraceEvent {
    fn from(event: TraceEvent) -> Self {
        Self {
            time_ms: event.time.0,
            stage: v1::TraceStage::from(event.stage).into(),
            attempt_number: event.attempt_number,
            detail: cut(event.detail),
        }
    }
}

impl TryFrom<v1::TraceEvent> for TraceEvent {
    type Error = ConvertError;

    fn try_from(event: v1::TraceEvent) -> Result<Self, ConvertError> {
        Ok(Self {
            time: Time(event.time_ms),
            stage: trace_stage(event.stage)?,
            attempt_number: event.attempt_number,
            detail: event.detail,
        })
    }
}

impl From<Trace> for v1::TraceMessageResponse {
    fn from(trace: Trace) -> Self {
        let skipped = trace.events.len().saturating_sub(TRACE_EVENTS_COUNT_MAX);
        Self {
            message: encoded(&trace.message),
            events: trace.events.into_iter().skip(skipped).map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::TraceMessageResponse> for Trace {
    type Error = ConvertError;

    fn try_from(trace: v1::TraceMessageResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            message: canonical("message", &trace.message, MESSAGE_BYTES_MAX)?,
            events: trace.events.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<Route> for v1::Route {
    fn from(route: Route) -> Self {
        Self {
            source: route.key.source,
            destination: route.key.destination,
            paused: route.paused,
            cursor: Some(route.cursor.into()),
            queued_count: route.queued_count,
            dead_count: route.dead_count,
            acknowledged_count: route.acknowledged_count,
            progress_time_ms: route.progress.map_or(0, |time| time.0),
            last_error: cut(route.last_error),
            oldest_time_ms: route.oldest.map_or(0, |time| time.0),
        }
    }
}

impl TryFrom<v1::Route> for Route {
    type Error = ConvertError;

    fn try_from(route: v1::Route) -> Result<Self, ConvertError> {
        Ok(Self {
            key: RouteKey { source: route.source, destination: route.destination },
            paused: route.paused,
            cursor: required("cursor", route.cursor)?.into(),
            queued_count: route.queued_count,
            dead_count: route.dead_count,
            acknowledged_count: route.acknowledged_count,
            progress: (route.progress_time_ms > 0).then_some(Time(route.progress_time_ms)),
            oldest: (route.oldest_time_ms > 0).then_some(Time(route.oldest_time_ms)),
            last_error: route.last_error,
        })
    }
}

impl From<DeadLetter> for v1::DeadLetter {
    fn from(letter: DeadLetter) -> Self {
        Self {
            message_id: bytes_of(letter.message.0.as_slice()),
            source: letter.route.source,
            destination: letter.route.destination,
            attempts_count: letter.attempts_count,
            reason: cut(letter.reason),
            time_ms: letter.time.0,
        }
    }
}

impl TryFrom<v1::DeadLetter> for DeadLetter {
    type Error = ConvertError;

    fn try_from(letter: v1::DeadLetter) -> Result<Self, ConvertError> {
        Ok(Self {
            message: message_id("message_id", &letter.message_id)?,
            route: RouteKey { source: letter.source, destination: letter.destination },
            attempts_count: letter.attempts_count,
            reason: letter.reason,
            time: Time(letter.time_ms),
        })
    }
}
