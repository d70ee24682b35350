//! What an operator sees of a process: its metrics, whether it is ready, and its log.

use cluster::{Cluster, Node};
use eyre::{Result, WrapErr, eyre};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long the endpoint may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks at the same thing.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// What `/readyz` of a node answers: whether it is ready, and what else it says.
pub fn readiness(cluster: &Cluster, node: Node) -> Result<(bool, String)> {
    let (status, text) = get(cluster, node, "/readyz")?;
    Ok((status == 200, text))
}

/// A counter or gauge of a node, by its full name; zero where it is not there.
pub fn metric(cluster: &Cluster, node: Node, name: &str) -> Result<u64> {
    let (_, text) = get(cluster, node, "/metrics")?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(Ok(0), |value| value.trim().parse().wrap_err_with(|| format!("{name} is {value}")))
}

/// What a node has logged so far.
pub fn log(cluster: &Cluster, node: Node) -> Result<String> {
    let path = cluster.log(node);
    std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))
}

/// Looks until `look` sees something, `within` this time.
///
/// # Errors
/// That it saw nothing; `what` names it.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if begun.elapsed() > within {
            return Err(eyre!("after {within:?} there is no {what}"));
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// One plain HTTP request of a node's operator endpoint: status and body.
fn get(cluster: &Cluster, node: Node, path: &str) -> Result<(u16, String)> {
    let url = cluster.metrics(node);
    let authority = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| eyre!("{node} answered {answer:?}"))?;
    let status = head.split(' ').nth(1).ok_or_else(|| eyre!("{node} answered {head:?}"))?.parse()?;
    Ok((status, body.to_owned()))
}
