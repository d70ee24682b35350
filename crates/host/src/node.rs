//! What a node says of itself over gRPC, and the copies of its store that an operator asks it for.

use crate::{Health, Security, wall};
use primitives::Millis;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use store::Reader;
use store::backup::{self, BackupError, Subject};
use tokio::sync::Mutex;
use wire::node::{BackedUp, NodeApi, NodeState, OpenAttempt};
use wire::{Reason, Rejection};

/// What is open at a node: the first of it, and how much there is.
type Open = Box<dyn Fn(&Reader) -> (Vec<OpenAttempt>, u64) + Send + Sync>;

/// A node, as far as every kind of it is the same.
pub struct Node {
    /// What it is, such as "shard 0".
    pub name: String,
    /// How it is.
    pub health: Health,
    /// What guards it.
    pub security: Security,
    /// Its store.
    pub reader: Reader,
    /// The store's folder.
    pub data: PathBuf,
    /// Whose store it is.
    pub subject: Subject,
    /// What is open at it.
    pub open: Open,
    since: Instant,
    /// One copy at a time.
    copying: Arc<Mutex<()>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Node {
    /// A node that begins now, with nothing open.
    pub fn new(
        name: String,
        (health, security): (Health, Security),
        reader: Reader,
        data: PathBuf,
        subject: Subject,
    ) -> Self {
        let open = Box::new(|_: &Reader| (Vec::new(), 0));
        Self { name, health, security, reader, data, subject, open, since: Instant::now(), copying: Arc::default() }
    }

    /// The same, with what `open` tells.
    #[must_use]
    pub fn with_open(self, open: impl Fn(&Reader) -> (Vec<OpenAttempt>, u64) + Send + Sync + 'static) -> Self {
        Self { open: Box::new(open), ..self }
    }
}

impl NodeApi for Node {
    async fn state(&self) -> Result<NodeState, Rejection> {
        let readiness = self.health.readiness();
        let (open_attempts, open_attempts_count) = (self.open)(&self.reader);
        Ok(NodeState {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            is_ready: readiness.is_ready,
            remarks: readiness.text,
            clock: wall(),
            running: Millis(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)),
            certificate_until_s: self
                .security
                .until_s()
                .and_then(|until| u64::try_from(until).ok())
                .unwrap_or_default(),
            open_attempts,
            open_attempts_count,
            of: Some((self.subject.identity.network, self.subject.genesis)),
        })
    }

    async fn back_up(&self, name: String) -> Result<BackedUp, Rejection> {
        let Ok(one) = Arc::clone(&self.copying).try_lock_owned() else {
            return Err(Rejection::new(Reason::Busy, "a copy is being made already: wait until it is there"));
        };
        let (reader, data) = (self.reader.clone(), self.data.clone());
        let subject = Subject { now_ms: wall().0, ..self.subject.clone() };
        // It goes on without whoever asked, and holds its place until it ends.
        let copied = tokio::task::spawn_blocking(move || {
            let copied = backup::back_up(&reader, &data, &name, subject);
            drop(one);
            copied
        });
        let copied = copied.await.map_err(|error| Rejection::new(Reason::Internal, error.to_string()))?;
        match copied {
            Ok((path, manifest)) => {
                tracing::info!(path = %path.display(), batches = manifest.batch, "a copy of the store was made");
                Ok(BackedUp { path: path.display().to_string(), batches: manifest.batch, bytes: manifest.bytes() })
            }
            Err(error @ (BackupError::Name { .. } | BackupError::Exists { .. })) => {
                Err(Rejection::new(Reason::InvalidArgument, error.to_string()))
            }
            Err(error) => {
                tracing::error!(%error, "no copy of the store was made");
                Err(Rejection::new(Reason::StoreFailed, error.to_string()))
            }
        }
    }
}
