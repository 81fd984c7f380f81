//! Bytes that no server sends: recorded events, changed at random. Whatever comes, decoding ends, without a panic and
//! without taking more memory than the bytes can justify.

use std::sync::Arc;

use millstream_core::change::RowChanges;
use millstream_core::schema::{Column, Identity, IdentityKind, TableName, TableSchema};

use super::{RowDecoder, RowsEvent, RowsKind, TableMap};
use crate::version::Flavor;

/// Tables of every type on both servers, with much and with little metadata: columns, then events as hexadecimal.
const RECORDED: &str = include_str!("../../tests/values/events.txt");
const ROUNDS_PER_EVENT: u32 = 400;

struct Recording {
    flavor: Flavor,
    schema: Arc<TableSchema>,
    events: Vec<(u8, Vec<u8>)>,
}

fn recordings() -> Vec<Recording> {
    let mut recordings: Vec<Recording> = Vec::new();
    for line in RECORDED.lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "server" => {
                let identity = Identity { kind: IdentityKind::PrimaryKey, columns: vec![0] };
                let schema =
                    TableSchema { table: TableName::new("d", "t"), columns: Vec::new(), identity, origin: None };
                let flavor = if rest == "mysql" { Flavor::MySql } else { Flavor::MariaDb };
                recordings.push(Recording { flavor, schema: Arc::new(schema), events: Vec::new() });
            }
            "column" => {
                let [name, null, collation, source_type] = rest.splitn(4, ' ').collect::<Vec<_>>().try_into().unwrap();
                let schema = Arc::get_mut(&mut recordings.last_mut().unwrap().schema).unwrap();
                schema.columns.push(Column {
                    name: name.to_owned(),
                    source_type: source_type.to_owned(),
                    nullable: null == "null",
                    collation: (collation != "-").then(|| collation.to_owned()),
                    generated: None,
                    default: None,
                });
            }
            _ => {
                let (kind, body) = rest.split_once(' ').unwrap();
                let byte = |at: usize| u8::from_str_radix(&body[at..at + 2], 16).unwrap();
                let body = (0..body.len()).step_by(2).map(byte).collect();
                recordings.last_mut().unwrap().events.push((kind.parse().unwrap(), body));
            }
        }
    }
    recordings
}

fn kind_and_version(event: u8) -> (RowsKind, u8) {
    match event {
        23 => (RowsKind::Write, 1),
        24 => (RowsKind::Update, 1),
        25 => (RowsKind::Delete, 1),
        30 => (RowsKind::Write, 2),
        31 => (RowsKind::Update, 2),
        32 => (RowsKind::Delete, 2),
        _ => (RowsKind::PartialUpdate, 2),
    }
}

/// Whether the rows could be decoded.
fn decode(decoder: &RowDecoder, schema: &Arc<TableSchema>, event: u8, body: &[u8]) -> bool {
    let (kind, version) = kind_and_version(event);
    let mut changes = RowChanges::new(Arc::clone(schema));
    let outcome = RowsEvent::parse(kind, version, body).and_then(|event| decoder.decode(&event, &mut changes));
    assert_eq!(changes.rows.len(), changes.changes.len());
    // A row takes a byte at least, a value of no byte at most a padded BINARY; compression makes up to a thousand.
    let size_max = body.len() * (schema.columns.len() * 300 + 1_100);
    assert!(changes.rows.size_bytes() <= size_max, "{} bytes of {}", changes.rows.size_bytes(), body.len());
    outcome.is_ok()
}

fn changed(random: &mut impl FnMut(usize) -> usize, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random(4) {
        let at = random(bytes.len().max(1));
        match random(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), random(256) as u8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] ^= 1 << random(8),
            4 if at < bytes.len() => bytes[at] = [0, 0x7f, 0x80, 0xfb, 0xfc, 0xfe, 0xff][random(7)],
            _ if at < bytes.len() => bytes[at] = random(256) as u8,
            _ => {}
        }
    }
    bytes
}

#[test]
fn recorded_events_are_decoded() {
    let recordings = recordings();
    assert_eq!(recordings.len(), 4);
    for Recording { flavor, schema, events } in &recordings {
        let mut decoder = None;
        for (event, body) in events {
            if *event == 19 {
                decoder = Some(RowDecoder::new(*flavor, &TableMap::parse(*flavor, body).unwrap(), schema).unwrap());
            } else {
                assert!(decode(decoder.as_ref().unwrap(), schema, *event, body));
            }
        }
        assert!(events.len() > 10);
    }
}

#[test]
fn changed_events_are_survived() {
    let seed = std::env::var("MILLSTREAM_HOSTILE_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed: u64 = seed.unwrap_or_else(|| rand::random::<u64>() | 1);
    println!("MILLSTREAM_HOSTILE_SEED={seed}");
    let mut state = seed;
    let mut random = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    for Recording { flavor, schema, events } in &recordings() {
        let mut decoder = None;
        for (event, body) in events {
            if *event == 19 {
                let map = TableMap::parse(*flavor, body).unwrap();
                decoder = Some(RowDecoder::new(*flavor, &map, schema).unwrap());
                for _ in 0..ROUNDS_PER_EVENT {
                    // A map that still fits decodes whatever rows follow.
                    let Ok(map) = TableMap::parse(*flavor, &changed(&mut random, body)) else { continue };
                    let Ok(other) = RowDecoder::new(*flavor, &map, schema) else { continue };
                    for (event, body) in events.iter().filter(|(event, _)| *event != 19) {
                        decode(&other, schema, *event, body);
                    }
                }
            } else {
                for _ in 0..ROUNDS_PER_EVENT {
                    decode(decoder.as_ref().unwrap(), schema, *event, &changed(&mut random, body));
                }
            }
        }
    }
}
