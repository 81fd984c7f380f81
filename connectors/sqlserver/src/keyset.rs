//! Reading on behind a place in an index of several columns, part by part.
//!
//! `(a, b) > (x, y)` can't be written in T-SQL. Written out as one condition, `a >= x AND (a > x OR (a = x AND b > y))`, it
//! has the server walk over all rows that begin with x, those before the place among them: to read many such rows in
//! batches then takes time by the square of their number. So the rows behind a place are asked for stretch by stretch of
//! the index, `a = x AND b > y` first and then `a > x`, each by a statement of its own that begins where its first row is.

/// A column of an index, and its value at a place.
pub(crate) struct KeyPart {
    /// As SQL.
    column: String,
    /// As SQL; `None` is NULL, which comes before all else.
    value: Option<String>,
    may_be_null: bool,
}

impl KeyPart {
    /// Of a column that is never NULL.
    pub(crate) fn new(column: impl Into<String>, value: impl Into<String>) -> Self {
        Self { column: column.into(), value: Some(value.into()), may_be_null: false }
    }

    /// Of a column that may have come to be NULL.
    pub(crate) fn nullable(column: impl Into<String>, value: Option<String>) -> Self {
        Self { column: column.into(), value, may_be_null: true }
    }

    fn is_equal(&self) -> String {
        match &self.value {
            Some(value) => format!("{} = {value}", self.column),
            None => format!("{} IS NULL", self.column),
        }
    }

    fn is_above(&self) -> String {
        match &self.value {
            Some(value) => format!("{} > {value}", self.column),
            None => format!("{} IS NOT NULL", self.column),
        }
    }

    /// By `<` or `<=`; `None` if nothing is below.
    fn is_below(&self, sign: &str) -> Option<String> {
        let Self { column, value, may_be_null } = self;
        match (value, may_be_null) {
            (Some(value), false) => Some(format!("{column} {sign} {value}")),
            (Some(value), true) => Some(format!("({column} {sign} {value} OR {column} IS NULL)")),
            (None, _) => (sign == "<=").then(|| self.is_equal()),
        }
    }
}

/// The stretches of an index behind a place, in the index's order, as conditions.
pub(crate) fn stretches_behind(key: &[KeyPart]) -> Vec<String> {
    let mut stretches = Vec::with_capacity(key.len());
    let mut equal_before = String::new();
    for part in key {
        stretches.push(format!("{equal_before}{}", part.is_above()));
        equal_before.push_str(&format!("{} AND ", part.is_equal()));
    }
    stretches.reverse();
    stretches
}

/// That `(a, b) <= (x, y)`: `a <= x AND (a < x OR (a = x AND b <= y))`, whose first part ends a walk along the index.
pub(crate) fn not_above(key: &[KeyPart]) -> String {
    let Some((part, rest)) = key.split_first() else { return "1 = 1".to_owned() };
    let Some(upto) = part.is_below("<=") else { return "1 = 0".to_owned() };
    if rest.is_empty() {
        return upto;
    }
    let (equal, rest) = (part.is_equal(), not_above(rest));
    match part.is_below("<") {
        Some(below) => format!("{upto} AND ({below} OR ({equal} AND {rest}))"),
        None => format!("{equal} AND {rest}"),
    }
}

/// One statement for each stretch, which together give as many rows as are wanted, at most. `select` makes a statement of
/// its TOP and of the stretch.
pub(crate) fn in_turn(rows: &str, stretches: &[String], select: impl Fn(&str, &str) -> String) -> String {
    if let [all] = stretches {
        return select(&format!("TOP ({rows})"), all);
    }
    let statements: Vec<String> = stretches.iter().map(|stretch| select("TOP (@left)", stretch)).collect();
    format!("DECLARE @left bigint = {rows}; {}", statements.join("; SET @left = @left - @@ROWCOUNT; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stretch_begins_at_one_place_of_the_index() {
        let key = [("a", "1"), ("b", "2"), ("c", "3")].map(|(column, value)| KeyPart::new(column, value));
        let stretches = stretches_behind(&key);
        assert_eq!(stretches, ["a = 1 AND b = 2 AND c > 3", "a = 1 AND b > 2", "a > 1"]);
        let select = |top: &str, stretch: &str| format!("SELECT {top} {stretch}");
        assert_eq!(
            in_turn("9", &stretches[1..], select),
            "DECLARE @left bigint = 9; SELECT TOP (@left) a = 1 AND b > 2; SET @left = @left - @@ROWCOUNT; \
             SELECT TOP (@left) a > 1"
        );
        assert_eq!(in_turn("9", &stretches[2..], select), "SELECT TOP (9) a > 1");
    }

    #[test]
    fn null_comes_before_all_else() {
        let key = [KeyPart::nullable("a", None), KeyPart::nullable("b", Some("2".to_owned()))];
        assert_eq!(stretches_behind(&key), ["a IS NULL AND b > 2", "a IS NOT NULL"]);
        assert_eq!(not_above(&key), "a IS NULL AND (b <= 2 OR b IS NULL)");
        let key = [KeyPart::nullable("a", Some("1".to_owned())), KeyPart::nullable("b", None)];
        assert_eq!(stretches_behind(&key), ["a = 1 AND b IS NOT NULL", "a > 1"]);
        assert_eq!(not_above(&key), "(a <= 1 OR a IS NULL) AND ((a < 1 OR a IS NULL) OR (a = 1 AND b IS NULL))");
    }
}
