//! What is peculiar to files: content that is no table, and a journal that was cut off.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use millstream_core::error::SourceError;
use millstream_core::pipeline::{Handle, Pipeline, PipelineOptions};
use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Catalog, SourceConnector};
use millstream_csv_example::{Directory, NAMESPACE};
use millstream_testkit::conformance::MemorySink;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

fn selection() -> Selection {
    Selection { patterns: vec![TablePattern { schema: NAMESPACE.to_owned(), table: "%".to_owned() }] }
}

fn connector(directory: &TempDir) -> Arc<dyn SourceConnector> {
    let files = directory.path().to_owned();
    Directory { files, journal: directory.path().join("journal") }.connector().unwrap()
}

fn follow(directory: &TempDir) -> (Arc<MemorySink>, Handle) {
    let sink = MemorySink::new(selection(), Box::new(|_, _| Ok(())));
    let options = PipelineOptions::default();
    let (pipeline, handle) = Pipeline::new("files", connector(directory), sink.clone(), options);
    tokio::spawn(pipeline.run());
    (sink, handle)
}

fn rows(sink: &MemorySink) -> Vec<String> {
    sink.tables().into_values().flatten().map(|row| row.to_string()).collect()
}

async fn until_state(handle: &Handle, state: &str) {
    let reached = async {
        while handle.status().tables.iter().any(|table| table.state != state) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the state is reached");
}

#[tokio::test]
async fn a_file_that_is_no_table_is_held_until_it_is_one() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("t.csv");
    fs::write(&file, "id,a\n1,x\n").unwrap();
    let (sink, handle) = follow(&directory);
    timeout(PATIENCE, handle.until_current()).await.unwrap().unwrap();
    assert_eq!(rows(&sink), ["(a='x', id='1')"]);
    fs::write(&file, "id,a\n1\n").unwrap();
    until_state(&handle, "held").await;
    assert_eq!(connector(&directory).check(&selection()).await.unwrap().len(), 1);
    fs::write(&file, "id,a\n1,y\n2,z\n").unwrap();
    until_state(&handle, "live").await;
    timeout(PATIENCE, handle.until_current()).await.unwrap().unwrap();
    assert_eq!(rows(&sink), ["(a='y', id='1')", "(a='z', id='2')"]);
}

#[tokio::test]
async fn half_a_line_at_the_journals_end_was_never_there() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("t.csv"), "id\n1\n").unwrap();
    let head = connector(&directory).head().await.unwrap();
    let mut journal = OpenOptions::new().append(true).open(directory.path().join("journal")).unwrap();
    journal.write_all(b"{\"sequence\":").unwrap();
    assert_eq!(connector(&directory).head().await.unwrap(), head);
}

#[tokio::test]
async fn a_place_after_a_backup_of_the_journal_is_lost() {
    let directory = TempDir::new().unwrap();
    let (file, journal) = (directory.path().join("t.csv"), directory.path().join("journal"));
    let write = |rows: &str| fs::write(&file, format!("id\n{rows}")).unwrap();
    write("1\n");
    let early = connector(&directory).head().await.unwrap();
    let backup = fs::read(&journal).unwrap();
    write("1\n2\n");
    let late = connector(&directory).head().await.unwrap();
    fs::write(&journal, backup).unwrap();
    write("1\n3\n");
    // The second connector finds an entry there that takes the place of the one that is gone.
    for _ in 0..2 {
        let restored = connector(&directory);
        let catalog = || Catalog { selection: selection(), tables: Vec::new() };
        let lost = restored.stream(&late, catalog()).await.err();
        assert!(matches!(lost, Some(SourceError::PositionLost { .. })), "{lost:?}");
        assert!(restored.stream(&early, catalog()).await.is_ok());
        assert!(restored.head().await.unwrap() > late);
    }
}

#[tokio::test]
async fn files_that_look_alike_and_change_places_are_noticed() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let old = SystemTime::now() - Duration::from_secs(3_600);
    for (name, content) in [("a.csv", "id\n1\n"), ("b.csv", "id\n2\n")] {
        fs::write(path(name), content).unwrap();
        OpenOptions::new().write(true).open(path(name)).unwrap().set_modified(old).unwrap();
    }
    let connector = connector(&directory);
    let before = connector.head().await.unwrap();
    assert_eq!(connector.head().await.unwrap(), before);
    fs::rename(path("a.csv"), path("c")).unwrap();
    fs::rename(path("b.csv"), path("a.csv")).unwrap();
    fs::rename(path("c"), path("b.csv")).unwrap();
    assert!(connector.head().await.unwrap() > before);
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_a_problem_with_a_remedy() {
    let directory = TempDir::new().unwrap();
    let (files, journal) = (directory.path().join("missing"), directory.path().join("journal"));
    let connector = Directory { files, journal }.connector().unwrap();
    let problems = connector.check(&selection()).await.unwrap();
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].remedy.is_empty());
    assert!(connector.head().await.is_err_and(|error| error.is_transient()));
}
