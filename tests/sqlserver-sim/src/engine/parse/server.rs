//! What concerns the server and the session rather than data: DBCC, RECONFIGURE, KILL, EXECUTE AS, owners.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{ExecuteAs, Kind, SecurableClass};
use super::Reader;

impl Reader<'_> {
    /// `DBCC CHECKIDENT ('t', RESEED, 5) WITH NO_INFOMSGS`.
    pub(super) fn dbcc(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        let command = self.identifier()?.to_ascii_uppercase();
        let mut arguments = Vec::new();
        if self.is_token(&Token::LParen) {
            let close = self.closing(self.at)?;
            self.at += 1;
            while self.at < close {
                arguments.push(self.expression(&[])?);
                if !self.take_token(&Token::Comma) {
                    break;
                }
            }
            if self.at != close {
                return Err(self.unexpected());
            }
            self.at += 1;
        }
        let mut options = Vec::new();
        if self.take("WITH") {
            options.push(self.identifier()?.to_ascii_uppercase());
            while self.take_token(&Token::Comma) {
                options.push(self.identifier()?.to_ascii_uppercase());
            }
        }
        Ok(Kind::Dbcc { command, arguments, options })
    }

    pub(super) fn reconfigure(&mut self) -> Kind {
        self.at += 1;
        let _ = self.take_all(&["WITH", "OVERRIDE"]);
        Kind::Reconfigure
    }

    /// `EXECUTE AS USER = 'u'`, from AS on.
    pub(super) fn execute_as(&mut self) -> SqlResult<Kind> {
        self.expect("AS")?;
        let who = if self.take("CALLER") {
            ExecuteAs::Caller
        } else {
            let login = self.take("LOGIN");
            if !login {
                self.expect("USER")?;
            }
            self.expect_token(&Token::Eq)?;
            let name = self.expression(&["WITH"])?;
            if login { ExecuteAs::Login(name) } else { ExecuteAs::User(name) }
        };
        if self.is("WITH") {
            return Err(SqlError::unsupported("EXECUTE AS … WITH NO REVERT or COOKIE"));
        }
        Ok(Kind::ExecuteAs(who))
    }

    /// `WITH EXECUTE AS OWNER` of a module, from AS on.
    pub(super) fn module_execute_as(&mut self) -> SqlResult<ExecuteAs> {
        self.expect("AS")?;
        if self.take("CALLER") {
            return Ok(ExecuteAs::Caller);
        }
        if self.take_any(&["OWNER", "SELF"]) {
            return Ok(ExecuteAs::Owner);
        }
        let name = self.string_or_identifier()?;
        Ok(ExecuteAs::User(Expr::value(sqlparser::ast::Value::SingleQuotedString(name))))
    }

    pub(super) fn revert(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        if self.is("WITH") && self.is_at(1, "COOKIE") {
            return Err(SqlError::unsupported("REVERT WITH COOKIE"));
        }
        Ok(Kind::Revert)
    }

    /// `ALTER AUTHORIZATION ON SCHEMA::s TO u`, from ON on.
    pub(super) fn authorization(&mut self) -> SqlResult<Kind> {
        self.expect("ON")?;
        let class = if self.is_token_at(1, &Token::DoubleColon) {
            let class = self.identifier()?.to_ascii_uppercase();
            self.at += 1;
            match class.as_str() {
                "SCHEMA" => SecurableClass::Schema,
                "DATABASE" => SecurableClass::Database,
                other => return Err(SqlError::unsupported(format!("ALTER AUTHORIZATION ON {other}"))),
            }
        } else {
            return Err(SqlError::unsupported("ALTER AUTHORIZATION ON an object"));
        };
        let name = self.name()?;
        self.expect("TO")?;
        if self.take_all(&["SCHEMA", "OWNER"]) {
            return Err(SqlError::unsupported("ALTER AUTHORIZATION … TO SCHEMA OWNER"));
        }
        Ok(Kind::ChangeOwner { class, name, owner: self.identifier()? })
    }
}
