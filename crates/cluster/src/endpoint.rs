//! A node's operator endpoint, asked as an operator's tools do.

use crate::{Cluster, Node};
use eyre::{Result, WrapErr, eyre};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the endpoint may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// One plain HTTP request of a node's operator endpoint: status and body.
///
/// # Errors
/// The endpoint does not answer, or answers something else.
pub fn get(cluster: &Cluster, node: Node, path: &str) -> Result<(u16, String)> {
    let url = cluster.metrics(node);
    let authority = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(authority).wrap_err_with(|| format!("{node} at {authority}"))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| eyre!("{node} answered {answer:?}"))?;
    let status = head.split(' ').nth(1).ok_or_else(|| eyre!("{node} answered {head:?}"))?.parse()?;
    Ok((status, body.to_owned()))
}
