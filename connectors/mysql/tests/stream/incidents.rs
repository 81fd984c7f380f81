//! What a server notes in its log instead of events that it couldn't write there.

use std::fs::{self, OpenOptions};
use std::io::Write;

use millstream_mysql::MySqlConfig;
use millstream_testkit::{Flavor, Server, ServerOptions, require_server};

use super::follow::Fixture;

/// The event that says so, for the end of a file of this length, with its checksum.
fn incident(file_bytes: u64) -> Vec<u8> {
    const INCIDENT: u8 = 26;
    const MESSAGE: &[u8] = b"disk trouble";
    let size = u32::try_from(19 + 3 + MESSAGE.len() + 4).unwrap();
    let end = u32::try_from(file_bytes).unwrap() + size;
    let mut event = 1_700_000_000_u32.to_le_bytes().to_vec();
    event.push(INCIDENT);
    for number in [1_u32, size, end] {
        event.extend_from_slice(&number.to_le_bytes());
    }
    event.extend_from_slice(&[0, 0, 1, 0, MESSAGE.len() as u8]);
    event.extend_from_slice(MESSAGE);
    let checksum = crc32fast::hash(&event);
    event.extend_from_slice(&checksum.to_le_bytes());
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_server_lost_have_every_table_read_again() {
    for flavor in [Flavor::MySql, Flavor::MariaDb] {
        require_server!(flavor);
        let mut server = Server::start(flavor, ServerOptions::new()).await.unwrap();
        let mut fixture = Fixture::new(server.endpoint()).await;
        fixture.sql("CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY)").await;
        let (position, catalog) = fixture.here().await;
        fixture.sql("INSERT INTO t VALUES (1)").await;
        server.stop().await.unwrap();
        let data = fs::read_dir(server.data_dir().unwrap()).unwrap();
        let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let is_log = |path: &std::path::PathBuf| {
            name(path).strip_prefix("binlog.").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let log = data.map(|entry| entry.unwrap().path()).filter(is_log).max().unwrap();
        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(&incident(file.metadata().unwrap().len())).unwrap();
        drop(file);
        server.restart().await.unwrap();
        // Without connections that ended with the server.
        fixture.source = MySqlConfig::new(fixture.endpoint.uri("root", "", &fixture.database)).build("test").unwrap();
        let mut follow = fixture.follow_from(&position, catalog).await;
        fixture.sql("INSERT INTO t VALUES (2)").await;
        assert_eq!(follow.lines().await, ["t + 1", "t rows replaced", "u rows replaced", "t + 2"], "{flavor}");
    }
}
