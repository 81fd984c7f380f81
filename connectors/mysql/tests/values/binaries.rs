//! Bytes without a character set.

use super::bed::Bed;

on_servers!(binary_strings, blobs, geometries, texts_after_every_type);
on_one!(MySql, vectors);
on_one!(MariaDb, compressed, addresses);

/// BINARY(n) has n bytes on both paths, though the log leaves out the zeros at its end.
async fn binary_strings(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a BINARY(5), b VARBINARY(10), c CHAR(3) CHARACTER SET binary,
             d VARCHAR(5) CHARACTER SET binary, e BINARY(0), f BINARY(255), g TEXT CHARACTER SET binary)",
            "INSERT INTO t VALUES (1, 'ab', 'ab', 'ab', 'ab', '', x'01', x'ff00'), (2, '', '', '', '', '', '', ''),
                                  (3, x'0001000000', x'00', x'000000', x'00ff', '', x'00', x'00'),
                                  (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    let zeros = "00".repeat(254);
    assert_eq!(rows[0], format!("1,x6162000000,x6162,x616200,x6162,x,x01{zeros},xff00"));
    assert_eq!(rows[1], format!("2,x0000000000,x,x000000,x,x,x00{zeros},x"));
    assert_eq!(rows[2], format!("3,x0001000000,x00,x000000,x00ff,x,x00{zeros},x00"));
}

async fn blobs(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a TINYBLOB, b BLOB, c MEDIUMBLOB, d LONGBLOB)",
            "INSERT INTO t VALUES (1, REPEAT(x'fe', 255), REPEAT(x'00', 65535), REPEAT(x'01', 65536), REPEAT(x'ff', 300000));
             INSERT INTO t VALUES (2, x'00', x'', x'ff', NULL)",
        )
        .await;
    assert_eq!(rows[1], "2,x00,x,xff,NULL");
}

/// The number of the reference system, then well-known binary.
async fn geometries(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a GEOMETRY, b POINT, c LINESTRING, d GEOMETRYCOLLECTION, e MULTIPOLYGON)",
            "INSERT INTO t VALUES (1, ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(1 2)', 4326),
                                   ST_GeomFromText('LINESTRING(0 0,1 1)'),
                                   ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))'), NULL),
                                  (2, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    assert!(rows[0].starts_with("1,x000000000101000000000000000000f03f0000000000000040,xe6100000"), "{}", rows[0]);
}

/// Four bytes for each number.
async fn vectors(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a VECTOR(3), b VECTOR)",
            "INSERT INTO t VALUES (1, TO_VECTOR('[1,2,3.5]'), TO_VECTOR('[1]')), (2, NULL, NULL)",
        )
        .await;
    assert_eq!(rows, ["1,x0000803f0000004000006040,x0000803f", "2,NULL,NULL"]);
}

async fn compressed(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a VARCHAR(200) COMPRESSED, b VARBINARY(300) COMPRESSED,
             c TEXT COMPRESSED CHARACTER SET latin1, d LONGBLOB COMPRESSED) CHARACTER SET utf8mb4",
            "INSERT INTO t VALUES (1, REPEAT('é', 200), REPEAT(x'00', 300), REPEAT('é', 3000), REPEAT('x', 100000)),
                                  (2, 'é', x'00', 'é', 'd'), (3, '', '', '', ''), (4, NULL, NULL, NULL, NULL);
             SET column_compression_zlib_wrap = ON;
             INSERT INTO t (id, d) VALUES (5, REPEAT('wrapped', 1000))",
        )
        .await;
    assert_eq!(rows[1..4], ["2,'é',x00,'é',x64", "3,'',x,'',x", "4,NULL,NULL,NULL,NULL"]);
}

async fn addresses(bed: &Bed) {
    let ipv6 = [
        "2001:db8::1",
        "::ffff:1.2.3.4",
        "::",
        "::1.2.3.4",
        "1:0:0:2::3",
        "1:0:2:3:4:5:6:7",
        "::1",
        "::1:0",
        "::0.1.0.0",
        "0:0:1:0:0:0:1:0",
        "1::",
        "::fffe:1.2.3.4",
        "::ffff:0:0",
        "0:1:0:1:0:1:0:1",
        "1:2:3:4:5:6:7:0",
    ];
    let values = ipv6.iter().enumerate().map(|(id, address)| format!("({}, '{address}')", id + 10));
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, v6 INET6, v4 INET4, u UUID)",
            &format!(
                "INSERT INTO t (id, v6) VALUES {};
                 INSERT INTO t (id, v4, u) VALUES (1, '1.2.3.4', '11223344-5566-1788-99aa-bbccddeeff00'),
                 (2, '0.0.0.0', '11223344-5566-7788-99aa-bbccddeeff00'),
                 (3, '32.32.32.32', '20202020-2020-2020-2020-202020202020'),
                 (4, '255.255.255.0', '00000000-0000-0000-0000-000000000000'),
                 (5, NULL, '11223344-5566-6788-19aa-bbccddeeff00')",
                values.collect::<Vec<_>>().join(", ")
            ),
        )
        .await;
    assert_eq!(rows[0], "1,NULL,'1.2.3.4','11223344-5566-1788-99aa-bbccddeeff00'");
    assert_eq!(rows[3], "4,NULL,'255.255.255.0','00000000-0000-0000-0000-000000000000'");
    assert_eq!(rows[6], "11,'::ffff:1.2.3.4',NULL,NULL");
}

/// The log lists the character sets of texts in the order of the columns that it holds for texts, among which are
/// some that aren't.
async fn texts_after_every_type(bed: &Bed) {
    let others = match bed.endpoint.flavor() {
        millstream_testkit::Flavor::MySql => "n VECTOR(3), o SET('o')",
        millstream_testkit::Flavor::MariaDb => "n UUID, o VARCHAR(9) COMPRESSED",
    };
    let rows = bed
        .rows(
            &format!(
                "id INT PRIMARY KEY, a JSON, b GEOMETRY, c BIT(9), d BINARY(3), e BLOB, f ENUM('x'), g DATE, h YEAR,
                 i DECIMAL(5,2), {others}, y VARCHAR(5) CHARACTER SET gbk, z VARCHAR(5) CHARACTER SET sjis)"
            ),
            "INSERT INTO t (id, y, z) VALUES (1, '你好', '日本')",
        )
        .await;
    assert!(rows[0].ends_with("'你好','日本'"), "{}", rows[0]);
}
