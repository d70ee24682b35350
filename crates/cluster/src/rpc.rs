//! Ethereum JSON-RPC as a wallet calls it: one request, one connection.

use alloy_primitives::{Address, Bytes, U256};
use eyre::{Result, WrapErr, eyre};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes as Body;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// One endpoint.
#[derive(Debug, Clone)]
pub struct Rpc {
    authority: String,
}

impl Rpc {
    /// The endpoint at `url`, `http://host:port`.
    pub fn new(url: &str) -> Self {
        Self { authority: url.trim_start_matches("http://").trim_end_matches('/').to_owned() }
    }

    /// What `method` answers.
    ///
    /// # Errors
    /// The server's error with its data, or a connection that failed.
    pub async fn request<T: DeserializeOwned>(&self, method: &str, params: Value) -> Result<T> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        result(method, self.answer(method, &request).await?)
    }

    /// What `method` answers to each of these parameters, in their order, asked in one batch.
    ///
    /// # Errors
    /// As those of [`Rpc::request`], for any of them.
    pub async fn batch<T: DeserializeOwned>(
        &self,
        method: &str,
        params: impl Iterator<Item = Value>,
    ) -> Result<Vec<T>> {
        let request = |(id, params)| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let requests: Vec<Value> = params.enumerate().map(request).collect();
        let answers = self.answer(method, &requests.into()).await?;
        let Value::Array(mut answers) = answers else { return Err(eyre!("{method}: {answers}")) };
        answers.sort_by_key(|answer| answer["id"].as_u64());
        answers.into_iter().map(|answer| result(method, answer)).collect()
    }

    async fn answer(&self, method: &str, request: &Value) -> Result<Value> {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.post(request.to_string())).await;
        let answer = answer.map_err(|_| eyre!("{method} was not answered within {REQUEST_TIMEOUT:?}"))?;
        answer.wrap_err_with(|| format!("{method} at {}", self.authority))
    }

    async fn post(&self, body: String) -> Result<Value> {
        let request = http::Request::post("/").header(http::header::CONTENT_TYPE, "application/json");
        self.send(request, body).await
    }

    /// The JSON at `path` beside the methods: what an explorer is told.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, self.send(http::Request::get(path), String::new())).await;
        answer.map_err(|_| eyre!("{path} was not answered within {REQUEST_TIMEOUT:?}"))?
    }

    async fn send(&self, request: http::request::Builder, body: String) -> Result<Value> {
        let stream = TcpStream::connect(&self.authority).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the one response.
        tokio::spawn(connection);
        let request = request.header(http::header::HOST, &self.authority).body(Full::new(Body::from(body)))?;
        let response = sender.send_request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }

    /// The return data of a call of `to`.
    pub async fn call(&self, to: Address, input: Bytes) -> Result<Bytes> {
        self.request("eth_call", json!([{ "to": to, "data": input }, "pending"])).await
    }

    /// Wei.
    pub async fn balance(&self, address: Address) -> Result<U256> {
        self.request("eth_getBalance", json!([address, "pending"])).await
    }

    /// Transactions sent.
    pub async fn nonce(&self, address: Address) -> Result<u64> {
        let nonce: U256 = self.request("eth_getTransactionCount", json!([address, "pending"])).await?;
        Ok(nonce.to())
    }
}

/// The result in an answer.
fn result<T: DeserializeOwned>(method: &str, mut answer: Value) -> Result<T> {
    if let Some(error) = answer.get("error") {
        return Err(eyre!("{method}: {error}"));
    }
    let result = answer.get_mut("result").map(Value::take).unwrap_or_default();
    serde_json::from_value(result).wrap_err_with(|| format!("{method} answered something else"))
}
