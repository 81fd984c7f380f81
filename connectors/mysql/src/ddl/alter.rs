//! ALTER TABLE, action by action.
//!
//! An action that isn't known may do anything to columns, keys and rows.

use millstream_core::schema::TableName;

use super::create::Modifiers;
use super::cursor::Cursor;
use super::lexer::Token;
use super::moves::Moves;
use super::statement::{Alter, Statement};

/// Storage engines that keep every row of a table that is moved to them.
const KEEPING_ENGINES: &[&str] =
    &["InnoDB", "MyISAM", "Aria", "MEMORY", "HEAP", "CSV", "ARCHIVE", "ROCKSDB", "TokuDB", "NDB", "NDBCLUSTER"];

/// Table options that change neither columns nor rows.
const OPTIONS: &[&str] = &[
    "AUTOEXTEND_SIZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHARSET",
    "CHECKSUM",
    "COLLATE",
    "COMMENT",
    "COMPRESSION",
    "DELAY_KEY_WRITE",
    "ENCRYPTED",
    "ENCRYPTION",
    "ENCRYPTION_KEY_ID",
    "ENGINE_ATTRIBUTE",
    "IETF_QUOTES",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "MAX_ROWS",
    "MIN_ROWS",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "PASSWORD",
    "ROW_FORMAT",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "TABLESPACE",
    "TABLE_CHECKSUM",
    "TRANSACTIONAL",
];

/// What the actions of one statement add up to.
#[derive(Debug, Default)]
struct Sum {
    rename_to: Option<TableName>,
    shape: bool,
    rows: bool,
    foreign_keys: bool,
    others: Vec<TableName>,
    moves: Moves,
}

/// ALTER TABLE, behind these words.
pub(super) fn read(cursor: &mut Cursor<'_>, modifiers: Modifiers) -> Option<Statement> {
    cursor.eat_if_exists();
    let table = cursor.table()?;
    cursor.eat_wait();
    // With IGNORE, rows that a new unique key doesn't admit are removed.
    let mut sum = Sum { rows: modifiers.ignore, shape: modifiers.ignore, ..Sum::default() };
    if !partitions(cursor, &mut sum)? {
        actions(cursor, &mut sum)?;
    }
    let Sum { rename_to, shape, rows, foreign_keys, others, moves } = sum;
    let rows = rows || moves.reuse_a_name();
    let rename_to = rename_to.filter(|name| *name != table);
    let strict = cursor.mode().strict;
    Some(Statement::Alter(Alter { table, rename_to, shape, rows, foreign_keys, strict, others }))
}

/// The actions on partitions and tablespaces that stand alone, as their lists have commas of their own. Says whether
/// this is one; `None` if a table's name is missing.
fn partitions(cursor: &Cursor<'_>, sum: &mut Sum) -> Option<bool> {
    const KEEPING: &[&str] = &["ADD", "ANALYZE", "CHECK", "COALESCE", "OPTIMIZE", "REBUILD", "REORGANIZE"];
    const REMOVING: &[&str] = &["DROP", "REPAIR", "TRUNCATE"];
    let mut ahead = cursor.clone();
    let Some(verb) = ahead.bump() else { return Some(false) };
    if verb.is_any(&["DISCARD", "IMPORT"]) {
        sum.rows = true;
    } else if verb.is("CONVERT") && ahead.eat("TABLE") {
        // MariaDB: CONVERT TABLE other TO PARTITION p.
        sum.others.push(ahead.table()?);
        sum.rows = true;
    } else if !ahead.eat("PARTITION") {
        return Some(false);
    } else if verb.is_any(&["EXCHANGE", "CONVERT"]) {
        // EXCHANGE PARTITION p WITH TABLE other; MariaDB: CONVERT PARTITION p TO TABLE other.
        while !ahead.eat("TABLE") {
            ahead.bump()?;
        }
        sum.others.push(ahead.table()?);
        sum.rows = true;
    } else if verb.is_any(REMOVING) {
        sum.rows = true;
    } else {
        return Some(verb.is_any(KEEPING));
    }
    Some(true)
}

/// The actions between commas. `None` if a new name can't be read.
fn actions(cursor: &mut Cursor<'_>, sum: &mut Sum) -> Option<()> {
    let mut in_order_by = false;
    loop {
        let action = cursor.clone();
        let auto_increment = skip_action(cursor);
        let ordering = in_order_by && is_ordering(action.clone());
        if !ordering {
            in_order_by = action.clone().eat_all(&["ORDER", "BY"]);
            read_action(action, auto_increment, sum)?;
        }
        if !cursor.eat_symbol(',') {
            break;
        }
    }
    // A closing parenthesis too many, or another statement: not what it seemed.
    cursor.at_end().then_some(())
}

/// Goes to the sign that ends an action; says whether a column in it becomes AUTO_INCREMENT.
fn skip_action(cursor: &mut Cursor<'_>) -> bool {
    let mut depth = 0_usize;
    let mut auto_increment = false;
    while let Some(token) = cursor.peek() {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(',' | ';' | ')') if depth == 0 => break,
            Token::Symbol(')') => depth -= 1,
            token => auto_increment |= token.is_any(&["AUTO_INCREMENT", "SERIAL"]),
        }
        cursor.bump();
    }
    auto_increment
}

/// Whether this is a further column of ORDER BY.
fn is_ordering(mut cursor: Cursor<'_>) -> bool {
    let named = cursor.table().is_some();
    cursor.eat_any(&["ASC", "DESC"]);
    named && ends(&cursor)
}

/// Whether the action ends here.
fn ends(cursor: &Cursor<'_>) -> bool {
    cursor.peek().is_none() || cursor.at_symbol(',') || cursor.at_symbol(';')
}

fn read_action(mut cursor: Cursor<'_>, auto_increment: bool, sum: &mut Sum) -> Option<()> {
    if ends(&cursor) {
        return Some(());
    }
    if cursor.eat("RENAME") {
        return rename(cursor, sum);
    }
    if cursor.eat("ADD") {
        add(cursor, sum);
    } else if cursor.eat("DROP") {
        drop_part(cursor, sum);
    } else if cursor.at_any(&["MODIFY", "CHANGE"]) {
        if cursor.eat("CHANGE") {
            sum.moves.renamed(cursor.clone());
        }
        sum.shape = true;
        // A column that becomes AUTO_INCREMENT gives numbers to the rows that hold 0 in it.
        let mode = cursor.mode();
        sum.rows |= auto_increment || (mode.no_zero_in_date && !mode.strict);
        sum.foreign_keys = true;
    } else if cursor.eat("ALTER") {
        sum.shape |= !cursor.at_any(&["INDEX", "KEY", "CHECK", "CONSTRAINT"]);
    } else if cursor.eat("CONVERT") {
        sum.shape = true;
    } else if !is_harmless(cursor) {
        sum.shape = true;
        sum.rows = true;
        sum.foreign_keys = true;
    }
    Some(())
}

fn rename(mut cursor: Cursor<'_>, sum: &mut Sum) -> Option<()> {
    if cursor.at_any(&["COLUMN", "INDEX", "KEY"]) {
        if cursor.at("COLUMN") {
            sum.moves.renamed(cursor);
        }
        sum.shape = true;
        return Some(());
    }
    if !cursor.eat_any(&["TO", "AS"]) {
        cursor.eat_symbol('=');
    }
    sum.rename_to = Some(cursor.table()?);
    Some(())
}

fn add(mut cursor: Cursor<'_>, sum: &mut Sum) {
    if cursor.eat("CONSTRAINT") && !cursor.at_any(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
        cursor.eat_if_exists();
        cursor.name();
    }
    let index = cursor.clone().eat_all(&["VECTOR", "INDEX"])
        || cursor.clone().eat_all(&["VECTOR", "KEY"])
        || cursor.at_any(&["INDEX", "KEY", "FULLTEXT", "SPATIAL"]);
    let foreign_key = cursor.at("FOREIGN");
    // MariaDB takes REFERENCES behind a column for a foreign key, too.
    sum.foreign_keys |= !index && !cursor.at("CHECK");
    sum.shape |= !(index || foreign_key || cursor.at("CHECK"));
    // No column bears one of these reserved words.
    if !index && !cursor.at_any(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
        sum.moves.added(cursor);
    }
}

fn drop_part(cursor: Cursor<'_>, sum: &mut Sum) {
    let foreign_key = cursor.at("FOREIGN");
    sum.foreign_keys |= foreign_key || cursor.at("CONSTRAINT");
    sum.shape |= !(foreign_key || cursor.at("CHECK"));
    if !cursor.at_any(&["PRIMARY", "FOREIGN", "CHECK", "CONSTRAINT", "INDEX", "KEY"]) {
        sum.moves.dropped(cursor);
    }
}

/// Whether an action is made of nothing but parts that change neither columns nor rows.
fn is_harmless(mut cursor: Cursor<'_>) -> bool {
    const ALONE: &[&[&str]] = &[
        &["DISABLE", "KEYS"],
        &["ENABLE", "KEYS"],
        &["FORCE"],
        &["WITH", "VALIDATION"],
        &["WITHOUT", "VALIDATION"],
        &["SECONDARY_LOAD"],
        &["SECONDARY_UNLOAD"],
        &["REMOVE", "PARTITIONING"],
        &["UPGRADE", "PARTITIONING"],
    ];
    if cursor.clone().eat_all(&["ORDER", "BY"]) || cursor.clone().eat_all(&["PARTITION", "BY"]) {
        // Rows that fit no partition make the statement fail.
        return true;
    }
    while !ends(&cursor) {
        if ALONE.iter().any(|words| cursor.eat_all(words)) {
            continue;
        }
        if cursor.clone().eat_all(&["PARTITION", "BY"]) {
            return true;
        }
        if !option(&mut cursor) {
            return false;
        }
    }
    true
}

/// Takes one table option with its value.
fn option(cursor: &mut Cursor<'_>) -> bool {
    let default = cursor.eat("DEFAULT");
    let engine = cursor.eat_any(&["ENGINE", "TYPE"]);
    let known = engine
        || cursor.eat_all(&["CHARACTER", "SET"])
        || cursor.eat_all(&["DATA", "DIRECTORY"])
        || cursor.eat_all(&["INDEX", "DIRECTORY"])
        || cursor.eat_any(&["ALGORITHM", "LOCK"])
        || cursor.eat_any(OPTIONS);
    if !known || (default && engine) {
        return false;
    }
    cursor.eat_symbol('=');
    let Some(value) = cursor.bump() else { return false };
    let kept = !engine
        || match &value {
            Token::Text(name) => KEEPING_ENGINES.iter().any(|engine| engine.eq_ignore_ascii_case(name)),
            token => token
                .as_name(false)
                .is_some_and(|name| KEEPING_ENGINES.iter().any(|engine| engine.eq_ignore_ascii_case(name))),
        };
    kept && matches!(value, Token::Word(_) | Token::Text(_) | Token::Quoted(_))
}
