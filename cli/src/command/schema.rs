//! `millstream schema`: the tables as they are tracked now, and the history of their changes.

use std::path::Path;

use console::style;
use serde_json::{Value, json};

use crate::arguments::Schema;
use crate::control::{ChangeReport, Reply, Request, SchemaReport};
use crate::failure::Failure;
use crate::output::{Align, Grid, Out, duration_ms, iso};
use crate::session::{Session, unexpected};

/// Longer statements are cut in tables for people; JSON has them whole.
const STATEMENT_SHOWN_CHARS: usize = 72;

pub(super) async fn execute(arguments: &Schema, config: &Path) -> Result<(), Failure> {
    let session = Session::open(config)?;
    let scope = &arguments.scope;
    session.require_source(scope.source.as_deref())?;
    let wanted = |source: &str| scope.source.as_deref().is_none_or(|name| name == source);
    let mut out = Out::new();
    if arguments.history {
        let changes = history(&session).await?.into_iter().filter(|change| wanted(&change.source));
        if scope.output.json {
            changes
                .map(|change| change_json(&change, session.has_several_sources()))
                .try_for_each(|line| out.json(&line))?;
        } else {
            print_history(&changes.collect::<Vec<_>>(), &session, &mut out)?;
        }
    } else {
        let tables: Vec<SchemaReport> =
            tables(&session).await?.into_iter().filter(|table| wanted(&table.source)).collect();
        if scope.output.json { out.json(&tables)? } else { print_tables(&tables, &mut out)? }
    }
    out.finish()
}

async fn tables(session: &Session) -> Result<Vec<SchemaReport>, Failure> {
    let mut answers = session.ask(Request::Schema).await?;
    let mut tables = Vec::new();
    while let Some(reply) = answers.next().await? {
        match reply {
            Reply::Schema(table) => tables.push(table),
            other => return Err(unexpected(Some(&other))),
        }
    }
    Ok(tables)
}

async fn history(session: &Session) -> Result<Vec<ChangeReport>, Failure> {
    let mut answers = session.ask(Request::History).await?;
    let mut changes = Vec::new();
    while let Some(reply) = answers.next().await? {
        match reply {
            Reply::Change(change) => changes.push(change),
            other => return Err(unexpected(Some(&other))),
        }
    }
    Ok(changes)
}

/// The documented shape.
fn change_json(change: &ChangeReport, names_source: bool) -> Value {
    let mut line = json!({
        "position": change.position,
        "time": iso(change.at_ms),
        "table": change.table,
        "change": change.change,
        "effect": change.effect,
        "statement": change.statement,
        "rows_read": change.rows_read,
        "ops_written": change.ops_written,
        "duration_ms": change.duration_ms,
    });
    if let (true, Some(line)) = (names_source, line.as_object_mut()) {
        line.insert("source".into(), json!(change.source));
    }
    line
}

fn print_tables(tables: &[SchemaReport], out: &mut Out) -> Result<(), Failure> {
    if tables.is_empty() {
        out.line("No tables are tracked yet.")?;
    }
    for (index, table) in tables.iter().enumerate() {
        if index > 0 {
            out.line("")?;
        }
        let version =
            table.version.as_deref().map_or("shape not known".to_owned(), |version| format!("version {version}"));
        out.line(format!("{} ({}, {version})", style(&table.table).bold(), table.source))?;
        let mut grid = Grid::new(&[("  column", Align::Left), ("type", Align::Left), ("", Align::Left)]);
        for column in &table.columns {
            let place = table.identity.iter().position(|name| *name == column.name);
            let mut notes = Vec::new();
            if let Some(place) = place {
                notes.push(match table.identity.len() {
                    1 => "identity".to_owned(),
                    _ => format!("identity {}", place + 1),
                });
            }
            if !column.nullable {
                notes.push("not null".to_owned());
            }
            grid.row([format!("  {}", column.name), column.kind.clone(), notes.join(", ")]);
        }
        grid.print(out)?;
    }
    Ok(())
}

fn print_history(changes: &[ChangeReport], session: &Session, out: &mut Out) -> Result<(), Failure> {
    if changes.is_empty() {
        return out.line("No schema changes so far.");
    }
    let mut grid = Grid::new(&[
        ("time", Align::Left),
        ("table", Align::Left),
        ("change", Align::Left),
        ("effect", Align::Left),
        ("rows read", Align::Right),
        ("ops", Align::Right),
        ("took", Align::Right),
        ("statement", Align::Left),
    ]);
    for change in changes {
        grid.row([
            iso(change.at_ms),
            session.label(&change.source, &change.table),
            change.change.clone(),
            change.effect.clone(),
            change.rows_read.to_string(),
            change.ops_written.to_string(),
            change.duration_ms.map_or("…".to_owned(), duration_ms),
            change.statement.as_deref().map(shortened).unwrap_or_default(),
        ]);
    }
    grid.print(out)
}

/// A statement in one line of bounded length.
pub(super) fn shortened(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(STATEMENT_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::ColumnReport;

    #[test]
    fn the_json_of_a_table_is_as_documented() {
        let table = SchemaReport {
            source: "shop".into(),
            table: "shop.orders".into(),
            version: Some("00c0ffee00c0ffee".into()),
            identity: vec!["id".into()],
            columns: vec![ColumnReport { name: "id".into(), kind: "int unsigned".into(), nullable: false }],
        };
        assert_eq!(
            serde_json::to_string(&table).unwrap(),
            concat!(
                r#"{"source":"shop","table":"shop.orders","version":"00c0ffee00c0ffee","identity":["id"],"#,
                r#""columns":[{"name":"id","type":"int unsigned","nullable":false}]}"#
            )
        );
    }

    #[test]
    fn the_json_of_a_change_is_as_documented() {
        let change = ChangeReport {
            source: "shop".into(),
            position: "binlog.000002:1547".into(),
            at_ms: 951_782_400_000,
            table: "shop.orders".into(),
            change: "altered".into(),
            effect: "reconcile".into(),
            statement: Some("ALTER TABLE orders ADD c INT DEFAULT 5".into()),
            rows_read: 10,
            ops_written: 10,
            duration_ms: Some(42),
        };
        assert_eq!(
            change_json(&change, false).to_string(),
            concat!(
                r#"{"position":"binlog.000002:1547","time":"2000-02-29T00:00:00.000Z","table":"shop.orders","#,
                r#""change":"altered","effect":"reconcile","statement":"ALTER TABLE orders ADD c INT DEFAULT 5","#,
                r#""rows_read":10,"ops_written":10,"duration_ms":42}"#
            )
        );
        assert!(change_json(&change, true).to_string().ends_with(r#","duration_ms":42,"source":"shop"}"#));
    }

    #[test]
    fn long_statements_are_cut() {
        assert_eq!(shortened("ALTER TABLE t\n  ADD c INT"), "ALTER TABLE t ADD c INT");
        assert_eq!(shortened(&"é".repeat(100)).chars().count(), STATEMENT_SHOWN_CHARS + 1);
    }
}
