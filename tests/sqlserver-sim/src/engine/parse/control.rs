//! Control of flow, variables, procedures and transactions.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};
use crate::value::arithmetic::Operator;

use super::super::statement::{
    Argument, CursorName, Declaration, DeclarationKind, Execute, Kind, ProcedureName, Statement,
};
use super::Reader;

impl Reader<'_> {
    /// None where the word begins none of these.
    pub(super) fn control(&mut self, upper: &str) -> SqlResult<Option<Kind>> {
        let kind = match upper {
            "DECLARE" => self.declare()?,
            "SET" => self.set()?,
            "IF" => self.if_statement()?,
            "WHILE" => {
                self.at += 1;
                let condition = self.condition()?;
                Kind::While { condition, body: Box::new(self.statement(false)?) }
            }
            "BEGIN" => self.begin()?,
            "BREAK" => self.single(Kind::Break),
            "CONTINUE" => self.single(Kind::Continue),
            "RETURN" => {
                self.at += 1;
                let end = if self.begins_any_statement() { self.at } else { self.end(|_| false) };
                let value = if end > self.at { Some(self.expression_to(end)?) } else { None };
                Kind::Return(value)
            }
            "PRINT" => {
                self.at += 1;
                Kind::Print(self.expression(&[])?)
            }
            "RAISERROR" => self.raise_error()?,
            "THROW" => self.throw()?,
            "EXEC" | "EXECUTE" => self.execute()?,
            "WAITFOR" => {
                self.at += 1;
                let delay = self.take("DELAY");
                if !delay {
                    self.expect("TIME")?;
                }
                Kind::WaitFor { delay, time: self.expression(&[])? }
            }
            "COMMIT" => {
                self.at += 1;
                let _ = self.take_any(&["TRANSACTION", "TRAN", "WORK"]);
                self.transaction_name()?;
                self.skip_with_options()?;
                Kind::Commit
            }
            "ROLLBACK" => {
                self.at += 1;
                let _ = self.take_any(&["TRANSACTION", "TRAN", "WORK"]);
                Kind::Rollback { name: self.transaction_name()? }
            }
            "SAVE" => {
                self.at += 1;
                if !self.take_any(&["TRANSACTION", "TRAN"]) {
                    return Err(self.unexpected());
                }
                Kind::Save { name: self.identifier()? }
            }
            "USE" => {
                self.at += 1;
                Kind::Use(self.identifier()?)
            }
            "KILL" => {
                self.at += 1;
                Kind::Kill(self.expression(&[])?)
            }
            "CHECKPOINT" => {
                // Nothing is on a disk, so that all of it could be.
                self.at = self.statement_end();
                Kind::Nothing
            }
            "RECONFIGURE" => self.reconfigure(),
            "REVERT" => self.revert()?,
            "DBCC" => self.dbcc()?,
            "GOTO" => {
                self.at += 1;
                Kind::Goto(self.identifier()?)
            }
            "OPEN" => self.open_cursor()?,
            "CLOSE" => self.close_cursor()?,
            "DEALLOCATE" => self.deallocate_cursor()?,
            "FETCH" => self.fetch_cursor()?,
            _ => return Ok(None),
        };
        Ok(Some(kind))
    }

    fn single(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    /// The end of a statement whose rest doesn't matter.
    pub(super) fn statement_end(&self) -> usize {
        self.end(|_| false)
    }

    fn skip_with_options(&mut self) -> SqlResult<()> {
        if self.is("WITH") && self.is_token_at(1, &Token::LParen) {
            self.at += 1;
            self.skip_parenthesised()?;
        }
        Ok(())
    }

    fn transaction_name(&mut self) -> SqlResult<Option<String>> {
        let named = matches!(self.peek(0).map(|lexeme| &lexeme.token), Some(Token::Word(_)))
            && !self.begins_any_statement()
            && !self.is("WITH");
        if named { self.identifier().map(Some) } else { Ok(None) }
    }

    fn begins_any_statement(&self) -> bool {
        self.peek(0).is_some_and(|lexeme| {
            lexeme.is_any(super::STATEMENT_WORDS)
                || lexeme.is_any(&["SELECT", "MERGE", "FETCH", "END", "ELSE", "WITH", "THROW"])
        })
    }

    fn condition(&mut self) -> SqlResult<Expr> {
        let end = self.end(|_| false);
        self.expression_to(end)
    }

    fn if_statement(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        let condition = self.condition()?;
        let then = Box::new(self.statement(false)?);
        let before = self.at;
        self.skip_semicolons();
        if self.take("ELSE") {
            let otherwise = Some(Box::new(self.statement(false)?));
            return Ok(Kind::If { condition, then, otherwise });
        }
        self.at = before;
        Ok(Kind::If { condition, then, otherwise: None })
    }

    fn begin(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        if self.is("DISTRIBUTED") {
            return Err(SqlError::unsupported("distributed transactions"));
        }
        if self.take_any(&["TRANSACTION", "TRAN"]) {
            // A transaction goes by its name only where it is rolled back.
            self.transaction_name()?;
            if self.take("WITH") {
                self.expect("MARK")?;
                if matches!(
                    self.peek(0).map(|lexeme| &lexeme.token),
                    Some(Token::SingleQuotedString(_) | Token::NationalStringLiteral(_))
                ) {
                    self.at += 1;
                }
            }
            return Ok(Kind::Begin);
        }
        if self.take("TRY") {
            let body = self.statements_until_end()?;
            self.expect("TRY")?;
            self.skip_semicolons();
            if !self.take_all(&["BEGIN", "CATCH"]) {
                return Err(self.unexpected());
            }
            let handler = self.statements_until_end()?;
            self.expect("CATCH")?;
            return Ok(Kind::TryCatch { body, handler });
        }
        Ok(Kind::Block(self.statements_until_end()?))
    }

    fn statements_until_end(&mut self) -> SqlResult<Vec<Statement>> {
        let mut statements = Vec::new();
        self.skip_semicolons();
        while !self.take("END") {
            if self.is_at_end() {
                return Err(self.unexpected());
            }
            statements.push(self.statement(false)?);
            self.skip_semicolons();
        }
        Ok(statements)
    }

    fn declare(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        if self.begins_cursor() {
            return self.cursor_declaration();
        }
        let mut declarations = vec![self.declaration()?];
        while self.take_token(&Token::Comma) {
            declarations.push(self.declaration()?);
        }
        Ok(Kind::Declare(declarations))
    }

    fn declaration(&mut self) -> SqlResult<Declaration> {
        let name = self.variable()?;
        let _ = self.take("AS");
        if self.take("TABLE") {
            return Ok(Declaration { name, kind: DeclarationKind::Table(self.table_shape()?) });
        }
        if self.take("CURSOR") {
            return Ok(Declaration { name, kind: DeclarationKind::Cursor });
        }
        let data_type = self.type_name()?;
        let value = if self.take_token(&Token::Eq) { Some(self.expression(&[])?) } else { None };
        Ok(Declaration { name, kind: DeclarationKind::Scalar { data_type, value } })
    }

    /// `=` or `+=` and its like.
    pub(super) fn assignment_operator(&mut self) -> SqlResult<Option<Operator>> {
        if self.take_token(&Token::Eq) {
            return Ok(None);
        }
        let operator = self.peek(0).and_then(|lexeme| super::compound::operator(&lexeme.token));
        let operator = operator.ok_or_else(|| self.unexpected())?;
        self.at += 1;
        self.expect_token(&Token::Eq)?;
        Ok(Some(operator))
    }

    fn set(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        if self.is_variable() {
            let name = self.variable()?;
            let operator = self.assignment_operator()?;
            if operator.is_none() && self.take("CURSOR") {
                let definition = self.cursor_definition(&mut true, &mut false)?;
                return Ok(Kind::DeclareCursor { name: CursorName { name, global: false }, definition });
            }
            return Ok(Kind::SetVariable { name, operator, value: self.expression(&[])? });
        }
        let end = self.statement_end();
        let mut words = Vec::new();
        while self.at < end {
            words.extend(self.peek(0).map(super::Lexeme::shown));
            self.at += 1;
        }
        // `SET IDENTITY_INSERT t ON`, `SET XACT_ABORT, NOCOUNT ON`: all end in what they are set to.
        if words.len() < 2 {
            return Err(self.unexpected());
        }
        Ok(Kind::SetOption(words))
    }

    fn raise_error(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        let arguments = self.expression_list()?;
        let mut options = Vec::new();
        if self.take("WITH") {
            options.push(self.identifier()?.to_ascii_uppercase());
            while self.take_token(&Token::Comma) {
                options.push(self.identifier()?.to_ascii_uppercase());
            }
        }
        Ok(Kind::RaiseError { arguments, options })
    }

    /// `( a, b, c )`.
    fn expression_list(&mut self) -> SqlResult<Vec<Expr>> {
        let close = if self.is_token(&Token::LParen) { self.closing(self.at)? } else { return Err(self.unexpected()) };
        self.at += 1;
        let mut list = vec![self.expression(&[])?];
        while self.take_token(&Token::Comma) {
            list.push(self.expression(&[])?);
        }
        if self.at != close {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(list)
    }

    fn throw(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        if self.is_at_end() || self.is_token(&Token::SemiColon) || self.begins_any_statement() {
            return Ok(Kind::Throw(None));
        }
        let number = self.expression(&[])?;
        self.expect_token(&Token::Comma)?;
        let message = self.expression(&[])?;
        self.expect_token(&Token::Comma)?;
        let state = self.expression(&[])?;
        Ok(Kind::Throw(Some([number, message, state])))
    }

    fn execute(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        if self.is_token(&Token::LParen) {
            let text = self.parenthesised()?.expression;
            if (self.is("AS") && (self.is_at(1, "USER") || self.is_at(1, "LOGIN"))) || self.is("AT") {
                return Err(SqlError::unsupported("EXECUTE (…) AS or AT"));
            }
            return Ok(Kind::ExecuteText(text));
        }
        if self.is("AS") {
            return self.execute_as();
        }
        let status = if self.is_variable() && self.is_token_at(1, &Token::Eq) {
            let name = self.variable()?;
            self.at += 1;
            Some(name)
        } else {
            None
        };
        let procedure = if self.is_variable() {
            ProcedureName::Variable(self.variable()?)
        } else {
            ProcedureName::Written(self.name()?)
        };
        let arguments = self.arguments()?;
        Ok(Kind::Execute(Execute { status, procedure, arguments }))
    }

    pub(super) fn bare_procedure(&mut self) -> SqlResult<Kind> {
        let procedure = ProcedureName::Written(self.name()?);
        let arguments = self.arguments()?;
        Ok(Kind::Execute(Execute { status: None, procedure, arguments }))
    }

    fn arguments(&mut self) -> SqlResult<Vec<Argument>> {
        let mut arguments = Vec::new();
        if self.is_at_end()
            || self.is_token(&Token::SemiColon)
            || self.is_token(&Token::RParen)
            || self.begins_any_statement()
        {
            self.skip_recompile();
            return Ok(arguments);
        }
        loop {
            arguments.push(self.argument()?);
            if !self.take_token(&Token::Comma) {
                self.skip_recompile();
                return Ok(arguments);
            }
        }
    }

    fn skip_recompile(&mut self) {
        let _ = self.take_all(&["WITH", "RECOMPILE"]);
    }

    fn argument(&mut self) -> SqlResult<Argument> {
        let name = if self.is_variable() && self.is_token_at(1, &Token::Eq) {
            let name = self.variable()?;
            self.at += 1;
            Some(name)
        } else {
            None
        };
        if self.take("DEFAULT") {
            return Ok(Argument { name, value: None, output: false });
        }
        let value = self.expression(&["OUTPUT", "OUT", "WITH"])?;
        let output = self.take_any(&["OUTPUT", "OUT"]);
        Ok(Argument { name, value: Some(value), output })
    }
}
