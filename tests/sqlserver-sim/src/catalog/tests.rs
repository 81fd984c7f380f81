//! Every view gives rows that are what its columns say.

use std::collections::HashSet;
use std::sync::Arc;

use crate::engine::context::Context;
use crate::engine::relation::{Relation, Wanted};
use crate::engine::session::Isolation;
use crate::storage::{
    Begin, Check, Column, ColumnId, Computed, Constraint, DatabaseId, DefaultConstraint, ForeignKey, Grant, Identity,
    Index, IndexId, KeyColumn, ObjectId, Permission, Principal, PrincipalId, PrincipalKind, ReferentialAction,
    SchemaId, Securable, Storage, StorageOptions, Table, Transaction,
};
use crate::tds::encode;
use crate::value::{SqlType, Value};

use super::{VIEWS, relation};

const NEW: ObjectId = ObjectId(0);

/// A server with a database of two tables that have something of everything.
fn server() -> (Arc<Storage>, DatabaseId) {
    let storage = Storage::new(StorageOptions::default());
    let database = storage.create_database("shop").unwrap();
    let mut transaction = begin(&storage);
    let customers = transaction.create_table(database, customers()).unwrap();
    transaction.create_table(database, orders(customers.object_id)).unwrap();
    transaction
        .edit_catalog(database, |catalog| {
            catalog.put_principal(Principal {
                principal_id: PrincipalId(5),
                name: Arc::from("reader"),
                kind: PrincipalKind::User { login: Some(Arc::from("reader")) },
                roles: Vec::new(),
                default_schema: None,
            });
            let securable = Securable::Object(customers.object_id);
            catalog.put_permission(
                Permission { grantee: PrincipalId(5), securable, name: Arc::from("SELECT") },
                Grant::Granted,
            );
            Ok(())
        })
        .unwrap();
    transaction.commit().unwrap();
    (storage, database)
}

fn begin(storage: &Arc<Storage>) -> Transaction {
    storage.begin(Begin {
        isolation: Isolation::ReadCommitted,
        session_id: 51,
        cancelled: Arc::default(),
        lock_timeout: None,
        deadlock_priority: 0,
        of_capture: false,
    })
}

fn key(name: &str, column: ColumnId, id: IndexId, primary: bool) -> Index {
    Index {
        index_id: id,
        name: Arc::from(name),
        unique: true,
        constraint: Some(Constraint { object_id: NEW, primary }),
        key: vec![KeyColumn { column_id: column, descending: false }],
        included: Vec::new(),
        disabled: false,
        filter: None,
    }
}

fn customers() -> Table {
    let mut table = Table::new(SchemaId::DBO, "customers");
    let mut id = Column::new("id", SqlType::Int).not_null();
    id.identity = Some(Identity { seed: 1, increment: 1 });
    let id = table.push_column(id);
    let name = table.push_column(Column::new("name", SqlType::NVarChar(crate::value::Length::Limited(50))));
    table.indexes.push(key("PK_customers", id, IndexId::CLUSTERED, true));
    table.indexes.push(key("UQ_customers", name, IndexId(2), false));
    table
}

fn orders(customers: ObjectId) -> Table {
    let mut table = Table::new(SchemaId::DBO, "orders");
    let customer = table.push_column(Column::new("customer_id", SqlType::Int).not_null());
    let mut total = Column::new("total", SqlType::Decimal { precision: 10, scale: 2 });
    total.default =
        Some(DefaultConstraint { object_id: NEW, name: Arc::from("DF_total"), definition: Arc::from("((0))") });
    table.push_column(total);
    let mut twice = Column::new("twice", SqlType::Decimal { precision: 12, scale: 2 });
    twice.computed =
        Some(Computed { definition: Arc::from("([total]*(2))"), persisted: false, columns: vec![ColumnId(2)] });
    table.push_column(twice);
    table.checks.push(Check {
        object_id: NEW,
        name: Arc::from("CK_total"),
        definition: Arc::from("([total]>=(0))"),
        columns: vec![ColumnId(2)],
        disabled: false,
    });
    table.foreign_keys.push(ForeignKey {
        object_id: NEW,
        name: Arc::from("FK_customer"),
        columns: vec![customer],
        referenced_table: customers,
        referenced_columns: vec![ColumnId(1)],
        on_delete: ReferentialAction::Cascade,
        on_update: ReferentialAction::NoAction,
        disabled: false,
    });
    table
}

fn rows_as(
    storage: &Arc<Storage>,
    database: DatabaseId,
    login: &str,
    view: &dyn Relation,
    wanted: &Wanted,
) -> Vec<Vec<Value>> {
    let mut transaction = begin(storage);
    let login = Arc::from(login);
    let context = Context {
        storage,
        transaction: &mut transaction,
        database,
        session_id: 51,
        login: &login,
        client: None,
        user: None,
        sysadmin: &*login == "sa",
        now: storage.clock().now(),
        transaction_count: 1,
    };
    let mut rows = Vec::new();
    view.rows(&context, wanted, &mut |row| {
        rows.push(row);
        Ok(())
    })
    .unwrap();
    rows
}

/// The values of one column.
fn column(schema: &str, view: &str, column: &str, login: &str) -> Vec<Value> {
    let (storage, database) = server();
    let view = relation(&storage, schema, view).unwrap();
    let position = view.columns().iter().position(|it| &*it.name == column).unwrap();
    let rows = rows_as(&storage, database, login, &*view, &Wanted::default());
    rows.into_iter().map(|row| row[position].clone()).collect()
}

fn texts(values: &[Value]) -> Vec<&str> {
    values.iter().filter_map(Value::as_text).collect()
}

#[test]
fn every_view_gives_what_its_columns_say() {
    let (storage, database) = server();
    for ((schema, name), view) in VIEWS.iter() {
        let columns = view.columns();
        let names: HashSet<_> = columns.iter().map(|column| column.name.to_lowercase()).collect();
        assert_eq!(names.len(), columns.len(), "{schema}.{name} has a column twice");
        for row in rows_as(&storage, database, "sa", &**view, &Wanted::default()) {
            assert_eq!(row.len(), columns.len(), "{schema}.{name}");
            for (value, column) in row.iter().zip(columns) {
                assert!(column.nullable || !value.is_null(), "{schema}.{name}.{} is NULL", column.name);
                let written = encode::write(value, column.sql_type, &mut Vec::new());
                assert!(written.is_ok(), "{schema}.{name}.{}: {written:?}", column.name);
            }
        }
    }
}

#[test]
fn rows_that_arent_wanted_are_left_out() {
    let (storage, database) = server();
    let view = relation(&storage, "SYS", "Tables").unwrap();
    let at = |name: &str| view.columns().iter().position(|column| &*column.name == name).unwrap();
    let mut columns = vec![false; view.columns().len()];
    columns[at("object_id")] = true;
    let wanted = Wanted { equal: vec![(at("name"), Value::text("ORDERS"))], columns };
    let rows = rows_as(&storage, database, "sa", &*view, &wanted);
    assert_eq!(rows.len(), 1);
    assert!(!rows[0][at("object_id")].is_null() && rows[0][at("create_date")].is_null());
}

#[test]
fn who_has_no_permission_sees_no_table() {
    assert_eq!(texts(&column("sys", "tables", "name", "sa")), ["customers", "orders"]);
    assert_eq!(texts(&column("sys", "tables", "name", "reader")), ["customers"]);
    assert_eq!(texts(&column("INFORMATION_SCHEMA", "COLUMNS", "COLUMN_NAME", "reader")), ["id", "name"]);
    assert!(column("sys", "tables", "name", "nobody").is_empty());
}

#[test]
fn keys_and_references_are_told() {
    assert_eq!(texts(&column("sys", "key_constraints", "name", "sa")), ["PK_customers", "UQ_customers"]);
    assert_eq!(
        texts(&column("INFORMATION_SCHEMA", "REFERENTIAL_CONSTRAINTS", "UNIQUE_CONSTRAINT_NAME", "sa")),
        ["PK_customers"]
    );
    assert_eq!(
        texts(&column("INFORMATION_SCHEMA", "TABLE_CONSTRAINTS", "CONSTRAINT_TYPE", "sa")),
        ["PRIMARY KEY", "UNIQUE", "FOREIGN KEY", "CHECK"]
    );
    assert_eq!(texts(&column("sys", "indexes", "type_desc", "sa")), ["CLUSTERED", "NONCLUSTERED", "HEAP"]);
}
