//! Dates and times: how rows hold them, and the one text that each has.
//!
//! A date is `YYYY-MM-DD`; a point in time `YYYY-MM-DDTHH:MM:SS.mmmZ`, with as many digits of the second as the column
//! declares but at least three; a duration `[-]HH:MM:SS`, with the digits that the column declares. What is no day of
//! the calendar (`0000-00-00`, `2024-00-15`) keeps its digits: nothing is lost, and two rows whose key differs only
//! there stay two.

use millstream_core::calendar::Date;

use super::DecodeError;
use super::bytes::{big_endian, little_endian};

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// A day and a time of it, not necessarily in the calendar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DateTime {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) micros: u32,
}

/// A length of time with a sign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Duration {
    pub(crate) negative: bool,
    pub(crate) hours: u32,
    pub(crate) minutes: u8,
    pub(crate) seconds: u8,
    pub(crate) micros: u32,
}

impl DateTime {
    /// Seconds since 1970 in UTC. Zero is what the server stores for the zero timestamp, which names no moment.
    pub(crate) fn from_unix(seconds: u32, micros: u32) -> DateTime {
        if seconds == 0 && micros == 0 {
            return DateTime::default();
        }
        let (days, time) = (i64::from(seconds) / SECONDS_PER_DAY, i64::from(seconds) % SECONDS_PER_DAY);
        let Date { year, month, day } = Date::from_days_since_1970(days);
        DateTime {
            year: year as u16,
            month,
            day,
            hour: (time / 3_600) as u8,
            minute: (time / 60 % 60) as u8,
            second: (time % 60) as u8,
            micros,
        }
    }

    /// TIMESTAMP before MySQL 5.6, and of MariaDB in its old format: whole seconds first in one byte order and, where
    /// there is a fraction, in the other, followed by units of the last digit.
    pub(crate) fn from_old_timestamp(raw: &[u8], fraction: u8) -> Result<DateTime, DecodeError> {
        if fraction == 0 {
            return Ok(DateTime::from_unix(little_endian(raw) as u32, 0));
        }
        let (seconds, units) = raw.split_at_checked(4).ok_or(DecodeError::Truncated { what: "a TIMESTAMP" })?;
        let micros = big_endian(units).saturating_mul(unit_micros(fraction)).min(u64::from(u32::MAX)) as u32;
        DateTime::from_unix(big_endian(seconds) as u32, micros).checked()
    }

    /// The five bytes and fraction of DATETIME since MySQL 5.6.
    pub(crate) fn from_packed(raw: &[u8], fraction: u8) -> Result<DateTime, DecodeError> {
        let (whole, rest) = raw.split_at_checked(5).ok_or(DecodeError::Truncated { what: "a DATETIME" })?;
        DateTime::from_bits(big_endian(whole) & 0x7f_ffff_ffff, micros(rest, fraction)?)
    }

    /// Year and month as one number of base 13, then day, hour, minute and second in bits.
    pub(crate) fn from_bits(bits: u64, micros: u32) -> Result<DateTime, DecodeError> {
        let months = bits >> 22;
        let moment = DateTime {
            year: (months / 13) as u16,
            month: (months % 13) as u8,
            day: (bits >> 17 & 31) as u8,
            hour: (bits >> 12 & 31) as u8,
            minute: (bits >> 6 & 63) as u8,
            second: (bits & 63) as u8,
            micros,
        };
        moment.checked()
    }

    /// The decimal number `YYYYMMDDHHMMSS` of DATETIME before MySQL 5.6, and of MariaDB in its old format.
    pub(crate) fn from_decimal(number: u64) -> Result<DateTime, DecodeError> {
        let moment = DateTime {
            year: (number / 10_000_000_000).min(u64::from(u16::MAX)) as u16,
            month: (number / 100_000_000 % 100) as u8,
            day: (number / 1_000_000 % 100) as u8,
            hour: (number / 10_000 % 100) as u8,
            minute: (number / 100 % 100) as u8,
            second: (number % 100) as u8,
            micros: 0,
        };
        moment.checked()
    }

    /// DATETIME(1) to DATETIME(6) in MariaDB's old format: one big-endian number in units of the last digit.
    pub(crate) fn from_mixed_radix(raw: &[u8], fraction: u8) -> Result<DateTime, DecodeError> {
        let unit = unit_micros(fraction);
        let value = big_endian(raw).saturating_mul(unit);
        let (seconds, micros) = (value / MICROS_PER_SECOND, (value % MICROS_PER_SECOND) as u32);
        let (minutes, hours) = (seconds / 60, seconds / 3_600);
        let days = hours / 24;
        let months = days / 32;
        let moment = DateTime {
            year: (months / 13).min(u64::from(u16::MAX)) as u16,
            month: (months % 13) as u8,
            day: (days % 32) as u8,
            hour: (hours % 24) as u8,
            minute: (minutes % 60) as u8,
            second: (seconds % 60) as u8,
            micros,
        };
        moment.checked()
    }

    /// The three bytes of a DATE.
    pub(crate) fn from_date(raw: &[u8]) -> Result<DateTime, DecodeError> {
        let bits = little_endian(raw);
        let day = DateTime {
            year: (bits >> 9) as u16,
            month: (bits >> 5 & 15) as u8,
            day: (bits & 31) as u8,
            ..DateTime::default()
        };
        day.checked()
    }

    /// Within what the server itself can hold.
    pub(crate) fn checked(self) -> Result<DateTime, DecodeError> {
        let fits = self.year <= 9_999
            && self.month <= 12
            && self.day <= 31
            && self.hour <= 23
            && self.minute <= 59
            && self.second <= 59
            && u64::from(self.micros) < MICROS_PER_SECOND;
        if fits { Ok(self) } else { Err(DecodeError::malformed("a date or time", "parts beyond their range")) }
    }

    /// Appends the day alone.
    pub(crate) fn write_date(&self, out: &mut String) {
        let [[y0, y1], [y2, y3]] = [two_digits(u32::from(self.year) / 100), two_digits(u32::from(self.year))];
        let [[m0, m1], [d0, d1]] = [two_digits(u32::from(self.month)), two_digits(u32::from(self.day))];
        push_ascii(out, &[y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1]);
    }

    /// Appends day and time; `fraction` is what the column declares.
    pub(crate) fn write(&self, fraction: u8, out: &mut String) {
        self.write_date(out);
        let [[h0, h1], [m0, m1]] = [two_digits(u32::from(self.hour)), two_digits(u32::from(self.minute))];
        let [s0, s1] = two_digits(u32::from(self.second));
        push_ascii(out, &[b'T', h0, h1, b':', m0, m1, b':', s0, s1]);
        push_fraction(out, self.micros, fraction.max(3));
        out.push('Z');
    }
}

impl Duration {
    /// The three bytes and fraction of TIME since MySQL 5.6: a fixed-point number in two's complement, shifted to be
    /// never negative. The fraction belongs to the number, so that -0.5 s is -1 s and 0.5 s before the sign is split
    /// off.
    pub(crate) fn from_packed(raw: &[u8], fraction: u8) -> Result<Duration, DecodeError> {
        let fraction_bits = 8 * u32::from(fraction.div_ceil(2));
        let packed = big_endian(raw) as i64 - (0x80_0000_i64 << fraction_bits);
        let magnitude = packed.unsigned_abs();
        let whole = magnitude >> fraction_bits;
        let part = magnitude & ((1 << fraction_bits) - 1);
        let length = Duration {
            negative: packed < 0,
            hours: (whole >> 12 & 0x3ff) as u32,
            minutes: (whole >> 6 & 63) as u8,
            seconds: (whole & 63) as u8,
            micros: fraction_micros(part, fraction),
        };
        length.checked()
    }

    /// The signed decimal number `HHHMMSS` of TIME before MySQL 5.6, and of MariaDB in its old format.
    pub(crate) fn from_decimal(raw: &[u8]) -> Result<Duration, DecodeError> {
        let number = ((little_endian(raw) << 40) as i64) >> 40;
        let magnitude = number.unsigned_abs();
        let length = Duration {
            negative: number < 0,
            hours: (magnitude / 10_000) as u32,
            minutes: (magnitude / 100 % 100) as u8,
            seconds: (magnitude % 100) as u8,
            micros: 0,
        };
        length.checked()
    }

    /// TIME(1) to TIME(6) in MariaDB's old format: big-endian units of the last digit, shifted to be never negative.
    pub(crate) fn from_shifted(raw: &[u8], fraction: u8) -> Result<Duration, DecodeError> {
        const SHIFT_SECONDS: u64 = 838 * 3_600 + 59 * 60 + 59 + 1;
        let unit = unit_micros(fraction);
        let shifted = big_endian(raw).saturating_mul(unit).min(i64::MAX as u64) as i64;
        let value = shifted - (SHIFT_SECONDS * MICROS_PER_SECOND) as i64;
        let magnitude = value.unsigned_abs();
        let seconds = magnitude / MICROS_PER_SECOND;
        let length = Duration {
            negative: value < 0,
            hours: (seconds / 3_600).min(u64::from(u32::MAX)) as u32,
            minutes: (seconds / 60 % 60) as u8,
            seconds: (seconds % 60) as u8,
            micros: (magnitude % MICROS_PER_SECOND) as u32,
        };
        length.checked()
    }

    /// Within what the server itself can hold.
    pub(crate) fn checked(self) -> Result<Duration, DecodeError> {
        let fits =
            self.hours <= 999 && self.minutes <= 59 && self.seconds <= 59 && u64::from(self.micros) < MICROS_PER_SECOND;
        if fits { Ok(self) } else { Err(DecodeError::malformed("a TIME", "parts beyond their range")) }
    }

    /// Appends the text; `fraction` is what the column declares.
    pub(crate) fn write(&self, fraction: u8, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        if self.hours >= 100 {
            out.push(char::from(b'0' + (self.hours / 100 % 10) as u8));
        }
        let [[h0, h1], [m0, m1]] = [two_digits(self.hours), two_digits(u32::from(self.minutes))];
        let [s0, s1] = two_digits(u32::from(self.seconds));
        push_ascii(out, &[h0, h1, b':', m0, m1, b':', s0, s1]);
        push_fraction(out, self.micros, fraction);
    }
}

/// The fraction's bytes as the temporal types since MySQL 5.6 hold it: a byte for every two digits, big-endian.
pub(crate) fn micros(raw: &[u8], fraction: u8) -> Result<u32, DecodeError> {
    let micros = fraction_micros(big_endian(raw), fraction);
    if u64::from(micros) < MICROS_PER_SECOND {
        Ok(micros)
    } else {
        Err(DecodeError::malformed("a fraction of a second", "a whole second or more"))
    }
}

fn fraction_micros(part: u64, fraction: u8) -> u32 {
    let unit = match fraction {
        0 => return 0,
        1 | 2 => 10_000,
        3 | 4 => 100,
        _ => 1,
    };
    (part * unit).min(u64::from(u32::MAX)) as u32
}

/// How many microseconds one unit of the last declared digit is.
pub(crate) fn unit_micros(fraction: u8) -> u64 {
    10_u64.pow(u32::from(6 - fraction.min(6)))
}

fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

fn push_fraction(out: &mut String, micros: u32, digits: u8) {
    if digits == 0 {
        return;
    }
    let [[a, b], [c, d], [e, f]] = [two_digits(micros / 10_000), two_digits(micros / 100), two_digits(micros)];
    let all = [b'.', a, b, c, d, e, f];
    push_ascii(out, all.get(..=usize::from(digits)).unwrap_or(&all));
}

fn push_ascii(out: &mut String, bytes: &[u8]) {
    // Only digits and punctuation come here.
    out.push_str(str::from_utf8(bytes).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(seconds: u32) -> String {
        let mut text = String::new();
        DateTime::from_unix(seconds, 0).write(0, &mut text);
        text
    }

    #[test]
    fn unix_seconds_become_days_of_the_calendar() {
        assert_eq!(unix(0), "0000-00-00T00:00:00.000Z");
        assert_eq!(unix(1), "1970-01-01T00:00:01.000Z");
        assert_eq!(unix(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(unix(1_709_251_199), "2024-02-29T23:59:59.000Z");
        assert_eq!(unix(2_147_483_647), "2038-01-19T03:14:07.000Z");
        assert_eq!(unix(u32::MAX), "2106-02-07T06:28:15.000Z");
    }

    #[test]
    fn fractions_have_at_least_three_digits_in_moments_and_those_declared_in_durations() {
        let moment = DateTime { year: 7, month: 1, day: 2, hour: 3, minute: 4, second: 5, micros: 120_450 };
        let texts = [0, 3, 4, 6].map(|fraction| {
            let mut text = String::new();
            moment.write(fraction, &mut text);
            text
        });
        assert_eq!(texts[0], "0007-01-02T03:04:05.120Z");
        assert_eq!(texts[1], "0007-01-02T03:04:05.120Z");
        assert_eq!(texts[2], "0007-01-02T03:04:05.1204Z");
        assert_eq!(texts[3], "0007-01-02T03:04:05.120450Z");
        let mut text = String::new();
        Duration { negative: true, hours: 838, minutes: 59, seconds: 58, micros: 100_000 }.write(1, &mut text);
        assert_eq!(text, "-838:59:58.1");
    }

    #[test]
    fn negative_durations_carry_their_fraction_with_them() {
        // -00:00:00.5 at two digits: one below the zero point, and 0x100 - 50 hundredths.
        let half = Duration::from_packed(&[0x7f, 0xff, 0xff, 0x100_u16.wrapping_sub(50) as u8], 2).unwrap();
        assert_eq!(half, Duration { negative: true, micros: 500_000, ..Duration::default() });
        let none = Duration::from_packed(&[0x80, 0, 0], 0).unwrap();
        assert_eq!(none, Duration::default());
    }

    #[test]
    fn parts_beyond_their_range_are_refused() {
        assert!(DateTime::from_packed(&[0xff; 5], 0).is_err());
        assert!(DateTime::from_decimal(u64::MAX).is_err());
        assert!(DateTime::from_mixed_radix(&[0xff; 8], 6).is_err());
        assert!(Duration::from_packed(&[0xff; 6], 6).is_err());
        assert!(Duration::from_shifted(&[0xff; 6], 6).is_err());
        assert!(micros(&[0xff; 3], 6).is_err());
    }
}
