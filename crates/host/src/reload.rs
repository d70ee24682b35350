//! What of a running process is exchanged without a restart: certificates, roles, and whatever else a service names.
//!
//! ```text
//!   SIGHUP, or a watched file that changed and stands still
//!       -> every part is read and checked -> all well: all are applied    one line, one count
//!                                         -> one is not: nothing changes  one line, one count
//! ```
//!
//! Promise: what is applied was checked, and is applied whole or not at all. A file that is half written is read again when it stands
//! still. Files are looked at, not listened to: a mounted secret that is exchanged by a link is seen as any other.
//! Knows nothing of what the parts are.

use crate::Instruments;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Between two looks at the files. A change is taken when two looks in a row see the same.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Puts what was checked into use.
pub type Apply = Box<dyn FnOnce() + Send>;

/// What reads and checks a part: what it found, in words, and how it is put into use; or what is wrong.
type Prepare = Box<dyn Fn() -> Result<(String, Apply), String> + Send + Sync>;

/// Something that is exchanged as a whole.
pub struct Part {
    name: &'static str,
    files: Vec<PathBuf>,
    prepare: Prepare,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).field("files", &self.files).finish_non_exhaustive()
    }
}

impl Part {
    /// One that comes from `files`.
    pub fn new(
        name: &'static str,
        files: Vec<PathBuf>,
        prepare: impl Fn() -> Result<(String, Apply), String> + Send + Sync + 'static,
    ) -> Self {
        Self { name, files, prepare: Box::new(prepare) }
    }

    /// Reads and checks it: what it found, in words, and what puts it into use.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn prepare(&self) -> Result<(String, Apply), String> {
        (self.prepare)()
    }
}

/// What files hold, as far as a change of it shows.
type Look = BTreeMap<PathBuf, Option<u64>>;

/// All parts of a process.
#[derive(Debug)]
pub(crate) struct Reload {
    parts: Vec<Part>,
    instruments: Instruments,
}

impl Reload {
    pub(crate) fn new(parts: Vec<Part>, instruments: Instruments) -> Arc<Self> {
        Arc::new(Self { parts, instruments })
    }

    /// Looks until the process stops.
    ///
    /// # Errors
    /// When the system refuses the handler of SIGHUP.
    pub(crate) fn watch(self: Arc<Self>, stop: CancellationToken) -> std::io::Result<impl Future<Output = ()>> {
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(async move {
            let mut taken = self.look();
            let mut last = taken.clone();
            loop {
                let is_asked = tokio::select! {
                    () = stop.cancelled() => return,
                    asked = hangup.recv() => asked.is_some(),
                    () = tokio::time::sleep(LOOK_INTERVAL) => false,
                };
                let now = self.look();
                let is_new = now == last && now != taken;
                if is_asked || is_new {
                    let reload = Arc::clone(&self);
                    // Files and signatures: off the threads that serve. A panic is counted and logged where it is.
                    let _ = tokio::task::spawn_blocking(move || reload.take()).await;
                    taken.clone_from(&now);
                }
                last = now;
            }
        })
    }

    fn look(&self) -> Look {
        let files = self.parts.iter().flat_map(|part| &part.files);
        files.map(|file| (file.clone(), fs::read(file).ok().map(|bytes| digest(&bytes)))).collect()
    }

    /// Exchanges everything, or nothing.
    fn take(&self) -> bool {
        let prepared = self.parts.iter().map(|part| match part.prepare() {
            // What only follows from other parts has nothing to say.
            Ok((told, apply)) => Ok(((!told.is_empty()).then(|| format!("{}: {told}", part.name)), apply)),
            Err(reason) => Err((part.name, reason)),
        });
        match prepared.collect::<Result<Vec<_>, _>>() {
            Ok(prepared) => {
                let (told, apply): (Vec<_>, Vec<_>) = prepared.into_iter().unzip();
                for apply in apply {
                    apply();
                }
                let told = told.into_iter().flatten().collect::<Vec<_>>().join("; ");
                tracing::info!(now = told, "settings were taken anew");
                self.instruments.reloaded(true);
                true
            }
            Err((part, reason)) => {
                tracing::error!(part, reason, "settings were changed and are not taken: everything stays as it was");
                self.instruments.reloaded(false);
                false
            }
        }
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::registry::Registry;
    use std::sync::Mutex;

    /// A part that takes the text of its file, unless it is `bad`.
    fn part(name: &'static str, file: PathBuf, taken: &Arc<Mutex<Vec<String>>>) -> Part {
        let (path, taken) = (file.clone(), Arc::clone(taken));
        Part::new(name, vec![file], move || {
            let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
            if text == "bad" {
                return Err("it is bad".to_owned());
            }
            let (told, taken) = (text.clone(), Arc::clone(&taken));
            Ok((told, Box::new(move || taken.lock().unwrap().push(text)) as Apply))
        })
    }

    #[test]
    fn parts_are_exchanged_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let parts = vec![part("first", first.clone(), &taken), part("second", second.clone(), &taken)];
        let reload = Reload::new(parts, Instruments::register(&mut Registry::default()));
        fs::write(&first, "one").unwrap();
        let before = reload.look();
        assert!(!reload.take(), "the second is missing");
        fs::write(&second, "bad").unwrap();
        assert!(!reload.take(), "the second is bad");
        assert!(taken.lock().unwrap().is_empty(), "and the first is not taken alone");
        fs::write(&second, "two").unwrap();
        assert_ne!(reload.look(), before);
        assert!(reload.take());
        assert_eq!(*taken.lock().unwrap(), ["one", "two"]);
    }
}
