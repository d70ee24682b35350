//! What a certificate says of whom it is for, and the roles that a network gives to it.

use crate::roles::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Names of one certificate that are looked at; beyond it they are left out.
const NAMES_COUNT_MAX: usize = 64;

/// Whom a certificate is for, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Its URIs, DNS names and common name, in this order.
    all: Vec<String>,
    /// Until when it is valid, in seconds since 1970.
    until_s: i64,
    until: String,
}

impl Names {
    /// Reads a certificate.
    pub(crate) fn of(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let alternatives = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let alternatives = alternatives.map(|names| names.value.general_names.clone()).unwrap_or_default();
        let uris = alternatives.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let hosts = alternatives.iter().filter_map(|name| match name {
            GeneralName::DNSName(host) => Some(*host),
            _ => None,
        });
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        let all = uris.chain(hosts).chain(common).take(NAMES_COUNT_MAX).map(str::to_owned).collect();
        let until = certificate.validity().not_after;
        Ok(Self { all, until_s: until.timestamp(), until: until.to_string() })
    }

    /// The name it goes by in logs and refusals.
    pub fn first(&self) -> &str {
        self.all.first().map_or("a certificate without a name", String::as_str)
    }

    /// Until when it is valid, in words.
    pub fn until(&self) -> &str {
        &self.until
    }

    /// Until when it is valid, in seconds since 1970.
    pub fn until_s(&self) -> i64 {
        self.until_s
    }

    /// Whether it is no longer valid at `now_s`.
    pub(crate) fn is_expired(&self, now_s: i64) -> bool {
        now_s > self.until_s
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.first())
    }
}

/// How a network gives roles to certificates.
///
/// A certificate with the URI `spiffe://dovetail-<network>/<role>`, or longer as in `spiffe://dovetail-53375/shard/2`, has that role:
/// whoever its authority gives it to. A certificate of another network has none here. Others are bound by name in the network file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    prefix: String,
    bound: BTreeMap<String, Role>,
}

impl Roles {
    /// Those of the network with this chain id, and of those that are bound by a URI, DNS name or common name.
    pub fn new(network: u64, bound: BTreeMap<String, Role>) -> Self {
        Self { prefix: format!("{}/", domain(network)), bound }
    }

    /// The URI that gives a role by itself.
    pub fn uri(network: u64, role: Role, name: &str) -> String {
        format!("{}/{role}/{name}", domain(network))
    }

    /// The roles of a certificate.
    pub fn of(&self, names: &Names) -> BTreeSet<Role> {
        names.all.iter().filter_map(|name| self.bound.get(name).copied().or_else(|| self.by_uri(name))).collect()
    }

    fn by_uri(&self, name: &str) -> Option<Role> {
        let path = name.strip_prefix(&self.prefix).filter(|_| !self.prefix.is_empty())?;
        path.split('/').next()?.parse().ok()
    }

    /// What a certificate would have to say to have a role.
    pub(crate) fn advice(&self) -> String {
        format!("give it the URI {}<role>/<name>, or name it under [roles] in the network file", self.prefix)
    }
}

fn domain(network: u64) -> String {
    format!("spiffe://dovetail-{network}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Names {
        Names { all: all.iter().map(|name| (*name).to_owned()).collect(), until_s: 10, until: "then".to_owned() }
    }

    fn roles(bound: &[(&str, Role)]) -> Roles {
        Roles::new(7, bound.iter().map(|(name, role)| ((*name).to_owned(), *role)).collect())
    }

    #[test]
    fn a_uri_of_this_network_gives_a_role_and_one_of_another_does_not() {
        let roles = roles(&[]);
        for role in Role::ALL {
            assert_eq!(roles.of(&names(&[&Roles::uri(7, role, "0")])), BTreeSet::from([role]));
            assert_eq!(roles.of(&names(&[&Roles::uri(8, role, "0")])), BTreeSet::new());
            assert_eq!(roles.of(&names(&[&Roles::uri(77, role, "0")])), BTreeSet::new());
        }
    }

    #[test]
    fn what_only_looks_like_such_a_uri_gives_none() {
        let roles = roles(&[]);
        for name in [
            "spiffe://dovetail-7",
            "spiffe://dovetail-7/",
            "spiffe://dovetail-7/shards/0",
            "dovetail-7/shard/0",
            "spiffe://dovetail-7x/shard/0",
            "https://dovetail-7/shard/0",
            "shard",
            "",
        ] {
            assert_eq!(roles.of(&names(&[name])), BTreeSet::new(), "{name:?}");
        }
        assert_eq!(Roles::default().of(&names(&["/shard/0", "shard/0"])), BTreeSet::new(), "no network, no roles");
    }

    #[test]
    fn a_name_that_the_network_binds_has_that_role() {
        let roles = roles(&[("grafana.example", Role::Observer), ("carrier", Role::Relay)]);
        assert_eq!(roles.of(&names(&["grafana.example"])), BTreeSet::from([Role::Observer]));
        assert_eq!(roles.of(&names(&["x", "carrier"])), BTreeSet::from([Role::Relay]));
        let both = names(&["carrier", &Roles::uri(7, Role::Operator, "ann")]);
        assert_eq!(roles.of(&both), BTreeSet::from([Role::Relay, Role::Operator]));
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        assert!(Names::of(b"certificate").is_err());
    }

    #[test]
    fn a_certificate_is_expired_after_its_last_second() {
        assert!(!names(&[]).is_expired(10));
        assert!(names(&[]).is_expired(11));
    }
}
