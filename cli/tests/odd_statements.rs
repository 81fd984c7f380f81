//! Statements by which rows come, go and change otherwise than by plain inserts, updates and deletes: after each the
//! buckets hold what a fresh read gives.

use millstream_testkit::{Flavor, Server, ServerOptions, require_server};

use crate::workspace::Workspace;

const TABLES: &str = "
    CREATE TABLE plain (id INT PRIMARY KEY, c VARCHAR(50), n INT);
    CREATE TABLE parts (id INT PRIMARY KEY, c VARCHAR(20))
        PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (100), PARTITION p1 VALUES LESS THAN MAXVALUE);
    CREATE TABLE spare (id INT PRIMARY KEY, c VARCHAR(20));
    CREATE TABLE days (id INT PRIMARY KEY, d DATE NULL, t DATETIME NULL);
    CREATE TABLE parent (id INT PRIMARY KEY);
    CREATE TABLE child (id INT PRIMARY KEY, parent_id INT NULL,
        FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE grandchild (id INT PRIMARY KEY, child_id INT NULL,
        FOREIGN KEY (child_id) REFERENCES child (id) ON DELETE SET NULL);
    INSERT INTO plain VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3);
    INSERT INTO parts VALUES (1, 'a'), (2, 'b'), (101, 'c');
    INSERT INTO spare VALUES (5, 'x'), (6, 'y');
    INSERT INTO parent VALUES (1), (2), (3);
    INSERT INTO child VALUES (10, 1), (11, 1), (20, 2);
    INSERT INTO grandchild VALUES (100, 10), (110, 11), (200, 20);";

/// Each on a connection of its own, so that what a session sets ends with it.
const BOTH: &[&str] = &[
    "XA START 'a'; INSERT INTO plain VALUES (4, 'prepared', 4); XA END 'a'; XA PREPARE 'a'; XA COMMIT 'a'",
    "XA START 'b'; DELETE FROM plain WHERE id = 1; XA END 'b'; XA PREPARE 'b'; XA ROLLBACK 'b'",
    "XA START 'c'; UPDATE plain SET n = 9 WHERE id = 2; XA END 'c'; XA COMMIT 'c' ONE PHASE",
    "SELECT id + 50, c, n FROM plain INTO OUTFILE '{folder}/rows.txt'; \
     LOAD DATA INFILE '{folder}/rows.txt' INTO TABLE plain",
    "SET SESSION binlog_format = 'STATEMENT'; LOAD DATA INFILE '{folder}/rows.txt' REPLACE INTO TABLE plain; \
     UPDATE plain SET n = n + 1",
    "CREATE TABLE copied (PRIMARY KEY (id)) AS SELECT id, c FROM plain",
    "CREATE TABLE alike LIKE plain; INSERT INTO alike SELECT * FROM plain",
    "CREATE TEMPORARY TABLE plain (id INT PRIMARY KEY, other INT); INSERT INTO plain VALUES (1, 1); \
     ALTER TABLE plain ADD COLUMN more INT; UPDATE plain SET more = 1; DROP TEMPORARY TABLE plain",
    "CREATE TEMPORARY TABLE passing (id INT PRIMARY KEY); INSERT INTO passing VALUES (1000); \
     INSERT INTO alike SELECT id, 'temporary', 0 FROM passing",
    "ALTER TABLE plain ADD COLUMN doubled INT AS (n * 2) STORED, ADD COLUMN tripled INT AS (n * 3) VIRTUAL; \
     UPDATE plain SET n = n + 1; INSERT INTO plain (id, c, n) VALUES (30, 'generated', 7)",
    "ALTER TABLE plain MODIFY COLUMN doubled INT AS (n * 20) STORED",
    "ALTER TABLE plain ADD COLUMN hidden INT INVISIBLE DEFAULT 5; \
     INSERT INTO plain (id, c, n, hidden) VALUES (31, 'hidden', 7, 8)",
    "INSERT INTO plain (id, c, n) VALUES (1, 'again', 1) ON DUPLICATE KEY UPDATE c = 'twice'; \
     REPLACE INTO plain (id, c, n) VALUES (2, 'replaced', 22); \
     UPDATE plain SET id = id + 1000 ORDER BY id DESC LIMIT 3",
    "ALTER TABLE parts EXCHANGE PARTITION p0 WITH TABLE spare",
    "ALTER TABLE parts TRUNCATE PARTITION p1; INSERT INTO parts VALUES (102, 'd')",
    "ALTER TABLE parts REORGANIZE PARTITION p1 INTO \
     (PARTITION p1 VALUES LESS THAN (200), PARTITION p2 VALUES LESS THAN MAXVALUE)",
    "ALTER TABLE parts DROP PARTITION p0",
    "ALTER TABLE parts REMOVE PARTITIONING",
    "RENAME TABLE plain TO {other}.away; INSERT INTO {other}.away (id, c, n) VALUES (40, 'away', 0)",
    "RENAME TABLE {other}.away TO plain, copied TO {other}.copied, alike TO copied",
    "CREATE TABLE swap LIKE spare; RENAME TABLE spare TO held, swap TO spare, held TO swap",
    "SET FOREIGN_KEY_CHECKS = 1; DELETE FROM parent WHERE id = 1; UPDATE parent SET id = 22 WHERE id = 2",
    "REPLACE INTO parent VALUES (22)",
    "ALTER TABLE plain CONVERT TO CHARACTER SET latin1; INSERT INTO plain (id, c, n) VALUES (41, 'caf\u{e9}', 1)",
    "ALTER TABLE plain CONVERT TO CHARACTER SET utf8mb4; INSERT INTO plain (id, c, n) VALUES (42, '\u{1f375}', 1)",
    "SET sql_mode = ''; INSERT INTO days VALUES (1, '0000-00-00', '0000-00-00'), (2, '2024-00-15', '2024-02-30'), \
     (3, '2024-02-29', '9999-12-31 23:59:59')",
    "SET sql_mode = 'ALLOW_INVALID_DATES'; UPDATE days SET d = '2024-02-31' WHERE id = 3",
    "SET sql_mode = ''; ALTER TABLE days MODIFY COLUMN t DATETIME(3) NULL, MODIFY COLUMN d DATE NOT NULL",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'; \
     ALTER TABLE \"plain\" ADD COLUMN \"odd \\ name\" VARCHAR(9) DEFAULT 'a\\'; UPDATE plain SET n = 3 WHERE id > 10",
    "SET autocommit = 0; INSERT INTO parent VALUES (50); SAVEPOINT s; INSERT INTO parent VALUES (51); \
     ROLLBACK TO s; INSERT INTO parent VALUES (52); COMMIT",
    "CREATE TABLE isam (id INT PRIMARY KEY, c INT) ENGINE = MyISAM; BEGIN; INSERT INTO isam VALUES (1, 1); \
     INSERT INTO parent VALUES (60); ROLLBACK",
    "ALTER TABLE isam ENGINE = InnoDB; UPDATE isam SET c = 2",
    "CREATE PROCEDURE p() BEGIN INSERT INTO parent VALUES (70); DELETE FROM parent WHERE id = 3; END; CALL p()",
    "CREATE TRIGGER after_parent AFTER INSERT ON parent FOR EACH ROW INSERT INTO child VALUES (NEW.id, NEW.id); \
     INSERT INTO parent VALUES (80); DROP TRIGGER after_parent",
    "CREATE VIEW seen AS SELECT id, c FROM spare; INSERT INTO seen VALUES (90, 'v'); DROP VIEW seen",
    "DELETE child, grandchild FROM child JOIN grandchild ON grandchild.child_id = child.id",
    "LOCK TABLES spare WRITE; INSERT INTO spare VALUES (91, 'locked'); UNLOCK TABLES; TRUNCATE TABLE swap",
    "DROP DATABASE {other}",
];

const MYSQL: &[&str] = &[
    "CREATE TABLE documents (id INT PRIMARY KEY, d JSON); \
     INSERT INTO documents VALUES (1, '{\"a\": {\"b\": [1, 2, 3]}, \"s\": \"long enough to be worth a difference\"}')",
    "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; \
     UPDATE documents SET d = JSON_SET(d, '$.a.b[1]', 20); \
     UPDATE documents SET d = JSON_REMOVE(d, '$.a.b[0]'); \
     UPDATE documents SET d = JSON_REPLACE(d, '$.s', 'short')",
    "SET SESSION binlog_row_value_options = 'PARTIAL_JSON', binlog_row_image = 'MINIMAL'; \
     UPDATE documents SET d = JSON_SET(d, '$.a.b[0]', CAST(9.5 AS DECIMAL(4,2)))",
    "ALTER TABLE spare ADD COLUMN at_once INT NOT NULL DEFAULT 7, ALGORITHM = INSTANT; \
     ALTER TABLE spare DROP COLUMN at_once, ALGORITHM = INSTANT",
    "SET SESSION binlog_transaction_compression = ON; UPDATE spare SET c = 'zstd'",
    "SET SESSION sql_generate_invisible_primary_key = ON; CREATE TABLE keyless (id INT); \
     INSERT INTO keyless VALUES (1), (1), (2); DELETE FROM keyless WHERE id = 2",
    "SET GLOBAL innodb_lock_wait_timeout = 50; FLUSH TABLES; FLUSH BINARY LOGS; ANALYZE TABLE spare",
];

const MARIADB: &[&str] = &[
    "CREATE OR REPLACE TABLE spare (id INT PRIMARY KEY, c VARCHAR(20), extra INT) AS SELECT 1 AS id, 'r' AS c",
    "INSERT INTO spare (id, c) VALUES (2, 'returned') RETURNING id; DELETE FROM spare WHERE id = 1 RETURNING c",
    "ALTER TABLE parent ADD SYSTEM VERSIONING; UPDATE parent SET id = id + 500 WHERE id = 52; \
     DELETE FROM parent WHERE id = 70",
    "CREATE SEQUENCE numbers; INSERT INTO spare (id, c) VALUES (NEXT VALUE FOR numbers + 500, 'sequence')",
    "SET STATEMENT max_statement_time = 100 FOR UPDATE spare SET extra = 4",
    "ALTER TABLE IF EXISTS spare ADD COLUMN IF NOT EXISTS extra INT; ALTER TABLE spare DROP COLUMN IF EXISTS nothing",
    "CREATE TABLE bitemporal (id INT PRIMARY KEY, a DATE, b DATE, PERIOD FOR p (a, b)); \
     INSERT INTO bitemporal VALUES (1, '2024-01-01', '2024-12-31'); \
     DELETE FROM bitemporal FOR PORTION OF p FROM '2024-11-01' TO '2024-12-31'",
];

#[tokio::test(flavor = "multi_thread")]
async fn odd_statements_on_mysql() {
    require_server!(Flavor::MySql);
    odd_statements(Flavor::MySql, MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_statements_on_mariadb() {
    require_server!(Flavor::MariaDb);
    odd_statements(Flavor::MariaDb, MARIADB).await;
}

async fn odd_statements(flavor: Flavor, own: &[&str]) {
    let options = ServerOptions::new().set("secure-file-priv", "").set("binlog-row-metadata", "FULL");
    let server = Server::start(flavor, options).await.unwrap();
    let database = server.create_database("odd").await.unwrap();
    let other = server.create_database("other").await.unwrap();
    server.sql_in(&database, TABLES).await.unwrap();
    let workspace = Workspace::on(&server, &database).await;
    // Whatever is made later is followed, too.
    let everything = "bucket_definitions:\n  all:\n    data:\n      - SELECT * FROM \"%\"\n";
    workspace.write("sync-config.yaml", everything);
    let running = workspace.follow();
    workspace.run(&["verify"]).good();
    let folder = server.data_dir().unwrap().display().to_string();
    for statements in BOTH.iter().chain(own) {
        let statements = statements.replace("{folder}", &folder).replace("{other}", &other);
        server.sql_in(&database, &statements).await.unwrap_or_else(|error| panic!("{statements}\n{error:?}"));
        let said = workspace.run(&["verify"]);
        assert_eq!(said.code, Some(0), "after {statements}\n{}\n{}", said.stdout, said.stderr);
    }
    running.signal("TERM");
    running.wait().good();
    workspace.run(&["verify"]).good();
}
