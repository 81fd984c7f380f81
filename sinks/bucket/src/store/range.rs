//! Ranges of keys.

use std::ops::Bound;

/// In which order a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key up.
    Forward,
    /// From the largest key down.
    Backward,
}

/// A range of keys: from one, included, to another, excluded, or without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> KeyRange {
        KeyRange { start: Vec::new(), end: None }
    }

    /// The keys from `start`, included, to `end`, excluded. Empty if `end` isn't larger.
    pub fn between(start: &[u8], end: &[u8]) -> KeyRange {
        KeyRange { start: start.to_vec(), end: Some(end.to_vec()) }
    }

    /// The keys that begin with a prefix.
    pub fn prefix(prefix: &[u8]) -> KeyRange {
        KeyRange { start: prefix.to_vec(), end: successor_of_prefix(prefix) }
    }

    /// The same end, but not before `start`, which is included.
    pub fn starting_at(&self, start: &[u8]) -> KeyRange {
        KeyRange { start: start.max(&self.start).to_vec(), end: self.end.clone() }
    }

    /// The same end, but only what is larger than `key`.
    pub fn starting_after(&self, key: &[u8]) -> KeyRange {
        // No key lies between one and the same with a zero byte appended.
        let mut start = key.to_vec();
        start.push(0);
        self.starting_at(&start)
    }

    /// The same start, but only what is smaller than `end`.
    pub fn ending_before(&self, end: &[u8]) -> KeyRange {
        let end = match &self.end {
            Some(old) => end.min(old),
            None => end,
        };
        KeyRange { start: self.start.clone(), end: Some(end.to_vec()) }
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    /// Its bounds, as the standard library's and the engines' maps take them. Those panic on an empty range, so look
    /// at [`is_empty`](KeyRange::is_empty) first.
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = match &self.end {
            Some(end) => Bound::Excluded(end.as_slice()),
            None => Bound::Unbounded,
        };
        (Bound::Included(&self.start), end)
    }
}

/// The smallest key that is larger than every key with the prefix, if there is one.
fn successor_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        assert_eq!(KeyRange::prefix(b"ab"), KeyRange::between(b"ab", b"ac"));
        assert_eq!(KeyRange::prefix(&[1, 255, 255]), KeyRange::between(&[1, 255, 255], &[2]));
        assert_eq!(KeyRange::prefix(&[255]).end, None);
        assert_eq!(KeyRange::prefix(b""), KeyRange::all());
    }

    #[test]
    fn a_range_narrows_but_never_widens() {
        let range = KeyRange::between(b"b", b"f");
        assert_eq!(range.starting_at(b"a"), range);
        assert_eq!(range.ending_before(b"z"), range);
        assert_eq!(range.starting_after(b"c"), KeyRange::between(b"c\0", b"f"));
        assert_eq!(range.ending_before(b"d"), KeyRange::between(b"b", b"d"));
        assert!(range.starting_at(b"f").is_empty());
        assert!(!KeyRange::all().is_empty());
    }
}
