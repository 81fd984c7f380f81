//! `sp_rename`.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{Alteration, DatabaseId, Module, ModuleKind, Object};
use crate::value::Value;

use super::super::parse;
use super::super::session::{Output, OutputSink};
use super::super::state::Execution;
use super::super::statement::Name;
use super::alter::change;
use super::constraint::constraint_named;
use super::procedure::{Given, argument};
use super::target::{self, Target};
use super::{send, transaction};

/// `sp_rename 'dbo.t.c', 'd', 'COLUMN'`.
pub fn sp_rename(execution: &mut Execution<'_>, given: &[Given], out: &mut OutputSink<'_>) -> SqlResult<()> {
    let text = |name: &str, at: usize| argument(given, name, at).and_then(Value::as_text).map(str::to_owned);
    let (Some(from), Some(to)) = (text("@objname", 0), text("@newname", 1)) else {
        return Err(SqlError::parameter_missing("sp_rename", "@objname"));
    };
    let kind = text("@objtype", 2).unwrap_or_else(|| "OBJECT".to_owned()).to_ascii_uppercase();
    let not_found = || {
        let text = format!("Either the parameter @objname is ambiguous or the claimed @objtype ({kind}) is wrong.");
        SqlError::new(15_248, 11, text)
    };
    let command = format!("EXEC sp_rename '{from}', '{to}'");
    let mut parts = parse::name_parts(&from)?;
    transaction::atomic(execution, |execution| match kind.as_str() {
        "COLUMN" | "INDEX" => {
            let last = parts.pop().unwrap_or_default();
            let target = target::find(execution, &parse_parts(&parts)).map_err(|_| not_found())?;
            let alteration = if kind == "COLUMN" {
                let column = target.table.column_named(&last).ok_or_else(not_found)?;
                if target.table.column_named(&to).is_some_and(|other| other.column_id != column.column_id) {
                    let text = format!(
                        "Error: The new name '{to}' is already in use as a COLUMN name and would cause a duplicate that is not permitted."
                    );
                    return Err(SqlError::new(15_335, 11, text));
                }
                Alteration::RenameColumn { column: column.column_id, name: Arc::from(to.as_str()) }
            } else {
                let index = target.table.index_named(&last).ok_or_else(not_found)?;
                Alteration::RenameIndex { index: index.index_id, name: Arc::from(to.as_str()) }
            };
            change(execution, &target, vec![alteration], &command)
        }
        "OBJECT" => {
            let name = parse_parts(&parts);
            let database = execution.state.database_of(&name)?;
            match execution.state.object(database, &name)? {
                Some((schema, Object::Table(table))) => {
                    let catalog = execution.state.catalog(database)?;
                    if catalog.id_named(schema, &to).is_some_and(|other| other != table.object_id) {
                        return Err(name_taken(&to));
                    }
                    let target = Target { database, table, variable: false };
                    change(execution, &target, vec![Alteration::RenameTable(Arc::from(to.as_str()))], &command)
                }
                // Its text goes on calling it by its old name, as on a real server.
                Some((schema, Object::Module(module))) if module.kind != ModuleKind::Type => {
                    target::check_definer(execution.state, database)?;
                    execution.state.transaction().edit_catalog(database, |catalog| {
                        if catalog.id_named(schema, &to).is_some_and(|other| other != module.object_id) {
                            return Err(name_taken(&to));
                        }
                        catalog.put_module(Module { name: Arc::from(to.as_str()), ..Module::clone(&module) });
                        Ok(())
                    })
                }
                None if is_constraint(execution, database, &name.object)? => {
                    Err(SqlError::unsupported("sp_rename of a constraint"))
                }
                _ => Err(SqlError::new(
                    15_225,
                    11,
                    format!(
                        "No item by the name of '{from}' could be found in the current database, given that @itemtype was input as '(null)'."
                    ),
                )),
            }
        }
        other => Err(SqlError::unsupported(format!("sp_rename of {other}"))),
    })?;
    let caution = "Caution: Changing any part of an object name could break scripts and stored procedures.";
    send(out, Output::Message(SqlError::new(15_477, 10, caution)))
}

fn name_taken(name: &str) -> SqlError {
    let text = format!(
        "Error: The new name '{name}' is already in use as a object name and would cause a duplicate that is not permitted."
    );
    SqlError::new(15_335, 11, text)
}

fn is_constraint(execution: &Execution<'_>, database: DatabaseId, name: &str) -> SqlResult<bool> {
    let catalog = execution.state.catalog(database)?;
    Ok(catalog.tables().any(|table| constraint_named(table, name).is_some()))
}

fn parse_parts(parts: &[String]) -> Name {
    let mut parts = parts.iter().rev().cloned();
    let object = parts.next().unwrap_or_default();
    let filled = |part: Option<String>| part.filter(|part| !part.is_empty());
    Name { object, schema: filled(parts.next()), database: filled(parts.next()) }
}
