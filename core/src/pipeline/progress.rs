//! How far the stream's changes have been handed to the sink, and what is open there.

use std::collections::BTreeMap;

use crate::change::Commit;
use crate::position::Position;
use crate::schema::TableName;
use crate::table::TableRecord;

/// Where the stream stands between the source and the sink.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last commit that the sink accepted: where a new stream starts.
    accepted: Option<Commit>,
    /// Up to where the stream's rows have been handed to the sink, its commits held back included.
    reached: Option<Position>,
    /// A commit held back because rows before it are being asked for.
    held_commit: Option<Commit>,
    /// Whether the sink has parts of a transaction without its commit.
    open: bool,
    /// Whether the sink was restored with such parts; how far they go is bounded by the head then.
    restored_unfinished: bool,
    /// The sink may hold rows of up to here already, from before the stream or the process started over: a commit
    /// before this place would show a mixture.
    hold_until: Option<Position>,
    /// The records, as of the last accepted commit, of tables that the stream has changed since; `None` for tables that
    /// weren't tracked. A stream that starts over delivers those changes again, and what comes before them.
    undo: BTreeMap<TableName, Option<TableRecord>>,
}

impl Progress {
    /// As the sink has it from a former process.
    pub(super) fn restored(position: Option<Position>, unfinished: bool) -> Self {
        let accepted = position.map(|position| Commit { position, committed_at_ms: 0, transactions: 0, log_bytes: 0 });
        Self { accepted, open: unfinished, restored_unfinished: unfinished, ..Self::default() }
    }

    /// Forgets the position: the next stream begins at the source's head. What the sink has open stays open.
    pub(super) fn relocate(&mut self) {
        let Self { open, restored_unfinished, .. } = *self;
        *self = Self { open, restored_unfinished, ..Self::default() };
    }

    /// A session begins; `head` is the source's at its beginning.
    pub(super) fn begin_session(&mut self, head: &Position) {
        if self.open {
            let handed_over = match std::mem::take(&mut self.restored_unfinished) {
                true => Some(head.clone()),
                false => self.reached.take(),
            };
            self.hold_until = self.hold_until.take().max(handed_over);
        }
    }

    /// A stream was opened. It delivers what a commit was held back for again.
    pub(super) fn begin_stream(&mut self, from: Position) {
        self.reached = Some(from);
        self.held_commit = None;
    }

    /// The commit of the last delivery is known.
    pub(super) fn reach(&mut self, position: Position) {
        self.reached = Some(position);
    }

    pub(super) fn reached(&self) -> Option<&Position> {
        self.reached.as_ref()
    }

    /// The commit that new streams start after.
    pub(super) fn accepted(&self) -> Option<&Commit> {
        self.accepted.as_ref()
    }

    /// Whether the sink has parts of a transaction without its commit.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the sink has all that the stream delivered, its commits included.
    pub(super) fn is_whole(&self) -> bool {
        self.held_commit.is_none() && !self.open
    }

    /// A part of a transaction goes to the sink. A commit that was held back would now take this part with it: the
    /// commit of this transaction stands for both.
    pub(super) fn begin_part(&mut self) {
        self.held_commit = None;
        self.open = true;
    }

    /// A transaction goes to the sink without its commit.
    pub(super) fn hold(&mut self, commit: Commit) {
        self.held_commit = Some(commit);
        self.open = true;
    }

    /// Lets go of the commit that was held back.
    pub(super) fn release(&mut self) -> Option<Commit> {
        self.held_commit.take()
    }

    /// The sink accepted a commit.
    pub(super) fn accept(&mut self, commit: Commit) {
        self.accepted = Some(commit);
        self.held_commit = None;
        self.open = false;
        self.undo.clear();
    }

    /// Whether the sink may hold rows from beyond what has been reached.
    pub(super) fn is_behind_the_sink(&mut self) -> bool {
        self.hold_until.take_if(|until| self.reached.as_ref().is_some_and(|reached| reached >= until));
        self.hold_until.is_some()
    }

    /// What goes along with items that belong to no transaction of the stream. Amid one nothing may become durable by
    /// itself: its commit will carry them, too.
    pub(super) fn commit_between(&self) -> Option<Commit> {
        let accepted = self.accepted.clone().filter(|_| !self.open);
        accepted.map(|commit| Commit { transactions: 0, log_bytes: 0, ..commit })
    }

    /// Keeps a table's record as it was at the last accepted commit.
    pub(super) fn remember(&mut self, table: TableName, before: Option<TableRecord>) {
        self.undo.entry(table).or_insert(before);
    }

    /// The records to go back to as the stream starts over.
    pub(super) fn take_remembered(&mut self) -> BTreeMap<TableName, Option<TableRecord>> {
        std::mem::take(&mut self.undo)
    }
}
