//! Partition functions and schemes.

use sqlparser::ast::Expr;
use sqlparser::tokenizer::Token;

use crate::error::SqlResult;

use super::super::statement::PartitionStatement;
use super::Reader;

impl Reader<'_> {
    /// What follows `CREATE PARTITION`.
    pub(super) fn create_partition(&mut self) -> SqlResult<PartitionStatement> {
        if self.take("FUNCTION") {
            let name = self.identifier()?;
            self.expect_token(&Token::LParen)?;
            let data_type = self.type_name()?;
            self.expect_token(&Token::RParen)?;
            self.expect("AS")?;
            self.expect("RANGE")?;
            let right = self.take("RIGHT");
            if !right {
                let _ = self.take("LEFT");
            }
            self.expect("FOR")?;
            self.expect("VALUES")?;
            let boundaries = self.boundaries()?;
            return Ok(PartitionStatement::CreateFunction { name, data_type, right, boundaries });
        }
        self.expect("SCHEME")?;
        let name = self.identifier()?;
        self.expect("AS")?;
        self.expect("PARTITION")?;
        let function = self.identifier()?;
        let all = self.take("ALL");
        self.expect("TO")?;
        let places = self.parenthesised_names()?.len();
        Ok(PartitionStatement::CreateScheme { name, function, places, all })
    }

    /// `( a, b )`, or nothing in the parentheses.
    fn boundaries(&mut self) -> SqlResult<Vec<Expr>> {
        self.expect_token(&Token::LParen)?;
        let mut values = Vec::new();
        while !self.is_token(&Token::RParen) {
            values.push(self.expression(&[])?);
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(values)
    }

    /// What follows `ALTER PARTITION`.
    pub(super) fn alter_partition(&mut self) -> SqlResult<PartitionStatement> {
        if self.take("SCHEME") {
            let name = self.identifier()?;
            self.expect("NEXT")?;
            self.expect("USED")?;
            if matches!(self.peek(0).map(|lexeme| &lexeme.token), Some(Token::Word(_))) {
                self.identifier()?;
            }
            return Ok(PartitionStatement::AlterScheme { name });
        }
        self.expect("FUNCTION")?;
        let name = self.identifier()?;
        self.expect_token(&Token::LParen)?;
        self.expect_token(&Token::RParen)?;
        let split = self.take("SPLIT");
        if !split {
            // MERGE begins a statement elsewhere.
            self.expect("MERGE")?;
        }
        self.expect("RANGE")?;
        let boundary = if self.is_token(&Token::LParen) { Some(self.parenthesised()?.expression) } else { None };
        Ok(PartitionStatement::AlterFunction { name, split, boundary })
    }

    /// What follows `DROP PARTITION`.
    pub(super) fn drop_partition(&mut self) -> SqlResult<PartitionStatement> {
        if self.take("FUNCTION") {
            return self.identifier().map(|name| PartitionStatement::DropFunction { name });
        }
        self.expect("SCHEME")?;
        self.identifier().map(|name| PartitionStatement::DropScheme { name })
    }

    /// `WITH (PARTITIONS (1, 2 TO 4))` of TRUNCATE.
    pub(super) fn truncated_partitions(&mut self) -> SqlResult<Vec<(Expr, Expr)>> {
        let mut partitions = Vec::new();
        if !self.is("WITH") || !self.is_token_at(1, &Token::LParen) {
            return Ok(partitions);
        }
        self.at += 2;
        self.expect("PARTITIONS")?;
        self.expect_token(&Token::LParen)?;
        loop {
            let first = self.expression(&["TO"])?;
            let last = if self.take("TO") { self.expression(&[])? } else { first.clone() };
            partitions.push((first, last));
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        self.expect_token(&Token::RParen)?;
        Ok(partitions)
    }
}
