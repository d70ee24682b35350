//! Whom a request is from, where proxies stand between: what a trusted proxy says, and nobody else.
//!
//! ```text
//! client 198.51.100.7 ── proxy 10.0.0.2 ── proxy 10.0.0.1 ── here
//!                                          │
//!            x-forwarded-for: (whatever the client wrote), 198.51.100.7, 10.0.0.2
//!                                                          └── the right-most that no trusted proxy has
//! ```
//!
//! Each proxy adds whom it heard at the right, so what is believed is read from there, for as long as a trusted proxy has said
//! it. What a client wrote itself stands further left and is never reached.
//!
//! Promise: nobody takes another client's place, nor a place for each request, by a header; without trusted proxies, which is how a
//! node starts, headers are not looked at. What is no address ends the reading: then the client is whoever said it.
//! Knows nothing of what clients are told apart for.  Source: RFC 7239; MDN, "X-Forwarded-For", on selecting an address.

use super::client::Client;
use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Which header proxies write, all of them: one that they pass on as it came is a client's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`: addresses with commas between.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): `for=` of each element.
    Forwarded,
}

/// Networks as settings name them: `10.0.0.0/8`, or an address alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Networks(Vec<IpNet>);

/// The text names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address, or one with the bits of its prefix as in 10.0.0.0/8, not {text:?}")]
pub struct NetworkSyntax {
    text: String,
}

impl Networks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl TryFrom<Vec<String>> for Networks {
    type Error = NetworkSyntax;

    fn try_from(texts: Vec<String>) -> Result<Self, NetworkSyntax> {
        let network = |text: String| {
            let alone = || text.parse::<IpAddr>().map(IpNet::from);
            text.parse().or_else(|_| alone()).map_err(|_| NetworkSyntax { text })
        };
        texts.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl From<Networks> for Vec<String> {
    fn from(networks: Networks) -> Self {
        networks.0.iter().map(IpNet::to_string).collect()
    }
}

/// The proxies that are believed, and where they say what they say. By default none are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// Their networks.
    pub trusted: Networks,
    /// Their header.
    pub header: ProxyHeader,
}

impl Proxies {
    /// Whom a request with these `headers` is from, that came over a connection with `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let mut client = peer.to_canonical();
        for said in self.said(headers).rev() {
            let Some(address) = said.filter(|_| self.trusted.contains(client)) else { break };
            client = address.to_canonical();
        }
        client.into()
    }

    /// The addresses in the header from left to right; none for what is no address.
    fn said<'a>(&self, headers: &'a HeaderMap) -> impl DoubleEndedIterator<Item = Option<IpAddr>> + 'a {
        let (name, of_element): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ProxyHeader::XForwardedFor => (HeaderName::from_static("x-forwarded-for"), address),
            ProxyHeader::Forwarded => (header::FORWARDED, forwarded_for),
        };
        let lines: Vec<_> = if self.trusted.is_empty() { Vec::new() } else { headers.get_all(name).iter().collect() };
        // What is no text stands for an element that is no address.
        let texts = lines.into_iter().map(|line| line.to_str().unwrap_or_default());
        texts.flat_map(move |text| text.split(',').map(of_element))
    }
}

/// The address of `for=` in an element such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for")).map(|(_, value)| value);
    // Two in one element are nothing that a proxy writes.
    let value = named.next().filter(|_| named.next().is_none())?.trim();
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    address(quoted.unwrap_or(value))
}

/// An address, with a port or without; one of IPv6 may stand in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok();
    text.parse::<SocketAddr>().ok().map(|address| address.ip()).or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// The client behind 10.0.0.1, where 10.0.0.0/8 and `2001:db8:ffff::/48` are trusted, by these lines of the header.
    fn behind(header: ProxyHeader, lines: &[&str]) -> Client {
        from("10.0.0.1", header, lines)
    }

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>().try_into().unwrap()
    }

    fn from(peer: &str, header: ProxyHeader, lines: &[&str]) -> Client {
        let trusted = networks(&["10.0.0.0/8", "2001:db8:ffff::/48"]);
        let name = match header {
            ProxyHeader::XForwardedFor => "x-forwarded-for",
            ProxyHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Proxies { trusted, header }.client(peer.parse().unwrap(), &headers)
    }

    fn client(text: &str) -> Client {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn the_client_is_the_right_most_address_that_no_trusted_proxy_has() {
        let xff = ProxyHeader::XForwardedFor;
        assert_eq!(behind(xff, &["198.51.100.7"]), client("198.51.100.7"));
        assert_eq!(behind(xff, &["198.51.100.7, 10.9.9.9 ,10.0.0.2"]), client("198.51.100.7"));
        assert_eq!(behind(xff, &["198.51.100.7", "10.0.0.2"]), client("198.51.100.7"), "lines follow each other");
        assert_eq!(behind(xff, &["[2001:db8::9]:443"]), client("2001:db8::9"));
        assert_eq!(behind(xff, &["198.51.100.7:1234"]), client("198.51.100.7"));
        assert_eq!(behind(xff, &["10.0.0.3, 10.0.0.2"]), client("10.0.0.3"), "proxies alone: the farthest");
    }

    #[test]
    fn what_a_client_writes_into_the_header_itself_counts_for_nothing() {
        let xff = ProxyHeader::XForwardedFor;
        assert_eq!(behind(xff, &["1.1.1.1, 198.51.100.7"]), client("198.51.100.7"));
        assert_eq!(behind(xff, &["10.0.0.2, 198.51.100.7, 10.0.0.2"]), client("198.51.100.7"));
        assert_eq!(from("203.0.113.5", xff, &["198.51.100.7"]), client("203.0.113.5"), "no proxy said it");
    }

    #[test]
    fn what_is_no_address_ends_at_the_proxy_that_said_it() {
        let xff = ProxyHeader::XForwardedFor;
        for garbage in ["", "unknown", "198.51.100.7, ", "1.2.3", "198.51.100.7;10.0.0.2", "\u{e4}", "[::", "999.1.1.1"]
        {
            assert_eq!(behind(xff, &[garbage]), client("10.0.0.1"), "{garbage:?}");
        }
        assert_eq!(behind(xff, &["198.51.100.7, nothing, 10.0.0.2"]), client("10.0.0.2"));
        assert_eq!(behind(xff, &[&"x,".repeat(10_000)]), client("10.0.0.1"));
    }

    #[test]
    fn an_element_of_the_standard_header_names_its_client() {
        let standard = ProxyHeader::Forwarded;
        assert_eq!(behind(standard, &["for=198.51.100.7"]), client("198.51.100.7"));
        assert_eq!(behind(standard, &["For=\"[2001:db8::9]:4711\";proto=http, for=10.0.0.2"]), client("2001:db8::9"));
        assert_eq!(behind(standard, &["proto=https;for=198.51.100.7;by=10.0.0.1"]), client("198.51.100.7"));
        for garbage in ["for=_hidden", "for=unknown", "by=198.51.100.7", "for=1.1.1.1;for=2.2.2.2", "198.51.100.7"] {
            assert_eq!(behind(standard, &[garbage]), client("10.0.0.1"), "{garbage:?}");
        }
    }

    #[test]
    fn a_header_that_the_proxies_do_not_write_is_not_looked_at() {
        let mut headers = HeaderMap::new();
        headers.append("forwarded", HeaderValue::from_static("for=198.51.100.7"));
        let trusted = networks(&["10.0.0.0/8"]);
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(Proxies { trusted, ..Proxies::default() }.client(peer, &headers), client("10.0.0.1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
        assert_eq!(Proxies::default().client(peer, &headers), client("10.0.0.1"), "nobody is trusted");
    }

    #[test]
    fn a_network_is_named_by_its_prefix_or_is_one_address() {
        let both: Vec<String> = networks(&["10.0.0.0/8", "192.0.2.1", "2001:db8::1"]).into();
        assert_eq!(both, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::1/128"]);
        for wrong in ["10.0.0.0/33", "proxy", ""] {
            let refusal = Networks::try_from(vec![wrong.to_owned()]).unwrap_err();
            assert!(refusal.to_string().contains(&format!("not {wrong:?}")), "{refusal}");
        }
    }

    #[test]
    fn an_address_is_one_in_either_family() {
        assert_eq!(from("::ffff:10.0.0.1", ProxyHeader::XForwardedFor, &["198.51.100.7"]), client("198.51.100.7"));
        assert_eq!(from("2001:db8:ffff::1", ProxyHeader::XForwardedFor, &["198.51.100.7"]), client("198.51.100.7"));
    }
}
