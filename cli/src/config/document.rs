//! A YAML document as a tree that knows its places, so that one reading finds every fault.
//!
//! Read as the sync config is. A single value is the text that stands in the file, whatever YAML would make of it: a
//! password may look like a number.

use std::path::Path;

use millstream_sync_config::yaml;

use crate::config::fault::{Fault, Place};

/// What aliases may make of a file at most; one that is written by hand has a hundred.
const NODES_MAX: usize = 10_000;

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
            Value::List(_) => "a list",
            Value::Map(_) => "a map of keys",
        }
    }
}

/// Reads a document. Bad YAML is one fault, as nothing after it can be trusted.
pub(crate) fn parse(text: &str, file: &Path) -> Result<Node, Fault> {
    let root = yaml::read(text, &file.display().to_string()).map_err(|fault| {
        let place = Place { line: fault.line.into(), column: fault.column.into() };
        Fault::error(file, Some(place), fault.message)
            .suggest("look at indentation, colons and quotes there and in the line before")
    })?;
    match root {
        Some(root) => Tree { file, nodes: 0 }.node(&root),
        None => Ok(Node { place: Place { line: 1, column: 1 }, value: Value::Null }),
    }
}

/// What is made of a file.
struct Tree<'a> {
    file: &'a Path,
    nodes: usize,
}

impl Tree<'_> {
    fn node(&mut self, node: &yaml::Node) -> Result<Node, Fault> {
        let place = place(node);
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > NODES_MAX {
            return Err(Fault::error(self.file, Some(place), format!("the file has more than {NODES_MAX} values")));
        }
        let value = match &node.content {
            yaml::Content::Scalar(scalar) if scalar.is_null() => Value::Null,
            yaml::Content::Scalar(scalar) => Value::Text(scalar.text.clone()),
            yaml::Content::Sequence(items) => {
                Value::List(items.iter().map(|item| self.node(item)).collect::<Result<_, _>>()?)
            }
            yaml::Content::Mapping(entries) => {
                let mut map: Vec<Entry> = Vec::new();
                for (key, value) in entries {
                    let entry = self.entry(key, value)?;
                    if map.iter().any(|before| before.key == entry.key) {
                        let message = format!("the key `{}` is there already", entry.key);
                        return Err(
                            Fault::error(self.file, Some(entry.place), message).suggest("leave one of them out")
                        );
                    }
                    map.push(entry);
                }
                Value::Map(map)
            }
        };
        Ok(Node { place, value })
    }

    fn entry(&mut self, key: &yaml::Node, value: &yaml::Node) -> Result<Entry, Fault> {
        let place = place(key);
        let yaml::Content::Scalar(name) = &key.content else {
            return Err(Fault::error(self.file, Some(place), format!("a key can't be {}", key.kind())));
        };
        Ok(Entry { key: name.text.clone(), place, node: self.node(value)? })
    }
}

fn place(node: &yaml::Node) -> Place {
    Place { line: node.place.line.into(), column: node.place.column.into() }
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
        assert!(matches!(&item[1].node.value, Value::Text(text) if text == "true"));
    }

    #[test]
    fn a_single_value_is_the_text_that_stands_there() {
        let written = ["0123", "1e3", "0x10", "12_3", "1.50", "+5", ".5", "0o17", "y", "no", "on", "True", ".nan", "1"];
        let Value::List(items) = read(&format!("[{}, '7', \"~\"]", written.join(", "))).value else { panic!() };
        let texts: Vec<&str> =
            items.iter().map(|item| if let Value::Text(text) = &item.value { text.as_str() } else { "" }).collect();
        assert_eq!(texts, [&written[..], &["7", "~"]].concat());
        let Value::List(items) = read("[~, null, ]").value else { panic!() };
        assert!(items.iter().all(|item| matches!(item.value, Value::Null)));
    }

    #[test]
    fn bad_yaml_is_one_fault_with_its_place() {
        for (text, place) in [("a: 1\nb: [1, 2\nc: 3\n", None), ("a: 1\na: 2\n", Some(Place { line: 2, column: 1 }))] {
            let fault = parse(text, Path::new("f.yaml")).unwrap_err();
            assert!(fault.place.is_some_and(|at| at.line >= 2 && place.is_none_or(|place| place == at)), "{fault}");
        }
        let bomb: String = (1..9)
            .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", ")))
            .collect();
        let fault = parse(&format!("a0: &a0 x\n{bomb}"), Path::new("f.yaml")).unwrap_err();
        assert!(fault.message.contains("more than"), "{fault}");
    }

    #[test]
    fn an_empty_file_is_nothing() {
        assert!(matches!(read("\n").value, Value::Null));
        assert!(matches!(read("# only a comment\n").value, Value::Null));
    }
}
