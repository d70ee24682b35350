//! A network's own authority, and the certificates that it begins with.
//!
//! Names are what roles go by (`wire::tls::Roles`): `spiffe://dovetail-<network>/<role>/<name>`. Whoever holds the authority's key can be
//! anybody to any port of the network, and still certifies nothing for a shard: that takes the shard's own key.

use eyre::{Result, WrapErr};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use wire::roles::Role;
use wire::tls::Roles;

/// How long the authority itself is valid.
const AUTHORITY_DAYS: u32 = 3650;

/// By how much the clocks of those who check may be behind.
const CLOCKS_APART: Duration = Duration::from_hours(1);

/// For whom certificates are made.
pub(crate) struct Certificates {
    /// The chain id.
    pub(crate) network: u64,
    /// Where each shard is reached: a host's name or address.
    pub(crate) shards: Vec<String>,
    /// For how long.
    pub(crate) days: u32,
}

impl Certificates {
    /// Writes the authority, if there is none yet, a certificate for everybody, and what asks cert-manager for the same, into `dir`.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        let folder = dir.join("tls");
        fs::create_dir_all(&folder)?;
        let issuer = self.issuer(&folder)?;
        for (number, host) in self.shards.iter().enumerate() {
            self.issue(&issuer, Role::Shard, &number.to_string(), host, &folder.join(format!("shard-{number}")))?;
        }
        for role in [Role::Coordinator, Role::Relay, Role::Operator, Role::Observer] {
            self.issue(&issuer, role, "0", "localhost", &folder.join(role.as_str()))?;
        }
        fs::write(dir.join("certificates.yaml"), self.requests()?).wrap_err("certificates.yaml")
    }

    /// Who signs: by the key that is there, or a new one.
    fn issuer(&self, folder: &Path) -> Result<Issuer<'static, KeyPair>> {
        let (path, parameters) = (folder.join("authority.key"), self.authority()?);
        if path.exists() {
            let key = KeyPair::from_pem(&fs::read_to_string(&path)?).wrap_err_with(|| path.display().to_string())?;
            return Ok(Issuer::new(parameters, key));
        }
        let key = KeyPair::generate()?;
        write(&folder.join("authority.pem"), &parameters.self_signed(&key)?.pem(), 0o644)?;
        write(&path, &key.serialize_pem(), 0o600)?;
        Ok(Issuer::new(parameters, key))
    }

    fn authority(&self) -> Result<CertificateParams> {
        let mut parameters = valid_for(AUTHORITY_DAYS, CertificateParams::new(Vec::new())?);
        parameters.distinguished_name.push(DnType::CommonName, format!("dovetail network {}", self.network));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(parameters)
    }

    fn issue(&self, issuer: &Issuer<'_, KeyPair>, role: Role, name: &str, host: &str, folder: &Path) -> Result<()> {
        let mut parameters = valid_for(self.days, CertificateParams::new(Vec::new())?);
        parameters.distinguished_name.push(DnType::CommonName, format!("{role}-{name}"));
        parameters.subject_alt_names = vec![SanType::URI(Roles::uri(self.network, role, name).try_into()?), at(host)?];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, issuer)?;
        fs::create_dir_all(folder)?;
        write(&folder.join("key.pem"), &key.serialize_pem(), 0o600)?;
        write(&folder.join("certificate.pem"), &certificate.pem(), 0o644)
    }

    /// cert-manager's resources: an issuer by the authority's secret, and a certificate for each kind of node and for an operator.
    fn requests(&self) -> Result<String> {
        let mut text =
            "# Written by `dovetail network init --tls`, for cert-manager. Name another issuer if you have one.
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: dovetail
spec:
  ca:
    secretName: dovetail-authority
"
            .to_owned();
        for role in [Role::Shard, Role::Coordinator, Role::Relay, Role::Operator] {
            let uri = Roles::uri(self.network, role, "0");
            let mut hosts = String::new();
            match role {
                Role::Shard => self.shards.iter().try_for_each(|host| writeln!(hosts, "    - {host}"))?,
                _ => writeln!(hosts, "    - {role}")?,
            }
            write!(
                text,
                "---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: dovetail-tls-{role}
spec:
  secretName: dovetail-tls-{role}
  duration: 2160h
  renewBefore: 720h
  privateKey:
    algorithm: ECDSA
    size: 256
    rotationPolicy: Always
  usages: [server auth, client auth]
  uris:
    - {uri}
  dnsNames:
{hosts}  issuerRef:
    name: dovetail
    kind: Issuer
"
            )?;
        }
        Ok(text)
    }
}

fn valid_for(days: u32, mut parameters: CertificateParams) -> CertificateParams {
    let now = SystemTime::now();
    let until = now + Duration::from_hours(24) * days;
    parameters.not_before = (now - CLOCKS_APART).into();
    parameters.not_after = until.into();
    parameters
}

fn at(host: &str) -> Result<SanType> {
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(host.to_owned().try_into()?)),
    }
}

/// Puts a file in its place whole, for whom `mode` says: whoever reads it meanwhile sees the old one.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).wrap_err_with(|| path.display().to_string())?;
    fs::rename(unfinished, path).wrap_err_with(|| path.display().to_string())
}
