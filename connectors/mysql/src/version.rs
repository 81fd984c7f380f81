//! Which server this is.

use std::fmt;

/// The family of a server. The two share a protocol and have grown apart in everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavor {
    /// MySQL and what follows it closely (Percona Server, Aurora MySQL).
    MySql,
    /// MariaDB.
    MariaDb,
}

impl fmt::Display for Flavor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Flavor::MySql => "MySQL",
            Flavor::MariaDb => "MariaDB",
        })
    }
}

/// A server's family and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Its family.
    pub flavor: Flavor,
    number: u32,
}

impl Version {
    /// A version from its parts.
    pub const fn new(flavor: Flavor, major: u32, minor: u32, patch: u32) -> Self {
        Self { flavor, number: major * 10_000 + minor * 100 + patch }
    }

    /// Reads what `SELECT VERSION()` answers, or what a server says when greeting or at the head of a binlog file.
    pub fn parse(text: &str) -> Option<Self> {
        let flavor = if text.contains("MariaDB") { Flavor::MariaDb } else { Flavor::MySql };
        // MariaDB 10 and 11 greet as 5.5.5-10.11.6-MariaDB, because clients once refused a major version of two digits.
        let text = match flavor {
            Flavor::MariaDb => text.strip_prefix("5.5.5-").unwrap_or(text),
            Flavor::MySql => text,
        };
        let numbers = text.split(|other: char| !other.is_ascii_digit() && other != '.').next()?;
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        let patch = parts.next().flatten().unwrap_or(0);
        (major < 1_000 && minor < 100 && patch < 100).then_some(Self::new(flavor, major, minor, patch))
    }

    /// As version comments write it: 8.0.23 is 80023, 10.11.6 is 101106.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Whether this is `major.minor.patch` of its family or later.
    pub fn at_least(self, major: u32, minor: u32, patch: u32) -> bool {
        self.number >= Self::new(self.flavor, major, minor, patch).number
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version { flavor, number } = self;
        write!(formatter, "{flavor} {}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_name_their_versions_in_many_ways() {
        for (text, expected) in [
            ("9.7.1", "MySQL 9.7.1"),
            ("8.0.36-28", "MySQL 8.0.36"),
            ("5.7.44-log", "MySQL 5.7.44"),
            ("8.4.0ubuntu", "MySQL 8.4.0"),
            ("10.11.6-MariaDB-0+deb12u1-log", "MariaDB 10.11.6"),
            ("5.5.5-10.11.6-MariaDB", "MariaDB 10.11.6"),
            ("11.4-MariaDB", "MariaDB 11.4.0"),
        ] {
            assert_eq!(Version::parse(text).map(|version| version.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "MariaDB", "eight", "8", "99999.1.1", "8.0.999"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn versions_compare_within_their_family() {
        let version = Version::new(Flavor::MySql, 8, 0, 23);
        assert_eq!(version.number(), 80_023);
        assert!(version.at_least(8, 0, 23) && version.at_least(5, 7, 99));
        assert!(!version.at_least(8, 0, 24) && !version.at_least(8, 4, 0));
    }
}
