//! A selected table with all that the catalog says about its capture.

use millstream_core::schema::TableName;

use super::ddl::{Action, names};
use super::instance::{Instance, InstanceOptions, Statement};
use super::partitions::PartitionMark;
use super::statements;
use crate::discover::LiveColumn;

/// A selected table as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapturedTable {
    /// Its object id.
    pub(crate) object: i32,
    /// When it was made, in milliseconds since 1970 by the clock on the server's wall.
    pub(crate) made_ms: i64,
    /// What it is called now.
    pub(crate) name: TableName,
    /// Its columns now.
    pub(crate) columns: Vec<LiveColumn>,
    /// Whether it has a primary key now.
    pub(crate) has_primary_key: bool,
    /// Its partitions now.
    pub(crate) partitions: Option<PartitionMark>,
    /// Its capture instances; two at most.
    pub(crate) instances: Vec<Instance>,
}

/// What a table's capture lacks, and the statement that mends it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Want {
    /// What is lacking, for a person.
    pub(crate) reason: String,
    /// What to run.
    pub(crate) statement: String,
}

impl CapturedTable {
    /// The instance that the table is, or will be, read through: the last one made, unless it captures less.
    pub(crate) fn preferred(&self) -> Option<&Instance> {
        preferred(self.instances.iter())
    }

    /// The first instance of a table that has none.
    pub(crate) fn wanted_first(&self, taken: impl Fn(&str) -> bool) -> Option<Want> {
        if !self.instances.is_empty() {
            return None;
        }
        let options = InstanceOptions { partition_switch: true, ..InstanceOptions::default() };
        let instance = statements::instance_name(&self.name, taken);
        Some(Want {
            reason: "no capture instance exists for the table".to_owned(),
            statement: statements::enable(&self.name, &instance, &options, None),
        })
    }

    /// The instance that a changed table needs: one that captures columns added since the newest was made, or that
    /// names rows by a primary key that there wasn't then.
    pub(crate) fn wanted_next(&self, taken: impl Fn(&str) -> bool) -> Option<Want> {
        let newest = self.preferred()?;
        let added = self.added_since(newest);
        let new_key = self.has_new_key(newest);
        if added.is_empty() && !new_key {
            return None;
        }
        let reason = match (added.as_slice(), new_key) {
            ([], _) => format!("capture instance {} doesn't know the table's primary key", newest.name),
            (added, _) => {
                let names: Vec<&str> = added.iter().map(|column| column.column.name.as_str()).collect();
                format!("capture instance {} doesn't capture {}", newest.name, names.join(", "))
            }
        };
        let columns = self.columns_to_capture(newest, &added);
        let instance = statements::instance_name(&self.name, taken);
        Some(Want { reason, statement: statements::enable(&self.name, &instance, &newest.options, columns.as_deref()) })
    }

    /// Whether there is no room for another instance, nor will be: the server refuses a third, and none of the two may be
    /// dropped but by whoever made it.
    pub(crate) fn has_no_room(&self) -> bool {
        self.instances.len() > 1 && self.instances.iter().all(|instance| !statements::is_own_name(&instance.name))
    }

    /// Whether the table has come to have what only a newer instance can know.
    pub(crate) fn has_outgrown(&self, instance: &Instance) -> bool {
        self.has_new_key(instance) || !self.added_since(instance).is_empty()
    }

    fn has_new_key(&self, instance: &Instance) -> bool {
        self.has_primary_key && instance.key.is_empty()
    }

    /// Columns that the instance lacks because they came after it, or after its columns were chosen; others were left out
    /// of it on purpose.
    pub(crate) fn added_since(&self, instance: &Instance) -> Vec<&LiveColumn> {
        self.added_by(instance.statements.iter().chain(self.unknown_to(instance)), instance)
    }

    /// The columns that an instance of ours lacks although they came before it. Which columns it is to have is known from
    /// what has been captured; a statement that hadn't been captured by then is in no history, and its column looks like
    /// one that was left out on purpose. The statement lies before the instance in the log, so when the instance is ready
    /// the history of the one before tells.
    pub(crate) fn overlooked_by(&self, instance: &Instance) -> Vec<&LiveColumn> {
        self.added_by(self.unknown_to(instance), instance)
    }

    /// Statements that only the table's other instance was there for, where the columns of this one were chosen by us.
    fn unknown_to<'a>(&'a self, instance: &'a Instance) -> impl Iterator<Item = &'a Statement> {
        let others = self.instances.iter().filter(|other| other.change_table != instance.change_table);
        let is_unknown = |statement: &&Statement| instance.statements.iter().all(|known| known.at != statement.at);
        let is_ours = statements::is_own_name(&instance.name);
        others.filter(move |_| is_ours).flat_map(|other| &other.statements).filter(is_unknown)
    }

    fn added_by<'a>(&self, statements: impl Iterator<Item = &'a Statement>, instance: &Instance) -> Vec<&LiveColumn> {
        let adds = |statement: &&Statement| matches!(statement.action(), Action::AddColumns(_) | Action::Unclear);
        let commands: Vec<&str> = statements.filter(adds).map(|statement| statement.command.as_str()).collect();
        let is_added = |column: &LiveColumn| commands.iter().any(|command| names(command, &column.column.name));
        self.columns
            .iter()
            .filter(|column| !column.computed && !instance.captures(column.column_id) && is_added(column))
            .collect()
    }

    /// `None` if all columns are to be captured.
    fn columns_to_capture(&self, newest: &Instance, added: &[&LiveColumn]) -> Option<Vec<String>> {
        let is_wanted = |column: &LiveColumn| {
            let captured = newest.captures(column.column_id);
            captured || column.computed || added.iter().any(|added| added.column_id == column.column_id)
        };
        if self.columns.iter().all(is_wanted) {
            return None;
        }
        let wanted = self.columns.iter().filter(|column| is_wanted(column) && !column.computed);
        Some(wanted.map(|column| column.column.name.clone()).collect())
    }
}

/// Of some instances of one table the one to read.
pub(crate) fn preferred<'a>(instances: impl Iterator<Item = &'a Instance>) -> Option<&'a Instance> {
    instances.reduce(|best, next| if next.supersedes(best) { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::instance::CapturedColumn;
    use crate::capture::shape::tests::{captured, instance, lsn, statement};

    fn live(captured: CapturedColumn) -> LiveColumn {
        LiveColumn { column_id: captured.column_id, column: captured.column, computed: false, hidden: false }
    }

    fn table(columns: &[(i32, &str)], instances: Vec<Instance>) -> CapturedTable {
        CapturedTable {
            object: 5,
            made_ms: 3,
            name: TableName::new("dbo", "t"),
            columns: columns.iter().map(|(id, name)| live(captured(*id, name, "int"))).collect(),
            has_primary_key: true,
            partitions: None,
            instances,
        }
    }

    fn one_column() -> Instance {
        let mut instance = instance(7, Some(lsn(1)), vec![captured(1, "id", "int")]);
        instance.options.partition_switch = true;
        instance
    }

    #[test]
    fn a_column_added_by_a_statement_wants_a_new_instance() {
        let mut old = one_column();
        assert_eq!(table(&[(1, "id")], vec![old.clone()]).wanted_next(|_| false), None);
        old.statements.push(statement(10, "ALTER TABLE t ADD b int"));
        let want = table(&[(1, "id"), (2, "b")], vec![old]).wanted_next(|name| name == "millstream_dbo_t").unwrap();
        assert!(want.reason.ends_with("doesn't capture b"), "{want:?}");
        assert!(
            want.statement.contains("N'millstream_dbo_t_2'") && !want.statement.contains("column_list"),
            "{want:?}"
        );
    }

    #[test]
    fn a_column_left_out_on_purpose_stays_out() {
        let mut old = one_column();
        assert_eq!(table(&[(1, "id"), (2, "secret")], vec![old.clone()]).wanted_next(|_| false), None);
        old.statements.push(statement(10, "ALTER TABLE t ADD b int"));
        let want = table(&[(1, "id"), (2, "secret"), (3, "b")], vec![old]).wanted_next(|_| false).unwrap();
        assert!(want.statement.contains("N'[id], [b]'"), "{want:?}");
    }

    #[test]
    fn a_column_that_was_on_its_way_when_an_instance_was_made_is_overlooked_by_it() {
        let mut old = one_column();
        let added = statement(10, "ALTER TABLE t ADD a int");
        let on_its_way = statement(11, "ALTER TABLE t ADD b int");
        old.statements = vec![added, on_its_way, statement(20, "ALTER TABLE t ADD c int")];
        let mut new = instance(8, Some(lsn(12)), vec![captured(1, "id", "int"), captured(2, "a", "int")]);
        new.statements = vec![statement(20, "ALTER TABLE t ADD c int")];
        let columns = [(1, "id"), (2, "a"), (3, "b"), (4, "c")];
        let names = |columns: Vec<&LiveColumn>| -> Vec<String> {
            columns.iter().map(|column| column.column.name.clone()).collect()
        };
        // Whoever else made it may have meant it so.
        let others = table(&columns, vec![old.clone(), new.clone()]);
        assert_eq!(names(others.overlooked_by(&new)), [""; 0]);
        assert_eq!(names(others.added_since(&new)), ["c"]);
        new.name = "millstream_dbo_t".to_owned();
        let ours = table(&columns, vec![old, new.clone()]);
        assert_eq!(names(ours.overlooked_by(&new)), ["b"]);
        assert_eq!(names(ours.added_since(&new)), ["b", "c"]);
    }

    #[test]
    fn an_instance_of_fewer_columns_changes_nothing() {
        let whole = instance(7, Some(lsn(1)), vec![captured(1, "id", "int"), captured(2, "b", "int")]);
        let narrow = Instance { created_at_ms: 9, ..instance(8, Some(lsn(5)), vec![captured(1, "id", "int")]) };
        let both = table(&[(1, "id"), (2, "b")], vec![whole.clone(), narrow.clone()]);
        assert_eq!(both.preferred(), Some(&whole));
        // Once the column is gone from the table, the later one is as good.
        let mut lessened = whole.clone();
        lessened.columns[1].exists = false;
        assert_eq!(table(&[(1, "id")], vec![lessened, narrow.clone()]).preferred(), Some(&narrow));
        // One that captures more is better even if it is older.
        assert!(whole.supersedes(&narrow) && !narrow.supersedes(&whole));
    }

    #[test]
    fn a_key_that_came_later_wants_a_new_instance() {
        let mut old = one_column();
        old.key.clear();
        assert!(table(&[(1, "id")], vec![old]).wanted_next(|_| false).unwrap().reason.contains("primary key"));
    }

    #[test]
    fn a_table_without_an_instance_wants_one() {
        let want = table(&[(1, "id")], Vec::new()).wanted_first(|_| false).unwrap();
        assert!(want.statement.contains("@capture_instance = N'millstream_dbo_t'"), "{want:?}");
        assert_eq!(table(&[(1, "id")], vec![one_column()]).wanted_first(|_| false), None);
    }
}
