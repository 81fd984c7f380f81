//! Functions of the session: who, where, what happened last.

use crate::error::SqlResult;
use crate::storage::{DatabaseId, Edition};
use crate::value::{Length, SqlType, Value};

use super::super::execute;
use super::Parameter::{Any, Text};
use super::{Builtin, bigint, int, sysname, text_at, variant};

pub const FUNCTIONS: &[Builtin] = &[
    Builtin::new("@@ROWCOUNT", 0..=0, &[], int, |execution, _, _, _| {
        Ok(Value::Int(i32::try_from(execution.state.row_count).unwrap_or(i32::MAX)))
    }),
    Builtin::new("ROWCOUNT_BIG", 0..=0, &[], bigint, |execution, _, _, _| Ok(Value::BigInt(execution.state.row_count))),
    Builtin::new("@@ERROR", 0..=0, &[], int, |execution, _, _, _| Ok(Value::Int(execution.state.error_number))),
    Builtin::new("@@TRANCOUNT", 0..=0, &[], int, |execution, _, _, _| {
        Ok(Value::Int(i32::try_from(execution.state.transaction_count).unwrap_or(i32::MAX)))
    }),
    Builtin::new(
        "@@SPID",
        0..=0,
        &[],
        |_| Ok(SqlType::SmallInt),
        |execution, _, _, _| Ok(Value::SmallInt(i16::try_from(execution.state.session_id).unwrap_or(i16::MAX))),
    ),
    Builtin::new("@@NESTLEVEL", 0..=0, &[], int, |execution, _, _, _| {
        Ok(Value::Int(i32::try_from(execution.state.nesting).unwrap_or(i32::MAX)))
    }),
    Builtin::new("@@IDENTITY", 0..=0, &[], identity, |execution, _, _, _| {
        Ok(identity_value(execution.state.identity_last))
    }),
    Builtin::new("SCOPE_IDENTITY", 0..=0, &[], identity, |execution, _, _, _| {
        Ok(identity_value(execution.scope_identity))
    }),
    Builtin::new(
        "@@VERSION",
        0..=0,
        &[],
        |_| Ok(SqlType::NVarChar(Length::Limited(300))),
        |execution, _, _, _| {
            let edition = edition_name(execution.state.storage.edition());
            Ok(Value::text(&format!(
                "Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (X64) {edition} (64-bit), as simulated by sqlserver-sim"
            )))
        },
    ),
    Builtin::new("@@SERVERNAME", 0..=0, &[], sysname, |execution, _, _, _| {
        Ok(Value::text(execution.state.storage.server_name()))
    }),
    Builtin::new("@@SERVICENAME", 0..=0, &[], sysname, |_, _, _, _| Ok(Value::text("MSSQLSERVER"))),
    Builtin::new("@@LANGUAGE", 0..=0, &[], sysname, |_, _, _, _| Ok(Value::text("us_english"))),
    Builtin::new("@@MICROSOFTVERSION", 0..=0, &[], int, |_, _, _, _| Ok(Value::Int(0x1000_03E8))),
    Builtin::new("@@MAX_PRECISION", 0..=0, &[], |_| Ok(SqlType::TinyInt), |_, _, _, _| Ok(Value::TinyInt(38))),
    Builtin::new("@@FETCH_STATUS", 0..=0, &[], int, |execution, _, _, _| Ok(Value::Int(execution.state.fetch_status))),
    Builtin::new("@@CURSOR_ROWS", 0..=0, &[], int, |execution, _, _, _| Ok(Value::Int(execution.state.cursor_rows))),
    Builtin::new(
        "CURSOR_STATUS",
        2..=2,
        &[Text, Text],
        |_| Ok(SqlType::SmallInt),
        |execution, values, _, _| {
            let key = crate::value::collation::folded(text_at(values, 1));
            let held = match text_at(values, 0).to_ascii_lowercase().as_str() {
                "global" => &execution.state.cursors,
                _ => &execution.cursors,
            };
            Ok(Value::SmallInt(match held.get(&key).map(|cursor| &cursor.open) {
                None if execution.cursor_variables.contains(&key) => -2,
                None => -3,
                Some(None) => -1,
                Some(Some(open)) => i16::from(!open.rows.is_empty()),
            }))
        },
    ),
    Builtin::new("SESSION_CONTEXT", 1..=1, &[Text], variant, |execution, values, _, _| {
        let key = crate::value::collation::folded(text_at(values, 0));
        Ok(execution.state.session_context.get(&key).map_or(Value::Null, |(value, _)| value.clone()))
    }),
    Builtin::new(
        "CONTEXT_INFO",
        0..=0,
        &[],
        |_| Ok(SqlType::VarBinary(Length::Limited(128))),
        |execution, _, _, _| Ok(execution.state.context_info.clone()),
    ),
    Builtin::new("NEXT_VALUE_FOR", 1..=1, &[Text], bigint, |execution, values, _, sql_type| {
        execute::next_in_sequence(execution.state, text_at(values, 0), sql_type)
    }),
    Builtin::new("PARTITION_NUMBER", 2..=2, &[Text, Any], int, |execution, values, _, _| {
        let catalog = execution.state.catalog(execution.state.database)?;
        let function = catalog.partition_function(text_at(values, 0));
        let number = function.map(|function| function.partition_of(values.get(1).unwrap_or(&Value::Null)));
        Ok(number.and_then(|number| i32::try_from(number).ok()).map_or(Value::Null, Value::Int))
    })
    .with_nulls(),
    Builtin::new("@@OPTIONS", 0..=0, &[], int, |_, _, _, _| Ok(Value::Int(5496))),
    Builtin::new("@@TEXTSIZE", 0..=0, &[], int, |_, _, _, _| Ok(Value::Int(2_147_483_647))),
    Builtin::new(
        "@@DATEFIRST",
        0..=0,
        &[],
        |_| Ok(SqlType::TinyInt),
        |execution, _, _, _| Ok(Value::TinyInt(execution.state.options.date_first)),
    ),
    Builtin::new("@@LOCK_TIMEOUT", 0..=0, &[], int, |execution, _, _, _| {
        let timeout = execution.state.options.lock_timeout;
        Ok(Value::Int(timeout.map_or(-1, |timeout| i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))))
    }),
    Builtin::new(
        "@@DBTS",
        0..=0,
        &[],
        |_| Ok(SqlType::VarBinary(Length::Limited(8))),
        |execution, _, _, _| {
            let version = execution.state.storage.row_version(execution.state.database)?;
            Ok(Value::binary(&version.to_be_bytes()))
        },
    ),
    Builtin::new(
        "XACT_STATE",
        0..=0,
        &[],
        |_| Ok(SqlType::SmallInt),
        |execution, _, _, _| {
            let state = &execution.state;
            Ok(Value::SmallInt(if state.transaction_count == 0 {
                0
            } else if state.doomed {
                -1
            } else {
                1
            }))
        },
    ),
    Builtin::new("CURRENT_TRANSACTION_ID", 0..=0, &[], bigint, |execution, _, _, _| {
        Ok(Value::BigInt(i64::try_from(execution.state.transaction().id()).unwrap_or(i64::MAX)))
    }),
    Builtin::new("ERROR_NUMBER", 0..=0, &[], int, |execution, _, _, _| {
        Ok(execution.caught.as_ref().map_or(Value::Null, |error| Value::Int(error.number)))
    }),
    Builtin::new("ERROR_SEVERITY", 0..=0, &[], int, |execution, _, _, _| {
        Ok(execution.caught.as_ref().map_or(Value::Null, |error| Value::Int(i32::from(error.severity))))
    }),
    Builtin::new("ERROR_STATE", 0..=0, &[], int, |execution, _, _, _| {
        Ok(execution.caught.as_ref().map_or(Value::Null, |error| Value::Int(i32::from(error.state))))
    }),
    Builtin::new("ERROR_LINE", 0..=0, &[], int, |execution, _, _, _| {
        Ok(execution.caught.as_ref().map_or(Value::Null, |error| Value::Int(i32::try_from(error.line).unwrap_or(0))))
    }),
    Builtin::new(
        "ERROR_MESSAGE",
        0..=0,
        &[],
        |_| Ok(SqlType::NVarChar(Length::Limited(4000))),
        |execution, _, _, _| Ok(execution.caught.as_ref().map_or(Value::Null, |error| Value::text(&error.message))),
    ),
    Builtin::new("ERROR_PROCEDURE", 0..=0, &[], sysname, |execution, _, _, _| {
        let procedure =
            execution.caught.as_ref().map(|error| error.procedure.as_str()).filter(|procedure| !procedure.is_empty());
        Ok(procedure.map_or(Value::Null, Value::text))
    }),
    Builtin::new("DB_NAME", 0..=1, &[super::Parameter::Integer], sysname, |execution, values, _, _| {
        let id = match values.first() {
            None => Some(execution.state.database),
            Some(id) => id.as_integer().and_then(|id| u32::try_from(id).ok()).map(DatabaseId),
        };
        let name = id.and_then(|id| execution.state.storage.database(id)).map(|database| database.name);
        Ok(name.map_or(Value::Null, Value::Text))
    }),
    Builtin::new("DB_ID", 0..=1, &[Text], int, |execution, values, _, _| {
        let id = match values.first() {
            None => Some(execution.state.database),
            Some(_) => execution.state.storage.database_named(text_at(values, 0)),
        };
        Ok(id.and_then(|id| i32::try_from(id.0).ok()).map_or(Value::Null, Value::Int))
    }),
    Builtin::new("ORIGINAL_DB_NAME", 0..=0, &[], sysname, |execution, _, _, _| {
        Ok(Value::text(&execution.state.login.database))
    }),
    Builtin::new("SUSER_SNAME", 0..=1, &[Any], sysname, |execution, _, _, _| {
        Ok(Value::text(&execution.state.login_name))
    }),
    Builtin::new("SUSER_NAME", 0..=1, &[Any], sysname, |execution, _, _, _| {
        Ok(Value::text(&execution.state.login_name))
    }),
    Builtin::new("ORIGINAL_LOGIN", 0..=0, &[], sysname, |execution, _, _, _| {
        Ok(Value::text(&execute::original_login(execution.state)))
    }),
    Builtin::new("SYSTEM_USER", 0..=0, &[], sysname, |execution, _, _, _| Ok(Value::text(&execution.state.login_name))),
    Builtin::new("HOST_NAME", 0..=0, &[], sysname, |execution, _, _, _| Ok(Value::text(&execution.state.login.host))),
    Builtin::new("APP_NAME", 0..=0, &[], sysname, |execution, _, _, _| {
        Ok(Value::text(&execution.state.login.application))
    }),
    Builtin::new("PROGRAM_NAME", 0..=0, &[], sysname, |execution, _, _, _| {
        Ok(Value::text(&execution.state.login.application))
    }),
    Builtin::new(
        "NEWID",
        0..=0,
        &[],
        |_| Ok(SqlType::UniqueIdentifier),
        |execution, _, _, _| Ok(Value::Uuid(execution.state.next_uuid())),
    ),
    Builtin::new(
        "NEWSEQUENTIALID",
        0..=0,
        &[],
        |_| Ok(SqlType::UniqueIdentifier),
        |execution, _, _, _| Ok(Value::Uuid(execution.state.next_uuid())),
    ),
    Builtin::new("SERVERPROPERTY", 1..=1, &[Text], variant, |execution, values, _, _| {
        Ok(server_property(execution, text_at(values, 0)))
    }),
    Builtin::new("CONNECTIONPROPERTY", 1..=1, &[Text], variant, |_, values, _, _| {
        Ok(match text_at(values, 0).to_ascii_lowercase().as_str() {
            "net_transport" => Value::text("TCP"),
            "protocol_type" => Value::text("TSQL"),
            "auth_scheme" => Value::text("SQL"),
            _ => Value::Null,
        })
    }),
    Builtin::new("SESSIONPROPERTY", 1..=1, &[Text], variant, |_, values, _, _| {
        Ok(match text_at(values, 0).to_ascii_uppercase().as_str() {
            "ANSI_NULLS"
            | "ANSI_PADDING"
            | "ANSI_WARNINGS"
            | "ARITHABORT"
            | "CONCAT_NULL_YIELDS_NULL"
            | "QUOTED_IDENTIFIER" => Value::Int(1),
            "NUMERIC_ROUNDABORT" => Value::Int(0),
            _ => Value::Null,
        })
    }),
    Builtin::new("TRIGGER_NESTLEVEL", 0..=3, &[Any], int, |execution, _, _, _| {
        Ok(Value::Int(i32::try_from(execution.state.statement_depth).unwrap_or(i32::MAX)))
    })
    .with_nulls(),
];

fn identity(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::Numeric { precision: 38, scale: 0 })
}

fn identity_value(identity: Option<i128>) -> Value {
    identity.map_or(Value::Null, |identity| Value::Decimal(crate::value::Decimal::new(identity, 0)))
}

fn edition_name(edition: Edition) -> &'static str {
    match edition {
        Edition::Developer => "Developer Edition",
        Edition::Express => "Express Edition",
        Edition::AzureSqlDatabase => "SQL Azure",
        Edition::ManagedInstance => "SQL Azure Managed Instance",
    }
}

fn server_property(execution: &super::Execution<'_>, name: &str) -> Value {
    let storage = &execution.state.storage;
    match name.to_ascii_lowercase().as_str() {
        "productversion" => Value::text("16.0.1000.6"),
        "productmajorversion" => Value::text("16"),
        "productminorversion" => Value::text("0"),
        "productlevel" => Value::text("RTM"),
        "edition" => Value::text(edition_name(storage.edition())),
        "engineedition" => Value::Int(storage.edition().engine_edition()),
        "servername" | "machinename" | "computernamephysicalnetbios" => Value::text(storage.server_name()),
        "collation" => Value::text("SQL_Latin1_General_CP1_CI_AS"),
        "ishadrenabled" | "isclustered" | "issingleuser" | "isintegratedsecurityonly" => Value::Int(0),
        "isfulltextinstalled" => Value::Int(0),
        "sqlcharsetname" => Value::text("iso_1"),
        "lcid" => Value::Int(1033),
        _ => Value::Null,
    }
}
