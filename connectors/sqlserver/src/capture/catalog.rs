//! What the catalog says about the capture of the selected tables, read again and again.
//!
//! One small query a reading ([`Catalog::look`]) tells which tables and instances there are, where each instance starts
//! and which statement about it is the newest. The rest is read for those tables only of which that has changed, as
//! nothing else can have.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use millstream_core::schema::TableName;
use millstream_core::selection::Selection;
use tiberius::Row;

use super::instance::{CapturedColumn, Instance, InstanceOptions, Statement};
use super::partitions::{MARKS, PartitionMark};
use super::table::{CapturedTable, Former};
use crate::connect::Connection;
use crate::discover::{self, LiveTable, Which};
use crate::error::{QueryError, number};
use crate::fence;
use crate::field::{bigint, bit, int, lsn, optional_text, text};
use crate::position::Lsn;
use crate::quote::within;

/// How many tables' details are asked for in one query.
const TABLES_AT_ONCE_MAX: usize = 200;
/// The column of a change table that says which of the transaction's commands a row belongs to.
const COMMAND_COLUMN: &str = "__$command_id";

/// The selected tables, as they were read last.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    tables: BTreeMap<TableName, CapturedTable>,
    /// What each table's details were read for, by object id.
    marks: HashMap<i32, Mark>,
    /// How tables without an instance were captured that have lost theirs, and since when, by object id: nothing tells it
    /// any more.
    former: HashMap<i32, (Former, Instant)>,
    /// The names of all instances in the database.
    instance_names: HashSet<String>,
    /// Whether change data capture is on for the database.
    enabled: bool,
    /// The name of the database.
    database: String,
    /// How far the server's clock on the wall is ahead of UTC, in milliseconds.
    ahead_of_utc_ms: i64,
}

/// If this is the same, so are a table's details.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Mark {
    name: Option<TableName>,
    /// Change table and the newest statement.
    instances: Vec<(i32, Option<Lsn>)>,
}

/// A table and its instances in short.
#[derive(Debug, Clone)]
struct Glance {
    object: i32,
    made_ms: i64,
    name: TableName,
    partitions: Option<PartitionMark>,
    instances: Vec<GlanceInstance>,
}

#[derive(Debug, Clone)]
struct GlanceInstance {
    change_table: i32,
    start: Option<Lsn>,
    last_statement: Option<Lsn>,
}

impl Catalog {
    /// The tables by name.
    pub(crate) fn tables(&self) -> &BTreeMap<TableName, CapturedTable> {
        &self.tables
    }

    /// How a table was captured that has lost its instances, and since when it has none.
    pub(crate) fn former(&self, object: i32) -> Option<&(Former, Instant)> {
        self.former.get(&object)
    }

    /// Whether any instance in the database has this name.
    pub(crate) fn is_taken(&self, instance: &str) -> bool {
        self.instance_names.contains(&instance.to_lowercase())
    }

    /// Statements as somebody has to run them whose session may be in another database.
    pub(crate) fn within(&self, statements: &str) -> String {
        within(&self.database, statements)
    }

    /// Whether change data capture is on for the database.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// A time by the server's clock on the wall as UTC.
    pub(crate) fn utc_ms(&self, wall_ms: i64) -> i64 {
        wall_ms.saturating_sub(self.ahead_of_utc_ms)
    }

    /// Reads what has changed. What was scanned before this call is all in it.
    pub(crate) async fn look(&mut self, connection: &mut Connection, selection: &Selection) -> Result<(), QueryError> {
        let (glances, _) = self.glance(connection, selection, "").await?;
        self.read_changed(connection, glances).await
    }

    /// Reads what there is to know of the tables themselves, for a user who may not see their instances.
    pub(crate) async fn look_without_instances(
        &mut self,
        connection: &mut Connection,
        selection: &Selection,
    ) -> Result<(), QueryError> {
        self.enabled = false;
        let rows = connection.rows(GLANCE, &glance_query(selection, "NULL", "", ""), &[]).await?;
        let (glances, _) = self.glances(connection, selection, rows);
        self.read_changed(connection, glances).await
    }

    /// Reads what has changed, and then where the log ends: rows that were switched before the look were switched before
    /// there.
    pub(crate) async fn look_to_end(
        &mut self,
        connection: &mut Connection,
        selection: &Selection,
    ) -> Result<Lsn, QueryError> {
        let (glances, behind) = self.glance(connection, selection, fence::LOG_END).await?;
        let end = fence::end_in("look at the log behind the catalog", behind.first())?;
        self.read_changed(connection, glances).await?;
        Ok(end)
    }

    async fn read_changed(&mut self, connection: &mut Connection, glances: Vec<Glance>) -> Result<(), QueryError> {
        let changed: Vec<&Glance> =
            glances.iter().filter(|glance| self.marks.get(&glance.object) != Some(&glance.mark())).collect();
        let mut details: HashMap<i32, CapturedTable> = HashMap::new();
        for some in changed.chunks(TABLES_AT_ONCE_MAX) {
            details.extend(self.details(connection, some).await?);
        }
        let mut known: HashMap<i32, CapturedTable> =
            std::mem::take(&mut self.tables).into_values().map(|table| (table.object, table)).collect();
        let mut marks = HashMap::new();
        for glance in glances {
            let before = known.remove(&glance.object);
            let has_none = details.get(&glance.object).is_some_and(|table| table.instances.is_empty());
            let lost = before.as_ref().filter(|_| has_none).and_then(CapturedTable::former);
            let Some(mut table) = details.remove(&glance.object).or(before) else {
                // Dropped between the queries.
                continue;
            };
            match lost {
                Some(former) => drop(self.former.insert(glance.object, (former, Instant::now()))),
                None if !table.instances.is_empty() => drop(self.former.remove(&glance.object)),
                None => {}
            }
            // Cleanup raises starts, and the capture process sets them, without anything else to show for it; and rows
            // are switched.
            for instance in &mut table.instances {
                let now = glance.instances.iter().find(|now| now.change_table == instance.change_table);
                instance.start = now.and_then(|now| now.start);
            }
            table.partitions = glance.partitions;
            marks.insert(glance.object, glance.mark());
            self.tables.insert(glance.name, table);
        }
        self.former.retain(|object, _| marks.contains_key(object));
        self.marks = marks;
        self.learn_names(connection).await
    }

    /// Names matter only where an instance is to be made.
    async fn learn_names(&mut self, connection: &mut Connection) -> Result<(), QueryError> {
        let free = |_: &str| false;
        let wants = |table: &CapturedTable| table.wanted_first(free).is_some() || table.wanted_next(free).is_some();
        self.instance_names.clear();
        if self.enabled && self.tables.values().any(wants) {
            let names = "SELECT capture_instance FROM cdc.change_tables";
            let rows = connection.rows("list the capture instances", names, &[]).await?;
            self.instance_names.extend(rows.iter().map(|row| text(row, 0).to_lowercase()));
        }
        Ok(())
    }

    /// Which tables and instances there are, and the rows of a query that is asked behind that. Without change data
    /// capture there are no instances. Asked again and again, so it asks for little.
    async fn glance(
        &mut self,
        connection: &mut Connection,
        selection: &Selection,
        behind: &str,
    ) -> Result<(Vec<Glance>, Vec<Row>), QueryError> {
        let captured = glance_query(
            selection,
            "c.object_id, c.start_lsn, h.last_lsn",
            "LEFT JOIN (SELECT object_id, source_object_id, start_lsn FROM cdc.change_tables \
             WHERE has_drop_pending IS NULL OR has_drop_pending = 0) AS c ON c.source_object_id = t.object_id \
             LEFT JOIN (SELECT object_id, MAX(ddl_lsn) AS last_lsn FROM cdc.ddl_history GROUP BY object_id) AS h \
             ON h.object_id = c.object_id",
            behind,
        );
        let rows = match connection.rows(GLANCE, &captured, &[]).await {
            Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => {
                self.enabled = false;
                connection.rows(GLANCE, &glance_query(selection, "NULL", "", behind), &[]).await?
            }
            rows => {
                let rows = rows?;
                self.enabled = true;
                rows
            }
        };
        Ok(self.glances(connection, selection, rows))
    }

    fn glances(&mut self, connection: &Connection, selection: &Selection, rows: Vec<Row>) -> (Vec<Glance>, Vec<Row>) {
        self.database.clone_from(&connection.server.database);
        let (of_tables, behind): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.result_index() == 0);
        let mut glances: Vec<Glance> = Vec::new();
        for row in &of_tables {
            self.ahead_of_utc_ms = i64::from(int(row, 3).unwrap_or_default()) * 60_000;
            let Some(object) = int(row, 0) else { continue };
            let instance = self.enabled.then(|| GlanceInstance::read(row)).flatten();
            match glances.last_mut().filter(|glance| glance.object == object) {
                Some(glance) => glance.instances.extend(instance),
                None => {
                    let name = TableName::new(text(row, 1), text(row, 2));
                    let partitions = optional_text(row, 4).and_then(|mark| mark.parse().ok());
                    let instances = instance.into_iter().collect();
                    let made_ms = bigint(row, 5).unwrap_or_default();
                    glances.push(Glance { object, made_ms, name, partitions, instances });
                }
            }
        }
        glances.retain(|glance| selection.matches(&glance.name));
        for glance in &mut glances {
            glance.instances.sort_by_key(|instance| instance.change_table);
        }
        (glances, behind)
    }

    async fn details(
        &self,
        connection: &mut Connection,
        glances: &[&Glance],
    ) -> Result<HashMap<i32, CapturedTable>, QueryError> {
        let objects: Vec<i32> = glances.iter().map(|glance| glance.object).collect();
        let change_tables: Vec<i32> =
            glances.iter().flat_map(|glance| &glance.instances).map(|instance| instance.change_table).collect();
        let read = ChangeTables::read(connection, &change_tables, self.ahead_of_utc_ms).await?;
        // Last: a column that a statement above dropped is gone by now.
        let live = discover::live(connection, Which::Objects(&objects)).await?;
        let live: HashMap<i32, LiveTable> = live.into_iter().map(|table| (table.object_id, table)).collect();
        let table = |glance: &&Glance| {
            let live = live.get(&glance.object)?;
            let instances = glance.instances.iter().filter_map(|instance| instance.complete(&read, live)).collect();
            let table = CapturedTable {
                object: glance.object,
                made_ms: glance.made_ms,
                name: glance.name.clone(),
                columns: live.columns.clone(),
                has_primary_key: !live.primary_key.is_empty(),
                unique_indexes: live.unique_keys.iter().map(|key| key.name.clone()).collect(),
                partitions: glance.partitions,
                instances,
            };
            Some((glance.object, table))
        };
        Ok(glances.iter().filter_map(table).collect())
    }
}

const GLANCE: &str = "look at the tables and their capture instances";

fn glance_query(selection: &Selection, instances: &str, joined: &str, behind: &str) -> String {
    format!(
        "SELECT t.object_id, s.name, t.name, DATEDIFF(minute, GETUTCDATE(), GETDATE()), p.mark, \
         DATEDIFF_BIG(millisecond, '19700101', t.create_date), {instances} \
         FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
         LEFT JOIN ({MARKS}) AS p ON p.object_id = t.object_id {joined} \
         WHERE {} ORDER BY t.object_id; {behind}",
        Which::Selection(selection).condition()
    )
}

impl Glance {
    fn mark(&self) -> Mark {
        let instances = self.instances.iter().map(|instance| (instance.change_table, instance.last_statement));
        Mark { name: Some(self.name.clone()), instances: instances.collect() }
    }
}

impl GlanceInstance {
    /// `None` for a table without an instance.
    fn read(row: &Row) -> Option<Self> {
        // Zero is what an instance has that the capture process hasn't noticed, if not NULL.
        let start = lsn(row, 7).filter(|start| !start.is_zero());
        Some(Self { change_table: int(row, 6)?, start, last_statement: lsn(row, 8) })
    }

    /// `None` if it has been dropped since.
    fn complete(&self, read: &ChangeTables, live: &LiveTable) -> Option<Instance> {
        let Making { name, created_at_ms, options } = read.makings.get(&self.change_table)?.clone();
        let key = read.keys.get(&self.change_table).cloned().unwrap_or_default();
        let own = read.tables.get(&self.change_table);
        let captured = read.columns.get(&self.change_table).map(Vec::as_slice).unwrap_or_default();
        let tells_commands =
            own.is_some_and(|own| own.columns.iter().any(|column| column.column.name == COMMAND_COLUMN));
        let columns = captured.iter().filter_map(|(column_id, name)| {
            let in_rows = own?.columns.iter().find(|column| column.column.name == *name)?;
            let now = live.columns.iter().find(|column| column.column_id == *column_id);
            let mut column = now.map_or_else(|| in_rows.column.clone(), |now| now.column.clone());
            // A row version is kept as the plain bytes that it is.
            if column.source_type != "timestamp" && column.source_type != "rowversion" {
                column.source_type.clone_from(&in_rows.column.source_type);
                column.collation.clone_from(&in_rows.column.collation);
            }
            Some(CapturedColumn { column_id: *column_id, column, exists: now.is_some() })
        });
        Some(Instance {
            change_table: self.change_table,
            name,
            start: self.start,
            created_at_ms,
            columns: columns.collect(),
            key_is_primary: !key.is_empty() && key == live.primary_key,
            key,
            tells_commands,
            statements: read.statements.get(&self.change_table).cloned().unwrap_or_default(),
            options,
        })
    }
}

/// How an instance was made.
#[derive(Debug, Clone)]
struct Making {
    name: String,
    created_at_ms: i64,
    options: InstanceOptions,
}

impl Making {
    fn read(row: &Row) -> Self {
        Self {
            name: text(row, 1),
            created_at_ms: bigint(row, 2).unwrap_or_default(),
            options: InstanceOptions {
                role: optional_text(row, 3),
                net_changes: bit(row, 4),
                index: optional_text(row, 5),
                filegroup: optional_text(row, 6),
                partition_switch: bit(row, 7),
            },
        }
    }
}

/// What there is to know about change tables, by their object ids.
#[derive(Debug, Default)]
struct ChangeTables {
    makings: HashMap<i32, Making>,
    /// Column id and name, computed ones left out.
    columns: HashMap<i32, Vec<(i32, String)>>,
    keys: HashMap<i32, Vec<i32>>,
    statements: HashMap<i32, Vec<Statement>>,
    tables: HashMap<i32, LiveTable>,
}

impl ChangeTables {
    async fn read(
        connection: &mut Connection,
        change_tables: &[i32],
        ahead_of_utc_ms: i64,
    ) -> Result<Self, QueryError> {
        let mut read = Self::default();
        if change_tables.is_empty() {
            return Ok(read);
        }
        let ids: Vec<String> = change_tables.iter().map(i32::to_string).collect();
        let among = format!("object_id IN ({})", ids.join(", "));
        let makings = format!(
            "SELECT object_id, capture_instance, DATEDIFF_BIG(millisecond, '19700101', create_date), role_name, \
             supports_net_changes, index_name, filegroup_name, partition_switch FROM cdc.change_tables WHERE {among}"
        );
        for row in connection.rows("read how capture instances were made", &makings, &[]).await? {
            let Some(change_table) = int(&row, 0) else { continue };
            read.makings.insert(change_table, Making::read(&row));
        }
        let columns = format!(
            "SELECT object_id, column_id, column_name FROM cdc.captured_columns WHERE {among} AND \
             (is_computed IS NULL OR is_computed = 0) ORDER BY object_id, column_ordinal"
        );
        for row in connection.rows("read the captured columns", &columns, &[]).await? {
            let (Some(change_table), Some(column_id)) = (int(&row, 0), int(&row, 1)) else { continue };
            read.columns.entry(change_table).or_default().push((column_id, text(&row, 2)));
        }
        let keys = format!(
            "SELECT object_id, column_id FROM cdc.index_columns WHERE {among} ORDER BY object_id, index_ordinal"
        );
        for row in connection.rows("read the keys of capture instances", &keys, &[]).await? {
            let (Some(change_table), Some(column_id)) = (int(&row, 0), int(&row, 1)) else { continue };
            read.keys.entry(change_table).or_default().push(column_id);
        }
        let statements = format!(
            "SELECT object_id, ddl_lsn, ddl_command, DATEDIFF_BIG(millisecond, '19700101', ddl_time) \
             FROM cdc.ddl_history WHERE {among} ORDER BY object_id, ddl_lsn"
        );
        for row in connection.rows("read the history of statements", &statements, &[]).await? {
            let (Some(change_table), Some(at)) = (int(&row, 0), lsn(&row, 1)) else { continue };
            let wall_ms = bigint(&row, 3).unwrap_or_default();
            let statement = Statement { at, command: text(&row, 2), at_ms: wall_ms.saturating_sub(ahead_of_utc_ms) };
            read.statements.entry(change_table).or_default().push(statement);
        }
        // After the statements: by then the change tables have the types that these gave them.
        let tables = discover::live(connection, Which::Objects(change_tables)).await?;
        read.tables = tables.into_iter().map(|table| (table.object_id, table)).collect();
        Ok(read)
    }
}
