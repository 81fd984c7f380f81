//! Columns and constraints: the part that CREATE TABLE, ALTER TABLE and DECLARE … TABLE share.

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{
    ColumnDefinition, ConstraintDefinition, ConstraintKind, CreateIndex, ForeignKeyAction, KeyColumn, Name, OnScheme,
    TableShape, Versioning, Written,
};
use super::Reader;

/// What may follow a default's expression within a column.
const COLUMN_WORDS: &[&str] = &[
    "NULL",
    "NOT",
    "PRIMARY",
    "UNIQUE",
    "CHECK",
    "REFERENCES",
    "FOREIGN",
    "CONSTRAINT",
    "IDENTITY",
    "DEFAULT",
    "WITH",
    "COLLATE",
    "ROWGUIDCOL",
    "SPARSE",
    "COLUMN_SET",
    "FOR",
    "PERSISTED",
    "GENERATED",
    "HIDDEN",
];

impl Reader<'_> {
    /// `( column …, constraint … )`.
    pub(super) fn table_shape(&mut self) -> SqlResult<TableShape> {
        self.expect_token(&Token::LParen)?;
        let mut shape = TableShape::default();
        loop {
            if self.is_token(&Token::RParen) {
                break;
            }
            self.table_element(&mut shape)?;
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(shape)
    }

    fn table_element(&mut self, shape: &mut TableShape) -> SqlResult<()> {
        if self.begins_constraint() {
            shape.constraints.push(self.constraint(None)?);
        } else if self.take("INDEX") {
            shape.indexes.push(self.inline_index()?);
        } else if self.is("PERIOD") && self.is_at(1, "FOR") {
            self.at += 1;
            shape.period = Some(self.period()?);
        } else {
            shape.columns.push(self.column()?);
        }
        Ok(())
    }

    /// `INDEX i [UNIQUE] [CLUSTERED] (…)`; its table is filled in by the caller.
    fn inline_index(&mut self) -> SqlResult<CreateIndex> {
        let name = self.identifier()?;
        let unique = self.take("UNIQUE");
        let clustered = self.clustered().unwrap_or(false);
        let columns = self.key_columns()?;
        let filter = if self.take("WHERE") { Some(self.written(&["WITH", "ON"])?) } else { None };
        let table = Name { database: None, schema: None, object: String::new() };
        Ok(CreateIndex {
            name,
            table,
            unique,
            clustered,
            columns,
            included: Vec::new(),
            filter,
            columnstore: false,
            drop_existing: false,
        })
    }

    pub(super) fn begins_constraint(&self) -> bool {
        let Some(lexeme) = self.peek(0) else { return false };
        lexeme.is_any(&["CONSTRAINT", "PRIMARY", "FOREIGN", "CHECK", "UNIQUE"])
            || (lexeme.is("DEFAULT") && !self.is_token_at(1, &Token::Eq))
    }

    pub(super) fn clustered(&mut self) -> Option<bool> {
        if self.take("CLUSTERED") {
            Some(true)
        } else if self.take("NONCLUSTERED") {
            Some(false)
        } else {
            None
        }
    }

    /// `(a ASC, b DESC)`.
    pub(super) fn key_columns(&mut self) -> SqlResult<Vec<KeyColumn>> {
        self.expect_token(&Token::LParen)?;
        let mut columns = Vec::new();
        loop {
            let name = self.identifier()?;
            let descending = self.take("DESC");
            let _ = self.take("ASC");
            columns.push(KeyColumn { name, descending });
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(columns)
    }

    /// `WITH (…)` and `ON [PRIMARY]` of an index or constraint change nothing here.
    pub(super) fn skip_storage_options(&mut self) -> SqlResult<()> {
        match self.storage_options()? {
            (None, None) => Ok(()),
            (Some(_), _) => {
                Err(SqlError::unsupported("a partition scheme there; put it after the columns of CREATE TABLE"))
            }
            (None, Some(_)) => Err(SqlError::syntax_near("SYSTEM_VERSIONING")),
        }
    }

    /// What follows the columns of a table: its partition scheme, and whether past rows are kept.
    pub(super) fn storage_options(&mut self) -> SqlResult<(Option<OnScheme>, Option<Versioning>)> {
        let (mut on, mut versioning) = (None, None);
        loop {
            if self.is("WITH") && self.is_token_at(1, &Token::LParen) {
                self.at += 1;
                versioning = self.table_options()?.or(versioning);
            } else if self.is("WITH") && (self.is_at(1, "FILLFACTOR") || self.is_at(1, "PAD_INDEX")) {
                self.at += 2;
                if self.take_token(&Token::Eq) {
                    self.at += 1;
                }
            } else if self.is("ON") || self.is("TEXTIMAGE_ON") || self.is("FILESTREAM_ON") {
                self.at += 1;
                let scheme = self.string_or_identifier()?;
                if self.take_token(&Token::LParen) {
                    on = Some(OnScheme { scheme, column: self.identifier()? });
                    self.expect_token(&Token::RParen)?;
                }
            } else {
                return Ok((on, versioning));
            }
        }
    }

    /// `( option = value, … )`: what changes results is read or refused, the rest passed over.
    fn table_options(&mut self) -> SqlResult<Option<Versioning>> {
        const REFUSED: &[&str] = &["IGNORE_DUP_KEY", "MEMORY_OPTIMIZED", "LEDGER", "FILETABLE_DIRECTORY"];
        let close = self.closing(self.at)?;
        self.at += 1;
        let mut versioning = None;
        while self.at < close {
            let on = self.is_token_at(1, &Token::Eq) && !self.is_at(2, "OFF");
            if on && let Some(lexeme) = self.peek(0).filter(|lexeme| lexeme.is_any(REFUSED)) {
                return Err(SqlError::unsupported(format!("{} = ON", lexeme.shown())));
            }
            if on && self.is("SYSTEM_VERSIONING") {
                self.at += 2;
                versioning = Some(self.versioning()?);
            } else {
                self.at += 1;
            }
        }
        self.at = close + 1;
        Ok(versioning)
    }

    /// `ON (HISTORY_TABLE = dbo.h, …)`, from ON on.
    pub(super) fn versioning(&mut self) -> SqlResult<Versioning> {
        self.expect("ON")?;
        let mut versioning = Versioning::default();
        if self.is_token(&Token::LParen) {
            let close = self.closing(self.at)?;
            self.at += 1;
            while self.at < close {
                if self.take("HISTORY_TABLE") {
                    self.expect_token(&Token::Eq)?;
                    versioning.history = Some(self.name()?);
                } else if self.is("HISTORY_RETENTION_PERIOD") {
                    return Err(SqlError::unsupported("HISTORY_RETENTION_PERIOD"));
                } else {
                    self.at += 1;
                }
            }
            self.at = close + 1;
        }
        Ok(versioning)
    }

    /// `FOR SYSTEM_TIME (a, b)`, after PERIOD.
    pub(super) fn period(&mut self) -> SqlResult<(String, String)> {
        self.expect("FOR")?;
        self.expect("SYSTEM_TIME")?;
        match self.parenthesised_names()?.as_slice() {
            [start, end] => Ok((start.clone(), end.clone())),
            _ => Err(self.unexpected()),
        }
    }

    /// A constraint of the table, or of `column` where it stands with one.
    pub(super) fn constraint(&mut self, column: Option<&str>) -> SqlResult<ConstraintDefinition> {
        let name = if self.take("CONSTRAINT") { Some(self.identifier()?) } else { None };
        let kind = self.constraint_kind(column)?;
        self.skip_storage_options_of_constraint(column)?;
        Ok(ConstraintDefinition { name, kind })
    }

    fn skip_storage_options_of_constraint(&mut self, column: Option<&str>) -> SqlResult<()> {
        // `ON DELETE` was read with the reference; a table's own `ON` follows its closing parenthesis.
        if column.is_none() || self.is("WITH") && self.is_token_at(1, &Token::LParen) {
            self.skip_storage_options()?;
        }
        Ok(())
    }

    fn constraint_kind(&mut self, column: Option<&str>) -> SqlResult<ConstraintKind> {
        let own = || column.map(|name| vec![KeyColumn { name: name.to_owned(), descending: false }]);
        if self.take("PRIMARY") || self.is("UNIQUE") {
            let primary = !self.take("UNIQUE");
            if primary {
                self.expect("KEY")?;
            }
            let clustered = self.clustered();
            let columns = match own() {
                Some(columns) if !self.is_token(&Token::LParen) => columns,
                _ => self.key_columns()?,
            };
            return Ok(if primary {
                ConstraintKind::PrimaryKey { clustered, columns }
            } else {
                ConstraintKind::Unique { clustered, columns }
            });
        }
        if self.take("CHECK") {
            let _ = self.take_all(&["NOT", "FOR", "REPLICATION"]);
            return Ok(ConstraintKind::Check(self.parenthesised()?));
        }
        if self.take("DEFAULT") {
            let value = self.default_value()?;
            let column = if self.take("FOR") { Some(self.identifier()?) } else { column.map(str::to_owned) };
            let column = column.ok_or_else(|| self.unexpected())?;
            return Ok(ConstraintKind::Default { column, value });
        }
        let mut columns: Vec<String> = column.map(str::to_owned).into_iter().collect();
        if self.take("FOREIGN") {
            self.expect("KEY")?;
            if self.is_token(&Token::LParen) {
                columns = self.parenthesised_names()?;
            }
        }
        self.expect("REFERENCES")?;
        let table = self.name()?;
        let referenced = if self.is_token(&Token::LParen) { self.parenthesised_names()? } else { Vec::new() };
        let (mut on_delete, mut on_update) = (ForeignKeyAction::NoAction, ForeignKeyAction::NoAction);
        while self.is("ON") && (self.is_at(1, "DELETE") || self.is_at(1, "UPDATE")) {
            self.at += 1;
            let delete = self.take("DELETE") || !self.take("UPDATE");
            let action = self.foreign_key_action()?;
            if delete {
                on_delete = action;
            } else {
                on_update = action;
            }
        }
        let _ = self.take_all(&["NOT", "FOR", "REPLICATION"]);
        Ok(ConstraintKind::ForeignKey { columns, table, referenced, on_delete, on_update })
    }

    fn foreign_key_action(&mut self) -> SqlResult<ForeignKeyAction> {
        if self.take("CASCADE") {
            Ok(ForeignKeyAction::Cascade)
        } else if self.take_all(&["NO", "ACTION"]) {
            Ok(ForeignKeyAction::NoAction)
        } else if self.take_all(&["SET", "NULL"]) {
            Ok(ForeignKeyAction::SetNull)
        } else if self.take_all(&["SET", "DEFAULT"]) {
            Ok(ForeignKeyAction::SetDefault)
        } else {
            Err(self.unexpected())
        }
    }

    /// A default's value: in parentheses, or a constant or function without.
    fn default_value(&mut self) -> SqlResult<Written> {
        self.written(COLUMN_WORDS)
    }

    pub(super) fn column(&mut self) -> SqlResult<ColumnDefinition> {
        let name = self.identifier()?;
        let mut column = ColumnDefinition {
            name,
            data_type: None,
            computed: None,
            persisted: false,
            nullable: None,
            identity: None,
            default: None,
            with_values: false,
            collation: None,
            row_start: None,
            hidden: false,
            column_set: false,
            constraints: Vec::new(),
        };
        if self.take("AS") {
            column.computed = Some(self.written(COLUMN_WORDS)?);
        } else if self.is_timestamp_without_type(&column.name) {
            // `timestamp` alone declares a column of that name and type.
            column.data_type = Some(super::type_name("timestamp")?);
        } else {
            column.data_type = Some(self.type_name()?);
        }
        while self.column_option(&mut column)? {}
        Ok(column)
    }

    fn is_timestamp_without_type(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("timestamp") && (self.is_token(&Token::Comma) || self.is_token(&Token::RParen))
    }

    /// Reads one option; false where there is none left.
    fn column_option(&mut self, column: &mut ColumnDefinition) -> SqlResult<bool> {
        if self.take("NULL") {
            column.nullable = Some(true);
        } else if self.take_all(&["NOT", "FOR", "REPLICATION"]) || self.take_any(&["ROWGUIDCOL", "SPARSE"]) {
        } else if self.take_all(&["COLUMN_SET", "FOR", "ALL_SPARSE_COLUMNS"]) {
            column.column_set = true;
        } else if self.take_all(&["NOT", "NULL"]) {
            column.nullable = Some(false);
        } else if self.take("IDENTITY") {
            column.identity = Some(self.identity()?);
        } else if self.take("PERSISTED") {
            column.persisted = true;
        } else if self.take("HIDDEN") {
            column.hidden = true;
        } else if self.take_all(&["GENERATED", "ALWAYS", "AS"]) {
            if !self.take("ROW") {
                return Err(SqlError::unsupported("columns GENERATED ALWAYS AS other than ROW START and ROW END"));
            }
            let start = self.take("START");
            if !start {
                self.expect("END")?;
            }
            column.row_start = Some(start);
        } else if self.take("COLLATE") {
            column.collation = Some(self.identifier()?);
        } else if self.take_all(&["WITH", "VALUES"]) {
            column.with_values = true;
        } else if self.is("DEFAULT") || (self.is("CONSTRAINT") && self.is_at(2, "DEFAULT")) {
            let name = if self.take("CONSTRAINT") { Some(self.identifier()?) } else { None };
            self.expect("DEFAULT")?;
            column.default = Some((name, self.default_value()?));
        } else if self.begins_constraint() || self.is("REFERENCES") {
            let constraint = self.constraint(Some(&column.name.clone()))?;
            column.constraints.push(constraint);
        } else if self.peek(0).is_some_and(|lexeme| lexeme.is_any(&["MASKED", "ENCRYPTED", "FILESTREAM"])) {
            return Err(SqlError::unsupported("masked, encrypted and filestream columns"));
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn identity(&mut self) -> SqlResult<(i64, i64)> {
        if !self.take_token(&Token::LParen) {
            return Ok((1, 1));
        }
        let seed = self.integer()?;
        self.expect_token(&Token::Comma)?;
        let increment = self.integer()?;
        self.expect_token(&Token::RParen)?;
        Ok((seed, increment))
    }
}
