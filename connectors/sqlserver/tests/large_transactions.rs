//! Transactions of more rows than a batch takes.

use crate::database::{Database, discovered, row_changes};

const ROWS: usize = 30_000;

/// Rows that the server comes by while a transaction of many rows is followed.
async fn rows_read(tells_commands: bool) -> u64 {
    let database = Database::start();
    let control = database.sim().control();
    control.set_command_ids(tells_commands);
    database.run("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a int NULL)");
    database.capture("t");
    let source = database.source();
    let discovery = discovered(source.as_ref(), &["t"]).await;
    database.run(&format!("INSERT INTO dbo.t SELECT value, 0 FROM GENERATE_SERIES(1, {ROWS})"));
    while control.pending("shop").unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let before = control.rows_read();
    let changes = row_changes(source.as_ref(), &discovery, ROWS).await;
    let ids: Vec<&str> = changes.iter().map(|(_, cells)| cells[0].as_str()).collect();
    assert!((1..=ROWS).map(|id| id.to_string()).eq(ids.iter().map(|id| (*id).to_owned())), "each row once, in order");
    control.rows_read() - before
}

/// Each batch began with the first row of the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_transaction_come_by_once() {
    for tells_commands in [true, false] {
        let read = rows_read(tells_commands).await;
        println!("{read} rows for {ROWS}");
        // The server reads some ahead of what is wanted.
        assert!(read < ROWS as u64 * 7 / 4, "{read} rows for {ROWS}");
    }
}
