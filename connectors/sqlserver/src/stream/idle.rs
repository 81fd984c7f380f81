//! Which stretches have no rows: one query for all change tables, so that a poll of many idle tables costs little.

use std::collections::{BTreeMap, HashMap};

use millstream_core::schema::TableName;

use super::cursor::{Obstacle, obstacle};
use crate::capture::plan::{Step, Stretch};
use crate::connect::Connection;
use crate::error::{QueryError, number};
use crate::field::{int, lsn};
use crate::position::Lsn;
use crate::quote::quoted;

/// How many change tables one statement asks about.
const CHANGE_TABLES_PER_STATEMENT_MAX: usize = 250;

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
    let Answer { last, starts } = match look(connection, &asked).await {
        Err(error) if concerns_one(&error) => return Err(blame(connection, &asked).await),
        answer => answer.map_err(|error| Obstacle::Source(error.into()))?,
    };
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

/// What change tables and instances say.
#[derive(Debug, Default)]
struct Answer {
    /// The last commit in each change table that has any.
    last: HashMap<i32, Lsn>,
    /// From where on each instance is complete. Asked last: rows that cleanup removed before they could be seen would
    /// make a table look idle, but it raises the start first.
    starts: HashMap<i32, Lsn>,
}

/// Asks all at once. The statements are the same every time, so the server compiles them once; each change table is
/// asked for one end of its clustered index.
async fn look(connection: &mut Connection, asked: &[(&TableName, &Stretch)]) -> Result<Answer, QueryError> {
    let last = |(_, stretch): &(&TableName, &Stretch)| {
        let change_table = quoted(&format!("{}_CT", stretch.instance));
        format!("SELECT {} AS t, MAX([__$start_lsn]) AS m FROM [cdc].{change_table}", stretch.change_table)
    };
    let parts = asked.chunks(CHANGE_TABLES_PER_STATEMENT_MAX);
    let mut statements: Vec<String> =
        parts.map(|part| part.iter().map(last).collect::<Vec<_>>().join(" UNION ALL ")).collect();
    let starts_at = statements.len();
    statements.push("SELECT object_id, start_lsn FROM cdc.change_tables WHERE start_lsn IS NOT NULL".to_owned());
    let mut answer = Answer::default();
    for row in connection.rows("look for changed tables", &statements.join("; "), &[]).await? {
        let Some((change_table, place)) = int(&row, 0).zip(lsn(&row, 1)) else { continue };
        let part = if row.result_index() < starts_at { &mut answer.last } else { &mut answer.starts };
        part.insert(change_table, place);
    }
    Ok(answer)
}

/// Which table an error was about: asked one by one, only that one fails.
async fn blame(connection: &mut Connection, asked: &[(&TableName, &Stretch)]) -> Obstacle {
    for one in asked {
        if let Err(error) = look(connection, std::slice::from_ref(one)).await {
            return obstacle(one.0, error);
        }
    }
    // It has passed, so the catalog is another now.
    Obstacle::Outdated
}
