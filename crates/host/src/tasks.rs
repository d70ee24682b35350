//! Tasks beside the host that a process cannot do without.
//!
//! ```text
//! task returns ---------------> it was done, or its host is stopping
//! task returns an error, panics -> one line in the log, and `Process::serve` drains and ends with the first of them
//! ```
//!
//! Promise: no such task ends without a word while its process goes on and says that it is ready.
//! Knows nothing of what a task does.

use std::any::Any;
use std::convert::Infallible;
use std::fmt::Display;
use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::error;

/// A task that a process cannot do without failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the task {task} failed ({reason}): the store is as of its last batch")]
pub struct TaskFailed {
    /// What it is called.
    pub task: &'static str,
    /// Its error, or the words of its panic.
    pub reason: String,
}

/// Where such tasks are started. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Tasks {
    failed: watch::Sender<Option<TaskFailed>>,
}

impl Tasks {
    /// None yet.
    pub fn new() -> Self {
        Self { failed: watch::Sender::new(None) }
    }

    /// Starts a task that the process ends with if it panics.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.try_spawn(name, async move {
            task.await;
            Ok::<(), Infallible>(())
        });
    }

    /// Starts a task that the process ends with if it panics or returns an error.
    pub fn try_spawn<E: Display + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let failed = self.failed.clone();
        let task = tokio::spawn(task);
        tokio::spawn(async move {
            let Some(reason) = reason(task.await) else { return };
            error!(task = name, reason, "a task failed, the process ends");
            let failure = TaskFailed { task: name, reason };
            failed.send_if_modified(|first| first.is_none() && first.insert(failure).task == name);
        });
    }

    /// Waits for the first failure of a task; for ever if there is none.
    pub async fn failed(&self) -> TaskFailed {
        let mut failed = self.failed.subscribe();
        loop {
            if let Some(failure) = failed.borrow_and_update().clone() {
                return failure;
            }
            if failed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a task failed, if it did. A task that its runtime dropped did not: the process is ending.
fn reason<E: Display>(ended: Result<Result<(), E>, JoinError>) -> Option<String> {
    match ended {
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) if error.is_panic() => Some(format!("it panicked: {}", words(&*error.into_panic()))),
        Ok(Ok(())) | Err(_) => None,
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> impl Future<Output = Result<(), String>> {
        std::future::ready(Err("the tree is damaged".to_owned()))
    }

    #[allow(clippy::panic, reason = "it is what the test is of")]
    fn panicking() -> impl Future<Output = ()> {
        std::future::poll_fn(|_| panic!("node 7 is missing"))
    }

    #[tokio::test]
    async fn a_task_that_fails_is_told() {
        let tasks = Tasks::new();
        tasks.try_spawn("roots", failing());
        let failed = TaskFailed { task: "roots", reason: "the tree is damaged".to_owned() };
        assert_eq!(tasks.failed().await, failed);
        assert_eq!(tasks.failed().await, failed, "asked again");
    }

    #[tokio::test]
    async fn a_task_that_panics_is_told_with_its_words() {
        let tasks = Tasks::new();
        tasks.spawn("roots", panicking());
        assert_eq!(tasks.failed().await.reason, "it panicked: node 7 is missing");
    }

    #[tokio::test]
    async fn a_task_that_is_done_ends_nothing() {
        let tasks = Tasks::new();
        tasks.spawn("done", async {});
        tasks.try_spawn("failing", failing());
        assert_eq!(tasks.failed().await.task, "failing");
    }
}
