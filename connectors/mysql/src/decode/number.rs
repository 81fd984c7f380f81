//! Floating-point numbers: the one value and the one text that each has.

use std::fmt::Write;

/// The double that stands for a FLOAT: the one nearest to its shortest decimal text. 0.1 stays 0.1 instead of becoming
/// 0.10000000149011612, and turning it back into a FLOAT gives the same.
pub(crate) fn double_of_float(value: f32, scratch: &mut String) -> f64 {
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

/// With more digits before the point or zeros behind it, the server writes an exponent - except that it writes digits
/// before the point as long as there are more of them than that.
const PLAIN_DIGITS_MAX: i32 = 15;

/// Appends a double as the server writes it into JSON: the fewest digits that tell it from its neighbours, plain if
/// the point is near them, and with `.0` if it would look like an integer.
pub(crate) fn write_json_double(value: f64, out: &mut String) {
    let text = shortest(value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    // Where the point stands, counted from before the first digit.
    let point = exponent.parse::<i32>().unwrap_or_default() + 1;
    if value.is_sign_negative() {
        out.push('-');
    }
    if value == 0.0 {
        out.push_str("0.0");
    } else if point > PLAIN_DIGITS_MAX && digits.len() as i32 <= point || point <= -PLAIN_DIGITS_MAX {
        write_exponent_form(&digits, point, out);
    } else if point <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', point.unsigned_abs() as usize));
        out.push_str(&digits);
    } else {
        let whole = point.unsigned_abs() as usize;
        let (before, after) = digits.split_at_checked(whole).unwrap_or((&digits, ""));
        out.push_str(before);
        out.extend(std::iter::repeat_n('0', whole - before.len()));
        out.push('.');
        out.push_str(if after.is_empty() { "0" } else { after });
    }
}

/// The fewest digits that read back as the same number, in exponent form. Where two such are equally near, the server
/// takes the even one, and so does formatting to a fixed number of digits.
fn shortest(value: f64) -> String {
    let text = format!("{value:e}");
    let digits_after_point = text.bytes().take_while(|byte| *byte != b'e').count().saturating_sub(2);
    let even = format!("{value:.digits_after_point$e}");
    if even.parse() == Ok(value) { even } else { text }
}

fn write_exponent_form(digits: &str, point: i32, out: &mut String) {
    let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, ""));
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out.push('e');
    out.push_str(&(point - 1).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: f64) -> String {
        let mut out = String::new();
        write_json_double(value, &mut out);
        out
    }

    #[test]
    fn floats_keep_their_short_decimal() {
        let mut scratch = String::new();
        for value in [0.1_f32, 1.0e-45, f32::MAX, -2.5, 16_777_217.0, 3.402_823_5e38, 1.17e-38] {
            let double = double_of_float(value, &mut scratch);
            assert_eq!(double as f32, value);
            assert_eq!(format!("{double:e}"), format!("{value:e}"));
        }
    }

    #[test]
    fn doubles_read_as_the_server_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1.5e300, "1.5e300"),
            (-1221953339504170.2, "-1221953339504170.2"),
            (1234567890123456.0, "1.234567890123456e15"),
            (1e-14, "0.00000000000001"),
            (1e-16, "1e-16"),
            (123.456, "123.456"),
        ];
        for (value, text) in cases {
            assert_eq!(json(value), text);
        }
    }
}
