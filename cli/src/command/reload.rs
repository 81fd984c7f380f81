//! `millstream reload`: reconciles a table now.

use std::path::Path;

use crate::arguments::Reload;
use crate::control::{Reply, Request};
use crate::failure::Failure;
use crate::output::{Out, duration_ms, rows};
use crate::session::Session;

pub(super) async fn execute(arguments: &Reload, config: &Path) -> Result<(), Failure> {
    let session = Session::open(config)?;
    session.require_source(arguments.scope.source.as_deref())?;
    let request = Request::Reload { source: arguments.scope.source.clone(), table: arguments.table.clone() };
    let result = |reply| match reply {
        Reply::Reloaded(report) => Some(report),
        _ => None,
    };
    let report = session.work(request, result).await?;
    let mut out = Out::new();
    if arguments.scope.output.json {
        // The report's own form is the documented shape.
        out.json(&report)?;
    } else {
        let ops = match report.ops_written {
            0 => "nothing differed".to_owned(),
            1 => "1 op written".to_owned(),
            several => format!("{several} ops written"),
        };
        let read = rows(report.rows_read);
        let table = session.label(&report.source, &report.table);
        out.line(format!("{table}: {read} read, {ops}, {}", duration_ms(report.duration_ms)))?;
    }
    out.finish()
}
