//! Enabling and disabling, and what each refuses.

use std::sync::Arc;

use super::{Harness, number, row, unique_index};
use crate::storage::{Alteration, Column, Edition, IndexId, Login, PrincipalId, Schema, SchemaId};
use crate::value::{SqlType, Value};

fn arguments<'a>(extra: &[(&'a str, Value)]) -> Vec<(&'a str, Value)> {
    let mut all =
        vec![("@source_schema", Value::text("dbo")), ("@source_name", Value::text("t")), ("@role_name", Value::Null)];
    for (name, value) in extra {
        all.retain(|(known, _)| known != name);
        all.push((name, value.clone()));
    }
    all
}

/// The error of enabling `dbo.t` with these arguments.
fn refused(harness: &Harness, extra: &[(&str, Value)]) -> i32 {
    number(harness.exec("sp_cdc_enable_table", &arguments(extra)))
}

#[test]
fn enabling_a_database_creates_its_catalog() {
    let harness = Harness::enabled();
    let catalog = harness.storage.catalog(harness.database).unwrap();
    assert!(catalog.options.cdc_enabled);
    assert!(catalog.principal_named("cdc").is_some());
    for table in ["change_tables", "captured_columns", "index_columns", "ddl_history", "lsn_time_mapping"] {
        assert!(harness.named("cdc", table).is_some(), "{table}");
    }
    assert!(harness.named("dbo", "systranschemas").is_some());
}

#[test]
fn enabling_a_database_twice_is_information_22905() {
    let harness = Harness::enabled();
    let again = harness.exec("sp_cdc_enable_db", &[]).unwrap();
    assert_eq!((again.messages[0].number, again.messages[0].severity), (22905, 10));
}

#[test]
fn enabling_a_database_is_for_sysadmin_22902_or_the_owner_in_azure() {
    for (edition, allowed) in
        [(Edition::Developer, false), (Edition::ManagedInstance, false), (Edition::AzureSqlDatabase, true)]
    {
        let mut harness = Harness::plain(edition);
        harness.login = Arc::new(Login { sysadmin: false, ..Login::clone(&harness.login) });
        let outcome = harness.exec("sp_cdc_enable_db", &[]);
        assert_eq!(outcome.is_ok(), allowed);
        if !allowed {
            assert_eq!(number(outcome), 22902);
        }
    }
}

#[test]
fn a_schema_or_user_named_cdc_is_in_the_way_22906() {
    let harness = Harness::plain(Edition::Developer);
    harness
        .step(|transaction| {
            transaction.edit_catalog(harness.database, |catalog| {
                let schema_id = catalog.next_schema_id();
                catalog.put_schema(Schema { schema_id, name: Arc::from("CDC"), owner: PrincipalId::DBO });
                Ok(())
            })
        })
        .unwrap();
    assert_eq!(number(harness.exec("sp_cdc_enable_db", &[])), 22906);

    let harness = Harness::plain(Edition::Developer);
    harness
        .step(|transaction| {
            transaction.edit_catalog(harness.database, |catalog| {
                let principal_id = catalog.next_principal_id();
                catalog.put_principal(crate::storage::Principal {
                    principal_id,
                    name: Arc::from("cdc"),
                    kind: crate::storage::PrincipalKind::User { login: None },
                    roles: Vec::new(),
                    default_schema: None,
                });
                Ok(())
            })
        })
        .unwrap();
    assert_eq!(number(harness.exec("sp_cdc_enable_db", &[])), 22906);
}

#[test]
fn system_databases_are_refused_22989() {
    let mut harness = Harness::plain(Edition::Developer);
    harness.database = crate::storage::DatabaseId::MASTER;
    assert_eq!(number(harness.exec("sp_cdc_enable_db", &[])), 22989);
}

#[test]
fn enabling_a_table_needs_an_enabled_database_22901_and_its_owner_22904() {
    let mut harness = Harness::plain(Edition::Developer);
    harness.table("t");
    assert_eq!(refused(&harness, &[]), 22901);
    harness.exec("sp_cdc_enable_db", &[]).unwrap();
    harness.login = Arc::new(Login { sysadmin: false, ..Login::clone(&harness.login) });
    harness.user = PrincipalId::GUEST;
    assert_eq!(refused(&harness, &[]), 22904);
}

#[test]
fn enabling_a_table_writes_the_catalog_and_creates_table_and_functions() {
    let harness = Harness::enabled();
    let table = harness.table("t");
    harness.enable("t", None);
    assert!(harness.current(&table).tracked);
    let instance = harness.rows("cdc", "change_tables").remove(0);
    let change_table = harness.named("cdc", "dbo_t_CT").unwrap();
    assert_eq!(instance[0], Value::Int(change_table.object_id.0));
    assert_eq!(instance[2], Value::Int(table.object_id.0));
    assert_eq!(instance[3], Value::text("dbo_t"));
    assert!(instance[4].is_null() && instance[5].is_null());
    assert_eq!(instance[6], Value::Bit(true), "net changes by default where there is a primary key");
    assert_eq!(instance[9], Value::text("PK_t"));
    let columns: Vec<_> = harness.rows("cdc", "captured_columns").iter().map(|row| row[1..5].to_vec()).collect();
    let column =
        |name: &str, id: i32, kind: &str| vec![Value::text(name), Value::Int(id), Value::text(kind), Value::Int(id)];
    assert_eq!(columns, [column("id", 1, "int"), column("name", 2, "nvarchar"), column("n", 3, "int")]);
    assert_eq!(harness.rows("cdc", "index_columns")[0][1], Value::text("id"));
    let catalog = harness.storage.catalog(harness.database).unwrap();
    let schema = catalog.schema_named("cdc").unwrap().schema_id;
    for function in ["fn_cdc_get_all_changes_dbo_t", "fn_cdc_get_net_changes_dbo_t"] {
        assert!(catalog.module_named(schema, function).is_some(), "{function}");
    }
}

#[test]
fn a_change_table_has_its_columns_and_keys_in_order() {
    let harness = Harness::enabled();
    harness.table("t");
    harness.enable("t", None);
    let table = harness.named("cdc", "dbo_t_CT").unwrap();
    let names: Vec<&str> = table.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(
        names,
        [
            "__$start_lsn",
            "__$end_lsn",
            "__$seqval",
            "__$operation",
            "__$update_mask",
            "id",
            "name",
            "n",
            "__$command_id",
        ]
    );
    let key = |index: &crate::storage::Index| {
        index.key.iter().map(|key| &*table.column(key.column_id).unwrap().name).collect::<Vec<_>>().join(" ")
    };
    let clustered = table.clustered().unwrap();
    assert_eq!(&*clustered.name, "dbo_t_CT_clustered_idx");
    assert_eq!(key(clustered), "__$start_lsn __$command_id __$seqval __$operation");
    let net = table.index_named("dbo_t_CT_idx").unwrap();
    assert!(net.unique);
    assert_eq!(key(net), "id __$start_lsn __$command_id __$seqval __$operation");
}

#[test]
fn start_lsn_is_null_until_the_scan_recognises_the_instance() {
    let harness = Harness::enabled();
    let table = harness.table("t");
    harness.enable("t", None);
    harness.insert(&table, &[&row(1, "before the scan", 1)]);
    assert_eq!(harness.start_lsn("dbo_t"), None);
    assert_eq!(harness.function("fn_cdc_get_min_lsn", &[Value::text("dbo_t")]), Value::binary(&[0; 10]));
    harness.scan();
    let start = harness.start_lsn("dbo_t").unwrap();
    assert!(start < harness.max_lsn().unwrap());
    assert_eq!(harness.operations("dbo_t"), [2], "what came after the instance is captured");
    assert_eq!(harness.function("fn_cdc_get_min_lsn", &[Value::text("dbo_t")]), start.to_value());
}

#[test]
fn arguments_are_checked() {
    let harness = Harness::enabled();
    let mut columns = vec![Column::new("id", SqlType::Int).not_null(), Column::new("a", SqlType::Int)];
    columns.push(Column::new("b", SqlType::Int).not_null());
    let table = harness.table_of("t", columns);
    let mut plain = unique_index("plain", IndexId(2), 3, false);
    plain.constraint = None;
    plain.unique = false;
    harness.alter(&table, Alteration::AddIndex(plain), "").unwrap();
    let mut nullable = unique_index("nullable", IndexId(3), 2, false);
    nullable.constraint = None;
    harness.alter(&table, Alteration::AddIndex(nullable), "").unwrap();
    let text = Value::text;
    assert_eq!(refused(&harness, &[("@role_name", text(""))]), 22907);
    assert_eq!(refused(&harness, &[("@source_name", text("missing"))]), 22931);
    assert_eq!(refused(&harness, &[("@captured_column_list", text("id, missing"))]), 22930);
    assert_eq!(refused(&harness, &[("@captured_column_list", text("id,,a"))]), 22942);
    assert_eq!(refused(&harness, &[("@capture_instance", text(&"x".repeat(101)))]), 22927);
    assert_eq!(refused(&harness, &[("@index_name", text("missing"))]), 22928);
    assert_eq!(refused(&harness, &[("@index_name", text("plain"))]), 22929);
    assert_eq!(refused(&harness, &[("@index_name", text("nullable"))]), 22838);
    let mut disabled = unique_index("disabled", IndexId(4), 3, false);
    disabled.constraint = None;
    let table = harness.alter(&table, Alteration::AddIndex(disabled), "").unwrap();
    let id = table.index_named("disabled").unwrap().index_id;
    harness.alter(&table, Alteration::DisableIndex(id), "").unwrap();
    assert_eq!(refused(&harness, &[("@index_name", text("disabled"))]), 22980);
    assert_eq!(refused(&harness, &[("@source_schema", Value::Null)]), 22963);
    assert_eq!(refused(&harness, &[("@source_name", text(""))]), 22963);
    assert_eq!(refused(&harness, &[("@captured_column_list", text("a"))]), 22943);
    assert_eq!(refused(&harness, &[("@filegroup_name", text("missing"))]), 22973);
    let own = [("@source_schema", text("cdc")), ("@source_name", text("change_tables"))];
    assert_eq!(refused(&harness, &own), 22974);
    harness.exec("sp_cdc_enable_table", &arguments(&[("@captured_column_list", text("[b], id"))])).unwrap();
    let names: Vec<Value> = harness.rows("cdc", "captured_columns").iter().map(|row| row[1].clone()).collect();
    assert_eq!(names, [text("id"), text("b")], "in the table's order");
}

#[test]
fn reserved_column_names_are_refused_22975() {
    let harness = Harness::enabled();
    let columns = vec![Column::new("id", SqlType::Int).not_null(), Column::new("__$OPERATION", SqlType::Int)];
    harness.table_of("t", columns);
    assert_eq!(refused(&harness, &[]), 22975);
}

#[test]
fn column_sets_are_refused_22854() {
    let harness = Harness::enabled();
    let mut set = Column::new("all_sparse", SqlType::Xml);
    set.column_set = true;
    let columns = vec![Column::new("id", SqlType::Int).not_null(), set.clone()];
    harness.table_of("t", columns);
    assert_eq!(refused(&harness, &[]), 22854);
    let other = harness.table("u");
    harness.enable("u", None);
    assert_eq!(number(harness.alter(&other, Alteration::AddColumns(vec![set]), "ALTER")), 22854);
}

#[test]
fn too_many_columns_are_refused_22925() {
    let harness = Harness::enabled();
    let mut columns = vec![Column::new("id", SqlType::Int).not_null()];
    columns.extend((1..=1018).map(|n| Column::new(&format!("c{n}"), SqlType::Int)));
    harness.table_of("t", columns);
    assert_eq!(refused(&harness, &[]), 22925);
    let list: Vec<String> = (1..=1017).map(|n| format!("c{n}")).collect();
    let list = [("@captured_column_list", Value::text(&format!("id, {}", list.join(", "))))];
    harness.exec("sp_cdc_enable_table", &arguments(&list)).unwrap();
}

#[test]
fn keys_of_more_than_fourteen_columns_have_no_net_changes_22865() {
    let harness = Harness::enabled();
    let columns = (1..=15).map(|n| Column::new(&format!("c{n}"), SqlType::Int).not_null()).collect();
    let table = harness.table_of("t", columns);
    let mut wide = unique_index("wide", IndexId(2), 1, false);
    wide.constraint = None;
    wide.key = (1..=15)
        .map(|id| crate::storage::KeyColumn { column_id: crate::storage::ColumnId(id), descending: false })
        .collect();
    harness.alter(&table, Alteration::AddIndex(wide), "").unwrap();
    let wide = ("@index_name", Value::text("wide"));
    assert_eq!(refused(&harness, std::slice::from_ref(&wide)), 22865);
    let without = [wide, ("@supports_net_changes", Value::Bit(false))];
    harness.exec("sp_cdc_enable_table", &arguments(&without)).unwrap();
}

#[test]
fn a_role_that_cannot_be_created_is_22944_within_the_wrapper() {
    let harness = Harness::enabled();
    harness.table("t");
    let error =
        harness.exec("sp_cdc_enable_table", &arguments(&[("@role_name", Value::text("DOMAIN\\readers"))])).unwrap_err();
    assert!(error.number == 22832 && error.message.contains("22944"), "{error:?}");
    assert!(harness.rows("cdc", "change_tables").is_empty());
}

#[test]
fn a_metadata_lock_that_is_not_got_is_22840() {
    let harness = Harness::enabled();
    harness.table("t");
    let (u, database) = (harness.table("u"), harness.database);
    let enable = |transaction: &mut crate::storage::Transaction, table: &str| {
        let procedure = super::registry::procedure("sp_cdc_enable_table").unwrap();
        let values: Vec<Value> = procedure
            .parameters
            .iter()
            .map(|parameter| match parameter.name {
                "@source_schema" => Value::text("dbo"),
                "@source_name" => Value::text(table),
                _ => parameter.default.clone().unwrap_or(Value::Null),
            })
            .collect();
        let (database, user, login) = (harness.database, harness.user, &*harness.login);
        let mut context = super::registry::CdcContext { transaction, database, user, login };
        (procedure.run)(&mut context, &values)
    };
    let mut first = harness.begin(crate::engine::session::Isolation::ReadCommitted);
    enable(&mut first, "t").unwrap();
    let error = harness.try_enable("u", None).unwrap_err();
    assert!(error.number == 22840 && error.message.contains("was -1:"), "a timeout: {error:?}");

    // Who waits for the lock that the other has, and has a table that the other waits for, is a victim.
    let mut second = harness.begin(crate::engine::session::Isolation::ReadCommitted);
    second.set_lock_timeout(None);
    let exclusive = crate::storage::LockMode::Exclusive;
    let whole = crate::storage::LockDuration::Transaction;
    second.lock_table(harness.database, u.object_id, exclusive, whole).unwrap();
    std::thread::scope(|scope| {
        // Whoever comes second closes the circle; the other goes on once the victim has let go.
        let waits = scope.spawn(move || {
            first.set_lock_timeout(None);
            first.lock_table(database, u.object_id, exclusive, whole)
        });
        let outcome = enable(&mut second, "u");
        second.rollback();
        let other = waits.join().unwrap();
        match outcome {
            Err(error) => assert!(error.number == 22840 && error.message.contains("was -3:"), "{error:?}"),
            Ok(_) => assert_eq!(number(other), 1205),
        }
    });
}

#[test]
fn a_deadlock_within_has_a_wrapper_of_its_own() {
    let inner = crate::error::SqlError::deadlock(51);
    let wrapped = crate::cdc::errors::wrapped(crate::cdc::errors::Metadata::EnableTable, "step", &inner);
    assert!(wrapped.number == 22834 && wrapped.message.contains("1205"), "{wrapped:?}");
}

#[test]
fn express_has_no_change_data_capture_22988_and_does_not_load_a_database_that_has_934() {
    let express = Harness::plain(Edition::Express);
    assert_eq!(number(express.exec("sp_cdc_enable_db", &[])), 22988);
    let (other, table) = Harness::with_table();
    other.insert(&table, &[&row(1, "a", 1)]);
    let backup = other.control().back_up("shop").unwrap();
    for keeping in [crate::control::Restore::SameServer, crate::control::Restore::OtherServerKeepCdc] {
        assert_eq!(express.control().restore("shop", &backup, keeping).unwrap_err().number(), Some(934));
    }
    express.control().restore("shop", &backup, crate::control::Restore::OtherServer).unwrap();
    assert_eq!(express.rows("dbo", "t").len(), 1);
    assert!(!express.storage.catalog(express.database).unwrap().options.cdc_enabled);
}

#[test]
fn net_changes_need_a_key_22939() {
    let harness = Harness::enabled();
    let mut table = crate::storage::Table::new(SchemaId::DBO, "t");
    table.push_column(Column::new("id", SqlType::Int));
    harness.step(|transaction| transaction.create_table(harness.database, table)).unwrap();
    assert_eq!(refused(&harness, &[("@supports_net_changes", Value::Bit(true))]), 22939);
    harness.enable("t", None);
    assert_eq!(harness.rows("cdc", "change_tables")[0][6], Value::Bit(false));
}

#[test]
fn two_instances_at_most_22962_and_names_are_unique_22926() {
    let harness = Harness::enabled();
    harness.table("t");
    harness.table("u");
    harness.enable("t", None);
    assert_eq!(number(harness.try_enable("u", Some("DBO_T"))), 22926);
    harness.enable("t", Some("second"));
    assert_eq!(number(harness.try_enable("t", Some("third"))), 22962);
    assert_eq!(number(harness.try_enable("t", None)), 22962, "though the name is taken too");
}

#[test]
fn the_role_is_created_and_gates() {
    let harness = Harness::enabled();
    harness.table("t");
    harness.exec("sp_cdc_enable_table", &arguments(&[("@role_name", Value::text("readers"))])).unwrap();
    let catalog = harness.storage.catalog(harness.database).unwrap();
    assert!(catalog.principal_named("readers").is_some());
    assert_eq!(harness.rows("cdc", "change_tables")[0][8], Value::text("readers"));
}

#[test]
fn a_refused_enabling_leaves_nothing_behind() {
    let harness = Harness::enabled();
    let table = harness.table("t");
    // The change table's name is taken, which comes out in the wrapper.
    let cdc = harness.storage.catalog(harness.database).unwrap().schema_named("cdc").unwrap().schema_id;
    harness
        .step(|transaction| transaction.create_table(harness.database, crate::storage::Table::new(cdc, "dbo_t_CT")))
        .unwrap();
    let error = harness.try_enable("t", None).unwrap_err();
    assert_eq!(error.number, 22832);
    assert!(error.message.contains("2714"), "{}", error.message);
    assert!(harness.rows("cdc", "change_tables").is_empty());
    assert!(!harness.current(&table).tracked);
}

fn disable(
    harness: &Harness,
    table: &str,
    instance: &str,
) -> crate::error::SqlResult<super::registry::ProcedureResult> {
    harness.exec(
        "sp_cdc_disable_table",
        &[
            ("@source_schema", Value::text("dbo")),
            ("@source_name", Value::text(table)),
            ("@capture_instance", Value::text(instance)),
        ],
    )
}

#[test]
fn disabling_removes_the_instance_and_its_history_and_loses_unread_changes() {
    let (harness, table) = Harness::with_table();
    harness.enable("t", Some("second"));
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.alter(&table, Alteration::AddColumns(vec![Column::new("x", SqlType::Int)]), "ALTER").unwrap();
    harness.scan();
    assert_eq!(harness.history().len(), 2);
    assert_eq!(number(disable(&harness, "t", "missing")), 22960);
    disable(&harness, "t", "dbo_t").unwrap();
    assert!(harness.named("cdc", "dbo_t_CT").is_none());
    assert_eq!(harness.history().len(), 1);
    assert_eq!(harness.rows("cdc", "change_tables").len(), 1);
    assert!(harness.current(&table).tracked, "the other is still there");
    disable(&harness, "t", "all").unwrap();
    assert!(!harness.current(&table).tracked);
    assert!(harness.rows("cdc", "captured_columns").is_empty() && harness.rows("cdc", "index_columns").is_empty());
    assert_eq!(number(disable(&harness, "t", "all")), 22985);
    harness.scan();
}

#[test]
fn disabling_the_database_removes_everything() {
    let (harness, table) = Harness::with_table();
    harness.exec("sp_cdc_disable_db", &[]).unwrap();
    let catalog = harness.storage.catalog(harness.database).unwrap();
    assert!(!catalog.options.cdc_enabled && catalog.schema_named("cdc").is_none());
    assert!(catalog.principal_named("cdc").is_none() && harness.named("dbo", "systranschemas").is_none());
    assert!(!harness.current(&table).tracked);
    assert_eq!(number(harness.exec("sp_cdc_help_jobs", &[])), 22901);
    assert!(harness.storage.capture().with(harness.database, |capture| capture.capture.is_none()), "nor its jobs");
    assert_eq!(harness.function("fn_cdc_get_max_lsn", &[]), Value::Null);
    assert_eq!(harness.control().scan("shop").unwrap_err().number(), Some(22901));
    harness.exec("sp_cdc_enable_db", &[]).unwrap();
    harness.enable("t", None);
    harness.scan();
    harness.insert(&table, &[&row(1, "a", 1)]);
    harness.scan();
    assert_eq!(harness.operations("dbo_t"), [2]);
}

#[test]
fn a_missing_owner_comes_out_in_the_wrapper() {
    let harness = Harness::plain(Edition::Developer);
    let control = harness.control();
    control.set_owner_missing("shop", true).unwrap();
    let error = harness.exec("sp_cdc_enable_db", &[]).unwrap_err();
    assert!(error.number == 22830 && error.message.contains("15517"), "{error:?}");
    control.set_owner_missing("shop", false).unwrap();
    harness.exec("sp_cdc_enable_db", &[]).unwrap();
    harness.table("t");
    control.set_owner_missing("shop", true).unwrap();
    let error = harness.try_enable("t", None).unwrap_err();
    assert!(error.number == 22832 && error.message.contains("15517"), "{error:?}");
}

#[test]
fn partition_switching_has_its_warnings() {
    for (partitioned, allowed, expected) in
        [(true, true, Some(22855)), (true, false, Some(22856)), (false, false, Some(22857)), (false, true, None)]
    {
        let harness = Harness::enabled();
        let mut table = crate::storage::Table::new(SchemaId::DBO, "t");
        table.push_column(Column::new("id", SqlType::Int));
        table.partitioned = partitioned;
        harness.step(|transaction| transaction.create_table(harness.database, table)).unwrap();
        let result = harness
            .exec("sp_cdc_enable_table", &arguments(&[("@allow_partition_switch", Value::Bit(allowed))]))
            .unwrap();
        let warning =
            result.messages.iter().map(|message| message.number).find(|number| (22855..=22857).contains(number));
        assert_eq!(warning, expected);
    }
}
