//! What a table's rows look like at a place in the log.
//!
//! The shape of a followed table is what its capture instance captures, less what statements up to the place have
//! dropped. Three sources, each for what it knows for certain: `cdc.captured_columns` says which columns, the change
//! table itself says their types as its rows have them, and `cdc.ddl_history` says from which place on one is gone. The
//! table's own metadata is of *now*, ahead of every row that is being read; it only adds what no row shows.

use std::sync::Arc;

use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};

use super::ddl::{Action, same_name};
use super::instance::Instance;
use super::origin::Origin;
use crate::decode::ColumnType;
use crate::position::Lsn;

/// The shape that an instance gives to its table's rows behind a place.
pub(crate) fn shape(name: &TableName, origin: Origin, instance: &Instance, at: Lsn) -> Arc<TableSchema> {
    let mut gone: Vec<String> = Vec::new();
    let mut unclear = false;
    for statement in instance.statements_between(Lsn::ZERO, at) {
        match statement.action() {
            Action::DropColumns(columns) => gone.extend(columns),
            Action::Unclear => unclear = true,
            _ => {}
        }
    }
    let columns = instance.columns.iter().filter(|captured| {
        let is_named = gone.iter().any(|column| same_name(column, &captured.column.name));
        // A column is dropped only if it doesn't exist; a statement may have named one of another table, too.
        captured.exists || !(is_named || unclear)
    });
    let columns: Vec<Column> = columns.map(|captured| captured.column.clone()).collect();
    assemble(name, origin, instance, columns)
}

/// A table's schema from its columns.
pub(crate) fn assemble(
    name: &TableName,
    origin: Origin,
    instance: &Instance,
    columns: Vec<Column>,
) -> Arc<TableSchema> {
    let identity = identity(instance, &columns);
    Arc::new(TableSchema { table: name.clone(), columns, identity, origin: Some(origin.to_string()) })
}

/// The instance's key; the server keeps it as it is. Any other unique key could be changed with nothing to show for it.
fn identity(instance: &Instance, columns: &[Column]) -> Identity {
    let index_of = |column_id: &i32| {
        let captured = instance.columns.iter().find(|captured| captured.column_id == *column_id)?;
        columns.iter().position(|column| column.name == captured.column.name)
    };
    let key: Option<Vec<usize>> = instance.key.iter().map(index_of).collect();
    match key.filter(|key| !key.is_empty()) {
        Some(columns) if instance.key_is_primary => Identity { kind: IdentityKind::PrimaryKey, columns },
        Some(columns) => Identity { kind: IdentityKind::UniqueKey, columns },
        None => Identity { kind: IdentityKind::WholeRow, columns: (0..columns.len()).collect() },
    }
}

/// The columns whose definition differs although no stored value can.
pub(crate) fn values_kept(before: &TableSchema, after: &TableSchema) -> Vec<String> {
    let kept = |column: &&Column| {
        let earlier = before.columns.iter().find(|earlier| earlier.name == column.name);
        // NOT NULL is refused while there is a NULL, so whether NULL is allowed says nothing about what is there.
        earlier.is_some_and(|earlier| {
            let differs = earlier.source_type != column.source_type || earlier.nullable != column.nullable;
            differs
                && earlier.collation == column.collation
                && reads_the_same(&earlier.source_type, &column.source_type)
        })
    };
    after.columns.iter().filter(kept).map(|column| column.name.clone()).collect()
}

/// Whether every value of one type reads the same in another.
fn reads_the_same(before: &str, after: &str) -> bool {
    if before == after {
        return true;
    }
    const WHOLE_NUMBERS: [&str; 4] = ["tinyint", "smallint", "int", "bigint"];
    let rank = |name: &str| WHOLE_NUMBERS.iter().position(|number| *number == name);
    if let (Some(before), Some(after)) = (rank(before), rank(after)) {
        return before < after;
    }
    let ((before, before_size), (after, after_size)) = (split(before), split(after));
    let wider = match (before_size, after_size) {
        (Some(_), Some("max")) => true,
        (Some(before), Some(after)) => match (before.parse::<u32>(), after.parse::<u32>()) {
            (Ok(before), Ok(after)) => before <= after,
            _ => same_scale_and_wider(before, after),
        },
        _ => false,
    };
    wider
        && match before {
            "varchar" | "nvarchar" | "varbinary" | "decimal" | "numeric" => before == after,
            _ => false,
        }
}

/// `10,2` and `12,2`.
fn same_scale_and_wider(before: &str, after: &str) -> bool {
    let parts = |size: &str| {
        let (precision, scale) = size.split_once(',')?;
        Some((precision.trim().parse::<u32>().ok()?, scale.trim().parse::<u32>().ok()?))
    };
    match (parts(before), parts(after)) {
        (Some((before, before_scale)), Some((after, after_scale))) => before_scale == after_scale && before <= after,
        _ => false,
    }
}

/// `varchar(10)` to `varchar` and `10`.
fn split(source_type: &str) -> (&str, Option<&str>) {
    match source_type.split_once('(') {
        Some((name, size)) => (name, Some(size.trim_end_matches(')'))),
        None => (source_type, None),
    }
}

/// Whether a change row may lack the column's value although it has one: it leaves large values out of updates that
/// don't touch them.
pub(crate) fn may_be_left_out(column: &Column) -> bool {
    ColumnType::parse(&column.source_type).is_lob()
}

/// Whether the rows of deletes and the old rows of updates never have the column's value.
pub(crate) fn is_left_out_of_old_rows(column: &Column) -> bool {
    matches!(column.source_type.as_str(), "text" | "ntext" | "image")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::capture::instance::{CapturedColumn, InstanceOptions, Statement};

    const ORIGIN: Origin = Origin { object: 5, made_ms: 3, change_table: 7, partitions: None, since: Lsn::ZERO };

    pub(crate) fn captured(column_id: i32, name: &str, source_type: &str) -> CapturedColumn {
        let column = Column {
            name: name.into(),
            source_type: source_type.into(),
            nullable: column_id > 1,
            collation: None,
            generated: None,
            default: None,
        };
        CapturedColumn { column_id, column, exists: true }
    }

    pub(crate) fn instance(change_table: i32, start: Option<Lsn>, columns: Vec<CapturedColumn>) -> Instance {
        Instance {
            change_table,
            name: format!("dbo_t_{change_table}"),
            start,
            created_at_ms: i64::from(change_table),
            columns,
            key: vec![1],
            key_is_primary: true,
            tells_commands: true,
            statements: Vec::new(),
            options: InstanceOptions::default(),
        }
    }

    pub(crate) fn statement(at: u32, command: &str) -> Statement {
        Statement { at: lsn(at), command: command.into(), at_ms: i64::from(at) }
    }

    pub(crate) fn lsn(number: u32) -> Lsn {
        Lsn::new(1, number, 0)
    }

    pub(crate) fn names(schema: &TableSchema) -> Vec<&str> {
        schema.columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn a_dropped_column_is_there_until_its_place() {
        let mut instance =
            instance(7, Some(lsn(1)), vec![captured(1, "id", "int"), captured(2, "a", "int"), captured(3, "b", "int")]);
        instance.columns[1].exists = false;
        instance.statements.push(statement(50, "ALTER TABLE t DROP COLUMN A"));
        let name = TableName::new("dbo", "t");
        assert_eq!(names(&shape(&name, ORIGIN, &instance, lsn(49))), ["id", "a", "b"]);
        let after = shape(&name, ORIGIN, &instance, lsn(50));
        assert_eq!(names(&after), ["id", "b"]);
        assert_eq!(after.origin.as_deref(), Some("object=5 made=3 change_table=7 since=00000000:00000000:0000"));
        assert_eq!(after.identity, Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] });
    }

    #[test]
    fn without_a_key_the_whole_row_is_the_identity() {
        let mut instance = instance(7, Some(lsn(1)), vec![captured(1, "id", "int"), captured(2, "a", "int")]);
        instance.key.clear();
        let schema = shape(&TableName::new("dbo", "t"), ORIGIN, &instance, lsn(1));
        assert_eq!(schema.identity, Identity { kind: IdentityKind::WholeRow, columns: vec![0, 1] });
    }

    #[test]
    fn only_widening_keeps_values() {
        for (before, after, kept) in [
            ("int", "bigint", true),
            ("bigint", "int", false),
            ("varchar(10)", "varchar(20)", true),
            ("varchar(10)", "varchar(max)", true),
            ("varchar(max)", "varchar(10)", false),
            ("varchar(10)", "nvarchar(20)", false),
            ("char(10)", "char(20)", false),
            ("decimal(10,2)", "decimal(12,2)", true),
            ("decimal(10,2)", "decimal(12,3)", false),
            ("datetime2(3)", "datetime2(7)", false),
            ("real", "float", false),
            ("int", "varchar(10)", false),
        ] {
            assert_eq!(reads_the_same(before, after), kept, "{before} to {after}");
        }
    }

    #[test]
    fn large_values_may_be_left_out() {
        for (source_type, expected) in
            [("varchar(max)", true), ("xml", true), ("text", true), ("varchar(8000)", false), ("int", false)]
        {
            assert_eq!(may_be_left_out(&captured(2, "a", source_type).column), expected, "{source_type}");
        }
    }
}
