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

/// Appends an address as the server prints it, which is as everybody does except for the addresses that hold one of
/// the fourth version after six zeros.
pub(super) fn write_inet6(raw: &[u8], out: &mut String) -> Result<(), DecodeError> {
    let address = Ipv6Addr::from(padded::<16>(raw, "an INET6")?);
    match address.segments() {
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
            append(out, format_args!("::{}", Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))));
        }
        _ => append(out, format_args!("{address}")),
    }
    Ok(())
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
