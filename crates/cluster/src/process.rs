//! One child process: started, killed, asked to stop, and never left behind: it drains when this process ends, however that
//! ended, because then its standard input does.

use eyre::{Result, WrapErr, eyre};
use host::shutdown::{PARENT_STDIN, PARENT_VARIABLE};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a child may take to drain after SIGTERM.
const DRAIN_TIMEOUT: Duration = host::shutdown::DRAIN_DURATION_MAX.saturating_add(Duration::from_secs(5));

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
        loop {
            if let Some(status) = self.exited() {
                return if status.success() { Ok(()) } else { Err(eyre!("it ended with {status}")) };
            }
            if Instant::now() >= until {
                return Err(eyre!("it was still running {DRAIN_TIMEOUT:?} after SIGTERM"));
            }
            std::thread::sleep(POLL_PAUSE);
        }
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
