//! The right side of `->`, `->>` and `json_extract`.

use serde_json::Value as Json;

use crate::expression::EvaluationError;
use crate::value::Value;

/// How the operators read a path and JSON's null: the `fixed_json_extract` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// Edition 1: a path is cut at every point, with or without `$.` before it, and JSON's null is the text `null`.
    CutAlways,
    /// From edition 2: only what starts with `$` is a path, anything else one key, and JSON's null is NULL.
    OneKey,
}

impl Quoting {
    pub(crate) fn json_null(self) -> Value<'static> {
        match self {
            Quoting::CutAlways => Value::text("null"),
            Quoting::OneKey => Value::Null,
        }
    }
}

/// The steps from a document to an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    /// Counted from the end; 1 is the last.
    FromEnd(usize),
}

impl JsonPath {
    /// The path to one key of the document.
    pub(crate) fn key(name: String) -> Self {
        JsonPath(vec![Step::Key(name)])
    }

    /// The path that the right operand of `->` or `->>` stands for; `None` for NULL.
    pub(crate) fn of_operand(operand: &Value<'_>, quoting: Quoting) -> Result<Option<Self>, EvaluationError> {
        Ok(match operand {
            Value::Null => None,
            Value::Int(index) => {
                let distance = usize::try_from(index.unsigned_abs()).map_err(|_| EvaluationError::BadPath)?;
                Some(JsonPath(vec![if *index < 0 { Step::FromEnd(distance) } else { Step::Index(distance) }]))
            }
            other => match other.to_text() {
                Some(text) => Some(Self::of_text(&text, quoting)?),
                None => None,
            },
        })
    }

    fn of_text(text: &str, quoting: Quoting) -> Result<Self, EvaluationError> {
        match quoting {
            Quoting::CutAlways => {
                let keys = text.strip_prefix("$.").unwrap_or(text);
                Ok(JsonPath(keys.split('.').map(|key| Step::Key(key.to_owned())).collect()))
            }
            Quoting::OneKey if text == "$" || text.starts_with("$.") || text.starts_with("$[") => {
                Self::of_extract(text)
            }
            Quoting::OneKey => Ok(JsonPath(vec![Step::Key(text.to_owned())])),
        }
    }

    /// The path that `json_extract` is given: `$`, then any number of `.key`, `."key"`, `[3]` and `[#-1]`.
    pub(crate) fn of_extract(text: &str) -> Result<Self, EvaluationError> {
        let mut rest = text.strip_prefix('$').ok_or(EvaluationError::BadPath)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('.') {
                Some(key) => Self::key_step(key),
                None => Self::index_step(rest),
            }
            .ok_or(EvaluationError::BadPath)?;
            steps.push(step);
            rest = after;
        }
        Ok(JsonPath(steps))
    }

    fn key_step(text: &str) -> Option<(Step, &str)> {
        if let Some(quoted) = text.strip_prefix('"') {
            let (key, after) = quoted.split_once('"')?;
            return Some((Step::Key(key.to_owned()), after));
        }
        let end = text.find(['.', '[']).unwrap_or(text.len());
        let (key, after) = text.split_at(end);
        (!key.is_empty()).then(|| (Step::Key(key.to_owned()), after))
    }

    fn index_step(text: &str) -> Option<(Step, &str)> {
        let (inside, after) = text.strip_prefix('[')?.split_once(']')?;
        let step = match inside.strip_prefix("#-") {
            Some(distance) => Step::FromEnd(distance.parse().ok()?),
            None => Step::Index(inside.parse().ok()?),
        };
        Some((step, after))
    }

    /// The element of `document` that the path leads to.
    pub(crate) fn find<'j>(&self, document: &'j Json) -> Option<&'j Json> {
        self.0.iter().try_fold(document, |element, step| match (step, element) {
            (Step::Key(key), Json::Object(entries)) => entries.get(key),
            // A number in a path may be written as a key.
            (Step::Key(key), Json::Array(items)) => items.get(key.parse::<usize>().ok()?),
            (Step::Index(index), Json::Array(items)) => items.get(*index),
            (Step::FromEnd(distance), Json::Array(items)) => items.get(items.len().checked_sub(*distance)?),
            _ => None,
        })
    }
}
