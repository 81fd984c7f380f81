//! Parts of sorted writes between which there is much room.
//!
//! The readers of a table's ranges bring rows of several places side by side. Were they ingested as one table of the
//! engine, it would span all that lies between, where later tables belong: the tables would overlap, and would be merged
//! again and again. As a table for each place they never overlap, and are only moved.

use crate::store::batch::BatchEntry;

/// A gap is wide if it is more than this part of the whole.
const WIDE: u128 = 8;

/// Cuts writes, sorted by their keys, at wide gaps between them: into less than [`WIDE`] + 1 parts.
pub(super) fn clusters<'e, 'b>(entries: &'e [BatchEntry<'b>]) -> impl Iterator<Item = &'e [BatchEntry<'b>]> {
    let first = entries.first().map_or(&[][..], |entry| entry.key);
    let last = entries.last().map_or(&[][..], |entry| entry.key);
    let common = first.iter().zip(last).take_while(|(one, other)| one == other).count();
    let wide = number_at(last, common).saturating_sub(number_at(first, common)) / WIDE;
    entries.chunk_by(move |one, next| number_at(next.key, common).saturating_sub(number_at(one.key, common)) <= wide)
}

/// The bytes of a key from a place on, as a number that orders like they do, so far as it goes.
fn number_at(key: &[u8], start: usize) -> u128 {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(key.iter().skip(start)).for_each(|(byte, from)| *byte = *from);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Keyspace;

    fn cut(numbers: &[u64]) -> Vec<usize> {
        let keys: Vec<_> = numbers.iter().map(|number| number.to_be_bytes()).collect();
        let entries: Vec<_> =
            keys.iter().map(|key| BatchEntry { keyspace: Keyspace::Rows, key, value: Some(b"") }).collect();
        clusters(&entries).map(<[_]>::len).collect()
    }

    #[test]
    fn rows_of_two_places_are_two_parts() {
        let numbers: Vec<u64> = (0..1_000).chain(50_000..51_000).collect();
        assert_eq!(cut(&numbers), [1_000, 1_000]);
    }

    #[test]
    fn rows_of_one_place_stay_together() {
        assert_eq!(cut(&(0..1_000).collect::<Vec<_>>()), [1_000]);
        assert_eq!(cut(&[5]), [1]);
        assert_eq!(cut(&(0..64).map(|row| row * 1_000).collect::<Vec<_>>()), [64]);
        assert_eq!(cut(&[]), Vec::<usize>::new());
    }

    #[test]
    fn there_are_few_parts_whatever_the_keys() {
        let numbers: Vec<u64> = (0..64).map(|power| 1 << power).collect();
        assert!(cut(&numbers).len() <= WIDE as usize);
    }
}
