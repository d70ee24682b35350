//! What a node counts, read from its metrics as an operator's collector does.

use crate::{Cluster, Node};
use eyre::{Result, WrapErr, eyre};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the endpoint may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Counters and gauges of one node by their full names, labels included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// What `node` has counted since it started.
    ///
    /// # Errors
    /// The endpoint does not answer, or answers something else.
    pub fn read(cluster: &Cluster, node: Node) -> Result<Self> {
        let url = cluster.metrics(node);
        let authority = url.trim_start_matches("http://").trim_end_matches("/metrics");
        let mut stream = TcpStream::connect(authority).wrap_err_with(|| format!("{node} at {authority}"))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| eyre!("{node} answered {answer:?}"))?;
        Ok(Self::of(body))
    }

    fn of(text: &str) -> Self {
        let value = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(value).collect())
    }

    /// One of them; zero where it is not there.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// All of one name together, whatever their labels.
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |(key, _): &(&String, &f64)| key.split('{').next() == Some(name);
        self.0.iter().filter(of_name).map(|(_, value)| value).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_name_and_summed_over_labels() {
        let text = "# HELP x y\nsteps_total 7\ncalls_total{kind=\"a\"} 2\ncalls_total{kind=\"b\"} 3\n# EOF\n";
        let counters = Counters::of(text);
        assert_eq!((counters.get("steps_total"), counters.sum("calls_total")), (7.0, 5.0));
        assert!(counters.get("nothing").abs() < f64::EPSILON);
    }
}
