//! Sequences: numbers that are given once each, whatever becomes of the transaction that took them.

use std::sync::Arc;

use crate::error::{SqlError, SqlResult};
use crate::storage::{DatabaseId, Module, ModuleKind, Object, Sequence, Signature};
use crate::value::{Decimal, SqlType, Value, convert};

use super::super::bind::named_type;
use super::super::parse;
use super::super::state::{Execution, State};
use super::super::statement::{Name, SequenceDefinition, TypeName};
use super::{module, target, transaction};

/// The least and the greatest value of a type that sequences may have.
fn bounds(sql_type: SqlType) -> Option<(i128, i128)> {
    Some(match sql_type {
        SqlType::TinyInt => (0, u8::MAX.into()),
        SqlType::SmallInt => (i16::MIN.into(), i16::MAX.into()),
        SqlType::Int => (i32::MIN.into(), i32::MAX.into()),
        SqlType::BigInt => (i64::MIN.into(), i64::MAX.into()),
        SqlType::Decimal { precision, scale: 0 } | SqlType::Numeric { precision, scale: 0 } => {
            let greatest = 10_i128.checked_pow(u32::from(precision))? - 1;
            (-greatest, greatest)
        }
        _ => return None,
    })
}

fn written(name: &TypeName) -> String {
    if name.arguments.is_empty() {
        name.name.to_string()
    } else {
        format!("{}({})", name.name, name.arguments.join(","))
    }
}

/// What a definition says, and the type of its numbers.
fn described(state: &State, definition: &SequenceDefinition) -> SqlResult<(Sequence, SqlType)> {
    let data_type = definition.data_type.as_ref().map_or_else(|| "bigint".to_owned(), written);
    let sql_type = named_type(state, &parse::type_name(&data_type)?)?;
    let refused = || {
        let text = "The sequence object must be of data type int, bigint, smallint, tinyint, or decimal or numeric with a scale of 0, or any user-defined data type that is based on one of the integer data types listed above.";
        SqlError::new(11_702, 16, text)
    };
    let (least, greatest) = bounds(sql_type).ok_or_else(refused)?;
    let increment = definition.increment.map_or(1, i128::from);
    let minimum = definition.minimum.map_or(least, i128::from);
    let maximum = definition.maximum.map_or(greatest, i128::from);
    let first = if increment > 0 { minimum } else { maximum };
    let sequence = Sequence {
        data_type,
        start: definition.start.map_or(first, i128::from),
        increment,
        minimum,
        maximum,
        cycle: definition.cycle.unwrap_or(false),
    };
    check(&sequence)?;
    Ok((sequence, sql_type))
}

fn check(sequence: &Sequence) -> SqlResult<()> {
    let text = if sequence.increment == 0 {
        "The increment for a sequence object cannot be zero."
    } else if sequence.minimum >= sequence.maximum {
        "The minimum value for a sequence object must be less than its maximum value."
    } else if !(sequence.minimum..=sequence.maximum).contains(&sequence.start) {
        "The start value for a sequence object must be between the minimum and maximum value of the sequence object."
    } else {
        return Ok(());
    };
    Err(SqlError::new(11_703, 16, text))
}

pub fn create(execution: &mut Execution<'_>, name: &Name, definition: &SequenceDefinition) -> SqlResult<()> {
    let (sequence, sql_type) = described(execution.state, definition)?;
    let signature = Signature { returns: Some(sql_type), ..Signature::default() };
    module::create_named(execution, name, ModuleKind::Sequence, &sequence.to_definition(), signature)
}

fn find(state: &State, name: &Name) -> SqlResult<(DatabaseId, Arc<Module>)> {
    let database = state.database_of(name)?;
    match state.object(database, name)? {
        Some((_, Object::Module(module))) if module.kind == ModuleKind::Sequence => Ok((database, module)),
        Some(_) => {
            let text = format!("Object '{name}' is not a sequence object.");
            Err(SqlError::new(11_726, 16, text))
        }
        None => Err(SqlError::invalid_object(&name.to_string())),
    }
}

fn read(module: &Module) -> SqlResult<Sequence> {
    Sequence::read(&module.definition)
        .ok_or_else(|| SqlError::new(102, 15, "The definition of a sequence can't be read."))
}

pub fn alter(execution: &mut Execution<'_>, name: &Name, definition: &SequenceDefinition) -> SqlResult<()> {
    transaction::atomic(execution, |execution| {
        let (database, module) = find(execution.state, name)?;
        target::check_definer(execution.state, database)?;
        let mut sequence = read(&module)?;
        sequence.increment = definition.increment.map_or(sequence.increment, i128::from);
        sequence.minimum = definition.minimum.map_or(sequence.minimum, i128::from);
        sequence.maximum = definition.maximum.map_or(sequence.maximum, i128::from);
        sequence.cycle = definition.cycle.unwrap_or(sequence.cycle);
        sequence.start = definition.start.map_or(sequence.start, i128::from);
        check(&sequence)?;
        if definition.restart {
            execution.state.storage.settings().restart_sequence((database, module.object_id));
        }
        let now = execution.state.now;
        execution.state.transaction().edit_catalog(database, |catalog| {
            let definition = Arc::from(sequence.to_definition());
            catalog.put_module(Module { definition, modified: now, ..Module::clone(&module) });
            Ok(())
        })
    })
}

/// The type of a sequence's numbers.
///
/// # Errors
/// 208 and 11726 where there is none of that name.
pub fn type_of(state: &State, name: &Name) -> SqlResult<SqlType> {
    let (_, module) = find(state, name)?;
    named_type(state, &parse::type_name(&read(&module)?.data_type)?)
}

fn exhausted(name: &str) -> SqlError {
    let text = format!(
        "The sequence object '{name}' has reached its minimum or maximum value. Restart the sequence object to allow new values to be generated."
    );
    SqlError::new(11_728, 16, text)
}

/// Takes the next number of a sequence.
///
/// # Errors
/// 11728 where there is no number left.
pub fn next(state: &State, name: &str, sql_type: SqlType) -> SqlResult<Value> {
    let name = parse::name(name)?;
    let (database, module) = find(state, &name)?;
    let sequence = read(&module)?;
    let settings = state.storage.settings();
    let number = settings.advance_sequence((database, module.object_id), |last| {
        sequence.after(last).ok_or_else(|| exhausted(&module.name))
    })?;
    let wide = SqlType::Numeric { precision: 38, scale: 0 };
    convert::convert(&Value::Decimal(Decimal::new(number, 0)), wide, sql_type, None)
}
