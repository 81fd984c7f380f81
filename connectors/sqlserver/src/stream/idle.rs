//! Which stretches have no rows: one query for all change tables, so that a poll of many idle tables costs little.

use std::collections::{BTreeMap, HashMap, HashSet};

use millstream_core::schema::TableName;

use super::cursor::{Obstacle, obstacle};
use crate::capture::catalog::{int, lsn};
use crate::capture::plan::{Step, Stretch};
use crate::connect::Connection;
use crate::error::{QueryError, number};
use crate::position::Lsn;
use crate::quote::quoted;

/// How many change tables one statement asks about.
const CHANGE_TABLES_AT_ONCE_MAX: usize = 250;

/// Steps by table, in the order of the log.
pub(super) type Agenda = BTreeMap<TableName, Vec<Step>>;

/// Takes the stretches out that have no rows.
pub(super) async fn skip_idle(connection: &mut Connection, agenda: &mut Agenda) -> Result<(), Obstacle> {
    let mut asked: BTreeMap<i32, (&TableName, &Stretch)> = BTreeMap::new();
    for (name, steps) in agenda.iter() {
        for step in steps {
            if let Step::Read(stretch) = step {
                asked.entry(stretch.change_table).or_insert((name, stretch));
            }
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let asked: Vec<(&TableName, &Stretch)> = asked.into_values().collect();
    let mut last: HashMap<i32, Lsn> = HashMap::new();
    for some in asked.chunks(CHANGE_TABLES_AT_ONCE_MAX) {
        match last_rows(connection, some).await {
            Ok(found) => last.extend(found),
            Err(error) if concerns_one(&error) => {
                // Which one? Asked one by one, only that one fails.
                for one in some {
                    let found = last_rows(connection, std::slice::from_ref(one)).await;
                    last.extend(found.map_err(|error| obstacle(one.0, error))?);
                }
            }
            Err(error) => return Err(Obstacle::Source(error.into())),
        }
    }
    // Rows that cleanup removed before they could be seen would make a table look idle.
    let starts = starts(connection).await?;
    for steps in agenda.values_mut() {
        let mut outdated = false;
        steps.retain(|step| match step {
            Step::Change(_) => true,
            Step::Read(stretch) => {
                let has_rows = last.get(&stretch.change_table).is_some_and(|last| *last >= stretch.from);
                outdated |= starts.get(&stretch.change_table).is_none_or(|start| *start > stretch.from);
                has_rows
            }
        });
        if outdated {
            return Err(Obstacle::Outdated);
        }
    }
    agenda.retain(|_, steps| !steps.is_empty());
    Ok(())
}

fn concerns_one(error: &QueryError) -> bool {
    use number::*;
    let numbers = [OBJECT_UNKNOWN, COLUMN_UNKNOWN, PERMISSION_DENIED, COLUMN_PERMISSION_DENIED];
    error.number().is_some_and(|number| numbers.contains(&number))
}

/// The last commit in each of these change tables that has any. The statement is the same every time, so the server
/// compiles it once.
async fn last_rows(
    connection: &mut Connection,
    asked: &[(&TableName, &Stretch)],
) -> Result<HashMap<i32, Lsn>, QueryError> {
    let selects: Vec<String> = asked
        .iter()
        .map(|(_, stretch)| {
            let change_table = quoted(&format!("{}_CT", stretch.instance));
            format!("SELECT {} AS t, MAX([__$start_lsn]) AS m FROM [cdc].{change_table}", stretch.change_table)
        })
        .collect();
    let rows = connection.rows("look for changed tables", &selects.join(" UNION ALL "), &[]).await?;
    let mut lasts: HashSet<i32> = HashSet::new();
    Ok(rows
        .iter()
        .filter_map(|row| Some((int(row, 0)?, lsn(row, 1)?)))
        .filter(|(change_table, _)| lasts.insert(*change_table))
        .collect())
}

/// From where on each instance is complete now.
async fn starts(connection: &mut Connection) -> Result<HashMap<i32, Lsn>, Obstacle> {
    let query = "SELECT object_id, start_lsn FROM cdc.change_tables WHERE start_lsn IS NOT NULL";
    match connection.rows("look at the bounds of capture instances", query, &[]).await {
        Ok(rows) => Ok(rows.iter().filter_map(|row| Some((int(row, 0)?, lsn(row, 1)?))).collect()),
        Err(error) if error.number() == Some(number::OBJECT_UNKNOWN) => Err(Obstacle::Outdated),
        Err(error) => Err(Obstacle::Source(error.into())),
    }
}
