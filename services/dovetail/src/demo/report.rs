//! What the demo claims, and whether it was seen.

use eyre::{Result, eyre};
use std::fmt;
use std::time::{Duration, Instant};

/// How much of a detail the table shows.
const DETAIL_CHARS_MAX: usize = 84;

/// Lines as things happen, rows for the table at the end.
#[derive(Debug)]
pub(crate) struct Report {
    begun: Instant,
    section: &'static str,
    rows: Vec<Row>,
}

/// One claim.
#[derive(Debug)]
struct Row {
    section: &'static str,
    claim: String,
    elapsed: Duration,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    Holds(String),
    Fails(String),
    Skipped(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Holds(_) => "holds",
            Self::Fails(_) => "FAILS",
            Self::Skipped(_) => "skipped",
        })
    }
}

impl Verdict {
    fn detail(&self) -> &str {
        match self {
            Self::Holds(detail) | Self::Fails(detail) | Self::Skipped(detail) => detail,
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), section: "", rows: Vec::new() }
    }

    /// A headline.
    pub(crate) fn section(&mut self, title: &'static str) {
        self.section = title;
        host::say!("\n{title}");
    }

    /// A line as things happen.
    pub(crate) fn say(&self, text: impl fmt::Display) {
        let seconds = self.begun.elapsed().as_secs_f64();
        for line in text.to_string().lines() {
            host::say!("  {seconds:5.1} s  {line}");
        }
    }

    /// Looks whether `claim` holds: what `seen` gives is what was seen, and what later steps need of it.
    pub(crate) async fn claim<T>(&mut self, claim: &str, seen: impl Future<Output = Result<(String, T)>>) -> Option<T> {
        let begun = Instant::now();
        let (verdict, value) = match seen.await {
            Ok((detail, value)) => (Verdict::Holds(detail), Some(value)),
            Err(error) => (Verdict::Fails(causes(&error)), None),
        };
        self.row(claim, begun.elapsed(), verdict);
        value
    }

    /// Says that `claim` was not looked at, and why.
    pub(crate) fn skip(&mut self, claim: &str, reason: &str) {
        self.row(claim, Duration::ZERO, Verdict::Skipped(reason.to_owned()));
    }

    fn row(&mut self, claim: &str, elapsed: Duration, verdict: Verdict) {
        self.say(format_args!("{verdict:<7}  {claim}: {}", verdict.detail()));
        self.rows.push(Row { section: self.section, claim: claim.to_owned(), elapsed, verdict });
    }

    /// Prints the table.
    ///
    /// # Errors
    /// If a claim does not hold.
    pub(crate) fn finish(self) -> Result<()> {
        let width = self.rows.iter().map(|row| row.claim.chars().count()).max().unwrap_or(0);
        host::say!("\n  {:<width$}  {:<7}  {:>7}  seen", "claim", "verdict", "seconds");
        let mut shown = "";
        for Row { section, claim, elapsed, verdict } in &self.rows {
            if *section != shown {
                host::say!("{section}");
                shown = section;
            }
            let detail = cut(verdict.detail());
            host::say!("  {claim:<width$}  {verdict:<7}  {:>7.2}  {detail}", elapsed.as_secs_f64());
        }
        let failed = self.rows.iter().filter(|row| matches!(row.verdict, Verdict::Fails(_))).count();
        let held = self.rows.iter().filter(|row| matches!(row.verdict, Verdict::Holds(_))).count();
        let (looked_at, skipped) = (held + failed, self.rows.len() - held - failed);
        let seconds = self.begun.elapsed().as_secs_f64();
        host::say!("\n{held} of {looked_at} claims hold, {skipped} were skipped, in {seconds:.0} s");
        if failed == 0 { Ok(()) } else { Err(eyre!("{failed} claims do not hold")) }
    }
}

/// What of a detail has room in the table; all of it was printed when it was seen.
fn cut(detail: &str) -> String {
    let line = detail.lines().next().unwrap_or_default();
    match line.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn causes(error: &eyre::Report) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(", because ")
}

/// That two values are the same; the error has both.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, actual: &T, expected: &T) -> Result<()> {
    eyre::ensure!(actual == expected, "{what}: expected {expected:?}, got {actual:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_claim_that_fails_fails_the_demo() {
        let mut report = Report::new();
        assert_eq!(report.claim("one", async { Ok((String::new(), 7)) }).await, Some(7));
        report.skip("two", "no data");
        assert!(report.claim::<()>("three", async { Err(eyre!("no")) }).await.is_none());
        assert!(report.finish().is_err());
    }

    #[tokio::test]
    async fn a_claim_that_was_skipped_fails_nothing() {
        let mut report = Report::new();
        report.claim("one", async { Ok((String::new(), ())) }).await;
        report.skip("two", "no data");
        assert!(report.finish().is_ok());
    }
}
