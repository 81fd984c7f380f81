//! Hints of tables.

use sqlparser::ast;

use crate::error::{SqlError, SqlResult};

use crate::storage::Table;

use super::super::plan::Hints;

pub fn is_hint(argument: &ast::FunctionArg) -> bool {
    hints(std::iter::once(argument.to_string())).is_ok()
}

pub fn hints(words: impl Iterator<Item = String>) -> SqlResult<Hints> {
    let mut hints = Hints::default();
    for word in words {
        let word = word.trim_matches(['[', ']', '"']).to_ascii_uppercase();
        match word.as_str() {
            "NOLOCK" | "READUNCOMMITTED" => hints.no_lock = true,
            "READPAST" => hints.read_past = true,
            "UPDLOCK" => {
                hints.update_lock = true;
                hints.lock_rows = true;
            }
            "XLOCK" => {
                hints.exclusive = true;
                hints.lock_rows = true;
            }
            "TABLOCK" => hints.table_lock = true,
            "TABLOCKX" => {
                hints.table_lock = true;
                hints.exclusive = true;
            }
            "HOLDLOCK" | "SERIALIZABLE" | "REPEATABLEREAD" => hints.hold = true,
            "READCOMMITTEDLOCK" => hints.read_committed_lock = true,
            "READCOMMITTED" | "ROWLOCK" | "PAGLOCK" | "FORCESEEK" | "FORCESCAN" | "NOEXPAND" | "NOWAIT"
            | "SNAPSHOT" | "KEEPIDENTITY" => {}
            other if other.starts_with("INDEX") => {}
            other => {
                let text = format!("\"{other}\" is not a recognized table hints option.");
                return Err(SqlError::new(321, 15, text));
            }
        }
    }
    Ok(hints)
}

/// The indexes that `INDEX(a, b)` and `INDEX = a` name.
pub fn indexes(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut names = Vec::new();
    for word in words {
        let word = word.replace(['[', ']', '"'], "");
        let named = word.get(..5).filter(|start| start.eq_ignore_ascii_case("INDEX")).and_then(|_| word.get(5..));
        let Some(list) = named else { continue };
        let list = list.trim().trim_start_matches('=').trim().trim_start_matches('(').trim_end_matches(')');
        names.extend(list.split(',').map(|name| name.trim().to_owned()));
    }
    names
}

/// # Errors
/// 308 where the table has no index of a name. Numbers stand for indexes too, 0 for the heap.
pub fn check_indexes(table: &Table, names: &[String]) -> SqlResult<()> {
    for name in names {
        let known = match name.parse::<i32>() {
            Ok(number) => number == 0 || table.indexes.iter().any(|index| index.index_id.0 == number),
            Err(_) => table.index_named(name).is_some(),
        };
        if !known {
            let text =
                format!("Index '{name}' on table '{}' (specified in the FROM clause) does not exist.", table.name);
            return Err(SqlError::new(308, 16, text));
        }
    }
    Ok(())
}
