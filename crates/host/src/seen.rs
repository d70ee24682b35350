//! What a relay or a coordinator has seen of the shards: their newest certified headers, and whether one said two things.
//!
//! ```text
//!   a receipt, a vote, a block: checked --> noted --> a second header of one height: evidence kept, believed no more
//!                                             |
//!                                             '-----> shown to the shard itself: its head is below? it is an old copy (R14)
//! ```
//!
//! Promise: evidence is on the disk, in the log and counted, and the shard is believed no more, also after a restart, until an
//! operator names the evidence in `settled`. A shard whose head is below what was seen of it is named by an error in the log
//! and by a gauge for as long as it is so.
//! Knows nothing of what receipts and votes say. A shard's own machine remembers in its store instead (`shard`).

use crate::{Instruments, evidence};
use primitives::{Digest, Height, ShardId, Verifier};
use proof::{Certified, Equivocation, ReceiptVerifier, Sighting, Sightings};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::shard::ShardClient;

/// How often shards are looked at that have said something new, or were behind.
const SHOW_INTERVAL: Duration = Duration::from_secs(1);

/// How often a shard is shown what it was shown before: it may have come back on an old copy since.
const SHOW_AGAIN: Duration = Duration::from_secs(15);

/// What was seen, shared by all that see something.
#[derive(Debug)]
pub struct Seen {
    state: Mutex<State>,
    folder: PathBuf,
    settled: BTreeSet<Digest>,
    instruments: Instruments,
}

#[derive(Debug, Default)]
struct State {
    sightings: Sightings,
    disbelieved: BTreeSet<ShardId>,
}

impl Seen {
    /// With the evidence that earlier processes kept in `data`; that which `settled` names is of the past.
    ///
    /// # Errors
    /// If the folder of evidence cannot be read.
    pub fn open(
        data: &Path,
        settled: BTreeSet<Digest>,
        verifier: &ReceiptVerifier,
        instruments: Instruments,
    ) -> io::Result<Self> {
        let folder = evidence::folder(data);
        let seen = Self { state: Mutex::default(), folder, settled, instruments };
        for path in evidence::files(&seen.folder)? {
            match evidence::read(&path) {
                Ok(known) if verifier.verify(known.clone()).is_ok() => seen.disbelieve(&known),
                Ok(_) => tracing::warn!(path = %path.display(), "what is kept as evidence proves nothing"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "evidence that cannot be read"),
            }
        }
        Ok(seen)
    }

    /// Notes a certified header that was checked.
    pub fn note(&self, certified: &Certified) {
        let sighting = self.lock().sightings.note(certified);
        if let Sighting::Contradiction(found) = sighting {
            let kept = evidence::keep(&self.folder, &found);
            if let Err(error) = kept {
                tracing::error!(folder = %self.folder.display(), %error, "evidence could not be kept");
            }
            self.disbelieve(&found);
        }
    }

    /// Whether what `shard` says is to be acted on.
    pub fn is_believed(&self, shard: ShardId) -> bool {
        !self.lock().disbelieved.contains(&shard)
    }

    /// A shard has lost blocks that this process has read.
    pub fn lost(&self, shard: ShardId) {
        self.instruments.shard_behind(shard, true);
    }

    /// It has them again.
    pub fn found(&self, shard: ShardId) {
        self.instruments.shard_behind(shard, false);
    }

    fn disbelieve(&self, evidence: &Equivocation) {
        let (header, id) = (&evidence.first.0, evidence.id());
        let is_new = !self.settled.contains(&id) && self.lock().disbelieved.insert(header.shard);
        if is_new {
            self.instruments.equivocation();
            tracing::error!(
                shard = %header.shard,
                height = %header.height,
                evidence = %id,
                folder = %self.folder.display(),
                "a shard certified two blocks of one height: nothing it says is believed until an operator names this evidence in `settled`"
            );
        }
    }

    fn newest(&self, shard: ShardId) -> Option<Certified> {
        self.lock().sightings.newest(shard).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows every shard the newest that was seen of it, and says when one turns out to be behind that.
    pub async fn show(self: Arc<Self>, shards: BTreeMap<ShardId, ShardClient>) {
        let mut watched: BTreeMap<ShardId, Watched> = BTreeMap::new();
        loop {
            tokio::time::sleep(SHOW_INTERVAL).await;
            for (shard, client) in &shards {
                let Some(newest) = self.newest(*shard) else { continue };
                let watched = watched.entry(*shard).or_default();
                if !watched.is_due(newest.header.height) {
                    continue;
                }
                let seen = newest.header.height;
                if let Ok(head) = client.show_sighting(newest.into()).await {
                    watched.shown(seen);
                    self.compare(*shard, seen, head, &mut watched.is_behind);
                }
            }
        }
    }

    fn compare(&self, shard: ShardId, seen: Height, head: Height, was_behind: &mut bool) {
        let is_behind = head < seen;
        self.instruments.shard_behind(shard, is_behind);
        match (*was_behind, is_behind) {
            (false, true) => tracing::error!(
                %shard, %head, %seen,
                "a shard is behind what was seen of it: an old copy stands in its store's place, and has to go"
            ),
            (true, false) => tracing::info!(%shard, %head, "a shard has again all that was seen of it"),
            _ => {}
        }
        *was_behind = is_behind;
    }
}

/// What a shard was shown last.
#[derive(Debug, Default)]
struct Watched {
    shown: Option<(Height, Instant)>,
    is_behind: bool,
}

impl Watched {
    fn is_due(&self, seen: Height) -> bool {
        self.is_behind || self.shown.is_none_or(|(height, at)| height < seen || at.elapsed() >= SHOW_AGAIN)
    }

    fn shown(&mut self, seen: Height) {
        self.shown = Some((seen, Instant::now()));
    }
}
