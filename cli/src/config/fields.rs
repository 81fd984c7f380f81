//! Reads a map key by key and finds every fault in it: wrong kinds, missing keys, unknown keys.

use std::ops::RangeInclusive;
use std::path::Path;

use millstream_core::source::Severity;

use crate::config::document::{Entry, Node, Value};
use crate::config::environment::Environment;
use crate::config::fault::{Fault, Place, did_you_mean};

/// What reading a file needs at hand.
pub(crate) struct Reading<'a> {
    pub(crate) file: &'a Path,
    pub(crate) environment: &'a Environment,
    pub(crate) faults: &'a mut Vec<Fault>,
}

impl Reading<'_> {
    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>, suggestion: impl Into<String>) {
        self.faults.push(Fault::error(self.file, Some(place), message).suggest(suggestion));
    }

    /// How many errors there are so far.
    pub(crate) fn errors(&self) -> usize {
        self.faults.iter().filter(|fault| fault.severity == Severity::Error).count()
    }

    /// A value that is no map and no list, with `${NAME}` replaced.
    pub(crate) fn text(&mut self, key: &str, Node { place, value }: Node) -> Option<Placed<String>> {
        let value = match value {
            Value::Text(text) => self.environment.substitute(&text, self.file, place, self.faults),
            Value::Null | Value::List(_) | Value::Map(_) => {
                let found = value.kind();
                self.error(place, format!("`{key}` must be a text, not {found}"), "write one value on this line");
                return None;
            }
        };
        Some(Placed { value, place })
    }
}

/// A map whose keys are taken one after the other.
pub(crate) struct Fields {
    /// Of what: `source`, for messages.
    what: &'static str,
    place: Place,
    known: &'static [&'static str],
    entries: Vec<Entry>,
}

/// A text from the file and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl Fields {
    /// Takes a node apart; anything but a map is a fault. Unknown and repeated keys are faults at once.
    pub(crate) fn of(
        what: &'static str,
        known: &'static [&'static str],
        node: Node,
        reading: &mut Reading<'_>,
    ) -> Option<Self> {
        let Value::Map(entries) = node.value else {
            let found = node.value.kind();
            reading.error(
                node.place,
                format!("{what} must be a map of keys, not {found}"),
                format!("write keys and values here, of these: {}", known.join(", ")),
            );
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let suggestion = match did_you_mean(&entry.key, known) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("{what} has these keys: {}", known.join(", ")),
            };
            reading.error(entry.place, format!("{what} has no key `{}`", entry.key), suggestion);
        }
        Some(Self { what, place: node.place, known, entries })
    }

    /// The value of a key, if it is there and isn't empty.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Node> {
        debug_assert!(self.known.contains(&key), "{key} isn't among the known keys of {}", self.what);
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        let node = self.entries.swap_remove(index).node;
        (!matches!(node.value, Value::Null)).then_some(node)
    }

    /// The value of a key as [`Reading::text`] reads it.
    pub(crate) fn text(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Option<Placed<String>> {
        let node = self.take(key)?;
        reading.text(key, node)
    }

    /// As [`text`](Self::text); missing is a fault.
    pub(crate) fn required_text(
        &mut self,
        key: &'static str,
        example: &str,
        reading: &mut Reading<'_>,
    ) -> Option<Placed<String>> {
        let written = self.entries.iter().any(|entry| entry.key == key && !matches!(entry.node.value, Value::Null));
        if !written {
            reading.error(
                self.place,
                format!("{} has no `{key}`", self.what),
                format!("add it, for instance `{key}: {example}`"),
            );
        }
        self.text(key, reading)
    }

    /// A whole number, as many of a unit as the key's name says.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        reading: &mut Reading<'_>,
    ) -> Option<u64> {
        let text = self.text(key, reading)?;
        let number = text.value.parse::<u64>().ok().filter(|number| range.contains(number));
        if number.is_none() {
            reading.error(
                text.place,
                format!("`{key}` can't be `{}`", text.value),
                format!("write a whole number from {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    /// The items of a list; missing is no item.
    pub(crate) fn list(&mut self, key: &'static str, reading: &mut Reading<'_>) -> Vec<Node> {
        match self.take(key) {
            None => Vec::new(),
            Some(Node { value: Value::List(items), .. }) => items,
            Some(Node { place, value }) => {
                let found = value.kind();
                reading.error(
                    place,
                    format!("`{key}` must be a list, not {found}"),
                    "begin each item on a line of its own with `- `",
                );
                Vec::new()
            }
        }
    }

    /// Where the map begins.
    pub(crate) fn place(&self) -> Place {
        self.place
    }
}
