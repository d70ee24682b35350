//! `dovetail keys`: a validator's key in a file, and what the network file needs of it.

use eyre::{Result, WrapErr};
use std::path::PathBuf;

/// Makes and shows validators' keys.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Makes a new key in a new file of mode 0600 and prints its public key.
    Generate {
        /// The file to make; one that exists is refused.
        file: PathBuf,
    },
    /// Prints the public key of a key file, as the network file has it.
    Show {
        /// The key file.
        file: PathBuf,
    },
}

/// Does it.
pub fn run(command: &Command) -> Result<()> {
    let key = match command {
        Command::Generate { file } => host::keys::generate(file).wrap_err("no key was made")?,
        Command::Show { file } => host::keys::read_file(file).wrap_err("no key to show")?.public(),
    };
    host::say!("{key}");
    Ok(())
}
