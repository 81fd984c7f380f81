//! What the source held after each transaction, and whether what a sink holds is one of those states.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use millstream_core::position::Position;

use super::memory_sink::LiveTables;
use super::model::{State, difference};

/// The states of the source, oldest first, each noted before the transaction that leads to it is executed.
pub(super) struct History {
    /// Whether all tables must be of one state, or each of its own.
    whole: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    states: Vec<State>,
    /// The oldest state that a checkpoint may be, by what it concerns: everything (the empty name), or one table.
    reached: Reached,
    /// The same as it was at each commit, for going back after a crash.
    reached_at: BTreeMap<u128, Reached>,
}

type Reached = BTreeMap<String, usize>;

impl History {
    pub(super) fn new(whole: bool) -> Self {
        let inner = Inner { states: vec![State::new()], ..Inner::default() };
        Self { whole, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, state: State) {
        self.inner().states.push(state);
    }

    pub(super) fn states(&self) -> Vec<State> {
        self.inner().states.clone()
    }

    pub(super) fn now(&self) -> State {
        self.inner().states.last().cloned().unwrap_or_default()
    }

    /// A sink goes on at this position, having forgotten what came after it.
    pub(super) fn go_back_to(&self, position: Option<&Position>) {
        let mut inner = self.inner();
        let order = position.map_or(0, Position::order);
        inner.reached_at.retain(|at, _| *at <= order);
        inner.reached = inner.reached_at.values().next_back().cloned().unwrap_or_default();
    }

    /// Whether the live tables hold what the source held at one moment, none before that of the last commit.
    ///
    /// The oldest state that fits is taken, as it leaves the most to those that follow: so if there is any sequence of
    /// states that fits all commits, one is found.
    pub(super) fn observe(&self, position: &Position, live: &LiveTables<'_>) -> Result<(), String> {
        let mut inner = self.inner();
        let found: BTreeMap<String, u64> =
            live.records().map(|record| (record.name.name.clone(), live.fingerprint(record.id))).collect();
        let scopes: Vec<(String, Vec<&String>)> = if self.whole {
            vec![(String::new(), found.keys().collect())]
        } else {
            found.keys().map(|name| (name.clone(), vec![name])).collect()
        };
        for (scope, tables) in scopes {
            let from = inner.reached.get(&scope).copied().unwrap_or(0);
            let fits = |state: &State| {
                tables
                    .iter()
                    .all(|table| state.get(*table).map(|content| content.fingerprint()) == found.get(*table).copied())
            };
            let Some(steps) = inner.states.iter().skip(from).position(fits) else {
                return Err(explain(position, live, &inner.states, from, &tables));
            };
            inner.reached.insert(scope, from + steps);
        }
        let reached = inner.reached.clone();
        inner.reached_at.insert(position.order(), reached);
        Ok(())
    }
}

/// Shows how the closest state differs.
fn explain(position: &Position, live: &LiveTables<'_>, states: &[State], from: usize, tables: &[&String]) -> String {
    let differences = |state: &State| -> Vec<String> {
        let records = live.records().filter(|record| tables.contains(&&record.name.name));
        records
            .filter_map(|record| match state.get(&record.name.name) {
                Some(content) => difference(content, &live.rows(record.id))
                    .map(|difference| format!("  {}: {difference}", record.name)),
                None => Some(format!("  {} doesn't exist in it\n", record.name)),
            })
            .collect()
    };
    let closest = states
        .iter()
        .enumerate()
        .skip(from)
        .map(|(index, state)| (index, differences(state)))
        .min_by_key(|(_, differences)| differences.iter().map(String::len).sum::<usize>());
    let (index, differences) = closest.unwrap_or_default();
    format!(
        "at {position} the live tables hold what the source never held after state {from} (of {}); \
         they are closest to state {index}:\n{}",
        states.len() - 1,
        differences.concat()
    )
}
