//! A YAML document as a tree that knows its places, so that one reading finds every fault.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::config::fault::{Fault, Place};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Text(String),
    Bool(bool),
    Integer(i64),
    Real(f64),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Value {
    /// What kind of value this is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Text(_) => "a text",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Real(_) => "a number",
            Value::List(_) => "a list",
            Value::Map(_) => "a map of keys",
        }
    }
}

/// Reads a document. Bad YAML is one fault, as nothing after it can be trusted.
pub(crate) fn parse(text: &str, file: &Path) -> Result<Node, Fault> {
    let begin = Place { line: 1, column: 1 };
    if text.trim().is_empty() {
        return Ok(Node { place: begin, value: Value::Null });
    }
    serde_saphyr::from_str::<Node>(text).map_err(|error| {
        let error = error.without_snippet();
        let place = error.location().map(|location| Place { line: location.line(), column: location.column() });
        // The place is told once, in the form that editors understand.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message).to_owned();
        Fault::error(file, place, format!("this isn't valid YAML: {message}"))
            .suggest("look at indentation, colons and quotes there and in the line before")
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node { place: place(&spanned), value: spanned.value })
    }
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    Place { line: spanned.referenced.line(), column: spanned.referenced.column() }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Real(value as f64), Value::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Real(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = items.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            map.push(Entry { place: place(&key), key: key.value, node: entries.next_value()? });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Node {
        parse(text, Path::new("f.yaml")).unwrap()
    }

    #[test]
    fn every_node_and_key_knows_its_place() {
        let Value::Map(entries) = read("a: 1\nlist:\n  - name: x\n    on: true\n").value else { panic!() };
        assert_eq!(entries[0].place, Place { line: 1, column: 1 });
        assert_eq!(entries[0].node.place, Place { line: 1, column: 4 });
        let Value::List(items) = &entries[1].node.value else { panic!() };
        let Value::Map(item) = &items[0].value else { panic!() };
        assert_eq!(item[1].place, Place { line: 4, column: 5 });
        assert!(matches!(item[1].node.value, Value::Bool(true)));
    }

    #[test]
    fn scalars_keep_their_kind() {
        let Value::List(items) = read("[1, 1.5, x, ~, '7']").value else { panic!() };
        let kinds: Vec<_> = items.iter().map(|item| item.value.kind()).collect();
        assert_eq!(kinds, ["a number", "a number", "a text", "nothing", "a text"]);
    }

    #[test]
    fn bad_yaml_is_one_fault_with_its_place() {
        let fault = parse("a: 1\nb: [1, 2\nc: 3\n", Path::new("f.yaml")).unwrap_err();
        assert!(fault.place.is_some_and(|place| place.line >= 2), "{fault}");
        assert!(fault.message.starts_with("this isn't valid YAML: "), "{fault}");
    }

    #[test]
    fn an_empty_file_is_nothing() {
        assert!(matches!(read("\n").value, Value::Null));
        assert!(matches!(read("# only a comment\n").value, Value::Null));
    }
}
