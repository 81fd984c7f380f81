//! Texts, whose character sets have a file of their own.

use super::bed::Bed;

on_servers!(short_texts, long_texts);

async fn short_texts(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a CHAR(10), b VARCHAR(10), c CHAR(0), d VARCHAR(0), e CHAR(9) COLLATE utf8mb4_bin,
             f TINYTEXT, g VARCHAR(300)) CHARACTER SET utf8mb4",
            "INSERT INTO t VALUES (1, 'abc  ', 'x  ', '', '', 'w ', 't ', 'é😀'), (2, '', '', '', '', '', '', ''),
                                  (3, '日本語日本語日本語日', '\\0\\n', '', '', ' ', '\\'\"', ' '),
                                  (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    let expected = ["1,'abc','x  ','','','w','t ','é😀'", "2,'','','','','','',''"];
    assert_eq!(rows[..2], expected);
    assert_eq!(
        rows[2..],
        ["3,'日本語日本語日本語日','\0\n','','','','\'\"',' '", "4,NULL,NULL,NULL,NULL,NULL,NULL,NULL"]
    );
}

/// On both sides of every length that a length's bytes end at.
async fn long_texts(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a CHAR(255), b VARCHAR(255) CHARACTER SET latin1, c VARCHAR(256) CHARACTER SET latin1,
             d TINYTEXT, e TEXT, f MEDIUMTEXT, g LONGTEXT) CHARACTER SET utf8mb4",
            "INSERT INTO t VALUES (1, REPEAT('é', 255), REPEAT('é', 255), REPEAT('é', 256), REPEAT('a', 255),
                                   REPEAT('é', 32767), REPEAT('x', 65536), REPEAT('y', 300000));
             INSERT INTO t VALUES (2, REPEAT('😀', 64), 'b', 'c', 'd', 'e', REPEAT('z', 17000000), NULL)",
        )
        .await;
    assert_eq!(rows[0].len(), 1 + 7 * 3 + 510 + 510 + 512 + 255 + 65_534 + 65_536 + 300_000);
}
