//! How far the log goes, and how far of it has been captured.
//!
//! Change data capture is done by a job that scans the log, some seconds behind the transactions. So the largest LSN
//! that the change tables know of says nothing about a row that a query just read: the transaction that wrote it may
//! not have been scanned. Two facts bring reads and the stream together.
//!
//! **The end of the log** ([`log_end`]) is the LSN of its newest record. A transaction's locks are released, and its
//! versions become visible, only after its commit record is in the log (delayed durability, with which it isn't so,
//! doesn't go with change data capture; `check` refuses it). So whatever a query under READ COMMITTED has
//! seen was committed at or before the end of the log taken *after* the query: that is the `high` of a chunk, and the
//! head. A chunk needs no isolation beyond that. Each of its rows was committed when it was read, after the read was
//! asked for; a row that was missed, or met twice, because its key moved meanwhile was changed meanwhile, so the
//! stream delivers that change before it reaches `high`, and the stream's word on a row is the later one. Snapshot
//! isolation isn't needed, nor does it matter whether the database has row versions.
//!
//! **What has been scanned** ([`Fence::scanned`]) is, in a busy database, the largest LSN of `cdc.lsn_time_mapping`:
//! scans write it in commit order and, of each cycle, in one transaction with the rows. In an idle database that LSN stands still
//! below the end of the log, so the view of scan sessions has to tell: if a scan *began* after the end of the log was
//! taken and came back with nothing, nothing is left up to there. The view doesn't say when an empty scan began; it
//! counts those that follow one another in one row, be it their own or that of the last scan that wasn't empty. But scans
//! don't overlap: of two that ended after the end of the log was taken, the second began after the first ended, hence
//! after it was taken.
//!
//! In an availability group that doesn't hold: the capture job passes by what secondaries haven't hardened yet, so that a
//! scan can be empty though a commit awaits it. There only the mapping counts, in which an idle database has an entry every
//! few minutes.

use std::cmp::Ordering;

use millstream_core::selection::Selection;
use tiberius::Row;

use crate::connect::Connection;
use crate::discover::Which;
use crate::error::{QueryError, number};
use crate::field::{bigint, int, lsn, text};
use crate::position::{Lsn, Mark};

/// How far the log has been scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Everything committed at or before this is in the change tables.
    pub(crate) lsn: Lsn,
    /// The last entry of the mapping.
    pub(crate) mark: Option<Mark>,
}

/// What one stream knows of scans.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    /// The end of the log as it was a while ago, and the scans that had ended by then.
    waiting: Option<(Lsn, Scans)>,
    /// The furthest that empty scans have been seen to cover.
    covered: Lsn,
    /// The scans as they were seen last; `None` without capture.
    seen: Option<Scans>,
    /// Where the log ended when that was looked at.
    end: Lsn,
}

/// How many scans there have been, as far as the view tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scans {
    session: i32,
    empty: i32,
}

impl Scans {
    /// How many empty scans ended between two looks, at least; `None` if the view has been reset. The numbers of rows
    /// tell nothing: scans that share a row, or that failed, may have used some up.
    fn empty_since(self, earlier: Scans) -> Option<i32> {
        match self.session.cmp(&earlier.session) {
            Ordering::Greater => Some(self.empty),
            Ordering::Equal => self.empty.checked_sub(earlier.empty).filter(|scans| *scans >= 0),
            Ordering::Less => None,
        }
    }
}

impl Fence {
    /// How far the log has been scanned now; `None` before the first scan. Called before each reading of change
    /// tables, again and again: what idle databases have covered is found out over several calls.
    pub(crate) async fn scanned(&mut self, connection: &mut Connection) -> Result<Option<Scanned>, QueryError> {
        let Look { end, scans, mapped, is_captured, is_replicated } = Look::take(connection).await?;
        self.seen = is_captured.then(|| scans.unwrap_or_default());
        self.end = end;
        if !is_captured {
            // Nothing will ever be scanned, and of nothing that is all: places go on, so that nobody waits for ever.
            self.covered = self.covered.max(end);
            return Ok(Some(Scanned { lsn: self.covered, mark: None }));
        }
        self.look(end, scans.filter(|_| !is_replicated));
        Ok(match mapped {
            Some(mapped) if mapped.lsn >= self.covered => Some(mapped),
            Some(mapped) => Some(Scanned { lsn: self.covered, ..mapped }),
            None => None,
        })
    }

    /// The scans as they were seen last; `None` without capture.
    pub(crate) fn seen(&self) -> Option<Scans> {
        self.seen
    }

    /// Where the log ended before the last call; zero before the first.
    pub(crate) fn end(&self) -> Lsn {
        self.end
    }

    fn look(&mut self, end: Lsn, scans: Option<Scans>) {
        let Some(scans) = scans else {
            self.waiting = None;
            return;
        };
        match self.waiting {
            Some((waiting_end, earlier)) => match scans.empty_since(earlier) {
                Some(ended) if ended >= 2 => {
                    self.covered = self.covered.max(waiting_end);
                    self.waiting = Some((end, scans));
                }
                Some(_) => {}
                None => self.waiting = Some((end, scans)),
            },
            None => self.waiting = Some((end, scans)),
        }
    }
}

/// Asks where the log ends.
pub(crate) const LOG_END: &str = "SELECT log_end_lsn FROM sys.dm_db_log_stats(DB_ID())";

/// The end of the log: everything committed before the call has an LSN at or below it.
pub(crate) async fn log_end(connection: &mut Connection) -> Result<Lsn, QueryError> {
    const WHAT: &str = "ask for the end of the log";
    end_in(WHAT, connection.row(WHAT, LOG_END, &[]).await?.as_ref())
}

/// What the answer says.
pub(crate) fn end_in(what: &str, row: Option<&Row>) -> Result<Lsn, QueryError> {
    let text = row.map(|row| text(row, 0)).unwrap_or_default();
    text.trim().parse().map_err(|error| {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        QueryError::new(what, error.into())
    })
}

/// One look at the log, in one round trip.
struct Look {
    end: Lsn,
    /// The scans that have ended, of which there may be none.
    scans: Option<Scans>,
    /// The largest LSN in the mapping; `None` if that is empty.
    mapped: Option<Scanned>,
    /// Whether change data capture is on for the database.
    is_captured: bool,
    /// Whether the database belongs to an availability group.
    is_replicated: bool,
}

impl Look {
    /// The order of the questions matters: scans are counted that ended after the end of the log was taken, and what
    /// they have written must be in the mapping.
    async fn take(connection: &mut Connection) -> Result<Self, QueryError> {
        const WHAT: &str = "look at the log and how far it has been captured";
        let scans = "SELECT TOP (1) session_id, empty_scan_count FROM sys.dm_cdc_log_scan_sessions \
                     WHERE session_id > 0 AND scan_phase = N'Done' ORDER BY session_id DESC";
        let mapping = "SELECT TOP (1) start_lsn, DATEDIFF_BIG(millisecond, '19700101', tran_end_time) \
                       FROM cdc.lsn_time_mapping ORDER BY start_lsn DESC";
        let group = "SELECT TOP (1) 1 FROM sys.databases WHERE name = DB_NAME() AND group_database_id IS NOT NULL";
        let asked = connection.rows(WHAT, &format!("{LOG_END}; {scans}; {mapping}; {group}"), &[]).await;
        let rows = match asked {
            // Not captured.
            Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => {
                let end = log_end(connection).await?;
                return Ok(Self { end, scans: None, mapped: None, is_captured: false, is_replicated: false });
            }
            rows => rows?,
        };
        let of = |index: usize| rows.iter().find(|row| row.result_index() == index);
        let number = |row: &Row, place| int(row, place).unwrap_or_default();
        let scans = of(1).map(|row| Scans { session: number(row, 0), empty: number(row, 1) });
        Ok(Self {
            end: end_in(WHAT, of(0))?,
            scans,
            mapped: of(2).and_then(mapped),
            is_captured: true,
            is_replicated: of(3).is_some(),
        })
    }
}

fn mapped(row: &Row) -> Option<Scanned> {
    let lsn = lsn(row, 0)?;
    let at_ms = bigint(row, 1);
    Some(Scanned { lsn, mark: at_ms.map(|at_ms| Mark { lsn, at_ms }) })
}

/// Whether a selected table has a capture instance that has no rows yet up to this place, since the capture process
/// hasn't noticed it.
pub(crate) async fn has_unnoticed(
    connection: &mut Connection,
    selection: &Selection,
    upto: Lsn,
) -> Result<bool, QueryError> {
    let query = format!(
        "SELECT TOP (1) 1 FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         JOIN cdc.change_tables AS c ON c.source_object_id = t.object_id \
         WHERE {} AND (c.start_lsn IS NULL OR c.start_lsn > {})",
        Which::Selection(selection).condition(),
        upto.literal()
    );
    match connection.row("look for capture instances that aren't ready", &query, &[]).await {
        Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => Ok(false),
        row => Ok(row?.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsn(block: u32) -> Lsn {
        Lsn::new(1, block, 1)
    }

    /// How far each of some looks shows that the log has been scanned, as the number of an earlier look; 0 for none.
    /// The log ends further on at each. A look is the number of the newest row of scans, and the empty ones that it counts.
    fn covered(looks: &[(i32, i32)]) -> Vec<u32> {
        let mut fence = Fence::default();
        let mut shown = Vec::new();
        for (end, (session, empty)) in (1..).zip(looks) {
            fence.look(lsn(end), Some(Scans { session: *session, empty: *empty }));
            shown.push((0..=end).find(|end| fence.covered == Lsn::ZERO || fence.covered == lsn(*end)).unwrap());
        }
        shown
    }

    #[test]
    fn an_end_of_the_log_is_covered_by_the_second_empty_scan_after_it() {
        // The first that ends may have begun before.
        assert_eq!(covered(&[(5, 3), (5, 4), (5, 5), (5, 7)]), [0, 0, 1, 3]);
    }

    #[test]
    fn a_scan_that_found_something_may_have_left_something() {
        // Whether the row counts that scan isn't known.
        assert_eq!(covered(&[(5, 0), (8, 0), (8, 1), (8, 2)]), [0, 0, 0, 1]);
    }

    /// It was taken for two, of which one had begun after the log's end was looked at. So what had been committed between
    /// the scan's beginning and the look was passed by, though it hadn't been captured.
    #[test]
    fn an_empty_scan_with_a_row_of_its_own_is_one_scan() {
        assert_eq!(covered(&[(8, 0), (9, 1), (9, 2)]), [0, 0, 1]);
    }

    #[test]
    fn where_a_look_counts_for_nothing_nothing_is_covered() {
        let mut fence = Fence::default();
        let empty = |empty| Some(Scans { session: 5, empty });
        fence.look(lsn(1), empty(3));
        // The database has joined an availability group.
        fence.look(lsn(2), None);
        fence.look(lsn(3), empty(9));
        assert_eq!(fence.covered, Lsn::ZERO);
        fence.look(lsn(4), empty(11));
        assert_eq!(fence.covered, lsn(3));
    }

    #[test]
    fn numbers_that_are_left_out_count_for_nothing() {
        // They may be those of scans that failed, or of empty ones before the look.
        assert_eq!(covered(&[(5, 3), (9, 1), (9, 2)]), [0, 0, 1]);
    }

    #[test]
    fn a_view_that_was_reset_tells_nothing_of_before() {
        assert_eq!(covered(&[(50, 3), (1, 2), (1, 3), (1, 4)]), [0, 0, 0, 2]);
    }
}
