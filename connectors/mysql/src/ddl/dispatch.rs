//! From a statement's first words to its meaning.

use std::collections::BTreeMap;

use millstream_core::schema::TableName;

use super::create::{self, Object};
use super::cursor::Cursor;
use super::lexer::Token;
use super::names::UNDECODABLE;
use super::statement::{Dml, Statement, Suspects};
use super::{Context, alter, transaction};

/// First words of statements that never concern a table's name, shape or rows.
const NOISE: &[&str] = &[
    "BACKUP",
    "BINLOG",
    "CACHE",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "CLONE",
    "DEALLOCATE",
    "DESC",
    "DESCRIBE",
    "EXPLAIN",
    "FLUSH",
    "GET",
    "GRANT",
    "HANDLER",
    "HELP",
    "INSTALL",
    "KILL",
    "LOCK",
    "PREPARE",
    "PURGE",
    "RESET",
    "RESIGNAL",
    "RESTART",
    "REVOKE",
    "SET",
    "SHOW",
    "SHUTDOWN",
    "SIGNAL",
    "START",
    "STOP",
    "UNINSTALL",
    "UNLOCK",
    "USE",
];

/// First words of statements that change rows; MariaDB's `ANALYZE UPDATE` does what it tells the cost of.
const ROWS: &[&str] = &["INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "WITH", "ANALYZE"];

/// First words of statements that are in the log only because a function that they call changes rows somewhere.
const CALLS: &[&str] = &["CALL", "DO", "SELECT", "TABLE", "VALUES", "EXECUTE"];

/// `SET STATEMENT ... FOR` may stand before itself.
const SET_STATEMENT_DEPTH_MAX: usize = 8;

/// Reads one statement.
pub(super) fn read(text: &str, context: &Context<'_>) -> Statement {
    let mentioned = || Statement::Unknown(Suspects::Mentioned(text.to_lowercase()));
    let mut cursor = Cursor::new(text, context);
    for _ in 0..SET_STATEMENT_DEPTH_MAX {
        match skip_set_statement(&mut cursor) {
            Prefix::None => break,
            Prefix::Skipped => {}
            // The event has the mode that this sets; the text was read in the one before.
            Prefix::SetsMode => return mentioned(),
        }
    }
    while cursor.eat_symbol(';') {}
    if is_noise(&cursor) {
        return Statement::Noise;
    }
    if let Some(control) = transaction::read(cursor.clone()) {
        return Statement::Transaction(control);
    }
    match concerning(&cursor) {
        // Objects that are no tables are known by the first words, whatever comes behind them.
        Some(statement @ (Statement::Noise | Statement::StoredObjects(_))) => statement,
        _ if !cursor.clone().reads_whole() => mentioned(),
        Some(statement) if has_undecodable_name(&statement) => Statement::Unknown(Suspects::Everything),
        Some(statement) if context.thread_specific => for_one_session(statement, cursor),
        Some(statement) => statement,
        None => Statement::Unknown(cursor.suspects()),
    }
}

/// A statement in which temporary tables play a part. Which of its names are theirs can't be told; CREATE and DROP say
/// it themselves, as the server rewrites them.
fn for_one_session(statement: Statement, cursor: Cursor<'_>) -> Statement {
    match statement {
        Statement::Truncate { .. } | Statement::Alter(_) | Statement::Rename { .. } => {
            Statement::Unknown(cursor.suspects())
        }
        other => other,
    }
}

/// Whether a statement's first words say that it isn't about tables. A text without any token is a comment: servers
/// log such in the place of events that a replica doesn't know.
fn is_noise(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    let Some(first) = ahead.bump() else { return true };
    match () {
        () if first.is("ANALYZE") => {
            ahead.eat_any(&["LOCAL", "NO_WRITE_TO_BINLOG"]);
            ahead.at_any(&["TABLE", "TABLES"])
        }
        () if first.is("LOAD") => ahead.at("INDEX"),
        () if first.is("RENAME") => ahead.at("USER"),
        () if first.is("REPAIR") => ahead.at("VIEW"),
        () if first.is("START") => !ahead.at("TRANSACTION"),
        () => first.is_any(NOISE),
    }
}

/// What stands before a statement proper.
enum Prefix {
    None,
    Skipped,
    SetsMode,
}

/// Takes MariaDB's `SET STATEMENT variable = value, ... FOR` if it is next.
fn skip_set_statement(cursor: &mut Cursor<'_>) -> Prefix {
    let mut ahead = cursor.clone();
    if !ahead.eat_all(&["SET", "STATEMENT"]) {
        return Prefix::None;
    }
    let mut depth = 0_usize;
    let mut prefix = Prefix::Skipped;
    while let Some(token) = ahead.bump() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth = depth.saturating_sub(1),
            token if token.as_name(true).is_some_and(|name| name.eq_ignore_ascii_case("sql_mode")) => {
                prefix = Prefix::SetsMode;
            }
            token if depth == 0 && token.is("FOR") => {
                *cursor = ahead;
                return prefix;
            }
            _ => {}
        }
    }
    Prefix::None
}

/// The statements that may concern tables; `None` if this one isn't understood.
fn concerning(cursor: &Cursor<'_>) -> Option<Statement> {
    let mut ahead = cursor.clone();
    let first = ahead.bump()?;
    match () {
        () if first.is("CREATE") => create::read(&mut ahead),
        () if first.is("ALTER") => alter_statement(&mut ahead),
        () if first.is("DROP") => drop_statement(&mut ahead),
        () if first.is("TRUNCATE") => {
            ahead.eat("TABLE");
            let table = ahead.table()?;
            ahead.eat_wait();
            ahead.at_end().then_some(Statement::Truncate { table })
        }
        () if first.is("OPTIMIZE") => {
            ahead.eat_any(&["LOCAL", "NO_WRITE_TO_BINLOG"]);
            let tables = ahead.eat_any(&["TABLE", "TABLES"]).then(|| ahead.tables())??;
            ahead.eat_wait();
            ahead.at_end().then_some(Statement::Optimize { tables })
        }
        () if first.is("RENAME") => rename_tables(&mut ahead),
        // IMPORT TABLE FROM 'file': the names are in files on the server.
        () if first.is("IMPORT") => Some(Statement::Unknown(Suspects::Everything)),
        () if first.is_any(CALLS) => {
            let (written, named) = (Suspects::Everything, Suspects::Everything);
            Some(Statement::Dml(Dml { written, named, only_adds: false }))
        }
        () if first.is_any(ROWS) => Some(Statement::Dml(dml(cursor))),
        () => None,
    }
}

fn dml(cursor: &Cursor<'_>) -> Dml {
    let named = cursor.clone().suspects();
    let written = match inserted_into(cursor.clone()) {
        Some(table) => Suspects::Named([table].into()),
        None => named.clone(),
    };
    let mut ahead = cursor.clone();
    // Otherwise it has ON DUPLICATE KEY UPDATE.
    let only_adds = ahead.at("INSERT") && !std::iter::from_fn(|| ahead.bump()).any(|token| token.is("DUPLICATE"));
    Dml { written, named, only_adds }
}

/// The table that INSERT, REPLACE or LOAD writes to; it may read any number of others. (Tools that compare replicas
/// write sums over every table into one of their own.)
fn inserted_into(mut cursor: Cursor<'_>) -> Option<TableName> {
    if cursor.eat("LOAD") {
        while !cursor.eat_all(&["INTO", "TABLE"]) {
            cursor.bump()?;
        }
        return cursor.table();
    }
    if !cursor.eat_any(&["INSERT", "REPLACE"]) {
        return None;
    }
    while cursor.eat_any(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"]) {}
    cursor.eat("INTO");
    cursor.table()
}

fn alter_statement(cursor: &mut Cursor<'_>) -> Option<Statement> {
    let (object, modifiers) = create::object(cursor)?;
    match object {
        Object::Table => alter::read(cursor, modifiers),
        Object::Database => Some(alter_database(cursor)),
        Object::Sequence | Object::Other => Some(Statement::Noise),
        Object::Stored => Some(create::stored_object(cursor)),
        Object::Index => None,
    }
}

/// Only UPGRADE DATA DIRECTORY NAME, a remedy from before MySQL 5.1, changes more than options of later tables.
fn alter_database(cursor: &mut Cursor<'_>) -> Statement {
    let database = cursor.name();
    match database.filter(|_| cursor.at("UPGRADE")) {
        Some(database) => {
            let upgraded = database.strip_prefix("#mysql50#").unwrap_or(&database).to_owned();
            Statement::Unknown(Suspects::Database(upgraded))
        }
        None => Statement::Noise,
    }
}

fn drop_statement(cursor: &mut Cursor<'_>) -> Option<Statement> {
    let (object, modifiers) = create::object(cursor)?;
    match object {
        Object::Other => return Some(Statement::Noise),
        Object::Stored => return Some(create::stored_object(cursor)),
        Object::Index => return create::drop_index(cursor),
        Object::Table | Object::Sequence | Object::Database => {
            cursor.eat_if_exists();
        }
    }
    if object == Object::Database {
        let database = cursor.name()?;
        return cursor.at_end().then_some(Statement::DropDatabase { database });
    }
    let tables = cursor.tables()?;
    cursor.eat_wait();
    cursor.eat_any(&["RESTRICT", "CASCADE"]);
    cursor.at_end().then_some(Statement::Drop { tables, temporary: modifiers.temporary })
}

/// RENAME TABLE, behind the first word.
fn rename_tables(cursor: &mut Cursor<'_>) -> Option<Statement> {
    if !cursor.eat_any(&["TABLE", "TABLES"]) {
        return None;
    }
    cursor.eat_if_exists();
    let mut steps = Vec::new();
    loop {
        let from = cursor.table()?;
        cursor.eat_wait();
        if !cursor.eat("TO") {
            return None;
        }
        steps.push((from, cursor.table()?));
        if !cursor.eat_symbol(',') {
            break;
        }
    }
    cursor.at_end().then(|| Statement::Rename { pairs: permutation(steps) })
}

/// The server renames one pair after the other, so `a TO x, b TO a, x TO b` exchanges two tables and leaves no x. What
/// counts is where each table that was there before ends up.
fn permutation(steps: Vec<(TableName, TableName)>) -> Vec<(TableName, TableName)> {
    // By name now: the name before.
    let mut origins: BTreeMap<TableName, TableName> = BTreeMap::new();
    for (from, to) in steps {
        let origin = origins.remove(&from).unwrap_or(from);
        origins.insert(to, origin);
    }
    origins.into_iter().filter(|(now, before)| now != before).map(|(now, before)| (before, now)).collect()
}

/// Whether a name that matters came in bytes that aren't text in the client's character set.
fn has_undecodable_name(statement: &Statement) -> bool {
    let bad = |name: &str| name.contains(UNDECODABLE);
    let bad_table = |table: &TableName| bad(&table.schema) || bad(&table.name);
    match statement {
        Statement::Noise
        | Statement::Transaction(_)
        | Statement::StoredObjects(_)
        | Statement::Dml(_)
        | Statement::Unknown(_) => false,
        Statement::Create(create) => bad_table(&create.table) || create.like.as_ref().is_some_and(bad_table),
        Statement::Drop { tables, .. } | Statement::Optimize { tables } => tables.iter().any(bad_table),
        Statement::DropDatabase { database } => bad(database),
        Statement::Truncate { table } => bad_table(table),
        Statement::Rename { pairs } => pairs.iter().any(|(from, to)| bad_table(from) || bad_table(to)),
        Statement::Alter(alter) => {
            bad_table(&alter.table) || alter.rename_to.iter().chain(&alter.others).any(bad_table)
        }
    }
}
