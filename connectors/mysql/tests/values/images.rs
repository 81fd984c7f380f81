//! Rows of which the log tells only a part.

use super::bed::Bed;

on_servers!(little_images, images_without_blobs, images_without_anything, identities_that_move);

async fn told(bed: &Bed, columns: &str, statements: &str) -> Vec<String> {
    let (from, schema) = bed.create(columns).await;
    bed.sql(statements).await;
    let told = bed.told(&from, &schema).await;
    assert!(!told.replaced);
    bed.compare(&told).await;
    told.lines
}

async fn little_images(bed: &Bed) {
    let lines = told(
        bed,
        "id INT PRIMARY KEY, a INT DEFAULT 5, b TEXT, c INT)",
        "SET binlog_row_image = MINIMAL;
         INSERT INTO t (id) VALUES (1); INSERT INTO t VALUES (2, 3, 'x', 4); UPDATE t SET a = 7 WHERE id = 1;
         UPDATE t SET id = 9 WHERE id = 2; DELETE FROM t WHERE id = 1",
    )
    .await;
    assert_eq!(lines, ["? 1", "+ 2,3,'x',4", "? 1", "- 2", "? 9", "- 1"]);
}

async fn images_without_blobs(bed: &Bed) {
    let lines = told(
        bed,
        "id INT PRIMARY KEY, a INT, b TEXT)",
        "SET binlog_row_image = NOBLOB;
         INSERT INTO t VALUES (1, 2, 'x'); UPDATE t SET a = 7; UPDATE t SET b = 'y'; DELETE FROM t",
    )
    .await;
    assert_eq!(lines, ["+ 1,2,'x'", "? 1", "+ 1,7,'y'", "- 1"]);
}

/// An insert of defaults alone has no columns and so no bytes: not even how many rows there were is told.
async fn images_without_anything(bed: &Bed) {
    let (from, schema) = bed.create("id INT PRIMARY KEY DEFAULT 3, a INT)").await;
    bed.sql("SET binlog_row_image = MINIMAL; INSERT INTO t () VALUES ()").await;
    let told = bed.told(&from, &schema).await;
    assert!(told.replaced && told.lines.is_empty());
}

/// Also between keys that compare equal, as an identity is its bytes.
async fn identities_that_move(bed: &Bed) {
    let lines = told(
        bed,
        "id VARCHAR(10) COLLATE utf8mb4_general_ci PRIMARY KEY, a INT) CHARACTER SET utf8mb4",
        "INSERT INTO t VALUES ('Abc', 1); UPDATE t SET id = 'abc'; UPDATE t SET id = 'abd', a = 2; UPDATE t SET a = 3",
    )
    .await;
    assert_eq!(lines, ["+ 'Abc',1", "- 'Abc'", "+ 'abc',1", "- 'abc'", "+ 'abd',2", "+ 'abd',3"]);
}
