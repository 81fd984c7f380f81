//! Dates and times.

use super::bed::Bed;

on_servers!(moments, durations, days_that_arent);
on_one!(MariaDb, mariadbs_old_formats);

async fn moments(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a DATE, b DATETIME, c DATETIME(1), d DATETIME(3), e DATETIME(4), f DATETIME(6),
             g TIMESTAMP NULL, h TIMESTAMP(2) NULL, i TIMESTAMP(6) NULL)",
            "INSERT INTO t VALUES
             (1, '2024-02-29', '2024-02-29 23:59:59', '2024-02-29 23:59:59.9', '2024-02-29 23:59:59.999',
              '2024-02-29 23:59:59.9999', '2024-02-29 23:59:59.999999', '2024-02-29 23:59:59',
              '2024-02-29 23:59:59.99', '2024-02-29 23:59:59.999999'),
             (2, '9999-12-31', '1000-01-01', '0001-01-01 00:00:00.1', '9999-12-31 23:59:59.99', '1970-01-01', '2000-01-01',
              '1970-01-01 00:00:01', '2038-01-19 03:14:07.99', '2001-09-09 01:46:40.000001'),
             (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
             SET time_zone = '+05:30';
             INSERT INTO t (id, b, g) VALUES (4, '2024-01-01 00:00:00', '2024-01-01 00:00:00')",
        )
        .await;
    assert_eq!(
        rows,
        [
            "1,'2024-02-29','2024-02-29T23:59:59.000Z','2024-02-29T23:59:59.900Z','2024-02-29T23:59:59.999Z',\
             '2024-02-29T23:59:59.9999Z','2024-02-29T23:59:59.999999Z','2024-02-29T23:59:59.000Z',\
             '2024-02-29T23:59:59.990Z','2024-02-29T23:59:59.999999Z'",
            "2,'9999-12-31','1000-01-01T00:00:00.000Z','0001-01-01T00:00:00.100Z','9999-12-31T23:59:59.990Z',\
             '1970-01-01T00:00:00.0000Z','2000-01-01T00:00:00.000000Z','1970-01-01T00:00:01.000Z',\
             '2038-01-19T03:14:07.990Z','2001-09-09T01:46:40.000001Z'",
            "3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
            "4,NULL,'2024-01-01T00:00:00.000Z',NULL,NULL,NULL,NULL,'2023-12-31T18:30:00.000Z',NULL,NULL",
        ]
    );
}

async fn durations(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a TIME, b TIME(1), c TIME(2), d TIME(3), e TIME(4), f TIME(6))",
            "INSERT INTO t VALUES
             (1, '15:47:00', '23:59:59.9', '23:59:59.99', '23:59:59.999', '23:59:59.9999', '23:59:59.999999'),
             (2, '-838:59:59', '-838:59:58.9', '-00:00:00.01', '-00:00:01.001', '-00:00:00.0001', '-838:59:58.999999'),
             (3, '838:59:59', '838:59:58.1', '100:00:00', '-100:00:00', '00:00:00', '-01:00:00.5'),
             (4, NULL, NULL, NULL, NULL, NULL, NULL)",
        )
        .await;
    assert_eq!(
        rows,
        [
            "1,'15:47:00','23:59:59.9','23:59:59.99','23:59:59.999','23:59:59.9999','23:59:59.999999'",
            "2,'-838:59:59','-838:59:58.9','-00:00:00.01','-00:00:01.001','-00:00:00.0001','-838:59:58.999999'",
            "3,'838:59:59','838:59:58.1','100:00:00.00','-100:00:00.000','00:00:00.0000','-01:00:00.500000'",
            "4,NULL,NULL,NULL,NULL,NULL,NULL",
        ]
    );
}

/// They keep their digits, so that nothing is lost.
async fn days_that_arent(bed: &Bed) {
    let rows = bed
        .rows(
            "id INT PRIMARY KEY, a DATE, b DATETIME, c DATETIME(6), d TIMESTAMP NULL, e TIMESTAMP(3) NULL)",
            "INSERT INTO t VALUES (1, 0, 0, 0, 0, 0),
                                  (2, '2024-00-15', '2024-02-31 10:00:00', '2024-00-00 00:00:00.5', NULL, NULL)",
        )
        .await;
    assert_eq!(
        rows,
        [
            "1,'0000-00-00','0000-00-00T00:00:00.000Z','0000-00-00T00:00:00.000000Z','0000-00-00T00:00:00.000Z',\
             '0000-00-00T00:00:00.000Z'",
            "2,'2024-00-15','2024-02-31T10:00:00.000Z','2024-00-00T00:00:00.500000Z',NULL,NULL",
        ]
    );
}

/// Tables keep the format that they were made with.
async fn mariadbs_old_formats(bed: &Bed) {
    let server = millstream_testkit::Server::start(
        millstream_testkit::Flavor::MariaDb,
        millstream_testkit::ServerOptions::new().set("mysql56_temporal_format", "OFF"),
    );
    let server = server.await.unwrap();
    let old = Bed::on(server.clone()).await;
    let digits = |kind: &str| (0..7).map(|n| format!(", {kind}{n} {kind}({n}) NULL")).collect::<String>();
    let columns = format!("id INT PRIMARY KEY, d DATE{}{}{})", digits("DATETIME"), digits("TIMESTAMP"), digits("TIME"));
    let moments = "'2024-02-29 23:59:59.987654'".to_owned() + &", '2024-02-29 23:59:59.987654'".repeat(13);
    let zeros = "0".to_owned() + &", 0".repeat(13);
    let times = |time: &str| format!("'{time}'") + &format!(", '{time}'").repeat(6);
    let statements = format!(
        "SET sql_mode = 'TIME_ROUND_FRACTIONAL';
         INSERT INTO t VALUES (1, '2024-02-29', {moments}, {});
         INSERT INTO t VALUES (2, 0, {zeros}, {});
         INSERT INTO t (id) VALUES (3)",
        times("23:59:58.123456"),
        times("-838:59:58.1"),
    );
    let rows = old.rows(&columns, &statements).await;
    assert!(rows[0].contains("'2024-02-29T23:59:59.988Z'") && rows[0].contains("'2024-02-29T23:59:59.987654Z'"));
    assert!(rows[1].contains("'-838:59:58.100000'") && rows[1].contains("'0000-00-00T00:00:00.000000Z'"));
    // The same in today's format.
    assert_eq!(rows, bed.rows(&columns, &statements).await);
}
