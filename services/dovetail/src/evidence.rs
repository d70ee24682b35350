//! `dovetail evidence`: proof that a shard certified two blocks of one height, listed and checked offline.
//!
//! Nodes keep such evidence in the folder `evidence` of their `data`. Promise: asks nobody; network and validators come from
//! the network file and never from the evidence.

mod foreign;

use eyre::{Result, WrapErr, ensure};
use host::evidence;
use host::network::Network;
use primitives::Verified;
use proof::{Equivocated, Equivocation, ReceiptVerifier};
use std::path::{Path, PathBuf};

/// Lists and verifies what nodes have kept.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files of evidence, or folders of them: a node's `data`, or the folder `evidence` in it.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The network file: whom to believe.
    #[arg(long)]
    network: PathBuf,
}

/// Does it.
///
/// # Errors
/// If a file cannot be read or proves nothing, a folder is none of a node, or what is kept as evidence is not known for it.
pub fn run(arguments: &Arguments) -> Result<()> {
    let network = Network::load(&arguments.network)?;
    let Found { files, unknown } = files(&arguments.paths)?;
    for file in &files {
        println!("{}\n{}", file.display(), verify(file, &network)?);
    }
    println!("{} pieces of evidence", files.len());
    let names = unknown.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    ensure!(unknown.is_empty(), "not looked at, for by their names they are no evidence: {names}");
    Ok(())
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    /// Evidence, by name.
    files: Vec<PathBuf>,
    /// What lies in a folder of evidence and is none by its name.
    unknown: Vec<PathBuf>,
}

impl Found {
    /// What is in one folder; none where there is no such folder.
    fn within(folder: &Path) -> Result<Self> {
        let unreadable = || format!("cannot read {}", folder.display());
        let mut files = evidence::files(folder).wrap_err_with(unreadable)?;
        let others = evidence::others(folder).wrap_err_with(unreadable)?;
        let (foreign, unknown): (Vec<_>, Vec<_>) = others.into_iter().partition(|file| foreign::is_one(file));
        files.extend(foreign);
        Ok(Self { files, unknown })
    }

    fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.unknown.extend(other.unknown);
    }
}

fn files(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        if path.is_dir() {
            found.add(of_folder(path)?);
        } else {
            found.files.push(path.clone());
        }
    }
    Ok(found)
}

/// What is in a node's `data`, in its folder `evidence`, or in a folder that evidence was copied to.
fn of_folder(path: &Path) -> Result<Found> {
    let own = Found::within(path)?;
    if is_evidence(path) {
        return Ok(own);
    }
    let mut found = Found::within(&evidence::folder(path))?;
    // Beside evidence there may be anything here: a node's store is.
    found.files.extend(own.files);
    ensure!(
        !found.files.is_empty() || is_data(path),
        "{} is no node's data folder and has no evidence: there is none of {} in it",
        path.display(),
        DATA_MARKS.join(", ")
    );
    Ok(found)
}

/// One of these is in the `data` of a node: a store's guard, an attestor's journal, a carrier's flights, or evidence itself.
const DATA_MARKS: [&str; 4] = ["guard", "journal", "flights", "evidence"];

fn is_data(path: &Path) -> bool {
    DATA_MARKS.iter().any(|mark| path.join(mark).exists())
}

/// Whether this is a folder `evidence` itself, by whatever way it is named.
fn is_evidence(path: &Path) -> bool {
    let folder = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    evidence::folder(folder.parent().unwrap_or(&folder)) == folder
}

/// What the evidence in `file` proves to whoever believes the validators of `network`.
///
/// # Errors
/// If it proves nothing.
pub fn verify(file: &Path, network: &Network) -> Result<String> {
    if let Some(told) = foreign::verify(file, network) {
        return told;
    }
    let claim = evidence::read(file).wrap_err_with(|| format!("cannot read {}", file.display()))?;
    let validators = network.validators.iter().map(|(shard, set)| (*shard, set.clone()));
    let verifier = ReceiptVerifier::with(network.params.network, validators);
    let proven = Verified::by(&verifier, claim.clone());
    let proven = proven.wrap_err_with(|| format!("{} proves nothing", file.display()))?;
    Ok(told(&claim, &proven))
}

fn told(claim: &Equivocation, proven: &Equivocated) -> String {
    let headers = [&claim.first.0, &claim.second.0];
    let header = |header: &proof::Header| {
        format!("  header {} at {} with {} leaves", header.digest(), header.time, header.outbox_count)
    };
    let lines = headers.map(header).join("\n");
    let Equivocated { shard, height, epoch, signers } = proven;
    format!(
        "  shard {shard} certified two blocks of height {height} in epoch {epoch}; validators {signers:?} signed both\n{lines}\n  \
         id {}: named in a node's `settled`, the shard is believed again",
        claim.id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use primitives::{Digest, Epoch, Height, NetworkId, ShardId, Time};
    use proof::{Certified, HEADER_VERSION, Header, SecretKey, Signer};

    const SHARD: ShardId = ShardId(0);

    fn secret() -> SecretKey {
        SecretKey::from_bytes(&[7; 32]).unwrap()
    }

    fn network() -> Network {
        sample::network(31_337, &[secret()])
    }

    fn certified(network: &Network, time: u64) -> Certified {
        let root = |byte| Digest::new([byte; 32]);
        let header = Header {
            version: HEADER_VERSION,
            network: NetworkId(31_337),
            shard: SHARD,
            epoch: Epoch(1),
            height: Height(5),
            parent: root(1),
            time: Time(time),
            settled_through: Time(0),
            ended_before: 0,
            log_root: root(2),
            outcome_root: root(3),
            outbox_root: root(4),
            outbox_count: 0,
            history_root: root(5),
            state_root: root(6),
            state_height: Height(4),
        };
        let signer = Signer::new(secret(), network.validators(SHARD).unwrap()).unwrap();
        let certificate = signer.certify(&header).unwrap();
        Certified { header, certificate }
    }

    #[test]
    fn kept_evidence_is_found_in_a_nodes_data_and_verifies_offline() {
        let (network, data) = (network(), tempfile::tempdir().unwrap());
        let claim = Equivocation::between(&certified(&network, 1), &certified(&network, 2));
        evidence::keep(&evidence::folder(data.path()), &claim).unwrap();
        evidence::keep(&evidence::folder(data.path()), &claim).unwrap();
        let [file] = &files(&[data.path().to_owned()]).unwrap().files[..] else { panic!("one file") };
        let told = verify(file, &network).unwrap();
        assert!(
            told.contains("shard 0 certified two blocks of height 5") && told.contains(&claim.id().to_string()),
            "{told}"
        );
    }

    #[test]
    fn a_folder_that_is_no_nodes_is_refused_and_one_without_evidence_is_not() {
        let data = tempfile::tempdir().unwrap();
        let refusal = files(&[data.path().to_owned()]).unwrap_err().to_string();
        assert!(refusal.contains("is no node's data folder"), "{refusal}");
        std::fs::write(data.path().join("guard"), "").unwrap();
        assert!(files(&[data.path().to_owned()]).unwrap().files.is_empty());
    }

    #[test]
    fn a_file_that_is_no_evidence_by_its_name_is_named() {
        let data = tempfile::tempdir().unwrap();
        let folder = evidence::folder(data.path());
        std::fs::create_dir(&folder).unwrap();
        for name in ["proof.bin", "disagreement-5.json", "shard-0.equivocation.unfinished"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        for path in [data.path().to_owned(), folder.clone()] {
            let Found { files, unknown } = files(&[path]).unwrap();
            assert_eq!(files, [folder.join("disagreement-5.json")]);
            assert_eq!(unknown, [folder.join("proof.bin")]);
        }
    }

    #[test]
    fn a_file_of_which_a_byte_is_changed_proves_nothing() {
        let (network, data) = (network(), tempfile::tempdir().unwrap());
        let claim = Equivocation::between(&certified(&network, 1), &certified(&network, 2));
        let file = evidence::keep(data.path(), &claim).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(verify(&file, &network).is_err());
    }
}
