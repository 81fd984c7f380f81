//! MySQL's sets: for each server, and since 8.3 each tag, intervals of transaction numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use mysql_common::packets::{GnoInterval, Sid, Tag};

use super::GtidError;
use crate::position::ServerUuid;
use crate::version::Flavor;

/// The largest transaction number that a server gives out.
const NUMBER_MAX: u64 = i64::MAX as u64 - 1;

/// Whose numbers: a server's, under a tag or under none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    server: ServerUuid,
    tag: Option<Tag<'static>>,
}

/// One transaction of MySQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MySqlGtid {
    origin: Origin,
    number: u64,
}

impl MySqlGtid {
    /// The transaction `number` of a server; tags exist since 8.3.
    pub(crate) fn new(server: ServerUuid, tag: Option<Tag<'static>>, number: u64) -> Self {
        Self { origin: Origin { server, tag }, number }
    }
}

/// Transactions by origin. Intervals are sorted, disjoint, not adjacent and not empty; no origin is without any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MySqlGtidSet {
    origins: BTreeMap<Origin, Vec<Interval>>,
}

/// The numbers from `start` up to and without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    start: u64,
    end: u64,
}

impl MySqlGtidSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    pub(crate) fn add(&mut self, gtid: &MySqlGtid) {
        let one = Interval { start: gtid.number, end: gtid.number.saturating_add(1) };
        match self.origins.get_mut(&gtid.origin) {
            Some(intervals) => insert(intervals, one),
            None => drop(self.origins.insert(gtid.origin.clone(), vec![one])),
        }
    }

    pub(crate) fn is_subset_of(&self, other: &Self) -> bool {
        self.origins.iter().all(|(origin, intervals)| {
            let others = other.origins.get(origin).map_or(&[][..], Vec::as_slice);
            // As no two intervals of a set touch, each of ours must lie within a single one of theirs.
            intervals.iter().all(|ours| {
                let candidate = others.partition_point(|theirs| theirs.end < ours.end);
                others.get(candidate).is_some_and(|theirs| theirs.start <= ours.start)
            })
        })
    }

    /// The set as a request for a binlog dump carries it.
    pub(crate) fn sids(&self) -> Vec<Sid<'static>> {
        let sid = |(origin, intervals): (&Origin, &Vec<Interval>)| {
            let intervals = intervals.iter().map(|interval| GnoInterval::new(interval.start, interval.end)).collect();
            let sid = Sid::new(origin.server.bytes()).with_intervals(intervals);
            match &origin.tag {
                Some(tag) => sid.with_tag(tag.clone()),
                None => sid,
            }
        };
        self.origins.iter().map(sid).collect()
    }
}

/// Adds an interval, joining it with those that it touches.
fn insert(intervals: &mut Vec<Interval>, new: Interval) {
    // The log's order is almost always the order of numbers, so nearly every call extends the last interval.
    if let Some(last) = intervals.last_mut()
        && last.end == new.start
    {
        last.end = new.end;
        return;
    }
    let first = intervals.partition_point(|interval| interval.end < new.start);
    let past = intervals.partition_point(|interval| interval.start <= new.end);
    let touched = intervals.get(first..past).unwrap_or_default();
    let joined = touched.iter().fold(new, |joined, interval| Interval {
        start: joined.start.min(interval.start),
        end: joined.end.max(interval.end),
    });
    intervals.splice(first..past.max(first), [joined]);
}

impl FromStr for MySqlGtidSet {
    type Err = GtidError;

    /// `server:1-5:7:tag:1-3,server:9`: numbers after a tag are that tag's, those before any tag are untagged.
    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut set = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let error = |reason| GtidError::new(Flavor::MySql, part, reason);
            let mut pieces = part.split(':').map(str::trim);
            let server = pieces.next().unwrap_or_default().parse().map_err(|_| error("it has no server UUID"))?;
            let mut origin = Origin { server, tag: None };
            for piece in pieces {
                if piece.starts_with(|first: char| first.is_ascii_digit()) {
                    let interval = parse_interval(piece).ok_or_else(|| error("it has no interval of numbers"))?;
                    insert(set.origins.entry(origin.clone()).or_default(), interval);
                } else {
                    let tag = Tag::new(piece.to_ascii_lowercase()).map_err(|_| error("it has no tag"))?;
                    origin.tag = Some(tag);
                }
            }
        }
        Ok(set)
    }
}

fn parse_interval(text: &str) -> Option<Interval> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    (0 < first && first <= last && last <= NUMBER_MAX).then_some(Interval { start: first, end: last + 1 })
}

impl fmt::Display for MySqlGtidSet {
    /// As the server writes it, in one line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = None;
        for (origin, intervals) in &self.origins {
            if server != Some(origin.server) {
                let comma = if server.is_some() { "," } else { "" };
                write!(formatter, "{comma}{}", origin.server)?;
                server = Some(origin.server);
            }
            if let Some(tag) = &origin.tag {
                write!(formatter, ":{tag}")?;
            }
            for Interval { start, end } in intervals {
                match end - start {
                    1 => write!(formatter, ":{start}")?,
                    _ => write!(formatter, ":{start}-{}", end - 1)?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for MySqlGtid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin.tag {
            Some(tag) => write!(formatter, "{}:{tag}:{}", self.origin.server, self.number),
            None => write!(formatter, "{}:{}", self.origin.server, self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> MySqlGtidSet {
        text.parse().unwrap()
    }

    #[test]
    fn sets_read_as_servers_write_them() {
        for (text, expected) in [
            (String::new(), String::new()),
            (format!("{A}:1-5"), format!("{A}:1-5")),
            (format!("{}:5:1-4:6-6", A.to_uppercase()), format!("{A}:1-6")),
            (format!("{B}:9,\n{A}:1:3-4"), format!("{A}:1:3-4,{B}:9")),
            (format!("{A}:1-3:Blue:7:green:1-2,{A}:blue:8"), format!("{A}:1-3:blue:7-8:green:1-2")),
            (format!("{A}:blue:4"), format!("{A}:blue:4")),
            (format!("{A}, {A}:2"), format!("{A}:2")),
        ] {
            assert_eq!(set(&text).to_string(), expected, "{text}");
        }
        assert!(set(&format!("{A}:blue")).is_empty());
    }

    #[test]
    fn other_texts_are_refused_with_the_part_and_the_reason() {
        for text in [
            "x",
            "0-1-5",
            "3e11fa47:1",
            &format!("{A}:0"),
            &format!("{A}:5-4"),
            &format!("{A}:1-"),
            &format!("{A}:é"),
            &format!("{A}:1-9223372036854775807"),
        ] {
            let error = text.parse::<MySqlGtidSet>().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_request_carries_servers_tags_and_half_open_intervals() {
        let sids = set(&format!("{A}:1-3:7:blue:4,{B}:2")).sids();
        let shown: Vec<String> = sids.iter().map(ToString::to_string).collect();
        assert_eq!(shown, [format!("{A}:1-3:7"), format!("{A}:blue:4"), format!("{B}:2")]);
        assert_eq!((sids[0].intervals()[0].start(), sids[0].intervals()[0].end()), (1, 4));
    }

    /// The model: a plain set of (origin, number).
    type Model = BTreeSet<(u8, u64)>;

    fn gtid((origin, number): (u8, u64)) -> MySqlGtid {
        let server = if origin < 2 { A } else { B }.parse().unwrap();
        MySqlGtid::new(server, (origin % 2 == 1).then(|| Tag::new("blue").unwrap()), number)
    }

    fn built(model: &[(u8, u64)]) -> MySqlGtidSet {
        let mut set = MySqlGtidSet::default();
        model.iter().for_each(|member| set.add(&gtid(*member)));
        set
    }

    proptest! {
        #[test]
        fn sets_behave_as_plain_sets_of_transactions(
            left in prop::collection::vec((0..4_u8, 1..24_u64), 0..40),
            right in prop::collection::vec((0..4_u8, 1..24_u64), 0..40),
        ) {
            let (left_set, right_set) = (built(&left), built(&right));
            let (left, right) = (left.into_iter().collect::<Model>(), right.into_iter().collect::<Model>());
            for member in (0..4).flat_map(|origin| (1..26).map(move |number| (origin, number))) {
                prop_assert_eq!(built(&[member]).is_subset_of(&left_set), left.contains(&member));
            }
            prop_assert_eq!(left_set.is_subset_of(&right_set), left.is_subset(&right));
            prop_assert_eq!(left_set == right_set, left == right);
            prop_assert_eq!(&left_set.to_string().parse::<MySqlGtidSet>().unwrap(), &left_set);
        }

        #[test]
        fn no_text_makes_the_reader_fail_otherwise_than_by_an_error(text in "[0-9a-f:,\\-a-z ]{0,60}") {
            if let Ok(set) = text.parse::<MySqlGtidSet>() {
                prop_assert_eq!(set.to_string().parse::<MySqlGtidSet>().unwrap(), set);
            }
        }
    }
}
