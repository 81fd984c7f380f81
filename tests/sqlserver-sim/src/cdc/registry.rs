//! How the engine reaches the procedures and functions of change data capture.

use std::sync::Arc;

use crate::engine::relation::{Column, Relation, RowSink};
use crate::error::{SqlError, SqlResult};
use crate::storage::{Catalog, DatabaseId, Login, PrincipalId, SchemaId, Storage, Transaction};
use crate::value::{SqlType, Value};

use super::{
    agent_procedures, changes, cleanup, disable, enable, functions, help, job_procedures, log_stats, net_changes, scan,
    wrapper,
};

/// Who calls, from where.
pub struct CdcContext<'a> {
    /// The session's transaction, or that of the statement.
    pub transaction: &'a mut Transaction,
    pub database: DatabaseId,
    /// In the database.
    pub user: PrincipalId,
    pub login: &'a Login,
}

impl CdcContext<'_> {
    pub fn storage(&self) -> Arc<Storage> {
        Arc::clone(self.transaction.storage())
    }

    pub fn catalog(&self) -> SqlResult<Arc<Catalog>> {
        self.transaction.catalog(self.database)
    }

    pub(super) fn is_sysadmin(&self) -> bool {
        self.login.sysadmin
    }

    pub(super) fn is_owner(&self) -> SqlResult<bool> {
        Ok(self.is_sysadmin() || self.catalog()?.is_member(self.user, PrincipalId::DB_OWNER))
    }
}

/// A parameter of a procedure.
#[derive(Debug)]
pub struct ProcedureParameter {
    /// With its `@`, in lower case.
    pub name: &'static str,
    pub sql_type: SqlType,
    /// None where the caller must give it (error 201).
    pub default: Option<Value>,
}

/// What a procedure gives.
#[derive(Debug, Default)]
pub struct ProcedureResult {
    pub results: Vec<RowSet>,
    /// Information, not errors.
    pub messages: Vec<SqlError>,
    pub status: i32,
    /// Values of output parameters, by position.
    pub outputs: Vec<(usize, Value)>,
}

/// A result of rows.
#[derive(Debug)]
pub struct RowSet {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
}

type RunProcedure = fn(&mut CdcContext<'_>, &[Value]) -> SqlResult<ProcedureResult>;
type RunFunction = fn(&mut CdcContext<'_>, &[Value]) -> SqlResult<Value>;

/// A system procedure. The engine gives `run` one value for each parameter, converted to its type.
#[derive(Clone, Copy, Debug)]
pub struct Procedure {
    /// As in messages.
    pub name: &'static str,
    pub parameters: &'static [ProcedureParameter],
    pub run: RunProcedure,
}

/// A scalar system function. The engine gives `run` one value for each parameter, converted to its type.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    pub name: &'static str,
    pub parameters: &'static [SqlType],
    pub returns: SqlType,
    pub run: RunFunction,
}

/// A function that gives rows: those of a capture instance's changes, or what the log says of itself.
#[derive(Debug)]
pub struct TableFunction {
    pub parameters: Vec<SqlType>,
    pub columns: Vec<Column>,
    kind: TableFunctionKind,
}

#[derive(Debug)]
enum TableFunctionKind {
    AllChanges(changes::AllChanges),
    NetChanges(net_changes::NetChanges),
    LogStats,
}

impl TableFunction {
    /// Gives the rows. Arguments are converted to the parameters' types; `DEFAULT` is NULL.
    ///
    /// # Errors
    /// 313 for bounds or filters that aren't valid, 229 without the permission.
    pub fn rows(&self, context: &mut CdcContext<'_>, arguments: &[Value], sink: &mut RowSink<'_>) -> SqlResult<()> {
        match &self.kind {
            TableFunctionKind::AllChanges(function) => function.rows(context, arguments, sink),
            TableFunctionKind::NetChanges(function) => function.rows(context, arguments, sink),
            TableFunctionKind::LogStats => log_stats::rows(context, arguments, sink),
        }
    }
}

/// The procedure of this name, which is in lower case and without schema. All are in `sys`.
pub fn procedure(name: &str) -> Option<Procedure> {
    let all = [
        enable::PROCEDURES,
        disable::PROCEDURES,
        job_procedures::PROCEDURES,
        agent_procedures::PROCEDURES,
        cleanup::PROCEDURES,
        scan::PROCEDURES,
        help::PROCEDURES,
        wrapper::PROCEDURES,
    ];
    all.into_iter().flatten().find(|procedure| procedure.name == name).copied()
}

/// The scalar function of this name, which is in lower case and without schema. All are in `sys`.
pub fn function(name: &str) -> Option<Function> {
    functions::FUNCTIONS.iter().find(|function| function.name == name).copied()
}

/// The changes' function of this name in a schema of the database, where it has one.
pub fn table_function(catalog: &Catalog, schema: SchemaId, name: &str) -> Option<TableFunction> {
    if schema == SchemaId::SYS && name.eq_ignore_ascii_case("dm_db_log_stats") {
        return Some(TableFunction {
            parameters: vec![SqlType::Int],
            columns: log_stats::columns(),
            kind: TableFunctionKind::LogStats,
        });
    }
    let module = catalog.module_named(schema, name)?;
    let schema = catalog.schema(schema)?;
    let lower = name.to_lowercase();
    let qualified = format!("{}.{}", schema.name, module.name);
    let lsn = SqlType::Binary(10);
    let filter = SqlType::NVarChar(crate::value::Length::Limited(30));
    if &*schema.name == "cdc"
        && let Some(instance) = lower.strip_prefix("fn_cdc_get_all_changes_")
    {
        let function = changes::AllChanges::new(catalog, catalog.instance_named(instance)?, &qualified)?;
        return Some(TableFunction {
            columns: function.columns(),
            parameters: vec![lsn, lsn, filter],
            kind: TableFunctionKind::AllChanges(function),
        });
    }
    if &*schema.name == "cdc"
        && let Some(instance) = lower.strip_prefix("fn_cdc_get_net_changes_")
    {
        let function = net_changes::NetChanges::new(catalog, catalog.instance_named(instance)?, &qualified)?;
        return Some(TableFunction {
            columns: function.columns(),
            parameters: vec![lsn, lsn, filter],
            kind: TableFunctionKind::NetChanges(function),
        });
    }
    None
}

/// A relation of the server's dynamic views, with the name by which it is reached.
pub type NamedRelation = (&'static str, Arc<dyn Relation>);
