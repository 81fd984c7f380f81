//! Before anything is followed.

use millstream_core::source::Severity;

use crate::conformance::recording::Recording;
use crate::conformance::{Backend, Scene};

pub async fn a_good_set_up_has_no_errors<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    let problems = scene.connector().check(&scene.selection()).await.expect("the set-up can be checked");
    let errors: Vec<_> = problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "the back-end's set-up is meant to be good: {errors:#?}");
    for problem in &problems {
        assert!(!problem.remedy.is_empty(), "a problem without a remedy: {problem:?}");
    }
}

/// Whatever is committed before the head is asked for, a stream has delivered once it has reached that head.
pub async fn the_head_lies_after_everything_committed<B: Backend>(mut scene: Scene<B>) {
    scene.writer.create_keyed("t").await;
    let connector = scene.connector();
    let mut recording = Recording::begin(connector.as_ref(), &scene.selection()).await;
    let mut last = connector.head().await.expect("the head is known");
    for _ in 0..10 {
        scene.writer.insert("t", 1).await;
        let head = connector.head().await.expect("the head is known");
        assert!(head >= last, "the head went back from {last} to {head}");
        last = head;
        recording.catch_up(connector.as_ref()).await;
        let rows = scene.writer.model.table("t").rows.len();
        assert_eq!(recording.items.len(), rows, "as many changes as rows, at {last}");
    }
}

pub async fn tables_are_found_with_their_schemas<B: Backend>(mut scene: Scene<B>) {
    let connector = scene.connector();
    let none = connector.discover(&scene.selection()).await.expect("an empty source can be looked at");
    assert!(none.tables.is_empty(), "{:?}", none.tables);
    for table in ["t2", "hidden", "t1"] {
        scene.writer.create_keyed(table).await;
    }
    let found = connector.discover(&scene.selection()).await.expect("the tables are found");
    let names: Vec<&str> = found.tables.iter().map(|schema| schema.table.name.as_str()).collect();
    assert_eq!(names, ["t1", "t2"], "the selected ones, sorted by name");
    for schema in &found.tables {
        let columns: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, ["id", "n", "a", "b"]);
        assert_eq!(schema.identity_names().collect::<Vec<_>>(), ["id"]);
        assert_eq!(schema.table.schema, scene.backend.namespace());
    }
    let again = connector.discover(&scene.selection()).await.expect("the tables are found");
    let versions = |discovery: &millstream_core::source::Discovery| {
        discovery.tables.iter().map(|schema| schema.version()).collect::<Vec<_>>()
    };
    assert_eq!(versions(&found), versions(&again), "the same shape has the same version");
    assert!(again.position >= found.position);
}
