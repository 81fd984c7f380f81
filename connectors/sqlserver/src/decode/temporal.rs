//! Dates and times: the one text that each has.
//!
//! A date is `YYYY-MM-DD`, a time `HH:MM:SS` with as many digits of the second as the column declares; a point in time
//! has a `T` between the two and a `Z` behind, with at least three digits of the second: what has no time zone counts
//! as UTC. Only `datetimeoffset` knows better, and says how far from UTC its own clock was.

use millstream_core::calendar;
use tiberius::time::{Date, DateTime, DateTime2, DateTimeOffset, SmallDateTime, Time};

use super::number::write_padded;

const DAYS_1_TO_1970: i64 = 719_162;
const DAYS_1900_TO_1970: i64 = 25_567;
const SECONDS_PER_DAY: u64 = 86_400;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
const MINUTES_PER_DAY: i64 = 1_440;
/// The digits of the second that points in time have at least.
const POINT_DIGITS_MIN: u8 = 3;
/// The digits of the second that the server can keep.
const DIGITS_MAX: u8 = 7;

/// A day and a time of it, in nanoseconds, and how many digits of the second count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    days_since_1970: i64,
    nanos: u64,
    digits: u8,
}

/// A time that the server itself could not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfRange;

pub(crate) fn write_date(date: Date, out: &mut String) -> Result<(), OutOfRange> {
    write_day(i64::from(date.days()) - DAYS_1_TO_1970, out)
}

pub(crate) fn write_time(time: Time, out: &mut String) -> Result<(), OutOfRange> {
    write_clock(nanos(time)?, time.scale(), out)
}

pub(crate) fn write_small_date_time(moment: SmallDateTime, out: &mut String) -> Result<(), OutOfRange> {
    let moment = Moment {
        days_since_1970: i64::from(moment.days()) - DAYS_1900_TO_1970,
        // Minutes since midnight, whatever the driver calls them.
        nanos: u64::from(moment.seconds_fragments()) * 60 * NANOS_PER_SECOND,
        digits: POINT_DIGITS_MIN,
    };
    write_moment(moment, out)
}

/// Three-hundredths of a second, of which the server shows milliseconds that end in 0, 3 or 7.
pub(crate) fn write_date_time(moment: DateTime, out: &mut String) -> Result<(), OutOfRange> {
    let millis = (u64::from(moment.seconds_fragments()) * 10 + 1) / 3;
    let moment = Moment {
        days_since_1970: i64::from(moment.days()) - DAYS_1900_TO_1970,
        nanos: millis * 1_000_000,
        digits: POINT_DIGITS_MIN,
    };
    write_moment(moment, out)
}

pub(crate) fn write_date_time2(moment: DateTime2, out: &mut String) -> Result<(), OutOfRange> {
    write_moment(point(moment)?, out)
}

/// The protocol has the time in UTC, and beside it how far from UTC the clock was, in minutes.
pub(crate) fn write_date_time_offset(moment: DateTimeOffset, out: &mut String) -> Result<(), OutOfRange> {
    let utc = point(moment.datetime2())?;
    let offset = i64::from(moment.offset());
    let nanos_per_minute = 60 * NANOS_PER_SECOND;
    let minutes = (utc.nanos / nanos_per_minute) as i64 + offset;
    let there = Moment {
        days_since_1970: utc.days_since_1970 + minutes.div_euclid(MINUTES_PER_DAY),
        nanos: minutes.rem_euclid(MINUTES_PER_DAY) as u64 * nanos_per_minute + utc.nanos % nanos_per_minute,
        ..utc
    };
    write_moment(there, out)?;
    out.pop();
    out.push(if offset < 0 { '-' } else { '+' });
    write_padded(offset.unsigned_abs() / 60, 2, out);
    out.push(':');
    write_padded(offset.unsigned_abs() % 60, 2, out);
    Ok(())
}

fn point(moment: DateTime2) -> Result<Moment, OutOfRange> {
    let (date, time) = (moment.date(), moment.time());
    let digits = time.scale().max(POINT_DIGITS_MIN);
    Ok(Moment { days_since_1970: i64::from(date.days()) - DAYS_1_TO_1970, nanos: nanos(time)?, digits })
}

fn nanos(time: Time) -> Result<u64, OutOfRange> {
    if time.scale() > DIGITS_MAX {
        return Err(OutOfRange);
    }
    time.increments().checked_mul(10_u64.pow(9 - u32::from(time.scale()))).ok_or(OutOfRange)
}

fn write_moment(moment: Moment, out: &mut String) -> Result<(), OutOfRange> {
    write_day(moment.days_since_1970, out)?;
    out.push('T');
    write_clock(moment.nanos, moment.digits, out)?;
    out.push('Z');
    Ok(())
}

fn write_day(days_since_1970: i64, out: &mut String) -> Result<(), OutOfRange> {
    let calendar::Date { year, month, day } = calendar::Date::from_days_since_1970(days_since_1970);
    if !(1..=9_999).contains(&year) {
        return Err(OutOfRange);
    }
    write_padded(u64::try_from(year).map_err(|_| OutOfRange)?, 4, out);
    out.push('-');
    write_padded(u64::from(month), 2, out);
    out.push('-');
    write_padded(u64::from(day), 2, out);
    Ok(())
}

fn write_clock(nanos: u64, digits: u8, out: &mut String) -> Result<(), OutOfRange> {
    let (seconds, fraction) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    if seconds >= SECONDS_PER_DAY {
        return Err(OutOfRange);
    }
    write_padded(seconds / 3_600, 2, out);
    out.push(':');
    write_padded(seconds / 60 % 60, 2, out);
    out.push(':');
    write_padded(seconds % 60, 2, out);
    if digits > 0 {
        out.push('.');
        write_padded(fraction / 10_u64.pow(9_u32.saturating_sub(u32::from(digits))), usize::from(digits), out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut String) -> Result<(), OutOfRange>) -> String {
        let mut out = String::new();
        write(&mut out).unwrap();
        out
    }

    /// Days since 0001-01-01.
    const DAY_2026_02_28: u32 = 739_674;

    #[test]
    fn dates_and_times_have_the_declared_digits() {
        assert_eq!(text(|out| write_date(Date::new(0), out)), "0001-01-01");
        assert_eq!(text(|out| write_date(Date::new(3_652_058), out)), "9999-12-31");
        assert_eq!(text(|out| write_date(Date::new(DAY_2026_02_28), out)), "2026-02-28");
        assert_eq!(text(|out| write_time(Time::new(86_399, 0), out)), "23:59:59");
        assert_eq!(text(|out| write_time(Time::new(863_999_999_999, 7), out)), "23:59:59.9999999");
        assert_eq!(text(|out| write_time(Time::new(120, 2), out)), "00:00:01.20");
    }

    #[test]
    fn points_in_time_have_three_digits_at_least() {
        let at = |increments, scale| DateTime2::new(Date::new(DAY_2026_02_28), Time::new(increments, scale));
        assert_eq!(text(|out| write_date_time2(at(86_398, 0), out)), "2026-02-28T23:59:58.000Z");
        assert_eq!(text(|out| write_date_time2(at(1, 7), out)), "2026-02-28T00:00:00.0000001Z");
        assert_eq!(text(|out| write_small_date_time(SmallDateTime::new(0, 61), out)), "1900-01-01T01:01:00.000Z");
    }

    #[test]
    fn three_hundredths_become_the_milliseconds_that_the_server_shows() {
        let at = |fragments| text(|out| write_date_time(DateTime::new(0, fragments), out));
        let shown = ["00.000", "00.003", "00.007", "00.010", "00.013", "00.017"];
        for (fragments, shown) in (0..).zip(shown) {
            assert_eq!(at(fragments), format!("1900-01-01T00:00:{shown}Z"));
        }
        assert_eq!(at(86_400 * 300 - 1), "1900-01-01T23:59:59.997Z");
        assert_eq!(text(|out| write_date_time(DateTime::new(-53_690, 0), out)), "1753-01-01T00:00:00.000Z");
    }

    #[test]
    fn an_offset_moves_the_clock_and_maybe_the_day() {
        let at = |offset| {
            let utc = DateTime2::new(Date::new(DAY_2026_02_28), Time::new(82_800, 0));
            text(|out| write_date_time_offset(DateTimeOffset::new(utc, offset), out))
        };
        assert_eq!(at(0), "2026-02-28T23:00:00.000+00:00");
        assert_eq!(at(120), "2026-03-01T01:00:00.000+02:00");
        assert_eq!(at(-330), "2026-02-28T17:30:00.000-05:30");
    }

    #[test]
    fn what_no_server_can_hold_is_refused() {
        assert_eq!(write_time(Time::new(1, 8), &mut String::new()), Err(OutOfRange));
        assert_eq!(write_time(Time::new(86_400, 0), &mut String::new()), Err(OutOfRange));
        assert_eq!(write_date(Date::new(4_000_000), &mut String::new()), Err(OutOfRange));
    }
}
