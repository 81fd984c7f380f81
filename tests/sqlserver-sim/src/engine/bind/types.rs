//! Types as they are written.

use sqlparser::ast;

use crate::error::{SqlError, SqlResult};
use crate::storage::ModuleKind;
use crate::value::{Length, SqlType};

use super::super::state::State;
use super::super::statement::{Name, TableShape, TypeName};

/// A type of the server by name and arguments.
///
/// # Errors
/// 2715 where there is no such type, 131 and 1001 where its arguments are out of range.
pub fn named_type(state: &State, written: &TypeName) -> SqlResult<SqlType> {
    let arguments: Vec<&str> = written.arguments.iter().map(String::as_str).collect();
    if let Some(found) = system_type(&written.name.object, &arguments)? {
        return Ok(found);
    }
    match alias_type(state, &written.name)? {
        Some(found) => Ok(found),
        None => Err(unknown(&written.name.object)),
    }
}

fn unknown(name: &str) -> SqlError {
    SqlError::new(2715, 16, format!("Column, parameter, or variable #1: Cannot find data type {name}.")).with_state(6)
}

/// Types of users are held as modules whose definition is the type's name.
fn alias_type(state: &State, name: &Name) -> SqlResult<Option<SqlType>> {
    let catalog = state.catalog(state.database)?;
    let schema = name.schema.as_deref().unwrap_or("dbo");
    let Some(schema) = catalog.schema_named(schema) else { return Ok(None) };
    let Some(module) = catalog.module_named(schema.schema_id, &name.object) else { return Ok(None) };
    let Some(base) = module.definition.strip_prefix("TYPE ") else { return Ok(None) };
    named_type(state, &super::super::parse::type_name(base)?).map(Some)
}

/// The columns of a type that is one of tables.
///
/// # Errors
/// Those of the catalog, and of a definition that can't be read.
pub fn table_type(state: &State, name: &Name) -> SqlResult<Option<TableShape>> {
    let database = state.database_of(name)?;
    let catalog = state.catalog(database)?;
    let schema = name.schema.as_deref().unwrap_or("dbo");
    let Some(schema) = catalog.schema_named(schema) else { return Ok(None) };
    let module = catalog.module_named(schema.schema_id, &name.object);
    match module.filter(|module| module.kind == ModuleKind::Type && !module.definition.starts_with("TYPE ")) {
        Some(module) => super::super::parse::table_shape(&module.definition).map(Some),
        None => Ok(None),
    }
}

fn number(text: Option<&&str>, default: u16) -> SqlResult<u16> {
    text.map_or(Ok(default), |text| text.trim().parse().map_err(|_| SqlError::syntax_near(text)))
}

fn length(arguments: &[&str], limit: u16, name: &str) -> SqlResult<Length> {
    if arguments.first().is_some_and(|first| first.eq_ignore_ascii_case("max")) {
        return Ok(Length::Max);
    }
    let units = number(arguments.first(), 1)?;
    if units == 0 || units > limit {
        let text = format!(
            "The size ({units}) given to the type '{name}' exceeds the maximum allowed for any data type (8000)."
        );
        return Err(SqlError::new(131, 15, text));
    }
    Ok(Length::Limited(units))
}

fn fixed(arguments: &[&str], limit: u16, name: &str) -> SqlResult<u16> {
    match length(arguments, limit, name)? {
        Length::Limited(units) => Ok(units),
        Length::Max => Err(SqlError::syntax_near("max")),
    }
}

fn scale(arguments: &[&str]) -> SqlResult<u8> {
    let scale = number(arguments.first(), 7)?;
    match u8::try_from(scale) {
        Ok(scale) if scale <= 7 => Ok(scale),
        _ => Err(SqlError::new(1002, 15, format!("Line 1: Specified scale {scale} is invalid."))),
    }
}

fn precision(arguments: &[&str]) -> SqlResult<(u8, u8)> {
    let (precision, scale) = (number(arguments.first(), 18)?, number(arguments.get(1), 0)?);
    match (u8::try_from(precision), u8::try_from(scale)) {
        (Ok(p @ 1..=38), Ok(s)) if s <= p => Ok((p, s)),
        _ => Err(SqlError::new(1001, 15, format!("Line 1: Length or precision specification {precision} is invalid."))),
    }
}

fn system_type(name: &str, arguments: &[&str]) -> SqlResult<Option<SqlType>> {
    let lower = name.to_ascii_lowercase();
    Ok(Some(match lower.as_str() {
        "bit" => SqlType::Bit,
        "tinyint" => SqlType::TinyInt,
        "smallint" => SqlType::SmallInt,
        "int" | "integer" => SqlType::Int,
        "bigint" => SqlType::BigInt,
        "decimal" | "dec" => {
            let (precision, scale) = precision(arguments)?;
            SqlType::Decimal { precision, scale }
        }
        "numeric" => {
            let (precision, scale) = precision(arguments)?;
            SqlType::Numeric { precision, scale }
        }
        "money" => SqlType::Money,
        "smallmoney" => SqlType::SmallMoney,
        "real" => SqlType::Real,
        "float" => {
            if number(arguments.first(), 53)? <= 24 {
                SqlType::Real
            } else {
                SqlType::Float
            }
        }
        "char" | "character" => SqlType::Char(fixed(arguments, 8000, &lower)?),
        "varchar" => SqlType::VarChar(length(arguments, 8000, &lower)?),
        "text" => SqlType::Text,
        "nchar" => SqlType::NChar(fixed(arguments, 4000, &lower)?),
        "nvarchar" => SqlType::NVarChar(length(arguments, 4000, &lower)?),
        "ntext" => SqlType::NText,
        "sysname" => SqlType::SysName,
        "binary" => SqlType::Binary(fixed(arguments, 8000, &lower)?),
        "varbinary" => SqlType::VarBinary(length(arguments, 8000, &lower)?),
        "image" => SqlType::Image,
        "rowversion" | "timestamp" => SqlType::RowVersion,
        "date" => SqlType::Date,
        "time" => SqlType::Time(scale(arguments)?),
        "smalldatetime" => SqlType::SmallDateTime,
        "datetime" => SqlType::DateTime,
        "datetime2" => SqlType::DateTime2(scale(arguments)?),
        "datetimeoffset" => SqlType::DateTimeOffset(scale(arguments)?),
        "uniqueidentifier" => SqlType::UniqueIdentifier,
        "sql_variant" => SqlType::Variant,
        "xml" => SqlType::Xml,
        "hierarchyid" => SqlType::HierarchyId,
        "geometry" => SqlType::Geometry,
        "geography" => SqlType::Geography,
        _ => return Ok(None),
    }))
}

/// A type within an expression. There, texts and bytes without a length have 30.
pub fn type_of(state: &State, written: &ast::DataType) -> SqlResult<SqlType> {
    let ast::DataType::Custom(name, arguments) = written else {
        return Err(SqlError::unsupported(format!("the type {written}")));
    };
    let name = super::source::object_name(name)?;
    // `max` was handed to sqlparser as a name, in brackets.
    let bare = |argument: &String| argument.trim_matches(['[', ']']).to_owned();
    let mut arguments: Vec<String> = arguments.iter().map(bare).collect();
    let lengthy = ["char", "varchar", "nchar", "nvarchar", "binary", "varbinary"];
    if arguments.is_empty() && lengthy.iter().any(|lengthy| name.object.eq_ignore_ascii_case(lengthy)) {
        arguments.push("30".to_owned());
    }
    named_type(state, &TypeName { name, arguments })
}
