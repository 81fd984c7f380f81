//! Values as the engine holds them, and the order that indexes, `ORDER BY` and comparisons share.
//!
//! A value knows its family (a number, a text, a moment) and not its declared type: whether a text is `char(10)` or
//! `nvarchar(max)`, and how many digits a `decimal` may have, is said by the [`SqlType`] of the column or expression that
//! it came from.

pub mod arithmetic;
pub mod calendar;
pub mod collation;
pub mod convert;
pub mod decimal;
pub mod format;
pub mod literal;
pub mod sql_type;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use calendar::Moment;
pub use decimal::Decimal;
pub use sql_type::{Length, SqlType};

/// One value.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bit(bool),
    TinyInt(u8),
    SmallInt(i16),
    Int(i32),
    BigInt(i64),
    Decimal(Decimal),
    /// `money` and `smallmoney`: ten-thousandths.
    Money(i64),
    Real(f32),
    Float(f64),
    /// Every character type, and `xml`.
    Text(Arc<str>),
    /// Every binary type, `rowversion`, and the CLR types as bytes.
    Binary(Arc<[u8]>),
    /// Days since 0001-01-01.
    Date(i32),
    /// 100-nanosecond ticks since midnight.
    Time(u64),
    /// Days since 1900-01-01 and three-hundredths of a second since midnight.
    DateTime {
        days: i32,
        ticks: u32,
    },
    /// Days since 1900-01-01 and minutes since midnight.
    SmallDateTime {
        days: u16,
        minutes: u16,
    },
    DateTime2(Moment),
    /// The moment in UTC, and the offset in minutes with which it is shown.
    DateTimeOffset(Moment, i16),
    /// The bytes in the order of the text form `00112233-4455-...`, not in that of the wire.
    Uuid([u8; 16]),
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }

    pub fn binary(bytes: &[u8]) -> Self {
        Self::Binary(Arc::from(bytes))
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a character value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a binary value.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer value of any width.
    pub fn as_integer(&self) -> Option<i64> {
        Some(match self {
            Self::Bit(bit) => i64::from(*bit),
            Self::TinyInt(n) => i64::from(*n),
            Self::SmallInt(n) => i64::from(*n),
            Self::Int(n) => i64::from(*n),
            Self::BigInt(n) => *n,
            _ => return None,
        })
    }

    /// The type that the value alone tells of: what a `sql_variant` says its base type is.
    pub fn natural_type(&self) -> SqlType {
        match self {
            Self::Null | Self::Int(_) => SqlType::Int,
            Self::Bit(_) => SqlType::Bit,
            Self::TinyInt(_) => SqlType::TinyInt,
            Self::SmallInt(_) => SqlType::SmallInt,
            Self::BigInt(_) => SqlType::BigInt,
            Self::Decimal(n) => SqlType::Numeric { precision: n.digits().max(n.scale()).max(1), scale: n.scale() },
            Self::Money(_) => SqlType::Money,
            Self::Real(_) => SqlType::Real,
            Self::Float(_) => SqlType::Float,
            Self::Text(text) => SqlType::NVarChar(Length::of(text.encode_utf16().count(), 4000)),
            Self::Binary(bytes) => SqlType::VarBinary(Length::of(bytes.len(), 8000)),
            Self::Date(_) => SqlType::Date,
            Self::Time(_) => SqlType::Time(7),
            Self::DateTime { .. } => SqlType::DateTime,
            Self::SmallDateTime { .. } => SqlType::SmallDateTime,
            Self::DateTime2(_) => SqlType::DateTime2(7),
            Self::DateTimeOffset(..) => SqlType::DateTimeOffset(7),
            Self::Uuid(_) => SqlType::UniqueIdentifier,
        }
    }

    /// The total order of values of one family, NULL first: that of indexes, `ORDER BY`, `GROUP BY` and `DISTINCT`.
    /// Values of different families are ordered by family, so that the order is total; T-SQL's own comparisons convert
    /// both sides to one type before they come here.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::BigInt(a), Self::BigInt(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => collation::compare(a, b),
            (Self::Binary(a), Self::Binary(b)) => compare_binary(a, b),
            (Self::Decimal(a), Self::Decimal(b)) => a.compare(b),
            (Self::Money(a), Self::Money(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Float(a), Self::Float(b)) => float_order(*a, *b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::DateTime { days: a, ticks: at }, Self::DateTime { days: b, ticks: bt }) => (a, at).cmp(&(b, bt)),
            (Self::SmallDateTime { days: a, minutes: am }, Self::SmallDateTime { days: b, minutes: bm }) => {
                (a, am).cmp(&(b, bm))
            }
            (Self::DateTime2(a), Self::DateTime2(b)) => a.cmp(b),
            // The offset doesn't take part: two clocks that show the same instant are equal.
            (Self::DateTimeOffset(a, _), Self::DateTimeOffset(b, _)) => a.cmp(b),
            (Self::Uuid(a), Self::Uuid(b)) => uuid_order(a).cmp(&uuid_order(b)),
            (a, b) => match (a.as_integer(), b.as_integer()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.family().cmp(&b.family()),
            },
        }
    }

    fn family(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Binary(_) => 1,
            Self::Text(_) => 2,
            Self::Uuid(_) => 3,
            Self::Bit(_) | Self::TinyInt(_) | Self::SmallInt(_) | Self::Int(_) | Self::BigInt(_) => 4,
            Self::Money(_) => 5,
            Self::Decimal(_) => 6,
            Self::Real(_) => 7,
            Self::Float(_) => 8,
            Self::Time(_) => 9,
            Self::Date(_) => 10,
            Self::SmallDateTime { .. } => 11,
            Self::DateTime { .. } => 12,
            Self::DateTime2(_) => 13,
            Self::DateTimeOffset(..) => 14,
        }
    }
}

fn float_order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.total_cmp(&b))
}

/// Trailing zeros don't count, as the server pads the shorter one.
fn compare_binary(a: &[u8], b: &[u8]) -> Ordering {
    let shared = a.len().min(b.len());
    let (a_head, a_tail) = a.split_at(shared);
    let (b_head, b_tail) = b.split_at(shared);
    a_head.cmp(b_head).then_with(|| {
        let more = |tail: &[u8]| tail.iter().any(|byte| *byte != 0);
        more(a_tail).cmp(&more(b_tail))
    })
}

/// The server compares the last group first, then the groups before it, each from left to right in the byte order of
/// the wire, which turns the first three groups round.
pub(crate) fn uuid_order(id: &[u8; 16]) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *id;
    [k, l, m, n, o, p, i, j, h, g, f, e, d, c, b, a]
}

/// By [`Value::order`]: equal means equal for indexes and groups, so `'a'` equals `'A '` and NULL equals NULL.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

/// Agrees with equality: what is equal hashes alike.
impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.family().hash(state);
        match self {
            Self::Null => {}
            Self::Bit(_) | Self::TinyInt(_) | Self::SmallInt(_) | Self::Int(_) | Self::BigInt(_) => {
                self.as_integer().hash(state);
            }
            Self::Decimal(n) => n.normalised().hash(state),
            Self::Money(n) => n.hash(state),
            Self::Real(n) => n.to_bits().hash(state),
            // Zero has two signs and one value.
            Self::Float(n) => (if *n == 0.0 { 0.0 } else { *n }).to_bits().hash(state),
            Self::Text(text) => collation::hash(text, state),
            Self::Binary(bytes) => {
                let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                bytes.get(..kept).hash(state);
            }
            Self::Date(days) => days.hash(state),
            Self::Time(ticks) => ticks.hash(state),
            Self::DateTime { days, ticks } => (days, ticks).hash(state),
            Self::SmallDateTime { days, minutes } => (days, minutes).hash(state),
            Self::DateTime2(moment) | Self::DateTimeOffset(moment, _) => moment.hash(state),
            Self::Uuid(id) => id.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_sorts_first_and_equals_itself() {
        assert!(Value::Null < Value::Int(i32::MIN));
        assert_eq!(Value::Null, Value::Null);
    }

    #[test]
    fn texts_compare_without_case_and_trailing_spaces() {
        assert_eq!(Value::text("Abc  "), Value::text("aBC"));
        assert!(Value::text("a") < Value::text("B"));
    }

    #[test]
    fn binaries_compare_without_trailing_zeros() {
        assert_eq!(Value::binary(&[1, 0, 0]), Value::binary(&[1]));
        assert!(Value::binary(&[1]) < Value::binary(&[1, 0, 1]));
    }

    #[test]
    fn uuids_sort_by_their_last_group() {
        let mut low = [0xff; 16];
        low[10] = 0;
        let mut high = [0; 16];
        high[10] = 1;
        assert!(Value::Uuid(low) < Value::Uuid(high));
    }
}
