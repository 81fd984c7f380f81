//! Views, procedures, functions and triggers.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{
    CreateManner, ExecuteAs, Kind, Module, ModuleKind, ModuleParameter, Name, Statement, TriggerEvents,
};
use super::Reader;

impl Reader<'_> {
    pub(super) fn begins_module(&self) -> bool {
        self.peek(0).is_some_and(|lexeme| lexeme.is_any(&["VIEW", "PROCEDURE", "PROC", "FUNCTION", "TRIGGER"]))
    }

    /// `from` is where the CREATE or ALTER stands.
    pub(super) fn module(&mut self, from: usize, manner: CreateManner) -> SqlResult<Kind> {
        let mut execute_as = ExecuteAs::Caller;
        let (name, kind) = if self.take("VIEW") {
            self.view()?
        } else if self.take_any(&["PROCEDURE", "PROC"]) {
            self.procedure(&mut execute_as)?
        } else if self.take("FUNCTION") {
            self.function()?
        } else {
            self.expect("TRIGGER")?;
            self.trigger()?
        };
        let definition = Arc::from(self.text_between(from, self.at));
        Ok(Kind::CreateModule(Box::new(Module { manner, name, kind, execute_as, definition })))
    }

    fn view(&mut self) -> SqlResult<(Name, ModuleKind)> {
        let name = self.name()?;
        let columns = if self.is_token(&Token::LParen) { self.parenthesised_names()? } else { Vec::new() };
        self.options_of_caller()?;
        self.expect("AS")?;
        let query = self.query()?;
        if self.is_at(0, "WITH") && self.is_at(1, "CHECK") {
            return Err(SqlError::unsupported("WITH CHECK OPTION"));
        }
        Ok((name, ModuleKind::View { columns, query }))
    }

    /// `WITH SCHEMABINDING, EXECUTE AS OWNER` and the like: whom the module runs as.
    fn module_options(&mut self) -> SqlResult<ExecuteAs> {
        let mut execute_as = ExecuteAs::Caller;
        if !self.take("WITH") {
            return Ok(execute_as);
        }
        loop {
            if self.take_any(&["EXECUTE", "EXEC"]) {
                execute_as = self.module_execute_as()?;
            } else if self.is("NATIVE_COMPILATION") || self.is("RETURNS") {
                return Err(SqlError::unsupported("NATIVE_COMPILATION and RETURNS NULL ON NULL INPUT"));
            } else if !self.take_any(&["SCHEMABINDING", "ENCRYPTION", "RECOMPILE", "VIEW_METADATA"]) {
                return Err(self.unexpected());
            }
            if !self.take_token(&Token::Comma) {
                return Ok(execute_as);
            }
        }
    }

    /// Those of what doesn't run as somebody else.
    fn options_of_caller(&mut self) -> SqlResult<()> {
        match self.module_options()? {
            ExecuteAs::Caller => Ok(()),
            _ => Err(SqlError::unsupported("EXECUTE AS of functions and triggers")),
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
            let read_only = self.take("READONLY");
            parameters.push(ModuleParameter { name, data_type, default, output, read_only });
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
        super::jump::check(&statements)?;
        Ok(Arc::from(statements))
    }

    fn procedure(&mut self, execute_as: &mut ExecuteAs) -> SqlResult<(Name, ModuleKind)> {
        let name = self.name()?;
        let parameters = self.parameters()?;
        *execute_as = self.module_options()?;
        let _ = self.take_all(&["FOR", "REPLICATION"]);
        self.expect("AS")?;
        Ok((name, ModuleKind::Procedure { parameters, body: self.body()? }))
    }

    fn function(&mut self) -> SqlResult<(Name, ModuleKind)> {
        let name = self.name()?;
        let parameters = self.parameters()?;
        self.expect("RETURNS")?;
        if self.take("TABLE") {
            self.options_of_caller()?;
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
            let variable = self.variable()?;
            self.expect("TABLE")?;
            let shape = self.table_shape()?;
            self.options_of_caller()?;
            let _ = self.take("AS");
            return Ok((name, ModuleKind::TableFunction { parameters, variable, shape, body: self.body()? }));
        }
        let returns = self.type_name()?;
        self.options_of_caller()?;
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
        self.options_of_caller()?;
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
