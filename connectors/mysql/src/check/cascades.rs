//! Foreign keys whose cascades the storage engine carries out without logging them.
//!
//! When rows of the parent are deleted, or their keys change, InnoDB deletes and changes rows of the child by itself.
//! MySQL logs that since 9.6, unless told otherwise; before, and in MariaDB, the log shows the parent's rows alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_core::error::SourceError;
use millstream_core::schema::TableName;

use super::attempt;
use crate::connect::Connection;
use crate::discover::quoted;
use crate::version::Flavor;

/// One foreign key that changes rows of its child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cascade {
    /// The constraint's name, unique within the child's database.
    pub(crate) constraint: String,
    /// The table that is referred to.
    pub(crate) parent: TableName,
    /// Its columns that are referred to.
    pub(crate) parent_columns: Vec<String>,
    /// The table that refers to it.
    pub(crate) child: TableName,
    /// Its columns that refer.
    pub(crate) child_columns: Vec<String>,
    /// What becomes of the child's rows when the parent's are deleted.
    pub(crate) on_delete: Rule,
    /// What becomes of them when the parent's columns change.
    pub(crate) on_update: Rule,
}

/// What a foreign key does to the child's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing: RESTRICT, NO ACTION.
    Nothing,
    /// They follow: CASCADE.
    Follow,
    /// Their referring columns become NULL or the default.
    Detach,
}

impl Rule {
    fn parse(rule: &str) -> Self {
        match rule {
            "CASCADE" => Rule::Follow,
            "SET NULL" | "SET DEFAULT" => Rule::Detach,
            _ => Rule::Nothing,
        }
    }
}

/// What the log shows of a parent's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParentChange<'a> {
    /// Rows were deleted.
    Deleted,
    /// These columns, by name, got other values in some row.
    Updated(&'a [&'a str]),
}

/// Foreign keys of a server that change rows without a word in the log: in row format or, if they are all that change
/// rows, in statement format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cascades {
    by_parent: BTreeMap<TableName, Vec<Cascade>>,
}

/// What happens to a table in the course of a cascade.
enum Step {
    Deleted,
    Updated(BTreeSet<String>),
}

impl Cascades {
    fn new(cascades: impl IntoIterator<Item = Cascade>) -> Self {
        let mut by_parent: BTreeMap<TableName, Vec<Cascade>> = BTreeMap::new();
        for cascade in cascades {
            by_parent.entry(cascade.parent.clone()).or_default().push(cascade);
        }
        Self { by_parent }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cascade> {
        self.by_parent.values().flatten()
    }

    /// What a statement on this table whose rows aren't in the log may have done to others: whatever can be done.
    pub(crate) fn affected_by_statement(&self, parent: &TableName) -> BTreeSet<TableName> {
        let of_parent = self.by_parent.get(parent).into_iter().flatten();
        let columns: Vec<&str> = of_parent.flat_map(|cascade| &cascade.parent_columns).map(String::as_str).collect();
        let mut affected = self.affected(parent, ParentChange::Deleted);
        affected.extend(self.affected(parent, ParentChange::Updated(&columns)));
        affected
    }

    /// Whether changes of this table's rows can change others' without being logged: the stream has to look at them
    /// even if the table isn't selected.
    pub(crate) fn is_parent(&self, table: &TableName) -> bool {
        self.by_parent.contains_key(table)
    }

    /// Every table whose rows may have changed unlogged because rows of `parent` changed, through any number of
    /// foreign keys. `parent` itself is among them only if a chain leads back to it.
    pub(crate) fn affected(&self, parent: &TableName, change: ParentChange<'_>) -> BTreeSet<TableName> {
        let first = match change {
            ParentChange::Deleted => Step::Deleted,
            ParentChange::Updated(columns) => {
                Step::Updated(columns.iter().map(|column| column.to_lowercase()).collect())
            }
        };
        let mut affected = BTreeSet::new();
        // Each foreign key deletes or updates at most once in this: what it does the second time it did the first.
        let mut done: BTreeSet<(&str, &TableName, bool)> = BTreeSet::new();
        let mut open = vec![(parent, first)];
        while let Some((table, step)) = open.pop() {
            for cascade in self.by_parent.get(table).into_iter().flatten() {
                let deleted = matches!(step, Step::Deleted);
                let rule = match &step {
                    Step::Deleted => cascade.on_delete,
                    Step::Updated(columns) if cascade.refers_to(columns) => cascade.on_update,
                    Step::Updated(_) => Rule::Nothing,
                };
                let next = match rule {
                    Rule::Nothing => continue,
                    Rule::Follow if deleted => Step::Deleted,
                    Rule::Follow | Rule::Detach => {
                        Step::Updated(cascade.child_columns.iter().map(|column| column.to_lowercase()).collect())
                    }
                };
                affected.insert(cascade.child.clone());
                if done.insert((&cascade.constraint, &cascade.child, matches!(next, Step::Deleted))) {
                    open.push((&cascade.child, next));
                }
            }
        }
        affected
    }
}

impl Cascade {
    fn refers_to(&self, columns: &BTreeSet<String>) -> bool {
        self.parent_columns.iter().any(|column| columns.contains(&column.to_lowercase()))
    }
}

/// The foreign keys whose cascades aren't logged, as they are now; `None` where the server logs all, which is for as
/// long as it runs.
pub(crate) async fn unlogged_cascades(
    connection: &mut Connection,
    limit: Duration,
) -> Result<Option<Cascades>, SourceError> {
    match logs_cascades(connection, limit).await? {
        true => Ok(None),
        false => cascades(connection, limit).await.map(Some),
    }
}

/// Whether the log shows, in row format, what foreign keys do. In statement format no server's does.
async fn logs_cascades(connection: &mut Connection, limit: Duration) -> Result<bool, SourceError> {
    let version = connection.server.version;
    if version.flavor != Flavor::MySql || !version.at_least(9, 6, 0) {
        return Ok(false);
    }
    let native: Vec<(String, String)> = connection
        .rows(limit, "ask who carries out foreign keys", "SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'")
        .await?;
    Ok(!native.iter().any(|(_, value)| value.eq_ignore_ascii_case("ON")))
}

/// All foreign keys that change rows, as they are now. The user sees those of tables that it may read.
///
/// The catalog's list of rules is for users with more than SELECT; to others it shows the keys' columns alone. For them
/// the rules are read from the tables' definitions.
pub(crate) async fn cascades(connection: &mut Connection, limit: Duration) -> Result<Cascades, SourceError> {
    let keys = keys(connection, limit).await?;
    let rules = listed_rules(connection, limit).await?;
    let mut definitions: BTreeMap<TableName, String> = BTreeMap::new();
    let mut cascades = Vec::new();
    for ((child, constraint), Key { parent, parent_columns, child_columns }) in keys {
        let (on_delete, on_update) = match rules.get(&(child.schema.clone(), constraint.clone())) {
            Some(rules) => *rules,
            None => {
                if !definitions.contains_key(&child) {
                    definitions.insert(child.clone(), definition(connection, limit, &child).await?);
                }
                defined_rules(definitions.get(&child).map_or("", String::as_str), &constraint)
            }
        };
        if (on_delete, on_update) != (Rule::Nothing, Rule::Nothing) {
            cascades.push(Cascade { constraint, parent, parent_columns, child, child_columns, on_delete, on_update });
        }
    }
    Ok(Cascades::new(cascades))
}

/// What a foreign key refers to.
struct Key {
    parent: TableName,
    parent_columns: Vec<String>,
    child_columns: Vec<String>,
}

/// All foreign keys by child and name.
async fn keys(connection: &mut Connection, limit: Duration) -> Result<BTreeMap<(TableName, String), Key>, SourceError> {
    let query = "SELECT table_schema, table_name, constraint_name, referenced_table_schema, referenced_table_name, \
                 column_name, referenced_column_name FROM information_schema.key_column_usage \
                 WHERE referenced_table_name IS NOT NULL \
                 ORDER BY table_schema, table_name, constraint_name, ordinal_position";
    let names = connection.server.names;
    let rows: Vec<(String, String, String, String, String, String, String)> =
        connection.rows(limit, "read the foreign keys", query).await?;
    let mut keys = BTreeMap::new();
    for (schema, table, constraint, parent_schema, parent, child_column, parent_column) in rows {
        let key = keys.entry((names.table(&schema, &table), constraint)).or_insert_with(|| Key {
            parent: names.table(&parent_schema, &parent),
            parent_columns: Vec::new(),
            child_columns: Vec::new(),
        });
        key.child_columns.push(child_column);
        key.parent_columns.push(parent_column);
    }
    Ok(keys)
}

/// The rules for deletes and updates by database and constraint, as far as the catalog lists them for this user.
async fn listed_rules(
    connection: &mut Connection,
    limit: Duration,
) -> Result<BTreeMap<(String, String), (Rule, Rule)>, SourceError> {
    let query = "SELECT constraint_schema, constraint_name, delete_rule, update_rule \
                 FROM information_schema.referential_constraints";
    let names = connection.server.names;
    let rows: Vec<(String, String, String, String)> =
        connection.rows(limit, "read the foreign keys' rules", query).await?;
    let rules = |(schema, name, on_delete, on_update): (String, String, String, String)| {
        ((names.fold(&schema), name), (Rule::parse(&on_delete), Rule::parse(&on_update)))
    };
    Ok(rows.into_iter().map(rules).collect())
}

/// The statement that would make a table; empty if the user may not see it or the table is gone.
async fn definition(connection: &mut Connection, limit: Duration, table: &TableName) -> Result<String, SourceError> {
    let statement = format!("SHOW CREATE TABLE {}.{}", quoted(&table.schema), quoted(&table.name));
    let rows: Option<Vec<(String, String)>> = attempt(connection, limit, &statement).await?;
    Ok(rows.into_iter().flatten().map(|(_, definition)| definition).collect())
}

/// The rules of a constraint by its line in a table's definition, which ends in them. Where the line is missing the
/// worst is assumed.
fn defined_rules(definition: &str, constraint: &str) -> (Rule, Rule) {
    let beginning = format!("CONSTRAINT {} FOREIGN KEY", quoted(constraint));
    let Some(line) = definition.lines().find(|line| line.trim_start().starts_with(&beginning)) else {
        return (Rule::Follow, Rule::Follow);
    };
    let rules = line.rsplit_once(')').map_or("", |(_, rules)| rules.trim_end_matches(','));
    let rule = |event: &str| {
        let (_, after) = rules.split_once(event)?;
        let after = after.trim_start();
        ["CASCADE", "SET NULL", "SET DEFAULT"].into_iter().find(|rule| after.starts_with(rule)).map(Rule::parse)
    };
    (rule("ON DELETE").unwrap_or(Rule::Nothing), rule("ON UPDATE").unwrap_or(Rule::Nothing))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `child(column) -> parent(column)`, all in one database.
    fn cascade(parent: (&str, &str), child: (&str, &str), on_delete: Rule, on_update: Rule) -> Cascade {
        Cascade {
            constraint: format!("{}_{}", child.0, child.1),
            parent: TableName::new("d", parent.0),
            parent_columns: vec![parent.1.into()],
            child: TableName::new("d", child.0),
            child_columns: vec![child.1.into()],
            on_delete,
            on_update,
        }
    }

    fn affected(cascades: &Cascades, parent: &str, change: ParentChange<'_>) -> Vec<String> {
        cascades.affected(&TableName::new("d", parent), change).into_iter().map(|table| table.name).collect()
    }

    #[test]
    fn deletes_go_on_from_child_to_child() {
        let cascades = Cascades::new([
            cascade(("a", "id"), ("b", "a_id"), Rule::Follow, Rule::Nothing),
            cascade(("b", "id"), ("c", "b_id"), Rule::Detach, Rule::Nothing),
            cascade(("c", "b_id"), ("e", "c_b"), Rule::Nothing, Rule::Follow),
            cascade(("c", "id"), ("f", "c_id"), Rule::Follow, Rule::Follow),
        ]);
        // f hangs on c's id, which becoming NULL of b_id doesn't touch, and no row of c is deleted.
        assert_eq!(affected(&cascades, "a", ParentChange::Deleted), ["b", "c", "e"]);
        assert_eq!(affected(&cascades, "c", ParentChange::Deleted), ["f"]);
        assert!(affected(&cascades, "e", ParentChange::Deleted).is_empty());
        assert!(cascades.is_parent(&TableName::new("d", "a")) && !cascades.is_parent(&TableName::new("d", "e")));
    }

    #[test]
    fn updates_matter_only_for_columns_that_are_referred_to() {
        let cascades = Cascades::new([
            cascade(("a", "Id"), ("b", "a_id"), Rule::Nothing, Rule::Follow),
            cascade(("b", "id"), ("c", "b_id"), Rule::Nothing, Rule::Follow),
        ]);
        assert_eq!(affected(&cascades, "a", ParentChange::Updated(&["id", "name"])), ["b"]);
        assert!(affected(&cascades, "a", ParentChange::Updated(&["name"])).is_empty());
        assert!(affected(&cascades, "a", ParentChange::Deleted).is_empty());
    }

    #[test]
    fn circles_end() {
        let cascades = Cascades::new([
            cascade(("tree", "id"), ("tree", "parent"), Rule::Follow, Rule::Follow),
            cascade(("tree", "id"), ("leaf", "tree"), Rule::Detach, Rule::Follow),
            cascade(("leaf", "tree"), ("tree", "id"), Rule::Follow, Rule::Follow),
        ]);
        assert_eq!(affected(&cascades, "tree", ParentChange::Deleted), ["leaf", "tree"]);
        assert_eq!(affected(&cascades, "leaf", ParentChange::Updated(&["tree"])), ["leaf", "tree"]);
    }

    #[test]
    fn rules_are_read_from_a_definition() {
        let definition = "CREATE TABLE `c` (\n  `id` int,\n  CONSTRAINT `a``b` FOREIGN KEY (`p`) REFERENCES `p` (`id`) \
                          ON DELETE CASCADE ON UPDATE SET NULL,\n  CONSTRAINT `plain` FOREIGN KEY (`q`) REFERENCES \
                          `x`.`ON DELETE CASCADE` (`id`)\n) COMMENT='CONSTRAINT `gone` FOREIGN KEY (x) y (z)'";
        assert_eq!(defined_rules(definition, "a`b"), (Rule::Follow, Rule::Detach));
        assert_eq!(defined_rules(definition, "plain"), (Rule::Nothing, Rule::Nothing));
        assert_eq!(defined_rules(definition, "gone"), (Rule::Follow, Rule::Follow));
    }
}
