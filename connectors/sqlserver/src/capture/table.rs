//! A selected table with all that the catalog says about its capture.

use millstream_core::schema::TableName;

use super::ddl::{Action, names, same_name};
use super::instance::{CapturedColumn, Instance, InstanceOptions};
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
    /// The names of the unique indexes that could name its rows now.
    pub(crate) unique_indexes: Vec<String>,
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

/// How a table was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Former {
    options: InstanceOptions,
    /// The columns that were left out on purpose, by their ids.
    left_out: Vec<i32>,
}

impl CapturedTable {
    /// The instance that the table is, or will be, read through: the last one made, unless it captures less.
    pub(crate) fn preferred(&self) -> Option<&Instance> {
        preferred(self.instances.iter())
    }

    /// The first instance of a table that has none.
    pub(crate) fn wanted_first(&self, taken: impl Fn(&str) -> bool) -> Option<Want> {
        let options = InstanceOptions { partition_switch: true, ..InstanceOptions::default() };
        self.wanted_like(&Former { options, left_out: Vec::new() }, taken)
    }

    /// The instance of a table that has none any more, made as the last one was.
    pub(crate) fn wanted_like(&self, former: &Former, taken: impl Fn(&str) -> bool) -> Option<Want> {
        if !self.instances.is_empty() {
            return None;
        }
        let index = former.options.index.clone().filter(|index| self.unique_indexes.contains(index));
        let options = InstanceOptions { index, ..former.options.clone() };
        let is_left_out = |column: &&LiveColumn| !column.computed && former.left_out.contains(&column.column_id);
        let columns = self.columns.iter().any(|column| is_left_out(&column)).then(|| {
            let taken_up = self.columns.iter().filter(|column| !column.computed && !is_left_out(column));
            taken_up.map(|column| column.column.name.clone()).collect::<Vec<_>>()
        });
        let instance = statements::instance_name(&self.name, taken);
        Some(Want {
            reason: "no capture instance exists for the table".to_owned(),
            statement: statements::enable(&self.name, &instance, &options, columns.as_deref()),
        })
    }

    /// What to keep of the instance in use, for a successor that can't be asked about it; `None` without one.
    pub(crate) fn former(&self) -> Option<Former> {
        let newest = self.preferred()?;
        let added: Vec<i32> = self.added_since(newest).iter().map(|column| column.column_id).collect();
        let is_left_out = |id: &i32| !newest.captures(*id) && !added.contains(id);
        let left_out = self.columns.iter().map(|column| column.column_id).filter(is_left_out).collect();
        Some(Former { options: newest.options.clone(), left_out })
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
        let mut added = self.added_behind(instance);
        added.extend(self.overlooked_by(instance));
        added
    }

    /// The columns that an instance of ours lacks although they came before it. Which columns it is to have is known from
    /// what has been captured; a statement that hadn't been captured by then is in no history, and its column looks like
    /// one that was left out on purpose. The statement lies before the instance in the log, so when the instance is ready
    /// the history of the one before tells.
    pub(crate) fn overlooked_by(&self, instance: &Instance) -> Vec<&LiveColumn> {
        // Mostly there is no other, and no history has to be read.
        let mut others = self.instances.iter().filter(|other| other.change_table != instance.change_table).peekable();
        if others.peek().is_none() || !statements::is_own_name(&instance.name) {
            return Vec::new();
        }
        let behind = self.added_behind(instance);
        let is_overlooked = |column: &&LiveColumn| !instance.captures(column.column_id) && !behind.contains(column);
        others.flat_map(|other| self.added_behind(other)).filter(is_overlooked).collect()
    }

    /// Columns that statements in an instance's history added, and that it lacks for that. A statement tells the name that
    /// a column had then, and nothing tells that it was renamed. But numbers of columns grow: so where names are missing
    /// that nothing has dropped, the newest columns had them.
    fn added_behind(&self, instance: &Instance) -> Vec<&LiveColumn> {
        let history = History::of(instance);
        let lacks = |column: &&LiveColumn| !instance.captures(column.column_id);
        let (mut added, mut others): (Vec<&LiveColumn>, Vec<&LiveColumn>) =
            self.columns.iter().filter(lacks).partition(|column| history.names(&column.column.name));
        others.sort_by_key(|column| std::cmp::Reverse(column.column_id));
        let exists = |name: &&String| self.columns.iter().any(|column| same_name(name, &column.column.name));
        let missing = history.added.iter().filter(|name| !exists(name)).count();
        added.extend(others.into_iter().take(missing.saturating_sub(history.dropped_others)));
        added.retain(|column| !column.computed);
        added
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

/// What statements behind an instance did to the columns that it doesn't know.
#[derive(Default)]
struct History<'a> {
    /// The names of added ones, but for those that were dropped under that name.
    added: Vec<String>,
    /// How many more were dropped: renamed ones, or ones that had been left out.
    dropped_others: usize,
    /// Statements that can't be read.
    unclear: Vec<&'a str>,
}

impl<'a> History<'a> {
    fn of(instance: &'a Instance) -> Self {
        let mut history = Self::default();
        for statement in &instance.statements {
            match statement.action() {
                Action::AddColumns(columns) => history.added.extend(columns),
                Action::DropColumns(columns) => columns.iter().for_each(|column| history.drop(instance, column)),
                Action::Unclear => history.unclear.push(&statement.command),
                _ => {}
            }
        }
        history
    }

    fn drop(&mut self, instance: &Instance, dropped: &str) {
        let is_captured = |captured: &CapturedColumn| !captured.exists && same_name(dropped, &captured.column.name);
        match self.added.iter().rposition(|added| same_name(added, dropped)) {
            Some(at) => drop(self.added.remove(at)),
            None if instance.columns.iter().any(is_captured) => {}
            None => self.dropped_others += 1,
        }
    }

    /// Whether a statement added a column of this name, or may have.
    fn names(&self, column: &str) -> bool {
        let is_it = |added: &String| same_name(added, column);
        self.added.iter().any(is_it) || self.unclear.iter().any(|command| names(command, column))
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
            unique_indexes: Vec::new(),
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
        assert_eq!(names(ours.added_since(&new)), ["c", "b"]);
    }

    fn added(columns: &[(i32, &str)], statements: &[&str]) -> Vec<String> {
        let mut old = instance(7, Some(lsn(1)), vec![captured(1, "id", "int"), captured(2, "a", "int")]);
        old.columns[1].exists = columns.iter().any(|(id, _)| *id == 2);
        old.statements = (10..).zip(statements).map(|(at, command)| statement(at, command)).collect();
        let table = table(columns, vec![old.clone()]);
        table.added_since(&old).iter().map(|column| column.column.name.clone()).collect()
    }

    #[test]
    fn an_added_column_is_known_whatever_it_is_called_now() {
        let secret = [(1, "id"), (2, "a"), (3, "secret")];
        let and = |more: &[(i32, &'static str)]| [&secret, more].concat();
        assert_eq!(added(&and(&[(4, "d")]), &["ALTER TABLE t ADD c int"]), ["d"]);
        assert_eq!(added(&and(&[(4, "d"), (5, "e")]), &["ALTER TABLE t ADD c int, e int"]), ["e", "d"]);
        // Another takes its name.
        let swapped = ["ALTER TABLE t ADD a_new bigint", "ALTER TABLE t DROP COLUMN a"];
        assert_eq!(added(&[(1, "id"), (3, "secret"), (4, "a")], &swapped), ["a"]);
        // It is gone again, under either name.
        assert_eq!(added(&secret, &["ALTER TABLE t ADD c int", "ALTER TABLE t DROP COLUMN c"]), [""; 0]);
        assert_eq!(added(&secret, &["ALTER TABLE t ADD c int", "ALTER TABLE t DROP COLUMN d"]), [""; 0]);
    }

    #[test]
    fn a_column_that_a_statement_only_mentions_stays_out() {
        let columns = [(1, "id"), (2, "a"), (3, "secret"), (4, "n")];
        for statement in [
            "ALTER TABLE t ADD n int NULL CONSTRAINT ck CHECK (secret <> N'')",
            "ALTER TABLE t ADD n int, CONSTRAINT u UNIQUE (a, secret)",
            "ALTER TABLE secret ADD n int",
        ] {
            assert_eq!(added(&columns, &[statement]), ["n"], "{statement}");
        }
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
