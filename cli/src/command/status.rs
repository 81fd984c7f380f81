//! `millstream status`: how far everything is.

use std::path::Path;

use console::style;
use serde_json::{Value, json};

use crate::arguments::Scoped;
use crate::command::{OUTDATED, OUTDATED_REMEDY};
use crate::control::{CheckpointReport, Reply, Request, SourceReport, StatusReport, TableReport, WaitingReport};
use crate::failure::Failure;
use crate::output::{Align, Grid, Out, bytes, count, duration_ms, rate};
use crate::session::{Session, unexpected};

pub(super) async fn execute(scope: &Scoped, config: &Path) -> Result<(), Failure> {
    let session = Session::open(config)?;
    session.require_source(scope.source.as_deref())?;
    let mut answers = session.ask(Request::Status).await?;
    let mut status = match answers.next().await? {
        Some(Reply::Status(status)) => status,
        other => return Err(unexpected(other.as_ref())),
    };
    status.sources.retain(|source| scope.source.as_ref().is_none_or(|name| *name == source.name));
    let mut out = Out::new();
    if scope.output.json {
        out.json(&as_json(&status))?;
    } else {
        print(&status, &mut out)?;
    }
    out.finish()
}

/// The documented shape.
fn as_json(status: &StatusReport) -> Value {
    let table = |table: &TableReport| {
        let mut object = json!({"table": table.table, "state": table.state, "rows": table.rows});
        if let (Some(reason), Some(object)) = (&table.reason, object.as_object_mut()) {
            object.insert("reason".into(), json!(reason));
        }
        object
    };
    let source = |source: &SourceReport| {
        let mut object = json!({
            "name": source.name,
            "type": source.kind,
            "position": source.position,
            "head": source.head,
            "behind_ms": source.behind_ms,
            "tables": source.tables.iter().map(table).collect::<Vec<_>>(),
        });
        if let (Some(trouble), Some(object)) = (&source.trouble, object.as_object_mut()) {
            let remedy = trouble.remedy.iter().flat_map(|remedy| [". ", remedy]);
            object.insert(
                "reason".into(),
                json!(std::iter::once(trouble.diagnosis.as_str()).chain(remedy).collect::<String>()),
            );
        }
        object
    };
    let mut all = json!({
        "sources": status.sources.iter().map(source).collect::<Vec<_>>(),
        "checkpoint": {"op_id": status.checkpoint.op_id, "position": checkpoint_position(&status.checkpoint)},
    });
    if let (several @ [_, _, ..], Some(checkpoint)) =
        (&status.checkpoint.positions[..], all.get_mut("checkpoint").and_then(Value::as_object_mut))
    {
        let positions: serde_json::Map<_, _> =
            several.iter().map(|(name, position)| (name.clone(), json!(position))).collect();
        checkpoint.insert("positions".into(), positions.into());
    }
    if let (false, Some(object)) = (status.waiting.is_empty(), all.as_object_mut()) {
        object.insert("waiting".into(), json!(status.waiting));
    }
    if let (false, Some(object)) = (status.outdated_files.is_empty(), all.as_object_mut()) {
        object.insert("outdated_files".into(), json!(status.outdated_files));
    }
    all
}

/// One source's position as it is; those of several with their names, for people. Programs have them apart.
fn checkpoint_position(checkpoint: &CheckpointReport) -> Option<String> {
    match &checkpoint.positions[..] {
        [] => None,
        [(_, position)] => Some(position.clone()),
        several => {
            let named: Vec<String> = several.iter().map(|(name, position)| format!("{name}={position}")).collect();
            Some(named.join(" "))
        }
    }
}

fn print(status: &StatusReport, out: &mut Out) -> Result<(), Failure> {
    if !status.running {
        out.line(style("millstream isn't running; this is what is stored.").yellow().to_string())?;
    }
    if let Some(work) = &status.at_work {
        out.line(style(format!("{work} follows the sources until it has ended.")).yellow().to_string())?;
    }
    for file in &status.outdated_files {
        out.line(format!("{} {file}: {OUTDATED}", style("outdated:").yellow()))?;
        out.line(format!("  fix: {OUTDATED_REMEDY}"))?;
    }
    for source in &status.sources {
        let distance = distance(source, status.running);
        out.line(format!("{} ({}): {distance}", style(&source.name).bold(), source.kind))?;
        if let Some(trouble) = &source.trouble {
            out.line(format!("  {} {}", style("trouble:").red(), trouble.diagnosis))?;
            if let Some(remedy) = &trouble.remedy {
                out.line(format!("  fix: {remedy}"))?;
            }
        }
        out.line(format!("  position  {}", source.position.as_deref().unwrap_or("none yet")))?;
        if source.head != source.position {
            out.line(format!("  head      {}", source.head.as_deref().unwrap_or("unknown")))?;
        }
        print_tables(source, out)?;
    }
    for WaitingReport { definition, table, reason, .. } in &status.waiting {
        let waiting = style("waiting:").yellow();
        out.line(format!(
            "{waiting} the changed `{definition}` of the sync config isn't deployed yet: {table} is held"
        ))?;
        out.line(format!("  {reason}"))?;
        out.line("  until then the former one goes on, so that clients keep the rows")?;
    }
    let CheckpointReport { op_id, positions } = &status.checkpoint;
    match &positions[..] {
        [] => out.line("checkpoint: none yet"),
        [(_, position)] => out.line(format!("checkpoint: op {op_id} at {position}")),
        several => {
            out.line(format!("checkpoint: op {op_id}"))?;
            several.iter().try_for_each(|(name, position)| out.line(format!("  {name} at {position}")))
        }
    }
}

/// How far behind a source is, and how fast.
fn distance(source: &SourceReport, running: bool) -> String {
    let bytes_behind = source.behind_bytes.filter(|bytes| *bytes > 0).map(bytes);
    let mut parts = match (source.behind_ms, bytes_behind) {
        (None, None) if source.position.is_none() => vec!["not read yet".to_owned()],
        (None, None) => vec!["distance unknown".to_owned()],
        (Some(0), None) => vec![up_to_date(source, running)],
        (Some(milliseconds), None) => vec![format!("{} behind", duration_ms(milliseconds))],
        (None, Some(bytes)) => vec![format!("{bytes} behind")],
        (Some(milliseconds), Some(bytes)) => vec![format!("{} and {bytes} behind", duration_ms(milliseconds))],
    };
    if let Some(changes) = source.changes_per_second.filter(|changes| *changes >= 0.5) {
        parts.push(rate(changes).replace("rows/s", "changes/s"));
    }
    if let Some(rows) = source.rows_read_per_second.filter(|rows| *rows >= 0.5) {
        parts.push(format!("reading {}", rate(rows)));
    }
    parts.join(", ")
}

/// The log has been read to its end. What it takes to read a table is another matter.
fn up_to_date(source: &SourceReport, running: bool) -> String {
    let count = |states: &[&str]| source.tables.iter().filter(|table| states.contains(&table.state.as_str())).count();
    let tables = |number: usize| if number == 1 { "1 table".to_owned() } else { format!("{number} tables") };
    let but: Vec<String> = match (count(&["loading", "reconciling"]), count(&["held"])) {
        (0, 0) => return "up to date".to_owned(),
        (0, held) => vec![format!("{} held", tables(held))],
        (read, held) => {
            let read = format!("{} {}", tables(read), if running { "being read" } else { "not read to the end" });
            std::iter::once(read).chain((held > 0).then(|| format!("{held} held"))).collect()
        }
    };
    format!("up to date but for {}", but.join(" and "))
}

fn print_tables(source: &SourceReport, out: &mut Out) -> Result<(), Failure> {
    let mut grid =
        Grid::new(&[("  table", Align::Left), ("state", Align::Left), ("rows", Align::Right), ("", Align::Left)]);
    for table in &source.tables {
        let state = match table.state.as_str() {
            "live" => style(&table.state).green(),
            "held" => style(&table.state).red(),
            _ => style(&table.state).yellow(),
        };
        let progress = table.progress.as_ref().map(|progress| match progress.rows_estimate {
            Some(estimate) => format!("{} of about {} rows read", count(progress.rows_read), count(estimate)),
            None => format!("{} rows read", count(progress.rows_read)),
        });
        let notes: Vec<String> = progress.into_iter().chain(table.reason.clone()).collect();
        grid.row([format!("  {}", table.table), state.to_string(), table.rows.to_string(), notes.join("; ")]);
    }
    if grid.is_empty() { out.line("  no tables") } else { grid.print(out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ProgressReport, TroubleReport};

    fn status() -> StatusReport {
        let table = |name: &str, state: &str, reason: Option<&str>| TableReport {
            table: name.into(),
            state: state.into(),
            rows: 12,
            reason: reason.map(str::to_owned),
            progress: None,
        };
        StatusReport {
            running: true,
            at_work: None,
            outdated_files: Vec::new(),
            sources: vec![SourceReport {
                name: "shop".into(),
                kind: "mysql".into(),
                position: Some("binlog.000002:1547".into()),
                head: Some("binlog.000002:1600".into()),
                behind_ms: Some(350),
                behind_bytes: Some(53),
                changes_per_second: Some(1234.0),
                rows_read_per_second: None,
                trouble: None,
                tables: vec![
                    table("shop.orders", "live", None),
                    table("shop.log", "held", Some("it can't be read")),
                    TableReport {
                        progress: Some(ProgressReport {
                            source: "shop".into(),
                            table: "shop.big".into(),
                            rows_read: 1000,
                            rows_estimate: Some(34_000),
                            elapsed_ms: 10,
                        }),
                        ..table("shop.big", "loading", None)
                    },
                ],
            }],
            waiting: Vec::new(),
            checkpoint: CheckpointReport { op_id: 17, positions: vec![("shop".into(), "binlog.000002:1547".into())] },
        }
    }

    #[test]
    fn the_json_is_as_documented() {
        assert_eq!(
            as_json(&status()).to_string(),
            concat!(
                r#"{"sources":[{"name":"shop","type":"mysql","position":"binlog.000002:1547","#,
                r#""head":"binlog.000002:1600","behind_ms":350,"tables":["#,
                r#"{"table":"shop.orders","state":"live","rows":12},"#,
                r#"{"table":"shop.log","state":"held","rows":12,"reason":"it can't be read"},"#,
                r#"{"table":"shop.big","state":"loading","rows":12}]}],"#,
                r#""checkpoint":{"op_id":17,"position":"binlog.000002:1547"}}"#
            )
        );
    }

    #[test]
    fn files_that_have_changed_are_named_only_if_there_are_any() {
        let mut status = status();
        assert_eq!(as_json(&status).get("outdated_files"), None);
        status.outdated_files.push("sync-config.yaml".into());
        assert_eq!(as_json(&status)["outdated_files"], json!(["sync-config.yaml"]));
    }

    #[test]
    fn a_definition_that_waits_is_named_with_its_table() {
        let mut status = status();
        assert_eq!(as_json(&status).get("waiting"), None);
        status.waiting.push(WaitingReport {
            definition: "mine".into(),
            source: "shop".into(),
            table: "shop.log".into(),
            reason: "it can't be read".into(),
        });
        let waiting =
            json!([{"definition": "mine", "source": "shop", "table": "shop.log", "reason": "it can't be read"}]);
        assert_eq!(as_json(&status)["waiting"], waiting);
    }

    #[test]
    fn a_source_in_trouble_says_why() {
        let mut status = status();
        let remedy = Some("start it".into());
        status.sources[0].trouble = Some(TroubleReport { diagnosis: "the job stands still".into(), remedy });
        assert_eq!(as_json(&status)["sources"][0]["reason"], "the job stands still. start it");
    }

    #[test]
    fn several_sources_positions_carry_their_names() {
        let mut status = status();
        status.checkpoint.positions.push(("crm".into(), "x:4".into()));
        assert_eq!(as_json(&status)["checkpoint"]["positions"], json!({"shop": "binlog.000002:1547", "crm": "x:4"}));
        let checkpoint = status.checkpoint;
        assert_eq!(checkpoint_position(&checkpoint).as_deref(), Some("shop=binlog.000002:1547 crm=x:4"));
        assert_eq!(checkpoint_position(&CheckpointReport::default()), None);
    }

    #[test]
    fn the_distance_is_told_in_time_and_bytes() {
        let mut source = status().sources.remove(0);
        assert_eq!(distance(&source, true), "350 ms and 53 B behind, 1.2 k changes/s");
        source.behind_ms = Some(0);
        source.behind_bytes = Some(0);
        source.changes_per_second = None;
        assert_eq!(distance(&source, true), "up to date but for 1 table being read and 1 held");
        assert_eq!(distance(&source, false), "up to date but for 1 table not read to the end and 1 held");
        source.tables.pop();
        assert_eq!(distance(&source, true), "up to date but for 1 table held");
        source.tables.pop();
        assert_eq!(distance(&source, true), "up to date");
    }
}
