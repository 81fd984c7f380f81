//! Rows that change hands with no row logged: `ALTER TABLE … SWITCH`.
//!
//! Switching gives a partition of one table to another by a change of the catalog alone. No change table shows it, and
//! the history has no line where the statement was another table's. But every partition (a table that isn't partitioned
//! is one) has a number that goes with its rows, so a switch gives both tables other numbers than they had. A sum of them
//! tells, weighted by the partitions' places: numbers that were given one after the other would make up for each other
//! in a plain one. Building the clustered index anew gives new numbers, too; that can't be told from a switch, and costs
//! a reading that finds no difference. What is switched away and comes back before anybody looks isn't noticed.
//!
//! *Where it happened* isn't told. Somewhere between two looks rows came or went, in the midst of changes that are yet
//! to be read. A row that is changed first and then switched away must not be taken for one that is there. So the table
//! is read again, and its changes count only from a place that the switch can't lie behind: the end of the log, taken
//! after the look that showed the numbers. What was changed up to there must be in what is read. A commit may be in the
//! log before anybody sees it, so reading begins once everything up to there has been captured. The same goes for a table
//! that is begun for the first time, as nobody knows what its partitions were before. A switch behind the look shows at
//! the next one.
//!
//! Sum and place are kept in the table's [`Origin`](super::origin::Origin), so a restart notices what was switched
//! meanwhile.

use std::fmt;
use std::str::FromStr;

/// The weighted sum of the numbers of a table's partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PartitionMark(i128);

/// Gives each table's mark as text, by `object_id`: of the heap or the clustered index, which have every row. Fifteen
/// thousand partitions, the most there can be, give a sum of 38 digits at most.
pub(crate) const MARKS: &str = "SELECT object_id, CAST(SUM((CAST(partition_id AS decimal(38, 0)) + hobt_id) * \
                                (CAST(partition_number AS decimal(38, 0)) * partition_number * partition_number * 10007 \
                                + 1)) AS varchar(40)) AS mark FROM sys.partitions WHERE index_id IN (0, 1) GROUP BY \
                                object_id";

impl fmt::Display for PartitionMark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for PartitionMark {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
