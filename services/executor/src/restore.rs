//! Whether a copy of this shard's store may be put back, and putting it back (R14).
//!
//! ```text
//! copy --whole? ours? of this genesis?--> its height --below the signer's mark? below what a peer has seen?--> refused, in words
//!                                                    --> put into the folder; the start asks all of it again
//! ```
//!
//! Promise: what a peer proves is believed, what it says is not; a copy that would sign a height twice is not put back.

use crate::{Error, elsewhere, identity, load};
use host::network::Network;
use host::{PEER_SILENT_MAX, Security};
use primitives::{Height, ShardId};
use shard::Checks;
use std::path::Path;
use store::backup::{self, BackupError, Manifest};
use wire::client::Deadlines;
use wire::shard::ShardClient;

/// A copy that may not run again.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is none of this node's, or not whole.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A peer shows a later block of this shard.
    #[error(
        "the copy ends with block {copy}, and shard {peer} proves block {seen} of this shard: put back, it would sign what it has \
         signed otherwise. The safe way: put back the newest store, from the disk that the shard last ran on or from a later copy; if there \
         is none, this key signs nothing any more, and the shard stays away until it comes back under a new key in a new epoch"
    )]
    Seen {
        /// Where the copy ends.
        copy: u64,
        /// Who knows better.
        peer: ShardId,
        /// The block it proves.
        seen: Height,
    },
    /// The signer's mark is later.
    #[error(
        "the copy ends with batch {copy} and the signer's mark {mark} with batch {marked}: put back, the shard would sign what it has \
         signed otherwise. The safe way: put back the newest store, from the disk that the shard last ran on or from a later copy, and leave \
         the mark where it is"
    )]
    Marked {
        /// The last batch of the copy.
        copy: u64,
        /// The last batch that was signed.
        marked: u64,
        /// The mark's file.
        mark: String,
    },
}

/// What was put back, and who did not say whether it is the newest.
#[derive(Debug)]
pub struct Restored {
    /// What the copy is.
    pub manifest: Manifest,
    /// Peers that did not answer, with why; the start asks them again.
    pub silent: Vec<(ShardId, String)>,
}

/// Puts the copy at `path` into the folder of the shard node that the settings at `config` describe, unless somebody knows better.
///
/// # Errors
/// [`RestoreError`], before anything is written; those of a start that cannot be.
pub async fn restore(config: &Path, path: &Path) -> Result<Restored, Error> {
    let (settings, network, signer, security) = load(config)?;
    let me = ShardId(settings.shard);
    let identity = identity(&network, me, signer.public().as_bytes());
    let manifest =
        backup::examine(path, &settings.data, &identity, network.genesis_digest).map_err(RestoreError::from)?;
    let mark = settings.mark.clone().unwrap_or_else(|| store::mark_beside(&settings.data));
    if let Some(marked) = store::marked_batch(&mark).filter(|marked| *marked > manifest.batch) {
        let mark = mark.display().to_string();
        return Err(RestoreError::Marked { copy: manifest.batch, marked, mark }.into());
    }
    elsewhere::check(&network, &security, me).await?;
    let silent = ask(&network, &security, me, manifest.count).await?;
    backup::put(path, &settings.data, &manifest).map_err(RestoreError::from)?;
    Ok(Restored { manifest, silent })
}

/// Asks every other shard for the newest block of this one that it has seen.
async fn ask(network: &Network, security: &Security, me: ShardId, copy: u64) -> Result<Vec<(ShardId, String)>, Error> {
    let checks = Checks::new(&network.params, &network.placement, &network.validators);
    let mut silent = Vec::new();
    for (peer, endpoint) in network.endpoints.iter().filter(|(shard, _)| **shard != me) {
        let connection = security.connect(endpoint)?;
        let client =
            ShardClient::new(connection.with_deadlines(Deadlines { read: PEER_SILENT_MAX, ..Deadlines::default() }));
        match client.sighting(me).await {
            Err(rejection) => silent.push((*peer, rejection.to_string())),
            Ok(None) => {}
            Ok(Some(newest)) => match checks.certified(newest.into()) {
                Err(error) => silent.push((*peer, format!("what it shows proves nothing: {error}"))),
                Ok(newest) if newest.header.height.0 > copy => {
                    return Err(RestoreError::Seen { copy, peer: *peer, seen: newest.header.height }.into());
                }
                Ok(_) => {}
            },
        }
    }
    Ok(silent)
}
