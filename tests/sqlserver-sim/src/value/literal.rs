//! Values read from text: numbers, dates, identifiers, bytes.

use super::calendar::{self, Moment, TICKS_PER_DAY, TICKS_PER_SECOND};

/// What a text says of a moment. Parts that it doesn't name are None.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTimeText {
    /// Days since 0001-01-01.
    pub days: Option<i32>,
    pub ticks: Option<u64>,
    pub offset_minutes: Option<i16>,
}

/// What comes first in texts of numbers only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DateOrder {
    Month,
    Day,
    Year,
}

/// Reads a date, a time or both. None for what is neither.
pub fn date_time(text: &str, style: Option<i32>) -> Option<DateTimeText> {
    let text = text.trim();
    if text.is_empty() {
        // An empty text is the first moment of 1900.
        return Some(DateTimeText { days: None, ticks: None, offset_minutes: None });
    }
    let order = match style {
        Some(3 | 4 | 5 | 103 | 104 | 105 | 13 | 113) => DateOrder::Day,
        Some(2 | 11 | 12 | 102 | 111) => DateOrder::Year,
        _ => DateOrder::Month,
    };
    let (date, time) = split_time(text);
    let days = match date.trim() {
        "" => None,
        date => Some(self::date(date, order)?),
    };
    let (ticks, offset_minutes) = match time.trim() {
        "" => (None, None),
        time => {
            let (clock, offset) = split_offset(time)?;
            (Some(self::time(clock)?), offset)
        }
    };
    Some(DateTimeText { days, ticks, offset_minutes })
}

/// Splits before the time: at a `T` between digits, or before the word that holds the first colon.
fn split_time(text: &str) -> (&str, &str) {
    if let Some(at) = text.find(['T', 't']) {
        let (before, after) = text.split_at(at);
        if before.ends_with(|c: char| c.is_ascii_digit()) && after.get(1..).is_some_and(|rest| rest.contains(':')) {
            return (before, after.get(1..).unwrap_or_default());
        }
    }
    let Some(colon) = text.find(':') else {
        // `9AM` is a time without a colon.
        let lower = text.to_ascii_lowercase();
        return if (lower.ends_with("am") || lower.ends_with("pm")) && text.len() <= 5 {
            ("", text)
        } else {
            (text, "")
        };
    };
    let head = text.get(..colon).unwrap_or_default();
    let digits = head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    text.split_at(digits)
}

fn split_offset(time: &str) -> Option<(&str, Option<i16>)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock.trim_end(), Some(0)));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, None)) };
    let (clock, offset) = time.split_at(at);
    let negative = offset.starts_with('-');
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let total = number(hours)? * 60 + number(minutes)?;
    if total > 14 * 60 || number(minutes)? > 59 {
        return None;
    }
    let total = i16::try_from(total).ok()?;
    Some((clock.trim_end(), Some(if negative { -total } else { total })))
}

fn number(digits: &str) -> Option<u32> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) { None } else { digits.parse().ok() }
}

fn time(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (clock, half) = match (lower.strip_suffix("am"), lower.strip_suffix("pm")) {
        (Some(clock), _) => (clock.trim_end(), Some(0)),
        (_, Some(clock)) => (clock.trim_end(), Some(12)),
        _ => (lower.as_str(), None),
    };
    let mut parts = clock.splitn(3, ':');
    let mut hour = number(parts.next()?)?;
    let minute = parts.next().map_or(Some(0), number)?;
    let rest = parts.next().unwrap_or("0");
    // `hh:mm:ss:mmm` counts thousandths, whatever their number of digits.
    let (seconds, fraction) = match rest.split_once(':') {
        Some((seconds, thousandths)) => (number(seconds)?, u64::from(number(thousandths)?) * 10_000),
        None => match rest.split_once('.') {
            Some((seconds, fraction)) => (number(seconds)?, fraction_ticks(fraction)?),
            None => (number(rest)?, 0),
        },
    };
    if let Some(half) = half {
        let is_midnight = half == 0 && hour == 0;
        if !is_midnight && !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + half;
    }
    if hour > 23 || minute > 59 || seconds > 59 {
        return None;
    }
    let ticks = u64::from(hour * 3600 + minute * 60 + seconds) * TICKS_PER_SECOND + fraction;
    (ticks < TICKS_PER_DAY).then_some(ticks)
}

/// Up to nine digits are read; those past the seventh round.
fn fraction_ticks(digits: &str) -> Option<u64> {
    let digits = digits.trim_end();
    if digits.len() > 9 {
        return None;
    }
    if digits.is_empty() {
        return Some(0);
    }
    let nanos = u64::from(number(digits)?) * 10_u64.pow(9 - u32::try_from(digits.len()).ok()?);
    Some((nanos + 50) / 100)
}

fn date(text: &str, order: DateOrder) -> Option<i32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return compact_date(text);
    }
    if text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return named_date(text);
    }
    let parts: Vec<&str> = text.split(['-', '/', '.']).map(str::trim).collect();
    let [first, second, third] = parts.as_slice() else { return None };
    let (year, month, day) = if first.len() == 4 {
        (*first, *second, *third)
    } else {
        match order {
            DateOrder::Month => (*third, *first, *second),
            DateOrder::Day => (*third, *second, *first),
            DateOrder::Year => (*first, *second, *third),
        }
    };
    calendar::days_of(full_year(year)?, number(month)?, number(day)?)
}

/// `YYYYMMDD`, `YYMMDD` or `YYYY`.
fn compact_date(digits: &str) -> Option<i32> {
    let (year, rest) = match digits.len() {
        8 => digits.split_at(4),
        6 => digits.split_at(2),
        4 => return calendar::days_of(i32::try_from(number(digits)?).ok()?, 1, 1),
        _ => return None,
    };
    let (month, day) = rest.split_at(2);
    calendar::days_of(full_year(year)?, number(month)?, number(day)?)
}

/// `Mar 16 2023`, `16 March 2023`, `Mar 16, 2023`.
fn named_date(text: &str) -> Option<i32> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let mut month = None;
    let mut numbers = Vec::new();
    for word in words {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            numbers.push(word);
        } else {
            let found = NAMES.iter().position(|name| *name == word || (word.len() == 3 && name.starts_with(word)))?;
            if month.replace(u32::try_from(found).ok()? + 1).is_some() {
                return None;
            }
        }
    }
    let [first, second] = numbers.as_slice() else { return None };
    let (day, year) = if first.len() == 4 { (*second, *first) } else { (*first, *second) };
    calendar::days_of(full_year(year)?, month?, number(day)?)
}

/// Two digits up to 49 are of this century.
fn full_year(digits: &str) -> Option<i32> {
    let year = i32::try_from(number(digits)?).ok()?;
    match digits.len() {
        4 => Some(year),
        1 | 2 => Some(if year < 50 { 2000 + year } else { 1900 + year }),
        _ => None,
    }
}

/// `{00112233-4455-...}` or without braces.
pub fn uuid(text: &str) -> Option<[u8; 16]> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.get(..36)?;
    let dashes = [8, 13, 18, 23].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    if !dashes || digits.len() != 32 {
        return None;
    }
    bytes(&digits)?.try_into().ok()
}

/// Pairs of hexadecimal digits.
pub fn bytes(digits: &str) -> Option<Vec<u8>> {
    if digits.len() % 2 == 1 || !digits.is_ascii() {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

impl DateTimeText {
    /// The moment with what isn't named filled in: 1900-01-01, midnight.
    pub fn moment(self) -> Moment {
        Moment { days: self.days.unwrap_or(calendar::DAYS_TO_1900), ticks: self.ticks.unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(i32, u64, Option<i16>)> {
        let read = date_time(text, None)?;
        Some((read.moment().days, read.moment().ticks, read.offset_minutes))
    }

    #[test]
    fn dates_are_read_in_every_common_form() {
        let day = calendar::days_of(2023, 3, 16).unwrap();
        for text in [
            "20230316",
            "2023-03-16",
            "2023/3/16",
            "3/16/2023",
            "Mar 16 2023",
            "16 March 2023",
            "March 16, 2023",
            "230316",
        ] {
            assert_eq!(read(text), Some((day, 0, None)), "{text}");
        }
        assert_eq!(date_time("16/03/2023", Some(103)).unwrap().days, Some(day));
        assert_eq!(read("2023-02-30"), None);
        assert_eq!(read("nonsense"), None);
    }

    #[test]
    fn times_are_read_with_fraction_half_and_offset() {
        let day = calendar::days_of(2023, 3, 16).unwrap();
        let nine = 9 * 3600 * TICKS_PER_SECOND;
        assert_eq!(read("2023-03-16T09:00:00.1234567"), Some((day, nine + 1_234_567, None)));
        assert_eq!(read("2023-03-16 09:00:00:120"), Some((day, nine + 1_200_000, None)));
        assert_eq!(read("Mar 16 2023  9:00AM"), Some((day, nine, None)));
        assert_eq!(read("2023-03-16 9:00 PM"), Some((day, nine + 12 * 3600 * TICKS_PER_SECOND, None)));
        assert_eq!(read("2023-03-16 09:00:00 +02:00"), Some((day, nine, Some(120))));
        assert_eq!(read("2023-03-16T09:00:00Z"), Some((day, nine, Some(0))));
        assert_eq!(read("09:00"), Some((calendar::DAYS_TO_1900, nine, None)));
        assert_eq!(read("24:00"), None);
    }

    #[test]
    fn uuids_are_read() {
        assert_eq!(uuid("{00112233-4455-6677-8899-AABBCCDDEEFF}").unwrap()[15], 0xff);
        assert!(uuid("00112233445566778899AABBCCDDEEFF").is_none());
    }
}
