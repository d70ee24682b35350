//! What a command says on standard output, for people and programs to read.
//!
//! Promise: no line panics. A reader that has gone stops nothing, so `dovetail devnet | head -1` stays up; what could not be
//! written for another reason, such as a full disk, is remembered, and [`check`] tells it at the end.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::sync::OnceLock;

/// The first failure but that of a reader that has gone.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Not all that was said could be written.
#[derive(Debug, thiserror::Error)]
#[error("standard output could not be written, so what was said is not whole: {0}")]
pub struct OutputError(&'static io::Error);

/// Says a line on standard output, as `println!` would, and never panics.
#[macro_export]
macro_rules! say {
    () => { $crate::output::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Writes `text` and the end of the line.
pub fn line(text: Arguments<'_>) {
    write(format_args!("{text}\n"));
}

/// Writes `text` as it is.
pub fn write(text: Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    note(stdout.write_fmt(text).and_then(|()| stdout.flush()));
}

/// Writes `text` to standard error as it is. Nobody is told where it cannot be: there is no place left to say so.
pub fn warn(text: Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_fmt(text).and_then(|()| stderr.flush());
}

/// Whether all that was said was written, or read no longer.
///
/// # Errors
/// [`OutputError`] with the first failure.
pub fn check() -> Result<(), OutputError> {
    FAILURE.get().map_or(Ok(()), |error| Err(OutputError(error)))
}

fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // Only the first is told.
        let _ = FAILURE.set(error);
    }
}
