//! What a statement of the log means for tables.

use std::collections::BTreeSet;

use millstream_core::schema::TableName;

/// What one statement does to tables. When in doubt it says more than the statement did, never less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Nothing that concerns a table's name, shape or rows.
    Noise,
    /// The beginning or end of a transaction, or of a part of one.
    Transaction(Transaction),
    /// A table is created, or replaced by a new one.
    Create(Create),
    /// Tables are removed.
    Drop {
        /// Those named.
        tables: Vec<TableName>,
        /// Only temporary tables are meant, of which no other session knows.
        temporary: bool,
    },
    /// A database is removed with all its tables.
    DropDatabase {
        /// Its name.
        database: String,
    },
    /// All rows of a table are removed.
    Truncate {
        /// Which.
        table: TableName,
    },
    /// Tables are written anew as they are (`OPTIMIZE TABLE`).
    Optimize {
        /// Which.
        tables: Vec<TableName>,
    },
    /// Tables get other names, all at once: each pair's first name denoted before the statement what its second denotes
    /// after it. No two pairs share a first or a second name.
    Rename {
        /// From and to.
        pairs: Vec<(TableName, TableName)>,
    },
    /// A table is altered, also by CREATE INDEX and DROP INDEX.
    Alter(Alter),
    /// Rows are changed, and the log holds the statement instead of the rows.
    Dml(Dml),
    /// Views, triggers, functions or procedures are made, altered or removed; none is named here if none could be read.
    StoredObjects(Vec<TableName>),
    /// The statement isn't understood.
    Unknown(Suspects),
}

/// CREATE TABLE, and CREATE SEQUENCE, which makes a table of one row that isn't a base table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Create {
    /// Its name.
    pub(crate) table: TableName,
    /// The table whose shape it takes over (LIKE).
    pub(crate) like: Option<TableName>,
    /// A table of that name is removed first.
    pub(crate) or_replace: bool,
    /// Nothing happens if there is a table of that name.
    pub(crate) if_not_exists: bool,
    /// A temporary table, of which no other session knows.
    pub(crate) temporary: bool,
    /// It begins with rows that the log shows no row events for.
    pub(crate) as_select: bool,
    /// It may have foreign keys.
    pub(crate) foreign_keys: bool,
}

/// ALTER TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alter {
    /// Its name before.
    pub(crate) table: TableName,
    /// Its name after, where that is another.
    pub(crate) rename_to: Option<TableName>,
    /// Columns or keys may be others than before.
    pub(crate) shape: bool,
    /// Rows may have come, gone or changed with no row events for it: a partition dropped or exchanged, a tablespace
    /// imported, duplicates removed by ALTER IGNORE, numbers given by a new AUTO_INCREMENT, another engine, a name that
    /// goes from one column to another.
    pub(crate) rows: bool,
    /// Foreign keys may have come or gone.
    pub(crate) foreign_keys: bool,
    /// It ran in a strict SQL mode, in which it would have failed had a value not fitted.
    pub(crate) strict: bool,
    /// Other tables of which all that may be true, existence included: the partner of an exchanged partition.
    pub(crate) others: Vec<TableName>,
}

/// A statement that changes rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dml {
    /// The tables that it may write to by itself, as far as its text tells.
    pub(crate) written: Suspects,
    /// Whatever it names: what it reads and the functions that it calls as well.
    pub(crate) named: Suspects,
    /// All that it does by itself is to add rows.
    pub(crate) only_adds: bool,
}

/// The statements that transactions consist of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transaction {
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK of the whole: what the log shows of it so far didn't happen, save in non-transactional tables.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT: what followed that savepoint didn't happen, save in non-transactional tables. Where no
    /// such table was written to, servers cut the log instead.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    Release(String),
    /// XA START or BEGIN.
    XaStart(Xid),
    /// XA END.
    XaEnd(Xid),
    /// XA PREPARE as text. The log usually has an event of its own for it.
    XaPrepare(Xid),
    /// XA COMMIT of a transaction that was prepared before, maybe long before.
    XaCommit {
        /// Which.
        xid: Xid,
        /// It wasn't prepared: begin, changes and commit are in one piece.
        one_phase: bool,
    },
    /// XA ROLLBACK of a transaction that was prepared before.
    XaRollback(Xid),
}

/// The name of a distributed transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Xid {
    /// The global part.
    pub(crate) global: Vec<u8>,
    /// The branch's part.
    pub(crate) branch: Vec<u8>,
    /// The format's number.
    pub(crate) format: u32,
}

/// Tables that a statement may concern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Suspects {
    /// These only.
    Named(BTreeSet<TableName>),
    /// Any whose name occurs in this text, whatever its database; lower case.
    Mentioned(String),
    /// Any of this database.
    Database(String),
    /// Any at all.
    Everything,
}

impl Suspects {
    /// Whether a table is among them. The name must be folded as [`NameCase`](super::NameCase) does.
    pub(crate) fn include(&self, table: &TableName) -> bool {
        match self {
            Suspects::Named(tables) => tables.contains(table),
            Suspects::Mentioned(text) => {
                // A quote within the name may have been doubled, and undecodable text may hide what isn't ASCII.
                let name = table.name.to_lowercase();
                !name.is_ascii() || name.contains(['`', '"']) || text.contains(&name)
            }
            Suspects::Database(database) => *database == table.schema,
            Suspects::Everything => true,
        }
    }
}

impl Statement {
    /// Whether the statement may concern a table's name, shape or rows. Temporary tables aren't tables in this sense,
    /// and neither is the name of a table that was only copied from. The name must be folded as
    /// [`NameCase`](super::NameCase) does.
    pub(crate) fn concerns(&self, table: &TableName) -> bool {
        match self {
            Statement::Noise | Statement::Transaction(_) | Statement::StoredObjects(_) => false,
            Statement::Create(create) => !create.temporary && create.table == *table,
            Statement::Drop { tables, temporary } => !temporary && tables.contains(table),
            Statement::DropDatabase { database } => *database == table.schema,
            Statement::Truncate { table: truncated } => truncated == table,
            Statement::Optimize { tables } => tables.contains(table),
            Statement::Rename { pairs } => pairs.iter().any(|(from, to)| from == table || to == table),
            Statement::Alter(alter) => {
                alter.table == *table || alter.rename_to.as_ref() == Some(table) || alter.others.contains(table)
            }
            Statement::Dml(Dml { written: suspects, .. }) | Statement::Unknown(suspects) => suspects.include(table),
        }
    }
}
