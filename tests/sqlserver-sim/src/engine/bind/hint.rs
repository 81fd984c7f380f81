//! Hints of tables.

use sqlparser::ast;

use crate::error::{SqlError, SqlResult};

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
            "UPDLOCK" => hints.update_lock = true,
            "XLOCK" => hints.exclusive = true,
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
