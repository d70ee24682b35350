//! One line that says what a start waits for: rewritten on a terminal, elsewhere written once.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};

/// Takes a line's old text away.
const CLEAR: &str = "\r\x1b[2K";

/// The line, on standard error, so that what is printed for programs stays alone on standard output.
#[derive(Debug)]
pub(crate) struct Line {
    is_terminal: bool,
    is_begun: bool,
}

impl Line {
    /// Not yet there.
    pub(crate) fn new() -> Self {
        Self { is_terminal: stderr().is_terminal(), is_begun: false }
    }

    /// Shows `text` in place of what was there.
    pub(crate) fn show(&mut self, text: impl Display) {
        if self.is_terminal {
            put(&format!("{CLEAR}{text}"));
        } else if !self.is_begun {
            put(&format!("{text}\n"));
        }
        self.is_begun = true;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_terminal && self.is_begun {
            put(CLEAR);
        }
    }
}

fn put(text: &str) {
    // Nobody who reads it is no reason not to start.
    let _ = stderr().write_all(text.as_bytes());
    let _ = stderr().flush();
}
