//! Views, triggers, functions and procedures: by these a statement writes to tables that it doesn't name.
//!
//! In statement format a statement stands in the log for all that it set off, so what that can have been is followed
//! through their bodies, and through foreign keys. The catalog has them as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::TableName;
use mysql_async::prelude::Queryable;
use tokio::time::timeout;

use crate::check::{Cascades, Grants};
use crate::connect::{Connection, Server};
use crate::ddl::{self, Body, Context, Dml, NameCase, SqlMode, Suspects};
use crate::error::classify;

/// All bodies together may name so much; of a server with more it isn't followed what statements set off.
const NAMES_MAX: usize = 200_000;

/// One of the three kinds with all that is needed of it: whose it is (a trigger is its table's), the database that its
/// body was made in, the body, its SQL mode and language.
const QUERIES: [(Kind, &str); 3] = [
    (
        Kind::View,
        "SELECT table_schema, table_name, table_schema, view_definition, '', 'SQL' FROM information_schema.views \
         WHERE table_schema NOT IN ('information_schema', 'performance_schema')",
    ),
    (
        Kind::Trigger,
        "SELECT event_object_schema, event_object_table, trigger_schema, action_statement, sql_mode, 'SQL' \
         FROM information_schema.triggers",
    ),
    (
        Kind::Routine,
        "SELECT routine_schema, routine_name, routine_schema, routine_definition, sql_mode, routine_body \
         FROM information_schema.routines",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    View,
    Trigger,
    Routine,
}

/// Those of a server.
#[derive(Debug, Default)]
pub(crate) struct StoredObjects {
    /// By name, which for a trigger is its table's. Names of functions compare whatever their case, so all do here.
    by_name: BTreeMap<TableName, Vec<(Kind, Body)>>,
}

/// Reads them all; `None` if there may be some that the user can't see, or too many.
pub(crate) async fn read(connection: &mut Connection, limit: Duration) -> Result<Option<StoredObjects>, SourceError> {
    let version = connection.server.version;
    if Grants::read(connection, limit).await?.missing_on_stored_objects(version).is_some() {
        return Ok(None);
    }
    let mut found = Found::default();
    for (kind, query) in QUERIES {
        let server = connection.server.clone();
        let add = |found: Found, row: Fields| found.with(kind, row, &server);
        let what = "read the views, triggers and functions";
        found = match timeout(limit, connection.conn.query_fold(query, found, add)).await {
            Ok(found) => found.map_err(|error| classify(what, error))?,
            Err(elapsed) => {
                return Err(SourceError::transient(format!("{what} within {} s", limit.as_secs()), elapsed));
            }
        };
    }
    Ok((found.names <= NAMES_MAX).then_some(found.objects))
}

type Field = Option<Vec<u8>>;
type Fields = (Field, Field, Field, Field, Field, Field);

/// What has been read so far. Each body is let go of once its names are known.
#[derive(Default)]
struct Found {
    objects: StoredObjects,
    names: usize,
}

impl Found {
    fn with(mut self, kind: Kind, fields: Fields, server: &Server) -> Self {
        if self.names > NAMES_MAX {
            return self;
        }
        let (schema, name, database, body, mode, language) = fields;
        let text = |field: Field| field.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let (body, language) = (text(body), text(language));
        let body = match body.is_empty() || !language.eq_ignore_ascii_case("SQL") {
            true => Body::UNREADABLE,
            false => {
                let context = Context {
                    database: &server.names.fold(&text(database)),
                    mode: SqlMode::from_names(&text(mode)),
                    client_collation: None,
                    thread_specific: false,
                    version: server.version,
                    names: server.names,
                };
                ddl::read_body(&body, &context)
            }
        };
        self.names += 1 + if let Suspects::Named(names) = &body.named { names.len() } else { 0 };
        self.objects.by_name.entry(key(&text(schema), &text(name))).or_default().push((kind, body));
        self
    }
}

fn key(schema: &str, name: &str) -> TableName {
    NameCase::Lower.table(schema, name)
}

impl StoredObjects {
    /// What a statement may have reached through any number of bodies and of these foreign keys, which are all of the
    /// server's; `None` if that may be anything.
    pub(crate) fn reached_by(&self, dml: &Dml, foreign_keys: &Cascades) -> Option<Reached> {
        let (Suspects::Named(written), Suspects::Named(named)) = (&dml.written, &dml.named) else { return None };
        let mut reached = Reached::default();
        written.iter().for_each(|name| reached.add(name, true));
        named.iter().for_each(|name| reached.add(name, false));
        while let Some((name, is_written)) = reached.open.pop() {
            for (kind, body) in self.by_name.get(&key(&name.schema, &name.name)).into_iter().flatten() {
                let writes = match kind {
                    Kind::Trigger if !is_written => continue,
                    Kind::Trigger | Kind::Routine => body.writes,
                    // Writing to a view is writing to what it shows; reading one may call functions.
                    Kind::View => is_written,
                };
                let Suspects::Named(names) = &body.named else { return None };
                names.iter().for_each(|name| reached.add(name, writes));
            }
            // New rows of a parent change nothing of its children. Children's triggers run since MySQL 9.7 where
            // enable_cascade_triggers is on.
            let adds = dml.only_adds && written.contains(&name);
            if is_written && !adds && foreign_keys.is_parent(&name) {
                foreign_keys.affected_by_statement(&name).iter().for_each(|child| reached.add(child, true));
            }
        }
        Some(reached)
    }
}

/// What a statement may have reached.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    /// What it may have written to.
    pub(crate) written: BTreeSet<TableName>,
    /// What it, or a body, names besides.
    pub(crate) named: BTreeSet<TableName>,
    /// What hasn't been followed further yet, and whether it is written to.
    open: Vec<(TableName, bool)>,
}

impl Reached {
    fn add(&mut self, name: &TableName, is_written: bool) {
        let names = if is_written { &mut self.written } else { &mut self.named };
        if names.insert(name.clone()) {
            self.open.push((name.clone(), is_written));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::{Flavor, Version};

    const VIEW: (Kind, &str) = (Kind::View, "SQL");
    const TRIGGER: (Kind, &str) = (Kind::Trigger, "SQL");
    const ROUTINE: (Kind, &str) = (Kind::Routine, "SQL");

    /// Objects of the database `d` by name and body.
    fn objects(all: &[((Kind, &str), &str, &str)]) -> Found {
        let server = Server {
            version: Version::new(Flavor::MySql, 9, 7, 0),
            identity: "3e11fa47-71ca-11e1-9e33-c80aa9429562".parse().unwrap(),
            names: NameCase::Sensitive,
            gtid: true,
        };
        let field = |text: &str| Some(text.as_bytes().to_vec());
        all.iter().fold(Found::default(), |found, ((kind, language), name, body)| {
            let fields = (field("d"), field(name), field("d"), field(body), field("ANSI_QUOTES"), field(language));
            found.with(*kind, fields, &server)
        })
    }

    fn named(names: &[&str]) -> Suspects {
        Suspects::Named(names.iter().map(|name| TableName::new("d", *name)).collect())
    }

    /// Of the tables `a` to `e`, those that a statement reaches which writes to some names and reads others.
    fn reached(objects: &Found, written: &[&str], read: &[&str]) -> String {
        let all: Vec<&str> = written.iter().chain(read).copied().collect();
        let dml = Dml { written: named(written), named: named(&all), only_adds: false };
        let Some(reached) = objects.objects.reached_by(&dml, &Cascades::default()) else { return "all".to_owned() };
        let tables = ["a", "b", "c", "e"].into_iter();
        tables.filter(|table| reached.written.contains(&TableName::new("d", *table))).collect()
    }

    #[test]
    fn bodies_are_followed_in_circles_and_only_where_they_run() {
        let found = objects(&[
            (TRIGGER, "a", "INSERT INTO \"b\" VALUES ('c')"),
            (TRIGGER, "b", "BEGIN IF x THEN UPDATE a SET n = 1; END IF; CALL P(1); END"),
            (ROUTINE, "p", "DELETE FROM c"),
            (ROUTINE, "reads", "RETURN (SELECT COUNT(*) FROM a, e)"),
            (VIEW, "v", "select `d`.`p`() AS `x` from `d`.`e`"),
        ]);
        assert_eq!(reached(&found, &["a"], &[]), "abc");
        assert_eq!(reached(&found, &["e"], &["a", "b", "reads"]), "e");
        assert_eq!(reached(&found, &["e"], &["P"]), "ce");
        assert_eq!(reached(&found, &["a"], &["v"]), "abc");
        assert_eq!(reached(&found, &["v"], &[]), "ce");
    }

    #[test]
    fn what_cant_be_read_may_write_to_every_table_once_it_runs() {
        for (object, body) in [
            (ROUTINE, ""),
            (ROUTINE, "BEGIN EXECUTE s; END"),
            (ROUTINE, "RETURN 'without an end"),
            ((Kind::Routine, "JAVASCRIPT"), "session.sql('...')"),
        ] {
            let found = objects(&[(object, "p", body)]);
            assert_eq!(reached(&found, &["a"], &["p"]), "all", "{body}");
            assert_eq!(reached(&found, &["a"], &["q"]), "a", "{body}");
        }
    }
}
