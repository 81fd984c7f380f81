//! Figures for people. Programs get plain numbers.

/// A figure with a unit's prefix and two or three digits that mean something: `987`, `1.2 k`, `34 M`.
fn scaled(value: f64, step: f64, prefixes: &[&str]) -> String {
    let mut value = value;
    let mut prefixes = prefixes.iter();
    let mut prefix = prefixes.next().copied().unwrap_or_default();
    // 999.6 would be rounded to 1000, which the next prefix says better.
    while value.round() >= step {
        let Some(next) = prefixes.next() else { break };
        value /= step;
        prefix = next;
    }
    let digits = usize::from(!prefix.is_empty() && value < 9.95);
    if prefix.is_empty() { format!("{value:.digits$}") } else { format!("{value:.digits$} {prefix}") }
}

/// `12345` as `12 k`.
pub(crate) fn count(value: u64) -> String {
    scaled(value as f64, 1000.0, &["", "k", "M", "G", "T"])
}

/// `1 row`, `12345 rows`; exact, as rows are worth counting.
pub(crate) fn rows(value: u64) -> String {
    format!("{value} {}", if value == 1 { "row" } else { "rows" })
}

/// `3565158` as `3.4 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    scaled(value as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]).replace(".0 B", " B")
}

/// `1234.5` as `1.2 k rows/s`.
pub(crate) fn rate(rows_per_second: f64) -> String {
    let text = scaled(rows_per_second.max(0.0), 1000.0, &["", "k", "M", "G"]);
    format!("{text} rows/s")
}

/// `350` as `350 ms`, `12345` as `12 s`, `3900000` as `1 h 5 min`.
pub(crate) fn duration_ms(milliseconds: u64) -> String {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let two = |large: u64, large_name: &str, small: u64, small_name: &str| match milliseconds % large / small {
        0 => format!("{} {large_name}", milliseconds / large),
        rest => format!("{} {large_name} {rest} {small_name}", milliseconds / large),
    };
    match milliseconds {
        0..SECOND => format!("{milliseconds} ms"),
        SECOND..10_000 => format!("{:.1} s", milliseconds as f64 / SECOND as f64),
        10_000..MINUTE => format!("{} s", milliseconds / SECOND),
        MINUTE..HOUR => two(MINUTE, "min", SECOND, "s"),
        HOUR..DAY => two(HOUR, "h", MINUTE, "min"),
        DAY.. => two(DAY, "d", HOUR, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_two_or_three_digits() {
        for (value, text) in
            [(0, "0"), (987, "987"), (1000, "1.0 k"), (1234, "1.2 k"), (9_960, "10 k"), (34_000_000, "34 M")]
        {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn bytes_are_whole_below_a_kibibyte() {
        for (value, text) in [(0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3_565_158, "3.4 MiB")] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn durations_have_at_most_two_units() {
        for (value, text) in [
            (350, "350 ms"),
            (1234, "1.2 s"),
            (12_345, "12 s"),
            (60_000, "1 min"),
            (65_000, "1 min 5 s"),
            (3_900_000, "1 h 5 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration_ms(value), text);
        }
    }

    #[test]
    fn rates_are_in_rows() {
        assert_eq!(rate(1234.5), "1.2 k rows/s");
        assert_eq!(rate(0.0), "0 rows/s");
    }
}
