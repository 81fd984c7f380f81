//! A client's request: who asks, with which token and which parameters.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use crate::expression::{EvaluationError, Scope};
use crate::names::ElementLeaf;
use crate::value::Value;

/// What parameter queries may know about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    user_id: String,
    jwt: String,
    parameters: String,
    token_parameters: String,
}

impl Request {
    /// A request by `user_id` (the token's subject), with all claims of its token and the parameters that the client
    /// sent along. The claims must have been verified.
    pub fn new(user_id: impl Into<String>, jwt: Map<String, Json>, parameters: Map<String, Json>) -> Self {
        let user_id = user_id.into();
        let mut token_parameters = match jwt.get("parameters") {
            Some(Json::Object(nested)) => nested.clone(),
            _ => Map::new(),
        };
        token_parameters.insert("user_id".to_owned(), Json::String(user_id.clone()));
        Self {
            user_id,
            jwt: Json::Object(jwt).to_string(),
            parameters: Json::Object(parameters).to_string(),
            token_parameters: Json::Object(token_parameters).to_string(),
        }
    }
}

/// A fact about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestLeaf {
    UserId,
    /// The token's claims, as JSON text.
    Jwt,
    /// What the client sent, as JSON text: not to be trusted.
    Parameters,
    /// The older set: the claim `parameters`, with `user_id` added.
    TokenParameters,
}

impl Scope<RequestLeaf> for Request {
    fn value<'s>(&'s self, leaf: &'s RequestLeaf) -> Value<'s> {
        let text = match leaf {
            RequestLeaf::UserId => &self.user_id,
            RequestLeaf::Jwt => &self.jwt,
            RequestLeaf::Parameters => &self.parameters,
            RequestLeaf::TokenParameters => &self.token_parameters,
        };
        Value::Text(Cow::Borrowed(text))
    }
}

/// A request together with one element of the array that `json_each` walks over.
pub(crate) struct ElementScope<'r> {
    pub(crate) request: &'r Request,
    pub(crate) key: Value<'static>,
    pub(crate) value: Value<'static>,
}

impl Scope<ElementLeaf> for ElementScope<'_> {
    fn value<'s>(&'s self, leaf: &'s ElementLeaf) -> Value<'s> {
        match leaf {
            ElementLeaf::Request(leaf) => self.request.value(leaf),
            ElementLeaf::Key => self.key.borrow(),
            ElementLeaf::Value => self.value.borrow(),
        }
    }
}

/// A bucket that a request may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketName {
    /// Its name: the definition's and its parameters as a JSON array, `by_user["u1"]`.
    pub name: String,
    /// 0 to 3; lower ones go first.
    pub priority: u8,
}

/// A request that a parameter query can't be evaluated for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bucket definition `{definition}`, parameter query {query}: {error}")]
pub struct RequestFault {
    /// The bucket definition's name.
    pub definition: String,
    /// Which of its parameter queries, counted from 1.
    pub query: usize,
    /// What failed.
    pub error: EvaluationError,
}
