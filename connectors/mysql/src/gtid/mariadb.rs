//! MariaDB's sets: the last transaction of each replication domain.
//!
//! Within a domain transactions are in one order with growing numbers, so the last one stands for all before it,
//! whichever server they came from.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::GtidError;
use crate::version::Flavor;

/// One transaction of MariaDB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MariaDbGtid {
    /// The replication domain.
    pub(crate) domain: u32,
    /// The `server_id` of the server on which it was first committed.
    pub(crate) server: u32,
    /// Its number in the domain.
    pub(crate) number: u64,
}

/// The last transaction of each domain, as in `@@gtid_binlog_pos`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MariaDbGtidSet {
    domains: BTreeMap<u32, Last>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Last {
    server: u32,
    number: u64,
}

impl MariaDbGtidSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// The transaction is now its domain's last. Without `gtid_strict_mode` its number may be lower than the one
    /// before; the place in the log counts.
    pub(crate) fn add(&mut self, gtid: MariaDbGtid) {
        self.domains.insert(gtid.domain, Last { server: gtid.server, number: gtid.number });
    }

    pub(crate) fn is_subset_of(&self, other: &Self) -> bool {
        self.domains
            .iter()
            .all(|(domain, last)| other.domains.get(domain).is_some_and(|other| last.number <= other.number))
    }
}

impl FromStr for MariaDbGtidSet {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let error = |reason| GtidError::new(Flavor::MariaDb, part, reason);
            let gtid = part.parse::<MariaDbGtid>().map_err(|()| error("it isn't domain-server-number"))?;
            if set.domains.contains_key(&gtid.domain) {
                return Err(error("its domain appears twice"));
            }
            set.add(gtid);
        }
        Ok(set)
    }
}

impl FromStr for MariaDbGtid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text.split('-');
        let mut next = || numbers.next().ok_or(());
        let (domain, server, number) = (next()?, next()?, next()?);
        if numbers.next().is_some() {
            return Err(());
        }
        Ok(Self {
            domain: domain.parse().map_err(drop)?,
            server: server.parse().map_err(drop)?,
            number: number.parse().map_err(drop)?,
        })
    }
}

impl fmt::Display for MariaDbGtidSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (domain, Last { server, number })) in self.domains.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(formatter, "{comma}{domain}-{server}-{number}")?;
        }
        Ok(())
    }
}

impl fmt::Display for MariaDbGtid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.domain, self.server, self.number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sets_read_as_servers_write_them() {
        for (text, expected) in
            [("", ""), ("0-1-5", "0-1-5"), ("2-7-9, 0-1-5", "0-1-5,2-7-9"), ("0-4294967295-18446744073709551615", "")]
        {
            let expected = if expected.is_empty() { text } else { expected };
            assert_eq!(text.parse::<MariaDbGtidSet>().unwrap().to_string(), expected);
        }
        for text in ["0-1", "0-1-2-3", "0-1-x", "-1-1-1", "4294967296-1-1", "0-1-1,0-2-2", "3e11fa47:1"] {
            let error = text.parse::<MariaDbGtidSet>().unwrap_err().to_string();
            assert!(error.contains("MariaDB"), "{error}");
        }
    }

    #[test]
    fn a_domains_last_transaction_stands_for_those_before_it() {
        let set = |text: &str| text.parse::<MariaDbGtidSet>().unwrap();
        let all = set("0-1-5,2-7-9");
        for (part, expected) in
            [("", true), ("0-3-5", true), ("0-3-1", true), ("2-7-9,0-1-5", true), ("0-3-6", false), ("1-1-1", false)]
        {
            assert_eq!(set(part).is_subset_of(&all), expected, "{part}");
        }
        let mut moved = all.clone();
        moved.add("0-4-3".parse().unwrap());
        assert_eq!(moved.to_string(), "0-4-3,2-7-9");
    }

    proptest! {
        #[test]
        fn sets_compare_domain_by_domain(
            left in prop::collection::btree_map(0..4_u32, 1..9_u64, 0..4),
            right in prop::collection::btree_map(0..4_u32, 1..9_u64, 0..4),
        ) {
            let built = |model: &BTreeMap<u32, u64>| {
                let mut set = MariaDbGtidSet::default();
                model.iter().for_each(|(domain, number)| {
                    set.add(MariaDbGtid { domain: *domain, server: 1, number: *number });
                });
                set
            };
            let (ours, theirs) = (built(&left), built(&right));
            let within = left.iter().all(|(domain, number)| right.get(domain).is_some_and(|other| number <= other));
            prop_assert_eq!(ours.is_subset_of(&theirs), within);
            prop_assert_eq!(ours == theirs, left == right);
            prop_assert_eq!(ours.to_string().parse::<MariaDbGtidSet>().unwrap(), ours);
        }
    }
}
