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

use std::sync::Arc;

use millstream_core::schema::{Column, TableSchema};
use millstream_core::schema_change::{Effect, SchemaChangeKind, effect};

use super::ddl::{Action, same_name};
use super::instance::{Instance, Statement};
use super::shape::{assemble, shape, values_kept};
use super::table::CapturedTable;
use crate::config::CaptureInstances;
use crate::position::Lsn;

/// How a followed table stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Following {
    /// The table's object id.
    pub(crate) object: i32,
    /// The change table in use.
    pub(crate) change_table: i32,
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
    let ready = ready(&table.instances, upto);
    let in_use = table.instances.iter().find(|instance| instance.change_table == following.change_table);
    let planner = Planner { table, following: following.clone(), gaps, in_gap: false, steps: Vec::new(), from };
    // Another instance that reaches back as far as needed has lost nothing.
    let complete = newest(ready.iter().copied().filter(|instance| instance.reaches_back_to(from)));
    match (in_use, complete) {
        (Some(instance), _) if instance.reaches_back_to(from) => planner.go_on(instance, &ready, upto),
        (_, Some(instance)) => planner.go_over_first(instance, None, &ready, upto),
        (Some(instance), None) if instance.reaches_back_to(upto) => {
            let cause = "the server's cleanup removed changes before they were read";
            planner.go_over_first(newest(ready.iter().copied()).unwrap_or(instance), Some(cause), &ready, upto)
        }
        (Some(instance), None) if instance.start.is_some() => Plan::Overtaken,
        (_, None) => match newest(ready.iter().copied()) {
            Some(instance) => {
                let cause = "a capture instance was dropped before its changes were read";
                planner.go_over_first(instance, Some(cause), &ready, upto)
            }
            None => Plan::Uncaptured,
        },
    }
}

/// Plans the first stretch of a table whose rows are going to be read anyway: what was captured before is of no use.
/// `kind` says what the table's appearance is, by its shape.
pub(crate) fn begin(
    table: &CapturedTable,
    gaps: Gaps,
    after: Lsn,
    upto: Lsn,
    kind: impl FnOnce(Arc<TableSchema>) -> SchemaChangeKind,
) -> Plan {
    let ready = ready(&table.instances, upto);
    let Some(instance) = newest(ready.iter().copied()) else { return Plan::Uncaptured };
    if gaps == Gaps::Hold && !table.added_since(instance).is_empty() {
        return Plan::Uncaptured;
    }
    let from = after.next();
    let first = instance.start.unwrap_or(from).max(from);
    let schema = shape(&table.name, table.object, instance, first.previous());
    let following =
        Following { object: table.object, change_table: instance.change_table, schema: Arc::clone(&schema) };
    let mut planner = Planner { table, following, gaps, in_gap: false, steps: Vec::new(), from };
    planner.change(from, kind(schema), None);
    planner.from = first;
    planner.read_to_the_end(instance, &ready, upto)
}

/// An instance whose start lies above the stretch has no rows in it.
fn ready(instances: &[Instance], upto: Lsn) -> Vec<&Instance> {
    instances.iter().filter(|instance| instance.reaches_back_to(upto)).collect()
}

fn newest<'a>(instances: impl Iterator<Item = &'a Instance>) -> Option<&'a Instance> {
    instances.reduce(|best, next| if next.is_newer_than(best) { next } else { best })
}

fn oldest<'a>(instances: impl Iterator<Item = &'a Instance>) -> Option<&'a Instance> {
    instances.reduce(|best, next| if best.is_newer_than(next) { next } else { best })
}

struct Planner<'a> {
    table: &'a CapturedTable,
    following: Following,
    gaps: Gaps,
    /// Whether the table is held until another instance takes over.
    in_gap: bool,
    steps: Vec<Step>,
    /// The first commit that no step covers yet.
    from: Lsn,
}

impl Planner<'_> {
    /// The instance in use has everything that is left to read.
    fn go_on(mut self, instance: &Instance, ready: &[&Instance], upto: Lsn) -> Plan {
        self.refresh_types(instance, upto);
        self.read_to_the_end(instance, ready, upto)
    }

    /// The instance in use is gone, or its rows are: another takes its place before anything else. `lost` says why
    /// changes are lost, if they are.
    fn go_over_first(mut self, instance: &Instance, lost: Option<&str>, ready: &[&Instance], upto: Lsn) -> Plan {
        let from = self.from;
        // What follows is read from where the instance begins; its shape there is the one to go on with.
        let first = instance.start.unwrap_or(from).max(from);
        self.go_over(instance, from, first, lost);
        self.read_to_the_end(instance, ready, upto)
    }

    /// Reads one instance and those that take over from it. The order is by age and not by start, as cleanup makes
    /// starts equal.
    fn read_to_the_end(mut self, instance: &Instance, ready: &[&Instance], upto: Lsn) -> Plan {
        let mut current = instance;
        // A table has two instances at most.
        while let Some(next) = oldest(ready.iter().copied().filter(|other| other.is_newer_than(current))) {
            let at = next.start.unwrap_or(upto).max(self.from);
            self.read_until(current, at.previous());
            self.go_over(next, at, at, None);
            current = next;
        }
        self.read_until(current, upto);
        Plan::Follow(self.steps, (!self.in_gap).then_some(self.following))
    }

    fn change(&mut self, at: Lsn, kind: SchemaChangeKind, statement: Option<&Statement>) {
        self.steps.push(Step::Change(Change {
            at,
            kind,
            statement: statement.map(|statement| statement.command.clone()),
            at_ms: statement.map_or(0, |statement| statement.at_ms),
            then: (!self.in_gap).then(|| self.following.clone()),
        }));
    }

    /// The table has another shape from here on. Says whether that makes it be read again.
    fn alter(&mut self, at: Lsn, schema: Arc<TableSchema>, statement: Option<&Statement>) -> Effect {
        let before = std::mem::replace(&mut self.following.schema, Arc::clone(&schema));
        let kind = SchemaChangeKind::Altered { values_kept: values_kept(&before, &schema), schema, rows_replaced: false };
        let effect = effect(Some(&before), &kind);
        self.change(at, kind, statement);
        effect
    }

    /// Rows changed unseen; no need to say so where the last change has the table read again anyway.
    fn rows_replaced(&mut self, at: Lsn, effect: Effect, cause: String, statement: Option<&Statement>) {
        if effect == Effect::Keep {
            self.change(at, SchemaChangeKind::RowsReplaced { cause }, statement);
        }
    }

    /// From `at` on the table is read through this instance, with the shape that it has at `first`. `lost` tells why
    /// changes between are lost, if they are.
    fn go_over(&mut self, instance: &Instance, at: Lsn, first: Lsn, lost: Option<&str>) {
        let schema = shape(&self.table.name, self.following.object, instance, first.previous());
        self.following.change_table = instance.change_table;
        self.from = self.from.max(first);
        if std::mem::take(&mut self.in_gap) {
            self.following.schema = Arc::clone(&schema);
            return self.change(at, SchemaChangeKind::Settled { schema }, None);
        }
        let gained: Vec<&Column> =
            schema.columns.iter().filter(|column| self.following.schema.column_index(&column.name).is_none()).collect();
        let gap = (!gained.is_empty()).then(|| {
            let names: Vec<&str> = gained.iter().map(|column| column.name.as_str()).collect();
            format!("changes before the capture of {} don't show its values", names.join(", "))
        });
        let effect = self.alter(at, Arc::clone(&schema), None);
        if let Some(cause) = lost.map(str::to_owned).or(gap) {
            self.rows_replaced(at, effect, cause, None);
        }
    }

    /// The change table's types differ from those that were known: they changed under the rows that are left to read.
    fn refresh_types(&mut self, instance: &Instance, upto: Lsn) {
        let before = Arc::clone(&self.following.schema);
        let is_retyped = |column: &Column| {
            let now = instance.columns.iter().find(|captured| captured.column.name == column.name);
            now.is_some_and(|now| !same_type(&now.column, column))
        };
        let retyped: Vec<&Column> = before.columns.iter().filter(|column| is_retyped(column)).collect();
        if retyped.is_empty() {
            return;
        }
        let statement = instance.statements_between(self.from.previous(), upto).find(|statement| {
            matches!(statement.action(), Action::AlterColumn(name)
                if retyped.iter().any(|column| same_name(&column.name, &name)))
        });
        let schema = self.with_types_of(instance, |column| is_retyped(column));
        self.alter(self.from, schema, statement);
    }

    /// The shape now, with the chosen columns as the instance has them.
    fn with_types_of(&self, instance: &Instance, chosen: impl Fn(&Column) -> bool) -> Arc<TableSchema> {
        let columns = self.following.schema.columns.iter().map(|column| {
            let now = instance.columns.iter().find(|captured| captured.column.name == column.name);
            match now.filter(|_| chosen(column)) {
                Some(now) => now.column.clone(),
                None => column.clone(),
            }
        });
        assemble(&self.table.name, self.following.object, instance, columns.collect())
    }

    /// Reads up to a place, with the statements on the way.
    fn read_until(&mut self, instance: &Instance, upto: Lsn) {
        for statement in instance.statements_between(self.from.previous(), upto) {
            self.stretch(instance, statement.at.previous());
            if self.in_gap {
                return;
            }
            self.statement(instance, statement);
        }
        self.stretch(instance, upto);
    }

    fn stretch(&mut self, instance: &Instance, upto: Lsn) {
        if upto < self.from || self.in_gap {
            return;
        }
        self.steps.push(Step::Read(Stretch {
            change_table: instance.change_table,
            instance: instance.name.clone(),
            from: self.from,
            upto,
            schema: Arc::clone(&self.following.schema),
            last_statement: instance.last_statement(),
        }));
        self.from = upto.next();
    }

    fn statement(&mut self, instance: &Instance, statement: &Statement) {
        let same = Arc::clone(&self.following.schema);
        let at = statement.at;
        match statement.action() {
            Action::DropColumns(gone) => {
                let stays = |column: &&Column| !gone.iter().any(|name| same_name(name, &column.name));
                let columns = same.columns.iter().filter(stays).cloned().collect();
                let schema = assemble(&self.table.name, self.following.object, instance, columns);
                self.alter(at, schema, Some(statement));
            }
            Action::AlterColumn(name) => {
                // Told already, if the type changed.
                let told = self.steps.iter().any(|step| {
                    matches!(step, Step::Change(change) if change.statement.as_ref() == Some(&statement.command))
                });
                if !told {
                    let schema = self.with_types_of(instance, |column| same_name(&column.name, &name));
                    self.alter(at, schema, Some(statement));
                }
            }
            Action::SwitchRows { .. } => {
                let cause = "a partition was switched, which capture doesn't show".to_owned();
                self.rows_replaced(at, Effect::Keep, cause, Some(statement));
            }
            Action::AddColumns(added) if self.gaps == Gaps::Hold && self.opens_gap(instance, &added) => {
                let kind = SchemaChangeKind::Unreadable {
                    reason: format!("capture instance {} doesn't capture {}", instance.name, added.join(", ")),
                    // An instance that does is made, and takes over in a moment.
                    remedy: None,
                };
                self.in_gap = true;
                self.change(at, kind, Some(statement));
            }
            Action::AddColumns(_) | Action::Nothing => {
                self.alter(at, same, Some(statement));
            }
            Action::Unclear => {
                let now = shape(&self.table.name, self.following.object, instance, at);
                let known = |column: &&Column| same.column_index(&column.name).is_some();
                let columns = now.columns.iter().filter(known).cloned().collect();
                let schema = assemble(&self.table.name, self.following.object, instance, columns);
                let effect = self.alter(at, schema, Some(statement));
                let cause = "a statement that can't be read may have changed rows".to_owned();
                self.rows_replaced(at, effect, cause, Some(statement));
            }
        }
    }
}

impl Planner<'_> {
    /// Whether a statement added a column that the instance would have to capture.
    fn opens_gap(&self, instance: &Instance, added: &[String]) -> bool {
        let mut columns = self.table.columns.iter().filter(|column| !column.computed);
        columns.any(|column| {
            added.iter().any(|name| same_name(name, &column.column.name)) && !instance.captures(column.column_id)
        })
    }
}

fn same_type(one: &Column, other: &Column) -> bool {
    one.source_type == other.source_type && one.collation == other.collation
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::TableName;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::capture::instance::CapturedColumn;
    use crate::capture::shape::tests::{captured, instance, lsn, names, statement};
    use crate::discover::LiveColumn;

    fn name() -> TableName {
        TableName::new("dbo", "t")
    }

    fn following(instance: &Instance) -> Following {
        let schema = shape(&name(), 5, instance, Lsn::ZERO);
        Following { object: 5, change_table: instance.change_table, schema }
    }

    /// The table now: all columns that any of its instances captures and that weren't dropped.
    fn table(instances: &[Instance]) -> CapturedTable {
        let mut columns: Vec<LiveColumn> = Vec::new();
        for captured in instances.iter().flat_map(|instance| &instance.columns).filter(|captured| captured.exists) {
            if columns.iter().all(|column| column.column_id != captured.column_id) {
                let CapturedColumn { column_id, column, .. } = captured.clone();
                columns.push(LiveColumn { column_id, column, computed: false, hidden: false });
            }
        }
        CapturedTable { object: 5, name: name(), columns, has_primary_key: true, instances: instances.to_vec() }
    }

    fn planned(following: &Following, instances: &[Instance], after: u32, upto: u32) -> (Vec<String>, Following) {
        match plan(&table(instances), following, Gaps::LeaveOut, lsn(after), lsn(upto)) {
            Plan::Follow(steps, following) => (steps.iter().map(shown).collect(), following.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    fn number(lsn: Lsn) -> String {
        // A place right above or below one that a test names.
        for (offset, sign) in [(0_u128, ""), (1, "+"), (u128::MAX, "-")] {
            let whole = lsn.number().wrapping_sub(offset);
            if whole & 0xffff == 0 {
                return format!("{}{sign}", (whole >> 16) & 0xffff_ffff);
            }
        }
        lsn.to_string()
    }

    fn shown(step: &Step) -> String {
        match step {
            Step::Read(stretch) => {
                let columns = names(&stretch.schema).join(",");
                format!("{}..{} of {}: {columns}", number(stretch.from), number(stretch.upto), stretch.change_table)
            }
            Step::Change(Change { at, kind, statement, .. }) => {
                let statement = statement.as_deref().map(|text| format!(" by {text}")).unwrap_or_default();
                format!("{} {}{statement}", number(*at), kind.word())
            }
        }
    }

    fn two_columns(change_table: i32, start: u32) -> Instance {
        instance(change_table, Some(lsn(start)), vec![captured(1, "id", "int"), captured(2, "a", "int")])
    }

    #[test]
    fn a_quiet_table_is_one_stretch() {
        let old = two_columns(7, 1);
        assert_eq!(planned(&following(&old), &[old], 100, 200).0, ["100+..200 of 7: id,a"]);
    }

    #[test]
    fn a_newer_instance_takes_over_at_its_start_and_the_gap_is_read_again() {
        let mut old = two_columns(7, 1);
        let before = following(&old);
        old.statements.push(statement(120, "ALTER TABLE t ADD b int"));
        let mut new = two_columns(8, 150);
        new.columns.push(captured(3, "b", "int"));
        let (steps, after) = planned(&before, &[old.clone(), new.clone()], 100, 200);
        assert_eq!(
            steps,
            [
                "100+..120- of 7: id,a",
                "120 altered by ALTER TABLE t ADD b int",
                "120..150- of 7: id,a",
                "150 altered",
                "150 rows replaced",
                "150..200 of 8: id,a,b",
            ]
        );
        assert_eq!(after.change_table, 8);
        // Gone over is gone over, whatever cleanup makes of the starts.
        for start in [150, 190] {
            (old.start, new.start) = (Some(lsn(start)), Some(lsn(start)));
            assert_eq!(planned(&after, &[old.clone(), new.clone()], 200, 300).0, ["200+..300 of 8: id,a,b"]);
        }
    }

    #[test]
    fn a_gap_that_ends_soon_is_held() {
        let mut old = two_columns(7, 1);
        let before = following(&old);
        old.statements.push(statement(120, "ALTER TABLE t ADD b int"));
        let mut new = two_columns(8, 150);
        new.columns.push(captured(3, "b", "int"));
        let mut now = table(&[old.clone(), new.clone()]);
        let shown_plan = |now: &CapturedTable, upto| match plan(now, &before, Gaps::Hold, lsn(100), lsn(upto)) {
            Plan::Follow(steps, end) => (steps.iter().map(shown).collect::<Vec<_>>(), end.is_some()),
            other => panic!("{other:?}"),
        };
        let held = ["100+..120- of 7: id,a", "120 unreadable by ALTER TABLE t ADD b int"];
        let settled = ["150 settled", "150..200 of 8: id,a,b"];
        assert_eq!(shown_plan(&now, 149), (held.map(str::to_owned).to_vec(), false));
        assert_eq!(shown_plan(&now, 200), ([held, settled].concat().into_iter().map(str::to_owned).collect(), true));
        // Until the new instance is there, the old one doesn't do.
        now.instances.retain(|instance| instance.change_table == 7);
        let settled = |schema| SchemaChangeKind::Settled { schema };
        assert!(matches!(begin(&now, Gaps::Hold, lsn(149), lsn(200), settled), Plan::Uncaptured));
        assert!(matches!(begin(&now, Gaps::LeaveOut, lsn(149), lsn(200), settled), Plan::Follow(..)));
        // A computed column is never captured, so nothing is missed.
        now.columns.last_mut().unwrap().computed = true;
        assert!(shown_plan(&now, 200).1);
    }

    #[test]
    fn equal_starts_are_told_apart_by_age() {
        let old = two_columns(7, 50);
        let mut new = two_columns(8, 50);
        new.columns.push(captured(3, "b", "int"));
        let steps = planned(&following(&old), &[new, old], 100, 200).0;
        assert_eq!(steps, ["100+ altered", "100+ rows replaced", "100+..200 of 8: id,a,b"]);
    }

    #[test]
    fn an_instance_that_isn_t_ready_waits() {
        let old = two_columns(7, 1);
        let mut new = two_columns(8, 1);
        for start in [None, Some(lsn(201))] {
            new.start = start;
            assert_eq!(planned(&following(&old), &[old.clone(), new.clone()], 100, 200).0, ["100+..200 of 7: id,a"]);
        }
    }

    #[test]
    fn a_default_makes_the_altered_shape_be_read_again_once() {
        let old = two_columns(7, 1);
        let mut new = two_columns(8, 150);
        let mut column = captured(3, "b", "int");
        column.column.default = Some("5".into());
        new.columns.push(column);
        assert_eq!(
            planned(&following(&old), &[old, new], 149, 200).0,
            ["149+..150- of 7: id,a", "150 altered", "150..200 of 8: id,a,b"]
        );
    }

    #[test]
    fn a_dropped_column_ends_at_its_statement() {
        let mut old = two_columns(7, 1);
        let before = following(&old);
        old.columns[1].exists = false;
        old.statements.push(statement(120, "ALTER TABLE t DROP COLUMN a"));
        assert_eq!(
            planned(&before, &[old.clone()], 100, 200).0,
            ["100+..120- of 7: id,a", "120 altered by ALTER TABLE t DROP COLUMN a", "120..200 of 7: id"]
        );
        // Ahead of the reader it isn't true yet.
        assert_eq!(planned(&before, &[old], 100, 119).0, ["100+..119 of 7: id,a"]);
    }

    #[test]
    fn a_retyped_column_is_told_before_the_rows_that_are_left() {
        let mut old = two_columns(7, 1);
        let before = following(&old);
        old.columns[1].column.source_type = "bigint".into();
        old.statements.push(statement(120, "ALTER TABLE t ALTER COLUMN a bigint"));
        let (steps, after) = planned(&before, &[old.clone()], 100, 200);
        assert_eq!(
            steps,
            ["100+ altered by ALTER TABLE t ALTER COLUMN a bigint", "100+..120- of 7: id,a", "120..200 of 7: id,a",]
        );
        assert_eq!(after.schema.columns[1].source_type, "bigint");
        // The capture process came to the statement after the upper place was asked for.
        let (steps, after) = planned(&before, &[old.clone()], 100, 110);
        assert_eq!(steps, ["100+ altered", "100+..110 of 7: id,a"]);
        let steps = planned(&after, &[old], 110, 200).0;
        assert_eq!(
            steps,
            ["110+..120- of 7: id,a", "120 altered by ALTER TABLE t ALTER COLUMN a bigint", "120..200 of 7: id,a"]
        );
    }

    #[test]
    fn cleanup_that_overtakes_the_reader_costs_one_reading() {
        let mut old = two_columns(7, 1);
        let before = following(&old);
        old.start = Some(lsn(150));
        assert_eq!(
            planned(&before, &[old.clone()], 100, 200).0,
            ["100+ altered", "100+ rows replaced", "150..200 of 7: id,a"]
        );
        // A start right behind the place reached has lost nothing.
        old.start = Some(lsn(100).next());
        assert_eq!(planned(&before, &[old.clone()], 100, 200).0, ["100+..200 of 7: id,a"]);
        // Beyond the stretch nothing can be said before a higher place is asked for.
        old.start = Some(lsn(300));
        assert!(matches!(plan(&table(&[old]), &before, Gaps::LeaveOut, lsn(100), lsn(200)), Plan::Overtaken));
    }

    #[test]
    fn an_instance_dropped_before_it_was_read_is_lost_only_without_a_complete_one() {
        let old = two_columns(7, 1);
        let before = following(&old);
        assert_eq!(planned(&before, &[two_columns(8, 90)], 100, 200).0, ["100+ altered", "100+..200 of 8: id,a"]);
        assert_eq!(
            planned(&before, &[two_columns(8, 150)], 100, 200).0,
            ["100+ altered", "100+ rows replaced", "150..200 of 8: id,a"]
        );
        assert!(matches!(plan(&table(&[]), &before, Gaps::LeaveOut, lsn(100), lsn(200)), Plan::Uncaptured));
    }

    #[test]
    fn a_new_table_begins_where_its_instance_does() {
        let mut new = two_columns(8, 150);
        new.statements.push(statement(160, "ALTER TABLE t DROP COLUMN a"));
        let created = |schema| SchemaChangeKind::Created { schema, empty: false };
        let Plan::Follow(steps, _) = begin(&table(&[new.clone()]), Gaps::Hold, lsn(100), lsn(200), created) else {
            panic!()
        };
        assert_eq!(
            steps.iter().map(shown).collect::<Vec<_>>(),
            ["100+ created", "150..160- of 8: id,a", "160 altered by ALTER TABLE t DROP COLUMN a", "160..200 of 8: id",]
        );
        assert!(matches!(begin(&table(&[new]), Gaps::Hold, lsn(100), lsn(149), created), Plan::Uncaptured));
    }

    /// Any instances, statements and places: the stretches of a plan follow one another and leave nothing out that
    /// isn't read again; each lies within its instance; and planning in two parts ends as planning at once.
    #[test]
    fn plans_cover_everything() {
        let seed =
            std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        for round in 0..2_000 {
            let context = format!("MILLSTREAM_SEED={seed}, round {round}");
            let old = two_columns(7, random.random_range(1..=140));
            let before = following(&old);
            let mut instances = vec![old];
            if random.random_bool(0.7) {
                instances.push(two_columns(8, random.random_range(1..=220)));
                instances[1].columns.push(captured(3, "b", "int"));
            }
            if random.random_bool(0.2) {
                instances.remove(0);
            }
            for _ in 0..random.random_range(0..4) {
                let text =
                    ["ALTER TABLE t ADD b int", "ALTER TABLE t DROP COLUMN a", "ALTER TABLE t ADD CHECK (1 = 1)"]
                        [random.random_range(0..3)];
                let at = random.random_range(90..=210);
                for instance in &mut instances {
                    instance.statements.push(statement(at, text));
                    instance.statements.sort_by_key(|statement| statement.at);
                    instance.columns[1].exists &= !text.contains("DROP");
                }
            }
            let gaps = if random.random_bool(0.5) { Gaps::Hold } else { Gaps::LeaveOut };
            let table = table(&instances);
            let Plan::Follow(steps, end) = plan(&table, &before, gaps, lsn(100), lsn(200)) else { continue };
            let mut next = lsn(100).next();
            let (mut read_again, mut held) = (false, false);
            let mut shape = Arc::clone(&before.schema);
            let mut place = next;
            for step in &steps {
                match step {
                    Step::Change(change) => {
                        assert!(change.at >= place, "{context}: {steps:?}");
                        place = change.at;
                        held = change.then.is_none();
                        read_again |= held || effect(Some(&shape), &change.kind) == Effect::Reconcile;
                        if let Some(then) = &change.then {
                            shape = Arc::clone(&then.schema);
                        }
                    }
                    Step::Read(stretch) => {
                        let instance =
                            instances.iter().find(|instance| instance.change_table == stretch.change_table).unwrap();
                        assert!(instance.start.unwrap() <= stretch.from, "{context}: {steps:?}");
                        assert!(!held, "{context}: {steps:?}");
                        assert!(stretch.from == next || (stretch.from > next && read_again), "{context}: {steps:?}");
                        assert!(stretch.upto >= stretch.from && stretch.from >= place, "{context}: {steps:?}");
                        let of_instance = |column: &Column| {
                            instance.columns.iter().any(|captured| captured.column.name == column.name)
                        };
                        assert!(stretch.schema.columns.iter().all(of_instance), "{context}: {steps:?}");
                        (place, next) = (stretch.upto, stretch.upto.next());
                    }
                }
            }
            assert_eq!(held, end.is_none(), "{context}: {steps:?}");
            assert!(held || next == lsn(200).next(), "{context}: {steps:?}");
            let middle = lsn(random.random_range(100..200));
            let Plan::Follow(_, half) = plan(&table, &before, gaps, lsn(100), middle) else { continue };
            let Some(half) = half else { continue };
            let Plan::Follow(_, whole) = plan(&table, &half, gaps, middle, lsn(200)) else { continue };
            assert_eq!(whole, end, "{context}, divided at {middle}: {steps:?}");
        }
    }

    #[test]
    fn what_isn_t_understood_is_read_again() {
        let mut old = two_columns(7, 1);
        let before = following(&old);
        old.statements.push(statement(120, "EXEC something"));
        old.statements.push(statement(130, "ALTER TABLE t SWITCH PARTITION 1 TO u"));
        old.statements.push(statement(140, "ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)"));
        let steps = planned(&before, &[old], 119, 150).0;
        assert_eq!(
            steps.iter().filter(|step| !step.contains(" of ")).collect::<Vec<_>>(),
            [
                "120 altered by EXEC something",
                "120 rows replaced by EXEC something",
                "130 rows replaced by ALTER TABLE t SWITCH PARTITION 1 TO u",
                "140 altered by ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)",
            ]
        );
    }
}
