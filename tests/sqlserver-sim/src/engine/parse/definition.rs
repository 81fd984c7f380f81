//! CREATE, ALTER and DROP of what isn't a module or a principal.

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{AlterAction, CreateIndex, CreateManner, CreateTable, Kind, Name, ObjectKind};
use super::Reader;

/// The one collation that databases have.
const COLLATION: &str = "SQL_Latin1_General_CP1_CI_AS";

impl Reader<'_> {
    pub(super) fn create(&mut self) -> SqlResult<Kind> {
        let from = self.at;
        self.at += 1;
        let manner = if self.take_all(&["OR", "ALTER"]) { CreateManner::CreateOrAlter } else { CreateManner::Create };
        if self.begins_module() {
            return self.module(from, manner);
        }
        if manner != CreateManner::Create {
            return Err(self.unexpected());
        }
        if self.take("TABLE") {
            let name = self.name()?;
            let shape = self.table_shape()?;
            let (on, versioning) = self.storage_options()?;
            return Ok(Kind::CreateTable(Box::new(CreateTable { name, shape, on, versioning })));
        }
        if self
            .peek(0)
            .is_some_and(|lexeme| lexeme.is_any(&["UNIQUE", "CLUSTERED", "NONCLUSTERED", "INDEX", "COLUMNSTORE"]))
        {
            return self.create_index().map(|index| Kind::CreateIndex(Box::new(index)));
        }
        if self.take("SCHEMA") {
            return self.create_schema();
        }
        if self.take("DATABASE") {
            let name = self.identifier()?;
            self.database_options()?;
            return Ok(Kind::CreateDatabase { name });
        }
        if self.take("TYPE") {
            return self.create_type();
        }
        if self.take("SEQUENCE") {
            let name = self.name()?;
            return Ok(Kind::CreateSequence { name, definition: self.sequence()? });
        }
        if self.take("SYNONYM") {
            return self.create_synonym();
        }
        if self.take("PARTITION") {
            return self.create_partition().map(Kind::Partition);
        }
        if self.take("STATISTICS") {
            self.at = self.statement_end();
            return Ok(Kind::Nothing);
        }
        self.create_principal()
    }

    /// Where its files are changes nothing here; what would, is refused.
    fn database_options(&mut self) -> SqlResult<()> {
        let end = self.statement_end();
        while self.at < end {
            if self.take("COLLATE") {
                let collation = self.identifier()?;
                if !collation.eq_ignore_ascii_case(COLLATION) {
                    return Err(SqlError::unsupported(format!("databases of the collation {collation}")));
                }
            } else if self.is("CONTAINMENT") && self.is_at(2, "PARTIAL") {
                return Err(SqlError::unsupported("contained databases"));
            } else if self.is("AS") && self.is_at(1, "SNAPSHOT") {
                return Err(SqlError::unsupported("database snapshots"));
            } else {
                self.at += 1;
            }
        }
        Ok(())
    }

    fn create_schema(&mut self) -> SqlResult<Kind> {
        let name = if self.is("AUTHORIZATION") { None } else { Some(self.identifier()?) };
        let owner = if self.take("AUTHORIZATION") { Some(self.identifier()?) } else { None };
        let name = name.or_else(|| owner.clone()).ok_or_else(|| self.unexpected())?;
        Ok(Kind::CreateSchema { name, owner })
    }

    fn create_index(&mut self) -> SqlResult<CreateIndex> {
        let unique = self.take("UNIQUE");
        let clustered = self.clustered().unwrap_or(false);
        let columnstore = self.take("COLUMNSTORE");
        self.expect("INDEX")?;
        let name = self.identifier()?;
        self.expect("ON")?;
        let table = self.name()?;
        let columns = if columnstore && !self.is_token(&Token::LParen) { Vec::new() } else { self.key_columns()? };
        let included = if self.take("INCLUDE") { self.parenthesised_names()? } else { Vec::new() };
        let filter = if self.take("WHERE") { Some(self.written(&["WITH", "ON"])?) } else { None };
        let from = self.at;
        self.skip_storage_options()?;
        let drop_existing = self.lexemes.get(from..self.at).unwrap_or_default().windows(3).any(|option| match option {
            [name, sign, value] => name.is("DROP_EXISTING") && sign.token == Token::Eq && value.is("ON"),
            _ => false,
        });
        Ok(CreateIndex { name, table, unique, clustered, columns, included, filter, columnstore, drop_existing })
    }

    pub(super) fn alter(&mut self) -> SqlResult<Kind> {
        let from = self.at;
        self.at += 1;
        if self.begins_module() {
            return self.module(from, CreateManner::Alter);
        }
        if self.take("TABLE") {
            let name = self.name()?;
            let actions = self.alter_actions()?;
            return Ok(Kind::AlterTable { name, actions });
        }
        if self.take("INDEX") {
            let index = if self.take("ALL") { None } else { Some(self.identifier()?) };
            self.expect("ON")?;
            let table = self.name()?;
            let action = self.identifier()?.to_ascii_uppercase();
            self.at = self.statement_end();
            return Ok(Kind::AlterIndex { index, table, action });
        }
        if self.take("SCHEMA") {
            let schema = self.identifier()?;
            self.expect("TRANSFER")?;
            if self.is_token_at(1, &Token::DoubleColon) {
                self.at += 2;
            }
            return Ok(Kind::TransferSchema { schema, object: self.name()? });
        }
        if self.take("PARTITION") {
            return self.alter_partition().map(Kind::Partition);
        }
        if self.take("SEQUENCE") {
            let name = self.name()?;
            return Ok(Kind::AlterSequence { name, definition: self.sequence()? });
        }
        if self.take("DATABASE") {
            return self.alter_database();
        }
        self.alter_principal()
    }

    fn alter_database(&mut self) -> SqlResult<Kind> {
        if self.take("SCOPED") {
            // How plans are made, of which there are none.
            if !self.is("CONFIGURATION") {
                return Err(SqlError::unsupported("ALTER DATABASE SCOPED other than CONFIGURATION"));
            }
            self.at += 1;
            self.at = self.scoped_configuration_end();
            return Ok(Kind::Nothing);
        }
        let name = self.identifier()?;
        let name = (!name.eq_ignore_ascii_case("CURRENT")).then_some(name);
        let end = self.end_of_alter_database();
        let mut options = Vec::new();
        while self.at < end {
            options.extend(self.peek(0).map(super::Lexeme::shown));
            self.at += 1;
        }
        Ok(Kind::AlterDatabase { name, options })
    }

    /// The SET that follows belongs to the statement.
    fn scoped_configuration_end(&self) -> usize {
        let own = usize::from(self.is("SET"));
        let mut inner = Reader { text: self.text, lexemes: self.lexemes.clone(), at: self.at + own, depth: self.depth };
        inner.at += usize::from(!inner.is_at_end());
        inner.statement_end()
    }

    /// The first SET, and the ROLLBACK of `WITH ROLLBACK IMMEDIATE`, belong to the statement.
    fn end_of_alter_database(&mut self) -> usize {
        let from = self.at;
        if self.is("SET") {
            self.at += 1;
        }
        let mut end = self.statement_end();
        let rollback = self.lexemes.get(end).is_some_and(|lexeme| lexeme.is("ROLLBACK"));
        let after_with = end.checked_sub(1).and_then(|at| self.lexemes.get(at)).is_some_and(|lexeme| lexeme.is("WITH"));
        if rollback && after_with {
            self.at = end;
            end = self.statement_end();
        }
        self.at = from;
        end
    }

    fn alter_actions(&mut self) -> SqlResult<Vec<AlterAction>> {
        // WITH CHECK or NOCHECK, before ADD or CHECK. New constraints are checked unless it says otherwise, old ones that
        // are enabled again only where it says so.
        let mut check_rows = None;
        if self.take("WITH") {
            check_rows = Some(self.take("CHECK"));
            if check_rows == Some(false) {
                self.expect("NOCHECK")?;
            }
        }
        if self.take("ADD") {
            let actions = self.added()?;
            if check_rows == Some(false) {
                return Err(SqlError::unsupported(
                    "ALTER TABLE … WITH NOCHECK ADD; rows that are there must satisfy a new constraint",
                ));
            }
            return Ok(actions);
        }
        if self.take("DROP") {
            return self.dropped();
        }
        if self.take_all(&["ALTER", "COLUMN"]) {
            return self.altered_column().map(|action| vec![action]);
        }
        if self.is("CHECK") || self.is("NOCHECK") {
            let enable = self.take("CHECK") || !self.take("NOCHECK");
            self.expect("CONSTRAINT")?;
            let names = self.names_or_all()?;
            let check_rows = check_rows.unwrap_or(false);
            return Ok(vec![AlterAction::EnableConstraints { enable, names, check_rows }]);
        }
        if self.is("ENABLE") || self.is("DISABLE") {
            let enable = self.take("ENABLE") || !self.take("DISABLE");
            if self.is("CHANGE_TRACKING") {
                return Err(SqlError::unsupported("change tracking"));
            }
            self.expect("TRIGGER")?;
            return Ok(vec![AlterAction::EnableTriggers { enable, names: self.names_or_all()? }]);
        }
        if self.take("SWITCH") {
            let partition = if self.take("PARTITION") { Some(self.expression(&["TO"])?) } else { None };
            self.expect("TO")?;
            let target = self.name()?;
            let target_partition = if self.take("PARTITION") { Some(self.expression(&["WITH"])?) } else { None };
            self.skip_storage_options()?;
            return Ok(vec![AlterAction::Switch { target, partition, target_partition }]);
        }
        if self.take("REBUILD") {
            if self.take("PARTITION") {
                self.expect_token(&Token::Eq)?;
                self.at += 1;
            }
            self.skip_storage_options()?;
            return Ok(vec![AlterAction::Nothing]);
        }
        if self.take("SET") {
            return self.table_setting().map(|action| vec![action]);
        }
        Err(self.unexpected())
    }

    /// `( SYSTEM_VERSIONING = OFF )` or `( LOCK_ESCALATION = AUTO )`.
    fn table_setting(&mut self) -> SqlResult<AlterAction> {
        self.expect_token(&Token::LParen)?;
        let action = if self.take("SYSTEM_VERSIONING") {
            self.expect_token(&Token::Eq)?;
            if self.take("OFF") {
                AlterAction::SystemVersioning(None)
            } else {
                self.versioning().map(|versioning| AlterAction::SystemVersioning(Some(versioning)))?
            }
        } else if self.take("LOCK_ESCALATION") {
            self.expect_token(&Token::Eq)?;
            self.at += 1;
            AlterAction::Nothing
        } else {
            let what = self.peek(0).map(super::Lexeme::shown).unwrap_or_default();
            return Err(SqlError::unsupported(format!("ALTER TABLE … SET ({what} …)")));
        };
        self.expect_token(&Token::RParen)?;
        Ok(action)
    }

    fn names_or_all(&mut self) -> SqlResult<Vec<String>> {
        if self.take("ALL") {
            return Ok(Vec::new());
        }
        let mut names = vec![self.name()?.object];
        while self.take_token(&Token::Comma) {
            names.push(self.name()?.object);
        }
        Ok(names)
    }

    fn added(&mut self) -> SqlResult<Vec<AlterAction>> {
        let mut actions = Vec::new();
        loop {
            if self.is("PERIOD") && self.is_at(1, "FOR") {
                self.at += 1;
                self.period()?;
                actions.push(AlterAction::AddPeriod);
                if !self.take_token(&Token::Comma) {
                    return Ok(actions);
                }
                continue;
            }
            actions.push(if self.begins_constraint() {
                AlterAction::AddConstraint(self.constraint(None)?)
            } else {
                AlterAction::AddColumn(self.column()?)
            });
            if !self.take_token(&Token::Comma) {
                return Ok(actions);
            }
            let _ = self.take("ADD");
        }
    }

    /// `DROP COLUMN a, b, CONSTRAINT c`.
    fn dropped(&mut self) -> SqlResult<Vec<AlterAction>> {
        let mut actions = Vec::new();
        let mut columns = false;
        let mut if_exists = false;
        loop {
            if self.is("PERIOD") && self.is_at(1, "FOR") {
                self.at += 2;
                self.expect("SYSTEM_TIME")?;
                return Ok(vec![AlterAction::DropPeriod]);
            }
            if self.take("COLUMN") {
                columns = true;
                if_exists = self.take_all(&["IF", "EXISTS"]);
            } else if self.take("CONSTRAINT") {
                columns = false;
                if_exists = self.take_all(&["IF", "EXISTS"]);
            } else if actions.is_empty() {
                if_exists = self.take_all(&["IF", "EXISTS"]);
            }
            let name = self.identifier()?;
            self.skip_storage_options()?;
            actions.push(if columns {
                AlterAction::DropColumn { name, if_exists }
            } else {
                AlterAction::DropConstraint { name, if_exists }
            });
            if !self.take_token(&Token::Comma) {
                return Ok(actions);
            }
        }
    }

    fn altered_column(&mut self) -> SqlResult<AlterAction> {
        let name = self.identifier()?;
        if self.is("ADD") || self.is("DROP") {
            return Err(SqlError::unsupported("ALTER COLUMN … ADD or DROP"));
        }
        let data_type = self.type_name()?;
        let collation = if self.take("COLLATE") { Some(self.identifier()?) } else { None };
        let nullable = if self.take_all(&["NOT", "NULL"]) {
            Some(false)
        } else if self.take("NULL") {
            Some(true)
        } else {
            None
        };
        self.skip_storage_options()?;
        Ok(AlterAction::AlterColumn { name, data_type, nullable, collation })
    }

    pub(super) fn trigger_state(&mut self) -> SqlResult<Kind> {
        let enable = self.take("ENABLE") || !self.take("DISABLE");
        self.expect("TRIGGER")?;
        let names = self.names_or_all()?;
        self.expect("ON")?;
        if self.is("DATABASE") || (self.is("ALL") && self.is_at(1, "SERVER")) {
            return Err(SqlError::unsupported("ENABLE and DISABLE of the triggers of a database or the server"));
        }
        let name = self.name()?;
        Ok(Kind::AlterTable { name, actions: vec![AlterAction::EnableTriggers { enable, names }] })
    }

    pub(super) fn drop_statement(&mut self) -> SqlResult<Kind> {
        self.at += 1;
        if self.take("DATABASE") {
            let if_exists = self.take_all(&["IF", "EXISTS"]);
            let names = self.names()?.into_iter().map(|name| name.object).collect();
            return Ok(Kind::DropDatabase { names, if_exists });
        }
        if self.take("INDEX") {
            return self.drop_index();
        }
        if self.take("STATISTICS") {
            self.at = self.statement_end();
            return Ok(Kind::Nothing);
        }
        if self.take("PARTITION") {
            return self.drop_partition().map(Kind::Partition);
        }
        let kind = self.object_kind()?;
        let if_exists = self.take_all(&["IF", "EXISTS"]);
        Ok(Kind::Drop { kind, names: self.names()?, if_exists })
    }

    fn object_kind(&mut self) -> SqlResult<ObjectKind> {
        const KINDS: &[(&str, ObjectKind)] = &[
            ("TABLE", ObjectKind::Table),
            ("VIEW", ObjectKind::View),
            ("PROCEDURE", ObjectKind::Procedure),
            ("PROC", ObjectKind::Procedure),
            ("FUNCTION", ObjectKind::Function),
            ("TRIGGER", ObjectKind::Trigger),
            ("SCHEMA", ObjectKind::Schema),
            ("TYPE", ObjectKind::Type),
            ("SYNONYM", ObjectKind::Synonym),
            ("SEQUENCE", ObjectKind::Sequence),
            ("LOGIN", ObjectKind::Login),
            ("USER", ObjectKind::User),
            ("ROLE", ObjectKind::Role),
        ];
        let found = KINDS.iter().find(|(word, _)| self.is(word));
        let Some((_, kind)) = found else { return Err(self.unexpected()) };
        self.at += 1;
        Ok(*kind)
    }

    fn names(&mut self) -> SqlResult<Vec<Name>> {
        let mut names = vec![self.name()?];
        while self.take_token(&Token::Comma) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// `DROP INDEX i ON t`, or the old `DROP INDEX t.i`.
    fn drop_index(&mut self) -> SqlResult<Kind> {
        let if_exists = self.take_all(&["IF", "EXISTS"]);
        let mut parts = self.parts()?;
        let index = parts.pop().unwrap_or_default();
        let table = if self.take("ON") {
            self.name()?
        } else {
            let object = parts.pop().ok_or_else(|| self.unexpected())?;
            Name { database: None, schema: parts.pop(), object }
        };
        self.skip_storage_options()?;
        Ok(Kind::DropIndex { index, table, if_exists })
    }
}
