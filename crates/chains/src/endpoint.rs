//! One JSON-RPC endpoint of a foreign chain: an answer within its time and its bytes, or why there is none.
//!
//! Promise: nothing that comes back is believed, and no answer costs more than [`ANSWER_BYTES_MAX`] of memory or
//! [`ANSWER_TIMEOUT`]; each way to fail is an error of its own.

use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use std::time::Duration;

/// How many bytes an answer may have: all receipts of a full block fit.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long an answer may take, its last byte included.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How much of what an endpoint says is repeated in an error.
const SAID_CHARS_MAX: usize = 200;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The URL is none, or no client can be made.
    #[error("{0}")]
    Url(String),
    /// Nobody there, or the connection broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// Nothing within [`ANSWER_TIMEOUT`].
    #[error("no answer within {ANSWER_TIMEOUT:?}")]
    Timeout,
    /// HTTP 429.
    #[error("too many requests")]
    RateLimited,
    /// Another HTTP status than success.
    #[error("HTTP status {0}")]
    Status(u16),
    /// More than [`ANSWER_BYTES_MAX`].
    #[error("an answer of more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    /// Not the JSON that was asked for.
    #[error("not an answer: {0}")]
    Garbage(String),
    /// One answer where many calls were made at once.
    #[error("it takes no batches")]
    NoBatch,
    /// The node's own error.
    #[error("refused with code {code}: {message}")]
    Refused {
        /// JSON-RPC error code.
        code: i64,
        /// What it says.
        message: String,
    },
}

/// A JSON-RPC answer.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<AnswerError>,
}

impl Answer {
    fn value(self) -> Result<Value, EndpointError> {
        match self.error {
            Some(AnswerError { code, message }) => Err(EndpointError::Refused { code, message: said(&message) }),
            None => Ok(self.result.unwrap_or(Value::Null)),
        }
    }
}

/// What comes back for a batch.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answers {
    Many(Vec<Answer>),
    One(IgnoredAny),
}

#[derive(Debug, Deserialize)]
struct AnswerError {
    code: i64,
    message: String,
}

/// One endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: reqwest::Url,
    http: reqwest::Client,
    timeout: Duration,
}

impl Endpoint {
    /// The endpoint at `url`; nothing is sent yet.
    pub fn new(url: &str) -> Result<Self, EndpointError> {
        let wrong = |error: &dyn std::fmt::Display| EndpointError::Url(format!("{url}: {error}"));
        let parsed: reqwest::Url = url.parse().map_err(|error| wrong(&error))?;
        // A redirect would have another answer than the one who was configured.
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Ok(Self { url: parsed, http: client.build().map_err(|error| wrong(&error))?, timeout: ANSWER_TIMEOUT })
    }

    /// The same with less patience.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Where it is, without what a URL may hold of secrets: a path is often a key.
    pub fn name(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.url.host_str().unwrap_or_default())
    }

    /// Asks; `null` is an answer where `T` takes it.
    pub async fn call<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T, EndpointError> {
        let answer = tokio::time::timeout(self.timeout, self.post(&request(1, method, &params))).await;
        let bytes = answer.map_err(|_| EndpointError::Timeout)??;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|error| garbage(&error))?;
        serde_json::from_value(answer.value()?).map_err(|error| garbage(&error))
    }

    /// Asks all at once; the results in the order of `calls`, `null` where that is one.
    ///
    /// # Errors
    /// As [`Endpoint::call`], the first that there is of any call.
    pub async fn batch(&self, calls: &[(&str, Value)]) -> Result<Vec<Value>, EndpointError> {
        let call = |(id, (method, params)): (usize, &(&str, Value))| request(id, method, params);
        let body = Value::Array(calls.iter().enumerate().map(call).collect());
        let answer = tokio::time::timeout(self.timeout, self.post(&body)).await;
        let bytes = answer.map_err(|_| EndpointError::Timeout)??;
        // One that takes no batches answers with one error, not with many.
        let answers: Answers = serde_json::from_slice(&bytes).map_err(|error| garbage(&error))?;
        let answers = match answers {
            Answers::Many(answers) => answers,
            Answers::One(_) => return Err(EndpointError::NoBatch),
        };
        let mut results = vec![None; calls.len()];
        for answer in answers {
            let id = answer.id.as_u64().and_then(|id| usize::try_from(id).ok());
            if let Some(result) = id.and_then(|id| results.get_mut(id)) {
                *result = Some(answer.value()?);
            }
        }
        let missing = || EndpointError::Garbage("a batch with an answer missing".to_owned());
        results.into_iter().map(|result| result.ok_or_else(missing)).collect()
    }

    async fn post(&self, body: &Value) -> Result<Vec<u8>, EndpointError> {
        let sent = self.http.post(self.url.clone()).json(body).send().await;
        let response = sent.map_err(|error| unreachable(&error))?;
        match response.status().as_u16() {
            429 => return Err(EndpointError::RateLimited),
            status if !response.status().is_success() => return Err(EndpointError::Status(status)),
            _ => {}
        }
        let mut bytes = Vec::new();
        let mut body = response.bytes_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| unreachable(&error))?;
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(EndpointError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

fn request(id: usize, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn unreachable(error: &reqwest::Error) -> EndpointError {
    // Its text repeats the URL, and with it a key.
    let kind = if error.is_connect() { "no connection" } else { "the connection broke" };
    EndpointError::Unreachable(kind.to_owned())
}

fn garbage(error: &serde_json::Error) -> EndpointError {
    EndpointError::Garbage(said(&error.to_string()))
}

fn said(text: &str) -> String {
    text.chars().take(SAID_CHARS_MAX).collect()
}
