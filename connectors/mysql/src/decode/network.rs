//! MariaDB's UUID, INET4 and INET6. Rows hold them as binary strings without the zero bytes at their end.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::DecodeError;

/// Appends a UUID in its usual form.
pub(super) fn write_uuid_of_row(raw: &[u8], out: &mut String) -> Result<(), DecodeError> {
    let bytes = padded::<16>(raw, "a UUID")?;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        append(out, format_args!("{byte:02x}"));
    }
    Ok(())
}

/// Appends four numbers with points between.
pub(super) fn write_inet4(raw: &[u8], out: &mut String) -> Result<(), DecodeError> {
    append(out, format_args!("{}", Ipv4Addr::from(padded::<4>(raw, "an INET4")?)));
    Ok(())
}

/// Appends an address as the server prints it: the longest run of zeros is left out, even if it is of one number only,
/// and an address of the fourth version shows in its own form.
pub(super) fn write_inet6(raw: &[u8], out: &mut String) -> Result<(), DecodeError> {
    let numbers = Ipv6Addr::from(padded::<16>(raw, "an INET6")?).segments();
    let (start, length) = longest_zeros(&numbers);
    let embedded = match numbers {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(("::", high, low)),
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(("::ffff:", high, low)),
        _ => None,
    };
    if let Some((prefix, high, low)) = embedded {
        append(out, format_args!("{prefix}{}", Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))));
        return Ok(());
    }
    let mut separator = "";
    for (index, number) in numbers.iter().enumerate() {
        if length > 0 && index == start {
            out.push_str("::");
            separator = "";
        } else if !(start..start + length).contains(&index) {
            append(out, format_args!("{separator}{number:x}"));
            separator = ":";
        }
    }
    Ok(())
}

/// Where the first of the longest runs of zeros begins, and how long it is.
fn longest_zeros(numbers: &[u16]) -> (usize, usize) {
    let mut longest = (0, 0);
    let mut run = 0;
    for (index, number) in numbers.iter().enumerate() {
        run = if *number == 0 { run + 1 } else { 0 };
        if run > longest.1 {
            longest = (index + 1 - run, run);
        }
    }
    longest
}

fn padded<const LENGTH: usize>(raw: &[u8], what: &'static str) -> Result<[u8; LENGTH], DecodeError> {
    let mut bytes = [0; LENGTH];
    let place = bytes.get_mut(..raw.len()).ok_or_else(|| DecodeError::malformed(what, "too many bytes"))?;
    place.copy_from_slice(raw);
    Ok(bytes)
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _written = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_with_their_zero_bytes_back() {
        let mut text = String::new();
        write_uuid_of_row(&[0x11, 0x22], &mut text).unwrap();
        assert_eq!(text, "11220000-0000-0000-0000-000000000000");
        text.clear();
        write_inet4(&[1, 2], &mut text).unwrap();
        assert_eq!(text, "1.2.0.0");
        text.clear();
        write_inet6(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], &mut text).unwrap();
        assert_eq!(text, "::1.2.3.4");
        text.clear();
        write_inet6(&[], &mut text).unwrap();
        assert_eq!(text, "::");
        assert!(write_inet4(&[1, 2, 3, 4, 5], &mut text).is_err());
    }
}
