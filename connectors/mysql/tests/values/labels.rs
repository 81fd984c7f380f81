//! ENUM and SET.

use super::bed::Bed;

on_servers!(few_labels, many_labels, labels_of_other_character_sets);

async fn few_labels(bed: &Bed) {
    let rows = bed
        .rows(
            r"id INT PRIMARY KEY, a ENUM('a','b''c','d,e','back\\slash','new\nline','é',''), b SET('x','y\'z','é'))
             CHARACTER SET utf8mb4",
            r"INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b''c', 'x,y\'z,é'), (4, 'back\\slash', NULL),
                                   (5, 'new\nline', 'é'), (6, 'é', ''), (7, '', 'x'), (8, NULL, 'x');
              INSERT IGNORE INTO t VALUES (3, 'none of them', 'nor of these')",
        )
        .await;
    assert_eq!(
        rows,
        [
            r#"1,'a','["x"]'"#,
            r#"2,'b'c','["x","y'z","é"]'"#,
            "3,'','[]'",
            r"4,'back\slash',NULL",
            "5,'new\nline','[\"é\"]'",
            "6,'é','[]'",
            r#"7,'','["x"]'"#,
            r#"8,NULL,'["x"]'"#,
        ]
    );
}

/// On both sides of every number of labels that makes values wider.
async fn many_labels(bed: &Bed) {
    let labels = |stem: &str, count: usize| (0..count).map(|n| format!("'{stem}{n}'")).collect::<Vec<_>>().join(",");
    let mut columns = "id INT PRIMARY KEY".to_owned();
    for count in [255, 256] {
        columns += &format!(", e{count} ENUM({})", labels("l", count));
    }
    for count in [8, 9, 16, 17, 24, 25, 32, 33, 64] {
        columns += &format!(", s{count} SET({})", labels("s", count));
    }
    let rows = bed
        .rows(
            &(columns + ")"),
            "INSERT INTO t VALUES
             (1, 'l254', 'l255', 's7', 's8', 's15', 's16', 's23', 's24', 's31', 's32', 's0,s63'),
             (2, 'l0', 'l0', 's0', 's0', 's0', 's0', 's0', 's0', 's0', 's0', 's1,s62')",
        )
        .await;
    assert!(rows[0].starts_with(r#"1,'l254','l255','["s7"]'"#) && rows[0].ends_with(r#"'["s0","s63"]'"#));
}

/// The server shows labels beyond three bytes with question marks in its schemas; both paths take them from there.
async fn labels_of_other_character_sets(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a ENUM('ж','щ') CHARACTER SET koi8r, b SET('one','zwö') CHARACTER SET utf16,
             c ENUM('ß') CHARACTER SET latin1, d ENUM('日','本') CHARACTER SET sjis, e ENUM('a','😀') CHARACTER SET utf8mb4)",
            "INSERT INTO t VALUES (1, 'щ', 'one,zwö', 'ß', '本', 'a'), (2, 'ж', '', NULL, '日', 2)",
        )
        .await;
    assert_eq!(rows, [r#"1,'щ','["one","zwö"]','ß','本','a'"#, "2,'ж','[]',NULL,'日','?'"]);
}
