//! [`Cascades::affected`] against a server whose cascades aren't logged: random foreign keys, random changes of parents,
//! and every table that changed must have been named. `MILLSTREAM_SEED` replays one run.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_core::schema::TableName;
use millstream_testkit::{Flavor, Server, ServerOptions, require_server};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::config::MySqlConfig;

const TABLES: [&str; 5] = ["a", "b", "c", "e", "f"];
const RULES: [&str; 4] = ["RESTRICT", "CASCADE", "SET NULL", "NO ACTION"];
const LIMIT: Duration = Duration::from_secs(60);
const FAMILIES: u32 = 25;
const CHANGES: u32 = 8;

/// Tables with a key `id`, a second one `k`, and foreign keys between any of them, themselves included.
fn family(rng: &mut StdRng) -> String {
    let mut sql = "DROP DATABASE IF EXISTS d; CREATE DATABASE d; USE d; SET foreign_key_checks = 0;".to_owned();
    for table in TABLES {
        sql.push_str(&format!(
            "CREATE TABLE {table} (id INT PRIMARY KEY, k INT UNIQUE, p INT, q INT, KEY (p), KEY (q)"
        ));
        for column in ["p", "q", "k"] {
            if rng.random_bool(0.5) {
                let (parent, key) = (TABLES[rng.random_range(0..TABLES.len())], ["id", "k"][rng.random_range(0..2)]);
                let (delete, update) = (RULES[rng.random_range(0..4)], RULES[rng.random_range(0..4)]);
                sql.push_str(&format!(
                    ", CONSTRAINT {table}_{column} FOREIGN KEY ({column}) REFERENCES {parent} ({key}) ON DELETE {delete} ON UPDATE {update}"
                ));
            }
        }
        sql.push_str(");");
        for id in 1..=4 {
            sql.push_str(&format!("INSERT INTO {table} VALUES ({id}, {id}, {id}, {});", 5 - id));
        }
    }
    sql
}

async fn contents(server: &Server) -> BTreeMap<&'static str, Vec<Vec<Option<String>>>> {
    let mut contents = BTreeMap::new();
    for table in TABLES {
        contents.insert(table, server.rows(&format!("SELECT * FROM d.{table} ORDER BY id")).await.unwrap());
    }
    contents
}

#[tokio::test]
async fn every_table_that_a_cascade_changed_is_named() {
    require_server!(Flavor::MariaDb);
    let seed = std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (replay: MILLSTREAM_SEED={seed})");
    let mut rng = StdRng::seed_from_u64(seed);
    let server = Server::start(Flavor::MariaDb, ServerOptions::new()).await.unwrap();
    let connector = Connector::new(MySqlConfig::new(server.uri("root", "", "")).settings("test").unwrap());
    let mut connection = connector.open().await.unwrap();
    let mut cascaded = 0;
    for _ in 0..FAMILIES {
        let family = family(&mut rng);
        server.sql(&family).await.unwrap();
        let cascades = unlogged_cascades(&mut connection, LIMIT).await.unwrap().unwrap();
        for _ in 0..CHANGES {
            let parent = TABLES[rng.random_range(0..TABLES.len())];
            let id = rng.random_range(1..5);
            let (statement, change) = match rng.random_range(0..3) {
                0 => (format!("DELETE FROM {parent} WHERE id = {id}"), ParentChange::Deleted),
                1 => (format!("UPDATE {parent} SET id = id + 10 WHERE id = {id}"), ParentChange::Updated(&["id"])),
                _ => (format!("UPDATE {parent} SET k = k + 10 WHERE id = {id}"), ParentChange::Updated(&["k"])),
            };
            let before = contents(&server).await;
            if server.sql_in("d", &statement).await.is_err() {
                continue;
            }
            let after = contents(&server).await;
            let named = cascades.affected(&TableName::new("d", parent), change);
            for table in TABLES {
                // The parent's own row is in the log; its others aren't.
                let logged = |row: &&Vec<Option<String>>| {
                    table == parent && [id, id + 10].map(|id| Some(id.to_string())).contains(&row[0])
                };
                let rest = |contents: &BTreeMap<_, Vec<_>>| -> Vec<Vec<Option<String>>> {
                    contents[table].iter().filter(|row| !logged(row)).cloned().collect()
                };
                if rest(&before) != rest(&after) {
                    cascaded += 1;
                    let name = TableName::new("d", table);
                    assert!(named.contains(&name), "{statement} changed {table}, not only {named:?}, with {family}");
                }
            }
        }
    }
    assert!(cascaded > 10, "only {cascaded} cascades");
}
