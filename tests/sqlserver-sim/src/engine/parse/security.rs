//! Logins, users, roles and permissions.

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{Kind, Permission, PermissionAction, SecurableClass, UserOption};
use super::Reader;

impl Reader<'_> {
    pub(super) fn create_principal(&mut self) -> SqlResult<Kind> {
        if self.take("LOGIN") {
            let name = self.identifier()?;
            if self.is("FROM") {
                return Err(SqlError::unsupported("logins FROM WINDOWS, a certificate or a key"));
            }
            self.expect("WITH")?;
            self.expect("PASSWORD")?;
            self.expect_token(&Token::Eq)?;
            let password = self.string_or_identifier()?;
            let default_database = self.login_options()?;
            return Ok(Kind::CreateLogin { name, password, default_database });
        }
        if self.take("USER") {
            let name = self.identifier()?;
            let login = if self.take_any(&["FOR", "FROM"]) {
                self.expect("LOGIN")?;
                Some(self.identifier()?)
            } else if self.take_all(&["WITHOUT", "LOGIN"]) {
                None
            } else {
                Some(name.clone())
            };
            if self.is("WITH") && self.is_at(1, "PASSWORD") {
                return Err(SqlError::unsupported("users of a contained database"));
            }
            let mut default_schema = None;
            if self.take("WITH") {
                self.expect("DEFAULT_SCHEMA")?;
                self.expect_token(&Token::Eq)?;
                default_schema = Some(self.identifier()?);
            }
            return Ok(Kind::CreateUser { name, login, default_schema });
        }
        if self.take("ROLE") {
            let name = self.identifier()?;
            if self.take("AUTHORIZATION") {
                let _ = self.identifier()?;
            }
            return Ok(Kind::CreateRole { name });
        }
        let what = self.peek(0).map(super::Lexeme::shown).unwrap_or_default();
        Err(SqlError::unsupported(format!("CREATE {what}")))
    }

    /// `, DEFAULT_DATABASE = d, CHECK_POLICY = OFF`: passwords have no policy here, so that it changes nothing.
    fn login_options(&mut self) -> SqlResult<Option<String>> {
        let mut default_database = None;
        if self.is("HASHED") || self.is("MUST_CHANGE") {
            return Err(SqlError::unsupported("hashed passwords, and those that must be changed"));
        }
        while self.take_token(&Token::Comma) {
            let option = self.identifier()?.to_ascii_uppercase();
            self.expect_token(&Token::Eq)?;
            match option.as_str() {
                "DEFAULT_DATABASE" => default_database = Some(self.identifier()?),
                "CHECK_POLICY" | "CHECK_EXPIRATION" | "DEFAULT_LANGUAGE" | "SID" => self.at += 1,
                other => return Err(SqlError::unsupported(format!("CREATE LOGIN … {other}"))),
            }
        }
        Ok(default_database)
    }

    /// `u WITH NAME = v, DEFAULT_SCHEMA = s, LOGIN = l`.
    fn alter_user(&mut self) -> SqlResult<Kind> {
        let name = self.identifier()?;
        self.expect("WITH")?;
        let mut options = Vec::new();
        loop {
            let option = self.identifier()?.to_ascii_uppercase();
            self.expect_token(&Token::Eq)?;
            options.push(match option.as_str() {
                "NAME" => UserOption::Name(self.identifier()?),
                "DEFAULT_SCHEMA" if self.take("NULL") => UserOption::DefaultSchema(None),
                "DEFAULT_SCHEMA" => UserOption::DefaultSchema(Some(self.identifier()?)),
                "LOGIN" => UserOption::Login(self.identifier()?),
                other => return Err(SqlError::unsupported(format!("ALTER USER … {other}"))),
            });
            if !self.take_token(&Token::Comma) {
                return Ok(Kind::AlterUser { name, options });
            }
        }
    }

    pub(super) fn alter_principal(&mut self) -> SqlResult<Kind> {
        if self.take("LOGIN") {
            let name = self.identifier()?;
            let end = self.statement_end();
            let mut options = Vec::new();
            while self.at < end {
                options.extend(self.peek(0).map(super::Lexeme::shown));
                self.at += 1;
            }
            return Ok(Kind::AlterLogin { name, options });
        }
        let server = self.is("SERVER") && self.is_at(1, "ROLE");
        self.at += usize::from(server);
        if self.take("ROLE") {
            let role = self.identifier()?;
            let add = self.take("ADD");
            if !add {
                self.expect("DROP")?;
            }
            self.expect("MEMBER")?;
            return Ok(Kind::AlterRole { role, member: self.identifier()?, add, server });
        }
        if self.take("USER") {
            return self.alter_user();
        }
        if self.take("AUTHORIZATION") {
            return self.authorization();
        }
        let what = self.peek(0).map(super::Lexeme::shown).unwrap_or_default();
        Err(SqlError::unsupported(format!("ALTER {what}")))
    }

    /// `GRANT SELECT, VIEW DATABASE STATE ON SCHEMA::cdc TO reader`.
    pub(super) fn permission(&mut self) -> SqlResult<Kind> {
        let action = if self.take("GRANT") {
            PermissionAction::Grant
        } else if self.take("DENY") {
            PermissionAction::Deny
        } else {
            self.expect("REVOKE")?;
            if self.is_at(1, "OPTION") {
                return Err(SqlError::unsupported("REVOKE GRANT OPTION FOR"));
            }
            PermissionAction::Revoke
        };
        let permissions = self.permission_names()?;
        let (class, securable) = self.securable(&permissions)?;
        if self.is_token(&Token::LParen) {
            return Err(SqlError::unsupported("permissions on columns"));
        }
        if !self.take("TO") {
            self.expect("FROM")?;
        }
        let mut grantees = vec![self.identifier()?];
        while self.take_token(&Token::Comma) {
            grantees.push(self.identifier()?);
        }
        if self.is("WITH") && self.is_at(1, "GRANT") {
            return Err(SqlError::unsupported("WITH GRANT OPTION"));
        }
        // Nobody holds a permission by the grace of another grantee.
        let _ = self.take("CASCADE");
        Ok(Kind::Permission(Permission { action, permissions, class, securable, grantees }))
    }

    fn permission_names(&mut self) -> SqlResult<Vec<String>> {
        let mut names = Vec::new();
        let mut words: Vec<String> = Vec::new();
        while !self.is("ON") && !self.is("TO") && !self.is("FROM") {
            if self.take_token(&Token::Comma) {
                names.push(words.join(" "));
                words.clear();
            } else if self.is_token(&Token::LParen) {
                return Err(SqlError::unsupported("permissions on columns"));
            } else {
                words.push(self.identifier()?.to_ascii_uppercase());
            }
        }
        names.push(words.join(" "));
        // EXEC is short for EXECUTE.
        for name in &mut names {
            if name == "EXEC" {
                "EXECUTE".clone_into(name);
            }
        }
        Ok(names)
    }

    fn securable(&mut self, permissions: &[String]) -> SqlResult<(SecurableClass, Option<super::Name>)> {
        if !self.take("ON") {
            let server = permissions.iter().any(|name| {
                name.contains("SERVER") || name.contains("ANY DATABASE") || name.contains("ANY DEFINITION")
            });
            return Ok((if server { SecurableClass::Server } else { SecurableClass::Database }, None));
        }
        let class = if self.is_token_at(1, &Token::DoubleColon) {
            let class = self.identifier()?.to_ascii_uppercase();
            self.at += 1;
            match class.as_str() {
                "SCHEMA" => SecurableClass::Schema,
                "OBJECT" => SecurableClass::Object,
                "DATABASE" => SecurableClass::Database,
                other => return Err(SqlError::unsupported(format!("permissions on {other}"))),
            }
        } else {
            SecurableClass::Object
        };
        let name = self.name()?;
        Ok((class, Some(name)))
    }
}
