//! INSERT, UPDATE, DELETE, MERGE. Their parts that are like a query are read as one: `DELETE t FROM t JOIN u …` needs
//! the rows of `SELECT * FROM t JOIN u …`.

use sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlResult};

use super::super::statement::{
    Assignment, Delete, Insert, InsertBulk, InsertSource, Kind, Merge, MergeAction, MergeClause, MergeMatch,
    OutputClause, Update,
};
use super::Reader;

/// A range of tokens.
type Range = (usize, usize);

impl Reader<'_> {
    /// `WITH …` before any of the statements on data.
    pub(super) fn with_common_tables(&mut self) -> SqlResult<Kind> {
        let from = self.at;
        let after = self.after_common_tables()?;
        if self.lexemes.get(after).is_some_and(|lexeme| lexeme.is("SELECT")) {
            return self.query().map(Kind::Select);
        }
        self.at = after;
        self.data_statement(Some((from, after)))
    }

    pub(super) fn data_statement(&mut self, common: Option<Range>) -> SqlResult<Kind> {
        let common = common.unwrap_or((self.at, self.at));
        if self.take("INSERT") {
            if self.is("BULK") && !self.is_token_at(1, &Token::Period) && !self.is_token_at(1, &Token::LParen) {
                self.at += 1;
                return self.insert_bulk().map(|bulk| Kind::InsertBulk(Box::new(bulk)));
            }
            return self.insert(common).map(|insert| Kind::Insert(Box::new(insert)));
        }
        if self.take("UPDATE") {
            if self.take("STATISTICS") {
                self.at = self.statement_end();
                return Ok(Kind::Nothing);
            }
            return self.update(common).map(|update| Kind::Update(Box::new(update)));
        }
        if self.take("DELETE") {
            return self.delete(common).map(|delete| Kind::Delete(Box::new(delete)));
        }
        if self.take("MERGE") {
            return self.merge(common).map(|merge| Kind::Merge(Box::new(merge)));
        }
        self.expect("TRUNCATE")?;
        self.expect("TABLE")?;
        let table = self.name()?;
        Ok(Kind::Truncate { table, partitions: self.truncated_partitions()? })
    }

    /// `TOP (n)` before the target: its tokens.
    fn top(&mut self) -> SqlResult<Range> {
        let from = self.at;
        if self.take("TOP") {
            if self.is_token(&Token::LParen) {
                self.skip_parenthesised()?;
            } else {
                self.at += 1;
            }
            let _ = self.take("PERCENT");
        }
        Ok((from, self.at))
    }

    fn skip_hints(&mut self) -> SqlResult<()> {
        if self.is("WITH") && self.is_token_at(1, &Token::LParen) {
            self.at += 1;
            self.skip_parenthesised()?;
        }
        Ok(())
    }

    fn output(&mut self, stops: &[&str]) -> SqlResult<Option<OutputClause>> {
        if !self.take("OUTPUT") {
            return Ok(None);
        }
        let from = self.at;
        let mut all_stops = vec!["INTO"];
        all_stops.extend(stops);
        self.at = self.end(|lexeme| lexeme.is_any(&all_stops));
        let list = self.query_of("SELECT", &[(from, self.at)])?;
        let into = if self.take("INTO") {
            let target = self.name()?;
            let columns = if self.is_token(&Token::LParen) { self.parenthesised_names()? } else { Vec::new() };
            Some((target, columns))
        } else {
            None
        };
        Ok(Some(OutputClause { list, into }))
    }

    fn insert(&mut self, common: Range) -> SqlResult<Insert> {
        let top = if self.take("TOP") {
            let quantity =
                if self.is_token(&Token::LParen) { self.parenthesised()?.expression } else { self.number()? };
            if self.is("PERCENT") {
                return Err(SqlError::unsupported("INSERT TOP … PERCENT"));
            }
            Some(quantity)
        } else {
            None
        };
        let _ = self.take("INTO");
        let target = self.name()?;
        self.skip_hints()?;
        let columns = if self.is_token(&Token::LParen) && !self.is_at(1, "SELECT") && !self.is_at(1, "WITH") {
            Some(self.parenthesised_names()?)
        } else {
            None
        };
        let output = self.output(&["VALUES", "DEFAULT", "SELECT", "EXEC", "EXECUTE"])?;
        let source = self.insert_source(common)?;
        Ok(Insert { target, top, columns, output, source })
    }

    /// A number that stands alone.
    fn number(&mut self) -> SqlResult<sqlparser::ast::Expr> {
        let end = self.at + 1;
        self.expression_to(end)
    }

    /// `t (a int, b nvarchar(10) COLLATE …) WITH (KEEP_NULLS, TABLOCK)`, as clients send it before their rows.
    fn insert_bulk(&mut self) -> SqlResult<InsertBulk> {
        let table = self.name()?;
        self.expect_token(&Token::LParen)?;
        let mut columns = Vec::new();
        loop {
            columns.push(self.identifier()?);
            self.type_name()?;
            if self.take("COLLATE") {
                self.identifier()?;
            }
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        let mut bulk = InsertBulk { table, columns, check_constraints: false, fire_triggers: false, keep_nulls: false };
        if self.take("WITH") {
            let close = self.closing(self.at)?;
            for at in self.at..close {
                let Some(lexeme) = self.lexemes.get(at) else { break };
                bulk.check_constraints |= lexeme.is("CHECK_CONSTRAINTS");
                bulk.fire_triggers |= lexeme.is("FIRE_TRIGGERS");
                bulk.keep_nulls |= lexeme.is("KEEP_NULLS");
            }
            self.at = close + 1;
        }
        Ok(bulk)
    }

    fn insert_source(&mut self, common: Range) -> SqlResult<InsertSource> {
        if self.take_all(&["DEFAULT", "VALUES"]) {
            return Ok(InsertSource::DefaultValues);
        }
        if self.take("VALUES") {
            let mut rows = vec![self.value_row()?];
            while self.take_token(&Token::Comma) {
                rows.push(self.value_row()?);
            }
            self.skip_option()?;
            return Ok(InsertSource::Values(rows));
        }
        if self.is("EXEC") || self.is("EXECUTE") {
            return Ok(InsertSource::Execute(Box::new(self.statement(false)?)));
        }
        let from = self.at;
        // The query's own common tables stand before INSERT; it can't have others.
        self.at = self.end(|lexeme| lexeme.is("OPTION"));
        let end = self.at;
        let settings = self.option()?;
        let mut query = self.query_of("", &[common, (from, end)])?;
        query.settings = settings;
        Ok(InsertSource::Query(query))
    }

    /// `(a, DEFAULT, b)`.
    fn value_row(&mut self) -> SqlResult<Vec<Option<sqlparser::ast::Expr>>> {
        self.expect_token(&Token::LParen)?;
        let mut row = Vec::new();
        loop {
            row.push(if self.take("DEFAULT") { None } else { Some(self.expression(&[])?) });
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(row)
    }

    fn assignments(&mut self, stops: &[&str]) -> SqlResult<Vec<Assignment>> {
        let mut assignments = vec![self.assignment(stops)?];
        while self.take_token(&Token::Comma) {
            assignments.push(self.assignment(stops)?);
        }
        Ok(assignments)
    }

    fn assignment(&mut self, stops: &[&str]) -> SqlResult<Assignment> {
        let (mut column, mut variable) = (None, None);
        if self.is_variable() {
            variable = Some(self.variable()?);
            // `@v = column = expression` sets both.
            if self.is_token(&Token::Eq)
                && matches!(self.peek(1).map(|l| &l.token), Some(Token::Word(_)))
                && self.is_token_at(2, &Token::Eq)
            {
                self.at += 1;
                column = Some(self.identifier()?);
            }
        } else {
            // A column may be named with its table.
            let mut parts = self.parts()?;
            if self.is_token(&Token::LParen) && parts.last().is_some_and(|part| part.eq_ignore_ascii_case("WRITE")) {
                return Err(SqlError::unsupported(".WRITE; assign the whole value"));
            }
            column = parts.pop();
        }
        let operator = self.assignment_operator()?;
        let value = if self.take("DEFAULT") { None } else { Some(self.expression(stops)?) };
        Ok(Assignment { column, variable, value, operator })
    }

    /// The tokens from FROM (or WHERE) to the end of the statement.
    fn rest(&mut self) -> SqlResult<Range> {
        let from = self.at;
        if self.is("FROM") || self.is("WHERE") {
            if self.is("WHERE") && self.is_at(1, "CURRENT") && self.is_at(2, "OF") {
                return Err(SqlError::unsupported("WHERE CURRENT OF"));
            }
            self.at += 1;
            self.at = self.end(|lexeme| lexeme.is("OPTION"));
        }
        let range = (from, self.at);
        self.skip_option()?;
        Ok(range)
    }

    fn update(&mut self, common: Range) -> SqlResult<Update> {
        let top = self.top()?;
        let target_from = self.at;
        let target = self.name()?;
        self.skip_hints()?;
        let target_range = (target_from, self.at);
        self.expect("SET")?;
        let assignments = self.assignments(&["OUTPUT", "FROM", "WHERE", "OPTION"])?;
        let output = self.output(&["FROM", "WHERE", "OPTION"])?;
        let rows = self.target_rows(common, top, target_range)?;
        Ok(Update { target, assignments, output, rows })
    }

    fn delete(&mut self, common: Range) -> SqlResult<Delete> {
        let top = self.top()?;
        let _ = self.take("FROM");
        let target_from = self.at;
        let target = self.name()?;
        self.skip_hints()?;
        let target_range = (target_from, self.at);
        let output = self.output(&["FROM", "WHERE", "OPTION"])?;
        let rows = self.target_rows(common, top, target_range)?;
        Ok(Delete { target, output, rows })
    }

    /// The query over the rows that an UPDATE or DELETE is about.
    fn target_rows(&mut self, common: Range, top: Range, target: Range) -> SqlResult<Box<sqlparser::ast::Query>> {
        let has_from = self.is("FROM");
        let rest = self.rest()?;
        let select = self.query_ranges(common, "SELECT", top);
        let mut ranges = select;
        if has_from {
            ranges.push(("*".to_owned(), rest));
        } else {
            ranges.push(("* FROM".to_owned(), target));
            ranges.push((String::new(), rest));
        }
        self.query_of_parts(&ranges)
    }

    fn query_ranges(&self, common: Range, word: &str, top: Range) -> Vec<(String, Range)> {
        vec![(String::new(), common), (word.to_owned(), top)]
    }

    /// A query made of pieces: our own words, then tokens of the text, and so on.
    fn query_of_parts(&self, parts: &[(String, Range)]) -> SqlResult<Box<sqlparser::ast::Query>> {
        let mut tokens = Vec::new();
        let mut origin = Vec::new();
        for (words, (from, to)) in parts {
            let own = super::tokens::for_sqlparser(&super::tokens::lexemes(words)?);
            origin.extend(std::iter::repeat_n(*from, own.len()));
            tokens.extend(own);
            tokens.extend(super::tokens::for_sqlparser(self.lexemes.get(*from..*to).unwrap_or_default()));
            origin.extend(*from..*to);
        }
        self.run_sqlparser(tokens, &origin, |parser| parser.parse_query())
    }

    fn merge(&mut self, common: Range) -> SqlResult<Merge> {
        if self.is("TOP") {
            return Err(SqlError::unsupported("MERGE TOP"));
        }
        let _ = self.take("INTO");
        let target = self.name()?;
        self.skip_hints()?;
        let named = self.take("AS") || (!self.is("USING") && !self.is_at_end());
        let alias = if named { Some(self.identifier()?) } else { None };
        self.expect("USING")?;
        let source_from = self.at;
        self.at = self.merge_source_end();
        let source =
            self.query_of_parts(&[(String::new(), common), ("SELECT * FROM".to_owned(), (source_from, self.at))])?;
        self.expect("ON")?;
        let end = self.end(|lexeme| lexeme.is("WHEN"));
        let condition = self.expression_to(end)?;
        let mut clauses = Vec::new();
        while self.take("WHEN") {
            clauses.push(self.merge_clause()?);
        }
        let output = self.output(&["OPTION"])?;
        self.skip_option()?;
        Ok(Merge { target, alias, source, condition, clauses, output })
    }

    /// The ON that belongs to MERGE itself: each JOIN in the source takes one before it.
    fn merge_source_end(&self) -> usize {
        let (mut depth, mut joins) = (0_usize, 0_usize);
        for (at, lexeme) in self.lexemes.iter().enumerate().skip(self.at) {
            match lexeme.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.saturating_sub(1),
                _ if depth > 0 => {}
                _ if lexeme.is("JOIN") => joins += 1,
                _ if lexeme.is("ON") && joins > 0 => joins -= 1,
                _ if lexeme.is("ON") => return at,
                _ => {}
            }
        }
        self.lexemes.len()
    }

    fn merge_clause(&mut self) -> SqlResult<MergeClause> {
        let when = if self.take("MATCHED") {
            MergeMatch::Matched
        } else {
            self.expect("NOT")?;
            self.expect("MATCHED")?;
            match (self.take("BY"), self.take("SOURCE")) {
                (true, true) => MergeMatch::NotMatchedBySource,
                (true, false) => {
                    self.expect("TARGET")?;
                    MergeMatch::NotMatchedByTarget
                }
                (false, _) => MergeMatch::NotMatchedByTarget,
            }
        };
        let condition = if self.take("AND") {
            let end = self.end(|lexeme| lexeme.is("THEN"));
            Some(self.expression_to(end)?)
        } else {
            None
        };
        self.expect("THEN")?;
        Ok(MergeClause { when, condition, action: self.merge_action()? })
    }

    fn merge_action(&mut self) -> SqlResult<MergeAction> {
        if self.take("DELETE") {
            return Ok(MergeAction::Delete);
        }
        if self.take("UPDATE") {
            self.expect("SET")?;
            return self.assignments(&["WHEN", "OUTPUT", "OPTION"]).map(MergeAction::Update);
        }
        self.expect("INSERT")?;
        let columns = if self.is_token(&Token::LParen) { Some(self.parenthesised_names()?) } else { None };
        if self.take_all(&["DEFAULT", "VALUES"]) {
            return Ok(MergeAction::Insert { columns, values: None });
        }
        self.expect("VALUES")?;
        Ok(MergeAction::Insert { columns, values: Some(self.value_row()?) })
    }
}
