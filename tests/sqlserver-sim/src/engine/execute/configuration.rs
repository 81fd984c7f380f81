//! `sp_configure` and RECONFIGURE.

use crate::error::{SqlError, SqlResult};
use crate::value::{Length, SqlType, Value};

use super::super::session::{ColumnMetadata, Finished, Output, OutputSink};
use super::super::state::Execution;
use super::procedure::{Answer, Given, argument};
use super::send;

/// An option that can be set.
struct Setting {
    name: &'static str,
    minimum: i64,
    maximum: i64,
    first: i64,
}

const TEXT_REPL: &str = "max text repl size (B)";
/// Showing advanced options shows none, as none of them are here.
const SETTINGS: &[Setting] = &[
    Setting { name: TEXT_REPL, minimum: -1, maximum: 2_147_483_647, first: 65_536 },
    Setting { name: "show advanced options", minimum: 0, maximum: 1, first: 0 },
];

/// What a setting is set to, and what it runs with. The limit of large values may be set by a test, too.
fn values(execution: &Execution<'_>, setting: &Setting) -> (i64, i64) {
    let storage = &execution.state.storage;
    let (configured, running) = storage.settings().option(setting.name, setting.first);
    if setting.name != TEXT_REPL {
        return (configured, running);
    }
    let now = storage.capture().lob_bytes_max().map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    (if configured == running { now } else { configured }, now)
}

pub fn sp_configure(execution: &mut Execution<'_>, given: &[Given], out: &mut OutputSink<'_>) -> SqlResult<Answer> {
    let name = argument(given, "@configname", 0).and_then(Value::as_text).map(str::to_owned);
    let value = argument(given, "@configvalue", 1);
    let value = value.and_then(|value| value.as_integer().or_else(|| value.as_text()?.trim().parse().ok()));
    let Some(name) = name else { return list(execution, None, out) };
    let lower = name.to_lowercase();
    // A part of the name is enough where it is one option's alone.
    let mut found = SETTINGS.iter().filter(|setting| setting.name.to_lowercase().contains(&lower));
    let setting = match (found.next(), found.next()) {
        (Some(setting), None) => setting,
        (Some(_), Some(_)) => {
            return Err(SqlError::new(15_124, 16, format!("The configuration option '{name}' is not unique.")));
        }
        (None, _) => return Err(SqlError::unsupported(format!("sp_configure '{name}'"))),
    };
    let Some(value) = value else { return list(execution, Some(setting), out) };
    if !execution.state.sysadmin {
        return Err(SqlError::new(15_247, 16, "User does not have permission to perform this action."));
    }
    if value < setting.minimum || value > setting.maximum {
        let text = format!("'{value}' is not a valid value for configuration option '{name}'.");
        return Err(SqlError::new(15_129, 16, text));
    }
    let (before, _) = values(execution, setting);
    execution.state.storage.settings().configure(setting.name, value);
    let text = format!(
        "Configuration option '{}' changed from {before} to {value}. Run the RECONFIGURE statement to install.",
        setting.name
    );
    send(out, Output::Message(SqlError::new(15_457, 0, text)))?;
    Ok(Answer::default())
}

fn list(execution: &mut Execution<'_>, only: Option<&Setting>, out: &mut OutputSink<'_>) -> SqlResult<Answer> {
    let columns = ["name", "minimum", "maximum", "config_value", "run_value"].map(|name| ColumnMetadata {
        name: name.to_owned(),
        sql_type: if name == "name" { SqlType::NVarChar(Length::Limited(35)) } else { SqlType::Int },
        nullable: true,
        identity: false,
        computed: false,
    });
    let shown = |setting: &&Setting| only.is_none_or(|only| only.name == setting.name);
    let int = |number: i64| Value::Int(i32::try_from(number).unwrap_or(i32::MAX));
    let rows: Vec<Vec<Value>> = SETTINGS
        .iter()
        .filter(shown)
        .map(|setting| {
            let (configured, running) = values(execution, setting);
            let numbers = [setting.minimum, setting.maximum, configured, running].map(int);
            [vec![Value::text(setting.name)], numbers.to_vec()].concat()
        })
        .collect();
    let count = u64::try_from(rows.len()).ok();
    send(out, Output::Columns(columns.to_vec()))?;
    send(out, Output::Rows(rows))?;
    send(out, Output::Done { finished: Finished::InProcedure, rows: count, failed: false })?;
    Ok(Answer::default())
}

/// Lets what was configured take effect.
pub fn reconfigure(execution: &mut Execution<'_>) -> SqlResult<()> {
    if !execution.state.sysadmin {
        return Err(SqlError::new(5812, 14, "You do not have permission to run the RECONFIGURE statement."));
    }
    let storage = &execution.state.storage;
    for (name, value) in storage.settings().reconfigure() {
        if name == TEXT_REPL {
            storage.capture().set_lob_bytes_max(usize::try_from(value).ok());
        }
    }
    Ok(())
}
