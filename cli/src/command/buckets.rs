//! `millstream buckets`: the buckets, and what is in them.

use std::path::Path;

use console::style;
use serde::Serialize;

use crate::arguments::{Buckets, BucketsCommand, Dump};
use crate::control::{BucketReport, OpReport, Reply, Request, RowReport};
use crate::failure::Failure;
use crate::output::{Align, Grid, Out, bytes};
use crate::session::{Session, unexpected};

pub(super) async fn execute(arguments: &Buckets, config: &Path) -> Result<(), Failure> {
    let session = Session::open(config)?;
    let mut out = Out::new();
    match &arguments.command {
        Some(BucketsCommand::Dump(dump)) => print_content(dump, arguments.json, &session, &mut out).await?,
        None => print_buckets(arguments.json, &session, &mut out).await?,
    }
    out.finish()
}

async fn print_buckets(json: bool, session: &Session, out: &mut Out) -> Result<(), Failure> {
    let mut answers = session.ask(Request::Buckets).await?;
    let mut grid = Grid::new(&[
        ("bucket", Align::Left),
        ("ops", Align::Right),
        ("rows", Align::Right),
        ("size", Align::Right),
        ("checksum", Align::Right),
    ]);
    while let Some(reply) = answers.next().await? {
        match reply {
            Reply::Bucket(bucket) if json => out.json(&bucket)?,
            Reply::Bucket(BucketReport { bucket, ops, rows, bytes: size, checksum }) => {
                grid.row([bucket, ops.to_string(), rows.to_string(), bytes(size), checksum.to_string()]);
            }
            other => return Err(unexpected(Some(&other))),
        }
    }
    match (json, grid.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => out.line("No buckets yet."),
        (false, false) => grid.print(out),
    }
}

async fn print_content(dump: &Dump, json: bool, session: &Session, out: &mut Out) -> Result<(), Failure> {
    let bucket = dump.bucket.clone();
    let mut answers = session.ask(if dump.ops { Request::Ops { bucket } } else { Request::Rows { bucket } }).await?;
    while let Some(reply) = answers.next().await? {
        match reply {
            Reply::Row(row) if json => out.line(row_json(&row)?)?,
            Reply::Row(row) => out.line(row_text(&row))?,
            Reply::Op(op) if json => out.line(op_json(&op)?)?,
            Reply::Op(op) => out.line(op_text(&op))?,
            other => return Err(unexpected(Some(&other))),
        }
    }
    Ok(())
}

fn row_text(row: &RowReport) -> String {
    format!("{}  {}/{}  {}", style(&row.bucket).dim(), row.kind, row.id, row.data)
}

fn op_text(op: &OpReport) -> String {
    let object = match (&op.kind, &op.id) {
        (Some(kind), Some(id)) => format!("  {kind}/{id}"),
        _ => String::new(),
    };
    let data = op.data.as_ref().map(|data| format!("  {data}")).unwrap_or_default();
    format!("{}  {:>8}  {:<6}{object}{data}", style(&op.bucket).dim(), op.op_id, op.op)
}

/// The documented shape, with the row's JSON exactly as it is stored.
fn row_json(row: &RowReport) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Head<'a> {
        bucket: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
        id: &'a str,
    }
    with_data(&Head { bucket: &row.bucket, kind: &row.kind, id: &row.id }, Some(&row.data))
}

/// The documented shape, with the row's JSON exactly as it is stored.
fn op_json(op: &OpReport) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Head<'a> {
        bucket: &'a str,
        op_id: u64,
        op: &'a str,
        #[serde(rename = "type")]
        kind: Option<&'a str>,
        id: Option<&'a str>,
        subkey: Option<&'a str>,
        checksum: u32,
    }
    let head = Head {
        bucket: &op.bucket,
        op_id: op.op_id,
        op: &op.op,
        kind: op.kind.as_deref(),
        id: op.id.as_deref(),
        subkey: op.subkey.as_deref(),
        checksum: op.checksum,
    };
    with_data(&head, op.data.as_deref())
}

/// An object with a last key `data`, whose text is not read and written anew: that would change numbers.
fn with_data(head: &impl Serialize, data: Option<&str>) -> Result<String, Failure> {
    let mut text = serde_json::to_string(head)
        .map_err(|error| Failure::io("write JSON", &error.into(), "this is a fault of millstream; please report it"))?;
    text.truncate(text.trim_end_matches('}').len());
    text.push_str(",\"data\":");
    text.push_str(data.unwrap_or("null"));
    text.push('}');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_bucket_is_as_documented() {
        let bucket =
            BucketReport { bucket: "by_user[\"u1\"]".into(), ops: 3, rows: 2, bytes: 100, checksum: 4_000_000_000 };
        assert_eq!(
            serde_json::to_string(&bucket).unwrap(),
            r#"{"bucket":"by_user[\"u1\"]","ops":3,"rows":2,"bytes":100,"checksum":4000000000}"#
        );
    }

    #[test]
    fn the_json_of_a_row_keeps_its_text() {
        let row = RowReport {
            bucket: "everything[]".into(),
            kind: "orders".into(),
            id: "7}".into(),
            data: r#"{"id":"7","price":1.0,"n":9223372036854775807}"#.into(),
        };
        assert_eq!(
            row_json(&row).unwrap(),
            r#"{"bucket":"everything[]","type":"orders","id":"7}","data":{"id":"7","price":1.0,"n":9223372036854775807}}"#
        );
    }

    #[test]
    fn the_json_of_an_op_has_null_for_what_it_lacks() {
        let op = OpReport {
            bucket: "b[]".into(),
            op_id: 5,
            op: "CLEAR".into(),
            kind: None,
            id: None,
            subkey: None,
            checksum: 9,
            data: None,
        };
        assert_eq!(
            op_json(&op).unwrap(),
            r#"{"bucket":"b[]","op_id":5,"op":"CLEAR","type":null,"id":null,"subkey":null,"checksum":9,"data":null}"#
        );
    }
}
