//! Telling whoever waits what for.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use millstream_core::pipeline::{ConnectionStatus, SourceStatus, TableStatus};

use crate::engine::Followed;

/// How long something may be waited for before it is worth a word.
const PATIENCE: Duration = Duration::from_secs(5);

/// What somebody waits for, told once it takes long, and again whenever it is something else.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// What was waited for when somebody last looked, and since when.
    current: Option<(String, Instant)>,
    told: HashSet<String>,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Self { current: None, told: HashSet::new() }
    }

    /// What should be told now.
    pub(crate) fn news(&mut self, sources: &[Followed]) -> Option<String> {
        let awaited = sources.iter().find_map(|source| awaited(&source.handle.status()));
        self.after(awaited, Instant::now())
    }

    fn after(&mut self, awaited: Option<String>, now: Instant) -> Option<String> {
        let awaited = match awaited {
            Some(awaited) => awaited,
            None => {
                self.current = None;
                return None;
            }
        };
        let since = match &self.current {
            Some((current, since)) if *current == awaited => *since,
            _ => {
                self.current = Some((awaited.clone(), now));
                now
            }
        };
        let is_long = now.saturating_duration_since(since) >= PATIENCE;
        (is_long && self.told.insert(awaited.clone())).then_some(awaited)
    }
}

/// What keeps a source from being current; `None` if nothing does, or if it can be seen by its progress.
fn awaited(status: &SourceStatus) -> Option<String> {
    let name = &status.name;
    if let Some(remark) = &status.standstill {
        return Some(format!("waiting for source {name}: {}. {}", remark.found, remark.remedy));
    }
    if let ConnectionStatus::Failed { .. } | ConnectionStatus::Stopped = status.connection {
        return None;
    }
    if let ConnectionStatus::Starting = status.connection {
        return Some(format!("waiting for source {name} to answer, and to tell which tables it has"));
    }
    // A table that is held is tried again, too, but nobody waits for it.
    let is_read = |table: &&TableStatus| table.progress.is_some() && table.state != "held";
    if let Some(table) = status.tables.iter().filter(is_read).find(|table| table.reason.is_some()) {
        return Some(format!("waiting for table {}: {}", table.table, table.reason.clone().unwrap_or_default()));
    }
    // A table that takes long has a bar that moves; one that is locked doesn't.
    let is_stuck = |table: &&TableStatus| table.progress.as_ref().is_some_and(|progress| progress.rows_read == 0);
    if let Some(table) = status.tables.iter().filter(is_read).find(is_stuck) {
        return Some(format!(
            "waiting for the first rows of table {}; a transaction that changes it may have to end first",
            table.table
        ));
    }
    if status.tables.iter().any(|table| is_read(&table)) {
        return None;
    }
    if status.behind_ms != Some(0) {
        return Some(format!("waiting for changes that were committed at source {name} to arrive"));
    }
    // Nothing is left to arrive: then it is a table that the source holds for a while.
    let held = status.tables.iter().find(|table| table.state == "held" && table.progress.is_none())?;
    Some(format!("waiting for table {}: {}", held.table, held.reason.clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use millstream_core::schema::TableName;
    use millstream_core::source::Remark;

    use super::*;

    #[test]
    fn what_takes_long_is_told_once_and_what_comes_then_as_well() {
        let mut waiting = Waiting::new();
        let begin = Instant::now();
        let mut after = |seconds, awaited: Option<&str>| {
            waiting.after(awaited.map(str::to_owned), begin + Duration::from_secs(seconds))
        };
        assert_eq!(after(0, Some("a")), None);
        assert_eq!(after(4, Some("a")), None);
        assert_eq!(after(6, Some("a")).as_deref(), Some("a"));
        assert_eq!(after(7, Some("a")), None);
        assert_eq!(after(8, Some("b")), None);
        assert_eq!(after(9, None), None);
        assert_eq!(after(10, Some("b")), None);
        assert_eq!(after(16, Some("b")).as_deref(), Some("b"));
    }

    #[test]
    fn what_stands_still_says_why() {
        let status = |standstill| SourceStatus {
            name: "shop".to_owned(),
            behind_ms: Some(0),
            connection: ConnectionStatus::Following,
            standstill,
            ..SourceStatus::default()
        };
        assert_eq!(awaited(&status(None)), None);
        let remark = Remark { found: "the job stands still".to_owned(), remedy: "EXEC start".to_owned() };
        let text = awaited(&status(Some(remark))).unwrap();
        assert!(text.contains("shop: the job stands still") && text.ends_with(". EXEC start"), "{text}");
        let behind = SourceStatus { behind_ms: Some(10), ..status(None) };
        assert!(awaited(&behind).unwrap().contains("to arrive"));
        let held = TableStatus {
            table: TableName::new("dbo", "t"),
            state: "held".to_owned(),
            rows: None,
            reason: Some("it lacks b".to_owned()),
            progress: None,
        };
        let held = SourceStatus { tables: vec![held], ..status(None) };
        assert_eq!(awaited(&held).unwrap(), "waiting for table dbo.t: it lacks b");
    }
}
