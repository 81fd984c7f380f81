//! `millstream check`: every problem at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use console::style;
use futures::future::{join, join_all};
use millstream_core::source::{Problem, Severity};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use crate::arguments::Output;
use crate::command::{Answer, OUTDATED, OUTDATED_REMEDY};
use crate::config::{Config, Fault, SourceConfig};
use crate::control::{self, Reply, Request};
use crate::deployment::DraftDeployment;
use crate::engine;
use crate::failure::Failure;
use crate::output::Out;
use crate::session::unexpected;

/// How long all questions to one source may take. A source that doesn't answer is a problem like others.
const SOURCE_WAIT: Duration = Duration::from_secs(60);

/// One problem, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    /// The source that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Where in which file it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    /// What it concerns.
    subject: String,
    found: String,
    remedy: String,
}

pub(super) async fn execute(output: &Output, config_file: &Path) -> Result<Answer, Failure> {
    let (config, faults) = Config::read(config_file);
    let mut all: Vec<Finding> = faults.into_iter().map(of_fault).collect();
    if let Some(config) = &config {
        all.extend(findings_with(config).await);
    }
    // Stable, so that files stay in the order of their lines.
    all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut out = Out::new();
    if output.json {
        out.json(&json!({ "problems": all }))?;
    } else {
        print(&all, config.as_ref(), &mut out)?;
    }
    out.finish()?;
    let failed = all.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if failed { Answer::Bad } else { Answer::Good })
}

/// Everything beyond the configuration itself: the sync config, each source that can be looked at, and what runs.
async fn findings_with(config: &Config) -> Vec<Finding> {
    let (draft, faults) = DraftDeployment::read(config);
    let checks = join_all(config.sources.iter().map(|source| check_source(config, source, draft.as_ref())));
    let (checked, data) = join(checks, check_data(config)).await;
    let mut all: Vec<Finding> = faults.into_iter().map(of_fault).collect();
    let mut problems = Vec::new();
    for (source, found) in config.sources.iter().zip(checked) {
        all.extend(found.faults.into_iter().map(of_fault));
        problems.extend(found.problems.into_iter().map(|problem| of_problem(&source.name, problem)));
    }
    all.extend(data);
    all.extend(problems);
    all
}

/// What is in the way of keeping anything in the data folder; else, what runs on it.
async fn check_data(config: &Config) -> Vec<Finding> {
    match engine::try_data(config).await {
        Ok(()) => outdated_files(config).await,
        Err(failure) => {
            let (found, remedy) = failure.into_parts();
            vec![of_fault(Fault::error(&config.file.path, config.data_place, found).suggest(remedy))]
        }
    }
}

/// What a `millstream run` in progress read and that is otherwise by now.
async fn outdated_files(config: &Config) -> Vec<Finding> {
    let ask = async {
        let Some(mut answers) = control::connect(&config.data, &Request::Status).await? else { return Ok(Vec::new()) };
        match answers.next().await? {
            Some(Reply::Status(status)) => Ok(status.outdated_files),
            other => Err(unexpected(other.as_ref())),
        }
    };
    let failure = match timeout(SOURCE_WAIT, ask).await {
        Ok(Ok(files)) => {
            let outdated = |file: String| Fault {
                severity: Severity::Warning,
                ..Fault::error(Path::new(&file), None, OUTDATED).suggest(OUTDATED_REMEDY)
            };
            return files.into_iter().map(outdated).map(of_fault).collect();
        }
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new("the running millstream doesn't answer", "see its log for why"),
    };
    let (found, remedy) = failure.into_parts();
    let subject = config.data.display().to_string();
    let finding = Finding {
        severity: Severity::Warning,
        source: None,
        file: None,
        line: None,
        column: None,
        subject,
        found,
        remedy,
    };
    vec![finding]
}

/// What a look at one source brought to light.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    /// Where the sync config doesn't fit the tables.
    faults: Vec<Fault>,
}

/// Without a sync config the server alone is checked, as nobody knows which tables are wanted.
async fn check_source(config: &Config, source: &SourceConfig, draft: Option<&DraftDeployment>) -> Found {
    let mut found = Found::default();
    let selection = draft.map(|draft| draft.selection(source)).unwrap_or_default();
    // What can't be read may well be a query of its tables.
    if draft.is_some_and(DraftDeployment::is_whole) && selection.patterns.is_empty() {
        found.problems.push(not_read(config, source));
    }
    let look = async {
        let connector = source.connector()?;
        let problems = connector.check(&selection).await?;
        let (faults, others) = match draft {
            Some(draft) => draft.placed(source, problems),
            None => (Vec::new(), problems),
        };
        found.faults.extend(faults);
        found.problems.extend(others);
        // A server that can't be read has said so just now.
        if let (Some(draft), Ok(tables)) = (draft, connector.tables(&selection).await) {
            found.faults.extend(draft.faults_with(source, tables.iter().map(AsRef::as_ref)));
        }
        Ok::<_, Failure>(())
    };
    match timeout(SOURCE_WAIT, look).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => {
            let (diagnosis, remedy) = failure.into_parts();
            found.problems.push(Problem {
                severity: Severity::Error,
                subject: source.address.clone(),
                found: diagnosis,
                remedy,
            });
        }
        Err(_) => found.problems.push(no_answer(source)),
    }
    found
}

/// A query's table without a source is the first source's, which is easily forgotten when a second one is added.
fn not_read(config: &Config, source: &SourceConfig) -> Problem {
    let remedy = if source.is_default {
        "add a query of its tables to the sync config, or remove the source".to_owned()
    } else {
        format!(
            "write its tables as `{}.{}.table` in the sync config (names without a source are those of the first one), \
             or remove the source",
            source.name,
            source.default_schema().unwrap_or_else(|| "schema".to_owned()),
        )
    };
    Problem {
        severity: Severity::Warning,
        subject: config.sync_config.display().to_string(),
        found: format!("no query reads a table of source {}", source.name),
        remedy,
    }
}

fn no_answer(source: &SourceConfig) -> Problem {
    Problem {
        severity: Severity::Error,
        subject: source.address.clone(),
        found: format!("it didn't answer everything within {} s", SOURCE_WAIT.as_secs()),
        remedy: "see what keeps the server busy, and try again".into(),
    }
}

fn of_problem(source: &str, Problem { severity, subject, found, remedy }: Problem) -> Finding {
    Finding { severity, source: Some(source.to_owned()), file: None, line: None, column: None, subject, found, remedy }
}

fn of_fault(fault: Fault) -> Finding {
    Finding {
        severity: fault.severity,
        source: None,
        subject: fault.location(),
        line: fault.place.map(|place| place.line),
        column: fault.place.map(|place| place.column),
        file: Some(fault.file),
        found: fault.message,
        remedy: fault.suggestion.unwrap_or_default(),
    }
}

fn print(findings: &[Finding], config: Option<&Config>, out: &mut Out) -> Result<(), Failure> {
    for finding in findings {
        let mark = match finding.severity {
            Severity::Error => style("error").red().bold(),
            Severity::Warning => style("warning").yellow().bold(),
        };
        let source = finding.source.as_ref().map(|source| format!("{source}: ")).unwrap_or_default();
        out.line(format!("{mark} {source}{}", style(&finding.subject).bold()))?;
        out.line(format!("    {}", finding.found.replace('\n', "\n    ")))?;
        if !finding.remedy.is_empty() {
            out.line(format!("    {} {}", style("fix:").green(), finding.remedy.replace('\n', "\n         ")))?;
        }
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    let plural = |number: usize| if number == 1 { "" } else { "s" };
    let sources = config.map_or(0, |config| config.sources.len());
    let verdict = match (errors, warnings) {
        (0, 0) => format!("{} {sources} source{} checked", style("All is well:").green().bold(), plural(sources)),
        (0, _) => format!("{} {warnings} warning{}, no error", style("Ready to run:").green().bold(), plural(warnings)),
        _ => format!(
            "{} {errors} error{}, {warnings} warning{}",
            style("Not ready:").red().bold(),
            plural(errors),
            plural(warnings)
        ),
    };
    out.line(verdict)?;
    // A round more, which nothing can spare: nobody knows where such a source is.
    match config.map_or(0, |config| config.faulty_sources.len()) {
        0 => Ok(()),
        faulty => out.line(format!(
            "{faulty} source{} with faults in the configuration can't be looked at before these are mended.",
            plural(faulty)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;

    #[test]
    fn the_json_of_findings_is_as_documented() {
        let fault =
            Fault::error(Path::new("sync-config.yaml"), Some(Place { line: 4, column: 9 }), "unknown function `uper`")
                .suggest("did you mean `upper`?");
        let problem = Problem {
            severity: Severity::Warning,
            subject: "binlog_row_metadata".into(),
            found: "it is MINIMAL".into(),
            remedy: "SET PERSIST binlog_row_metadata = FULL".into(),
        };
        assert_eq!(
            json!({"problems": [of_fault(fault), of_problem("shop", problem)]}).to_string(),
            concat!(
                r#"{"problems":[{"severity":"error","file":"sync-config.yaml","line":4,"column":9,"#,
                r#""subject":"sync-config.yaml:4:9","found":"unknown function `uper`","remedy":"did you mean `upper`?"},"#,
                r#"{"severity":"warning","source":"shop","subject":"binlog_row_metadata","found":"it is MINIMAL","#,
                r#""remedy":"SET PERSIST binlog_row_metadata = FULL"}]}"#
            )
        );
    }
}
