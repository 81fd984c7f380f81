//! The tables of one source, as the stream and the passes leave them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::schema::{TableName, TableSchema};
use crate::table::{OpenHistory, PassRecord, TableId, TableRecord, TableState};

/// After how many attempts in a row that failed a table counts as one whose reads fail again and again: three seconds of
/// growing pauses, more than a statement on its way takes to show in the log.
pub(super) const ATTEMPTS_MAX: u32 = 6;

/// A tracked table.
pub(super) struct Table {
    pub(super) record: TableRecord,
    /// What is in the way of its pass; in memory only.
    pub(super) trouble: Option<Trouble>,
    /// How many scans of it in a row came to nothing; in memory only.
    pub(super) scans_lost: u32,
    /// Whether the connector holds it until somebody does something; in memory only.
    awaits_help: bool,
    /// No generation below this has been left free by former runs of the process.
    generation_floor: u64,
}

/// Why reading a table fails, though it is tried again.
pub(super) struct Trouble {
    /// For people.
    pub(super) text: String,
    /// How many attempts in a row have failed.
    pub(super) attempts: u32,
}

impl Table {
    fn new(record: TableRecord, generation_floor: u64) -> Self {
        Self { record, trouble: None, scans_lost: 0, awaits_help: false, generation_floor }
    }

    /// Its shape isn't known, and its changes are skipped; without a remedy this ends by itself.
    pub(super) fn hold(&mut self, reason: String, remedy: Option<String>) {
        self.awaits_help = remedy.is_some();
        let by_itself = || "Nothing to do: it is read again as soon as its shape is known".to_owned();
        self.record.state = TableState::Held { reason, remedy: remedy.unwrap_or_else(by_itself) };
    }

    /// Whether it is what a caller may wait for: done, or not to be done without somebody's help.
    pub(super) fn is_settled(&self) -> bool {
        match &self.record.state {
            TableState::Live => self.record.pass.is_none(),
            TableState::Loading | TableState::Reconciling => false,
            // Without a schema it is the connector that holds it, which mostly goes on to settle it by itself.
            TableState::Held { .. } => self.record.schema.is_some() || self.awaits_help,
        }
    }

    /// Whether reading it has failed so often that whoever waits should be told. It is tried for ever all the same.
    pub(super) fn fails_again_and_again(&self) -> bool {
        let failed = self.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
        failed.max(self.scans_lost) >= ATTEMPTS_MAX
    }

    /// Whether reading it gets nowhere, until somebody does something.
    pub(super) fn is_stuck(&self) -> bool {
        matches!(self.record.state, TableState::Held { .. }) || self.fails_again_and_again()
    }

    /// Reading it has come to an end, or isn't tried any more.
    pub(super) fn forget_trouble(&mut self) {
        self.trouble = None;
        self.scans_lost = 0;
    }

    /// Begins a pass with a new generation, in the state that fits.
    pub(super) fn begin_pass(&mut self, cause: &str, history: Option<OpenHistory>) {
        self.next_generation();
        self.record.state = self.state_while_read();
        self.record.pass = Some(PassRecord::new(cause, history));
        self.trouble = None;
    }

    /// Begins a pass in place of another that can't go on; what that was to complete, this one does.
    pub(super) fn begin_pass_anew(&mut self, cause: &str) {
        let before = self.record.pass.take();
        let (history, next) = before.map_or((None, None), |pass| (pass.history, pass.next));
        self.begin_pass(cause, history);
        if let Some(pass) = &mut self.record.pass {
            pass.next = next;
        }
    }

    /// The state in which a pass over the table goes on.
    pub(super) fn state_while_read(&self) -> TableState {
        if self.record.visible { TableState::Reconciling } else { TableState::Loading }
    }

    /// A generation that no stored row can carry yet.
    pub(super) fn next_generation(&mut self) {
        self.record.generation = (self.record.generation + 1).max(self.generation_floor);
    }

    /// Ends whatever pass there is: what is stored is what a fresh read would give.
    pub(super) fn become_live(&mut self) {
        self.record.state = TableState::Live;
        self.record.visible = true;
        self.record.pass = None;
        self.trouble = None;
    }
}

/// All tables of one source.
#[derive(Default)]
pub(super) struct Tables {
    by_id: BTreeMap<TableId, Table>,
    ids: HashMap<TableName, TableId>,
    generation_floor: u64,
}

impl Tables {
    pub(super) fn restored(records: Vec<TableRecord>, incarnation: u32) -> Self {
        let generation_floor = u64::from(incarnation) << 32;
        let mut tables = Self { generation_floor, ..Self::default() };
        for record in records {
            tables.ids.insert(record.name.clone(), record.id);
            tables.by_id.insert(record.id, Table::new(record, generation_floor));
        }
        tables
    }

    /// Tracks a new table. Its state is for the caller to set.
    pub(super) fn add(&mut self, name: TableName, schema: Option<Arc<TableSchema>>) -> &mut Table {
        let id = TableId(self.by_id.keys().next_back().map_or(1, |last| last.0 + 1));
        self.ids.insert(name.clone(), id);
        let record = TableRecord {
            id,
            name,
            schema,
            state: TableState::Loading,
            visible: false,
            generation: self.generation_floor,
            pass: None,
        };
        self.by_id.entry(id).or_insert(Table::new(record, self.generation_floor))
    }

    /// Restores a former record of a table; its generation doesn't go back.
    pub(super) fn put_back(&mut self, mut record: TableRecord) -> &mut Table {
        let id = record.id;
        if let Some(current) = self.by_id.remove(&id) {
            record.generation = record.generation.max(current.record.generation);
        }
        self.ids.insert(record.name.clone(), id);
        self.by_id.entry(id).or_insert(Table::new(record, self.generation_floor))
    }

    pub(super) fn remove(&mut self, id: TableId) -> Option<Table> {
        let table = self.by_id.remove(&id)?;
        self.ids.remove(&table.record.name);
        Some(table)
    }

    pub(super) fn id(&self, name: &TableName) -> Option<TableId> {
        self.ids.get(name).copied()
    }

    pub(super) fn get(&self, id: TableId) -> Option<&Table> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TableId) -> Option<&mut Table> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn named_mut(&mut self, name: &TableName) -> Option<&mut Table> {
        self.by_id.get_mut(self.ids.get(name)?)
    }

    pub(super) fn named(&self, name: &TableName) -> Option<&Table> {
        self.by_id.get(self.ids.get(name)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Table> {
        self.by_id.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Table> {
        self.by_id.values_mut()
    }

    pub(super) fn ids(&self) -> Vec<TableId> {
        self.by_id.keys().copied().collect()
    }
}
