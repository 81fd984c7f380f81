//! `millstream verify`: reads the source again and compares.

use std::collections::BTreeMap;
use std::path::Path;

use console::style;
use millstream_core::sink::DifferenceKind;
use serde_json::json;

use crate::arguments::Verify;
use crate::command::Answer;
use crate::control::{NotComparedReport, Reply, Request, VerifyReport};
use crate::failure::Failure;
use crate::output::{Align, Grid, Out, rows};
use crate::session::Session;

pub(super) async fn execute(arguments: &Verify, config: &Path) -> Result<Answer, Failure> {
    let session = Session::open(config)?;
    session.require_source(arguments.scope.source.as_deref())?;
    let request = Request::Verify { source: arguments.scope.source.clone(), tables: arguments.tables.clone() };
    let result = |reply| match reply {
        Reply::Verified(report) => Some(report),
        _ => None,
    };
    let report = session.work(request, result).await?;
    let mut out = Out::new();
    if arguments.scope.output.json {
        // The report's own form is the documented shape.
        out.json(&json!({"equal": answer(&report) == Answer::Good, "tables": report.tables, "not_compared": report.not_compared}))?;
    } else {
        print(&report, &session, &mut out)?;
    }
    out.finish()?;
    Ok(answer(&report))
}

/// A difference is certain; so it counts for more than what could not be compared.
fn answer(report: &VerifyReport) -> Answer {
    if report.tables.iter().any(|table| table.differences_total > 0) {
        Answer::Bad
    } else if !report.not_compared.is_empty() {
        Answer::Unknown
    } else {
        Answer::Good
    }
}

fn print(report: &VerifyReport, session: &Session, out: &mut Out) -> Result<(), Failure> {
    let mut grid = Grid::new(&[("table", Align::Left), ("rows", Align::Right), ("", Align::Left)]);
    for table in &report.tables {
        let verdict = match table.differences_total {
            0 => style("equal".to_owned()).green(),
            1 => style("1 difference".to_owned()).red(),
            several => style(format!("{several} differences")).red(),
        };
        grid.row([session.label(&table.source, &table.table), table.rows_compared.to_string(), verdict.to_string()]);
    }
    let shared = shared_reasons(&report.not_compared);
    for table in &report.not_compared {
        let verdict = match shared.contains_key(&(table.source.as_str(), table.reason.as_str())) {
            true => "not compared".to_owned(),
            false => format!("not compared: {}", table.reason),
        };
        grid.row([session.label(&table.source, &table.table), String::new(), style(verdict).yellow().to_string()]);
    }
    if !grid.is_empty() {
        grid.print(out)?;
    }
    for ((source, reason), tables) in shared {
        out.line("")?;
        out.line(format!("{tables} tables of source {source} were not compared: {reason}"))?;
    }
    for table in report.tables.iter().filter(|table| table.differences_total > 0) {
        out.line("")?;
        out.line(style(session.label(&table.source, &table.table)).bold().to_string())?;
        for difference in &table.differences {
            let words = match difference.kind {
                DifferenceKind::Missing => "is missing from",
                DifferenceKind::Extra => "is at the source no more, but in",
                DifferenceKind::Changed => "has other values in",
            };
            out.line(format!("  {} {words} {}", difference.key, difference.place))?;
        }
        let hidden = table.differences_total.saturating_sub(table.differences.len() as u64);
        if hidden > 0 {
            out.line(format!("  and {hidden} more"))?;
        }
    }
    let compared: u64 = report.tables.iter().map(|table| table.rows_compared).sum();
    out.line(match answer(report) {
        Answer::Good => format!("{} {} compared", style("Equal:").green().bold(), rows(compared)),
        Answer::Bad => {
            let mended = "`millstream reload TABLE` mends a table; please report how it came about";
            format!("{} {mended}", style("Different:").red().bold())
        }
        Answer::Unknown => format!("{} {} compared and equal", style("Incomplete:").yellow().bold(), rows(compared)),
    })
}

/// What keeps several tables of a source from being compared, and how many: it is told once.
fn shared_reasons(not_compared: &[NotComparedReport]) -> BTreeMap<(&str, &str), usize> {
    let mut reasons = BTreeMap::new();
    for table in not_compared {
        *reasons.entry((table.source.as_str(), table.reason.as_str())).or_default() += 1;
    }
    reasons.retain(|_, tables| *tables > 1);
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::VerifiedTableReport;

    fn report(differences_total: u64, not_compared: bool) -> VerifyReport {
        let table = VerifiedTableReport {
            source: "shop".into(),
            table: "shop.t".into(),
            rows_compared: 5,
            differences_total,
            differences: Vec::new(),
        };
        let held = NotComparedReport { source: "shop".into(), table: "shop.u".into(), reason: "held".into() };
        VerifyReport { tables: vec![table], not_compared: if not_compared { vec![held] } else { Vec::new() } }
    }

    #[test]
    fn a_difference_counts_for_more_than_a_table_that_was_not_compared() {
        assert_eq!(answer(&report(0, false)), Answer::Good);
        assert_eq!(answer(&report(1, false)), Answer::Bad);
        assert_eq!(answer(&report(0, true)), Answer::Unknown);
        assert_eq!(answer(&report(1, true)), Answer::Bad);
    }

    #[test]
    fn what_several_tables_share_is_told_once() {
        let of = |source: &str, reason: &str| NotComparedReport {
            source: source.into(),
            table: "t".into(),
            reason: reason.into(),
        };
        let not_compared = [of("a", "away"), of("a", "away"), of("b", "away"), of("a", "held")];
        assert_eq!(shared_reasons(&not_compared), BTreeMap::from([(("a", "away"), 2)]));
    }
}
