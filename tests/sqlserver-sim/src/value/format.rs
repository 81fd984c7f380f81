//! How values read as text: `CAST` to a character type, and the styles of `CONVERT`.

use std::fmt::Write as _;

use super::calendar::{self, Moment, TICKS_PER_SECOND, civil_of};
use super::{SqlType, Value};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The text of a value. None where the style isn't one of the type's.
pub fn text(value: &Value, from: SqlType, style: Option<i32>) -> Option<String> {
    Some(match value {
        Value::Null => String::new(),
        Value::Bit(bit) => u8::from(*bit).to_string(),
        Value::TinyInt(n) => n.to_string(),
        Value::SmallInt(n) => n.to_string(),
        Value::Int(n) => n.to_string(),
        Value::BigInt(n) => n.to_string(),
        Value::Decimal(n) => n.to_string(),
        Value::Money(n) => money(*n, style.unwrap_or(0))?,
        Value::Real(n) => float(f64::from(*n), Width::Real, style.unwrap_or(0))?,
        Value::Float(n) => float(*n, Width::Float, style.unwrap_or(0))?,
        Value::Text(text) => text.to_string(),
        Value::Binary(bytes) => hex(bytes),
        Value::Uuid(id) => uuid(id),
        Value::Date(days) => moment(Moment { days: *days, ticks: 0 }, None, Shown::Date, style.unwrap_or(121))?,
        Value::Time(ticks) => {
            let scale = time_scale(from);
            let at = Moment { days: calendar::DAYS_TO_1900, ticks: *ticks };
            moment(at, None, Shown::Time(scale), style.unwrap_or(121))?
        }
        Value::DateTime { days, ticks } => {
            moment(Moment::from_datetime(*days, *ticks), None, Shown::DateTime, style.unwrap_or(0))?
        }
        Value::SmallDateTime { days, minutes } => {
            moment(small_moment(*days, *minutes), None, Shown::SmallDateTime, style.unwrap_or(0))?
        }
        Value::DateTime2(at) => moment(*at, None, Shown::DateTime2(time_scale(from)), style.unwrap_or(121))?,
        Value::DateTimeOffset(at, offset) => {
            let style = style.unwrap_or(121);
            // Style 127 shows UTC; the others the local time with its offset.
            let local = if style == 127 { *at } else { at.plus_minutes(i32::from(*offset))? };
            moment(local, Some(*offset), Shown::DateTime2(time_scale(from)), style)?
        }
    })
}

pub fn small_moment(days: u16, minutes: u16) -> Moment {
    Moment { days: i32::from(days) + calendar::DAYS_TO_1900, ticks: u64::from(minutes) * 60 * TICKS_PER_SECOND }
}

fn time_scale(from: SqlType) -> u8 {
    match from {
        SqlType::Time(scale) | SqlType::DateTime2(scale) | SqlType::DateTimeOffset(scale) => scale,
        _ => 7,
    }
}

pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02X}");
    }
    text
}

pub fn uuid(id: &[u8; 16]) -> String {
    let digits = hex(id);
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_owned();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn money(units: i64, style: i32) -> Option<String> {
    let sign = if units < 0 { "-" } else { "" };
    let magnitude = units.unsigned_abs();
    if matches!(style, 2 | 126) {
        return Some(format!("{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000));
    }
    let cents = (magnitude + 50) / 100;
    let whole = (cents / 100).to_string();
    let whole = match style {
        0 => whole,
        1 => thousands(&whole),
        _ => return None,
    };
    Some(format!("{sign}{whole}.{:02}", cents % 100))
}

fn thousands(digits: &str) -> String {
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[derive(Clone, Copy)]
enum Width {
    Real,
    Float,
}

fn float(number: f64, width: Width, style: i32) -> Option<String> {
    match (style, width) {
        (0, _) => Some(general(number, 6)),
        (1, _) => Some(scientific(number, 8)),
        (2, _) => Some(scientific(number, 16)),
        (3, Width::Float) => Some(scientific(number, 17)),
        (3, Width::Real) => Some(scientific(number, 9)),
        (126 | 128 | 129, Width::Float) => Some(scientific(number, 17)),
        (126 | 128 | 129, Width::Real) => Some(scientific(number, 9)),
        _ => None,
    }
}

/// Up to `digits` significant digits, with an exponent where the number is too large or small for them.
fn general(number: f64, digits: usize) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let rounded = format!("{:.*e}", digits - 1, number);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -5 || exponent >= i32::try_from(digits).unwrap_or(6) {
        return format!("{}{}", trimmed_fraction(mantissa), exponent_text(exponent));
    }
    let places = usize::try_from(i32::try_from(digits).unwrap_or(6) - 1 - exponent).unwrap_or(0);
    trimmed_fraction(&format!("{number:.places$}")).to_owned()
}

fn trimmed_fraction(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn scientific(number: f64, digits: usize) -> String {
    let text = format!("{:.*e}", digits - 1, number);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{mantissa}{}", exponent_text(exponent.parse().unwrap_or(0)))
}

fn exponent_text(exponent: i32) -> String {
    format!("e{}{:03}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// Which parts of a moment the type has.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Date,
    Time(u8),
    DateTime,
    SmallDateTime,
    DateTime2(u8),
}

/// The parts of a moment's text.
struct Parts {
    at: Moment,
    shown: Shown,
}

impl Parts {
    fn date(&self, pattern: &str) -> String {
        let civil = civil_of(self.at.days);
        let month = usize::try_from(civil.month).ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
        let mut text = String::new();
        for symbol in pattern.chars() {
            let _ = match symbol {
                'Y' => write!(text, "{:04}", civil.year),
                'y' => write!(text, "{:02}", civil.year % 100),
                'm' => write!(text, "{:02}", civil.month),
                'd' => write!(text, "{:02}", civil.day),
                'D' => write!(text, "{:>2}", civil.day),
                'M' => write!(text, "{}", month.copied().unwrap_or_default()),
                other => write!(text, "{other}"),
            };
        }
        text
    }

    fn seconds_of_day(&self) -> u64 {
        self.at.ticks / TICKS_PER_SECOND
    }

    fn clock(&self) -> String {
        let seconds = self.seconds_of_day();
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }

    /// `_9:05AM`, or with seconds and fraction.
    fn clock_of_twelve(&self, with_seconds: bool) -> String {
        let seconds = self.seconds_of_day();
        let (hour, half) = (seconds / 3600, if seconds >= 43_200 { "PM" } else { "AM" });
        let hour = if hour % 12 == 0 { 12 } else { hour % 12 };
        let mut text = format!("{hour:>2}:{:02}", seconds / 60 % 60);
        if with_seconds {
            let _ = write!(text, ":{:02}{}", seconds % 60, self.fraction(':'));
        }
        text + half
    }

    /// Separator and digits of the fraction, as many as the type has.
    fn fraction(&self, separator: char) -> String {
        let ticks = self.at.ticks % TICKS_PER_SECOND;
        match self.shown {
            // Milliseconds of a three-hundredth end in 0, 3 or 7.
            Shown::DateTime | Shown::SmallDateTime => format!("{separator}{:03}", (ticks + 5_000) / 10_000),
            Shown::Time(0) | Shown::DateTime2(0) | Shown::Date => String::new(),
            Shown::Time(scale) | Shown::DateTime2(scale) => {
                let digits = format!("{ticks:07}");
                format!(
                    "{}{}",
                    if separator == ':' { '.' } else { separator },
                    digits.get(..usize::from(scale)).unwrap_or(&digits)
                )
            }
        }
    }
}

fn moment(at: Moment, offset: Option<i16>, shown: Shown, style: i32) -> Option<String> {
    let parts = Parts { at, shown };
    let (date, time): (String, String) = match style {
        0 | 100 => (parts.date("M D Y"), parts.clock_of_twelve(false)),
        9 | 109 => (parts.date("M D Y"), parts.clock_of_twelve(true)),
        13 | 113 => (parts.date("d M Y"), format!("{}{}", parts.clock(), parts.fraction(':'))),
        20 | 120 => (parts.date("Y-m-d"), parts.clock()),
        21 | 25 | 121 => (parts.date("Y-m-d"), format!("{}{}", parts.clock(), parts.fraction('.'))),
        22 => (parts.date("m/d/y"), {
            let text = parts.clock_of_twelve(false);
            let (clock, half) = text.split_at(text.len() - 2);
            format!("{clock}:{:02} {half}", parts.seconds_of_day() % 60)
        }),
        126 | 127 => return Some(iso(&parts, offset, style == 127)),
        8 | 24 | 108 => return only_time(shown, parts.clock()),
        14 | 114 => return only_time(shown, format!("{}{}", parts.clock(), parts.fraction(':'))),
        _ => return only_date(shown, parts.date(date_pattern(style)?)),
    };
    let mut text = match shown {
        Shown::Date => date,
        Shown::Time(_) => time.trim_start().to_owned(),
        Shown::DateTime | Shown::SmallDateTime | Shown::DateTime2(_) => format!("{date} {time}"),
    };
    if let Some(offset) = offset {
        text.push(' ');
        text.push_str(&offset_text(offset));
    }
    Some(text)
}

fn only_time(shown: Shown, text: String) -> Option<String> {
    (shown != Shown::Date).then_some(text)
}

fn only_date(shown: Shown, text: String) -> Option<String> {
    (!matches!(shown, Shown::Time(_))).then_some(text)
}

fn date_pattern(style: i32) -> Option<&'static str> {
    Some(match style {
        1 => "m/d/y",
        101 => "m/d/Y",
        2 => "y.m.d",
        102 => "Y.m.d",
        3 => "d/m/y",
        103 => "d/m/Y",
        4 => "d.m.y",
        104 => "d.m.Y",
        5 => "d-m-y",
        105 => "d-m-Y",
        6 => "d M y",
        106 => "d M Y",
        7 => "M d, y",
        107 => "M d, Y",
        10 => "m-d-y",
        110 => "m-d-Y",
        11 => "y/m/d",
        111 => "Y/m/d",
        12 => "ymd",
        112 => "Ymd",
        23 => "Y-m-d",
        _ => return None,
    })
}

/// ISO 8601. A fraction of zero is left out where the type is `datetime`.
fn iso(parts: &Parts, offset: Option<i16>, utc: bool) -> String {
    let fraction = match parts.shown {
        Shown::DateTime | Shown::SmallDateTime if parts.at.ticks.is_multiple_of(TICKS_PER_SECOND) => String::new(),
        _ => parts.fraction('.'),
    };
    let zone = match offset {
        Some(_) | None if utc => "Z".to_owned(),
        Some(offset) => offset_text(offset),
        None => String::new(),
    };
    match parts.shown {
        Shown::Date => parts.date("Y-m-d"),
        Shown::Time(_) => format!("{}{fraction}", parts.clock()),
        Shown::DateTime | Shown::SmallDateTime | Shown::DateTime2(_) => {
            format!("{}T{}{fraction}{zone}", parts.date("Y-m-d"), parts.clock())
        }
    }
}

pub fn offset_text(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(style: i32) -> String {
        let value = Value::DateTime { days: 45_000, ticks: (9 * 3600 + 5 * 60 + 7) * 300 + 37 };
        text(&value, SqlType::DateTime, Some(style)).unwrap()
    }

    #[test]
    fn datetimes_have_their_styles() {
        assert_eq!(at(0), "Mar 17 2023  9:05AM");
        assert_eq!(at(121), "2023-03-17 09:05:07.123");
        assert_eq!(at(126), "2023-03-17T09:05:07.123");
        assert_eq!(at(112), "20230317");
        assert_eq!(at(114), "09:05:07:123");
        assert_eq!(at(101), "03/17/2023");
        assert_eq!(at(109), "Mar 17 2023  9:05:07:123AM");
    }

    #[test]
    fn later_types_show_as_many_places_as_they_have() {
        let value = Value::DateTime2(Moment { days: 738_000, ticks: 12_345_678 });
        assert_eq!(text(&value, SqlType::DateTime2(3), None).unwrap(), "2021-07-30 00:00:01.234");
        assert_eq!(text(&value, SqlType::DateTime2(0), None).unwrap(), "2021-07-30 00:00:01");
        let zoned = Value::DateTimeOffset(Moment { days: 738_000, ticks: 0 }, -90);
        assert_eq!(text(&zoned, SqlType::DateTimeOffset(0), None).unwrap(), "2021-07-29 22:30:00 -01:30");
    }

    #[test]
    fn numbers_show_as_the_server_shows_them() {
        assert_eq!(text(&Value::Float(1.5), SqlType::Float, None).unwrap(), "1.5");
        assert_eq!(text(&Value::Float(1e20), SqlType::Float, None).unwrap(), "1e+020");
        assert_eq!(text(&Value::Float(1_234_567.0), SqlType::Float, None).unwrap(), "1.23457e+006");
        assert_eq!(text(&Value::Float(0.1), SqlType::Float, Some(2)).unwrap(), "1.000000000000000e-001");
        assert_eq!(text(&Value::Money(12_345_678), SqlType::Money, None).unwrap(), "1234.57");
        assert_eq!(text(&Value::Money(-12_345_678), SqlType::Money, Some(1)).unwrap(), "-1,234.57");
    }
}
