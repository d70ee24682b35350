//! A carrier's ear: attestors' words over HTTP, bounded in bytes and time. Nothing that is heard is believed here.

use serde::de::DeserializeOwned;
use std::time::Duration;

/// How many bytes an attestor's answer may have.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long an attestor may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// All attestors of a route.
#[derive(Debug, Clone)]
pub(crate) struct Attestors {
    urls: Vec<String>,
    http: reqwest::Client,
}

impl Attestors {
    /// Those that serve their words at `urls`.
    pub(crate) fn new(urls: Vec<String>) -> Self {
        Self { urls, http: reqwest::Client::new() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.urls.len()
    }

    /// What the one with this number is known by.
    pub(crate) fn url(&self, number: usize) -> &str {
        self.urls.get(number).map_or("", String::as_str)
    }

    /// What it answers, if it is an answer.
    pub(crate) async fn hear<T: DeserializeOwned>(&self, number: usize, path: &str) -> Option<T> {
        let url = format!("{}/{path}", self.url(number).trim_end_matches('/'));
        let asked = async {
            let mut response = self.http.get(url).send().await.ok()?.error_for_status().ok()?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.ok()? {
                if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                    return None;
                }
                bytes.extend_from_slice(&chunk);
            }
            serde_json::from_slice(&bytes).ok()
        };
        let heard = tokio::time::timeout(ANSWER_TIMEOUT, asked).await.ok().flatten();
        if heard.is_none() {
            tracing::debug!(attestor = self.url(number), "an attestor gave no answer");
        }
        heard
    }
}
