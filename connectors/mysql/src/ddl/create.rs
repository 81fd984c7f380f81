//! CREATE TABLE and its kin.

use super::cursor::Cursor;
use super::lexer::Token;
use super::statement::{Alter, Create, Statement};

/// Kinds of objects that CREATE, ALTER and DROP are about and that are no tables and hold none.
const OTHER_OBJECTS: &[&str] =
    &["CATALOG", "EVENT", "INSTANCE", "LOGFILE", "PREPARE", "RESOURCE", "ROLE", "SERVER", "TABLESPACE", "UNDO", "USER"];

/// Those by which statements write to tables that they don't name.
const STORED_OBJECTS: &[&str] =
    &["FUNCTION", "JSON", "LIBRARY", "MATERIALIZED", "PACKAGE", "PROCEDURE", "TRIGGER", "VIEW"];

/// What a statement that begins with CREATE, ALTER or DROP is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    Table,
    Sequence,
    Database,
    Index,
    /// A view, trigger, function or procedure.
    Stored,
    /// Something else that is no table.
    Other,
}

/// Words between the verb and the object.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Modifiers {
    pub(super) or_replace: bool,
    pub(super) temporary: bool,
    pub(super) unique: bool,
    pub(super) ignore: bool,
}

/// Takes what stands between the verb and the object, and the object; `None` if there is none that is known.
pub(super) fn object(cursor: &mut Cursor<'_>) -> Option<(Object, Modifiers)> {
    let mut modifiers = Modifiers::default();
    loop {
        if cursor.eat_all(&["OR", "REPLACE"]) {
            modifiers.or_replace = true;
        } else if cursor.eat("TEMPORARY") {
            modifiers.temporary = true;
        } else if cursor.eat("UNIQUE") {
            modifiers.unique = true;
        } else if cursor.eat("IGNORE") {
            modifiers.ignore = true;
        } else if cursor.eat("DEFINER") {
            skip_user(cursor);
        } else if cursor.eat_all(&["SQL", "SECURITY"]) {
            cursor.bump();
        } else if cursor.eat("ALGORITHM") {
            cursor.eat_symbol('=');
            cursor.bump();
        } else if cursor.eat_all(&["SPATIAL", "REFERENCE"]) {
            return Some((Object::Other, modifiers));
        } else if !cursor.eat_any(&["ONLINE", "OFFLINE", "AGGREGATE", "FULLTEXT", "SPATIAL", "VECTOR"]) {
            break;
        }
    }
    let object = match cursor.bump()? {
        token if token.is_any(&["TABLE", "TABLES"]) => Object::Table,
        token if token.is("SEQUENCE") => Object::Sequence,
        token if token.is_any(&["DATABASE", "SCHEMA"]) => Object::Database,
        token if token.is("INDEX") => Object::Index,
        token if token.is_any(STORED_OBJECTS) => Object::Stored,
        token if token.is_any(OTHER_OBJECTS) => Object::Other,
        _ => return None,
    };
    Some((object, modifiers))
}

/// After DEFINER: `= user@host`, `= role`, `= CURRENT_USER()`.
fn skip_user(cursor: &mut Cursor<'_>) {
    cursor.eat_symbol('=');
    cursor.bump();
    if cursor.eat_symbol('@') {
        cursor.bump();
    }
    if cursor.eat_symbol('(') {
        cursor.eat_symbol(')');
    }
}

/// CREATE, behind that word.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Option<Statement> {
    let (object, modifiers) = object(cursor)?;
    match object {
        Object::Other => Some(Statement::Noise),
        Object::Stored => Some(stored_object(cursor)),
        Object::Database if modifiers.or_replace => Some(Statement::DropDatabase { database: cursor.name()? }),
        Object::Database => Some(Statement::Noise),
        Object::Index => create_index(cursor, modifiers.unique),
        Object::Table | Object::Sequence => create_table(cursor, modifiers),
    }
}

/// CREATE, ALTER or DROP of such an object, behind the first word for it.
pub(super) fn stored_object(cursor: &mut Cursor<'_>) -> Statement {
    // JSON RELATIONAL DUALITY VIEW, MATERIALIZED VIEW, PACKAGE BODY.
    while cursor.eat_any(&["RELATIONAL", "DUALITY", "VIEW", "BODY"]) {}
    cursor.eat_if_exists();
    Statement::StoredObjects(cursor.tables().unwrap_or_default())
}

fn create_table(cursor: &mut Cursor<'_>, modifiers: Modifiers) -> Option<Statement> {
    let if_not_exists = cursor.eat_if_exists();
    let table = cursor.table()?;
    let mut create = Create {
        table,
        like: None,
        or_replace: modifiers.or_replace,
        if_not_exists,
        temporary: modifiers.temporary,
        as_select: false,
        foreign_keys: false,
    };
    let mut ahead = cursor.clone();
    ahead.eat_symbol('(');
    if ahead.eat("LIKE") {
        create.like = Some(ahead.table()?);
        return Some(Statement::Create(create));
    }
    definition(cursor, &mut create);
    Some(Statement::Create(create))
}

/// Looks through the columns and options for a query and for foreign keys. All words looked for are reserved, so that
/// as names they are quoted, unless they follow a dot.
fn definition(cursor: &mut Cursor<'_>, create: &mut Create) {
    let mut after_dot = false;
    while let Some(token) = cursor.bump() {
        if !after_dot {
            // VALUES LESS THAN and VALUES IN belong to partitions; other VALUES are rows.
            let rows = token.is("VALUES") && !cursor.at_any(&["LESS", "IN"]);
            create.as_select |= rows || token.is_any(&["SELECT", "TABLE"]);
            create.foreign_keys |= token.is_any(&["REFERENCES", "FOREIGN"]);
        }
        after_dot = token == Token::Symbol('.');
    }
}

fn create_index(cursor: &mut Cursor<'_>, unique: bool) -> Option<Statement> {
    cursor.eat_if_exists();
    // Its name, and how it is built: USING BTREE.
    while !cursor.eat("ON") {
        cursor.bump()?;
    }
    index(cursor, unique)
}

/// DROP INDEX, behind these words: the index may be a unique one.
pub(super) fn drop_index(cursor: &mut Cursor<'_>) -> Option<Statement> {
    cursor.eat_if_exists();
    while !cursor.eat("ON") {
        cursor.bump()?;
    }
    index(cursor, true)
}

/// At the table's name: an index on it came or went.
fn index(cursor: &mut Cursor<'_>, shape: bool) -> Option<Statement> {
    let (table, strict) = (cursor.table()?, cursor.mode().strict);
    let nothing = Alter { table, rename_to: None, shape, rows: false, foreign_keys: false, strict, others: Vec::new() };
    Some(Statement::Alter(nothing))
}
