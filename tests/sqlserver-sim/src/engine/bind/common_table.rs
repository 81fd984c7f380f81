//! Common table expressions, recursive ones too.

use std::sync::Arc;

use sqlparser::ast::{self, TableFactor};

use crate::error::{SqlError, SqlResult};
use crate::value::SqlType;
use crate::value::collation::equal;

use super::super::plan::Source;
use super::source::{alias_columns, named_columns, object_name};
use super::{Binder, CommonTable};

impl Binder<'_, '_> {
    pub(super) fn with_common<T>(
        &mut self,
        with: Option<&ast::With>,
        read: impl FnOnce(&mut Self) -> SqlResult<T>,
    ) -> SqlResult<T> {
        let before = self.common.len();
        for table in with.map_or(&[][..], |with| &with.cte_tables) {
            let columns = alias_columns(Some(&table.alias));
            let query = Arc::new(ast::Query::clone(&table.query));
            self.common.push(CommonTable { name: table.alias.name.value.clone(), columns, query, working: None });
        }
        let result = read(self);
        self.common.truncate(before);
        result
    }

    pub(super) fn common_table(&mut self, at: usize, exposed: &str, renamed: &[String]) -> SqlResult<Source> {
        let Some(common) = self.common.get(at).cloned() else { return Err(SqlError::invalid_object(exposed)) };
        if let Some((table, columns)) = common.working {
            let slot = self.add(exposed, None, columns)?;
            return Ok(Source::Working { slot, table });
        }
        let renamed = if renamed.is_empty() { common.columns.as_slice() } else { renamed };
        // It sees those before it, and itself.
        let visible: Vec<CommonTable> = self.common.iter().take(at).cloned().collect();
        if let Some((anchor, step)) = recursive_parts(&common.query, &common.name) {
            return self.recursive(&common, visible, &anchor, &step, exposed, renamed);
        }
        let query = self.apart(visible, |binder| binder.query(&common.query))?;
        self.derived(query, exposed, None, renamed)
    }

    fn recursive(
        &mut self,
        common: &CommonTable,
        visible: Vec<CommonTable>,
        anchor: &ast::Query,
        step: &ast::Query,
        exposed: &str,
        renamed: &[String],
    ) -> SqlResult<Source> {
        let anchor = self.apart(visible.clone(), |binder| binder.query(anchor))?;
        let columns = named_columns(&anchor, renamed, &common.name)?;
        let table = self.working_tables;
        self.working_tables += 1;
        let mut with_itself = visible;
        with_itself.push(CommonTable { working: Some((table, columns.clone())), ..common.clone() });
        let mut step = self.apart(with_itself, |binder| binder.query(step))?;
        let types: Vec<SqlType> = anchor.columns.iter().map(|column| column.sql_type).collect();
        super::unify::convert_columns(&mut step, &types)?;
        let slot = self.add(exposed, None, columns)?;
        Ok(Source::Recursive {
            slot,
            table,
            steps_max: self.recursion_max,
            anchor: Box::new(anchor),
            step: Box::new(step),
            filter: Vec::new(),
        })
    }
}

/// The anchor and the recursive part of a common table expression that names itself.
fn recursive_parts(query: &ast::Query, name: &str) -> Option<(ast::Query, ast::Query)> {
    let ast::SetExpr::SetOperation {
        left,
        op: ast::SetOperator::Union,
        set_quantifier: ast::SetQuantifier::All,
        right,
    } = query.body.as_ref()
    else {
        return None;
    };
    let ast::SetExpr::Select(select) = right.as_ref() else { return None };
    let is_named = |factor: &TableFactor| match factor {
        TableFactor::Table { name: own, .. } => {
            object_name(own).is_ok_and(|own| own.schema.is_none() && equal(&own.object, name))
        }
        _ => false,
    };
    let names_itself = select
        .from
        .iter()
        .any(|item| is_named(&item.relation) || item.joins.iter().any(|join| is_named(&join.relation)));
    let part = |body: &ast::SetExpr| ast::Query { body: Box::new(body.clone()), ..query.clone() };
    names_itself.then(|| (part(left), part(right)))
}
