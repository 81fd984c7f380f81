//! Lines and columns of a text, to and from offsets.

use crate::fault::Place;

/// The lines of a text.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
    /// Lines of one byte a character need no counting.
    ascii: bool,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts, ascii: text.is_ascii() }
    }

    /// The place of the byte at `offset`.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        let column = if self.ascii { before.len() } else { before.chars().count() };
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Place { line: number(line), column: number(column.saturating_add(1)) }
    }

    /// The offset of a place; that of the text's end if it has no such place.
    pub(crate) fn offset(&self, line: u64, column: u64) -> usize {
        let index = |number: u64| usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let start = self.starts.get(index(line)).copied().unwrap_or(self.text.len());
        let column = index(column);
        if self.ascii {
            return start.saturating_add(column).min(self.text.len());
        }
        let rest = self.text.get(start..).unwrap_or_default();
        rest.char_indices().nth(column).map_or(self.text.len(), |(offset, _)| start + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_offsets_are_inverse() {
        for text in ["", "a", "ab\ncd\n", "\n\n", "é\r\nüb\n😀x"] {
            let lines = Lines::new(text);
            for (offset, _) in text.char_indices() {
                let place = lines.place(offset);
                assert_eq!(lines.offset(place.line.into(), place.column.into()), offset, "{text:?}");
            }
            assert_eq!(lines.offset(99, 1), text.len());
        }
        let place = Lines::new("é\r\nüb").place(6);
        assert_eq!((place.line, place.column), (2, 2));
    }
}
