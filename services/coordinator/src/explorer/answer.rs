//! Answers: JSON, bytes, streams and problems, each with the headers that keep a page to itself.
//!
//! Problems are those of RFC 9457: `{"status", "title", "detail"}`.

use serde_json::{Value, json};
use tokio::sync::mpsc;
use wire::jsonrpc::{Refused, Shown, Told};
use wire::{Reason, Rejection};

/// Nothing from elsewhere, nothing inline, no frame around it, nowhere to send a form.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                              base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An answer.
#[derive(Debug)]
pub(super) struct Reply(Told);

impl From<Reply> for Told {
    fn from(reply: Reply) -> Self {
        reply.0
    }
}

impl Reply {
    /// With these bytes of this kind.
    pub(super) fn bytes(kind: &'static str, bytes: impl Into<bytes::Bytes>) -> Self {
        Self::of(200, kind, Shown::Whole(bytes.into()))
    }

    fn of(status: u16, kind: &str, shown: Shown) -> Self {
        let headers = [
            ("content-type", kind),
            ("content-security-policy", CONTENT_POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self(Told { status, headers, shown })
    }

    /// JSON, which pages of other origins may read, as they may call the methods.
    pub(super) fn json(value: &Value) -> Self {
        Self::bytes("application/json", value.to_string()).with("access-control-allow-origin", "*".to_owned())
    }

    /// A stream of server-sent events.
    pub(super) fn events(pieces: mpsc::Receiver<bytes::Bytes>) -> Self {
        Self::of(200, "text/event-stream", Shown::Pieces(pieces))
    }

    /// It is elsewhere.
    pub(super) fn moved(to: &str) -> Self {
        Self::of(308, "text/plain; charset=utf-8", Shown::Whole(bytes::Bytes::new())).with("location", to.to_owned())
    }

    /// Nothing has changed since the asker was told.
    pub(super) fn unchanged(tag: &str) -> Self {
        Self::of(304, "text/plain; charset=utf-8", Shown::Whole(bytes::Bytes::new())).with("etag", tag.to_owned())
    }

    /// With one more header.
    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.0.headers.push((name, value));
        self
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{title}: {detail}")]
pub(super) struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
}

impl Problem {
    fn new(status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into() }
    }

    /// What was asked is no question.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "not a question", detail)
    }

    /// Nobody who answered knows it.
    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self::new(404, "not known", detail)
    }

    /// There is no such path.
    pub(super) fn nowhere(path: &str) -> Self {
        Self::new(404, "no such path", format!("{path} is none of the paths in /explorer/api/openapi.json"))
    }

    /// Too many ask at once.
    pub(super) fn busy() -> Self {
        Self::new(503, "busy", "too many ask at once: come again in a second")
    }

    /// Those who could know it do not answer.
    pub(super) fn silent(detail: impl Into<String>) -> Self {
        Self::new(503, "not answered", detail)
    }

    /// Whether it only is not known.
    pub(super) fn is_unknown(&self) -> bool {
        self.status == 404
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let Problem { status, title, detail } = problem;
        let value = json!({ "status": status, "title": title, "detail": detail });
        let reply = Self::of(status, "application/problem+json", Shown::Whole(value.to_string().into()));
        let reply = reply.with("access-control-allow-origin", "*".to_owned());
        if status == 503 { reply.with("retry-after", "1".to_owned()) } else { reply }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let (status, title) = match rejection.reason {
            Reason::NotFound | Reason::UnknownAttempt | Reason::UnknownShard => (404, "not known"),
            Reason::Pruned | Reason::HistoryUnavailable => (410, "not kept any more"),
            Reason::InvalidArgument | Reason::Malformed | Reason::OverBound | Reason::RangeTooWide => {
                (400, "not a question")
            }
            Reason::StoreFailed | Reason::Internal => (500, "this node failed"),
            reason if reason.is_retryable() => (503, "not answered"),
            _ => (502, "refused by a node"),
        };
        Self::new(status, title, rejection.message)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::new(502, "refused by a method", refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_forbids_what_is_not_the_pages_own() {
        for reply in [Reply::json(&json!({})), Reply::bytes("text/html", "x"), Problem::busy().into()] {
            let told = Told::from(reply);
            let has = |name: &str| told.headers.iter().any(|(header, _)| *header == name);
            assert!(has("content-security-policy") && has("x-content-type-options"), "{told:?}");
        }
    }

    #[test]
    fn a_problem_says_what_and_why() {
        let told = Told::from(Reply::from(Problem::unknown("no \"such\" thing")));
        let Shown::Whole(bytes) = told.shown else { panic!("a problem is whole") };
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((told.status, &value["detail"]), (404, &json!("no \"such\" thing")));
    }
}
