//! One child process: started, killed, asked to stop, and never left behind: it drains when this process ends, however that
//! ended, because then its standard input does. One that a signal has stopped cannot drain, and is killed.

use eyre::{Result, WrapErr, eyre};
use host::shutdown::{PARENT_STDIN, PARENT_VARIABLE};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a child may take to drain after SIGTERM.
pub(crate) const DRAIN_TIMEOUT: Duration = host::shutdown::DRAIN_DURATION_MAX.saturating_add(Duration::from_secs(5));

/// How long a child that a signal has stopped, and that is asked to end, may take to be continued.
const STOPPED_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two looks at whether a child has ended.
pub(crate) const POLL_PAUSE: Duration = Duration::from_millis(10);

/// Until when a child that is asked now has to have drained.
pub(crate) fn drain_deadline() -> Instant {
    Instant::now() + DRAIN_TIMEOUT
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `program kind --config settings`, its output appended to `log`.
    pub fn spawn<'a>(
        program: &Path,
        kind: &str,
        settings: &Path,
        environment: impl Iterator<Item = &'a (String, String)>,
        log: &Path,
    ) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .arg(kind)
            .arg("--config")
            .arg(settings)
            .envs(environment.map(|(name, value)| (name, value)))
            // Nothing is ever written to it: its end is what the child waits for.
            .stdin(Stdio::piped())
            .env(PARENT_VARIABLE, PARENT_STDIN)
            .stdout(file.try_clone()?)
            .stderr(file)
            // A group of its own: a Ctrl-C at the terminal is for the parent, which stops its children in order.
            .process_group(0)
            .spawn()?;
        Ok(Self { child })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and wait.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and wait for a clean end.
    pub fn terminate(mut self) -> Result<()> {
        self.ask_to_end()?;
        self.wait_ended(drain_deadline())
    }

    /// SIGTERM, without waiting.
    pub fn ask_to_end(&mut self) -> Result<()> {
        match self.exited() {
            Some(status) => Err(eyre!("it had ended before, with {status}")),
            None => self.signal("TERM"),
        }
    }

    /// Waits until a process that was asked to has ended, cleanly.
    pub fn wait_ended(mut self, until: Instant) -> Result<()> {
        let mut runs_until = Instant::now() + STOPPED_TIMEOUT;
        loop {
            if let Some(status) = self.exited() {
                return if status.success() { Ok(()) } else { Err(eyre!("it ended with {status}")) };
            }
            let now = Instant::now();
            if !self.is_stopped() {
                runs_until = now + STOPPED_TIMEOUT;
            }
            if now >= runs_until {
                self.kill()?;
                return Err(eyre!(
                    "a signal had stopped it, and nobody continued it within {STOPPED_TIMEOUT:?} after SIGTERM: it was \
                     killed, which its store is made for"
                ));
            }
            if now >= until {
                self.kill()?;
                return Err(eyre!(
                    "it was still running {DRAIN_TIMEOUT:?} after SIGTERM: it was killed, which its store is made for"
                ));
            }
            std::thread::sleep(POLL_PAUSE);
        }
    }

    /// Whether a signal, such as SIGSTOP, has stopped it: it hears nothing until it is continued.
    fn is_stopped(&self) -> bool {
        // Looked at without taking it: whether it has ended is the child's own to tell.
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), look).is_ok_and(|found| found.is_some())
    }

    /// Sends a signal by name, such as `STOP` and `CONT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        let signal = match name {
            "STOP" => Signal::STOP,
            "CONT" => Signal::CONT,
            "TERM" => Signal::TERM,
            "HUP" => Signal::HUP,
            "KILL" => Signal::KILL,
            _ => return Err(eyre!("SIG{name} is not sent from here")),
        };
        kill_process(Pid::from_child(&self.child), signal)
            .wrap_err_with(|| format!("cannot send SIG{name} to process {}", self.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exited().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_a_signal_has_stopped_is_killed_soon_and_that_is_said() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut stopped = Process { child };
        stopped.signal("STOP").unwrap();
        while !stopped.is_stopped() {
            std::thread::yield_now();
        }
        stopped.signal("CONT").unwrap();
        while stopped.is_stopped() {
            std::thread::yield_now();
        }
        stopped.signal("STOP").unwrap();
        // Of two signals that wait for a process that runs, the one to end may come first.
        while !stopped.is_stopped() {
            std::thread::yield_now();
        }
        stopped.ask_to_end().unwrap();
        let begun = Instant::now();
        let said = stopped.wait_ended(drain_deadline()).unwrap_err().to_string();
        assert!(begun.elapsed() < DRAIN_TIMEOUT / 2, "{:?}", begun.elapsed());
        assert!(said.contains("a signal had stopped it") && said.contains("killed"), "{said}");
    }
}
