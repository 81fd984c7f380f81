//! Carrying out what schema changes require.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::position::Position;
use crate::schema::{TableName, TableSchema};
use crate::schema_change::{Effect, HistoryEntry, SchemaChange, SchemaChangeKind, effect};
use crate::selection::Selection;
use crate::sink::WriteItem;
use crate::source::{Discovery, HiddenTable};
use crate::table::{OpenHistory, PassRecord, TableId, TableState, now_ms};

use super::follower::{Ended, Follower, Interruption};

/// What the history calls a read of a table because its changes can't be had from the log any more.
const LOG_LOST: &str = "log lost";
/// How much of a statement is logged, in characters; the history keeps more.
const LOGGED_STATEMENT_CHARS_MAX: usize = 200;

impl Follower {
    /// Begins at a position without a past: every table that exists there is read, others that are tracked are gone,
    /// unless the source only hides them.
    pub(super) async fn adopt(&mut self, discovery: &Discovery) -> Result<(), Interruption> {
        let mut items = Vec::new();
        let missing: Vec<TableName> = self
            .tables
            .iter()
            .map(|table| &table.record.name)
            .filter(|name| !discovery.tables.iter().any(|schema| schema.table == **name))
            .cloned()
            .collect();
        let hidden = if missing.is_empty() { Vec::new() } else { self.connector.hidden(&missing).await? };
        for name in &missing {
            match (self.tables.id(name), hidden.iter().find(|hidden| hidden.table == *name)) {
                (Some(_), Some(hidden)) => self.hold_hidden(hidden, &discovery.position, &mut items),
                (Some(id), None) => self.remove_table(id, None, &mut items),
                (None, _) => {}
            }
        }
        for schema in &discovery.tables {
            let table = match self.tables.named_mut(&schema.table) {
                Some(table) => table,
                None => self.tables.add(schema.table.clone(), None),
            };
            let again = table.record.visible;
            table.record.schema = Some(Arc::clone(schema));
            close_history(table.record.pass.take(), None, &mut items);
            let cause = if again { LOG_LOST } else { "first read" };
            table.begin_pass(cause, None);
            let id = table.record.id;
            // A first read is no change; a read of everything because the log is gone should be accounted for.
            let history =
                again.then(|| self.open_line(LOG_LOST, &schema.table, Effect::Reconcile, &discovery.position));
            if let Some(history) = &history {
                items.push(WriteItem::History { id: history.id, entry: history.entry.clone() });
            }
            let Some(table) = self.tables.get_mut(id) else { continue };
            if let Some(pass) = &mut table.record.pass {
                pass.history = history;
            }
            items.push(WriteItem::Table(Box::new(table.record.clone())));
        }
        let commit = crate::change::Commit {
            position: discovery.position.clone(),
            committed_at_ms: now_ms(),
            transactions: 0,
            log_bytes: 0,
        };
        self.accept_commit(items, commit).await
    }

    /// What is stored of a table that may exist, but that nobody can look at now, stays as it is. The stream settles it.
    fn hold_hidden(&mut self, hidden: &HiddenTable, position: &Position, items: &mut Vec<WriteItem>) {
        let HiddenTable { table, reason, remedy } = hidden;
        let is_held = self.tables.named(table).is_some_and(|table| table.record.schema.is_none());
        let history = self.open_line(LOG_LOST, table, Effect::Hold, position);
        self.hold(table.clone(), reason.clone(), remedy.clone(), (!is_held).then_some(history), items);
    }

    /// Takes back what the stream did to tables after the last accepted commit, as it is going to do it again.
    ///
    /// Without this, rows that came before a schema change in the log would be taken by the shape, and stamped with the
    /// generation, of after it.
    pub(super) async fn roll_back(&mut self) -> Result<(), Interruption> {
        let mut items = Vec::new();
        for (name, before) in self.progress.take_remembered() {
            let current = self.tables.id(&name);
            if let Some(id) = current {
                self.rechecks.forget(id);
                self.passes.cancel(id, "the stream started over");
            }
            let Some(before) = before else {
                if let Some(id) = current {
                    self.remove_table(id, None, &mut items);
                }
                continue;
            };
            if let Some(id) = current.filter(|id| *id != before.id) {
                self.remove_table(id, None, &mut items);
            }
            let table = self.tables.put_back(before);
            if let Some(cause) = table.record.pass.as_ref().map(|pass| pass.cause.clone()) {
                table.begin_pass_anew(&cause);
            }
            items.push(WriteItem::Table(Box::new(table.record.clone())));
        }
        if items.is_empty() { Ok(()) } else { self.accept_between(items).await }
    }

    /// Removes tables that the sink doesn't want any more, and writes down the passes that the restart began.
    pub(super) async fn forget_deselected(&mut self, selection: &Selection) -> Result<(), Interruption> {
        let mut items = Vec::new();
        let deselected: Vec<TableId> = self
            .tables
            .iter()
            .filter(|table| !selection.matches(&table.record.name))
            .map(|table| table.record.id)
            .collect();
        for id in deselected {
            self.remove_table(id, None, &mut items);
        }
        let reading = self.tables.iter().filter(|table| table.record.pass.is_some());
        items.extend(reading.map(|table| WriteItem::Table(Box::new(table.record.clone()))));
        if items.is_empty() { Ok(()) } else { self.accept_between(items).await }
    }

    /// Carries a schema change out: adds to `items` what must be stored at its place in the stream.
    pub(super) fn on_schema_change(
        &mut self,
        change: SchemaChange,
        place: Option<&Position>,
        items: &mut Vec<WriteItem>,
    ) -> Result<(), Interruption> {
        self.schema_changes += 1;
        self.expected.remove(&change.table);
        let before = self.tables.named(&change.table).map(|table| table.record.clone());
        self.progress.remember(change.table.clone(), before);
        if self.is_held_still(&change, items) {
            return Ok(());
        }
        let effect = self.effect_of(&change);
        let history = self.open_history(&change, effect, place);
        if let Some(statement) = change.statement.as_deref().map(one_line) {
            info!(source = %self.name, table = %change.table, kind = change.kind.word(), %effect, %statement, "schema change");
        } else {
            info!(source = %self.name, table = %change.table, kind = change.kind.word(), %effect, "schema change");
        }
        let name = change.table;
        match change.kind {
            // A table whose partitions come and go while a long pass over it is on its way would never be read to its
            // end if each of them threw the pass away.
            SchemaChangeKind::Altered { schema, rows_replaced: true, .. } if self.is_shape(&name, &schema) => {
                if let Some(table) = self.tables.named_mut(&name) {
                    // The same but for its origin.
                    table.record.schema = Some(schema);
                    items.push(WriteItem::Table(Box::new(table.record.clone())));
                }
                self.rows_replaced(&name, "altered", Some(history), items);
            }
            SchemaChangeKind::Created { schema, .. }
            | SchemaChangeKind::Replaced { schema }
            | SchemaChangeKind::Altered { schema, .. }
            | SchemaChangeKind::Settled { schema } => self.take_shape(&name, schema, effect, history, items),
            SchemaChangeKind::Dropped => match self.tables.id(&name) {
                Some(id) => self.remove_table(id, Some(history), items),
                None => items.push(WriteItem::History { id: history.id, entry: history.closed(0, 0) }),
            },
            SchemaChangeKind::Truncated => self.truncate(&name, history, items),
            SchemaChangeKind::RowsReplaced { cause } => self.rows_replaced(&name, &cause, Some(history), items),
            SchemaChangeKind::Unreadable { reason, remedy } => self.hold(name, reason, remedy, Some(history), items),
        }
        Ok(())
    }

    /// Whether the table has this shape already.
    fn is_shape(&self, name: &TableName, schema: &TableSchema) -> bool {
        let known = self.tables.named(name).and_then(|table| table.record.schema.as_ref());
        known.is_some_and(|known| known.version() == schema.version())
    }

    /// Whether a stream that started over says again that a table is held: nothing has changed but, maybe, why.
    fn is_held_still(&mut self, change: &SchemaChange, items: &mut Vec<WriteItem>) -> bool {
        let SchemaChange { kind: SchemaChangeKind::Unreadable { reason, remedy }, statement: None, .. } = change else {
            return false;
        };
        let Some(table) = self.tables.named_mut(&change.table) else { return false };
        if table.record.schema.is_some() || !matches!(table.record.state, TableState::Held { .. }) {
            return false;
        }
        table.hold(reason.clone(), remedy.clone());
        warn!(source = %self.name, table = %change.table, reason, remedy, "still held");
        items.push(WriteItem::Table(Box::new(table.record.clone())));
        true
    }

    fn effect_of(&self, change: &SchemaChange) -> Effect {
        let tracked = self.tables.named(&change.table);
        let before = tracked.and_then(|table| table.record.schema.as_deref());
        let effect = effect(before, &change.kind);
        let rows_in_doubt = tracked.is_some_and(|table| {
            // Either its stored rows were held back at some point, or rows of the old shape are being asked for.
            table.record.schema.is_none() || self.rechecks.concerns(table.record.id)
        });
        match effect {
            Effect::Keep | Effect::Load if rows_in_doubt => Effect::Reconcile,
            effect if tracked.is_none() && effect == Effect::Reconcile => Effect::Load,
            effect => effect,
        }
    }

    /// A line of the history that no statement and no change in the log made.
    fn open_line(&mut self, change: &str, table: &TableName, effect: Effect, position: &Position) -> OpenHistory {
        self.last_history_id += 1;
        let entry = HistoryEntry {
            position: position.to_string(),
            at_ms: now_ms(),
            table: table.clone(),
            change: change.to_owned(),
            effect,
            statement: None,
            rows_read: 0,
            ops_written: 0,
            duration_ms: None,
        };
        OpenHistory { id: self.last_history_id, entry, arrived_at_ms: now_ms() }
    }

    fn open_history(&mut self, change: &SchemaChange, effect: Effect, place: Option<&Position>) -> OpenHistory {
        self.last_history_id += 1;
        let entry = HistoryEntry {
            position: place.map(Position::to_string).unwrap_or_default(),
            // Found out rather than told by the log, before the log's first event: then it is now that it is found out.
            at_ms: if change.at_ms > 0 { change.at_ms } else { now_ms() },
            table: change.table.clone(),
            change: change.kind.word().to_owned(),
            effect,
            statement: change.statement.clone(),
            rows_read: 0,
            ops_written: 0,
            duration_ms: None,
        };
        OpenHistory { id: self.last_history_id, entry, arrived_at_ms: now_ms() }
    }

    /// The name denotes a table of this shape from here on.
    fn take_shape(
        &mut self,
        name: &TableName,
        schema: Arc<TableSchema>,
        effect: Effect,
        history: OpenHistory,
        items: &mut Vec<WriteItem>,
    ) {
        let new = self.tables.id(name).is_none();
        let table = match self.tables.named_mut(name) {
            Some(table) => table,
            None => self.tables.add(name.clone(), None),
        };
        let id = table.record.id;
        let same_shape = table.record.schema.as_ref().is_some_and(|before| before.version() == schema.version());
        table.record.schema = Some(schema);
        if effect == Effect::Keep {
            if new {
                table.become_live();
            }
            items.push(WriteItem::History { id: history.id, entry: history.closed(0, 0) });
            // A pass on its way reads by the old shape.
            if !same_shape && table.record.pass.is_some() {
                let cause = table.record.pass.as_ref().map_or("altered", |pass| pass.cause.as_str()).to_owned();
                self.begin_pass(id, &cause, None, items);
            } else {
                items.push(WriteItem::Table(Box::new(table.record.clone())));
            }
            if !same_shape {
                self.passes.cancel(id, "its schema changed meanwhile");
            }
        } else {
            items.push(WriteItem::History { id: history.id, entry: history.entry.clone() });
            let cause = if effect == Effect::Load { "first read".to_owned() } else { history.entry.change.clone() };
            self.begin_pass(id, &cause, Some(history), items);
        }
    }

    /// Begins a pass over a table, in place of any other.
    pub(super) fn begin_pass(
        &mut self,
        id: TableId,
        cause: &str,
        history: Option<OpenHistory>,
        items: &mut Vec<WriteItem>,
    ) {
        self.rechecks.forget(id);
        self.passes.cancel(id, &format!("it is being read again meanwhile: {cause}"));
        let Some(table) = self.tables.get_mut(id) else { return };
        close_history(table.record.pass.take(), history.as_ref(), items);
        table.begin_pass(cause, history);
        items.push(WriteItem::Table(Box::new(table.record.clone())));
    }

    /// All rows of a table are gone, but not the table.
    fn truncate(&mut self, name: &TableName, history: OpenHistory, items: &mut Vec<WriteItem>) {
        let Some(id) = self.tables.id(name) else {
            items.push(WriteItem::History { id: history.id, entry: history.closed(0, 0) });
            return;
        };
        self.clear(id, Some(history), items);
        self.rechecks.forget(id);
        // Chunks on their way may show rows of before.
        if let Some(table) = self.tables.get_mut(id).filter(|table| table.record.pass.is_some()) {
            let cause = table.record.pass.as_ref().map(|pass| pass.cause.clone()).unwrap_or_default();
            table.begin_pass_anew(&cause);
            items.push(WriteItem::Table(Box::new(table.record.clone())));
            self.passes.cancel(id, "its rows were removed meanwhile");
        } else {
            self.passes.cancel(id, "its rows were removed meanwhile");
        }
    }

    /// Rows changed with nothing in the stream to show for it: read them again. A pass on its way isn't thrown away,
    /// as that could go on for ever; another follows it.
    pub(super) fn rows_replaced(
        &mut self,
        name: &TableName,
        cause: &str,
        history: Option<OpenHistory>,
        items: &mut Vec<WriteItem>,
    ) {
        let Some(table) = self.tables.named_mut(name) else { return };
        let id = table.record.id;
        if table.record.schema.is_none() {
            // Held: what ends the hold reads the table again anyway.
            items.extend(history.map(|history| WriteItem::History { id: history.id, entry: history.closed(0, 0) }));
            return;
        }
        if let Some(pass) = &mut table.record.pass {
            let was_again = std::mem::replace(&mut pass.again, true);
            let is_noted = note_next(pass, history, items);
            if !was_again || is_noted {
                items.push(WriteItem::Table(Box::new(table.record.clone())));
            }
            return;
        }
        if let Some(history) = &history {
            items.push(WriteItem::History { id: history.id, entry: history.entry.clone() });
        }
        warn!(source = %self.name, table = %name, cause, "reading the table again");
        self.begin_pass(id, cause, history, items);
    }

    /// The table's shape isn't known: its changes are skipped.
    fn hold(
        &mut self,
        name: TableName,
        reason: String,
        remedy: Option<String>,
        history: Option<OpenHistory>,
        items: &mut Vec<WriteItem>,
    ) {
        let table = match self.tables.named_mut(&name) {
            Some(table) => table,
            None => self.tables.add(name, None),
        };
        let id = table.record.id;
        close_history(table.record.pass.take(), None, items);
        table.record.schema = None;
        warn!(source = %self.name, table = %table.record.name, reason, remedy, "held");
        table.hold(reason, remedy);
        items.push(WriteItem::Table(Box::new(table.record.clone())));
        items.extend(history.map(|history| WriteItem::History { id: history.id, entry: history.closed(0, 0) }));
        self.rechecks.forget(id);
        self.passes.cancel(id, "its shape isn't known");
    }

    fn remove_table(&mut self, id: TableId, history: Option<OpenHistory>, items: &mut Vec<WriteItem>) {
        self.clear(id, history, items);
        self.rechecks.forget(id);
        self.passes.cancel(id, "it isn't there any more");
        self.passes.answer(id, Err("the table isn't there any more".to_owned()));
        if let Some(table) = self.tables.remove(id) {
            close_history(table.record.pass, None, items);
        }
        items.push(WriteItem::Forget { table: id });
    }

    fn clear(&mut self, id: TableId, history: Option<OpenHistory>, items: &mut Vec<WriteItem>) {
        let (reply, report) = oneshot::channel();
        items.push(WriteItem::Clear { table: id, reply });
        if let Some(history) = history {
            items.push(WriteItem::History { id: history.id, entry: history.entry.clone() });
            self.endings.push(Box::pin(async move { Ended::Clear { history, report: report.await.ok() } }));
        }
    }
}

/// A statement for a log of lines: without line breaks, and not longer than a line should be.
fn one_line(statement: &str) -> String {
    let mut words = statement.split_whitespace().flat_map(|word| [" ", word]).skip(1).flat_map(str::chars);
    let mut line: String = words.by_ref().take(LOGGED_STATEMENT_CHARS_MAX).collect();
    if words.next().is_some() {
        line.push('…');
    }
    line
}

/// Notes a line of the history for the pass that is to follow; says whether the pass's record has changed. One line
/// stands for all that comes before that pass begins without a statement, however often it does.
fn note_next(pass: &mut PassRecord, history: Option<OpenHistory>, items: &mut Vec<WriteItem>) -> bool {
    let Some(history) = history else { return false };
    match &pass.next {
        None => {
            items.push(WriteItem::History { id: history.id, entry: history.entry.clone() });
            pass.next = Some(history);
            true
        }
        Some(_) if history.entry.statement.is_none() => false,
        Some(_) => {
            items.push(WriteItem::History { id: history.id, entry: history.closed(0, 0) });
            false
        }
    }
}

/// A pass that another replaces leaves its lines of the history complete, unless the new one goes on with one.
fn close_history(pass: Option<PassRecord>, continued: Option<&OpenHistory>, items: &mut Vec<WriteItem>) {
    let Some(pass) = pass else { return };
    items.extend(pass.next.map(|next| WriteItem::History { id: next.id, entry: next.closed(0, 0) }));
    if let Some(history) = pass.history
        && continued.is_none_or(|continued| continued.id != history.id)
    {
        items.push(WriteItem::History { id: history.id, entry: history.closed(pass.rows_read, 0) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_logged_on_one_line() {
        assert_eq!(one_line("CREATE TABLE t (\n  id INT,\r\n\tc INT\n)"), "CREATE TABLE t ( id INT, c INT )");
        assert_eq!(one_line(""), "");
        let long = one_line(&"é ".repeat(500));
        assert_eq!(long.chars().count(), LOGGED_STATEMENT_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
