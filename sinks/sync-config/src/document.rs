//! A YAML 1.2 file as a tree in which every node knows its place.
//!
//! Built from the parser's events rather than through serde: a typed reading stops at the first fault, and it forgets
//! how a scalar was quoted and folded, without which a place inside an SQL text can't be found again in the file.

use std::collections::HashMap;
use std::rc::Rc;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::fault::{Faults, Place};
use crate::scalar::Scalar;

/// Files beyond this are refused: a sync config is written by hand.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Deeper nesting than any config needs is refused, so that walking and dropping the tree needs no deep stack.
const NESTING_MAX: usize = 32;

/// One node of the tree.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Debug)]
pub enum Content {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Rc<Node>>),
    /// Keys with their values, in the order of the file.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            Content::Sequence(_) | Content::Mapping(_) => None,
        }
    }

    /// What the node is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Scalar(scalar) if scalar.is_null() => "nothing",
            Content::Scalar(_) => "a single value",
            Content::Sequence(_) => "a list",
            Content::Mapping(_) => "a mapping",
        }
    }
}

/// Reads a whole file. What isn't YAML ends up in `faults`; the result is then `None`, as it is for an empty file.
pub(crate) fn read(text: &str, faults: &mut Faults) -> Option<Rc<Node>> {
    if text.len() > FILE_BYTES_MAX {
        faults.error(Place::START, format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20), None);
        return None;
    }
    let mut tree = Tree { faults, text, root: None, open: Vec::new(), anchors: HashMap::new() };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => tree.event(event, span)?,
            Err(error) => {
                tree.faults.error(place(error.marker()), format!("this isn't YAML: {}", error.info()), None);
                return None;
            }
        }
    }
    tree.root
}

fn place(marker: &Marker) -> Place {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Place { line: number(marker.line().max(1)), column: number(marker.col().saturating_add(1)) }
}

/// A sequence or mapping that isn't closed yet.
struct Open {
    place: Place,
    anchor: usize,
    mapping: bool,
    children: Vec<Rc<Node>>,
}

struct Tree<'a> {
    faults: &'a mut Faults,
    text: &'a str,
    root: Option<Rc<Node>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
}

impl Tree<'_> {
    /// Takes the next event; `None` if reading on is pointless.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                let range = span.byte_range().unwrap_or_default();
                let source = self.text.get(range.clone()).unwrap_or_default();
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let scalar = Scalar::new(text.into_owned(), plain, style, range.start, source);
                self.add(Node { place: place(&span.start), content: Content::Scalar(scalar) }, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => self.begin(span, anchor, tag.as_deref(), false)?,
            Event::MappingStart(_, anchor, tag) => self.begin(span, anchor, tag.as_deref(), true)?,
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => self.add_shared(Rc::clone(node)),
                None => {
                    self.faults.error(place(&span.start), "an alias can't stand inside what it names", None);
                    return None;
                }
            },
            Event::DocumentStart(..) if self.root.is_some() => {
                self.faults.error(place(&span.start), "the file holds a second YAML document", None);
                return None;
            }
            _ => {}
        }
        Some(())
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag.filter(|tag| tag.is_custom()) {
            let at = span.tag_start().unwrap_or(span.start);
            self.faults.error(place(&at), format!("the tag `{}` has no meaning here", tag.original()), None);
        }
    }

    fn begin(&mut self, span: Span, anchor: usize, tag: Option<&Tag>, mapping: bool) -> Option<()> {
        self.refuse_tag(tag, &span);
        if self.open.len() >= NESTING_MAX {
            self.faults.error(place(&span.start), format!("nested more than {NESTING_MAX} levels deep"), None);
            return None;
        }
        self.open.push(Open { place: place(&span.start), anchor, mapping, children: Vec::new() });
        Some(())
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let content = if open.mapping {
            let mut children = open.children.into_iter();
            let mut entries = Vec::new();
            while let (Some(key), Some(value)) = (children.next(), children.next()) {
                entries.push((key, value));
            }
            Content::Mapping(entries)
        } else {
            Content::Sequence(open.children)
        };
        self.add(Node { place: open.place, content }, open.anchor);
    }

    fn add(&mut self, node: Node, anchor: usize) {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.add_shared(node);
    }

    fn add_shared(&mut self, node: Rc<Node>) {
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
    }
}
