//! The floor: change tables read by the driver alone, every value fetched and dropped.

use std::hint::black_box;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tiberius::QueryItem;

use crate::failure::Failure;

use super::server::SimulatedServer;
use super::workload::{COLUMNS, DATABASE, TABLES, table};

/// What a read took, connecting to the server included.
pub(super) struct Read {
    pub(super) took: Duration,
    pub(super) rows: u64,
}

/// Reads all change tables one after the other, in the order of `cdc.fn_cdc_get_all_changes_…`.
pub(super) async fn read(server: &SimulatedServer) -> Result<Read, Failure> {
    let began = Instant::now();
    let mut connection = server.connect(server.address(), DATABASE).await?;
    let mut rows = 0;
    for number in 1..=TABLES {
        let sql = format!(
            "SELECT [__$start_lsn], [__$command_id], [__$seqval], [__$operation], {} FROM cdc.dbo_{}_CT \
             ORDER BY [__$start_lsn], [__$command_id], [__$seqval], [__$operation]",
            COLUMNS.join(", "),
            table(number)
        );
        let mut answer = connection.simple_query(sql).await?;
        while let Some(item) = answer.try_next().await? {
            if let QueryItem::Row(row) = item {
                rows += 1;
                row.cells().for_each(|(_, value)| {
                    black_box(value);
                });
            }
        }
    }
    Ok(Read { took: began.elapsed(), rows })
}
