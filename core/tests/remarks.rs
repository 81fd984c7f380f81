//! What a source has to say of itself while it is followed, and what is said of it when it isn't any more.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::pipeline::{ConnectionStatus, PipelineError};
use millstream_core::source::{Remark, Remarks};

use crate::history::{follow, sink, source, table};

fn remark(found: &str) -> Remark {
    Remark { found: found.to_owned(), remedy: "Mend it".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn what_is_amiss_is_shown_for_as_long_as_it_is() {
    let (source, sink) = (source(), sink());
    let (handle, running) = follow(&source, &sink);
    handle.until_current().await.unwrap();
    let shown = || async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let status = handle.status();
        (status.standstill, status.tables[0].state.clone(), status.tables[0].reason.clone())
    };
    assert_eq!(shown().await, (None, "live".to_owned(), None));
    let tables = BTreeMap::from([(table(), remark("a column is left out"))]);
    source.remark(Remarks { standstill: Some(remark("nobody reads the log")), tables });
    let reason = Some("a column is left out. Mend it".to_owned());
    assert_eq!(shown().await, (Some(remark("nobody reads the log")), "live".to_owned(), reason));
    source.remark(Remarks::default());
    assert_eq!(shown().await, (None, "live".to_owned(), None));
    handle.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_rows_cannot_be_stored_is_followed_no_more() {
    let (source, sink) = (source(), sink());
    let (handle, running) = follow(&source, &sink);
    while handle.status().rows_read_per_second == 0.0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sink.fill();
    let outcome = running.await.unwrap();
    let Err(PipelineError::Sink(error)) = outcome else { panic!("{outcome:?}") };
    let status = handle.status();
    let failed = ConnectionStatus::Failed { reason: error.diagnosis, remedy: error.remedy };
    assert_eq!((status.connection, status.behind_ms), (failed, None));
    assert_eq!((status.changes_per_second, status.rows_read_per_second), (0.0, 0.0));
}
