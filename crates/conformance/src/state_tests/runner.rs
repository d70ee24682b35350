//! Runs test files on threads: one reads, several judge, one counts and tells.
//!
//! ```text
//!  paths ── reader ──> files, a few at a time ── workers: parse, run, compare ──> Event ── the caller's thread
//! ```
//!
//! Promise: what is counted does not depend on how many threads there are.

use crate::layout::Layout;
use crate::state_tests::case::Scene;
use crate::state_tests::file;
use crate::state_tests::network::Carrier;
use crate::state_tests::sample::Sample;
use crate::state_tests::source::{self, FileName, Next, TestFile};
use crate::state_tests::subtest::{self, SubtestName, SubtestReport};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many files wait for a worker.
const FILES_WAITING_COUNT_MAX: usize = 16;

/// The EVM goes deep.
const STACK_BYTES: usize = 64 << 20;

/// How often the caller hears that nothing new has come.
const PULSE: Duration = Duration::from_millis(500);

/// What is run, and how.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Under which layouts.
    pub layouts: Vec<Layout>,
    /// On how many threads.
    pub threads: usize,
    /// Only this fork, as the files name it.
    pub fork: Option<String>,
    /// Only subtests whose test, file or folder has this in its name.
    pub filter: Option<String>,
    /// Only these.
    pub sample: Option<Sample>,
    /// On what.
    pub carrier: Carrier,
}

impl Settings {
    /// Whether a subtest is asked for.
    pub fn wants(&self, name: &SubtestName) -> bool {
        let is_of_fork = self.fork.as_ref().is_none_or(|fork| *fork == name.fork);
        let has = |part: &String| {
            name.test.contains(part) || format!("{}/{}", name.file.folder, name.file.file).contains(part)
        };
        is_of_fork && self.filter.as_ref().is_none_or(has) && self.sample.as_ref().is_none_or(|sample| sample.has(name))
    }
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A file is done.
    File(FileName, Vec<SubtestReport>),
    /// A file is only a pointer to one.
    Pointer(FileName),
    /// A file or an archive cannot be read.
    Unreadable(String),
    /// So many subtests are done by now.
    Pulse(usize),
}

/// Runs everything behind `paths` and tells `hear` what happens.
pub fn run(paths: &[PathBuf], settings: &Settings, hear: &mut dyn FnMut(Event)) {
    let done = AtomicUsize::new(0);
    let judge = |file: &TestFile| judged(file, settings, &done);
    spread(paths, settings.threads, &judge, &done, hear);
}

/// The names of all subtests behind `paths` that `settings` ask for.
pub fn names(paths: &[PathBuf], settings: &Settings) -> Vec<SubtestName> {
    let (done, names) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let list = |file: &TestFile| {
        // What cannot be read is told by the run itself.
        let tests = file::parse(&file.bytes).unwrap_or_default();
        let found = tests.iter().flat_map(|(test, content)| subtest::names(&file.name, test, content));
        let found: Vec<SubtestName> = found.map(|(name, _)| name).filter(|name| settings.wants(name)).collect();
        names.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
        Event::Pulse(0)
    };
    spread(paths, settings.threads, &list, &done, &mut |_| ());
    names.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn judged(file: &TestFile, settings: &Settings, done: &AtomicUsize) -> Event {
    if file.is_lfs_pointer() {
        return Event::Pointer(file.name.clone());
    }
    let tests = match file::parse(&file.bytes) {
        Ok(tests) => tests,
        Err(error) => return Event::Unreadable(format!("{}: {error}", file.name)),
    };
    let mut reports = Vec::new();
    for (test, content) in &tests {
        let wanted: Vec<_> =
            subtest::names(&file.name, test, content).filter(|(name, _)| settings.wants(name)).collect();
        if wanted.is_empty() {
            continue;
        }
        let scene = Scene::new(content);
        for (name, post) in wanted {
            reports.push(subtest::run(&scene, name, post, (&settings.layouts, &settings.carrier)));
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    Event::File(file.name.clone(), reports)
}

/// Gives every file to `judge` on some thread, and what comes of it to `hear` on this one.
fn spread(
    paths: &[PathBuf],
    threads: usize,
    judge: &(dyn Fn(&TestFile) -> Event + Sync),
    done: &AtomicUsize,
    hear: &mut dyn FnMut(Event),
) {
    let (files, waiting) = sync_channel(FILES_WAITING_COUNT_MAX);
    let waiting = Mutex::new(waiting);
    let (events, heard) = channel();
    std::thread::scope(|scope| {
        let reader = events.clone();
        scope.spawn(move || read(paths, &files, &reader));
        for _ in 0..threads.max(1) {
            let (waiting, events) = (&waiting, events.clone());
            let worker = std::thread::Builder::new().stack_size(STACK_BYTES);
            let started = worker.spawn_scoped(scope, move || work(waiting, judge, &events));
            if let Err(error) = started {
                hear(Event::Unreadable(format!("no thread: {error}")));
            }
        }
        drop(events);
        listen(&heard, done, hear);
    });
}

fn read(paths: &[PathBuf], files: &SyncSender<TestFile>, events: &Sender<Event>) {
    for path in paths {
        let mut give = |file| if files.send(file).is_ok() { Next::Go } else { Next::Stop };
        if let Err(error) = source::each(path, &mut give) {
            // The caller's thread outlives this one.
            let _ = events.send(Event::Unreadable(error.to_string()));
        }
    }
}

fn work(files: &Mutex<Receiver<TestFile>>, judge: &(dyn Fn(&TestFile) -> Event + Sync), events: &Sender<Event>) {
    loop {
        let file = files.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(file) = file else { return };
        if events.send(judge(&file)).is_err() {
            return;
        }
    }
}

fn listen(heard: &Receiver<Event>, done: &AtomicUsize, hear: &mut dyn FnMut(Event)) {
    loop {
        match heard.recv_timeout(PULSE) {
            Ok(event) => hear(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        hear(Event::Pulse(done.load(Ordering::Relaxed)));
    }
}
