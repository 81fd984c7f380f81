//! A database in memory, with a log, that lags, loses connections and forgets its past.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use millstream_core::change::{Commit, Delivery, Event, RowChange, RowChanges};
use millstream_core::error::SourceError;
use millstream_core::position::Position;
use millstream_core::row::RowBatch;
use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};
use millstream_core::schema_change::{SchemaChange, SchemaChangeKind};
use millstream_core::selection::Selection;
use millstream_core::source::*;
use millstream_core::value::ValueRef;

/// A table's rows: id and value. In a table without a key several may be equal.
pub type Rows = Vec<(i64, i64)>;

/// All tables at one place of the log.
pub type State = BTreeMap<TableName, (Arc<TableSchema>, Rows)>;

#[derive(Default)]
struct Log {
    entries: Vec<Vec<Event>>,
    /// The state after each entry, and the one before all of them.
    states: Vec<State>,
    /// Entries below this have been purged.
    purged: usize,
}

pub struct SimulatedSource {
    log: Mutex<Log>,
    random: Mutex<StdRng>,
    faults: bool,
    hidden: Mutex<BTreeSet<TableName>>,
    remarks: Mutex<Remarks>,
    discoveries: AtomicUsize,
    read_faults: Mutex<BTreeMap<TableName, ReadFault>>,
    reads: AtomicUsize,
}

/// What a table answers instead of its rows.
#[derive(Debug, Clone, Copy)]
pub enum ReadFault {
    /// Nobody may read it.
    Refused,
    /// Every connection that reads it breaks.
    Lost,
    /// It isn't as its schema says, though no statement made it so.
    Unexpected,
}

pub fn schema(name: &str, kind: IdentityKind, revision: usize) -> Arc<TableSchema> {
    let column = |name: String| Column {
        name,
        source_type: "bigint".into(),
        nullable: false,
        collation: None,
        generated: None,
        default: None,
    };
    let columns = vec![column("id".into()), column(format!("value{revision}"))];
    let identity = match kind {
        IdentityKind::WholeRow => vec![0, 1],
        _ => vec![0],
    };
    Arc::new(TableSchema {
        table: TableName::new("shop", name),
        columns,
        identity: Identity { kind, columns: identity },
        origin: None,
    })
}

fn position(index: usize) -> Position {
    Position::new(index as u128, format!("entry {index}"))
}

fn push(batch: &mut RowBatch, (id, value): (i64, i64)) {
    batch.push(ValueRef::Int(id)).unwrap();
    batch.push(ValueRef::Int(value)).unwrap();
}

impl SimulatedSource {
    pub fn new(seed: u64, faults: bool, tables: State) -> Self {
        let log = Log { entries: Vec::new(), states: vec![tables], purged: 0 };
        let random = Mutex::new(StdRng::seed_from_u64(seed ^ 0x5eed));
        Self {
            log: Mutex::new(log),
            random,
            faults,
            hidden: Mutex::default(),
            remarks: Mutex::default(),
            discoveries: AtomicUsize::new(0),
            read_faults: Mutex::default(),
            reads: AtomicUsize::new(0),
        }
    }

    /// From now on these tables, and no others, can't be seen.
    pub fn hide(&self, tables: &[TableName]) {
        *self.hidden.lock().unwrap() = tables.iter().cloned().collect();
    }

    /// What it has to say of itself from now on.
    pub fn remark(&self, remarks: Remarks) {
        *self.remarks.lock().unwrap() = remarks;
    }

    /// What reads of a table meet from now on.
    pub fn fail_reads(&self, table: &TableName, fault: Option<ReadFault>) {
        let mut faults = self.read_faults.lock().unwrap();
        match fault {
            Some(fault) => faults.insert(table.clone(), fault),
            None => faults.remove(table),
        };
    }

    /// How often somebody has tried to read a table.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// How often somebody has asked which tables there are.
    pub fn discoveries(&self) -> usize {
        self.discoveries.load(Ordering::Relaxed)
    }

    /// Forgets all of the log, also what is still to come.
    pub fn lose_for_ever(&self) {
        self.log.lock().unwrap().purged = usize::MAX;
    }

    /// The state at a position.
    pub fn state_at(&self, position: &Position) -> State {
        self.log.lock().unwrap().states[position.order() as usize].clone()
    }

    pub fn now(&self) -> State {
        self.log.lock().unwrap().states.last().unwrap().clone()
    }

    /// Commits a transaction: what it leaves, and what the log shows of it.
    pub fn commit(&self, state: State, events: Vec<Event>) {
        let mut log = self.log.lock().unwrap();
        log.entries.push(events);
        log.states.push(state);
    }

    /// Forgets all of the log so far.
    pub fn purge(&self) {
        let mut log = self.log.lock().unwrap();
        log.purged = log.entries.len();
    }

    fn chance(&self, probability: f64) -> bool {
        self.random.lock().unwrap().random_bool(probability)
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.random.lock().unwrap().random_range(0..20))
    }

    fn fail_sometimes(&self, probability: f64) -> Result<(), SourceError> {
        if self.faults && self.chance(probability) {
            return Err(SourceError::transient("simulating", "a lost connection"));
        }
        Ok(())
    }

    fn head_index(&self) -> usize {
        self.log.lock().unwrap().entries.len()
    }
}

/// A change of one row, as the log shows it.
pub fn row_event(schema: &Arc<TableSchema>, changes: &[(RowChange, (i64, i64))]) -> Event {
    let mut event = RowChanges::new(Arc::clone(schema));
    for (change, row) in changes {
        push(&mut event.rows, *row);
        event.changes.push(*change);
    }
    Event::Rows(event)
}

pub fn schema_event(table: &TableName, kind: SchemaChangeKind) -> Event {
    Event::Schema(SchemaChange { table: table.clone(), kind, statement: None, at_ms: 0 })
}

/// The source as a connector: a handle, as the stream must own one.
pub struct Connector(pub Arc<SimulatedSource>);

#[async_trait]
impl SourceConnector for Connector {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    async fn check(&self, _: &Selection) -> Result<Vec<Problem>, SourceError> {
        Ok(Vec::new())
    }

    async fn discover(&self, _: &Selection) -> Result<Discovery, SourceError> {
        self.0.fail_sometimes(0.1)?;
        let log = self.0.log.lock().unwrap();
        self.0.discoveries.fetch_add(1, Ordering::Relaxed);
        let hidden = self.0.hidden.lock().unwrap();
        let schemas = log.states.last().unwrap().values().map(|(schema, _)| Arc::clone(schema));
        let tables = schemas.filter(|schema| !hidden.contains(&schema.table)).collect();
        Ok(Discovery { tables, position: position(log.entries.len()) })
    }

    async fn hidden(&self, tables: &[TableName]) -> Result<Vec<HiddenTable>, SourceError> {
        let hidden = self.0.hidden.lock().unwrap();
        let told = |table: &TableName| HiddenTable {
            table: table.clone(),
            reason: "it is hidden".into(),
            remedy: Some("Show it".into()),
        };
        Ok(tables.iter().filter(|table| hidden.contains(table)).map(told).collect())
    }

    fn remarks(&self) -> Remarks {
        self.0.remarks.lock().unwrap().clone()
    }

    async fn head(&self) -> Result<Position, SourceError> {
        self.0.fail_sometimes(0.02)?;
        Ok(position(self.0.head_index()))
    }

    async fn bytes_between(&self, _: &Position, _: &Position) -> Result<Option<u64>, SourceError> {
        Ok(None)
    }

    async fn stream(&self, from: &Position, _: Catalog) -> Result<DeliveryStream, SourceError> {
        let from = from.order() as usize;
        if from < self.0.log.lock().unwrap().purged {
            return Err(SourceError::PositionLost { position: from.to_string(), reason: "purged".into() });
        }
        let source = Arc::clone(&self.0);
        let deliveries = futures::stream::unfold((source, from, false), |(source, index, half)| async move {
            tokio::time::sleep(source.pause()).await;
            if let Err(error) = source.fail_sometimes(0.02) {
                return Some((Err(error), (source, index, half)));
            }
            let entry = source.log.lock().unwrap().entries.get(index).cloned();
            let Some(events) = entry else {
                let idle = Delivery { events: Vec::new(), commit: Some(commit(index)) };
                return Some((Ok(idle), (source, index, false)));
            };
            // A transaction of several events comes in two parts now and then.
            if !half && events.len() > 1 && source.chance(0.5) {
                let part = Delivery { events: events[..1].to_vec(), commit: None };
                return Some((Ok(part), (source, index, true)));
            }
            let rest = events[usize::from(half)..].to_vec();
            Some((Ok(Delivery { events: rest, commit: Some(commit(index + 1)) }), (source, index + 1, false)))
        });
        Ok(deliveries.boxed())
    }

    async fn split(&self, _: &TableSchema, parts: usize) -> Result<Vec<KeyRange>, SourceError> {
        let bounds: Vec<Cursor> = (1..parts).map(|part| Cursor((part * 20).to_string())).collect();
        let mut ranges = vec![KeyRange::default()];
        for bound in bounds {
            ranges.last_mut().unwrap().upto = Some(bound.clone());
            ranges.push(KeyRange { after: Some(bound), upto: None });
        }
        Ok(ranges)
    }

    async fn estimate_rows(&self, _: &TableSchema) -> Result<Option<u64>, SourceError> {
        Ok(Some(1))
    }

    async fn read(&self, request: ReadRequest) -> Result<Chunk, SourceError> {
        tokio::time::sleep(self.0.pause()).await;
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let fault = self.0.read_faults.lock().unwrap().get(&request.table.table).copied();
        match fault {
            Some(ReadFault::Lost) => return Err(SourceError::transient("simulating", "a lost connection")),
            Some(ReadFault::Refused) => return Err(SourceError::definite("it may not be read", "Allow it")),
            Some(ReadFault::Unexpected) => {
                let table = request.table.table.clone();
                return Err(SourceError::Table { table, reason: "its file is missing".into() });
            }
            None => {}
        }
        self.0.fail_sometimes(0.1)?;
        // The state is taken here, and the position only after a while: high is late, as it is with real servers.
        let state = self.0.now();
        tokio::time::sleep(self.0.pause()).await;
        let high = position(self.0.head_index());
        let table = &request.table.table;
        let Some((schema, rows)) = state.get(table).filter(|(schema, _)| schema.version() == request.table.version())
        else {
            return Err(SourceError::Table { table: table.clone(), reason: "it has another shape".into() });
        };
        let mut sorted = rows.clone();
        sorted.sort_unstable();
        let mut found = RowBatch::new(2);
        let mut next = None;
        match request.scope {
            ReadScope::Keys(identities) => {
                let (mut key, mut wanted) = (Vec::new(), Vec::new());
                for identity in identities.rows() {
                    schema.row_key(identity, &mut key);
                    wanted.push(key.clone());
                }
                for row in sorted {
                    let mut one = RowBatch::new(2);
                    push(&mut one, row);
                    schema.row_key(one.row(0).unwrap(), &mut key);
                    if wanted.contains(&key) {
                        push(&mut found, row);
                    }
                }
            }
            ReadScope::Range(range) => {
                let bound = |cursor: &Option<Cursor>, open: i64| cursor.as_ref().map_or(open, |c| c.0.parse().unwrap());
                let (after, upto) = (bound(&range.after, i64::MIN), bound(&range.upto, i64::MAX));
                // A chunk ends between two ids, so that equal rows stay together.
                let mut ids = 0;
                let mut last = None;
                for row in sorted.into_iter().filter(|(id, _)| *id > after && *id <= upto) {
                    if last != Some(row.0) {
                        if ids == 5 {
                            next = last.map(|id: i64| Cursor(id.to_string()));
                            break;
                        }
                        ids += 1;
                        last = Some(row.0);
                    }
                    push(&mut found, row);
                }
            }
        }
        Ok(Chunk { rows: found, high, next })
    }

    async fn acknowledge(&self, _: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}

fn commit(index: usize) -> Commit {
    Commit { position: position(index), committed_at_ms: 0, transactions: 1, log_bytes: 1 }
}
