//! Sequences, synonyms and types.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{Kind, SequenceDefinition};
use super::Reader;

impl Reader<'_> {
    /// What follows the name of a sequence.
    pub(super) fn sequence(&mut self) -> SqlResult<SequenceDefinition> {
        let mut definition = SequenceDefinition::default();
        loop {
            if self.take("AS") {
                definition.data_type = Some(self.type_name()?);
            } else if self.take("START") {
                self.expect("WITH")?;
                definition.start = Some(self.integer()?);
            } else if self.take("RESTART") {
                definition.restart = true;
                if self.take("WITH") {
                    definition.start = Some(self.integer()?);
                }
            } else if self.take("INCREMENT") {
                self.expect("BY")?;
                definition.increment = Some(self.integer()?);
            } else if self.take("MINVALUE") {
                definition.minimum = Some(self.integer()?);
            } else if self.take("MAXVALUE") {
                definition.maximum = Some(self.integer()?);
            } else if self.take("CYCLE") {
                definition.cycle = Some(true);
            } else if self.take("CACHE") {
                // No crash here loses what was cached.
                if matches!(self.peek(0).map(|lexeme| &lexeme.token), Some(Token::Number(..))) {
                    self.integer()?;
                }
            } else if self.take("NO") {
                if self.take("CYCLE") {
                    definition.cycle = Some(false);
                } else if !self.take_any(&["MINVALUE", "MAXVALUE", "CACHE"]) {
                    return Err(self.unexpected());
                }
            } else {
                return Ok(definition);
            }
        }
    }

    /// `CREATE TYPE n FROM base` or `AS TABLE (…)`, from the name on.
    pub(super) fn create_type(&mut self) -> SqlResult<Kind> {
        let name = self.name()?;
        if self.take("AS") {
            let from = self.at;
            self.expect("TABLE")?;
            self.table_shape()?;
            if self.is("WITH") {
                return Err(SqlError::unsupported("memory-optimized table types"));
            }
            return Ok(Kind::CreateTableType { name, definition: Arc::from(self.text_between(from, self.at)) });
        }
        self.expect("FROM")?;
        let base = self.type_name()?;
        let nullable = !self.take_all(&["NOT", "NULL"]);
        let _ = self.take("NULL");
        Ok(Kind::CreateType { name, base, nullable })
    }

    pub(super) fn create_synonym(&mut self) -> SqlResult<Kind> {
        let name = self.name()?;
        self.expect("FOR")?;
        let from = self.at;
        self.name()?;
        Ok(Kind::CreateSynonym { name, target: self.text_between(from, self.at) })
    }
}
