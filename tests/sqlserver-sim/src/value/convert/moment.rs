//! Dates and times from other types.

use crate::error::{SqlError, SqlResult};

use super::super::calendar::{self, Moment};
use super::super::{SqlType, Value, format, literal};
use super::to_float;

/// A moment of any type, with its offset if it has one.
fn moment_of(value: &Value) -> Option<(Moment, Option<i16>)> {
    Some(match value {
        Value::Date(days) => (Moment { days: *days, ticks: 0 }, None),
        Value::Time(ticks) => (Moment { days: calendar::DAYS_TO_1900, ticks: *ticks }, None),
        Value::DateTime { days, ticks } => (Moment::from_datetime(*days, *ticks), None),
        Value::SmallDateTime { days, minutes } => (format::small_moment(*days, *minutes), None),
        Value::DateTime2(at) => (*at, None),
        Value::DateTimeOffset(at, offset) => (at.plus_minutes(i32::from(*offset))?, Some(*offset)),
        _ => return None,
    })
}

pub fn to_moment(value: &Value, from: SqlType, to: SqlType, style: Option<i32>) -> SqlResult<Value> {
    let out_of_range = || SqlError::date_out_of_range(from.name(), to.name());
    let (local, offset) = match value {
        Value::Text(text) => {
            let read = literal::date_time(text, style).ok_or_else(SqlError::date_conversion_failed)?;
            if matches!(to, SqlType::DateTime | SqlType::SmallDateTime) && fraction_too_long(text) {
                return Err(SqlError::date_conversion_failed());
            }
            (read.moment(), read.offset_minutes)
        }
        Value::Binary(bytes) if to == SqlType::DateTime => return bytes_to_datetime(bytes),
        Value::Binary(_) => return Err(SqlError::unsupported(format!("the conversion of {from} to {to}"))),
        other => match moment_of(other) {
            Some(moment) => moment,
            None => {
                let days = match to_float(other, from, SqlType::Float)? {
                    Value::Float(days) => days,
                    _ => return Err(out_of_range()),
                };
                (moment_of_days(days).ok_or_else(out_of_range)?, None)
            }
        },
    };
    moment_as(local, offset, to).ok_or_else(out_of_range)
}

/// `datetime` refuses texts with more than three places.
fn fraction_too_long(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(before, fraction)| {
        before.contains(':') && fraction.chars().take_while(char::is_ascii_digit).count() > 3
    })
}

fn moment_of_days(days: f64) -> Option<Moment> {
    if days.abs() > 4_000_000.0 {
        return None;
    }
    // In range: days and ticks fit, and a tick is all that the cast may lose.
    #[expect(clippy::cast_possible_truncation)]
    let ticks = (days * f64::from(calendar::DATETIME_TICKS_PER_DAY)).round() as i128;
    let per_day = i128::from(calendar::DATETIME_TICKS_PER_DAY);
    let day = i32::try_from(ticks.div_euclid(per_day)).ok()?;
    let of_day = u32::try_from(ticks.rem_euclid(per_day)).ok()?;
    Some(Moment::from_datetime(day, of_day))
}

fn bytes_to_datetime(bytes: &[u8]) -> SqlResult<Value> {
    let refused = || SqlError::arithmetic_overflow("varbinary", "datetime");
    let mut padded = [0; 8];
    let kept = bytes.get(bytes.len().saturating_sub(8)..).unwrap_or_default();
    for (to, from) in padded.iter_mut().rev().zip(kept.iter().rev()) {
        *to = *from;
    }
    let [a, b, c, d, e, f, g, h] = padded;
    let (days, ticks) = (i32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    let in_range = (calendar::DATETIME_DAY_FIRST..=calendar::DAY_LAST - calendar::DAYS_TO_1900).contains(&days);
    if in_range && ticks < calendar::DATETIME_TICKS_PER_DAY {
        Ok(Value::DateTime { days, ticks })
    } else {
        Err(refused())
    }
}

/// A local moment as a type holds it; None where it is out of the type's range.
fn moment_as(local: Moment, offset: Option<i16>, to: SqlType) -> Option<Value> {
    Some(match to {
        SqlType::Date => Value::Date(local.days),
        // A time that rounds up to midnight stays within its day: it wraps.
        SqlType::Time(scale) => Value::Time(local.rounded(scale).map_or(0, |at| at.ticks)),
        SqlType::SmallDateTime => {
            let minute = 60 * calendar::TICKS_PER_SECOND;
            let total = local.total_ticks() + i128::from(minute / 2);
            let at = Moment::from_total_ticks(total)?;
            let days = u16::try_from(at.days - calendar::DAYS_TO_1900).ok()?;
            Value::SmallDateTime { days, minutes: u16::try_from(at.ticks / minute).ok()? }
        }
        SqlType::DateTime => {
            let (days, ticks) = local.to_datetime()?;
            Value::DateTime { days, ticks }
        }
        SqlType::DateTimeOffset(scale) => {
            let offset = offset.unwrap_or(0);
            Value::DateTimeOffset(local.rounded(scale)?.plus_minutes(-i32::from(offset))?, offset)
        }
        SqlType::DateTime2(scale) => Value::DateTime2(local.rounded(scale)?),
        _ => return None,
    })
}
