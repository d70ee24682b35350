//! Who is at the other end, as far as bounds tell clients apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bits of an IPv6 address that a client cannot choose: it has the rest of its network to itself.
const IPV6_NETWORK_BITS: u32 = 64;

/// An address that nobody has.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The address at the other end of a connection that a request came over: a client's, or a proxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FromAddress(pub(crate) IpAddr);

/// A client: an IPv4 address, or an IPv6 network of 64 bits. Whoever comes through a proxy that is not trusted to say whom it heard
/// is one with all others that do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client(IpAddr);

impl Client {
    /// Who asks without a connection: one client.
    pub(crate) const LOCAL: Self = Self(NOBODY);
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << (u128::BITS - IPV6_NETWORK_BITS));
                Self(Ipv6Addr::from(network).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn a_client_is_one_from_whatever_port_and_whatever_address_of_its_network() {
        assert_eq!(client("10.0.0.1:1"), client("10.0.0.1:2"));
        assert_eq!(client("10.0.0.1:1"), client("[::ffff:10.0.0.1]:1"));
        assert_ne!(client("10.0.0.1:1"), client("10.0.0.2:1"));
        assert_eq!(client("[2001:db8::1]:1"), client("[2001:db8::2:3]:9"));
        assert_ne!(client("[2001:db8::1]:1"), client("[2001:db8:0:1::1]:1"));
    }
}
