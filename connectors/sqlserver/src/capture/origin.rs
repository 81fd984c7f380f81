//! What a schema's `origin` says: which object a table's name denotes, which capture instance its rows come from, which
//! partitions they are in, and from where on its changes count.
//!
//! It is stored with the schema, in the commit that the schema belongs to. So a restart knows which of two capture
//! instances served the table at the stream's position, which can't be found out again: the server's cleanup moves the
//! instances' own bounds, and makes them equal at times. And it notices a name that meanwhile denotes another object, and
//! rows that were switched.

use std::fmt;
use std::str::FromStr;

use super::partitions::PartitionMark;
use crate::position::Lsn;

/// See the module's docs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// The table's object id: given to no other object while this one exists, and kept when it is renamed.
    pub(crate) object: i32,
    /// When the table was made, in milliseconds since 1970 by the clock on the server's wall. Another database may have
    /// an object with the same id.
    pub(crate) made_ms: i64,
    /// The object id of the change table of the capture instance in use. Instances' names are given again, this isn't.
    pub(crate) change_table: i32,
    /// The table's partitions; `None` if the server doesn't tell.
    pub(crate) partitions: Option<PartitionMark>,
    /// The table's changes count from behind this place on: it was to be read when the log ended there
    /// ([`partitions`](super::partitions)).
    pub(crate) since: Lsn,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, made_ms, change_table, partitions, since } = self;
        write!(formatter, "object={object} made={made_ms} change_table={change_table} since={since}")?;
        partitions.map_or(Ok(()), |mark| write!(formatter, " partitions={mark}"))
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let parse = || {
            let mut fields = text.split(' ');
            let object = fields.next()?.strip_prefix("object=")?.parse().ok()?;
            let made_ms = fields.next()?.strip_prefix("made=")?.parse().ok()?;
            let change_table = fields.next()?.strip_prefix("change_table=")?.parse().ok()?;
            let since = fields.next()?.strip_prefix("since=")?.parse().ok()?;
            let mark = |field: &str| field.strip_prefix("partitions=")?.parse().ok();
            let partitions = match fields.next() {
                Some(field) => Some(mark(field)?),
                None => None,
            };
            fields.next().is_none().then_some(Self { object, made_ms, change_table, partitions, since })
        };
        parse().ok_or(NotAnOrigin)
    }
}

/// The text isn't one that this connector wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAnOrigin;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_comes_back_from_its_text() {
        for partitions in [None, "144115188075855872".parse().ok()] {
            let since = Lsn::new(44, 264, 3);
            let origin = Origin { object: 245_575_913, made_ms: -1, change_table: -7, partitions, since };
            assert_eq!(origin.to_string().parse(), Ok(origin));
        }
        let broken = ["", "object=1", "object=1 made=2 change_table=x", "change_table=1 made=2 object=2"];
        let longer =
            ["object=1 made=2 change_table=2 since=3", "object=1 made=2 change_table=2 since=1:2:3 partitions="];
        for text in broken.into_iter().chain(longer) {
            assert_eq!(text.parse::<Origin>(), Err(NotAnOrigin), "{text}");
        }
    }
}
