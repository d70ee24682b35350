//! Settings: one TOML file, overridden by environment variables, unknown fields refused.
//!
//! `shard = 3` and `[store] bytes_free_min = 1` in the file are `PREFIX_SHARD=3` and `PREFIX_STORE__BYTES_FREE_MIN=1` in the
//! environment: the prefix, an underscore, the path in capitals with two underscores between its parts. A value is read as
//! TOML if it is TOML, else as text.

use crate::environment::{self, NotUnicode};
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {path}: {error}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line of the file is wrong.
    #[error("the settings file {path}, line {line}: {reason}", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it; names the field.
        reason: String,
    },
    /// File and environment together are wrong, and the file alone is not, or not in this way.
    #[error("the settings of {path} and the environment variables {variables:?}: {reason}", path = path.display())]
    Environment {
        /// Which file.
        path: PathBuf,
        /// Which variables were taken.
        variables: Vec<String>,
        /// What is wrong; names the field.
        reason: String,
    },
    /// A variable that would apply is not text.
    #[error(transparent)]
    NotUnicode(#[from] NotUnicode),
    /// A variable names a field inside something that has none.
    #[error("the environment variable {variable} names a field inside {field:?}, which is a value")]
    Variable {
        /// Which variable.
        variable: String,
        /// The value's field.
        field: String,
    },
}

/// The settings in the file at `path`, overridden by the environment variables that start with `prefix` and an underscore.
///
/// `T` denies unknown fields (`#[serde(deny_unknown_fields)]`) and documents each.
///
/// # Errors
/// [`SettingsError`], which names the file, the line and the field, or the variable.
pub fn load<T: DeserializeOwned>(path: &Path, prefix: &str) -> Result<T, SettingsError> {
    let text = fs::read_to_string(path).map_err(|error| SettingsError::File { path: path.to_owned(), error })?;
    let prefix = format!("{prefix}_");
    let taken = environment::with_prefix(&prefix)?.into_iter();
    let overrides: Vec<Override> = taken.map(|(name, value)| Override::new(name, &prefix, &value)).collect();
    parse(path, &text, overrides)
}

/// One environment variable that applies.
struct Override {
    variable: String,
    fields: Vec<String>,
    value: Value,
}

impl Override {
    fn new(variable: String, prefix: &str, text: &str) -> Self {
        let fields = variable[prefix.len()..].to_lowercase().split("__").map(str::to_owned).collect();
        Self { variable, fields, value: value(text) }
    }

    fn apply(self, table: &mut Table) -> Result<(), SettingsError> {
        let Some((last, parents)) = self.fields.split_last() else { return Ok(()) };
        let mut table = table;
        for field in parents {
            let entry = table.entry(field.clone()).or_insert_with(|| Value::Table(Table::new()));
            table = entry
                .as_table_mut()
                .ok_or_else(|| SettingsError::Variable { variable: self.variable.clone(), field: field.clone() })?;
        }
        table.insert(last.clone(), self.value);
        Ok(())
    }
}

/// What a variable's text means: TOML where it is TOML.
fn value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str, overrides: Vec<Override>) -> Result<T, SettingsError> {
    let at = |error: &toml::de::Error| SettingsError::Line {
        path: path.to_owned(),
        line: line(text, error.span()),
        reason: error.message().to_owned(),
    };
    if overrides.is_empty() {
        return toml::from_str(text).map_err(|error| at(&error));
    }
    let mut table: Table = toml::from_str(text).map_err(|error| at(&error))?;
    let variables = overrides.iter().map(|entry| entry.variable.clone()).collect();
    overrides.into_iter().try_for_each(|entry| entry.apply(&mut table))?;
    Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        // A mistake of the file alone is shown at its line.
        match toml::from_str::<T>(text).err().filter(|alone| alone.message() == error.message()) {
            Some(alone) => at(&alone),
            None => SettingsError::Environment { path: path.to_owned(), variables, reason: error.to_string() },
        }
    })
}

/// The line, from 1, where `span` starts in `text`.
fn line(text: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start.min(text.len()));
    text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Node {
        shard: u32,
        name: Option<String>,
        store: Disk,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Disk {
        path: String,
    }

    const TEXT: &str = "shard = 3\n\n[store]\npath = \"data\"\n";

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Node, SettingsError> {
        let overrides = variables.iter().map(|(name, value)| Override::new((*name).to_owned(), "NODE_", value));
        parse(Path::new("node.toml"), text, overrides.collect())
    }

    fn node(shard: u32, path: &str) -> Node {
        Node { shard, name: None, store: Disk { path: path.to_owned() } }
    }

    #[test]
    fn a_file_alone_is_enough() {
        assert_eq!(read(TEXT, &[]).unwrap(), node(3, "data"));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let variables = [("NODE_SHARD", "4"), ("NODE_STORE__PATH", "/elsewhere")];
        assert_eq!(read(TEXT, &variables).unwrap(), node(4, "/elsewhere"));
        let named = read(TEXT, &[("NODE_NAME", "north 3")]).unwrap();
        assert_eq!(named.name.as_deref(), Some("north 3"));
    }

    #[test]
    fn an_unknown_field_is_refused_at_its_line() {
        let refusal = read("shard = 3\nshrad = 4\n[store]\npath = \"data\"\n", &[]).unwrap_err();
        assert!(
            matches!(&refusal, SettingsError::Line { line: 2, reason, .. } if reason.contains("`shrad`")),
            "{refusal}"
        );
        let nested = read("shard = 3\n[store]\npath = \"data\"\npaht = 1\n", &[("NODE_SHARD", "4")]).unwrap_err();
        assert!(
            matches!(&nested, SettingsError::Line { line: 4, reason, .. } if reason.contains("`paht`")),
            "{nested}"
        );
    }

    #[test]
    fn a_wrong_type_and_a_broken_line_are_refused_at_their_line() {
        let refusal = read("shard = \"three\"\n[store]\npath = \"data\"\n", &[]).unwrap_err();
        assert!(matches!(refusal, SettingsError::Line { line: 1, .. }));
        let broken = read("shard = 3\n[store\n", &[("NODE_SHARD", "4")]).unwrap_err();
        assert!(matches!(broken, SettingsError::Line { line: 2, .. }));
    }

    #[test]
    fn an_unknown_variable_is_refused_by_name() {
        let refusal = read(TEXT, &[("NODE_SHRAD", "4")]).unwrap_err();
        assert!(refusal.to_string().contains("NODE_SHRAD") && refusal.to_string().contains("`shrad`"), "{refusal}");
        let inside = read(TEXT, &[("NODE_SHARD__PATH", "4")]).unwrap_err();
        assert!(matches!(inside, SettingsError::Variable { .. }));
    }
}
