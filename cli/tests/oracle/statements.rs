//! Random statements that fit the tables as they are at the moment.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use millstream_testkit::{Endpoint, Flavor};

/// A table as information_schema tells.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    /// Names and types; `generated` before the type of those that take no value.
    pub columns: Vec<(String, String)>,
    pub has_key: bool,
    pub partitioned: bool,
}

impl Table {
    fn spare(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "id")
    }
}

/// The selected tables of a database, by name.
pub async fn tables(server: &Endpoint, database: &str) -> Vec<Table> {
    let query = format!(
        "SELECT t.TABLE_NAME, c.COLUMN_NAME, \
         IF(c.GENERATION_EXPRESSION <> '', CONCAT('generated ', c.DATA_TYPE), c.DATA_TYPE), t.CREATE_OPTIONS, \
         (SELECT COUNT(*) FROM information_schema.STATISTICS s WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA \
          AND s.TABLE_NAME = t.TABLE_NAME AND s.INDEX_NAME = 'PRIMARY') \
         FROM information_schema.TABLES t JOIN information_schema.COLUMNS c \
         ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME \
         WHERE t.TABLE_SCHEMA = '{database}' AND t.TABLE_NAME LIKE 't%' ORDER BY t.TABLE_NAME, c.ORDINAL_POSITION"
    );
    let mut tables: Vec<Table> = Vec::new();
    for row in server.rows(&query).await.expect("information_schema answers") {
        let text = |index: usize| row[index].clone().unwrap_or_default();
        if tables.last().is_none_or(|table| table.name != text(0)) {
            tables.push(Table {
                name: text(0),
                columns: Vec::new(),
                has_key: text(4) != "0",
                partitioned: text(3).contains("partitioned"),
            });
        }
        tables.last_mut().expect("just pushed").columns.push((text(1), text(2).to_lowercase()));
    }
    tables
}

fn value(random: &mut StdRng, data_type: &str) -> String {
    if random.random_bool(0.1) || data_type.starts_with("generated") {
        return "DEFAULT".into();
    }
    match data_type {
        "int" | "bigint" | "tinyint" | "smallint" | "mediumint" => random.random_range(-100..100).to_string(),
        "decimal" => format!("{}.{:02}", random.random_range(-999..999), random.random_range(0..100)),
        "date" => format!(
            "'20{:02}-0{}-1{}'",
            random.random_range(10..40),
            random.random_range(1..10),
            random.random_range(0..9)
        ),
        "enum" => format!("'{}'", ["red", "green"].choose(random).expect("not empty")),
        _ => format!("'{}'", ["", "a", "Zürich", "tab\\tquote\\'", "0", "x y"].choose(random).expect("not empty")),
    }
}

fn column_type(random: &mut StdRng) -> &'static str {
    ["INT", "BIGINT", "VARCHAR(20)", "VARCHAR(40) CHARACTER SET latin1", "DECIMAL(10,2)", "DATE", "ENUM('red','green')"]
        .choose(random)
        .expect("not empty")
}

fn default_of(column_type: &str) -> &'static str {
    match column_type {
        "INT" | "BIGINT" => "7",
        "DECIMAL(10,2)" => "1.50",
        "DATE" => "'2024-02-29'",
        "ENUM('red','green')" => "'green'",
        _ => "'new'",
    }
}

fn insert(random: &mut StdRng, table: &Table, rows: usize) -> String {
    let names: Vec<String> = table.columns.iter().map(|(name, _)| format!("`{name}`")).collect();
    let tuple = |random: &mut StdRng| {
        let values = table.columns.iter().map(|(name, data_type)| {
            if name == "id" { random.random_range(1..400).to_string() } else { value(random, data_type) }
        });
        format!("({})", values.collect::<Vec<_>>().join(","))
    };
    let tuples: Vec<String> = (0..rows).map(|_| tuple(random)).collect();
    let verb = if table.has_key { "REPLACE" } else { "INSERT" };
    format!("{verb} INTO `{}` ({}) VALUES {}", table.name, names.join(","), tuples.join(","))
}

fn update(random: &mut StdRng, table: &Table) -> String {
    let range = format!("id BETWEEN {0} AND {0} + {1}", random.random_range(0..400), random.random_range(0..30));
    let spare: Vec<&(String, String)> = table.columns.iter().filter(|(name, _)| name != "id").collect();
    match spare.choose(random) {
        Some((name, data_type)) => {
            format!("UPDATE IGNORE `{}` SET `{name}` = {} WHERE {range}", table.name, value(random, data_type))
        }
        None => format!("UPDATE IGNORE `{}` SET id = id + 1000 WHERE {range}", table.name),
    }
}

/// One thing that changes rows, in a session with settings of its own; may be several statements.
pub fn rows(random: &mut StdRng, tables: &[Table]) -> String {
    let zone = ["+00:00", "+09:00", "-11:30"].choose(random).expect("not empty");
    format!("SET time_zone = '{zone}'; {}", change(random, tables))
}

fn change(random: &mut StdRng, tables: &[Table]) -> String {
    let Some(table) = tables.choose(random) else { return "DO 0".into() };
    let name = &table.name;
    match random.random_range(0..20) {
        0..6 => insert(random, table, 1),
        6..8 => {
            let many = random.random_range(2..60);
            insert(random, table, many)
        }
        8..13 => update(random, table),
        13..16 => format!("DELETE FROM `{name}` WHERE id % 50 = {}", random.random_range(0..50)),
        16 => format!("UPDATE IGNORE `{name}` SET id = id + 7 WHERE id % 40 = {}", random.random_range(0..40)),
        17 => format!("BEGIN; {}; {}; ROLLBACK", insert(random, table, 3), update(random, table)),
        18 => format!(
            "BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO s; {}; COMMIT",
            insert(random, table, 2),
            update(random, table),
            update(random, table)
        ),
        _ => {
            let other = tables.choose(random).unwrap_or(table);
            format!(
                "BEGIN; {}; {}; {}; COMMIT",
                insert(random, table, 5),
                update(random, other),
                insert(random, other, 1)
            )
        }
    }
}

/// One schema change. It may turn out to be impossible: the server's refusal is an outcome like any other.
pub fn schema_change(random: &mut StdRng, flavor: Flavor, tables: &[Table]) -> String {
    let new_name = format!("t{}", random.random_range(0..6));
    let Some(table) = tables.choose(random) else {
        return format!("CREATE TABLE `{new_name}` (id INT PRIMARY KEY, a INT)");
    };
    let name = &table.name;
    let fresh = format!("c{}", random.random_range(0..8));
    let spare: Vec<&str> = table.spare().collect();
    let old = spare.choose(random).copied().unwrap_or("missing");
    let kind = column_type(random);
    match random.random_range(0..30) {
        0..3 => format!("ALTER TABLE `{name}` ADD COLUMN `{fresh}` {kind}"),
        3..6 => format!("ALTER TABLE `{name}` ADD COLUMN `{fresh}` {kind} NOT NULL DEFAULT {}", default_of(kind)),
        6 => format!("ALTER TABLE `{name}` ADD COLUMN `{fresh}` {kind} FIRST, ADD INDEX (`{fresh}`)"),
        7..9 => format!("ALTER TABLE `{name}` DROP COLUMN `{old}`"),
        9..11 => format!("ALTER TABLE `{name}` CHANGE COLUMN `{old}` `{fresh}` {kind}"),
        11 => format!("ALTER TABLE `{name}` RENAME COLUMN `{old}` TO `{fresh}`"),
        12 => format!("ALTER IGNORE TABLE `{name}` MODIFY COLUMN `{old}` {kind}"),
        13 => format!("ALTER TABLE `{name}` MODIFY COLUMN `{old}` VARCHAR(60)"),
        14 => format!("CREATE INDEX i{} ON `{name}` (id)", random.random_range(0..1000)),
        15 => format!("ALTER TABLE `{name}` COMMENT 'number {}'", random.random_range(0..9)),
        16 => format!("TRUNCATE TABLE `{name}`"),
        17 => format!("DROP TABLE `{name}`; CREATE TABLE `{name}` (id INT PRIMARY KEY, a INT, b VARCHAR(20))"),
        18 => format!("DROP TABLE IF EXISTS `{name}`"),
        19 => format!("CREATE TABLE IF NOT EXISTS `{new_name}` (id INT, a VARCHAR(20), PRIMARY KEY (id))"),
        20 => format!("CREATE TABLE `{new_name}` (id INT, a INT)"),
        21 => format!("CREATE TABLE `{new_name}` LIKE `{name}`; INSERT INTO `{new_name}` SELECT * FROM `{name}`"),
        22 => format!("RENAME TABLE `{name}` TO `{new_name}`"),
        23 => format!("RENAME TABLE `{name}` TO `hidden`; {}; RENAME TABLE `hidden` TO `{name}`", "DO 0"),
        // An online schema change: copy beside, then swap by one rename.
        24..26 => format!(
            "DROP TABLE IF EXISTS `_{name}_gho`, `_{name}_del`; CREATE TABLE `_{name}_gho` LIKE `{name}`; \
             ALTER TABLE `_{name}_gho` ADD COLUMN `{fresh}` {kind}; \
             INSERT INTO `_{name}_gho` SELECT *, NULL FROM `{name}`; \
             RENAME TABLE `{name}` TO `_{name}_del`, `_{name}_gho` TO `{name}`; DROP TABLE `_{name}_del`"
        ),
        26 => match tables.choose(random) {
            Some(other) if other.name != *name => {
                format!("RENAME TABLE `{name}` TO `swap`, `{0}` TO `{name}`, `swap` TO `{0}`", other.name)
            }
            _ => format!("ALTER TABLE `{name}` ENGINE = InnoDB"),
        },
        27 if table.has_key => format!("ALTER TABLE `{name}` DROP PRIMARY KEY"),
        27 => format!("ALTER TABLE `{name}` ADD PRIMARY KEY (id)"),
        28 if table.partitioned => {
            format!("ALTER TABLE `{name}` TRUNCATE PARTITION p{}", random.random_range(0..3))
        }
        28 => format!("ALTER TABLE `{name}` PARTITION BY HASH (id) PARTITIONS 3"),
        // What the log has of this is what the writer's session makes of it.
        _ if random.random_bool(0.5) => {
            format!("ALTER TABLE `{name}` ADD COLUMN `{fresh}` VARCHAR(30) AS (FROM_UNIXTIME(id * 3600))")
        }
        _ => match flavor {
            Flavor::MySql => format!("ALTER TABLE `{name}` ADD COLUMN `{fresh}` INT AS (id * 2) VIRTUAL"),
            Flavor::MariaDb => {
                format!("ALTER TABLE `{name}` ADD COLUMN IF NOT EXISTS `{fresh}` INT AS (id * 2) STORED")
            }
        },
    }
}
