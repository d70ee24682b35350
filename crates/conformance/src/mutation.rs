//! `dovetail conformance --mutate`: a coordinator that lies about one thing of a real transaction is always found out.
//!
//! ```text
//!   state test, mainnet block ── sources ──> scene: transaction, state, shards
//!        coordinator that serves ── honest ──> the prepare it would send, to which everybody says yes
//!                                   mutations ──> the same with one thing changed, alone or with all that follows
//!        shards that serve ──────── judge ──> caught (by which check) | harmless (why) | uncaught
//! ```
//!
//! Promise: nothing that is reported as harmless can commit anything but what the honest execution of its payload gives on
//! the true state. Everything else that all participants say yes to is uncaught, and fails the command.

pub mod check;
pub mod claim;
mod environment;
mod fixed;
pub mod honest;
pub mod judge;
pub mod kind;
pub mod mutations;
pub mod network;
pub mod scene;
pub mod sources;
pub mod tally;
#[cfg(test)]
mod tests;
mod witness;

use crate::mutation::honest::NoPrepare;
use crate::mutation::network::{AskError, Network};
use crate::mutation::scene::Scene;
use crate::mutation::tally::{Origin, Tally};
use crate::replay;
use crate::state_tests::runner::Settings;
use crate::state_tests::source::{self, Next, TestFile};
use eyre::{Result, WrapErr, eyre};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many files wait for a worker.
const FILES_WAITING_COUNT_MAX: usize = 8;

/// The EVM goes deep.
const STACK_BYTES: usize = 64 << 20;

/// What a block's file is called.
const BLOCK_SUFFIX: &str = ".json.zst";

/// Something that transactions are in.
enum Job {
    File(TestFile),
    Block(PathBuf),
}

/// Lies about the transactions behind `paths`; `per_block` is how many of each block.
pub fn run(paths: &[PathBuf], settings: &Settings, per_block: Option<usize>) -> Tally {
    let started = Instant::now();
    let total = Mutex::new(Tally::default());
    let (jobs, waiting) = sync_channel(FILES_WAITING_COUNT_MAX);
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        for _ in 0..settings.threads.max(1) {
            let worker = std::thread::Builder::new().stack_size(STACK_BYTES);
            let started = worker.spawn_scoped(scope, || {
                let tally = work(&waiting, settings, per_block);
                total.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
            });
            if let Err(error) = started {
                total.lock().unwrap_or_else(PoisonError::into_inner).unreadable.push(format!("no thread: {error}"));
            }
        }
        let unreadable = read(paths, &jobs);
        drop(jobs); // The workers go when there are no more.
        total.lock().unwrap_or_else(PoisonError::into_inner).unreadable.extend(unreadable);
    });
    let mut tally = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.elapsed = started.elapsed();
    tally
}

/// Tells what was found.
///
/// # Errors
/// If anything was uncaught or unreadable, or if nothing was lied about at all.
pub fn tell(tally: &Tally, command: &str, report: Option<&Path>) -> Result<()> {
    host::say!("{}\n{}\n{}", tally.summary(), tally.table(), tally.checks_table());
    for failure in &tally.failures {
        host::say!("FAILED {failure}");
    }
    if let Some(path) = report {
        tally.section(command).write(path).wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    match (tally.failures_count, tally.unreadable.len()) {
        (0, 0) if tally.transactions_count() == 0 => Err(eyre!("no transaction crosses shards: nothing was changed")),
        (0, 0) => Ok(()),
        (0, _) => Err(eyre!("{} files could not be read: {}", tally.unreadable.len(), tally.unreadable.join("; "))),
        (failed, _) => Err(eyre!("{failed} of {} mutations failed", tally.mutations_count())),
    }
}

/// Gives every file and block to some worker; what cannot be read comes back.
fn read(paths: &[PathBuf], jobs: &SyncSender<Job>) -> Vec<String> {
    let mut unreadable = Vec::new();
    for path in paths {
        let blocks = blocks(path);
        if !blocks.is_empty() {
            // A worker lives as long as there are jobs.
            let _ = blocks.into_iter().try_for_each(|block| jobs.send(Job::Block(block)));
            continue;
        }
        let mut give = |file| if jobs.send(Job::File(file)).is_ok() { Next::Go } else { Next::Stop };
        if let Err(error) = source::each(path, &mut give) {
            unreadable.push(error.to_string());
        }
    }
    unreadable
}

/// The files of blocks at `path`, in order: itself, or those in a folder of blocks.
pub fn blocks(path: &Path) -> Vec<PathBuf> {
    let is_block = |path: &PathBuf| path.to_string_lossy().ends_with(BLOCK_SUFFIX);
    let entries = std::fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut blocks: Vec<PathBuf> = entries.chain([path.to_path_buf()]).filter(is_block).collect();
    blocks.sort();
    blocks
}

fn work(waiting: &Mutex<Receiver<Job>>, settings: &Settings, per_block: Option<usize>) -> Tally {
    let mut tally = Tally::default();
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let done = match job {
            Err(_) => return tally,
            Ok(Job::File(file)) if file.is_lfs_pointer() => Ok(()),
            Ok(Job::File(file)) => {
                let played = sources::of_file(&file, settings, &mut |scene, origin| play(&scene, origin, &mut tally));
                played.map_err(|error| format!("{}: {error}", file.name))
            }
            Ok(Job::Block(path)) => of_block(&path, per_block, &mut tally)
                .map_err(|error| format!("{}: {error:#}", path.file_name().unwrap_or_default().to_string_lossy())),
        };
        if let Err(error) = done {
            tally.unreadable.push(error);
        }
    }
}

fn of_block(path: &Path, count: Option<usize>, tally: &mut Tally) -> Result<()> {
    let block = replay::load(path)?;
    sources::of_block(&block, count, &mut |scene, origin| play(&scene, origin, tally)).map_err(|error| eyre!(error))
}

/// Lies about everything of one scene.
pub fn play(scene: &Scene, origin: Origin, tally: &mut Tally) {
    if let Err(error) = lie(scene, origin, tally) {
        tally.failed(format!("{}: {error}", scene.name));
    }
}

fn lie(scene: &Scene, origin: Origin, tally: &mut Tally) -> Result<(), AskError> {
    let mut network = Network::start(scene)?;
    let honest = match honest::prepare(scene, &mut network) {
        Ok(honest) => honest,
        Err(NoPrepare::Local) => {
            tally.local += 1;
            return Ok(());
        }
        Err(NoPrepare::Refused(why)) => {
            // Mainnet included it.
            if origin == Origin::Block {
                tally.failed(format!("{}: the coordinator refuses it: {why}", scene.name));
            }
            tally.refused += 1;
            return Ok(());
        }
        Err(NoPrepare::Ask(error)) => return Err(error),
        Err(error @ (NoPrepare::Objection { .. } | NoPrepare::Endless)) => {
            tally.failed(format!("{}: {error}", scene.name));
            return Ok(());
        }
    };
    *tally.transactions.entry(origin).or_default() += 1;
    *tally.participants.entry(honest.descriptor.participants.len()).or_default() += 1;
    for mutated in mutations::all(scene, &honest, sources::draw(&scene.name) as usize) {
        let judgement = judge::judge(scene, &mut network, &honest, &mutated, None)?;
        tally.judged(&scene.name, mutated.kind, mutated.told, &judgement);
    }
    Ok(())
}
