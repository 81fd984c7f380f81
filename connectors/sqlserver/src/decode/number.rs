//! Numbers: the one value and the one text that each has.

use std::fmt::Write;

use tiberius::numeric::Numeric;

/// The most decimal digits that a `u64` has.
const DIGITS_MAX: usize = 20;

/// Appends a number with leading zeros up to a width of 1 at least. Formatting by the standard library takes several
/// times as long, and most rows have a date or a price.
pub(crate) fn write_padded(value: u64, width_min: usize, out: &mut String) {
    let mut digits = [b'0'; DIGITS_MAX];
    let (mut rest, mut length) = (value, 0);
    for digit in digits.iter_mut().rev() {
        if rest == 0 && length >= width_min {
            break;
        }
        // A digit fits.
        *digit += (rest % 10) as u8;
        rest /= 10;
        length += 1;
    }
    let written = digits.get(DIGITS_MAX - length..).unwrap_or_default();
    out.push_str(str::from_utf8(written).unwrap_or_default());
}

/// Appends a decimal with all digits of its scale: `-0.050`.
pub(crate) fn write_decimal(value: Numeric, out: &mut String) {
    let (negative, magnitude) = (value.value() < 0, value.value().unsigned_abs());
    let scale = usize::from(value.scale());
    if negative {
        out.push('-');
    }
    match (u64::try_from(magnitude), 10_u64.checked_pow(u32::from(value.scale()))) {
        (Ok(magnitude), Some(unit)) => {
            write_padded(magnitude / unit, 1, out);
            if scale > 0 {
                out.push('.');
                write_padded(magnitude % unit, scale, out);
            }
        }
        _ => write_long_decimal(magnitude, scale, out),
    }
}

fn write_long_decimal(magnitude: u128, scale: usize, out: &mut String) {
    // One digit stands before the point at least.
    let digits = format!("{magnitude:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - scale).unwrap_or((&digits, ""));
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
        assert_eq!(text(i128::from(u64::MAX), 19), "1.8446744073709551615");
        assert_eq!(text(i128::from(u64::MAX) + 1, 19), "1.8446744073709551616");
        assert_eq!(text(-1, 20), "-0.00000000000000000001");
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
