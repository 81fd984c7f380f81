//! The precision of timestamps: the `timestamp_max_precision` option and its defaults.

use std::borrow::Cow;

/// How many digits a second's fraction has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Precision {
    pub(crate) const NAMES: [(&'static str, Precision); 4] = [
        ("seconds", Precision::Seconds),
        ("milliseconds", Precision::Milliseconds),
        ("microseconds", Precision::Microseconds),
        ("nanoseconds", Precision::Nanoseconds),
    ];

    pub(crate) fn digits(self) -> usize {
        match self {
            Precision::Seconds => 0,
            Precision::Milliseconds => 3,
            Precision::Microseconds => 6,
            Precision::Nanoseconds => 9,
        }
    }
}

/// The precision that columns of a type have unless the config says otherwise; `None` if it isn't a timestamp's.
///
/// Milliseconds for the types that MySQL has, nanoseconds for those that only SQL Server has. SQL Server's `datetime`
/// shares its name with MySQL's; it resolves 1/300 s, so three digits hold all of it.
pub(crate) fn default_precision(source_type: &str) -> Option<Precision> {
    let word = source_type.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    match word.to_ascii_lowercase().as_str() {
        "datetime" | "timestamp" => Some(Precision::Milliseconds),
        "datetime2" | "datetimeoffset" | "smalldatetime" => Some(Precision::Nanoseconds),
        _ => None,
    }
}

/// `YYYY-MM-DDTHH:MM:SS`
const SECONDS_LENGTH: usize = 19;
const ZEROS: &str = "000000000";

/// Brings the fraction of an ISO 8601 timestamp to a precision, by cutting digits or adding zeros, never by rounding.
/// What isn't such a text stays as it is.
pub(crate) fn with_precision(text: &str, precision: Precision) -> Cow<'_, str> {
    let Some((seconds, rest)) = text.split_at_checked(SECONDS_LENGTH) else { return Cow::Borrowed(text) };
    if seconds.as_bytes().get(10) != Some(&b'T') {
        return Cow::Borrowed(text);
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            fraction.split_at_checked(digits).unwrap_or((fraction, ""))
        }
        None => ("", rest),
    };
    let wanted = precision.digits();
    if fraction.len() == wanted && (wanted > 0 || rest.len() == zone.len()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(SECONDS_LENGTH + 1 + wanted + zone.len());
    out.push_str(seconds);
    if wanted > 0 {
        out.push('.');
        let kept = fraction.get(..wanted).unwrap_or(fraction);
        out.push_str(kept);
        out.push_str(ZEROS.get(..wanted - kept.len()).unwrap_or_default());
    }
    out.push_str(zone);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_cut_and_padded_never_rounded() {
        for (text, precision, expected) in [
            ("2024-05-01T10:20:30.123456Z", Precision::Milliseconds, "2024-05-01T10:20:30.123Z"),
            ("2024-05-01T10:20:30.999999Z", Precision::Seconds, "2024-05-01T10:20:30Z"),
            ("2024-05-01T10:20:30Z", Precision::Milliseconds, "2024-05-01T10:20:30.000Z"),
            ("2024-05-01T10:20:30.5Z", Precision::Nanoseconds, "2024-05-01T10:20:30.500000000Z"),
            ("2024-05-01T10:20:30.1234567Z", Precision::Microseconds, "2024-05-01T10:20:30.123456Z"),
            ("2024-05-01T10:20:30.12+02:00", Precision::Seconds, "2024-05-01T10:20:30+02:00"),
            ("2024-05-01T10:20:30", Precision::Milliseconds, "2024-05-01T10:20:30.000"),
            ("2024-05-01 10:20:30.5", Precision::Seconds, "2024-05-01 10:20:30.5"),
            ("0000-00-00", Precision::Milliseconds, "0000-00-00"),
            ("ééééééééééééé", Precision::Milliseconds, "ééééééééééééé"),
            ("", Precision::Milliseconds, ""),
        ] {
            assert_eq!(with_precision(text, precision), expected);
        }
    }

    #[test]
    fn only_types_of_timestamps_have_a_precision() {
        assert_eq!(default_precision("datetime(6)"), Some(Precision::Milliseconds));
        assert_eq!(default_precision("TIMESTAMP"), Some(Precision::Milliseconds));
        assert_eq!(default_precision("datetime2(7)"), Some(Precision::Nanoseconds));
        assert_eq!(default_precision("datetimeoffset"), Some(Precision::Nanoseconds));
        for other in ["date", "time(6)", "varchar(20)", "", "timestamps"] {
            assert_eq!(default_precision(other), None, "{other}");
        }
    }
}
