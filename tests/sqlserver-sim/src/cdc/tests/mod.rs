//! Each fact of change data capture, by name, on storage alone.

mod capture;
mod cleanup;
mod enabling;
mod history;
mod jobs;
mod random;
mod reading;
mod server;
mod speed;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use crate::control::Control;
use crate::engine::session::Isolation;
use crate::error::{SqlError, SqlResult};
use crate::storage::{
    Alteration, Begin, Clock, Column, Constraint, DatabaseId, Ddl, Edition, Index, IndexId, KeyColumn, Login, Lsn,
    ObjectId, PrincipalId, ReadRequest, Row, RowId, SchemaId, Storage, StorageOptions, Table, Transaction,
    UpdateManner, never_cancelled,
};
use crate::value::{Length, SqlType, Value};

use super::registry::{self, CdcContext, ProcedureResult};

/// 2026-01-01.
const START: Duration = Duration::from_secs(1_767_225_600);

/// A server with a database, driven by hand.
struct Harness {
    storage: Arc<Storage>,
    database: DatabaseId,
    login: Arc<Login>,
    user: PrincipalId,
}

impl Harness {
    /// A database that isn't enabled.
    fn plain(edition: Edition) -> Self {
        let clock = Clock::manual(START);
        let storage = Storage::new(StorageOptions { clock, edition, ..StorageOptions::default() });
        let database = storage.create_database("shop").unwrap();
        let login = storage.login_named("sa").unwrap();
        Self { storage, database, login, user: PrincipalId::DBO }
    }

    fn enabled() -> Self {
        let harness = Self::plain(Edition::Developer);
        harness.exec("sp_cdc_enable_db", &[]).unwrap();
        harness
    }

    /// An enabled database with a captured table `dbo.t (id int primary key, name nvarchar(50), n int)`, recognised.
    fn with_table() -> (Self, Arc<Table>) {
        let harness = Self::enabled();
        let table = harness.table("t");
        harness.enable("t", None);
        harness.scan();
        (harness, table)
    }

    fn control(&self) -> Control {
        Control::new(Arc::clone(&self.storage), Arc::default())
    }

    fn begin(&self, isolation: Isolation) -> Transaction {
        self.storage.begin(Begin {
            isolation,
            session_id: 51,
            cancelled: never_cancelled(),
            lock_timeout: Some(Duration::from_millis(100)),
            deadlock_priority: 0,
            of_capture: false,
        })
    }

    /// Runs a step in a transaction of its own.
    fn step<T>(&self, step: impl FnOnce(&mut Transaction) -> SqlResult<T>) -> SqlResult<T> {
        let mut transaction = self.begin(Isolation::ReadCommitted);
        let given = step(&mut transaction)?;
        transaction.commit()?;
        Ok(given)
    }

    fn call<T>(&self, run: impl FnOnce(&mut CdcContext<'_>) -> SqlResult<T>) -> SqlResult<T> {
        self.step(|transaction| {
            run(&mut CdcContext { transaction, database: self.database, user: self.user, login: &self.login })
        })
    }

    /// Runs a procedure with arguments by name, as the engine would.
    fn exec(&self, name: &str, given: &[(&str, Value)]) -> SqlResult<ProcedureResult> {
        let procedure = registry::procedure(name).expect("the procedure");
        for (name, _) in given {
            assert!(procedure.parameters.iter().any(|parameter| parameter.name == *name), "{name}");
        }
        let argument = |parameter: &registry::ProcedureParameter| {
            let given = given.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value.clone());
            given.or_else(|| parameter.default.clone()).unwrap_or(Value::Null)
        };
        let arguments: Vec<Value> = procedure.parameters.iter().map(argument).collect();
        self.call(|context| (procedure.run)(context, &arguments))
    }

    fn function(&self, name: &str, arguments: &[Value]) -> Value {
        let function = registry::function(name).expect("the function");
        self.call(|context| (function.run)(context, arguments)).unwrap()
    }

    fn table(&self, name: &str) -> Arc<Table> {
        let columns = [
            Column::new("id", SqlType::Int).not_null(),
            Column::new("name", SqlType::NVarChar(Length::Limited(50))),
            Column::new("n", SqlType::Int),
        ];
        self.table_of(name, columns.to_vec())
    }

    /// A table whose first column is the primary key.
    fn table_of(&self, name: &str, columns: Vec<Column>) -> Arc<Table> {
        let mut table = Table::new(SchemaId::DBO, name);
        for column in columns {
            table.push_column(column);
        }
        table.indexes.push(unique_index(&format!("PK_{name}"), IndexId::CLUSTERED, 1, true));
        self.step(|transaction| transaction.create_table(self.database, table)).unwrap()
    }

    fn enable(&self, table: &str, instance: Option<&str>) {
        self.try_enable(table, instance).unwrap();
    }

    fn try_enable(&self, table: &str, instance: Option<&str>) -> SqlResult<ProcedureResult> {
        let instance = instance.map_or(Value::Null, Value::text);
        self.exec(
            "sp_cdc_enable_table",
            &[
                ("@source_schema", Value::text("dbo")),
                ("@source_name", Value::text(table)),
                ("@role_name", Value::Null),
                ("@capture_instance", instance),
            ],
        )
    }

    fn current(&self, table: &Table) -> Arc<Table> {
        Arc::clone(self.storage.catalog(self.database).unwrap().table(table.object_id).expect("the table"))
    }

    fn insert(&self, table: &Table, rows: &[&[Value]]) -> Vec<RowId> {
        self.step(|transaction| insert(self, transaction, table, rows)).unwrap()
    }

    fn update(&self, table: &Table, rows: &[(RowId, &[Value])], manner: UpdateManner) {
        self.step(|transaction| update(self, transaction, table, rows, manner)).unwrap();
    }

    fn delete(&self, table: &Table, rows: &[RowId]) {
        let table = self.current(table);
        self.step(|transaction| transaction.delete(self.database, &table, rows)).unwrap();
    }

    fn alter(&self, table: &Table, alteration: Alteration, command: &str) -> SqlResult<Arc<Table>> {
        let ddl = Ddl { command, by_owner: true };
        self.step(|transaction| transaction.alter_table(self.database, table.object_id, vec![alteration], &ddl))
    }

    fn drop_table(&self, table: &Table) {
        let ddl = Ddl { command: "DROP TABLE", by_owner: true };
        self.step(|transaction| transaction.drop_table(self.database, table.object_id, &ddl)).unwrap();
    }

    fn scan(&self) {
        self.control().scan("shop").unwrap();
    }

    fn named(&self, schema: &str, name: &str) -> Option<Arc<Table>> {
        let catalog = self.storage.catalog(self.database).unwrap();
        catalog.table_named(catalog.schema_named(schema)?.schema_id, name).cloned()
    }

    /// All rows of a table of the database in clustered order.
    fn rows(&self, schema: &str, name: &str) -> Vec<Row> {
        let table = self.named(schema, name).expect("the table");
        let request = ReadRequest::all(self.database, table);
        let rows = self.step(|transaction| transaction.read_all(&request)).unwrap();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    /// Operation and captured values of an instance's change table.
    fn changes(&self, instance: &str) -> Vec<(i64, Vec<Value>)> {
        let rows = self.rows("cdc", &format!("{instance}_CT"));
        let change = |row: Row| (row[3].as_integer().unwrap(), row[5..row.len() - 1].to_vec());
        rows.into_iter().map(change).collect()
    }

    fn operations(&self, instance: &str) -> Vec<i64> {
        self.changes(instance).into_iter().map(|(operation, _)| operation).collect()
    }

    fn start_lsn(&self, instance: &str) -> Option<Lsn> {
        let rows = self.rows("cdc", "change_tables");
        let row = rows.iter().find(|row| row[3] == Value::text(instance)).expect("the instance");
        Lsn::from_value(&row[4])
    }

    fn max_lsn(&self) -> Option<Lsn> {
        Lsn::from_value(&self.function("fn_cdc_get_max_lsn", &[]))
    }

    /// What the instance's function of all changes, or another one, gives.
    fn function_rows(&self, function: &str, from: Value, to: Value, filter: &str) -> SqlResult<Vec<Vec<Value>>> {
        let catalog = self.storage.catalog(self.database)?;
        let schema = catalog.schema_named("cdc").ok_or_else(|| SqlError::invalid_object(function))?.schema_id;
        let function =
            registry::table_function(&catalog, schema, function).ok_or_else(|| SqlError::invalid_object(function))?;
        let mut rows = Vec::new();
        self.call(|context| {
            function.rows(context, &[from, to, Value::text(filter)], &mut |row| {
                rows.push(row);
                Ok(())
            })
        })?;
        Ok(rows)
    }

    fn all_changes(&self, instance: &str, filter: &str) -> SqlResult<Vec<Vec<Value>>> {
        let (from, to) = (self.start_lsn(instance).unwrap().to_value(), self.max_lsn().unwrap().to_value());
        self.function_rows(&format!("fn_cdc_get_all_changes_{instance}"), from, to, filter)
    }

    fn net_changes(&self, instance: &str, filter: &str) -> SqlResult<Vec<Vec<Value>>> {
        let (from, to) = (self.start_lsn(instance).unwrap().to_value(), self.max_lsn().unwrap().to_value());
        self.function_rows(&format!("fn_cdc_get_net_changes_{instance}"), from, to, filter)
    }

    fn history(&self) -> Vec<(ObjectId, bool, String, Lsn)> {
        let entry = |row: &Row| {
            let object = ObjectId(i32::try_from(row[1].as_integer().unwrap()).unwrap());
            let text = row[3].as_text().unwrap().to_owned();
            (object, row[2] == Value::Bit(true), text, Lsn::from_value(&row[4]).unwrap())
        };
        self.rows("cdc", "ddl_history").iter().map(entry).collect()
    }
}

fn insert(harness: &Harness, transaction: &mut Transaction, table: &Table, rows: &[&[Value]]) -> SqlResult<Vec<RowId>> {
    let table = harness.current(table);
    let rows: Vec<Row> = rows.iter().map(|row| Row::from(row.to_vec())).collect();
    transaction.insert(harness.database, &table, &rows)
}

fn update(
    harness: &Harness,
    transaction: &mut Transaction,
    table: &Table,
    rows: &[(RowId, &[Value])],
    manner: UpdateManner,
) -> SqlResult<()> {
    let table = harness.current(table);
    let rows: Vec<(RowId, Row)> = rows.iter().map(|(id, row)| (*id, Row::from(row.to_vec()))).collect();
    transaction.update(harness.database, &table, &rows, manner)
}

fn unique_index(name: &str, index_id: IndexId, column: i32, primary: bool) -> Index {
    Index {
        index_id,
        name: Arc::from(name),
        unique: true,
        constraint: Some(Constraint { object_id: ObjectId(0), primary }),
        key: vec![KeyColumn { column_id: crate::storage::ColumnId(column), descending: false }],
        included: Vec::new(),
        disabled: false,
        filter: None,
    }
}

fn row(id: i32, name: &str, n: i32) -> Vec<Value> {
    vec![Value::Int(id), Value::text(name), Value::Int(n)]
}

fn number<T: std::fmt::Debug>(outcome: SqlResult<T>) -> i32 {
    outcome.expect_err("an error").number
}
