//! `LIKE` and `PATINDEX`: `%`, `_`, `[a-z]`, `[^a-z]`.

use std::cmp::Ordering;

use crate::value::collation;

#[derive(Debug)]
enum Symbol {
    Any,
    One,
    Set { members: Vec<(char, char)>, negated: bool },
    Exactly(char),
}

/// Whether trailing spaces of a text count: where text or pattern is Unicode they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trailing {
    Counts,
    Ignored,
}

/// Whether the whole text matches.
pub fn like(text: &str, pattern: &str, escape: Option<char>, trailing: Trailing) -> bool {
    let symbols = symbols(pattern, escape);
    let text: Vec<char> = text.chars().collect();
    if matches(&text, &symbols) {
        return true;
    }
    if trailing == Trailing::Counts {
        return false;
    }
    let trimmed = text.iter().rposition(|c| *c != ' ').map_or(0, |last| last + 1);
    trimmed < text.len() && text.get(..trimmed).is_some_and(|text| matches(text, &symbols))
}

/// Where a part of the text begins to match a pattern, from 1; 0 where none does.
pub fn position(text: &str, pattern: &str) -> usize {
    let anchored = !pattern.starts_with('%');
    let open_end = pattern.ends_with('%');
    let inner = pattern.strip_prefix('%').unwrap_or(pattern);
    let inner = if open_end { inner.strip_suffix('%').unwrap_or(inner) } else { inner };
    let mut symbols = symbols(inner, None);
    if open_end {
        symbols.push(Symbol::Any);
    }
    let text: Vec<char> = text.chars().collect();
    let starts = if anchored { 0..=0 } else { 0..=text.len() };
    starts
        .into_iter()
        .find(|start| text.get(*start..).is_some_and(|rest| matches(rest, &symbols)))
        .map_or(0, |start| start + 1)
}

fn symbols(pattern: &str, escape: Option<char>) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        symbols.push(match character {
            c if Some(c) == escape => match rest.next() {
                Some(escaped) => Symbol::Exactly(escaped),
                None => Symbol::Exactly(c),
            },
            '%' => Symbol::Any,
            '_' => Symbol::One,
            '[' => match set(&mut rest, escape) {
                Some(set) => set,
                None => Symbol::Exactly('['),
            },
            c => Symbol::Exactly(c),
        });
    }
    symbols
}

/// The set after `[`; None, with nothing taken, where it isn't closed.
fn set(rest: &mut std::str::Chars<'_>, escape: Option<char>) -> Option<Symbol> {
    let mut look = rest.clone();
    let negated = look.as_str().starts_with('^');
    if negated {
        look.next();
    }
    let mut members: Vec<(char, char)> = Vec::new();
    let mut first = true;
    loop {
        let mut character = look.next()?;
        if character == ']' && !first {
            break;
        }
        first = false;
        if Some(character) == escape {
            character = look.next()?;
        }
        let mut ahead = look.clone();
        if ahead.next() == Some('-')
            && let Some(end) = ahead.next()
            && end != ']'
        {
            members.push((character, end));
            look = ahead;
        } else {
            members.push((character, character));
        }
    }
    *rest = look;
    Some(Symbol::Set { members, negated })
}

/// Goes back to the last `%` alone where a match fails: what stands before it has matched already, and an earlier `%`
/// could only have taken more. So it takes at most text times pattern steps.
fn matches(text: &[char], symbols: &[Symbol]) -> bool {
    let (mut at, mut symbol) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match symbols.get(symbol) {
            Some(Symbol::Any) => {
                retry = Some((symbol + 1, at));
                symbol += 1;
                continue;
            }
            Some(wanted) if text.get(at).is_some_and(|c| one(*c, wanted)) => {
                at += 1;
                symbol += 1;
                continue;
            }
            None if at == text.len() => return true,
            _ => {}
        }
        let Some((after, from)) = retry else { return false };
        if from >= text.len() {
            return false;
        }
        retry = Some((after, from + 1));
        symbol = after;
        at = from + 1;
    }
}

fn one(character: char, symbol: &Symbol) -> bool {
    match symbol {
        Symbol::Any => false,
        Symbol::One => true,
        Symbol::Exactly(wanted) => collation::same_character(character, *wanted),
        Symbol::Set { members, negated } => {
            let within = |(from, to): &(char, char)| {
                collation::compare_characters(character, *from) != Ordering::Less
                    && collation::compare_characters(character, *to) != Ordering::Greater
            };
            members.iter().any(within) != *negated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_server_matches_them() {
        for (text, pattern, expected) in [
            ("abc", "a%", true),
            ("abc", "A_C", true),
            ("abc", "b%", false),
            ("", "%", true),
            ("a%c", "a[%]c", true),
            ("abc", "a[^x-z]c", true),
            ("a-c", "a[x-]c", true),
            ("aXbXc", "%x%x_", true),
            ("abc  ", "abc", true),
            ("dbo_t", "dbo[_]%", true),
        ] {
            assert_eq!(like(text, pattern, None, Trailing::Ignored), expected, "{text} {pattern}");
        }
        assert!(like("50%", "50!%", Some('!'), Trailing::Ignored));
        assert!(!like("abc  ", "abc", None, Trailing::Counts));
        assert!(like("abc  ", "abc%", None, Trailing::Counts));
        assert!(!like("50x", "50!%", Some('!'), Trailing::Ignored));
    }

    #[test]
    fn positions_count_from_one() {
        assert_eq!(position("abcdef", "%cd%"), 3);
        assert_eq!(position("abcdef", "%xx%"), 0);
        assert_eq!(position("abc", "a%"), 1);
        assert_eq!(position("abc", "%c"), 3);
    }
}
