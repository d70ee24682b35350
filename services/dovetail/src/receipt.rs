//! `dovetail receipt`: Merkle receipts in files, checked offline.
//!
//! ```text
//!  export: shard ── GetReceipt ──> checked here ──> FILE: canonical bytes, nothing else
//!  verify: FILE + network file ──> proof::ReceiptVerifier ──> what it proves, or why it proves nothing
//! ```
//!
//! Promise: `verify` asks nobody. It takes network and validators from the network file and never from the receipt, and
//! refuses a receipt of which any byte was changed.

mod statement;

pub use statement::Statement;

use crate::credentials::Credentials;
use alloy_primitives::B256;
use eyre::{Result, WrapErr, eyre};
use host::Security;
use host::network::Network;
use primitives::{ShardId, Verified};
use proof::{Fact, LeafKind, RECEIPT_BYTES_MAX, ReceiptVerifier};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use wire::Reason;
use wire::shard::ShardClient;

/// Exports Merkle receipts and checks them offline.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Asks a shard for the receipt of one leaf of its outbox, checks it and writes it to a file.
    Export {
        /// What the leaf says.
        #[arg(long)]
        kind: Kind,
        /// What it is about: an attempt's, a message's or a transaction's id, 0x and 64 hex digits.
        #[arg(long)]
        id: B256,
        /// Whose outbox it is in.
        #[arg(long)]
        shard: u32,
        /// The network file.
        #[arg(long)]
        network: PathBuf,
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
        /// As whom the shard is called.
        #[command(flatten)]
        credentials: Credentials,
    },
    /// Checks a receipt without asking anybody, and prints what it proves.
    Verify {
        /// The receipt.
        file: PathBuf,
        /// The network file: whom to believe.
        #[arg(long)]
        network: PathBuf,
    },
}

/// What a leaf says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A shard's vote on an attempt.
    Vote,
    /// A message that a contract sent.
    Message,
    /// What became of a message at its destination.
    Delivery,
    /// What a transaction did.
    Outcome,
}

impl From<Kind> for LeafKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Vote => Self::Vote,
            Kind::Message => Self::Message,
            Kind::Delivery => Self::Delivery,
            Kind::Outcome => Self::Outcome,
        }
    }
}

/// Does it.
pub async fn run(command: Command) -> Result<()> {
    match command {
        Command::Export { kind, id, shard, network, out, credentials } => {
            let network = Network::load(&network)?;
            let security = credentials.open(&network)?;
            let statement = export((&network, &security), kind.into(), id, ShardId(shard), &out).await?;
            host::say!("{statement}\nwritten to {}", out.display());
        }
        Command::Verify { file, network } => {
            let network = Network::load(&network)?;
            let statement = verify(&read(&file)?, &network);
            let statement = statement.wrap_err_with(|| format!("{} proves nothing", file.display()))?;
            host::say!("{statement}");
        }
    }
    Ok(())
}

/// Fetches the receipt of the leaf of `kind` about `id` in the outbox of `shard`, and writes it to `out`.
///
/// # Errors
/// If the shard has no such leaf, does not answer, or answers with what does not verify; then nothing is written.
pub async fn export(
    (network, security): (&Network, &Security),
    kind: LeafKind,
    id: B256,
    shard: ShardId,
    out: &Path,
) -> Result<Statement> {
    network.validators(shard)?;
    let endpoint = network.endpoints.get(&shard).cloned().unwrap_or_default();
    let client = ShardClient::new(security.connect(&endpoint)?);
    let receipt = match client.receipt(kind, id).await {
        Ok(receipt) => receipt,
        Err(rejection) if rejection.reason == Reason::NotFound => {
            return Err(eyre!("shard {shard} has no {kind:?} leaf about {id}"));
        }
        Err(rejection) => return Err(rejection).wrap_err_with(|| format!("shard {shard} gave no receipt")),
    };
    let bytes = receipt.to_bytes();
    let statement =
        verify(&bytes, network).wrap_err_with(|| format!("shard {shard} gave a receipt that proves nothing"))?;
    if statement.fact().shard != shard || statement.fact().leaf.kind != kind || statement.about() != id {
        return Err(eyre!("shard {shard} gave a receipt of something else:\n{statement}"));
    }
    std::fs::write(out, bytes).wrap_err_with(|| format!("cannot write {}", out.display()))?;
    Ok(statement)
}

/// What is in `file`; of one that is too long for a receipt no more than shows that.
fn read(file: &Path) -> Result<Vec<u8>> {
    let unreadable = || format!("cannot read {}", file.display());
    let mut bytes = Vec::new();
    let opened = File::open(file).wrap_err_with(unreadable)?;
    opened.take(RECEIPT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).wrap_err_with(unreadable)?;
    Ok(bytes)
}

/// What the receipt in `bytes` proves to whoever believes the validators of `network`.
pub fn verify(bytes: &[u8], network: &Network) -> Result<Statement> {
    let validators = network.validators.iter().map(|(shard, set)| (*shard, set.clone()));
    let verifier = ReceiptVerifier::with(network.params.network, validators);
    let fact: Verified<Fact> = Verified::by(&verifier, bytes)?;
    Statement::of(fact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use commit::{Verdict, Vote};
    use primitives::{AttemptId, Digest, Epoch, Height, NetworkId, Time, encode};
    use proof::{HEADER_VERSION, Header, Leaf, Outbox, Receipt, SecretKey, Signer};

    const NETWORK: NetworkId = NetworkId(31_337);
    const SHARD: ShardId = ShardId(1);

    fn secret(shard: u8) -> SecretKey {
        SecretKey::from_bytes(&[shard + 1; 32]).unwrap()
    }

    fn network() -> Network {
        sample::network(NETWORK.0, &[secret(0), secret(1)])
    }

    fn vote() -> Vote {
        Vote { attempt: AttemptId(Digest::new([9; 32])), shard: SHARD, epoch: Epoch(1), verdict: Verdict::Yes }
    }

    /// The receipt of the second of three leaves, signed by the shard's own validator.
    fn receipt(leaf: Leaf) -> Receipt {
        let other = |byte| Leaf { kind: LeafKind::Outcome, body: vec![byte; 3] };
        let outbox = Outbox::new(NETWORK, SHARD, Height(5), vec![other(1), leaf, other(2)]).unwrap();
        let header = Header {
            version: HEADER_VERSION,
            network: NETWORK,
            shard: SHARD,
            epoch: Epoch(1),
            height: Height(5),
            parent: Digest::new([1; 32]),
            time: Time(1_000),
            settled_through: Time(0),
            ended_before: 0,
            log_root: Digest::new([2; 32]),
            outcome_root: Digest::new([3; 32]),
            outbox_root: outbox.root(),
            outbox_count: outbox.count(),
            history_root: Digest::new([4; 32]),
            state_root: Digest::new([5; 32]),
            state_height: Height(4),
        };
        let key = secret(1);
        let certificate = Signer::new(key, network().validators(SHARD).unwrap()).unwrap().certify(&header).unwrap();
        outbox.receipt(1, &header, &certificate).unwrap()
    }

    fn vote_receipt() -> Vec<u8> {
        receipt(Leaf { kind: LeafKind::Vote, body: encode(&vote()) }).to_bytes()
    }

    #[test]
    fn a_receipt_says_what_it_proves() {
        let statement = verify(&vote_receipt(), &network()).unwrap();
        assert_eq!(statement.about(), B256::repeat_byte(9));
        let text = statement.to_string();
        for part in ["shard 1", "block 5", "network 31337", "yes", &vote().attempt.to_string()] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
    }

    #[test]
    fn a_receipt_of_which_any_byte_is_changed_is_refused() {
        let (network, bytes) = (network(), vote_receipt());
        for index in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[index] ^= change;
                assert!(verify(&changed, &network).is_err(), "byte {index} changed by {change:#x}");
            }
        }
    }

    #[test]
    fn a_receipt_that_was_cut_or_went_on_is_refused() {
        let (network, bytes) = (network(), vote_receipt());
        for length in 0..bytes.len() {
            assert!(verify(&bytes[..length], &network).is_err(), "cut at {length}");
        }
        assert!(verify(&[&bytes[..], &[0]].concat(), &network).is_err());
    }

    #[test]
    fn a_receipt_of_another_network_is_refused_by_name() {
        let mut other = network();
        other.params.network = NetworkId(1);
        let error = verify(&vote_receipt(), &other).unwrap_err().to_string();
        assert!(error.contains("31337"), "{error}");
    }

    #[test]
    fn a_receipt_signed_by_another_shards_validator_is_refused() {
        let mut other = network();
        let validators = other.validators.get(&ShardId(0)).cloned().unwrap();
        other.validators.insert(SHARD, validators);
        assert!(verify(&vote_receipt(), &other).is_err());
    }

    #[test]
    fn a_certified_leaf_that_is_no_vote_is_refused() {
        let bytes = receipt(Leaf { kind: LeafKind::Vote, body: vec![1, 2, 3] }).to_bytes();
        let error = verify(&bytes, &network()).unwrap_err().to_string();
        assert!(error.contains("vote"), "{error}");
    }

    #[test]
    fn a_vote_in_another_shards_name_is_refused() {
        let vote = Vote { shard: ShardId(0), ..vote() };
        let bytes = receipt(Leaf { kind: LeafKind::Vote, body: encode(&vote) }).to_bytes();
        assert!(verify(&bytes, &network()).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipt");
        std::fs::write(&path, vote_receipt()).unwrap();
        assert!(verify(&read(&path).unwrap(), &network()).is_ok());
        std::fs::write(&path, vec![0; 2 * RECEIPT_BYTES_MAX]).unwrap();
        let bytes = read(&path).unwrap();
        assert_eq!(bytes.len(), RECEIPT_BYTES_MAX + 1);
        assert!(verify(&bytes, &network()).is_err());
        let error = read(&dir.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("cannot read"), "{error}");
    }

    #[tokio::test]
    async fn a_shard_that_does_not_exist_is_refused_before_it_is_asked() {
        let out = Path::new("/nowhere");
        let security = Credentials::default().open(&network()).unwrap();
        let error = export((&network(), &security), LeafKind::Vote, B256::ZERO, ShardId(7), out).await.unwrap_err();
        assert!(error.to_string().contains("shard 7 is not in the network"), "{error}");
    }
}
