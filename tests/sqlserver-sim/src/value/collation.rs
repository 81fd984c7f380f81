//! `SQL_Latin1_General_CP1_CI_AS`: the order of texts without regard to case, with regard to accents.
//!
//! Each character has a weight; texts compare weight by weight, and trailing spaces don't count. Letters with a mark
//! sort after the plain letter and before the next one. The server compares marks only after all base letters, so texts
//! that differ in a mark *and* later in a letter may sort otherwise here; equality, on which keys depend, agrees.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// Weights leave this many places for marks between one base letter and the next.
const MARKS: u32 = 64;

/// Compares two texts.
pub fn compare(a: &str, b: &str) -> Ordering {
    // Equal bytes need no weights, and most keys that meet are equal or differ late.
    let a = a.trim_end_matches(' ');
    let b = b.trim_end_matches(' ');
    let shared = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b && a.is_ascii()).count();
    let (Some(a), Some(b)) = (a.get(shared..), b.get(shared..)) else {
        return a.chars().map(weight).cmp(b.chars().map(weight));
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            // The shorter one counts as padded with spaces.
            (Some(a), None) => match weight(a).cmp(&weight(' ')) {
                Ordering::Equal => {}
                order => return order,
            },
            (None, Some(b)) => match weight(' ').cmp(&weight(b)) {
                Ordering::Equal => {}
                order => return order,
            },
            (Some(a), Some(b)) => match weight(a).cmp(&weight(b)) {
                Ordering::Equal => {}
                order => return order,
            },
        }
    }
}

/// Whether two texts are equal, trailing spaces not counting.
pub fn equal(a: &str, b: &str) -> bool {
    compare(a, b) == Ordering::Equal
}

/// Whether two single characters are equal, for `LIKE` and `REPLACE`.
pub fn same_character(a: char, b: char) -> bool {
    a == b || weight(a) == weight(b)
}

/// The order of two single characters, for the ranges of `LIKE`.
pub fn compare_characters(a: char, b: char) -> Ordering {
    weight(a).cmp(&weight(b))
}

/// A hash that agrees with [`equal`].
pub fn hash<H: Hasher>(text: &str, state: &mut H) {
    for character in text.trim_end_matches(' ').chars() {
        weight(character).hash(state);
    }
}

/// Bytes that compare as [`compare`] does, for texts without control characters; those that are equal have equal bytes,
/// and none are the beginning of another's.
pub fn push_sort_key(text: &str, bytes: &mut Vec<u8>) {
    // Weights of letters that aren't Latin don't fit in two bytes; they sort after all that do.
    let mut push = |weight: u32| match u16::try_from(weight) {
        Ok(weight) if weight < u16::MAX => bytes.extend_from_slice(&weight.to_be_bytes()),
        _ => {
            bytes.extend_from_slice(&u16::MAX.to_be_bytes());
            bytes.extend_from_slice(&weight.to_be_bytes());
        }
    };
    for character in text.trim_end_matches(' ').chars() {
        push(weight(character));
    }
    // The end counts as a space, and sorts before a space that more follows.
    push(weight(' '));
    bytes.extend_from_slice(&[0, 0]);
}

/// Names of objects compare like any text. In lower case they can be keys of maps.
pub fn folded(name: &str) -> String {
    name.to_lowercase()
}

fn weight(character: char) -> u32 {
    if character.is_ascii() {
        return ascii_weight(character.to_ascii_lowercase());
    }
    let lower = single_lowercase(character);
    match base_letter(lower) {
        Some((base, place)) => ascii_weight(base) + 1 + place,
        None => (0x1_0000 + u32::from(lower)) * MARKS,
    }
}

/// Blanks and punctuation, then digits, then letters.
fn ascii_weight(lower: char) -> u32 {
    let class = if lower.is_ascii_alphabetic() {
        0x300
    } else if lower.is_ascii_digit() {
        0x200
    } else {
        0x100
    };
    (class + u32::from(lower)) * MARKS
}

fn single_lowercase(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) => only,
        _ => character,
    }
}

/// Letters with a mark by the letter under it, in lower case: Latin-1 and Latin Extended-A.
const MARKED: &[(char, &str)] = &[
    ('a', "ªàáâãäåāăąæ"),
    ('c', "çćĉċč"),
    ('d', "ďđð"),
    ('e', "èéêëēĕėęě"),
    ('g', "ĝğġģ"),
    ('h', "ĥħ"),
    ('i', "ìíîïĩīĭįı"),
    ('j', "ĵ"),
    ('k', "ķ"),
    ('l', "ĺļľŀł"),
    ('n', "ñńņň"),
    ('o', "ºòóôõöøōŏőœ"),
    ('r', "ŕŗř"),
    ('s', "śŝşšß"),
    ('t', "ţťŧþ"),
    ('u', "ùúûüũūŭůűų"),
    ('w', "ŵ"),
    ('y', "ýÿŷ"),
    ('z', "źżž"),
];

/// The letter under the mark, and the mark's place among those of that letter.
fn base_letter(lower: char) -> Option<(char, u32)> {
    MARKED.iter().find_map(|(base, marked)| {
        let place = marked.chars().position(|own| own == lower)?;
        Some((*base, u32::try_from(place).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_trailing_spaces_do_not_count_and_marks_do() {
        assert!(equal("Straße", "STRAßE  "));
        assert!(equal("ÉCOLE", "école"));
        assert!(!equal("ecole", "école"));
        assert!(!equal(" a", "a"));
    }

    #[test]
    fn words_sort_as_in_a_dictionary() {
        let mut words = vec!["b", "_x", "Z", "é", "1", "a", "E", "f", " "];
        words.sort_by(|a, b| compare(a, b));
        assert_eq!(words, [" ", "_x", "1", "a", "b", "E", "é", "f", "Z"]);
    }

    #[test]
    fn a_shorter_text_counts_as_padded() {
        assert_eq!(compare("a", "a\u{1}"), Ordering::Greater);
        assert_eq!(compare("a", "ab"), Ordering::Less);
    }

    #[test]
    fn different_letters_with_marks_stay_different() {
        let letters: Vec<char> = ('à'..='ſ').filter(|letter| !matches!(letter, '÷')).collect();
        for a in &letters {
            for b in &letters {
                let same = single_lowercase(*a) == single_lowercase(*b);
                assert_eq!(weight(*a) == weight(*b), same, "{a} {b}");
            }
        }
    }
}
