//! Certificates of a node, for both ends of its connections, changed while it runs.
//!
//! ```text
//!   files --read, checked--> Renewal --applied whole--> connections made from then on, both ways
//! ```
//!
//! Promise: what is in use is whole: a certificate with its key, of the authority beside it, and not expired when it was taken. A file
//! that does not hold together with the others changes nothing and is told by its name. Both ends show a certificate and both are
//! checked, by TLS 1.3 alone; sessions are not resumed, so every connection is checked anew.
//!
//! Connections that are there when certificates change stay until their calls have ended; clients make their next calls over new ones.
//! A certificate that expires meanwhile is refused at the next call of its connection.
//!
//! Knows nothing of who may call what: [`crate::roles`].

mod name;

pub use name::{Names, Roles};

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, RootCertStore, ServerConfig, client::WebPkiServerVerifier,
};

/// Bytes of a file of certificates or of a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// HTTP/2, the only protocol that is spoken.
const ALPN_H2: &[u8] = b"h2";

/// Where the certificates are: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate, and those between it and its authority's.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates of the whole network: one certificate or, while the authority itself changes, several.
    pub authority: PathBuf,
}

/// Why files make no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("the file {path}: {error}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("the file {path} has no {what} in PEM: {reason}", path = path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A certificate that is not read.
    #[error("the certificate in {path} is not one that is understood: {reason}", path = path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key is another's.
    #[error("the key in {key} is not that of the certificate in {certificate}: {reason}", key = key.display(), certificate = certificate.display())]
    Key {
        /// The key's file.
        key: PathBuf,
        /// The certificate's.
        certificate: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate that every peer would refuse.
    #[error("the certificate in {certificate} would be refused by whoever goes by the authority in {authority}: {reason}", certificate = certificate.display(), authority = authority.display())]
    Refused {
        /// Its file.
        certificate: PathBuf,
        /// The authority's.
        authority: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Certificates as they were read at one time, checked.
pub struct Renewal {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    names: Names,
}

impl Renewal {
    /// What our own certificate says.
    pub fn names(&self) -> &Names {
        &self.names
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewal").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The certificates of a node; clones share what is in use.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    current: RwLock<Arc<Renewal>>,
    /// Grows with each change, so that clients see that theirs is an old one.
    generation: AtomicU64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(read(&files)?));
        Ok(Self(Arc::new(Shared { files, current, generation: AtomicU64::new(0) })))
    }

    /// Reads and checks the files anew; nothing is in use yet.
    ///
    /// # Errors
    /// [`TlsError`]; what is in use stays.
    pub fn prepare(&self) -> Result<Renewal, TlsError> {
        read(&self.0.files)
    }

    /// Takes what was prepared into use, for both ends at once.
    pub fn apply(&self, renewal: Renewal) {
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewal);
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    /// The files, for whoever watches them.
    pub fn files(&self) -> &TlsFiles {
        &self.0.files
    }

    /// What our own certificate says.
    pub fn names(&self) -> Names {
        self.current().names.clone()
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().server)
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current().client)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    fn current(&self) -> Arc<Renewal> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(files: &TlsFiles) -> Result<Renewal, TlsError> {
    let chain = certificates(&files.certificate)?;
    let roots = Arc::new(roots(&files.authority)?);
    let key = key(&files.key)?;
    let provider = Arc::new(ring::default_provider());
    let names =
        Names::of(&chain[0]).map_err(|reason| TlsError::Certificate { path: files.certificate.clone(), reason })?;
    let refused = |reason: String| TlsError::Refused {
        certificate: files.certificate.clone(),
        authority: files.authority.clone(),
        reason,
    };
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(|error| refused(error.to_string()))?;
    // What we show is checked as a peer would, here and not first in a thousand logs.
    clients.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).map_err(|error| refused(words(&error)))?;
    let wrong_key = |error: rustls::Error| TlsError::Key {
        key: files.key.clone(),
        certificate: files.certificate.clone(),
        reason: error.to_string(),
    };
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| refused(error.to_string()))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(wrong_key)?;
    server.alpn_protocols = vec![ALPN_H2.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let servers: Arc<dyn ServerCertVerifier> =
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|error| refused(error.to_string()))?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| refused(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(servers)
        .with_client_auth_cert(chain, key)
        .map_err(wrong_key)?;
    client.alpn_protocols = vec![ALPN_H2.to_vec()];
    client.resumption = Resumption::disabled();
    Ok(Renewal { server: Arc::new(server), client: Arc::new(client), names })
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::File { path: path.to_owned(), error };
    if fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        let error = io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {FILE_BYTES_MAX} bytes"));
        return Err(failed(error));
    }
    fs::read(path).map_err(failed)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::Pem { path: path.to_owned(), what: "certificate", reason };
    let found = CertificateDer::pem_slice_iter(&bytes(path)?).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("there is none".to_owned())) } else { Ok(found) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |error: &dyn fmt::Display| TlsError::Pem {
        path: path.to_owned(),
        what: "private key",
        reason: error.to_string(),
    };
    PrivateKeyDer::from_pem_slice(&bytes(path)?).map_err(|error| wrong(&error))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let wrong = |error: rustls::Error| TlsError::Certificate { path: path.to_owned(), reason: error.to_string() };
        roots.add(certificate).map_err(wrong)?;
    }
    Ok(roots)
}

/// What a failed handshake means, in words that say whose certificate is wrong and what to do.
pub(crate) fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(fault) => certificate_words(fault),
        rustls::Error::NoCertificatesPresented => {
            "the peer shows no certificate, and one of this network's authority is asked for".to_owned()
        }
        rustls::Error::AlertReceived(alert) => alert_words(*alert),
        other => other.to_string(),
    }
}

fn certificate_words(fault: &CertificateError) -> String {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired: renew it, or set the clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet: set the clock, or wait".to_owned()
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate is not signed by the authority that is trusted here: it is another authority's or signed by itself"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate is for another name: {fault}")
        }
        other => format!("the certificate is not accepted: {other}"),
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "the peer refuses our certificate because it has expired: renew it".to_owned()
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the peer refuses our certificate because it is not signed by the authority that it trusts".to_owned()
        }
        AlertDescription::CertificateRequired => "the peer asks for a certificate and we show none".to_owned(),
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            format!("the peer refuses our certificate ({alert:?}); its log says why")
        }
        other => format!("the peer broke the handshake off: {other:?}"),
    }
}

/// The same for what a handshake's stream ended with.
pub(crate) fn io_words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => words(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the peer closed the connection in the handshake: perhaps it does not speak TLS".to_owned()
        }
        None => error.to_string(),
    }
}

/// The time now, in seconds since 1970, as certificates count.
pub(crate) fn now_s() -> i64 {
    let since: Duration = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
