//! Where in a source's log something happened.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in the log of one source: opaque to the core, totally ordered within one source, serialisable.
///
/// A connector builds positions so that `order` grows along the log *as this connector has followed it*: where the
/// log itself starts over (another server after a failover, a log reset), the connector raises an epoch in the
/// topmost bits. Equality and ordering look at `order` alone. Positions of different sources can't be compared
/// meaningfully.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Position {
    #[serde(with = "order_text")]
    order: u128,
    token: String,
}

impl Position {
    /// `order` as described above; `token` is what the connector needs to resume (shown to users, so readable).
    pub fn new(order: u128, token: impl Into<String>) -> Self {
        Self { order, token: token.into() }
    }

    /// The ordering key.
    pub fn order(&self) -> u128 {
        self.order
    }

    /// The connector's own text.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.token)
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Position {}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order.cmp(&other.order)
    }
}

/// JSON numbers end at 2^53 for many readers, so the key travels as hexadecimal text.
mod order_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(order: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{order:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
