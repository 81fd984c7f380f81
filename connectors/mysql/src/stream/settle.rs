//! Which schema is true at a place in the log: the simple road.
//!
//! A statement that concerns a selected table has been reached, at the place P. What the table looks like behind P is
//! found out so:
//!
//! 1. Ask the catalog: it says S. A statement's event is in the log before the statement is done, so the question
//!    first waits for every lock on the table's definition: S is a state of the catalog at or after P.
//! 2. Ask where the log ends: H. As H is asked for after S, every statement whose effect S shows lies before H.
//! 3. Look ahead in the log from P to H, keeping what is looked at. If no statement there may have reshaped the table,
//!    its shape is the same all the way, so S, which is its shape somewhere between P and H, is its shape at P.
//! 4. If there is such a statement, S may be what that one made. Then nothing is known at P: the table's rows are left
//!    out until that statement, where the same question is asked again.
//! 5. If H is too far to look ahead that much, nothing is known at P either. But if the stream then comes to H without
//!    having met such a statement, the argument of 3 holds there: S is the table's shape at H.
//!
//! Each row event's table map is compared with the known shape besides, so that a change that no statement of the log
//! shows (made with the log turned off) doesn't go unnoticed as long as it changes the columns' count or types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_core::error::SourceError;
use millstream_core::schema::{TableName, TableSchema};
use millstream_core::schema_change::SchemaChangeKind;

use super::event::{Query, RawEvent, kind};
use super::follower::{End, Follower, advance};
use super::payload;
use super::statements::{may_reshape, read};
use super::tables::{Retry, Standing};
use crate::access::{self, Access};
use crate::connect::Connection;
use crate::connector::SEEN_SOON;
use crate::ddl::values_kept;
use crate::discover;
use crate::log::{self, Head};
use crate::position::LogPlace;
use crate::virtual_columns::is_recomputed_otherwise;

/// How long after the catalog couldn't tell it is asked again: of a table whose rows don't fit its shape, of what
/// statements set off.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(30);
/// How long after it was found out that the user may not read a table it is tried again; each pause is twice the last.
const ACCESS_PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest pause between two tries: whoever has granted access is looking at it. A try is one connection that asks
/// for no row of the table.
const ACCESS_PAUSE_MAX: Duration = Duration::from_secs(2);
/// With many such tables the pauses are longer: so much for each.
const ACCESS_PAUSE_EACH: Duration = Duration::from_millis(10);

/// How long to wait for a lock on a table's definition, in seconds: the whole stream waits. A statement that is in the log
/// already is done with it in a moment.
const LOCK_SECONDS: u32 = 5;
/// … where the table was locked the last time.
const LOCK_SECONDS_AGAIN: u32 = 1;
/// How long after that it is asked about again.
const LOCKED_PAUSE: Duration = Duration::from_secs(10);

/// What has to be found out about one name.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) name: TableName,
    pub(super) reason: Reason,
}

/// Why a table's shape is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// CREATE TABLE.
    Created { replaces: bool, conditional: bool, empty: bool },
    /// The name may denote another table than before.
    Renamed,
    /// ALTER TABLE; `rows` if rows may have been replaced as well, `strict` as in [`values_kept`].
    Altered { rows: bool, strict: bool },
    /// A statement that isn't understood, or failed half-way.
    Unclear,
    /// Rows that don't fit what is known, or the beginning of the stream.
    Rows,
}

/// The catalog's answer.
struct Answer {
    found: BTreeMap<TableName, TableSchema>,
    /// Tables that the user may not read, of which the catalog therefore tells nothing or not all, each with the
    /// statement that grants it.
    denied: BTreeMap<TableName, String>,
    /// Tables that somebody keeps locked, so that nothing can be said of them.
    locked: BTreeSet<TableName>,
    head: Head,
}

/// What keeps tables from being asked about.
#[derive(Default)]
struct InTheWay {
    denied: BTreeMap<TableName, String>,
    locked: BTreeSet<TableName>,
}

/// What looking ahead showed of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// No statement up to the head concerns it.
    Clear,
    /// One does.
    Statement,
    /// The head is too far away.
    TooFar,
}

impl Follower {
    /// The tables whose shape at the stream's beginning isn't known to the caller.
    pub(super) async fn settle_at_start(&mut self, names: Vec<TableName>) -> Result<(), End> {
        for name in &names {
            self.tables.set(name, Standing::Unknown(Retry::AtStatement));
        }
        let questions: Vec<Question> = names.into_iter().map(|name| Question { name, reason: Reason::Rows }).collect();
        match questions.is_empty() {
            true => Ok(()),
            false => self.settle(questions, false, None).await,
        }
    }

    /// Answers questions at the place behind the event that is being handled. `all` asks about every selected name in
    /// the catalog besides.
    pub(super) async fn settle(
        &mut self,
        mut questions: Vec<Question>,
        all: bool,
        statement: Option<&str>,
    ) -> Result<(), End> {
        if questions.is_empty() && !all {
            return Ok(());
        }
        let mut answer = self.ask(&questions, all).await?;
        for name in answer.found.keys() {
            if !questions.iter().any(|question| question.name == *name) {
                questions.push(Question { name: name.clone(), reason: Reason::Unclear });
            }
        }
        let outlooks = self.look_ahead(&questions, &answer.head).await?;
        for (question, outlook) in questions.into_iter().zip(outlooks) {
            let found = answer.found.remove(&question.name);
            if let Some(grant) = answer.denied.remove(&question.name) {
                self.denied(&question.name, grant, statement);
                continue;
            }
            if answer.locked.remove(&question.name) {
                self.locked(&question.name, statement);
                continue;
            }
            match (outlook, found) {
                (Outlook::Clear, Some(schema)) => self.found(&question, Arc::new(schema), statement),
                (Outlook::Clear, None) => self.dropped(&question.name, statement),
                (Outlook::Statement, _) => {
                    let reason = "a later statement concerns the table, too; its shape is known behind that one";
                    self.unknown(&question.name, Retry::AtStatement, reason.to_owned(), statement);
                }
                (Outlook::TooFar, found) => {
                    let found = found.map(Arc::new);
                    let reason = "the log goes on too far to know yet whether the table's shape of now is that of here";
                    let retry = Retry::Beyond(answer.head.clone(), found);
                    self.unknown(&question.name, retry, reason.to_owned(), statement);
                }
            }
        }
        Ok(())
    }

    /// Step 5: what was read then holds now, unless a statement has come between.
    pub(super) fn settle_what_was_passed(&mut self) {
        if self.waiting_for_place == 0 {
            return;
        }
        let waiting = self.tables.waiting();
        self.waiting_for_place = waiting.len();
        for (name, head, found) in waiting {
            if !has_reached(&self.place, &head) {
                continue;
            }
            match found {
                Some(schema) => {
                    self.tables.set(&name, Standing::Known(Arc::clone(&schema)));
                    self.change(&name, SchemaChangeKind::Settled { schema }, None);
                }
                None => self.dropped(&name, None),
            }
        }
    }

    /// The user may not read a table, so that its shape, if it is there at all, can't be found out.
    fn denied(&mut self, name: &TableName, grant: String, statement: Option<&str>) {
        let last_pause = match self.tables.get(name) {
            Some(Standing::Unknown(Retry::WhenAllowed { pause, .. })) => Some(*pause),
            _ => None,
        };
        let is_news = statement.is_some() || last_pause.is_none();
        let tables = u32::try_from(self.tables.denied().count()).unwrap_or(u32::MAX);
        let pause_max = ACCESS_PAUSE_MAX.max(ACCESS_PAUSE_EACH.saturating_mul(tables));
        let pause = last_pause.map_or(ACCESS_PAUSE_MIN, |last| last.saturating_mul(2).min(pause_max));
        self.tables.set(name, Standing::Unknown(Retry::WhenAllowed { at: Instant::now() + pause, pause }));
        if is_news {
            let reason = "the user may not read all of the table, so its shape can't be known".to_owned();
            let remedy = Some(format!("{grant} {SEEN_SOON}"));
            self.change(name, SchemaChangeKind::Unreadable { reason, remedy }, statement);
        }
    }

    /// Somebody keeps a table locked, as a restored dump does while it fills it.
    fn locked(&mut self, name: &TableName, statement: Option<&str>) {
        let retry = Retry::WhenAllowed { at: Instant::now() + LOCKED_PAUSE, pause: LOCKED_PAUSE };
        let reason =
            "somebody keeps the table locked (LOCK TABLES, or a statement that alters it), so its shape can't be \
                      known"
                .to_owned();
        self.unreadable(name, retry, reason, None, statement);
    }

    /// When a table is to be tried again that the user might not read. Only where no transaction is open.
    pub(super) fn access_due(&self) -> Option<Instant> {
        if self.open.is_some() { None } else { self.tables.denied().map(|(_, moment)| moment).min() }
    }

    /// Tries tables again that the user might not read: all of them over one connection.
    pub(super) async fn ask_for_access(&mut self) -> Result<(), End> {
        let denied = self.tables.denied();
        let questions: Vec<Question> =
            denied.map(|(name, _)| Question { name: name.clone(), reason: Reason::Rows }).collect();
        self.settle(questions, false, None).await?;
        // What was found isn't to wait for the server's next event.
        self.outbox.rest();
        Ok(())
    }

    /// A table's shape isn't known from here on.
    fn unknown(&mut self, name: &TableName, retry: Retry, reason: String, statement: Option<&str>) {
        self.waiting_for_place += usize::from(matches!(retry, Retry::Beyond(..)));
        self.unreadable(name, retry, reason, None, statement);
    }

    /// Rows of a table can't be read as they should; asks again later. `remedy` says what somebody has to do about it.
    pub(super) fn unfit(&mut self, name: &TableName, reason: String, remedy: Option<String>) {
        self.unreadable(name, Retry::NotBefore(Instant::now() + RETRY_AFTER), reason, remedy, None);
    }

    fn unreadable(
        &mut self,
        name: &TableName,
        retry: Retry,
        reason: String,
        remedy: Option<String>,
        statement: Option<&str>,
    ) {
        let is_news = statement.is_some() || !matches!(self.tables.get(name), Some(Standing::Unknown(_)));
        self.tables.set(name, Standing::Unknown(retry));
        if is_news {
            self.change(name, SchemaChangeKind::Unreadable { reason, remedy }, statement);
        }
    }

    /// A table's shape behind this place is certain.
    fn found(&mut self, question: &Question, schema: Arc<TableSchema>, statement: Option<&str>) {
        let name = &question.name;
        let before = self.tables.get(name).cloned();
        self.tables.set(name, Standing::Known(Arc::clone(&schema)));
        let known = match before {
            Some(Standing::Known(known)) => Some(known),
            Some(Standing::Unknown(_)) => {
                return self.change(name, SchemaChangeKind::Settled { schema }, statement);
            }
            None => None,
        };
        let strict = matches!(question.reason, Reason::Altered { strict: true, .. });
        let flavor = self.server.version.flavor;
        let altered = |before: &TableSchema, schema: Arc<TableSchema>, rows_replaced: bool| {
            let values_kept = values_kept(before, &schema, strict);
            let rows_replaced = rows_replaced || is_recomputed_otherwise(&schema.columns, flavor);
            SchemaChangeKind::Altered { schema, values_kept, rows_replaced }
        };
        match (question.reason, known) {
            (Reason::Created { replaces: false, conditional: true, .. }, Some(known)) => {
                if known != schema {
                    self.change(name, altered(&known, schema, false), statement);
                }
            }
            (Reason::Created { empty, replaces: true, .. }, Some(_)) => {
                self.change(name, SchemaChangeKind::Dropped, statement);
                self.change(name, SchemaChangeKind::Created { schema, empty }, statement);
            }
            (Reason::Created { .. } | Reason::Renamed, Some(_)) => {
                self.change(name, SchemaChangeKind::Replaced { schema }, statement);
            }
            (Reason::Created { empty, .. }, None) => {
                self.change(name, SchemaChangeKind::Created { schema, empty }, statement);
            }
            (Reason::Altered { rows, .. }, Some(known)) => {
                self.change(name, altered(&known, schema, rows), statement);
            }
            (Reason::Unclear, Some(known)) => {
                let kind = match known != schema {
                    true => altered(&known, schema, true),
                    false => {
                        let cause = "a statement that can't be read may have changed rows".to_owned();
                        SchemaChangeKind::RowsReplaced { cause }
                    }
                };
                self.change(name, kind, statement);
            }
            (Reason::Rows, Some(_)) => self.change(name, SchemaChangeKind::Settled { schema }, statement),
            (Reason::Renamed | Reason::Altered { .. } | Reason::Unclear | Reason::Rows, None) => {
                self.change(name, SchemaChangeKind::Created { schema, empty: false }, statement);
            }
        }
    }

    /// Steps 1 and 2.
    async fn ask(&self, questions: &[Question], all: bool) -> Result<Answer, End> {
        let limit = self.connector.query_timeout();
        let mut connection = self.connector.open().await?;
        if connection.server.identity != self.server.identity {
            let error = format!("the address leads to server {} now", connection.server.identity);
            return Err(SourceError::transient("ask for the shape of tables", error).into());
        }
        let mut names: Vec<TableName> = questions.iter().map(|question| question.name.clone()).collect();
        let is_known =
            |name: &TableName| matches!(self.tables.get(name), Some(Standing::Unknown(Retry::WhenAllowed { .. })));
        let patience = if names.iter().all(is_known) { LOCK_SECONDS_AGAIN } else { LOCK_SECONDS };
        connection
            .execute(limit, "limit the wait for locks", &format!("SET SESSION lock_wait_timeout = {patience}"))
            .await?;
        let (found, InTheWay { denied, locked }) = match all {
            true => {
                let tracked: Vec<TableName> = self.tables.names().cloned().collect();
                let in_the_way = await_definitions(&mut connection, limit, &tracked).await?;
                (discover::selected(&mut connection, limit, self.tables.selection()).await?, in_the_way)
            }
            false => {
                let in_the_way = await_definitions(&mut connection, limit, &names).await?;
                names.retain(|name| !in_the_way.locked.contains(name));
                (discover::named(&mut connection, limit, &names).await?, in_the_way)
            }
        };
        let head = log::head(&mut connection, limit).await?;
        // Nothing is lost if the good-bye doesn't arrive.
        drop(connection);
        Ok(Answer { found, denied, locked, head })
    }

    /// Step 3, for all questions at once.
    async fn look_ahead(&mut self, questions: &[Question], head: &Head) -> Result<Vec<Outlook>, End> {
        let mut place = self.place.clone();
        let mut outlooks = vec![Outlook::Clear; questions.len()];
        let bytes_max = self.connector.settings().lookahead_bytes_max;
        let server = Arc::clone(&self.server);
        let mut idle_beats = 0;
        let mut index = 0;
        while !has_reached(&place, head) && outlooks.contains(&Outlook::Clear) {
            if self.input.waiting_bytes() > bytes_max {
                let clear = outlooks.iter_mut().filter(|outlook| **outlook == Outlook::Clear);
                clear.for_each(|outlook| *outlook = Outlook::TooFar);
                break;
            }
            let had_to_wait = self.input.would_wait(index);
            let event = self.input.ahead(index).await?;
            index += 1;
            // The server has nothing more to send although the place isn't reached: the second heartbeat in a row
            // that wasn't there before was certainly sent after the head was asked for.
            idle_beats = if had_to_wait && event.kind() == kind::HEARTBEAT { idle_beats + 1 } else { 0 };
            if idle_beats == 2 {
                break;
            }
            advance(&mut place, event)?;
            each_statement(event, |query| {
                let statement = read(query, &server);
                for (question, outlook) in questions.iter().zip(&mut outlooks) {
                    if may_reshape(&statement, &question.name) {
                        *outlook = Outlook::Statement;
                    }
                }
            })?;
        }
        Ok(outlooks)
    }
}

/// Calls back with each statement that an event holds.
fn each_statement(event: &RawEvent, mut call: impl FnMut(&Query<'_>)) -> Result<(), End> {
    match event.kind() {
        kind::QUERY => call(&Query::parse(&event.header, &event.body)?),
        kind::MARIADB_QUERY_COMPRESSED => call(&Query::parse(&event.header, &payload::inflate_query(&event.body)?)?),
        _ => {}
    }
    Ok(())
}

pub(super) fn has_reached(place: &LogPlace, head: &Head) -> bool {
    place.in_series() >= head.in_series()
}

/// Whether the event that ends at a place was in the log already when that ended at a head.
pub(super) fn was_written_by(place: &LogPlace, head: &Head) -> bool {
    place.in_series() <= head.in_series()
}

/// Waits until no statement that is already in the log still works on these tables' definitions: it holds a lock that
/// every reader of the table waits for. Tells which of the tables the user may not read, and which somebody keeps locked.
async fn await_definitions(
    connection: &mut Connection,
    limit: Duration,
    names: &[TableName],
) -> Result<InTheWay, SourceError> {
    let mut found = InTheWay::default();
    for name in names {
        match access::probe(connection, limit, name).await? {
            // If there is no such table, the wait is over as well.
            Access::Granted | Access::Nothing => {}
            Access::Denied { grant } => drop(found.denied.insert(name.clone(), grant)),
            Access::Locked => drop(found.locked.insert(name.clone())),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::LogFile;

    #[test]
    fn a_place_has_reached_a_head_in_an_earlier_file_or_at_its_offset() {
        let head = Head { file: LogFile::new("binlog.000002").unwrap(), offset: 100 };
        let reached = |file: &str, offset| has_reached(&LogPlace::new(LogFile::new(file).unwrap(), offset), &head);
        assert!(reached("binlog.000002", 100) && reached("binlog.000003", 4));
        assert!(!reached("binlog.000002", 99) && !reached("binlog.000001", 1_000));
        let written = |file: &str, offset| was_written_by(&LogPlace::new(LogFile::new(file).unwrap(), offset), &head);
        assert!(written("binlog.000002", 100) && written("binlog.000001", 1_000));
        assert!(!written("binlog.000002", 101) && !written("binlog.000003", 4));
    }
}
