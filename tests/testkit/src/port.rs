//! Free ports for servers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

use crate::error::Error;

const ATTEMPTS: u32 = 200;
/// Below the range that Linux gives to outgoing connections, so that a stopped server's port is there for its restart.
const PORTS: RangeInclusive<u16> = 15_000..=31_999;

/// A port on 127.0.0.1 that nobody listens on just now.
pub(crate) fn free_port() -> Result<u16, Error> {
    let width = u64::from(PORTS.end() - PORTS.start());
    (0..ATTEMPTS)
        .map(|_| PORTS.start() + (random() % width) as u16)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or(Error::NoPort { attempts: ATTEMPTS })
}

/// A number that differs between calls and processes; the standard library seeds its hash maps with such.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_are_outside_the_range_of_outgoing_connections() {
        for _ in 0..50 {
            let port = free_port().unwrap();
            assert!(PORTS.contains(&port));
        }
    }
}
