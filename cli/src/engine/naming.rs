//! Which table somebody means.

use millstream_core::schema::TableName;

use crate::failure::Failure;

/// A table and the name of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate<'a> {
    pub(super) source: &'a str,
    pub(super) table: &'a TableName,
}

impl Candidate<'_> {
    /// `table`, `database.table` or `source.database.table`. Names may have dots in them, so these are put together
    /// rather than taken apart.
    fn is_called(&self, name: &str) -> bool {
        self.table.name == name || self.table.to_string() == name || self.full_name() == name
    }

    fn is_called_in_any_case(&self, name: &str) -> bool {
        let names = [self.table.name.clone(), self.table.to_string(), self.full_name()];
        names.iter().any(|own| own.to_lowercase() == name.to_lowercase())
    }

    fn full_name(&self) -> String {
        full_name(self.source, &self.table.to_string())
    }
}

/// A table's name with its source's, as commands take it.
pub(crate) fn full_name(source: &str, table: &str) -> String {
    format!("{source}.{table}")
}

/// The one table that a name means. Many databases don't tell letters apart by case, so neither does this where a name
/// means no table as it is written.
pub(super) fn find<'a>(candidates: &[Candidate<'a>], name: &str) -> Result<Candidate<'a>, Failure> {
    let called = |is_called: &dyn Fn(&Candidate<'_>) -> bool| {
        candidates.iter().copied().filter(|candidate| is_called(candidate)).collect::<Vec<Candidate<'a>>>()
    };
    let mut found = called(&|candidate| candidate.is_called(name));
    if found.is_empty() {
        found = called(&|candidate| candidate.is_called_in_any_case(name));
    }
    match found[..] {
        [] => Err(Failure::new(
            format!("no table `{name}` is being followed"),
            "`millstream status` lists the tables; a table is followed if a query of the sync config reads it",
        )),
        [one] => Ok(one),
        _ => {
            let is_alone = |one: &Candidate<'_>| found.iter().filter(|other| other.table == one.table).count() == 1;
            let names: Vec<String> = found
                .iter()
                .map(|one| if is_alone(one) { one.table.to_string() } else { one.full_name() })
                .map(|name| format!("`{name}`"))
                .collect();
            Err(Failure::new(format!("`{name}` means several tables"), format!("write {}", names.join(" or "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_means_several_tables_is_told_from_what_means_one() {
        let tables = [TableName::new("shop", "t"), TableName::new("log", "t"), TableName::new("shop", "u.v")];
        let all: Vec<Candidate<'_>> = [("my", 0), ("my", 1), ("ma", 0), ("my", 2)]
            .map(|(source, index): (&str, usize)| Candidate { source, table: &tables[index] })
            .to_vec();
        assert_eq!(find(&all, "ma.shop.t").unwrap(), all[2]);
        assert_eq!(find(&all, "log.t").unwrap(), all[1]);
        for name in ["u.v", "shop.u.v", "my.shop.u.v"] {
            assert_eq!(find(&all, name).unwrap(), all[3], "{name}");
        }
        assert_eq!(find(&all, "SHOP.U.V").unwrap(), all[3]);
        let twins = [TableName::new("shop", "t"), TableName::new("shop", "T")];
        let twins: Vec<Candidate<'_>> = twins.iter().map(|table| Candidate { source: "my", table }).collect();
        assert_eq!(find(&twins, "T").unwrap(), twins[1]);
        let remedy = |name: &str| find(&all, name).unwrap_err().into_parts().1;
        assert_eq!(remedy("shop.t"), "write `my.shop.t` or `ma.shop.t`");
        assert_eq!(remedy("t"), "write `my.shop.t` or `log.t` or `ma.shop.t`");
        assert!(remedy("ma.log.t").contains("millstream status"));
    }
}
