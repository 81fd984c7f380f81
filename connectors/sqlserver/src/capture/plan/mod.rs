//! Which capture instance serves which stretch of the log, and what happens to the table between.
//!
//! A plan covers the commits above one place and up to another, both of which the capture process has passed. Everything
//! it is made from was read from the catalog after the upper place was known, so it contains every statement in the
//! stretch. It is made anew for each stretch; a table's standing at the end of one is the beginning of the next.
//!
//! *The hand-over.* An instance's change table has every change committed at or above its start, and nothing says more
//! than that: the server's cleanup raises a start once it has removed rows below, so a start is a bound of completeness
//! whenever it is read. Up to the start of the newer instance the older one is read, from there on the newer. That the
//! table has gone over is stored with its schema ([`Origin`](super::origin::Origin)) and never concluded from starts.
//!
//! *The gap.* A column that a statement added is captured by the newer instance only, from its start on. Rows changed
//! between the two have values that no change row shows, and updates of nothing but the new column leave no change row
//! at all. So at the hand-over the table is read again. Up to there, one of two things ([`Gaps`]): where Millstream
//! makes the instance itself it takes seconds, and the table is held; where an administrator does it may take days or
//! for ever, and the table's shape stays what its instance captures, without the column.
//!
//! *Retyped columns.* The capture process alters the change table when it comes to the statement, and with it all rows
//! that are there already, those before the statement too. What is read after that has the new type, so the change is
//! told before the first row that is left to read, earlier than the statement's own place.

mod planner;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use millstream_core::schema::TableSchema;
use millstream_core::schema_change::SchemaChangeKind;

use super::instance::Instance;
use super::origin::Origin;
use super::shape::shape;
use super::table::{CapturedTable, preferred};
use crate::config::CaptureInstances;
use crate::position::Lsn;
use planner::Planner;

/// A stretch of the log, as it is being planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// Everything up to here has been handed over.
    pub(crate) after: Lsn,
    /// The upper place.
    pub(crate) upto: Lsn,
    /// Where the log ended behind the look at the catalog.
    pub(crate) end: Lsn,
}

/// How a followed table stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Following {
    /// Where its rows come from.
    pub(crate) origin: Origin,
    /// The shape of rows.
    pub(crate) schema: Arc<TableSchema>,
}

/// One step of a plan; steps come in the order of the log.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Something happens to the table, before every commit at or above this place.
    Change(Change),
    /// Rows of commits from one place to another, both included.
    Read(Stretch),
}

/// Rows of one change table.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    /// Which change table, by its object id.
    pub(crate) change_table: i32,
    /// The name of its instance.
    pub(crate) instance: String,
    /// The first commit.
    pub(crate) from: Lsn,
    /// The last.
    pub(crate) upto: Lsn,
    /// The shape of its rows.
    pub(crate) schema: Arc<TableSchema>,
    /// Whether its rows say which of their transaction's commands they belong to.
    pub(crate) tells_commands: bool,
    /// The newest statement about the instance when its shape was read. A later one may have changed the shape.
    pub(crate) last_statement: Option<Lsn>,
}

/// Something that happens to the table.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Before every commit at or above this.
    pub(crate) at: Lsn,
    /// What.
    pub(crate) kind: SchemaChangeKind,
    /// The statement that did it.
    pub(crate) statement: Option<String>,
    /// When, in milliseconds since 1970 (UTC); 0 where that isn't known.
    pub(crate) at_ms: i64,
    /// How the table stands behind it; `None` if it can't be followed.
    pub(crate) then: Option<Following>,
}

/// What becomes of a table between a statement that adds a column and the instance that captures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// It is held.
    Hold,
    /// It goes on without the column.
    LeaveOut,
}

impl Gaps {
    /// By who makes the instances that end them.
    pub(crate) fn of(capture_instances: CaptureInstances) -> Self {
        match capture_instances {
            CaptureInstances::Auto => Gaps::Hold,
            CaptureInstances::Manual => Gaps::LeaveOut,
        }
    }
}

/// What is to be done for one table.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Steps, and how the table stands after them; `None` if it is held then.
    Follow(Vec<Step>, Option<Following>),
    /// No instance of the table is there, or none is ready: nothing can be read until one is.
    Uncaptured,
    /// The server's cleanup is ahead of the upper place: what is left can only be read with a higher one.
    Overtaken,
}

/// Plans the commits above `after` and up to `upto`. `table` was read after `upto` was known.
pub(crate) fn plan(table: &CapturedTable, following: &Following, gaps: Gaps, after: Lsn, upto: Lsn) -> Plan {
    let from = after.next();
    let ready = ready(table, gaps, upto);
    let in_use = table.instances.iter().find(|instance| instance.change_table == following.origin.change_table);
    let planner = Planner::new(table, following.clone(), gaps, from);
    // Another instance that reaches back as far as needed has lost nothing.
    let complete = preferred(ready.iter().copied().filter(|instance| instance.reaches_back_to(from)));
    match (in_use, complete) {
        (Some(instance), _) if instance.reaches_back_to(from) => planner.go_on(instance, &ready, upto),
        (_, Some(instance)) => planner.go_over_first(instance, None, &ready, upto),
        (Some(instance), None) if instance.reaches_back_to(upto) => {
            let cause = "the server's cleanup removed changes before they were read";
            planner.go_over_first(preferred(ready.iter().copied()).unwrap_or(instance), Some(cause), &ready, upto)
        }
        (Some(instance), None) if instance.start.is_some() => Plan::Overtaken,
        (_, None) => match preferred(ready.iter().copied()) {
            Some(instance) => {
                let cause = "a capture instance was dropped before its changes were read";
                planner.go_over_first(instance, Some(cause), &ready, upto)
            }
            None => Plan::Uncaptured,
        },
    }
}

/// Plans the first stretch of a table whose rows are going to be read when the log has come to `end`: what was captured
/// before is of no use. `kind` says what the table's appearance is, by its shape.
pub(crate) fn begin(
    table: &CapturedTable,
    gaps: Gaps,
    Reach { after, upto, end }: Reach,
    kind: impl FnOnce(Arc<TableSchema>) -> SchemaChangeKind,
) -> Plan {
    let ready = ready(table, gaps, upto);
    let Some(instance) = preferred(ready.iter().copied()) else { return Plan::Uncaptured };
    // One is made that knows the table as it is now.
    if gaps == Gaps::Hold && table.has_outgrown(instance) {
        return Plan::Uncaptured;
    }
    let from = after.next();
    let first = instance.start.unwrap_or(from).max(from);
    let origin = Origin {
        object: table.object,
        made_ms: table.made_ms,
        change_table: instance.change_table,
        partitions: table.partitions,
        since: end,
    };
    let schema = shape(&table.name, origin, instance, first.previous());
    let following = Following { origin, schema: Arc::clone(&schema) };
    let planner = Planner::new(table, following, gaps, from);
    planner.begin_with(kind(schema), first).read_to_the_end(instance, &ready, upto)
}

/// An instance whose start lies above the stretch has no rows in it. One that overlooked a column is made anew.
fn ready(table: &CapturedTable, gaps: Gaps, upto: Lsn) -> Vec<&Instance> {
    let is_to_stay = |instance: &&Instance| gaps == Gaps::LeaveOut || table.overlooked_by(instance).is_empty();
    table.instances.iter().filter(|instance| instance.reaches_back_to(upto)).filter(is_to_stay).collect()
}

fn oldest<'a>(instances: impl Iterator<Item = &'a Instance>) -> Option<&'a Instance> {
    instances.reduce(|best, next| if best.is_newer_than(next) { next } else { best })
}
