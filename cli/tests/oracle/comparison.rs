//! The second opinion: source and buckets read by other code than the program's own.

use serde_json::{Map, Value};

use millstream_testkit::Endpoint;

use super::statements::tables;

/// An output row, with NULL and absent taken as the same.
type Output = (String, String, Map<String, Value>);

/// What the bucket `all[]` must hold, by a plain read.
pub async fn expected(server: &Endpoint, database: &str) -> Vec<Output> {
    let mut outputs = Vec::new();
    for table in tables(server, database).await {
        let columns: Vec<String> = table.columns.iter().map(|(name, _)| format!("`{name}`")).collect();
        let query = format!("SELECT {} FROM `{database}`.`{}`", columns.join(", "), table.name);
        let first = outputs.len();
        for row in server.rows(&query).await.expect("the table can be read") {
            let mut id = String::new();
            let mut data = Map::new();
            for ((name, data_type), text) in table.columns.iter().zip(row) {
                let Some(text) = text else { continue };
                if name == "id" {
                    id.clone_from(&text);
                    data.insert("id".into(), Value::from(text));
                } else {
                    data.insert(name.clone(), json(data_type, text));
                }
            }
            data.entry("id").or_insert_with(|| Value::from(""));
            outputs.push((table.name.clone(), id, data));
        }
        if !table.has_key {
            // Equal rows of a table without a key are one row to everybody.
            let mut rows = outputs.split_off(first);
            sort(&mut rows);
            rows.dedup();
            outputs.extend(rows);
        }
    }
    sort(&mut outputs);
    outputs
}

fn json(data_type: &str, text: String) -> Value {
    match data_type.trim_start_matches("generated ") {
        "int" | "bigint" | "tinyint" | "smallint" | "mediumint" => {
            text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from)
        }
        _ => Value::from(text),
    }
}

/// What the bucket holds, by `buckets dump --json`.
pub fn dumped(lines: &str) -> Vec<Output> {
    let mut outputs: Vec<Output> = lines
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            let text = |field: &str| row[field].as_str().unwrap_or_else(|| panic!("no {field}: {line}")).to_owned();
            let mut data = row["data"].as_object().unwrap_or_else(|| panic!("no data: {line}")).clone();
            data.retain(|_, value| !value.is_null());
            (text("type"), text("id"), data)
        })
        .collect();
    sort(&mut outputs);
    outputs
}

fn sort(outputs: &mut [Output]) {
    outputs.sort_by_cached_key(|(kind, id, data)| {
        let mut fields: Vec<String> = data.iter().map(|(name, value)| format!("{name}={value}")).collect();
        fields.sort();
        (kind.clone(), id.clone(), fields)
    });
}

/// The first rows that only one side has.
pub fn difference(expected: &[Output], found: &[Output]) -> Option<String> {
    let show = |rows: Vec<&Output>| {
        rows.iter()
            .take(5)
            .map(|(kind, id, data)| format!("    {kind} {id:?} {}", Value::Object(data.clone())))
            .collect::<Vec<_>>()
            .join("\n")
    };
    if expected == found {
        return None;
    }
    let missing: Vec<&Output> = expected.iter().filter(|row| !found.contains(row)).collect();
    let extra: Vec<&Output> = found.iter().filter(|row| !expected.contains(row)).collect();
    Some(format!(
        "{} rows expected, {} found\n  only in the source ({}):\n{}\n  only in the bucket ({}):\n{}",
        expected.len(),
        found.len(),
        missing.len(),
        show(missing),
        extra.len(),
        show(extra)
    ))
}
