//! CREATE, ALTER and DROP of what isn't a module or a principal.

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{AlterAction, CreateIndex, CreateManner, CreateTable, Kind, Name, ObjectKind};
use super::Reader;

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
            self.skip_storage_options()?;
            return Ok(Kind::CreateTable(Box::new(CreateTable { name, shape })));
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
            // Files, collation and containment change nothing here.
            self.at = self.statement_end();
            return Ok(Kind::CreateDatabase { name });
        }
        if self.take("TYPE") {
            let name = self.name()?;
            self.expect("FROM")?;
            let base = self.type_name()?;
            // Whether its values may be NULL is for each column to say.
            if !self.take_all(&["NOT", "NULL"]) {
                let _ = self.take("NULL");
            }
            return Ok(Kind::CreateType { name, base });
        }
        if self.take("STATISTICS") {
            self.at = self.statement_end();
            return Ok(Kind::Nothing);
        }
        self.create_principal()
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
        self.skip_storage_options()?;
        Ok(CreateIndex { name, table, unique, clustered, columns, included, filter, columnstore })
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
        if self.take("DATABASE") {
            return self.alter_database();
        }
        self.alter_principal()
    }

    fn alter_database(&mut self) -> SqlResult<Kind> {
        if self.is("SCOPED") {
            self.at = self.statement_end();
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
        if self.take("WITH") {
            // WITH CHECK or NOCHECK, before ADD or CHECK.
            if !self.take_any(&["CHECK", "NOCHECK"]) {
                return Err(self.unexpected());
            }
        }
        if self.take("ADD") {
            return self.added();
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
            self.at = self.statement_end();
            return Ok(vec![AlterAction::EnableConstraints { enable }]);
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
            self.at = self.statement_end();
            return Ok(vec![AlterAction::Switch { target, partition }]);
        }
        if self.take("REBUILD") || self.take("SET") {
            self.at = self.statement_end();
            return Ok(vec![AlterAction::Nothing]);
        }
        Err(self.unexpected())
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
