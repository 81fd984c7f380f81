//! The selected tables as the stream knows them at its place.

use std::collections::BTreeMap;
use std::time::Instant;

use millstream_core::schema::TableName;
use millstream_core::source::Catalog;

use crate::capture::origin::Origin;
use crate::capture::plan::Following;

/// What is known of one table.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Its changes are read.
    Followed(Following),
    /// It can't be followed; the reason has been told, unless it is empty.
    Held {
        /// Why.
        reason: String,
        /// Not before this moment it is tried again; `None` if as soon as the catalog says it is possible.
        not_before: Option<Instant>,
    },
}

/// All tables that are selected and exist, as far as is known, with what it takes to go back to the last place that was
/// handed over.
#[derive(Debug)]
pub(super) struct Tables {
    standings: BTreeMap<TableName, Standing>,
    undo: Vec<(TableName, Option<Standing>)>,
    /// So much of what could be undone is of whole transactions.
    rested: usize,
}

impl Tables {
    /// As the stream's consumer has them.
    pub(super) fn new(catalog: &Catalog) -> Self {
        let standing = |schema: &Option<std::sync::Arc<millstream_core::schema::TableSchema>>| {
            let origin = schema.as_ref().and_then(|schema| schema.origin.as_deref()?.parse::<Origin>().ok());
            match (schema, origin) {
                (Some(schema), Some(origin)) => {
                    Standing::Followed(Following { origin, schema: std::sync::Arc::clone(schema) })
                }
                _ => Standing::Held { reason: String::new(), not_before: None },
            }
        };
        let standings = catalog.tables.iter().map(|(name, schema)| (name.clone(), standing(schema))).collect();
        Self { standings, undo: Vec::new(), rested: 0 }
    }

    pub(super) fn get(&self, name: &TableName) -> Option<&Standing> {
        self.standings.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&TableName, &Standing)> {
        self.standings.iter()
    }

    /// From here on a table stands so; `None` if it isn't there.
    pub(super) fn set(&mut self, name: &TableName, standing: Option<Standing>) {
        let before = match standing {
            Some(standing) => self.standings.insert(name.clone(), standing),
            None => self.standings.remove(name),
        };
        self.undo.push((name.clone(), before));
    }

    /// No transaction is open here.
    pub(super) fn rest(&mut self) {
        self.rested = self.undo.len();
    }

    /// Everything up to the last rest has been handed over.
    pub(super) fn handed_over(&mut self) {
        self.undo.drain(..self.rested.min(self.undo.len()));
        self.rested = 0;
    }

    /// Goes back to what was handed over last.
    pub(super) fn take_back(&mut self) {
        for (name, before) in std::mem::take(&mut self.undo).into_iter().rev() {
            match before {
                Some(standing) => self.standings.insert(name, standing),
                None => self.standings.remove(&name),
            };
        }
        self.rested = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(reason: &str) -> Option<Standing> {
        Some(Standing::Held { reason: reason.into(), not_before: None })
    }

    fn shown(tables: &Tables) -> Vec<String> {
        let reason = |standing: &Standing| match standing {
            Standing::Held { reason, .. } => reason.clone(),
            Standing::Followed(_) => "followed".to_owned(),
        };
        tables.iter().map(|(name, standing)| format!("{} {}", name.name, reason(standing))).collect()
    }

    #[test]
    fn what_wasn_t_handed_over_is_taken_back() {
        let mut tables = Tables::new(&Catalog::default());
        let name = |name: &str| TableName::new("dbo", name);
        tables.set(&name("a"), held("1"));
        tables.set(&name("b"), held("1"));
        tables.rest();
        tables.set(&name("a"), held("2"));
        tables.set(&name("b"), None);
        tables.set(&name("c"), held("1"));
        tables.handed_over();
        assert_eq!(shown(&tables), ["a 2", "c 1"]);
        tables.take_back();
        assert_eq!(shown(&tables), ["a 1", "b 1"]);
        tables.set(&name("a"), held("3"));
        tables.take_back();
        assert_eq!(shown(&tables), ["a 1", "b 1"]);
    }
}
