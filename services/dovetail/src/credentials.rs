//! As whom the command line calls nodes: with a certificate of the network's authority, or with none on loopback.

use eyre::{Result, WrapErr};
use host::network::Network;
use host::{Security, TlsSettings};
use std::path::PathBuf;

/// A certificate to call nodes with.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Credentials {
    /// Our certificate, PEM; `dovetail network init --tls` makes one for an operator.
    #[arg(long, env = "DOVETAIL_TLS_CERTIFICATE", requires_all = ["certificate_key", "authority"])]
    certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, env = "DOVETAIL_TLS_KEY", requires = "certificate")]
    certificate_key: Option<PathBuf>,
    /// Who signs the network's certificates, PEM.
    #[arg(long, env = "DOVETAIL_TLS_AUTHORITY", requires = "certificate")]
    authority: Option<PathBuf>,
    /// Calls nodes of other hosts in plain text all the same.
    #[arg(long)]
    insecure: bool,
}

impl Credentials {
    /// What calls to nodes of `network` go by.
    ///
    /// # Errors
    /// If certificates do not hold together, or an endpoint asks for what is not there.
    pub fn open(&self, network: &Network) -> Result<Security> {
        let security = Security::open(self.tls().as_ref(), self.insecure, network);
        security.wrap_err("the nodes of this network are not called")
    }

    /// What a call goes by to a node that is named alone.
    ///
    /// # Errors
    /// If certificates do not hold together.
    pub fn of_caller(&self) -> Result<Security> {
        Security::of_caller(self.tls().as_ref(), self.insecure).wrap_err("nobody is called")
    }

    fn tls(&self) -> Option<TlsSettings> {
        let Self { certificate, certificate_key, authority, .. } = self.clone();
        let tls = certificate.zip(certificate_key).zip(authority);
        tls.map(|((certificate, key), authority)| TlsSettings { certificate, key, authority })
    }
}
