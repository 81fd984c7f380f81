//! Exact numbers: 38 digits, of which some after the point.

use std::cmp::Ordering;
use std::fmt;

pub const DIGITS_MAX: u8 = 38;

/// `units / 10^scale`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    units: i128,
    scale: u8,
}

/// The number has more than 38 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl Decimal {
    /// A number of `units` in the last of `scale` places. `scale` is at most 38.
    pub const fn new(units: i128, scale: u8) -> Self {
        Self { units, scale }
    }

    pub const fn units(self) -> i128 {
        self.units
    }

    pub const fn scale(self) -> u8 {
        self.scale
    }

    pub fn is_zero(self) -> bool {
        self.units == 0
    }

    pub fn negated(self) -> Self {
        Self { units: -self.units, ..self }
    }

    /// Digits, leading zeros left out; zero has one.
    pub fn digits(self) -> u8 {
        let mut rest = self.units.unsigned_abs();
        let mut digits = 1;
        while rest >= 10 {
            rest /= 10;
            digits += 1;
        }
        digits
    }

    /// The same number with `scale` places, rounded half away from zero.
    pub fn rescaled(self, scale: u8) -> Result<Self, Overflow> {
        let units = match scale.cmp(&self.scale) {
            Ordering::Equal => self.units,
            Ordering::Greater => self.units.checked_mul(power(scale - self.scale)?).ok_or(Overflow)?,
            Ordering::Less => match power(self.scale - scale) {
                Ok(divisor) => {
                    signed(divide_rounded(self.units.unsigned_abs(), divisor.unsigned_abs()), self.units < 0)?
                }
                Err(Overflow) => 0,
            },
        };
        Ok(Self { units, scale })
    }

    /// The same number with `scale` places, the rest cut off.
    pub fn truncated(self, scale: u8) -> Result<Self, Overflow> {
        if scale >= self.scale {
            return self.rescaled(scale);
        }
        let units = power(self.scale - scale).map_or(0, |divisor| self.units / divisor);
        Ok(Self { units, scale })
    }

    /// [`Self::rescaled`], and an overflow where the number has more than `precision` digits then.
    pub fn fitted(self, precision: u8, scale: u8) -> Result<Self, Overflow> {
        let fitted = self.rescaled(scale)?;
        if fitted.units.unsigned_abs() < power(precision)?.unsigned_abs() { Ok(fitted) } else { Err(Overflow) }
    }

    pub fn plus(self, other: Self) -> Result<Self, Overflow> {
        let scale = self.scale.max(other.scale);
        let units = self.rescaled(scale)?.units.checked_add(other.rescaled(scale)?.units).ok_or(Overflow)?;
        Ok(Self { units, scale })
    }

    /// The product with `scale` places, which is at most the sum of both scales.
    pub fn times(self, other: Self, scale: u8) -> Result<Self, Overflow> {
        let dropped = (self.scale + other.scale).saturating_sub(scale);
        let negative = (self.units < 0) != (other.units < 0);
        let divisor = wide_power(dropped)?;
        let units = multiply_divide(self.units.unsigned_abs(), other.units.unsigned_abs(), divisor, Rounding::Half)?;
        Self { units: signed(units, negative)?, scale: (self.scale + other.scale) - dropped }.rescaled(scale)
    }

    /// The quotient with `scale` places, the rest cut off as the server does. `other` isn't zero.
    pub fn divided_by(self, other: Self, scale: u8) -> Result<Self, Overflow> {
        let negative = (self.units < 0) != (other.units < 0);
        let shift = i16::from(scale) + i16::from(other.scale) - i16::from(self.scale);
        let by = other.units.unsigned_abs();
        let (factor, divisor) = if shift >= 0 {
            (wide_power(u8::try_from(shift).map_err(|_| Overflow)?)?, by)
        } else {
            let divisor = by.checked_mul(wide_power(u8::try_from(-shift).map_err(|_| Overflow)?)?).ok_or(Overflow)?;
            (1, divisor)
        };
        let units = multiply_divide(self.units.unsigned_abs(), factor, divisor, Rounding::Down)?;
        Ok(Self { units: signed(units, negative)?, scale })
    }

    /// The remainder with the sign of `self`. `other` isn't zero.
    pub fn remainder(self, other: Self) -> Result<Self, Overflow> {
        let scale = self.scale.max(other.scale);
        let units = self.rescaled(scale)?.units.checked_rem(other.rescaled(scale)?.units).ok_or(Overflow)?;
        Ok(Self { units, scale })
    }

    pub fn compare(&self, other: &Self) -> Ordering {
        if self.scale == other.scale {
            return self.units.cmp(&other.units);
        }
        let scale = self.scale.max(other.scale);
        match (self.rescaled(scale), other.rescaled(scale)) {
            (Ok(a), Ok(b)) => a.units.cmp(&b.units),
            // Only the one whose scale is the smaller can overflow, so it is the larger in magnitude.
            (Err(_), _) => self.units.cmp(&0),
            (_, Err(_)) => 0.cmp(&other.units),
        }
    }

    /// Units and scale without trailing zeros: one form for equal numbers.
    pub fn normalised(self) -> (i128, u8) {
        let (mut units, mut scale) = (self.units, self.scale);
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        (units, scale)
    }

    pub fn to_f64(self) -> f64 {
        // The shortest text is read back exactly, where a division of two rounded numbers isn't.
        self.to_string().parse().unwrap_or(f64::NAN)
    }

    /// The number that `text` writes: digits, a sign, a point. None for anything else.
    pub fn parse(text: &str) -> Option<Result<Self, Overflow>> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.len() + fraction.len() == 0 || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        if fraction.contains('.') {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > usize::from(DIGITS_MAX) {
            return Some(Err(Overflow));
        }
        let room = usize::from(DIGITS_MAX) - whole.len();
        let kept = fraction.get(..room.min(fraction.len())).unwrap_or("");
        let units = format!("{whole}{kept}");
        let units: i128 = if units.is_empty() { 0 } else { units.parse().ok()? };
        let scale = u8::try_from(kept.len()).ok()?;
        Some(Ok(Self { units: if negative { -units } else { units }, scale }))
    }
}

fn power(exponent: u8) -> Result<i128, Overflow> {
    10_i128.checked_pow(u32::from(exponent)).ok_or(Overflow)
}

fn wide_power(exponent: u8) -> Result<u128, Overflow> {
    10_u128.checked_pow(u32::from(exponent)).ok_or(Overflow)
}

fn signed(units: u128, negative: bool) -> Result<i128, Overflow> {
    let units = i128::try_from(units).map_err(|_| Overflow)?;
    Ok(if negative { -units } else { units })
}

fn divide_rounded(value: u128, divisor: u128) -> u128 {
    let (quotient, rest) = (value / divisor, value % divisor);
    if rest >= divisor - rest { quotient + 1 } else { quotient }
}

#[derive(Clone, Copy, PartialEq)]
enum Rounding {
    Half,
    Down,
}

/// `a * b / divisor`, where the product may need 256 bits.
fn multiply_divide(a: u128, b: u128, divisor: u128, rounding: Rounding) -> Result<u128, Overflow> {
    if let Some(product) = a.checked_mul(b) {
        return Ok(if rounding == Rounding::Half { divide_rounded(product, divisor) } else { product / divisor });
    }
    let (high, low) = wide_product(a, b);
    if high >= divisor {
        return Err(Overflow);
    }
    // Long division by bits: `rest` is below the divisor at each step, so that the quotient's bits are 0 or 1.
    let (mut rest, mut quotient) = (high, 0_u128);
    for bit in (0..128).rev() {
        let carry = rest >> 127 == 1;
        rest = (rest << 1) | ((low >> bit) & 1);
        if carry || rest >= divisor {
            rest = rest.wrapping_sub(divisor);
            quotient |= 1 << bit;
        }
    }
    if rounding == Rounding::Half && rest >= divisor - rest {
        quotient = quotient.checked_add(1).ok_or(Overflow)?;
    }
    Ok(quotient)
}

fn wide_product(a: u128, b: u128) -> (u128, u128) {
    const MASK: u128 = u64::MAX as u128;
    let (a_high, a_low) = (a >> 64, a & MASK);
    let (b_high, b_low) = (b >> 64, b & MASK);
    let low = a_low * b_low;
    let middle = a_high * b_low + (low >> 64);
    let middle_low = (middle & MASK) + a_low * b_high;
    let high = a_high * b_high + (middle >> 64) + (middle_low >> 64);
    (high, (middle_low << 64) | (low & MASK))
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

/// With as many places as the scale says.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = self.units.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap().unwrap()
    }

    #[test]
    fn texts_are_read_and_written() {
        for text in ["0", "-1.50", "99999999999999999999999999999999999999", "0.00000000000000000000000000000000000001"]
        {
            assert_eq!(number(text).to_string(), text);
        }
        assert!(Decimal::parse("1.2.3").is_none());
        assert!(Decimal::parse("").is_none());
        assert_eq!(Decimal::parse("100000000000000000000000000000000000000").unwrap().unwrap_err(), Overflow);
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        assert_eq!(number("1.25").rescaled(1).unwrap().to_string(), "1.3");
        assert_eq!(number("-1.25").rescaled(1).unwrap().to_string(), "-1.3");
        assert_eq!(number("99.5").fitted(2, 0), Err(Overflow));
    }

    #[test]
    fn wide_products_and_quotients_are_exact() {
        let wide = number("12345678901234567890.123456789012345678");
        assert_eq!(
            wide.times(number("2.000000000000000000"), 17).unwrap().to_string(),
            "24691357802469135780.24691357802469136"
        );
        assert_eq!(number("2").divided_by(number("3"), 6).unwrap().to_string(), "0.666666");
        assert_eq!(wide.divided_by(wide, 10).unwrap().to_string(), "1.0000000000");
    }

    #[test]
    fn numbers_of_different_scale_compare_by_value() {
        assert_eq!(number("1.50").compare(&number("1.5")), Ordering::Equal);
        assert_eq!(number("1.5").normalised(), number("1.500").normalised());
        let large = number("99999999999999999999999999999999999999");
        assert_eq!(large.compare(&number("0.00000000000000000001")), Ordering::Greater);
    }
}
