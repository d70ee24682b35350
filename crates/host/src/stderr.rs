//! Standard error as a log needs it: a line is written, or lost and counted, and nothing else comes of it.
//!
//! Promise: writing never fails, never panics, and waits for a reader at most [`PATIENCE`] once and not at all while that
//! reader stands still. A closed pipe, a full disk and a stopped reader cost lines, never the process.
//! Knows nothing of what is logged.

use prometheus_client::metrics::counter::Counter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a line waits for a reader that is slow. One that has kept a line waiting so long is not waited for again before
/// it has read something.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Bytes that a pipe with any room takes at once (POSIX: `PIPE_BUF` on Linux).
const CHUNK_BYTES_MAX: usize = 4096;

/// Whether the reader kept a line waiting for too long. One for the process, as standard error is.
static STALLED: AtomicBool = AtomicBool::new(false);

/// Writes lines to standard error and counts those that were lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stderr {
    lost: Counter,
}

impl Stderr {
    /// How many lines were lost.
    pub(crate) fn lost(&self) -> Counter {
        self.lost.clone()
    }
}

impl Write for Stderr {
    /// Takes all of `line`, whatever becomes of it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !put(&mut io::stderr().lock(), line) {
            self.lost.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of `line`, if `out` takes it in time.
fn put(out: &mut (impl Write + AsFd), line: &[u8]) -> bool {
    for chunk in line.chunks(CHUNK_BYTES_MAX) {
        let is_stalled = !takes(out, STALLED.load(Ordering::Relaxed));
        STALLED.store(is_stalled, Ordering::Relaxed);
        if is_stalled || out.write_all(chunk).is_err() {
            return false;
        }
    }
    true
}

/// Whether a write would not wait. A file always takes; so does a pipe without a reader, which then says that it is broken.
fn takes(out: &impl AsFd, was_stalled: bool) -> bool {
    let patience = if was_stalled { Timespec::default() } else { PATIENCE };
    let mut polled = [PollFd::new(out, PollFlags::OUT)];
    // What cannot be polled is tried.
    poll(&mut polled, Some(&patience)).map_or(true, |ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    /// One test for all, because [`STALLED`] is the process's.
    #[test]
    fn a_line_is_written_or_lost_and_never_waited_for_twice() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let line = vec![b'x'; 3 * CHUNK_BYTES_MAX];
        let whole = (0..u32::MAX).take_while(|_| put(&mut writer, &line)).count();
        assert!(whole > 0, "an empty pipe takes some lines");
        let begun = std::time::Instant::now();
        assert!((0..1_000).all(|_| !put(&mut writer, &line)), "nobody reads");
        assert!(begun.elapsed().as_millis() < 100 * 10, "a reader that stands still was waited for again and again");
        let mut read = vec![0; 8 * CHUNK_BYTES_MAX];
        reader.read_exact(&mut read).unwrap();
        assert!(put(&mut writer, b"again\n"), "the reader reads again");
        drop(reader);
        assert!(!put(&mut writer, &line), "a closed pipe loses lines and no more");
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        assert!(!put(&mut full, &line), "so does a full disk");
    }
}
