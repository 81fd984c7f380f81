//! `unixepoch` and `datetime`: SQLite's time values, without the current time.

use millstream_core::calendar::Date;

use crate::value::Value;

const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 as a Julian day.
const EPOCH_JULIAN_DAY: f64 = 2_440_587.5;

pub(super) fn unixepoch(value: &Value<'_>, modifiers: &[Value<'_>]) -> Value<'static> {
    match instant(value, modifiers) {
        Some(Instant { ms, subsecond: true }) => Value::Real(ms as f64 / 1000.0),
        Some(Instant { ms, subsecond: false }) => Value::Int(ms.div_euclid(1000)),
        None => Value::Null,
    }
}

pub(super) fn datetime(value: &Value<'_>, modifiers: &[Value<'_>]) -> Value<'static> {
    let Some(Instant { ms, subsecond }) = instant(value, modifiers) else { return Value::Null };
    let (day, time) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let Date { year, month, day } = Date::from_days_since_1970(day);
    let (hour, minute, second) = (time / 3_600_000, time / 60_000 % 60, time / 1000 % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if subsecond {
        text.push_str(&format!(".{:03}", time % 1000));
    }
    Value::text(text)
}

struct Instant {
    /// Milliseconds since 1970 in UTC; what is finer is cut.
    ms: i64,
    /// Whether the milliseconds are wanted.
    subsecond: bool,
}

/// Reads a time value; `None` for what isn't one, or lies outside the years 0 to 9999.
fn instant(value: &Value<'_>, modifiers: &[Value<'_>]) -> Option<Instant> {
    let (mut subsecond, mut unix) = (false, false);
    for modifier in modifiers {
        match modifier.to_text()?.to_ascii_lowercase().as_str() {
            "subsec" | "subsecond" => subsecond = true,
            "unixepoch" => unix = true,
            _ => return None,
        }
    }
    let text = value.to_text()?;
    let text = text.trim();
    let number = match value {
        Value::Int(_) | Value::Real(_) => value.to_real(),
        _ => text.parse::<f64>().ok(),
    };
    let ms = match (number, unix) {
        (Some(seconds), true) => bounded(seconds * 1000.0)?,
        (Some(days), false) => bounded((days - EPOCH_JULIAN_DAY) * DAY_MS as f64)?,
        (None, true) => return None,
        (None, false) => text_instant(text)?,
    };
    let (first, last) = (first_of(0) * DAY_MS, first_of(10_000) * DAY_MS);
    (first..last).contains(&ms).then_some(Instant { ms, subsecond })
}

fn bounded(ms: f64) -> Option<i64> {
    (ms.abs() < 1e15).then_some(ms.round() as i64)
}

/// `YYYY-MM-DD`, `YYYY-MM-DD HH:MM[:SS[.fff]]` with a blank or `T`, or a time alone (of 2000-01-01), with an optional
/// `Z` or `+HH:MM`.
fn text_instant(text: &str) -> Option<i64> {
    let mut reader = Reader { rest: text };
    let day = if text.as_bytes().get(4) == Some(&b'-') {
        let year = reader.number(4)?;
        reader.expect('-')?;
        let month = reader.part().filter(|month| (1..=12).contains(month))?;
        reader.expect('-')?;
        let day = reader.part().filter(|day| (1..=31).contains(day))?;
        let days = Date { year, month, day }.days_since_1970();
        if reader.rest.is_empty() {
            return Some(days * DAY_MS);
        }
        if reader.expect('T').is_none() {
            reader.expect(' ')?;
            reader.rest = reader.rest.trim_start();
        }
        days
    } else {
        first_of(2000)
    };
    let hour = reader.number(2).filter(|hour| *hour <= 24)?;
    reader.expect(':')?;
    let minute = reader.number(2).filter(|minute| *minute < 60)?;
    let mut ms = 0;
    if reader.expect(':').is_some() {
        ms = reader.number(2).filter(|second| *second < 60)? * 1000;
        if reader.expect('.').is_some() {
            ms += reader.milliseconds()?;
        }
    }
    let offset_minutes = reader.zone()?;
    Some(day * DAY_MS + (hour * 60 + minute - offset_minutes) * 60_000 + ms)
}

/// The first day of a year, in days since 1970.
fn first_of(year: i64) -> i64 {
    Date { year, month: 1, day: 1 }.days_since_1970()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn expect(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// A number of exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.rest.split_at_checked(digits)?;
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.rest = rest;
        number.parse().ok()
    }

    /// A month or a day.
    fn part(&mut self) -> Option<u8> {
        self.number(2)?.try_into().ok()
    }

    /// The digits of a fraction, cut to three.
    fn milliseconds(&mut self) -> Option<i64> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        let digits = digits.get(..count.min(3)).filter(|digits| !digits.is_empty())?;
        let scale = [100, 10, 1].get(digits.len() - 1).copied()?;
        digits.parse::<i64>().ok().map(|value| value * scale)
    }

    /// What may follow a time: nothing, `Z`, or an offset; as minutes east of UTC.
    fn zone(&mut self) -> Option<i64> {
        self.rest = self.rest.trim_start();
        if self.rest.is_empty() {
            return Some(0);
        }
        if matches!(self.rest, "Z" | "z") {
            return Some(0);
        }
        let sign = if self.expect('+').is_some() {
            1
        } else {
            self.expect('-')?;
            -1
        };
        let hours = self.number(2).filter(|hours| *hours <= 14)?;
        self.expect(':')?;
        let minutes = self.number(2).filter(|minutes| *minutes < 60)?;
        self.rest.is_empty().then_some(sign * (hours * 60 + minutes))
    }
}
