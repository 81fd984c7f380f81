//! `sp_cdc_generate_wrapper_function`: scripts for functions that take times in place of LSNs.

use crate::engine::relation::Column;
use crate::error::SqlResult;
use crate::value::{Length, SqlType, Value};

use super::changes::may_read;
use super::errors;
use super::registry::{CdcContext, Procedure, ProcedureParameter, ProcedureResult, RowSet};

pub static PROCEDURES: &[Procedure] =
    &[Procedure { name: "sp_cdc_generate_wrapper_function", parameters: GENERATE, run: generate }];

static GENERATE: &[ProcedureParameter] = &[
    ProcedureParameter { name: "@capture_instance", sql_type: SqlType::SysName, default: Some(Value::Null) },
    ProcedureParameter { name: "@closed_high_end_point", sql_type: SqlType::Bit, default: Some(Value::Bit(true)) },
];

/// One row for each function of the instance, or of all: its name, and the statement that creates it.
fn generate(context: &mut CdcContext<'_>, arguments: &[Value]) -> SqlResult<ProcedureResult> {
    let catalog = context.catalog()?;
    if !catalog.options.cdc_enabled {
        return Err(errors::not_enabled(context.transaction, context.database));
    }
    let closed = arguments.get(1).and_then(Value::as_integer) != Some(0);
    let chosen = match arguments.first().and_then(Value::as_text) {
        Some(name) => {
            let none = || errors::no_instance(name, context.transaction, context.database);
            vec![catalog.instance_named(name).ok_or_else(none)?]
        }
        None => catalog.instances().collect(),
    };
    let mut rows = Vec::new();
    for instance in chosen {
        if !may_read(context, instance)? {
            continue;
        }
        let mut kinds = vec!["all"];
        if instance.supports_net_changes {
            kinds.push("net");
        }
        for kind in kinds {
            let name = format!("fn_{kind}_changes_{}", instance.name);
            rows.push(vec![Value::text(&name), Value::text(&script(kind, &instance.name, closed))]);
        }
    }
    let columns = vec![
        Column::new("function_name", SqlType::SysName, true),
        Column::new("create_script", SqlType::NVarChar(Length::Max), true),
    ];
    Ok(ProcedureResult { results: vec![RowSet { columns, rows }], ..ProcedureResult::default() })
}

fn script(kind: &str, instance: &str, closed: bool) -> String {
    let quoted = |name: String| format!("[{}]", name.replace(']', "]]"));
    let wrapper = quoted(format!("fn_{kind}_changes_{instance}"));
    let function = quoted(format!("fn_cdc_get_{kind}_changes_{instance}"));
    let literal = instance.replace('\'', "''");
    let (low, high) = if closed {
        ("smallest greater than", "largest less than or equal")
    } else {
        ("smallest greater than or equal", "largest less than")
    };
    format!(
        "CREATE FUNCTION {wrapper} (@start_time datetime, @end_time datetime, @row_filter_option nvarchar(30) = N'all')\n\
         RETURNS TABLE AS RETURN (\n\
         SELECT * FROM cdc.{function}(\n\
         CASE WHEN @start_time IS NULL THEN sys.fn_cdc_get_min_lsn(N'{literal}')\n\
         ELSE sys.fn_cdc_map_time_to_lsn('{low}', @start_time) END,\n\
         CASE WHEN @end_time IS NULL THEN sys.fn_cdc_get_max_lsn()\n\
         ELSE sys.fn_cdc_map_time_to_lsn('{high}', @end_time) END,\n\
         @row_filter_option))"
    )
}
