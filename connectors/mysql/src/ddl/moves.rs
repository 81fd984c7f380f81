//! Names that go from one column to another within a single statement.
//!
//! Shapes are compared by the columns' names. After `DROP COLUMN a, ADD COLUMN a INT`, or after `RENAME COLUMN a TO b,
//! RENAME COLUMN b TO a`, the shape may be what it was while no value is: so a statement that takes a name from a column
//! and gives that name to another is said to replace rows.

use std::collections::BTreeSet;

use super::cursor::Cursor;

/// The names of columns that one statement takes away and gives; lower case, as columns' names compare so.
#[derive(Debug, Default)]
pub(super) struct Moves {
    taken: BTreeSet<String>,
    given: BTreeSet<String>,
    unreadable: bool,
}

impl Moves {
    /// Whether a name may denote another column after the statement.
    pub(super) fn reuse_a_name(&self) -> bool {
        let moving = !self.taken.is_empty() || !self.given.is_empty();
        !self.taken.is_disjoint(&self.given) || (self.unreadable && moving)
    }

    /// Behind DROP: `[COLUMN] [IF EXISTS] name`.
    pub(super) fn dropped(&mut self, mut cursor: Cursor<'_>) {
        cursor.eat("COLUMN");
        cursor.eat_if_exists();
        let name = column(&mut cursor);
        self.take(name);
    }

    /// Behind ADD: `[COLUMN] [IF NOT EXISTS] name ...`, or several between parentheses.
    pub(super) fn added(&mut self, mut cursor: Cursor<'_>) {
        cursor.eat("COLUMN");
        cursor.eat_if_exists();
        if !cursor.eat_symbol('(') {
            let name = column(&mut cursor);
            return self.give(name);
        }
        loop {
            let name = column(&mut cursor);
            self.give(name);
            let mut depth = 0_usize;
            loop {
                if depth == 0 && (cursor.at_symbol(',') || cursor.at_symbol(')')) {
                    break;
                }
                depth += usize::from(cursor.at_symbol('('));
                depth -= usize::from(cursor.at_symbol(')'));
                if cursor.bump().is_none() {
                    return;
                }
            }
            if !cursor.eat_symbol(',') {
                return;
            }
        }
    }

    /// Behind RENAME COLUMN or CHANGE: `[COLUMN] [IF EXISTS] name [TO] name`.
    pub(super) fn renamed(&mut self, mut cursor: Cursor<'_>) {
        cursor.eat("COLUMN");
        cursor.eat_if_exists();
        let from = column(&mut cursor);
        cursor.eat("TO");
        let to = column(&mut cursor);
        if from.is_none() || from != to {
            self.take(from);
            self.give(to);
        }
    }

    fn take(&mut self, name: Option<String>) {
        self.unreadable |= name.is_none();
        self.taken.extend(name);
    }

    fn give(&mut self, name: Option<String>) {
        self.unreadable |= name.is_none();
        self.given.extend(name);
    }
}

/// Takes a column's name.
fn column(cursor: &mut Cursor<'_>) -> Option<String> {
    let name = cursor.peek()?.as_name(false)?.to_lowercase();
    cursor.bump();
    Some(name)
}
