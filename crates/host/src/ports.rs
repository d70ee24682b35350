//! Whether a process's ports can all be listened on, as far as they are each other's matter.

use crate::ProcessError;
use rustix::io::Errno;
use std::net::{IpAddr, SocketAddr};
use wire::server::ServerError;

/// Whether ports at these addresses, bound one after the other, leave each other room; opens none.
///
/// # Errors
/// As whoever binds the second of two says it.
pub fn check(addresses: &[SocketAddr]) -> Result<(), ProcessError> {
    for (earlier, address) in addresses.iter().enumerate() {
        if addresses[..earlier].iter().any(|other| is_taken_by(*address, *other)) {
            return Err(ServerError::Listen { address: *address, source: Errno::ADDRINUSE.into() }.into());
        }
    }
    Ok(())
}

/// Port 0 is any free one. An unspecified address is every one of its family, and `::` those of both.
fn is_taken_by(address: SocketAddr, other: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4());
    let (one, two) = (address.ip(), other.ip());
    address.port() != 0 && address.port() == other.port() && (one == two || covers(one, two) || covers(two, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(addresses: [&str; 2]) -> Result<(), String> {
        check(&addresses.map(|address| address.parse().unwrap())).map_err(|error| error.to_string())
    }

    #[test]
    fn two_ports_that_are_one_are_refused_in_the_words_of_who_binds_the_second() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let system = std::net::TcpListener::bind(address).unwrap_err();
        let refusal = checked([&address.to_string(); 2]).unwrap_err();
        assert_eq!(refusal, format!("cannot listen on {address}: {system}"));
    }

    #[test]
    fn an_address_of_all_takes_the_port_of_each() {
        assert!(checked(["0.0.0.0:7", "127.0.0.1:7"]).is_err());
        assert!(checked(["127.0.0.1:7", "[::]:7"]).is_err());
        assert!(checked(["0.0.0.0:7", "[::1]:7"]).is_ok());
        assert!(checked(["127.0.0.1:7", "127.0.0.2:7"]).is_ok());
        assert!(checked(["127.0.0.1:0", "127.0.0.1:0"]).is_ok());
    }
}
