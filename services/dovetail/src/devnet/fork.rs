//! What a devnet begins with beside its own accounts: nothing, or the state of another chain at one block.
//!
//! ```text
//!   --fork-url --fork-block ──┐
//!   what the folder began with ┴──> where the chain is, and which block: pinned once, the same ever after
//! ```
//!
//! Promise: a folder never changes the block that it was forked from; the same folder at the same URL starts without asking anybody.

use super::progress::Line;
use chains::pinned::{self, Pin, Pinned};
use cluster::Cluster;
use eyre::{Result, WrapErr, bail, ensure, eyre};
use host::network::{Forked, Network};
use std::path::Path;

/// Where values of another chain are read, and of which block.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ForkArguments {
    /// Begins with the state of the chain behind this JSON-RPC endpoint, read when it is needed. Without it, as the network in
    /// `--dir` began.
    #[arg(long)]
    fork_url: Option<String>,
    /// The block of that chain to begin with. Without it, its newest.
    #[arg(long, requires = "fork_url", visible_alias = "fork-block-number")]
    fork_block: Option<u64>,
}

/// A chain to read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fork {
    /// Where.
    pub(crate) url: String,
    /// Which block.
    pub(crate) forked: Forked,
}

impl ForkArguments {
    /// What these arguments and the folder come to; `kept` is the network in `dir`, if there is one.
    pub(crate) async fn fork(&self, dir: &Path, kept: Option<&Network>, line: &mut Line) -> Result<Option<Fork>> {
        if self.fork_url.is_some() {
            line.show("waiting for the chain to fork from");
        }
        let forked = kept.and_then(|network| network.genesis.forked);
        match (forked, &self.fork_url) {
            (Some(forked), url) => self.go_on(dir, forked, url.as_deref()).await.map(Some),
            (None, Some(_)) if kept.is_some() => {
                bail!("the network in {} was not forked from another chain: give another --dir", dir.display())
            }
            (None, Some(url)) => self.begin(url).await.map(Some),
            (None, None) => Ok(None),
        }
    }

    async fn begin(&self, url: &str) -> Result<Fork> {
        let pinned = Pinned::pin(pinned::endpoint(url)?, self.fork_block).await.wrap_err("nothing was forked")?;
        let Pin { chain_id, number, hash } = pinned.block_pinned();
        Ok(Fork { url: url.to_owned(), forked: Forked { chain_id, block: number, hash } })
    }

    async fn go_on(&self, dir: &Path, forked: Forked, url: Option<&str>) -> Result<Fork> {
        let elsewhere = || format!("the network in {} was forked from {forked}", dir.display());
        ensure!(
            self.fork_block.is_none_or(|block| block == forked.block),
            "{}: it has no other block, so give another --dir",
            elsewhere()
        );
        let kept = Cluster::kept_fork_url(dir)?;
        let url = url.map(str::to_owned).or_else(|| kept.clone());
        let url = url.ok_or_else(|| eyre!("{}: say where that chain is, with --fork-url", elsewhere()))?;
        // What the folder has been reading from needs no second look: every answer shows the block.
        if kept.as_ref() != Some(&url) {
            let pin = Pin { chain_id: forked.chain_id, number: forked.block, hash: forked.hash };
            let checked = Pinned::at(pinned::endpoint(&url)?, pin).check().await;
            checked.wrap_err_with(|| format!("{}, and not from there", elsewhere()))?;
        }
        Ok(Fork { url, forked })
    }
}

impl Fork {
    /// Where it is, without what a URL may hold of secrets.
    pub(crate) fn name(&self) -> String {
        pinned::endpoint(&self.url).map_or_else(|_| self.url.clone(), |endpoint| endpoint.name())
    }
}
