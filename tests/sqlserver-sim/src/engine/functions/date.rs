//! Functions of dates and times.

use crate::error::{SqlError, SqlResult};
use crate::value::calendar::{self, Moment, TICKS_PER_SECOND, civil_of, days_in_month, days_of};
use crate::value::{SqlType, Value, convert, literal};

use super::super::state::Execution;
use super::Parameter::{Any, Integer, Moment as AMoment, Text};
use super::{Builtin, bigint, int, integer_at, sysname, text_at};

pub const FUNCTIONS: &[Builtin] = &[
    Builtin::new("GETDATE", 0..=0, &[], datetime, |execution, _, _, result| now_as(execution, result)),
    Builtin::new("GETUTCDATE", 0..=0, &[], datetime, |execution, _, _, result| now_as(execution, result)),
    Builtin::new("CURRENT_TIMESTAMP", 0..=0, &[], datetime, |execution, _, _, result| now_as(execution, result)),
    Builtin::new(
        "SYSDATETIME",
        0..=0,
        &[],
        |_| Ok(SqlType::DateTime2(7)),
        |execution, _, _, result| now_as(execution, result),
    ),
    Builtin::new(
        "SYSUTCDATETIME",
        0..=0,
        &[],
        |_| Ok(SqlType::DateTime2(7)),
        |execution, _, _, result| now_as(execution, result),
    ),
    Builtin::new(
        "SYSDATETIMEOFFSET",
        0..=0,
        &[],
        |_| Ok(SqlType::DateTimeOffset(7)),
        |execution, _, _, result| now_as(execution, result),
    ),
    Builtin::new("DATEADD", 3..=3, &[Any, Integer, AMoment], added_type, |_, values, types, result| {
        add(values, types, result)
    }),
    Builtin::new("DATEDIFF", 3..=3, &[Any, AMoment, AMoment], int, |execution, values, types, result| {
        difference(execution, values, types, result)
    }),
    Builtin::new("DATEDIFF_BIG", 3..=3, &[Any, AMoment, AMoment], bigint, |execution, values, types, result| {
        difference(execution, values, types, result)
    }),
    Builtin::new("DATEPART", 2..=2, &[Any, AMoment], int, |execution, values, types, _| {
        let part = part_of(execution, text_at(values, 0), local(values.get(1), types.get(1))?);
        part.map(Value::Int).ok_or_else(|| SqlError::unsupported("this date part"))
    }),
    Builtin::new("DATENAME", 2..=2, &[Any, AMoment], sysname, |execution, values, types, _| {
        let moment = local(values.get(1), types.get(1))?;
        let name = match text_at(values, 0) {
            "month" => month_name(moment).to_owned(),
            "weekday" => weekday_name(moment).to_owned(),
            part => {
                part_of(execution, part, moment).ok_or_else(|| SqlError::unsupported("this date part"))?.to_string()
            }
        };
        Ok(Value::text(&name))
    }),
    Builtin::new("YEAR", 1..=1, &[AMoment], int, |_, values, types, _| {
        Ok(Value::Int(local(values.first(), types.first())?.civil().year))
    }),
    Builtin::new("MONTH", 1..=1, &[AMoment], int, |_, values, types, _| {
        number(local(values.first(), types.first())?.civil().month)
    }),
    Builtin::new("DAY", 1..=1, &[AMoment], int, |_, values, types, _| {
        number(local(values.first(), types.first())?.civil().day)
    }),
    Builtin::new(
        "EOMONTH",
        1..=2,
        &[AMoment, Integer],
        |_| Ok(SqlType::Date),
        |_, values, types, _| {
            let moment = add_months(local(values.first(), types.first())?, integer_at(values, 1).unwrap_or(0))
                .ok_or_else(out_of_range)?;
            let civil = moment.civil();
            let last =
                days_of(civil.year, civil.month, days_in_month(civil.year, civil.month)).ok_or_else(out_of_range)?;
            Ok(Value::Date(last))
        },
    ),
    Builtin::new(
        "DATEFROMPARTS",
        3..=3,
        &[Integer, Integer, Integer],
        |_| Ok(SqlType::Date),
        |_, values, _, _| date_from(values).map(Value::Date),
    ),
    Builtin::new("DATETIMEFROMPARTS", 7..=7, &[Integer], datetime, |_, values, _, result| {
        from_parts(values, integer_at(values, 6).unwrap_or(0) * 10_000, result)
    }),
    Builtin::new(
        "DATETIME2FROMPARTS",
        8..=8,
        &[Integer],
        |_| Ok(SqlType::DateTime2(7)),
        |_, values, _, result| {
            let scale = u32::try_from(integer_at(values, 7).unwrap_or(7).clamp(0, 7)).unwrap_or(7);
            from_parts(values, integer_at(values, 6).unwrap_or(0) * 10_i64.pow(7 - scale), result)
        },
    ),
    Builtin::new("ISDATE", 1..=1, &[Text], int, |_, values, _, _| {
        let read = literal::date_time(text_at(values, 0), None);
        let known = read.is_some_and(|read| read.days.is_some() || read.ticks.is_some());
        Ok(Value::Int(i32::from(known && read.is_some_and(|read| read.moment().to_datetime().is_some()))))
    }),
    Builtin::new(
        "SWITCHOFFSET",
        2..=2,
        &[AMoment, Any],
        |_| Ok(SqlType::DateTimeOffset(7)),
        |_, values, types, _| {
            let instant = utc(values.first(), types.first())?;
            Ok(Value::DateTimeOffset(instant, offset(values.get(1))?))
        },
    ),
    Builtin::new(
        "TODATETIMEOFFSET",
        2..=2,
        &[AMoment, Any],
        |_| Ok(SqlType::DateTimeOffset(7)),
        |_, values, types, _| {
            let offset = offset(values.get(1))?;
            let local = local(values.first(), types.first())?;
            Ok(Value::DateTimeOffset(local.plus_minutes(-i32::from(offset)).ok_or_else(out_of_range)?, offset))
        },
    ),
    Builtin::new(
        "AT_TIME_ZONE",
        2..=2,
        &[AMoment, Text],
        |types| {
            Ok(SqlType::DateTimeOffset(match types.first() {
                Some(SqlType::DateTime2(scale) | SqlType::DateTimeOffset(scale)) => *scale,
                Some(SqlType::DateTime) => 3,
                Some(SqlType::SmallDateTime) => 0,
                _ => 7,
            }))
        },
        |_, values, types, _| {
            if !text_at(values, 1).eq_ignore_ascii_case("UTC") {
                return Err(SqlError::unsupported("time zones other than UTC"));
            }
            Ok(Value::DateTimeOffset(utc(values.first(), types.first())?, 0))
        },
    ),
    Builtin::new("CURRENT_TIMEZONE", 0..=0, &[], sysname, |_, _, _, _| {
        Ok(Value::text("(UTC) Coordinated Universal Time"))
    }),
];

/// The name of a part by any of its names.
pub fn date_part(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "year" | "yy" | "yyyy" => "year",
        "quarter" | "qq" | "q" => "quarter",
        "month" | "mm" | "m" => "month",
        "dayofyear" | "dy" | "y" => "dayofyear",
        "day" | "dd" | "d" => "day",
        "week" | "wk" | "ww" => "week",
        "weekday" | "dw" | "w" => "weekday",
        "hour" | "hh" => "hour",
        "minute" | "mi" | "n" => "minute",
        "second" | "ss" | "s" => "second",
        "millisecond" | "ms" => "millisecond",
        "microsecond" | "mcs" => "microsecond",
        "nanosecond" | "ns" => "nanosecond",
        "tzoffset" | "tz" => "tzoffset",
        "iso_week" | "isowk" | "isoww" => "iso_week",
        _ => return None,
    })
}

fn datetime(_: &[SqlType]) -> SqlResult<SqlType> {
    Ok(SqlType::DateTime)
}

fn out_of_range() -> SqlError {
    SqlError::new(517, 16, "Adding a value to a 'datetime' column caused an overflow.")
}

fn number(part: u32) -> SqlResult<Value> {
    i32::try_from(part).map(Value::Int).map_err(|_| out_of_range())
}

/// The server's time is UTC.
fn now_as(execution: &mut Execution<'_>, to: SqlType) -> SqlResult<Value> {
    convert::convert(&Value::DateTime2(execution.state.now), SqlType::DateTime2(7), to, None)
}

fn local(value: Option<&Value>, from: Option<&SqlType>) -> SqlResult<Moment> {
    let from = from.copied().unwrap_or(SqlType::DateTime2(7));
    match convert::convert(value.unwrap_or(&Value::Null), from, SqlType::DateTime2(7), None)? {
        Value::DateTime2(moment) => Ok(moment),
        _ => Err(out_of_range()),
    }
}

fn utc(value: Option<&Value>, from: Option<&SqlType>) -> SqlResult<Moment> {
    match value {
        Some(Value::DateTimeOffset(moment, _)) => Ok(*moment),
        other => local(other, from),
    }
}

/// `+02:00`, or minutes.
fn offset(value: Option<&Value>) -> SqlResult<i16> {
    let refused = || SqlError::new(9812, 16, "The timezone provided to builtin function is invalid.");
    match value {
        Some(Value::Text(text)) => {
            let read = literal::date_time(&format!("2000-01-01 00:00 {text}"), None);
            read.and_then(|read| read.offset_minutes).ok_or_else(refused)
        }
        Some(other) => other
            .as_integer()
            .and_then(|minutes| i16::try_from(minutes).ok())
            .filter(|m| m.abs() <= 840)
            .ok_or_else(refused),
        None => Err(refused()),
    }
}

/// Texts become `datetime`, the rest stays what it is.
fn added_type(types: &[SqlType]) -> SqlResult<SqlType> {
    Ok(types.get(2).copied().unwrap_or(SqlType::DateTime))
}

fn ticks_of(part: &str) -> Option<i128> {
    let second = i128::from(TICKS_PER_SECOND);
    Some(match part {
        "week" => 7 * 86_400 * second,
        "day" | "dayofyear" | "weekday" => 86_400 * second,
        "hour" => 3_600 * second,
        "minute" => 60 * second,
        "second" => second,
        "millisecond" => second / 1_000,
        "microsecond" => second / 1_000_000,
        _ => return None,
    })
}

fn add(values: &[Value], types: &[SqlType], result: SqlType) -> SqlResult<Value> {
    let (part, amount) = (text_at(values, 0), integer_at(values, 1).unwrap_or(0));
    let value = values.get(2);
    if let Some(Value::DateTime { days, ticks }) = value
        && matches!(part, "millisecond" | "microsecond" | "nanosecond")
    {
        return add_to_datetime(*days, *ticks, part, amount);
    }
    let moment = local(value, types.get(2))?;
    let moved = match part {
        "year" => add_months(moment, amount.saturating_mul(12)),
        "quarter" => add_months(moment, amount.saturating_mul(3)),
        "month" => add_months(moment, amount),
        "nanosecond" => Moment::from_total_ticks(moment.total_ticks() + i128::from(amount) / 100),
        part => {
            ticks_of(part).and_then(|ticks| Moment::from_total_ticks(moment.total_ticks() + ticks * i128::from(amount)))
        }
    };
    let moved = moved.ok_or_else(out_of_range)?;
    if let Some(Value::DateTimeOffset(_, offset)) = value {
        let instant = moved.plus_minutes(-i32::from(*offset)).ok_or_else(out_of_range)?;
        return convert::convert(&Value::DateTimeOffset(instant, *offset), SqlType::DateTimeOffset(7), result, None);
    }
    convert::convert(&Value::DateTime2(moved), SqlType::DateTime2(7), result, None).map_err(|_| out_of_range())
}

/// In three-hundredths, so that adding and taking away again gives what was there.
fn add_to_datetime(days: i32, ticks: u32, part: &str, amount: i64) -> SqlResult<Value> {
    let per_second = match part {
        "millisecond" => 1_000,
        "microsecond" => 1_000_000,
        _ => 1_000_000_000,
    };
    let per_day = i128::from(calendar::DATETIME_TICKS_PER_DAY);
    let moved = (i128::from(amount) * 300 * 2 + per_second).div_euclid(per_second * 2);
    let total = i128::from(days) * per_day + i128::from(ticks) + moved;
    let days = i32::try_from(total.div_euclid(per_day))
        .ok()
        .filter(|days| (calendar::DATETIME_DAY_FIRST..=2_958_463).contains(days));
    let ticks = u32::try_from(total.rem_euclid(per_day)).ok();
    days.zip(ticks).map(|(days, ticks)| Value::DateTime { days, ticks }).ok_or_else(out_of_range)
}

/// The same day of another month, or its last.
fn add_months(moment: Moment, months: i64) -> Option<Moment> {
    let civil = moment.civil();
    let total = i64::from(civil.year) * 12 + i64::from(civil.month) - 1 + months;
    let year = i32::try_from(total.div_euclid(12)).ok()?;
    let month = u32::try_from(total.rem_euclid(12)).ok()? + 1;
    let day = civil.day.min(days_in_month(year, month));
    Some(Moment { days: days_of(year, month, day)?, ticks: moment.ticks })
}

/// How many boundaries of the part lie between two moments.
fn difference(execution: &mut Execution<'_>, values: &[Value], types: &[SqlType], result: SqlType) -> SqlResult<Value> {
    let (from, to) = (utc(values.get(1), types.get(1))?, utc(values.get(2), types.get(2))?);
    let part = text_at(values, 0);
    let months = |moment: Moment| i128::from(moment.civil().year) * 12 + i128::from(moment.civil().month) - 1;
    let count = |moment: Moment| match part {
        "year" => i128::from(moment.civil().year),
        "quarter" => months(moment).div_euclid(3),
        "month" => months(moment),
        // Weeks begin on Sunday, whatever DATEFIRST says; 0001-01-01 was a Monday.
        "week" => (i128::from(moment.days) + 1).div_euclid(7),
        "nanosecond" => moment.total_ticks() * 100,
        part => moment.total_ticks().div_euclid(ticks_of(part).unwrap_or(1)),
    };
    let _ = execution;
    convert::integer(count(to) - count(from), result).ok_or_else(|| {
        SqlError::new(535, 16, "The datediff function resulted in an overflow. The number of dateparts separating two date/time instances is too large. Try to use datediff with a less precise datepart.")
    })
}

fn part_of(execution: &Execution<'_>, part: &str, moment: Moment) -> Option<i32> {
    let civil = civil_of(moment.days);
    let first_of_year = days_of(civil.year, 1, 1)?;
    let seconds = moment.ticks / TICKS_PER_SECOND;
    let fraction = moment.ticks % TICKS_PER_SECOND;
    let small = |number: u64| i32::try_from(number).ok();
    match part {
        "year" => Some(civil.year),
        "quarter" => i32::try_from((civil.month - 1) / 3 + 1).ok(),
        "month" => i32::try_from(civil.month).ok(),
        "day" => i32::try_from(civil.day).ok(),
        "dayofyear" => Some(moment.days - first_of_year + 1),
        "weekday" => {
            let monday_based = moment.days.rem_euclid(7);
            Some((monday_based + 1 - i32::from(execution.state.options.date_first)).rem_euclid(7) + 1)
        }
        "week" => {
            let first = i32::from(execution.state.options.date_first) - 1;
            let into_week = (first_of_year - first).rem_euclid(7);
            Some((moment.days - first_of_year + into_week) / 7 + 1)
        }
        "iso_week" => {
            let thursday = moment.days - moment.days.rem_euclid(7) + 3;
            let first = days_of(civil_of(thursday).year, 1, 1)?;
            Some((thursday - first) / 7 + 1)
        }
        "hour" => small(seconds / 3600),
        "minute" => small(seconds / 60 % 60),
        "second" => small(seconds % 60),
        "millisecond" => small(fraction / 10_000),
        "microsecond" => small(fraction / 10),
        "nanosecond" => small(fraction * 100),
        "tzoffset" => Some(0),
        _ => None,
    }
}

fn month_name(moment: Moment) -> &'static str {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    usize::try_from(moment.civil().month - 1).ok().and_then(|month| NAMES.get(month)).copied().unwrap_or_default()
}

fn weekday_name(moment: Moment) -> &'static str {
    const NAMES: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    usize::try_from(moment.days.rem_euclid(7)).ok().and_then(|day| NAMES.get(day)).copied().unwrap_or_default()
}

fn date_from(values: &[Value]) -> SqlResult<i32> {
    let part = |at: usize| integer_at(values, at).and_then(|part| u32::try_from(part).ok());
    let year = part(0).and_then(|year| i32::try_from(year).ok());
    year.zip(part(1)).zip(part(2)).and_then(|((year, month), day)| days_of(year, month, day)).ok_or_else(|| {
        SqlError::new(
            289,
            16,
            "Cannot construct data type date, some of the arguments have values which are not valid.",
        )
    })
}

fn from_parts(values: &[Value], fraction_ticks: i64, result: SqlType) -> SqlResult<Value> {
    let refused = || {
        SqlError::new(
            289,
            16,
            format!(
                "Cannot construct data type {}, some of the arguments have values which are not valid.",
                result.name()
            ),
        )
    };
    let part =
        |at: usize, limit: i64| integer_at(values, at).filter(|part| (0..limit).contains(part)).ok_or_else(refused);
    let seconds = part(3, 24)? * 3600 + part(4, 60)? * 60 + part(5, 60)?;
    let ticks = u64::try_from(seconds).map_err(|_| refused())? * TICKS_PER_SECOND
        + u64::try_from(fraction_ticks).map_err(|_| refused())?;
    let moment = Moment { days: date_from(values)?, ticks };
    convert::convert(&Value::DateTime2(moment), SqlType::DateTime2(7), result, None)
}
