//! Evidence that a bridge keeps: blocks of one number that endpoints showed, and words of attestors that differ.
//!
//! Promise: asks nobody; a header is hashed here, and an attestor's key counts only if a route of the network file names it.

use chains::evidence::Disagreement;
use eyre::{Result, WrapErr, ensure};
use host::network::Network;
use proof::Attestation;
use std::path::Path;

/// How many bytes such a file may have.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Whether the file is a bridge's, by its name.
pub(super) fn is_one(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("disagreement-") || name.starts_with("attestations-")
}

/// What the file proves, if it is a bridge's; none where it is of another kind.
///
/// # Errors
/// If it is one and proves nothing.
pub(super) fn verify(file: &Path, network: &Network) -> Option<Result<String>> {
    let name = file.file_name()?.to_str()?;
    if name.starts_with("disagreement-") {
        return Some(disagreement(file));
    }
    name.starts_with("attestations-").then(|| attestations(file, network))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(file).wrap_err_with(|| format!("cannot read {}", file.display()))?;
    ensure!(bytes.len() <= FILE_BYTES_MAX, "{} is longer than evidence is", file.display());
    Ok(bytes)
}

fn disagreement(file: &Path) -> Result<String> {
    let claim: Disagreement = serde_json::from_slice(&read(file)?)?;
    claim.verify().wrap_err_with(|| format!("{} proves nothing", file.display()))?;
    let shown = claim.shown.iter().map(|shown| format!("  {} shown by {}", shown.hash, shown.by.join(", ")));
    let lines = shown.collect::<Vec<_>>().join("\n");
    Ok(format!("  two blocks {} of chain {} were shown\n{lines}", claim.number, claim.chain_id))
}

fn attestations(file: &Path, network: &Network) -> Result<String> {
    let (first, second): (Attestation, Attestation) = primitives::decode(&read(file)?, FILE_BYTES_MAX)?;
    for word in [&first, &second] {
        let own = network
            .routes
            .iter()
            .find(|route| route.digest(network.params.network, Some(&network.genesis_digest)) == word.block.route);
        let counts = own.is_some_and(|route| route.place_of(&word.attestor).is_some());
        ensure!(counts && word.is_signed(), "{} proves nothing: {} did not sign it", file.display(), word.attestor);
    }
    let differ = first.block.number == second.block.number && first.block != second.block;
    ensure!(differ, "{} proves nothing: the words do not differ", file.display());
    let who = if first.contradicts(&second) {
        format!("attestor {} signed two things", first.attestor)
    } else {
        format!("attestors {} and {} signed different things", first.attestor, second.attestor)
    };
    Ok(format!("  {who} of block {} of the foreign chain", first.block.number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use alloy_primitives::{Address, B256};
    use primitives::{Millis, Time};
    use proof::{ForeignBlock, Route, RouteTerms, SecretKey};

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn network() -> Network {
        let terms = RouteTerms {
            domain: 5,
            chain_id: 5,
            mailbox: Address::repeat_byte(1),
            gas_limit: 1,
            window: Millis(1),
            attestors: vec![key(1).public(), key(2).public()],
            threshold: 2,
        };
        Network { routes: vec![Route::new(terms).unwrap()], ..sample::network(7, &[key(7)]) }
    }

    fn word(network: &Network, hash: u8, seed: u8) -> Attestation {
        let route = network.routes[0].digest(network.params.network, Some(&network.genesis_digest));
        let head = (9, B256::repeat_byte(hash), Time(1));
        let (block, _) = ForeignBlock::new(route, 5, head, &[vec![3; 80]]);
        Attestation::sign(block, &key(seed))
    }

    fn told(words: &(Attestation, Attestation)) -> Result<String> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("attestations-9.bin");
        std::fs::write(&file, primitives::encode(words))?;
        verify(&file, &network()).unwrap()
    }

    #[test]
    fn an_attestor_that_said_two_things_is_named_offline() {
        let network = network();
        let same = told(&(word(&network, 1, 1), word(&network, 2, 1))).unwrap();
        assert!(same.contains("signed two things of block 9"), "{same}");
        let differing = told(&(word(&network, 1, 1), word(&network, 2, 2))).unwrap();
        assert!(differing.contains("different things"), "{differing}");
    }

    #[test]
    fn words_that_agree_or_are_a_strangers_prove_nothing() {
        let network = network();
        assert!(told(&(word(&network, 1, 1), word(&network, 1, 2))).is_err());
        assert!(told(&(word(&network, 1, 1), word(&network, 2, 3))).is_err());
        let mut forged = word(&network, 2, 1);
        forged.signature = word(&network, 1, 1).signature;
        assert!(told(&(word(&network, 1, 1), forged)).is_err());
    }
}
