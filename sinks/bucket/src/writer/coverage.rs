//! What of a table has been written since it was seen to be empty: rows elsewhere are new, without a look into the store.
//!
//! Kept as intervals of row keys that contain every key written, and may contain others: a key outside of all of them
//! has certainly not been written. When there are many, those with the least between them become one, so that what stays
//! open is the wide gaps: what the readers of a table's ranges haven't come to yet.

use std::collections::BTreeMap;
use std::ops::Bound;

/// How many intervals are kept.
const INTERVALS_MAX: usize = 1_024;

/// Intervals of row keys, both ends included, disjoint: last key by first key.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    intervals: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Coverage {
    /// Adds the keys from `first` to `last`. Gives whether none of them can have been added before.
    pub(super) fn add(&mut self, first: &[u8], last: &[u8]) -> bool {
        let (mut start, mut end) = (first.to_vec(), last.to_vec());
        let mut is_new = true;
        let upto_last = (Bound::Unbounded, Bound::Included(last));
        while let Some((other_start, other_end)) = self.intervals.range::<[u8], _>(upto_last).next_back() {
            if other_end.as_slice() < first {
                break;
            }
            is_new = false;
            let other_start = other_start.clone();
            if let Some(other_end) = self.intervals.remove(&other_start) {
                end = end.max(other_end);
            }
            start = start.min(other_start);
        }
        self.intervals.insert(start, end);
        if self.intervals.len() > INTERVALS_MAX {
            self.close_narrow_gaps();
        }
        is_new
    }

    /// Closes at least half of the gaps, the narrowest.
    fn close_narrow_gaps(&mut self) {
        let lowest = self.intervals.keys().next().cloned().unwrap_or_default();
        let highest = self.intervals.values().next_back().cloned().unwrap_or_default();
        let common = lowest.iter().zip(&highest).take_while(|(one, other)| one == other).count();
        let width = |from: &[u8], to: &[u8]| number_at(to, common).saturating_sub(number_at(from, common));
        let pairs = self.intervals.values().zip(self.intervals.keys().skip(1));
        let mut widths: Vec<u128> = pairs.map(|(end, start)| width(end, start)).collect();
        let middle = widths.len() / 2;
        let closed_max = *widths.select_nth_unstable(middle).1;

        let mut kept: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (start, end) in std::mem::take(&mut self.intervals) {
            match kept.last_mut() {
                Some((_, before)) if width(before, &start) <= closed_max => *before = end,
                _ => kept.push((start, end)),
            }
        }
        self.intervals = kept.into_iter().collect();
    }
}

/// The bytes of a key from a place on, as a number that orders like they do, so far as it goes.
fn number_at(key: &[u8], start: usize) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(key.iter().skip(start)).for_each(|(byte, from)| *byte = *from);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// As two readers of a table with numbers for keys bring them, in far more chunks than there is room for.
    #[test]
    fn chunks_of_ranges_stay_new() {
        let key = |number: u64| number.to_be_bytes();
        let mut coverage = Coverage::default();
        for chunk in 0..20_000 {
            for range in [0, 1_000_000] {
                let first = range + chunk * 20;
                assert!(coverage.add(&key(first), &key(first + 19)), "{first}");
                assert!(coverage.intervals.len() <= INTERVALS_MAX);
            }
        }
        assert!(!coverage.add(&key(7), &key(7)));
    }

    /// Against a set of keys: what is called new must be.
    #[test]
    fn what_has_been_written_is_never_called_new() {
        let seed =
            std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
        println!("MILLSTREAM_SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let (mut called_new, mut written_before) = (0, 0);
        for _ in 0..300 {
            let mut coverage = Coverage::default();
            let mut written = BTreeSet::new();
            for _ in 0..40 {
                let first: u8 = random.random_range(0..200);
                let last = random.random_range(first..(first + 30).min(200));
                let is_new = coverage.add(&[first], &[last]);
                let was_written = written.range(first..=last).next().is_some();
                assert!(!(is_new && was_written), "{first}..={last} in {written:?}");
                called_new += u32::from(is_new);
                written_before += u32::from(was_written);
                written.extend(first..=last);
                if random.random_bool(0.05) && coverage.intervals.len() > 1 {
                    coverage.close_narrow_gaps();
                }
                let ends: Vec<_> = coverage.intervals.iter().collect();
                assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ends:?}");
            }
        }
        assert!(called_new > 200 && written_before > 200);
    }
}
