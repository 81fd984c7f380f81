//! Views, procedures, functions and triggers.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{
    CreateManner, Kind, Module, ModuleKind, ModuleParameter, Name, Statement, TriggerEvents,
};
use super::Reader;

impl Reader<'_> {
    pub(super) fn begins_module(&self) -> bool {
        self.peek(0).is_some_and(|lexeme| lexeme.is_any(&["VIEW", "PROCEDURE", "PROC", "FUNCTION", "TRIGGER"]))
    }

    /// `from` is where the CREATE or ALTER stands.
    pub(super) fn module(&mut self, from: usize, manner: CreateManner) -> SqlResult<Kind> {
        let (name, kind) = if self.take("VIEW") {
            self.view()?
        } else if self.take_any(&["PROCEDURE", "PROC"]) {
            self.procedure()?
        } else if self.take("FUNCTION") {
            self.function()?
        } else {
            self.expect("TRIGGER")?;
            self.trigger()?
        };
        let definition = Arc::from(self.text_between(from, self.at));
        Ok(Kind::CreateModule(Box::new(Module { manner, name, kind, definition })))
    }

    fn view(&mut self) -> SqlResult<(Name, ModuleKind)> {
        let name = self.name()?;
        let columns = if self.is_token(&Token::LParen) { self.parenthesised_names()? } else { Vec::new() };
        self.skip_module_options();
        self.expect("AS")?;
        let query = self.query()?;
        if self.is_at(0, "WITH") && self.is_at(1, "CHECK") {
            return Err(SqlError::unsupported("WITH CHECK OPTION"));
        }
        Ok((name, ModuleKind::View { columns, query }))
    }

    /// `WITH SCHEMABINDING, EXECUTE AS OWNER` and the like.
    fn skip_module_options(&mut self) {
        if !self.is("WITH") {
            return;
        }
        self.at += 1;
        while self.peek(0).is_some_and(|lexeme| {
            lexeme.token == Token::Comma
                || lexeme.is_any(&[
                    "SCHEMABINDING",
                    "ENCRYPTION",
                    "RECOMPILE",
                    "EXECUTE",
                    "EXEC",
                    "OWNER",
                    "CALLER",
                    "SELF",
                    "VIEW_METADATA",
                ])
        }) {
            let execute = self.is("EXECUTE") || self.is("EXEC");
            self.at += 1;
            // The AS of EXECUTE AS isn't the one before the body.
            if execute {
                let _ = self.take("AS");
            }
        }
    }

    fn parameters(&mut self) -> SqlResult<Vec<ModuleParameter>> {
        let parenthesised = self.take_token(&Token::LParen);
        let mut parameters = Vec::new();
        while self.is_variable() {
            let name = self.variable()?;
            let _ = self.take("AS");
            let data_type = self.type_name()?;
            let _ = self.take("NULL") || self.take_all(&["NOT", "NULL"]);
            let default = if self.take_token(&Token::Eq) {
                Some(self.expression(&["OUTPUT", "OUT", "READONLY", "AS", "WITH"])?)
            } else {
                None
            };
            let output = self.take_any(&["OUTPUT", "OUT"]);
            if self.is("READONLY") {
                return Err(SqlError::unsupported("table-valued parameters"));
            }
            parameters.push(ModuleParameter { name, data_type, default, output });
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        if parenthesised {
            self.expect_token(&Token::RParen)?;
        }
        Ok(parameters)
    }

    /// All statements to the end of the batch.
    fn body(&mut self) -> SqlResult<Arc<[Statement]>> {
        let mut statements = Vec::new();
        self.skip_semicolons();
        while !self.is_at_end() {
            statements.push(self.statement(false)?);
            self.skip_semicolons();
        }
        Ok(Arc::from(statements))
    }

    fn procedure(&mut self) -> SqlResult<(Name, ModuleKind)> {
        let name = self.name()?;
        let parameters = self.parameters()?;
        self.skip_module_options();
        let _ = self.take_all(&["FOR", "REPLICATION"]);
        self.expect("AS")?;
        Ok((name, ModuleKind::Procedure { parameters, body: self.body()? }))
    }

    fn function(&mut self) -> SqlResult<(Name, ModuleKind)> {
        let name = self.name()?;
        let parameters = self.parameters()?;
        self.expect("RETURNS")?;
        if self.take("TABLE") {
            self.skip_module_options();
            let _ = self.take("AS");
            self.expect("RETURN")?;
            let close = if self.is_token(&Token::LParen) { Some(self.closing(self.at)?) } else { None };
            let query = match close {
                Some(close) => {
                    self.at += 1;
                    let query = self.query()?;
                    if self.at != close {
                        return Err(self.unexpected());
                    }
                    self.at += 1;
                    query
                }
                None => self.query()?,
            };
            return Ok((name, ModuleKind::InlineFunction { parameters, query }));
        }
        if self.is_variable() {
            return Err(SqlError::unsupported("table functions of several statements"));
        }
        let returns = self.type_name()?;
        self.skip_module_options();
        let _ = self.take("AS");
        Ok((name, ModuleKind::ScalarFunction { parameters, returns, body: self.body()? }))
    }

    fn trigger(&mut self) -> SqlResult<(Name, ModuleKind)> {
        let name = self.name()?;
        self.expect("ON")?;
        if self.is("DATABASE") || self.is_at(1, "SERVER") {
            return Err(SqlError::unsupported("triggers on definitions"));
        }
        let table = self.name()?;
        self.skip_module_options();
        let instead = self.take_all(&["INSTEAD", "OF"]);
        if !instead && !self.take_any(&["AFTER", "FOR"]) {
            return Err(self.unexpected());
        }
        let mut events = TriggerEvents::default();
        loop {
            if self.take("INSERT") {
                events.insert = true;
            } else if self.take("UPDATE") {
                events.update = true;
            } else {
                self.expect("DELETE")?;
                events.delete = true;
            }
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        let _ = self.take_all(&["NOT", "FOR", "REPLICATION"]);
        self.expect("AS")?;
        Ok((name, ModuleKind::Trigger { table, events, instead, body: self.body()? }))
    }
}
