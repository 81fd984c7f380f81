//! The WHERE of a query that reads a table, cut into what is asked of the row, what of the request, and where the two
//! have to match.
//!
//! A row is filed under the values that a parameter must have to see it. So the condition is brought into branches: a
//! row belongs wherever one of them puts it. In each branch every parameter is matched by `=` or, once, by `IN`.

use std::collections::BTreeSet;

use crate::names::RowNames;
use crate::report::QueryReport;
use crate::sql::syntax::{BinaryOperator, Comparison, Expr, ExprKind, UnaryOperator};

/// AND over ORs multiplies branches; more than this is refused.
const BRANCHES_MAX: usize = 64;

/// Which parameters a query has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameters {
    /// Those of the bucket, in a data query.
    Bucket,
    /// The request, in a parameter query.
    Request,
}

/// One alternative of a condition; all its parts must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Branch {
    /// Asked of the row.
    pub(crate) row: Vec<Expr>,
    /// Asked of the request.
    pub(crate) request: Vec<Expr>,
    pub(crate) matches: Vec<Match>,
}

/// A parameter and the row's value that it must match.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) kind: MatchKind,
    pub(crate) parameter: Expr,
    pub(crate) row: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatchKind {
    /// `parameter = row`
    Equal,
    /// `parameter IN row`: the row holds an array.
    InRow,
    /// `row IN parameter`: the parameter is an array.
    InParameter,
}

impl Match {
    /// What tells one parameter from another: how it is written, and whether it is an array.
    pub(crate) fn key(&self) -> String {
        match self.kind {
            MatchKind::Equal | MatchKind::InRow => self.parameter.to_string(),
            MatchKind::InParameter => format!("each {}", self.parameter),
        }
    }
}

/// Cuts a condition into branches; `None` if it can't be, which is reported.
pub(crate) fn branches(
    filter: Option<&Expr>,
    parameters: Parameters,
    names: &RowNames,
    query: &mut QueryReport<'_, '_>,
) -> Option<Vec<Branch>> {
    match filter {
        None => Some(vec![Branch::default()]),
        Some(filter) => Cutter { parameters, names }.cut(filter, query),
    }
}

struct Cutter<'a> {
    parameters: Parameters,
    names: &'a RowNames,
}

impl Cutter<'_> {
    fn is_parameter(&self, expr: &Expr) -> bool {
        match self.parameters {
            Parameters::Bucket => self.names.is_bucket_parameter(expr),
            Parameters::Request => self.names.is_request_value(expr),
        }
    }

    fn uses_parameter(&self, expr: &Expr) -> bool {
        expr.any(&mut |part| self.is_parameter(part))
    }

    fn uses_row(&self, expr: &Expr) -> bool {
        expr.any(&mut |part| matches!(part.kind, ExprKind::Column { .. }) && !self.is_parameter(part))
    }

    fn cut(&self, expr: &Expr, query: &mut QueryReport<'_, '_>) -> Option<Vec<Branch>> {
        match (self.uses_parameter(expr), &expr.kind) {
            (false, _) => Some(vec![Branch { row: vec![expr.clone()], ..Branch::default() }]),
            (true, _) if self.parameters == Parameters::Request && !self.uses_row(expr) => {
                Some(vec![Branch { request: vec![expr.clone()], ..Branch::default() }])
            }
            (true, ExprKind::And(parts)) => self.all_of(parts, query),
            (true, ExprKind::Or(parts)) => self.any_of(parts, query),
            (true, ExprKind::Binary(BinaryOperator::Compare(Comparison::Equal), left, right)) => {
                self.equal(left, right, query)
            }
            (true, ExprKind::In { negated: false, needle, array }) => self.contained(needle, array, query),
            (true, ExprKind::Unary(UnaryOperator::Not, _)) => {
                let message = format!("NOT can't be applied to {}", self.parameter_words());
                query.error(expr.at, message, Some("rows are filed under values to be equal to".to_owned()));
                None
            }
            (true, _) => {
                self.refuse(expr.at, query);
                None
            }
        }
    }

    fn parameter_words(&self) -> &'static str {
        match self.parameters {
            Parameters::Bucket => "a bucket parameter",
            Parameters::Request => "a value of the request",
        }
    }

    fn refuse(&self, at: usize, query: &mut QueryReport<'_, '_>) {
        let message = format!("{} can only be compared with the row by = or IN", self.parameter_words());
        query.error(at, message, None);
    }

    fn all_of(&self, parts: &[Expr], query: &mut QueryReport<'_, '_>) -> Option<Vec<Branch>> {
        let cut: Vec<_> = parts.iter().map(|part| self.cut(part, query)).collect();
        let mut branches = vec![Branch::default()];
        for (part, alternatives) in parts.iter().zip(cut.into_iter().collect::<Option<Vec<_>>>()?) {
            if branches.len() * alternatives.len() > BRANCHES_MAX {
                let message = format!("the condition comes to more than {BRANCHES_MAX} alternatives");
                query.error(part.at, message, Some("write several queries".to_owned()));
                return None;
            }
            let joined = branches.iter().flat_map(|branch| alternatives.iter().map(|other| branch.and(other)));
            branches = joined.collect();
        }
        for branch in &branches {
            let mut arrays = branch.matches.iter().filter(|found| found.kind != MatchKind::Equal);
            if let (Some(_), Some(second)) = (arrays.next(), arrays.next()) {
                query.error(
                    second.row.at.min(second.parameter.at),
                    "two INs on parameters can't be joined by AND",
                    Some("write a definition for each, or compare one of them by =".to_owned()),
                );
                return None;
            }
        }
        Some(branches)
    }

    fn any_of(&self, parts: &[Expr], query: &mut QueryReport<'_, '_>) -> Option<Vec<Branch>> {
        let cut: Vec<_> = parts.iter().map(|part| self.cut(part, query)).collect();
        let cut = cut.into_iter().collect::<Option<Vec<_>>>()?;
        let wanted = cut.first().and_then(|branches| branches.first()).map(Branch::parameters);
        for (part, branches) in parts.iter().zip(&cut) {
            if branches.iter().any(|branch| Some(branch.parameters()) != wanted) {
                query.error(
                    part.at,
                    "both sides of an OR must use the same parameters",
                    Some("write a query for each side".to_owned()),
                );
                return None;
            }
        }
        let branches: Vec<Branch> = cut.into_iter().flatten().collect();
        if branches.len() > BRANCHES_MAX {
            let at = parts.first().map_or(0, |part| part.at);
            query.error(at, format!("the condition comes to more than {BRANCHES_MAX} alternatives"), None);
            return None;
        }
        Some(branches)
    }

    fn equal(&self, left: &Expr, right: &Expr, query: &mut QueryReport<'_, '_>) -> Option<Vec<Branch>> {
        match (self.uses_parameter(left), self.uses_parameter(right)) {
            (true, false) => self.matching(MatchKind::Equal, left, right, query),
            (false, true) => self.matching(MatchKind::Equal, right, left, query),
            (true, true) | (false, false) => {
                query.error(left.at, "one side of the comparison must come from the row alone", None);
                None
            }
        }
    }

    fn contained(&self, needle: &Expr, array: &Expr, query: &mut QueryReport<'_, '_>) -> Option<Vec<Branch>> {
        match (self.uses_parameter(needle), self.parameters) {
            (true, _) if self.uses_parameter(array) => {
                query.error(needle.at, "one side of the comparison must come from the row alone", None);
                None
            }
            (true, _) => self.matching(MatchKind::InRow, needle, array, query),
            (false, Parameters::Request) => self.matching(MatchKind::InParameter, array, needle, query),
            (false, Parameters::Bucket) => {
                let message = "a bucket parameter is a single value, so it can't stand on the right side of IN";
                query.error(array.at, message, Some("compare by =, or write bucket.name IN column".to_owned()));
                None
            }
        }
    }

    fn matching(
        &self,
        kind: MatchKind,
        parameter: &Expr,
        row: &Expr,
        query: &mut QueryReport<'_, '_>,
    ) -> Option<Vec<Branch>> {
        let alone = match self.parameters {
            Parameters::Bucket => self.is_parameter(parameter),
            Parameters::Request => !self.uses_row(parameter),
        };
        if !alone {
            let message = format!("{} must stand alone on its side of the comparison", self.parameter_words());
            query.error(parameter.at, message, Some("calculate on the row's side".to_owned()));
            return None;
        }
        let found = Match { kind, parameter: parameter.clone(), row: row.clone() };
        Some(vec![Branch { matches: vec![found], ..Branch::default() }])
    }
}

impl Branch {
    fn and(&self, other: &Branch) -> Branch {
        let join = |left: &[Expr], right: &[Expr]| left.iter().chain(right).cloned().collect();
        Branch {
            row: join(&self.row, &other.row),
            request: join(&self.request, &other.request),
            matches: self.matches.iter().chain(&other.matches).cloned().collect(),
        }
    }

    /// All that the branch uses of the parameters.
    fn parameters(&self) -> BTreeSet<String> {
        let conditions = self.request.iter().map(|condition| format!("if {condition}"));
        self.matches.iter().map(Match::key).chain(conditions).collect()
    }
}
