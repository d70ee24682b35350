//! What a node counts, read from its metrics as an operator's collector does.

use crate::{Cluster, Node, endpoint};
use eyre::Result;
use std::collections::BTreeMap;

/// Counters and gauges of one node by their full names, labels included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// What `node` has counted since it started.
    ///
    /// # Errors
    /// The endpoint does not answer, or answers something else.
    pub fn read(cluster: &Cluster, node: Node) -> Result<Self> {
        let (_, body) = endpoint::get(cluster, node, "/metrics")?;
        Ok(Self::of(&body))
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
