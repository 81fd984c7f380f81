//! Fields of an answer's rows. One that isn't there, or has another type than was asked for, counts as NULL.

use tiberius::Row;

use crate::position::Lsn;

pub(crate) fn int(row: &Row, place: usize) -> Option<i32> {
    row.try_get(place).ok().flatten()
}

pub(crate) fn bigint(row: &Row, place: usize) -> Option<i64> {
    row.try_get(place).ok().flatten()
}

/// NULL as false.
pub(crate) fn bit(row: &Row, place: usize) -> bool {
    row.try_get(place).ok().flatten().unwrap_or_default()
}

/// NULL as an empty text.
pub(crate) fn text(row: &Row, place: usize) -> String {
    optional_text(row, place).unwrap_or_default()
}

pub(crate) fn optional_text(row: &Row, place: usize) -> Option<String> {
    row.try_get::<&str, _>(place).ok().flatten().map(str::to_owned)
}

pub(crate) fn lsn(row: &Row, place: usize) -> Option<Lsn> {
    row.try_get::<&[u8], _>(place).ok().flatten().and_then(Lsn::from_bytes)
}
