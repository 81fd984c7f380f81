//! Index keys as bytes that compare as their values do, so that an index is a set of byte strings.
//!
//! An entry is the key followed by the row's number, which makes equal keys different entries. Each column is encoded so
//! that no encoding is the beginning of another, so columns can follow one another; a descending column's bytes are
//! inverted.

use std::ops::Bound;

use crate::value::{Decimal, Moment, Value, collation};

use super::table::Row;

/// Where a row is. Numbers grow and aren't given again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowId(pub u64);

const ROW_ID_BYTES: usize = 8;

pub(super) type Entry = Box<[u8]>;

/// A column of an index key: where it is in a row, and what older rows have.
#[derive(Clone, Debug)]
pub(super) struct KeyPart {
    pub slot: usize,
    pub descending: bool,
    pub missing: Value,
}

/// The entry of a row.
pub(super) fn entry(parts: &[KeyPart], row: &Row, id: RowId) -> Entry {
    let mut bytes = prefix_of_row(parts, row);
    bytes.extend_from_slice(&id.0.to_be_bytes());
    bytes.into_boxed_slice()
}

/// The entry without the row's number.
pub(super) fn prefix_of_row(parts: &[KeyPart], row: &Row) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.len() * 12 + ROW_ID_BYTES);
    for part in parts {
        push(&mut bytes, row.get(part.slot).unwrap_or(&part.missing), part.descending);
    }
    bytes
}

/// The beginning of all entries whose first columns have these values.
pub(super) fn prefix_of_values(parts: &[KeyPart], values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * 12);
    for (part, value) in parts.iter().zip(values) {
        push(&mut bytes, value, part.descending);
    }
    bytes
}

/// The row that an entry is of.
pub(super) fn row_of(entry: &[u8]) -> RowId {
    let id = entry.len().checked_sub(ROW_ID_BYTES).and_then(|at| entry.get(at..));
    RowId(id.and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes))
}

/// Bounds of entries for bounds of key prefixes.
pub(super) fn bounds(
    parts: &[KeyPart],
    low: &Bound<Vec<Value>>,
    high: &Bound<Vec<Value>>,
) -> (Bound<Entry>, Bound<Entry>) {
    let whole = |values: &[Value]| prefix_of_values(parts, values).into_boxed_slice();
    let low = match low {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(values) => Bound::Included(whole(values)),
        Bound::Excluded(values) => after(whole(values)).map_or(Bound::Unbounded, Bound::Included),
    };
    let high = match high {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(values) => after(whole(values)).map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Excluded(values) => Bound::Excluded(whole(values)),
    };
    (low, high)
}

/// The first byte string beyond all that begin with `prefix`; none beyond 0xff bytes or nothing.
pub(super) fn after(prefix: Entry) -> Option<Entry> {
    let mut bytes = prefix.into_vec();
    while let Some(last) = bytes.pop() {
        if last < u8::MAX {
            bytes.push(last + 1);
            return Some(bytes.into_boxed_slice());
        }
    }
    None
}

const NULL: u8 = 0x01;
const PRESENT: u8 = 0x02;

fn push(bytes: &mut Vec<u8>, value: &Value, descending: bool) {
    let start = bytes.len();
    push_ascending(bytes, value);
    if descending {
        for byte in bytes.iter_mut().skip(start) {
            *byte = !*byte;
        }
    }
}

fn push_ascending(bytes: &mut Vec<u8>, value: &Value) {
    if value.is_null() {
        bytes.push(NULL);
        return;
    }
    bytes.push(PRESENT);
    match value {
        Value::Null => {}
        Value::Bit(_) | Value::TinyInt(_) | Value::SmallInt(_) | Value::Int(_) | Value::BigInt(_) => {
            push_integer(bytes, value.as_integer().unwrap_or(0));
        }
        Value::Money(n) => push_integer(bytes, *n),
        Value::Decimal(n) => push_decimal(bytes, *n),
        Value::Real(n) => push_float(bytes, f64::from(*n)),
        Value::Float(n) => push_float(bytes, *n),
        Value::Text(text) => collation::push_sort_key(text, bytes),
        Value::Binary(binary) => push_binary(bytes, binary),
        Value::Date(days) => push_integer(bytes, i64::from(*days)),
        Value::Time(ticks) => bytes.extend_from_slice(&ticks.to_be_bytes()),
        Value::DateTime { days, ticks } => {
            push_integer(bytes, i64::from(*days));
            bytes.extend_from_slice(&ticks.to_be_bytes());
        }
        Value::SmallDateTime { days, minutes } => {
            bytes.extend_from_slice(&days.to_be_bytes());
            bytes.extend_from_slice(&minutes.to_be_bytes());
        }
        Value::DateTime2(moment) | Value::DateTimeOffset(moment, _) => push_moment(bytes, *moment),
        Value::Uuid(id) => bytes.extend_from_slice(&crate::value::uuid_order(id)),
    }
}

/// The sign bit turned over puts negative numbers first.
fn push_integer(bytes: &mut Vec<u8>, n: i64) {
    bytes.extend_from_slice(&(n.cast_unsigned() ^ (1 << 63)).to_be_bytes());
}

/// All values of a column have its scale, so the units alone order them.
fn push_decimal(bytes: &mut Vec<u8>, n: Decimal) {
    bytes.extend_from_slice(&(n.units().cast_unsigned() ^ (1 << 127)).to_be_bytes());
}

fn push_float(bytes: &mut Vec<u8>, n: f64) {
    // Zero has two signs and one value.
    let bits = (if n == 0.0 { 0.0 } else { n }).to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) };
    bytes.extend_from_slice(&ordered.to_be_bytes());
}

fn push_moment(bytes: &mut Vec<u8>, moment: Moment) {
    push_integer(bytes, i64::from(moment.days));
    bytes.extend_from_slice(&moment.ticks.to_be_bytes());
}

/// Trailing zeros don't count. A zero within is followed by a mark, so that two zeros end the value.
fn push_binary(bytes: &mut Vec<u8>, binary: &[u8]) {
    let kept = binary.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in binary.iter().take(kept) {
        bytes.push(*byte);
        if *byte == 0 {
            bytes.push(0xff);
        }
    }
    bytes.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(values: &[Value], descending: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in values {
            push(&mut bytes, value, descending);
        }
        bytes
    }

    fn texts() -> impl Strategy<Value = Value> {
        "[ -~éÉß日]{0,6}".prop_map(|text| Value::text(&text))
    }

    fn binaries() -> impl Strategy<Value = Value> {
        proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xff), any::<u8>()], 0..5)
            .prop_map(|bytes| Value::binary(&bytes))
    }

    proptest! {
        #[test]
        fn bytes_compare_as_values_do(a in (texts(), binaries(), any::<i32>(), any::<f64>()), b in (texts(), binaries(), any::<i32>(), any::<f64>())) {
            let values = |(text, binary, n, float): (Value, Value, i32, f64)| vec![text, binary, Value::Int(n), Value::Float(float)];
            prop_assume!(!a.3.is_nan() && !b.3.is_nan());
            let (a, b) = (values(a), values(b));
            prop_assert_eq!(encoded(&a, false).cmp(&encoded(&b, false)), a.cmp(&b));
            prop_assert_eq!(encoded(&a, true).cmp(&encoded(&b, true)), b.cmp(&a));
        }
    }

    #[test]
    fn null_comes_first() {
        for value in [Value::Int(i32::MIN), Value::text(""), Value::binary(&[]), Value::Bit(false)] {
            assert!(encoded(&[Value::Null], false) < encoded(&[value], false));
        }
    }

    #[test]
    fn what_comes_after_a_prefix_is_beyond_all_that_begin_with_it() {
        let after = |bytes: &[u8]| after(bytes.into());
        assert_eq!(after(&[1, 2]).as_deref(), Some(&[1, 3][..]));
        assert_eq!(after(&[1, 0xff]).as_deref(), Some(&[2][..]));
        assert_eq!(after(&[0xff]), None);
    }
}
