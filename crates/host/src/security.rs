//! How a node's gRPC is guarded: by certificates and roles, or by being where nobody else is.
//!
//! ```text
//!   tls = { certificate, key, authority }  --> both ends of every connection to another host show a certificate
//!   neither                                --> loopback alone, to listen on and to call
//!   insecure = true                        --> plain text anywhere, with a warning at every start
//! ```
//!
//! Promise: a node that starts listens in plain text to strangers only where its settings say so in as many words.

use crate::network::Network;
use crate::reload::{Apply, Part};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use wire::client::{ClientSettings, ConnectError, Connection};
use wire::quota::Quota;
use wire::server::{Access, ServerSettings};
use wire::tls::{Roles, Tls, TlsError, TlsFiles};

/// Where a node's certificates are: PEM files, read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Its certificate, and those between it and the authority's.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates of the whole network.
    pub authority: PathBuf,
}

impl From<&TlsSettings> for TlsFiles {
    fn from(settings: &TlsSettings) -> Self {
        let TlsSettings { certificate, key, authority } = settings.clone();
        Self { certificate, key, authority }
    }
}

/// Why a node's gRPC would not be guarded.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// The certificates.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// Plain text for strangers.
    #[error(
        "listen is {listen}, which others reach, and there are no certificates: name them under [tls], listen on loopback, \
         or set insecure = true where something else guards the port"
    )]
    PlainListen {
        /// Where it would listen.
        listen: SocketAddr,
    },
    /// Plain text to another host.
    #[error(
        "{endpoint} is in plain text and not on loopback: name it https:// and certificates under [tls], \
         or set insecure = true where something else guards the way"
    )]
    PlainEndpoint {
        /// Whom it would call.
        endpoint: String,
    },
    /// An endpoint that is none, or that asks for certificates that there are not.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// A node's certificates, and who may call it.
#[derive(Debug, Clone)]
pub struct Security {
    tls: Option<Tls>,
    access: Access,
    is_insecure: bool,
}

impl Security {
    /// By what a node's settings say, in `network`, every endpoint of which it may call.
    ///
    /// # Errors
    /// [`SecurityError`]: nothing was opened yet.
    pub fn open(tls: Option<&TlsSettings>, is_insecure: bool, network: &Network) -> Result<Self, SecurityError> {
        let tls = tls.map(|settings| Tls::open(settings.into())).transpose()?;
        let access = Access::default().with_roles(roles(network));
        let security = Self { tls, access, is_insecure };
        network.endpoints.values().try_for_each(|endpoint| security.settings(endpoint).map(drop))?;
        Ok(security)
    }

    /// For who only calls, and needs no network for it.
    ///
    /// # Errors
    /// [`SecurityError::Tls`].
    pub fn of_caller(tls: Option<&TlsSettings>, is_insecure: bool) -> Result<Self, SecurityError> {
        let tls = tls.map(|settings| Tls::open(settings.into())).transpose()?;
        Ok(Self { tls, access: Access::default(), is_insecure })
    }

    /// The same, if a port at `listen` is guarded by it.
    ///
    /// # Errors
    /// [`SecurityError::PlainListen`].
    pub fn listening(self, listen: SocketAddr) -> Result<Self, SecurityError> {
        let is_guarded = self.tls.is_some() || self.is_insecure || listen.ip().is_loopback();
        if is_guarded { Ok(self) } else { Err(SecurityError::PlainListen { listen }) }
    }

    /// What a gRPC server goes by.
    pub fn server(&self) -> ServerSettings {
        ServerSettings { tls: self.tls.clone(), access: self.access.clone() }
    }

    /// A connection to `endpoint`. Call it within a tokio runtime.
    ///
    /// # Errors
    /// [`SecurityError::PlainEndpoint`], and those of [`Connection::open`].
    pub fn connect(&self, endpoint: &str) -> Result<Connection, SecurityError> {
        Ok(Connection::open(&self.settings(endpoint)?)?)
    }

    /// Whether `endpoint` may be called; opens no connection.
    ///
    /// # Errors
    /// As [`Security::connect`].
    pub(crate) fn check(&self, endpoint: &str) -> Result<(), SecurityError> {
        Ok(self.settings(endpoint)?.check()?)
    }

    fn settings(&self, endpoint: &str) -> Result<ClientSettings, SecurityError> {
        let is_tls = endpoint.starts_with("https://");
        if is_tls && self.tls.is_none() {
            return Err(ConnectError::NoCertificates { endpoint: endpoint.to_owned() }.into());
        }
        if !is_tls && !self.is_insecure && !is_loopback(endpoint) {
            return Err(SecurityError::PlainEndpoint { endpoint: endpoint.to_owned() });
        }
        Ok(ClientSettings { tls: self.tls.clone(), ..ClientSettings::plain(endpoint) })
    }

    /// Another quota for each peer, from the next call on.
    pub(crate) fn set_quota(&self, quota: Option<Quota>) {
        self.access.set_quota(quota);
    }

    /// Says in the log what guards the port; a warning where nothing does.
    pub fn tell(&self) {
        match &self.tls {
            Some(tls) => {
                let names = tls.names();
                tracing::info!(certificate = %names, until = names.until(), "gRPC asks for certificates");
            }
            None if self.is_insecure => tracing::warn!(
                "insecure = true: gRPC is in plain text and whoever reaches the port is heard; see that something else guards it"
            ),
            None => tracing::debug!("gRPC is in plain text, on loopback"),
        }
    }

    /// The certificates as something that is exchanged while the process runs.
    pub fn certificates(&self) -> Option<Part> {
        let tls = self.tls.clone()?;
        let TlsFiles { certificate, key, authority } = tls.files().clone();
        let prepare = move || {
            let (tls, renewal) = (tls.clone(), tls.prepare().map_err(|error| error.to_string())?);
            let told = format!("certificate of {} until {}", renewal.names(), renewal.names().until());
            Ok((told, Box::new(move || tls.apply(renewal)) as Apply))
        };
        Some(Part::new("certificates", vec![certificate, key, authority], prepare))
    }

    /// The network file's roles as something that is exchanged while the process runs; what else it says may not change.
    pub fn roles_of(&self, path: &Path, network: &Network) -> Part {
        let (access, known, file) = (self.access.clone(), network.clone(), path.to_owned());
        let prepare = move || {
            let network = Network::load(&file).map_err(|error| error.to_string())?;
            known.check_same(&network)?;
            let (access, roles) = (access.clone(), roles(&network));
            let told = format!("{} bound names", network.roles.len());
            Ok((told, Box::new(move || access.set_roles(roles)) as Apply))
        };
        Part::new("roles", vec![path.to_owned()], prepare)
    }

    /// Until when the certificate is valid, in seconds since 1970; none where there is none.
    pub fn until_s(&self) -> Option<i64> {
        self.tls.as_ref().map(|tls| tls.names().until_s())
    }
}

fn roles(network: &Network) -> Roles {
    Roles::new(network.params.network.0, network.roles.clone())
}

/// Whether an endpoint is on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_all_else() {
        for here in
            ["http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:1", "127.0.0.9:1", "http://127.0.0.1:1/x"]
        {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "http://10.0.0.1:9000",
            "http://shard-0.shard:9000",
            "http://localhost.evil:1",
            "http://127.0.0.1.evil:1",
            "http://evil/127.0.0.1:1",
            "",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }

    fn plain(is_insecure: bool) -> Security {
        Security { tls: None, access: Access::default(), is_insecure }
    }

    #[test]
    fn plain_text_is_for_loopback_unless_it_is_asked_for_in_words() {
        let (here, there) = ("127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        assert!(plain(false).listening(here).is_ok());
        let refusal = plain(false).listening(there).unwrap_err();
        assert!(refusal.to_string().contains("insecure = true"), "{refusal}");
        assert!(plain(true).listening(there).is_ok());
        assert!(plain(false).settings("http://127.0.0.1:1").is_ok());
        assert!(matches!(plain(false).settings("http://shard-0.shard:1"), Err(SecurityError::PlainEndpoint { .. })));
        assert!(plain(true).settings("http://shard-0.shard:1").is_ok());
    }

    #[test]
    fn an_endpoint_that_asks_for_tls_is_not_called_without_certificates() {
        for is_insecure in [false, true] {
            let refusal = plain(is_insecure).settings("https://127.0.0.1:1").unwrap_err();
            assert!(refusal.to_string().contains("tls"), "{refusal}");
        }
    }
}
