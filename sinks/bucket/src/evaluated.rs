//! Rows as the definitions have evaluated them, packed for the way to the writer: a few allocations a slice, none a row.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use millstream_core::schema::TableSchema;
use millstream_sync_config::{EvaluatedLookup, EvaluatedRow};

use crate::former_keys::KeyColumns;
use crate::key::DefinitionId;

/// What the key of a row mostly takes, in bytes.
const KEY_BYTES: usize = 16;

/// Up to so many outputs or lookups of a row are compared one by one.
pub(crate) const COMPARED_MAX: usize = 32;

/// A slice of rows of one table.
#[derive(Debug)]
pub(crate) struct EvaluatedRows {
    /// The shape by which they were evaluated.
    pub(crate) schema: Arc<TableSchema>,
    rows: Vec<Row>,
    outputs: Vec<Output>,
    lookups: Vec<Lookup>,
    /// Row keys, one after the other.
    keys: Vec<u8>,
    /// All texts, one after the other.
    text: String,
    /// What the rows were called by keys that their table had before.
    former_keys: Vec<FormerRowKeys>,
    /// The last output with each hash of an object, of the row that is being built, where it has more than a few.
    objects: HashMap<u64, usize>,
    hasher: RandomState,
}

/// What the rows are called by a former key.
#[derive(Debug)]
struct FormerRowKeys {
    columns: Arc<KeyColumns>,
    keys: Vec<u8>,
    ends: Vec<usize>,
}

/// Only ends are kept: everything begins where its predecessor ends.
#[derive(Debug)]
struct Row {
    is_deleted: bool,
    key_end: usize,
    outputs_end: usize,
    lookups_end: usize,
}

#[derive(Debug)]
struct Output {
    definition: DefinitionId,
    content_hash: u64,
    /// A later output of the same row is the same object in the same bucket: that one counts.
    is_replaced: bool,
    bucket_start: usize,
    type_start: usize,
    id_start: usize,
    id_end: usize,
    /// Elsewhere than the rest if it is the same as that of the output before.
    data: Range<usize>,
}

#[derive(Debug)]
struct Lookup {
    definition: DefinitionId,
    query: u32,
    lookup_start: usize,
    output_start: usize,
    output_end: usize,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreshRow<'a> {
    pub(crate) key: &'a [u8],
    /// Deleted rows have no outputs and no lookups.
    pub(crate) is_deleted: bool,
    outputs: &'a [Output],
    lookups: &'a [Lookup],
    text: &'a str,
}

/// What a definition makes of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreshOutput<'a> {
    pub(crate) definition: DefinitionId,
    pub(crate) bucket: &'a str,
    pub(crate) object_type: &'a str,
    pub(crate) object_id: &'a str,
    pub(crate) data: &'a str,
    pub(crate) content_hash: u64,
}

impl<'a> FreshOutput<'a> {
    /// What makes it the same object in the same bucket as another.
    fn object(&self) -> (DefinitionId, &'a str, &'a str, &'a str) {
        (self.definition, self.bucket, self.object_type, self.object_id)
    }
}

/// What a parameter query makes of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreshLookup<'a> {
    pub(crate) definition: DefinitionId,
    pub(crate) query: u32,
    pub(crate) lookup: &'a str,
    pub(crate) output: &'a str,
}

impl EvaluatedRows {
    pub(crate) fn new(schema: Arc<TableSchema>) -> Self {
        Self {
            schema,
            rows: Vec::new(),
            outputs: Vec::new(),
            lookups: Vec::new(),
            keys: Vec::new(),
            text: String::new(),
            former_keys: Vec::new(),
            objects: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// With room for rows whose values take so much.
    pub(crate) fn with_room(schema: Arc<TableSchema>, rows: usize, bytes: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows),
            outputs: Vec::with_capacity(rows),
            keys: Vec::with_capacity(rows * KEY_BYTES),
            text: String::with_capacity(bytes),
            ..Self::new(schema)
        }
    }

    /// Adds an output to the row that is being built.
    pub(crate) fn push_output(&mut self, definition: DefinitionId, output: &EvaluatedRow) {
        self.replace_same_object(definition, output);
        let bucket_start = self.push_text(&output.bucket);
        let type_start = self.push_text(&output.object_type);
        let id_start = self.push_text(&output.object_id);
        let id_end = self.text.len();
        let data = self.push_data(&output.data);
        self.outputs.push(Output {
            definition,
            content_hash: output.content_hash,
            is_replaced: false,
            bucket_start,
            type_start,
            id_start,
            id_end,
            data,
        });
    }

    /// A row goes to many buckets mostly as the same object, which is kept once: else a large one would take its size
    /// times the number of its buckets.
    fn push_data(&mut self, data: &str) -> Range<usize> {
        let first = self.rows.last().map_or(0, |row| row.outputs_end);
        if let Some(before) = self.outputs.get(first..).and_then(<[Output]>::last)
            && self.text.get(before.data.clone()) == Some(data)
        {
            return before.data.clone();
        }
        let start = self.push_text(data);
        start..self.text.len()
    }

    /// Several queries of a definition may put the same object into a bucket: the last one counts, as it would for a
    /// client that got one op for each.
    ///
    /// A row may have a hundred thousand, so beyond a few they are found by a hash.
    fn replace_same_object(&mut self, definition: DefinitionId, new: &EvaluatedRow) {
        let start = self.rows.last().map_or(0, |row| row.outputs_end);
        let object = (definition, &*new.bucket, &*new.object_type, &*new.object_id);
        let text = &self.text;
        let is_it = |output: &Output| output.fresh(text).object() == object;
        let of_row = self.outputs.get_mut(start..).unwrap_or_default();
        let last = if of_row.len() < COMPARED_MAX {
            self.objects.clear();
            of_row.iter().rposition(is_it)
        } else {
            if self.objects.is_empty() {
                let hashes = of_row.iter().map(|output| self.hasher.hash_one(output.fresh(text).object()));
                self.objects.extend(hashes.zip(0..));
            }
            match self.objects.insert(self.hasher.hash_one(object), of_row.len()) {
                // Another object with the same hash hides it, if it is there at all.
                Some(last) if !of_row.get(last).is_some_and(is_it) => of_row.iter().rposition(is_it),
                last => last,
            }
        };
        // Those before the last are replaced already.
        if let Some(output) = last.and_then(|last| of_row.get_mut(last)) {
            output.is_replaced = true;
        }
    }

    /// Adds a lookup to the row that is being built.
    pub(crate) fn push_lookup(&mut self, definition: DefinitionId, lookup: &EvaluatedLookup) {
        let lookup_start = self.push_text(&lookup.lookup);
        let output_start = self.push_text(&lookup.output);
        let output_end = self.text.len();
        // A definition of 2^32 queries would be a config of many gigabytes.
        let query = u32::try_from(lookup.query).unwrap_or(u32::MAX);
        self.lookups.push(Lookup { definition, query, lookup_start, output_start, output_end });
    }

    /// Ends the row that is being built.
    pub(crate) fn end_row(&mut self, key: &[u8], is_deleted: bool) {
        self.keys.extend_from_slice(key);
        self.rows.push(Row {
            is_deleted,
            key_end: self.keys.len(),
            outputs_end: self.outputs.len(),
            lookups_end: self.lookups.len(),
        });
    }

    /// Begins to tell what the rows are called by a former key.
    pub(crate) fn begin_former_keys(&mut self, columns: &Arc<KeyColumns>) {
        let ends = Vec::with_capacity(self.rows.len());
        self.former_keys.push(FormerRowKeys { columns: Arc::clone(columns), keys: Vec::new(), ends });
    }

    /// Adds the next row's key.
    pub(crate) fn push_former_key(&mut self, key: &[u8]) {
        if let Some(former) = self.former_keys.last_mut() {
            former.keys.extend_from_slice(key);
            former.ends.push(former.keys.len());
        }
    }

    /// Which of the former keys that the rows tell has these columns.
    pub(crate) fn former_key_of(&self, columns: &KeyColumns) -> Option<usize> {
        self.former_keys.iter().position(|former| *former.columns == *columns)
    }

    /// What a row is called by one of them.
    pub(crate) fn former_key(&self, former: usize, row: usize) -> Option<&[u8]> {
        let former = self.former_keys.get(former)?;
        let start = row.checked_sub(1).map_or(Some(0), |before| former.ends.get(before).copied())?;
        former.keys.get(start..*former.ends.get(row)?)
    }

    fn push_text(&mut self, text: &str) -> usize {
        let start = self.text.len();
        self.text.push_str(text);
        start
    }

    /// The memory that this takes, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>()
            + self.outputs.len() * size_of::<Output>()
            + self.lookups.len() * size_of::<Lookup>()
            + self.keys.len()
            + self.text.len()
            + self.former_keys.iter().map(FormerRowKeys::size_bytes).sum::<usize>()
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows, in their order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = FreshRow<'_>> {
        let (mut key_start, mut outputs_start, mut lookups_start) = (0, 0, 0);
        self.rows.iter().map(move |row| {
            let fresh = FreshRow {
                key: self.keys.get(key_start..row.key_end).unwrap_or_default(),
                is_deleted: row.is_deleted,
                outputs: self.outputs.get(outputs_start..row.outputs_end).unwrap_or_default(),
                lookups: self.lookups.get(lookups_start..row.lookups_end).unwrap_or_default(),
                text: &self.text,
            };
            (key_start, outputs_start, lookups_start) = (row.key_end, row.outputs_end, row.lookups_end);
            fresh
        })
    }
}

impl FormerRowKeys {
    fn size_bytes(&self) -> usize {
        self.keys.len() + self.ends.len() * size_of::<usize>()
    }
}

impl Output {
    fn fresh<'a>(&self, text: &'a str) -> FreshOutput<'a> {
        let part = |start, end| text.get(start..end).unwrap_or_default();
        FreshOutput {
            definition: self.definition,
            bucket: part(self.bucket_start, self.type_start),
            object_type: part(self.type_start, self.id_start),
            object_id: part(self.id_start, self.id_end),
            data: text.get(self.data.clone()).unwrap_or_default(),
            content_hash: self.content_hash,
        }
    }
}

impl<'a> FreshRow<'a> {
    /// The row's outputs, each object in each bucket once.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = FreshOutput<'a>> + use<'a> {
        let text = self.text;
        self.outputs.iter().filter(|output| !output.is_replaced).map(move |output| output.fresh(text))
    }

    /// The row with its first outputs only, each time with so many more as come to about `bytes`. The whole row isn't
    /// among them: nothing for one whose outputs come to less.
    pub(crate) fn beginnings(&self, bytes: usize) -> Vec<FreshRow<'a>> {
        let mut beginnings = Vec::new();
        let mut gathered = 0;
        for (end, output) in self.outputs.iter().enumerate().skip(1) {
            // Its predecessor was the last that is gathered so far.
            gathered += self.outputs.get(end - 1).map_or(0, |before| before.data.len());
            if gathered >= bytes && !output.is_replaced {
                beginnings.push(FreshRow { outputs: self.outputs.get(..end).unwrap_or_default(), ..*self });
                gathered = 0;
            }
        }
        beginnings
    }

    /// The row's entries for the parameter index.
    pub(crate) fn lookups(&self) -> impl Iterator<Item = FreshLookup<'a>> + use<'a> {
        let text = self.text;
        self.lookups.iter().map(move |lookup| FreshLookup {
            definition: lookup.definition,
            query: lookup.query,
            lookup: text.get(lookup.lookup_start..lookup.output_start).unwrap_or_default(),
            output: text.get(lookup.output_start..lookup.output_end).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::{Identity, IdentityKind, TableName};

    use super::*;

    fn schema() -> Arc<TableSchema> {
        Arc::new(TableSchema {
            table: TableName::new("shop", "t"),
            columns: Vec::new(),
            identity: Identity { kind: IdentityKind::WholeRow, columns: Vec::new() },
            origin: None,
        })
    }

    fn output(bucket: &str, id: &str, data: &str) -> EvaluatedRow {
        EvaluatedRow {
            definition: 0,
            bucket: bucket.to_string(),
            object_type: "t".into(),
            object_id: id.to_string(),
            data: data.to_string(),
            content_hash: 9,
        }
    }

    #[test]
    fn a_row_in_many_buckets_is_kept_once() {
        let mut rows = EvaluatedRows::new(schema());
        let (large, other) = ("x".repeat(100_000), "y".repeat(100_000));
        for data in [&large, &other] {
            for bucket in 0..15 {
                rows.push_output(DefinitionId(1), &output(&format!("b[{bucket}]"), "1", data));
            }
            rows.push_output(DefinitionId(2), &output("c[]", "1", "{}"));
            rows.end_row(b"k", false);
        }
        assert!(rows.size_bytes() < 210_000, "{}", rows.size_bytes());
        let counts = |bytes| {
            let beginnings = rows.rows().next().unwrap().beginnings(bytes);
            beginnings.iter().map(|row| row.outputs().count()).collect::<Vec<_>>()
        };
        assert_eq!(counts(400_000), [4, 8, 12]);
        assert_eq!(counts(1_500_000), [15]);
        assert_eq!(counts(1_500_001), [0; 0]);
        for (row, data) in rows.rows().zip([&large, &other]) {
            let outputs: Vec<_> = row.outputs().collect();
            assert_eq!(outputs.len(), 16);
            assert!(outputs[..15].iter().all(|output| output.data == data && output.object_id == "1"));
            assert_eq!((outputs[15].bucket, outputs[15].object_id, outputs[15].data), ("c[]", "1", "{}"));
        }
    }

    #[test]
    fn each_of_many_objects_counts_once_and_the_last_time() {
        let mut rows = EvaluatedRows::new(schema());
        for objects in [COMPARED_MAX * 3, 2, COMPARED_MAX * 2] {
            for round in ["old", "new"] {
                for id in 0..objects {
                    rows.push_output(DefinitionId(1), &output("b[]", &id.to_string(), &format!("{round} {id}")));
                }
            }
            rows.end_row(b"k", false);
        }
        for (row, objects) in rows.rows().zip([COMPARED_MAX * 3, 2, COMPARED_MAX * 2]) {
            let all: Vec<_> = row.outputs().map(|output| output.data.to_owned()).collect();
            assert_eq!(all, (0..objects).map(|id| format!("new {id}")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_come_back_as_they_were_packed() {
        let (first, second) = (DefinitionId(1), DefinitionId(2));
        let lookup = EvaluatedLookup { definition: 0, query: 3, lookup: "[1]".into(), output: "{\"l\":1}".into() };
        let mut rows = EvaluatedRows::new(schema());
        rows.push_output(first, &output("a[]", "1", "{}"));
        rows.push_output(second, &output("b[]", "1", "{\"x\":1}"));
        rows.push_lookup(second, &lookup);
        rows.end_row(b"k1", false);
        rows.end_row(b"k2", true);
        rows.push_output(first, &output("a[]", "3", "{\"old\":1}"));
        rows.push_output(first, &output("a[]", "3", "{\"new\":1}"));
        rows.end_row(b"k3", false);

        let all: Vec<_> = rows.rows().collect();
        assert_eq!(all.iter().map(|row| row.key).collect::<Vec<_>>(), [b"k1", b"k2", b"k3"]);
        let outputs: Vec<_> = all[0].outputs().map(|output| (output.definition, output.bucket, output.data)).collect();
        assert_eq!(outputs, [(first, "a[]", "{}"), (second, "b[]", "{\"x\":1}")]);
        let lookup = all[0].lookups().next().unwrap();
        assert_eq!((lookup.query, lookup.lookup, lookup.output), (3, "[1]", "{\"l\":1}"));
        assert!(all[1].is_deleted && all[1].outputs().next().is_none());
        let outputs: Vec<_> = all[2].outputs().map(|output| output.data).collect();
        assert_eq!(outputs, ["{\"new\":1}"]);
    }

    #[test]
    fn rows_tell_what_they_were_called() {
        let mut rows = EvaluatedRows::new(schema());
        let columns = Arc::new(KeyColumns::of(&schema()));
        assert_eq!(rows.former_key_of(&columns), None);
        [b"k1", b"k2"].iter().for_each(|key| rows.end_row(*key, false));
        rows.begin_former_keys(&columns);
        [&b"one"[..], b""].iter().for_each(|key| rows.push_former_key(key));
        assert_eq!(rows.former_key_of(&columns), Some(0));
        let told: Vec<_> = (0..3).map(|row| rows.former_key(0, row)).collect();
        assert_eq!(told, [Some(&b"one"[..]), Some(b""), None]);
        assert_eq!(rows.former_key(1, 0), None);
    }
}
