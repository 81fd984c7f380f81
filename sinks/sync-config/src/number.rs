//! How reals are written, the same way everywhere.

use std::fmt::Write;

/// Appends the shortest text that reads back as `value`, laid out as JavaScript does: positional between 1e-7 and
/// 1e21, with an exponent beyond. A whole number has no fraction.
pub(crate) fn write_real(out: &mut String, value: f64) {
    if value == 0.0 {
        // Also -0, which JSON readers treat in different ways.
        out.push('0');
        return;
    }
    let magnitude = value.abs();
    // Writing to a String can't fail. The standard formatting is positional and shortest; `e` is the same with an
    // exponent.
    let _ = if (1e-6..1e21).contains(&magnitude) {
        write!(out, "{value}")
    } else if magnitude >= 1e21 {
        write_exponent(out, value)
    } else {
        write!(out, "{value:e}")
    };
}

fn write_exponent(out: &mut String, value: f64) -> std::fmt::Result {
    let start = out.len();
    write!(out, "{value:e}")?;
    if let Some(at) = out.get(start..).and_then(|written| written.find('e')) {
        out.insert(start + at + 1, '+');
    }
    Ok(())
}

/// Appends a real as JSON. It keeps a fraction (`1.0`), so that it comes back as a real; JSON has no other numbers
/// than finite ones.
pub(crate) fn write_json_real(out: &mut String, value: f64) {
    if !value.is_finite() {
        out.push_str("null");
        return;
    }
    let start = out.len();
    write_real(out, value);
    let written = out.get(start..).unwrap_or_default();
    if !written.bytes().any(|byte| matches!(byte, b'.' | b'e')) {
        out.push_str(".0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals_are_short_and_keep_a_fraction_in_json() {
        for (value, plain, json) in [
            (0.0, "0", "0.0"),
            (-0.0, "0", "0.0"),
            (1.0, "1", "1.0"),
            (-1.5, "-1.5", "-1.5"),
            (0.1, "0.1", "0.1"),
            (1e20, "100000000000000000000", "100000000000000000000.0"),
            (1e21, "1e+21", "1e+21"),
            (1.5e300, "1.5e+300", "1.5e+300"),
            (1e-6, "0.000001", "0.000001"),
            (1e-7, "1e-7", "1e-7"),
            (f64::NAN, "NaN", "null"),
        ] {
            let (mut out, mut out_json) = (String::new(), String::new());
            write_real(&mut out, value);
            write_json_real(&mut out_json, value);
            assert_eq!(out_json, json);
            if value.is_finite() {
                assert_eq!(out, plain);
                assert_eq!(out.parse::<f64>().unwrap(), value);
            }
        }
    }
}
