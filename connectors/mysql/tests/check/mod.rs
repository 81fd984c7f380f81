//! What `check` says of servers that are misconfigured on purpose.

mod reach;
mod settings;
mod tables;
mod users;

use millstream_core::selection::{Selection, TablePattern};
use millstream_core::source::{Problem, Severity};
use millstream_mysql::MySqlConfig;

/// The tables that these patterns cover, in the form `database.table`.
fn selection(patterns: &[&str]) -> Selection {
    let pattern = |text: &&str| {
        let (schema, table) = text.split_once('.').unwrap();
        TablePattern { schema: schema.into(), table: table.into() }
    };
    Selection { patterns: patterns.iter().map(pattern).collect() }
}

async fn check(config: MySqlConfig, selection: &Selection) -> Vec<Problem> {
    config.build("test").unwrap().check(selection).await.unwrap()
}

async fn check_uri(uri: &str, patterns: &[&str]) -> Vec<Problem> {
    check(MySqlConfig::new(uri), &selection(patterns)).await
}

/// The problems' subjects, errors first, each with its severity's letter.
fn subjects(problems: &[Problem]) -> Vec<String> {
    let letter = |severity| if severity == Severity::Error { 'E' } else { 'W' };
    problems.iter().map(|problem| format!("{} {}", letter(problem.severity), problem.subject)).collect()
}

fn find<'a>(problems: &'a [Problem], subject: &str) -> &'a Problem {
    let found = problems.iter().find(|problem| problem.subject == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {problems:#?}"))
}
