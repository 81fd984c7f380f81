//! DECIMAL as rows hold it: base 10⁹ digits, big-endian, in two's-complement-like order.

use super::DecodeError;
use super::bytes::big_endian;

const DIGITS_PER_WORD: usize = 9;
/// How many bytes that many digits take which don't fill a word of four bytes.
const BYTES_OF_DIGITS: [usize; DIGITS_PER_WORD + 1] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// 65 digits, the server's limit, however they are split, with room to spare.
const BYTES_MAX: usize = 40;

/// How many digits there are before and after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecimalLayout {
    whole: usize,
    scale: usize,
}

impl DecimalLayout {
    /// `None` if no DECIMAL can be declared so.
    pub(crate) fn new(precision: u8, scale: u8) -> Option<DecimalLayout> {
        let whole = precision.checked_sub(scale)?;
        (precision <= 65 && scale <= 38).then_some(DecimalLayout { whole: whole.into(), scale: scale.into() })
    }

    /// The length of the packed form.
    pub(crate) fn size_bytes(self) -> usize {
        let part = |digits: usize| {
            let rest = BYTES_OF_DIGITS.get(digits % DIGITS_PER_WORD).copied().unwrap_or_default();
            digits / DIGITS_PER_WORD * 4 + rest
        };
        part(self.whole) + part(self.scale)
    }

    /// Appends the number with all digits of its scale, as the server prints it.
    pub(crate) fn write(self, raw: &[u8], out: &mut String) -> Result<(), DecodeError> {
        let truncated = || DecodeError::Truncated { what: "a DECIMAL" };
        let mut buffer = [0; BYTES_MAX];
        let packed = buffer.get_mut(..raw.len()).filter(|_| raw.len() == self.size_bytes()).ok_or_else(truncated)?;
        packed.copy_from_slice(raw);
        let first = packed.first_mut().ok_or_else(truncated)?;
        // The top bit is set for positive numbers; negative ones have every bit flipped, so that bytes sort as numbers.
        let negative = *first & 0x80 == 0;
        *first ^= 0x80;
        if negative {
            packed.iter_mut().for_each(|byte| *byte = !*byte);
            out.push('-');
        }
        let mut rest: &[u8] = packed;
        let mut leading = true;
        let mut word = |digits: usize| -> Result<u32, DecodeError> {
            let bytes = BYTES_OF_DIGITS.get(digits).copied().unwrap_or_default();
            let (head, tail) = rest.split_at_checked(bytes).ok_or_else(truncated)?;
            rest = tail;
            let value = big_endian(head) as u32;
            let fits = value < 10_u32.pow(digits as u32);
            if fits { Ok(value) } else { Err(DecodeError::malformed("a DECIMAL", "a digit above nine")) }
        };
        for digits in groups_of_whole(self.whole) {
            let value = word(digits)?;
            if !leading {
                push_padded(out, value, digits);
            } else if value != 0 {
                push_padded(out, value, (value.ilog10() + 1) as usize);
                leading = false;
            }
        }
        if leading {
            out.push('0');
        }
        if self.scale > 0 {
            out.push('.');
        }
        for digits in groups_of_scale(self.scale) {
            let value = word(digits)?;
            push_padded(out, value, digits);
        }
        Ok(())
    }
}

/// The incomplete word comes first before the point.
fn groups_of_whole(digits: usize) -> impl Iterator<Item = usize> {
    let rest = digits % DIGITS_PER_WORD;
    (rest > 0).then_some(rest).into_iter().chain(std::iter::repeat_n(DIGITS_PER_WORD, digits / DIGITS_PER_WORD))
}

/// The incomplete word comes last after the point.
fn groups_of_scale(digits: usize) -> impl Iterator<Item = usize> {
    let rest = digits % DIGITS_PER_WORD;
    std::iter::repeat_n(DIGITS_PER_WORD, digits / DIGITS_PER_WORD).chain((rest > 0).then_some(rest))
}

fn push_padded(out: &mut String, value: u32, digits: usize) {
    let mut text = [b'0'; DIGITS_PER_WORD];
    let mut left = value;
    for place in text.iter_mut().take(digits).rev() {
        *place = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.push_str(text.get(..digits).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default());
}

/// The server's text of a DECIMAL without the zeros that ZEROFILL puts before it.
pub(crate) fn without_zerofill(text: &str) -> &str {
    let whole = text.split('.').next().unwrap_or_default().len();
    let zeros = text.bytes().take_while(|byte| *byte == b'0').count();
    text.get(zeros.min(whole.saturating_sub(1))..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(precision: u8, scale: u8, raw: &[u8]) -> String {
        let mut out = String::new();
        DecimalLayout::new(precision, scale).unwrap().write(raw, &mut out).unwrap();
        out
    }

    #[test]
    fn packed_numbers_print_as_the_server_prints_them() {
        // The example of the server's own documentation: 1234567890.1234 as DECIMAL(14,4).
        assert_eq!(text(14, 4, &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2]), "1234567890.1234");
        assert_eq!(text(14, 4, &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d]), "-1234567890.1234");
        assert_eq!(text(3, 2, &[0x80, 5]), "0.05");
        assert_eq!(text(2, 2, &[0x80 | 50]), "0.50");
        assert_eq!(text(1, 0, &[0x80]), "0");
    }

    #[test]
    fn impossible_bytes_are_refused() {
        let layout = DecimalLayout::new(4, 0).unwrap();
        assert!(layout.write(&[0xff, 0xff], &mut String::new()).is_err());
        assert!(layout.write(&[0x80], &mut String::new()).is_err());
        assert!(layout.write(&[], &mut String::new()).is_err());
        assert!(DecimalLayout::new(66, 0).is_none());
        assert!(DecimalLayout::new(3, 4).is_none());
    }

    #[test]
    fn zerofill_is_not_part_of_the_number() {
        assert_eq!(without_zerofill("00012.50"), "12.50");
        assert_eq!(without_zerofill("00.50"), "0.50");
        assert_eq!(without_zerofill("0"), "0");
        assert_eq!(without_zerofill("-1.0"), "-1.0");
    }
}
