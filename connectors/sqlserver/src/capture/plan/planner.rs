//! One table's steps, put together one after the other.

use std::sync::Arc;

use millstream_core::schema::{Column, TableSchema};
use millstream_core::schema_change::{Effect, SchemaChangeKind, effect};

use super::{Change, Following, Gaps, Plan, Step, Stretch, oldest};
use crate::capture::ddl::{Action, same_name};
use crate::capture::instance::{Instance, Statement};
use crate::capture::shape::{assemble, shape, values_kept};
use crate::capture::table::CapturedTable;
use crate::position::Lsn;

/// A plan on its way.
pub(super) struct Planner<'a> {
    table: &'a CapturedTable,
    following: Following,
    gaps: Gaps,
    /// Whether the table is held until another instance takes over.
    in_gap: bool,
    steps: Vec<Step>,
    /// The first commit that no step covers yet.
    from: Lsn,
}

impl<'a> Planner<'a> {
    pub(super) fn new(table: &'a CapturedTable, following: Following, gaps: Gaps, from: Lsn) -> Self {
        Self { table, following, gaps, in_gap: false, steps: Vec::new(), from }
    }

    /// The table appears, and what is read of it begins at `first`.
    pub(super) fn begin_with(mut self, kind: SchemaChangeKind, first: Lsn) -> Self {
        self.change(self.from, kind, None);
        self.from = first;
        self
    }

    /// The instance in use has everything that is left to read.
    pub(super) fn go_on(mut self, instance: &Instance, ready: &[&Instance], upto: Lsn) -> Plan {
        self.refresh_types(instance, upto);
        self.read_to_the_end(instance, ready, upto)
    }

    /// The instance in use is gone, or its rows are: another takes its place before anything else. `lost` says why
    /// changes are lost, if they are.
    pub(super) fn go_over_first(
        mut self,
        instance: &Instance,
        lost: Option<&str>,
        ready: &[&Instance],
        upto: Lsn,
    ) -> Plan {
        let from = self.from;
        // What follows is read from where the instance begins; its shape there is the one to go on with.
        let first = instance.start.unwrap_or(from).max(from);
        self.go_over(instance, from, first, lost);
        self.read_to_the_end(instance, ready, upto)
    }

    /// Reads one instance and those that take over from it. The order is by age and not by start, as cleanup makes
    /// starts equal.
    pub(super) fn read_to_the_end(mut self, instance: &Instance, ready: &[&Instance], upto: Lsn) -> Plan {
        let mut current = instance;
        // A table has two instances at most.
        while let Some(next) = oldest(ready.iter().copied().filter(|other| other.supersedes(current))) {
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
        let kind =
            SchemaChangeKind::Altered { values_kept: values_kept(&before, &schema), schema, rows_replaced: false };
        let effect = effect(Some(&before), &kind);
        self.change(at, kind, statement);
        effect
    }

    /// Rows changed unseen; no need to say so where the last change has the table read again anyway, or where it is being
    /// read with all that was changed up to there.
    fn rows_replaced(&mut self, at: Lsn, effect: Effect, cause: String, statement: Option<&Statement>) {
        if effect == Effect::Keep && at > self.following.origin.since {
            self.change(at, SchemaChangeKind::RowsReplaced { cause }, statement);
        }
    }

    /// From `at` on the table is read through this instance, with the shape that it has at `first`. `lost` tells why
    /// changes between are lost, if they are.
    fn go_over(&mut self, instance: &Instance, at: Lsn, first: Lsn, lost: Option<&str>) {
        self.following.origin.change_table = instance.change_table;
        let schema = shape(&self.table.name, self.following.origin, instance, first.previous());
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
        assemble(&self.table.name, self.following.origin, instance, columns.collect())
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
        let from = self.from.max(self.following.origin.since.next());
        if from <= upto {
            self.steps.push(Step::Read(Stretch {
                change_table: instance.change_table,
                instance: instance.name.clone(),
                from,
                upto,
                schema: Arc::clone(&self.following.schema),
                tells_commands: instance.tells_commands,
                last_statement: instance.last_statement(),
            }));
        }
        self.from = upto.next();
    }

    fn statement(&mut self, instance: &Instance, statement: &Statement) {
        let same = Arc::clone(&self.following.schema);
        let at = statement.at;
        match statement.action() {
            Action::DropColumns(gone) => {
                let stays = |column: &&Column| !gone.iter().any(|name| same_name(name, &column.name));
                let columns = same.columns.iter().filter(stays).cloned().collect();
                let schema = assemble(&self.table.name, self.following.origin, instance, columns);
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
                let now = shape(&self.table.name, self.following.origin, instance, at);
                let known = |column: &&Column| same.column_index(&column.name).is_some();
                let columns = now.columns.iter().filter(known).cloned().collect();
                let schema = assemble(&self.table.name, self.following.origin, instance, columns);
                let effect = self.alter(at, schema, Some(statement));
                let cause = "a statement that can't be read may have changed rows".to_owned();
                self.rows_replaced(at, effect, cause, Some(statement));
            }
        }
    }

    /// Whether a statement added a column that the instance would have to capture. One that was renamed since is somewhere
    /// among those that were added.
    fn opens_gap(&self, instance: &Instance, added: &[String]) -> bool {
        let columns = self.table.added_since(instance);
        let is_one_of = |name: &String| columns.iter().any(|column| same_name(name, &column.column.name));
        let is_gone = |name: &String| !self.table.columns.iter().any(|column| same_name(name, &column.column.name));
        added.iter().any(is_one_of) || (!columns.is_empty() && added.iter().any(is_gone))
    }
}

fn same_type(one: &Column, other: &Column) -> bool {
    one.source_type == other.source_type && one.collation == other.collation
}
