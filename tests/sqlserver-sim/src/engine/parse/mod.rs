//! Reads batches: where statements begin and end is found here, token by token, as T-SQL needs no semicolons; queries and
//! expressions are handed to sqlparser whole, which must read all that it is handed.

mod compound;
mod control;
mod cursor;
mod data;
mod definition;
mod jump;
mod module;
mod partition;
mod query;
mod reader;
mod security;
mod sequence;
mod server;
mod table;
mod tokens;

use std::sync::Arc;

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::statement::{Kind, Name, Statement, TableShape, TypeName};
use tokens::Lexeme;

pub use compound::parted;
pub use query::RECURSION;
pub use tokens::{NEXT_VALUE, QUOTED};

/// Reads a batch.
///
/// # Errors
/// 102, 105, 113 and 156 where it can't be read, with the line.
pub fn batch(text: &str) -> SqlResult<Vec<Statement>> {
    let mut reader = Reader::new(text)?;
    let mut statements = Vec::new();
    reader.skip_semicolons();
    while !reader.is_at_end() {
        statements.push(reader.statement(statements.is_empty())?);
        reader.skip_semicolons();
    }
    jump::check(&statements)?;
    Ok(statements)
}

/// Reads one expression: a default, a check, a computed column.
///
/// # Errors
/// As [`batch`].
pub fn expression(text: &str) -> SqlResult<Expr> {
    let mut reader = Reader::new(text)?;
    let end = reader.lexemes.len();
    reader.expression_to(end)
}

/// Reads a type: `decimal(10,2)`.
///
/// # Errors
/// As [`batch`].
pub fn type_name(text: &str) -> SqlResult<TypeName> {
    let mut reader = Reader::new(text)?;
    let name = reader.type_name()?;
    if reader.is_at_end() { Ok(name) } else { Err(reader.unexpected()) }
}

/// Reads the columns and constraints of a table type: `TABLE (…)`.
///
/// # Errors
/// As [`batch`].
pub fn table_shape(text: &str) -> SqlResult<TableShape> {
    let mut reader = Reader::new(text)?;
    reader.expect("TABLE")?;
    let shape = reader.table_shape()?;
    if reader.is_at_end() { Ok(shape) } else { Err(reader.unexpected()) }
}

/// Reads a name of up to three parts: what `OBJECT_ID` and `sp_rename` are given.
///
/// # Errors
/// As [`batch`].
pub fn name(text: &str) -> SqlResult<Name> {
    let mut reader = Reader::new(text)?;
    let name = reader.name()?;
    if reader.is_at_end() { Ok(name) } else { Err(reader.unexpected()) }
}

/// Reads the parts of a dotted name, quotes taken off.
///
/// # Errors
/// As [`batch`].
pub fn name_parts(text: &str) -> SqlResult<Vec<String>> {
    let mut reader = Reader::new(text)?;
    let parts = reader.parts()?;
    if reader.is_at_end() { Ok(parts) } else { Err(reader.unexpected()) }
}

/// How deep blocks, branches and loops may be nested.
const STATEMENTS_DEPTH_MAX: usize = 24;

fn too_deep() -> SqlError {
    SqlError::new(
        191,
        15,
        "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.",
    )
}

struct Reader<'a> {
    text: &'a str,
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
}

/// Words with which a statement begins, wherever they stand outside of parentheses. All are reserved.
const STATEMENT_WORDS: &[&str] = &[
    "ALTER",
    "BACKUP",
    "BEGIN",
    "BREAK",
    "CHECKPOINT",
    "CLOSE",
    "COMMIT",
    "CONTINUE",
    "CREATE",
    "DBCC",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DENY",
    "DROP",
    "EXEC",
    "EXECUTE",
    "GOTO",
    "GRANT",
    "IF",
    "INSERT",
    "KILL",
    "OPEN",
    "PRINT",
    "RAISERROR",
    "RECONFIGURE",
    "RESTORE",
    "RETURN",
    "REVERT",
    "REVOKE",
    "ROLLBACK",
    "SAVE",
    "SET",
    "SHUTDOWN",
    "TRUNCATE",
    "UPDATE",
    "USE",
    "WAITFOR",
    "WHILE",
];

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> SqlResult<Self> {
        Ok(Self { text, lexemes: tokens::with_sequences(tokens::lexemes(text)?), at: 0, depth: 0 })
    }

    /// `first`: whether it is the batch's first, which may be a procedure's name without EXEC.
    fn statement(&mut self, first: bool) -> SqlResult<Statement> {
        self.depth += 1;
        if self.depth > STATEMENTS_DEPTH_MAX {
            return Err(SqlError::new(
                191,
                15,
                "Some part of your SQL statement is nested too deeply. Rewrite the query or break it up into smaller queries.",
            ));
        }
        let (from, line) = (self.at, self.line());
        let kind = self.kind(first).map_err(|error| error.at_line(line))?;
        self.depth -= 1;
        Ok(Statement { kind, line, text: Arc::from(self.text_between(from, self.at)) })
    }

    fn kind(&mut self, first: bool) -> SqlResult<Kind> {
        let Some(lexeme) = self.peek(0) else { return Err(self.unexpected()) };
        if lexeme.token == Token::LParen {
            return self.query().map(Kind::Select);
        }
        if lexeme.word().is_some() && self.is_token_at(1, &Token::Colon) {
            let label = self.identifier()?;
            self.at += 1;
            return Ok(Kind::Label(label));
        }
        let Some(word) = lexeme.word() else {
            return if first { self.bare_procedure() } else { Err(self.unexpected()) };
        };
        match word.to_ascii_uppercase().as_str() {
            "SELECT" => self.query().map(Kind::Select),
            "WITH" => self.with_common_tables(),
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" => self.data_statement(None),
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop_statement(),
            "GRANT" | "DENY" | "REVOKE" => self.permission(),
            "ENABLE" | "DISABLE" if self.is_at(1, "TRIGGER") => self.trigger_state(),
            upper => match self.control(upper)? {
                Some(kind) => Ok(kind),
                None if first => self.bare_procedure(),
                None => Err(self.unexpected()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
