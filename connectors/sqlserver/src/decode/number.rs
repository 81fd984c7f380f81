//! Numbers: the one value and the one text that each has.

use std::fmt::Write;

use tiberius::numeric::Numeric;

/// Appends a decimal with all digits of its scale: `-0.050`.
pub(crate) fn write_decimal(value: Numeric, out: &mut String) {
    let (negative, digits) = (value.value() < 0, value.value().unsigned_abs());
    let scale = usize::from(value.scale());
    // One digit stands before the point at least. Writing to a String doesn't fail.
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale).unwrap_or((&digits, ""));
    if negative {
        out.push('-');
    }
    out.push_str(whole);
    if scale > 0 {
        out.push('.');
        out.push_str(fraction);
    }
}

/// The double that stands for a `real`: the one nearest to its shortest decimal text. 0.1 stays 0.1 instead of
/// becoming 0.10000000149011612, and turning it back into a `real` gives the same.
pub(crate) fn double_of_real(value: f32, scratch: &mut String) -> f64 {
    let wide = f64::from(value);
    if wide.fract() == 0.0 && wide.abs() < 16_777_216.0 {
        return wide;
    }
    scratch.clear();
    // Writing to a String doesn't fail, and what Rust writes it reads.
    match write!(scratch, "{value:e}") {
        Ok(()) => scratch.parse().unwrap_or(wide),
        Err(_) => wide,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_every_digit() {
        let text = |value, scale| {
            let mut out = String::new();
            write_decimal(Numeric::new_with_scale(value, scale), &mut out);
            out
        };
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(0, 3), "0.000");
        assert_eq!(text(-50, 3), "-0.050");
        assert_eq!(text(123_456, 2), "1234.56");
        assert_eq!(text(-7, 0), "-7");
        let most = 10_i128.pow(38) - 1;
        assert_eq!(text(most, 38), format!("0.{}", "9".repeat(38)));
        assert_eq!(text(-most, 0), format!("-{}", "9".repeat(38)));
    }

    #[test]
    fn reals_keep_their_short_decimal() {
        let mut scratch = String::new();
        for value in [0.1_f32, 1.0e-45, f32::MAX, -2.5, 16_777_217.0, 3.402_823_5e38, 1.17e-38] {
            let double = double_of_real(value, &mut scratch);
            assert_eq!(double as f32, value);
            assert_eq!(format!("{double:e}"), format!("{value:e}"));
        }
    }
}
