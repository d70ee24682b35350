//! `docs/conformance.md`: a document of sections, each written by one command between its own markers.
//!
//! Promise: writing a section changes nothing of the others.

use std::io;
use std::path::Path;

/// What the document says before its sections.
const PREAMBLE: &str = "# Conformance\n\n\
    How the whole network compares with one EVM, on the tests and blocks that every Ethereum client has to get right.\n\
    Commands write this document; each section says which, and how to get its figures again.\n";

/// A part of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its name in the markers; the same for ever.
    pub name: &'static str,
    /// Markdown.
    pub body: String,
}

impl Section {
    fn begin(&self) -> String {
        format!("<!-- begin: {} -->", self.name)
    }

    fn end(&self) -> String {
        format!("<!-- end: {} -->", self.name)
    }

    /// `document` with this section in place of its earlier one, or at the end.
    pub fn within(&self, document: &str) -> String {
        let section = format!("{}\n{}\n{}", self.begin(), self.body.trim_end(), self.end());
        let from = document.find(&self.begin());
        let upto = document.find(&self.end()).map(|at| at + self.end().len());
        match (from, upto) {
            (Some(from), Some(upto)) if from < upto => {
                format!("{}{section}{}", &document[..from], &document[upto..])
            }
            _ if document.is_empty() => format!("{PREAMBLE}\n{section}\n"),
            _ => format!("{}\n\n{section}\n", document.trim_end()),
        }
    }

    /// Writes this section into the document at `path`, which is made if there is none.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let document = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        std::fs::write(path, self.within(&document))
    }
}

/// A table in Markdown.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// With these columns.
    pub fn new<T: Into<String>>(columns: impl IntoIterator<Item = T>) -> Self {
        Self(vec![columns.into_iter().map(Into::into).collect()])
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
    }
}

impl std::fmt::Display for Table {
    /// The first column to the left, all others to the right.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((columns, rows)) = self.0.split_first() else { return Ok(()) };
        writeln!(f, "| {} |", columns.join(" | "))?;
        writeln!(f, "|---|{}", "--:|".repeat(columns.len().saturating_sub(1)))?;
        rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &'static str, body: &str) -> Section {
        Section { name, body: body.to_owned() }
    }

    #[test]
    fn a_section_replaces_itself_and_nothing_else() {
        let document = section("tests", "one").within("");
        let document = section("blocks", "two").within(&document);
        let again = section("tests", "three\n").within(&document);
        assert!(again.starts_with("# Conformance"));
        assert!(again.contains("three") && again.contains("two") && !again.contains("one\n<!-- end"));
        assert_eq!(section("tests", "one").within(&again), document);
    }

    #[test]
    fn a_document_is_made_where_there_is_none_and_kept_where_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conformance.md");
        section("tests", "one").write(&path).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "\nby hand\n").unwrap();
        section("tests", "two").write(&path).unwrap();
        let document = std::fs::read_to_string(&path).unwrap();
        assert!(document.contains("by hand") && document.contains("two") && !document.contains("one\n"));
    }

    #[test]
    fn a_table_lines_up_its_columns() {
        let mut table = Table::new(["suite", "tests"]);
        table.row(["stCreate", "7"]);
        assert_eq!(table.to_string(), "| suite | tests |\n|---|--:|\n| stCreate | 7 |\n");
    }
}
