//! Reading on behind a place in an index of several columns, part by part.
//!
//! `(a, b) > (x, y)` can't be written in T-SQL. Written out as one condition, `a >= x AND (a > x OR (a = x AND b > y))`, it
//! has the server walk over all rows that begin with x, those before the place among them: to read many such rows in
//! batches then takes time by the square of their number. So the rows behind a place are asked for stretch by stretch of
//! the index, `a = x AND b > y` first and then `a > x`, each by a statement of its own that begins where its first row is.

/// A column of an index, and its value at a place, both as SQL.
pub(crate) type KeyPart = (String, String);

/// The stretches of an index behind a place, in the index's order, as conditions.
pub(crate) fn stretches_behind(key: &[KeyPart]) -> Vec<String> {
    let mut stretches = Vec::with_capacity(key.len());
    let mut equal_before = String::new();
    for (column, value) in key {
        stretches.push(format!("{equal_before}{column} > {value}"));
        equal_before.push_str(&format!("{column} = {value} AND "));
    }
    stretches.reverse();
    stretches
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
        let key: Vec<KeyPart> = [("a", "1"), ("b", "2"), ("c", "3")].map(|(a, b)| (a.into(), b.into())).into();
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
}
