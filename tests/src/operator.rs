//! What an operator sees of a process: its metrics, whether it is ready, and its log.

use cluster::endpoint::get;
use cluster::{Cluster, Node};
use eyre::{Result, WrapErr, eyre};
use std::time::{Duration, Instant};

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
