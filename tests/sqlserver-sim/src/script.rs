//! Scripts: batches with lines of `GO` between them, run without a client.

use std::fmt;

use crate::engine::session::{Flow, Output, Session};
use crate::error::SqlError;

/// The first error of a script, which ends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptError {
    /// Where the batch begins in the script, from 1.
    batch_line: usize,
    error: SqlError,
}

impl ScriptError {
    /// The error's number, 208 for a name that isn't there.
    pub fn number(&self) -> i32 {
        self.error.number
    }
}

/// Of what comes before the first batch.
impl From<SqlError> for ScriptError {
    fn from(error: SqlError) -> Self {
        Self { batch_line: 1, error }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SqlError { number, severity, message, line, .. } = &self.error;
        let line = self.batch_line + usize::try_from(*line).unwrap_or_default().saturating_sub(1);
        write!(f, "line {line}: error {number}, severity {severity}: {message}")
    }
}

impl std::error::Error for ScriptError {}

/// Runs the batches until one fails.
pub fn run(session: &mut Session, script: &str) -> Result<(), ScriptError> {
    for (batch_line, batch) in batches(script) {
        let mut failed = None;
        session.batch(&batch, Vec::new(), &mut |output| {
            if let Output::Error(error) = output {
                failed.get_or_insert(error);
            }
            Flow::Continue
        });
        if let Some(error) = failed {
            return Err(ScriptError { batch_line, error });
        }
    }
    Ok(())
}

/// The batches that aren't empty, each with the line that it begins at.
fn batches(script: &str) -> Vec<(usize, String)> {
    let mut batches = Vec::new();
    let (mut start, mut batch) = (1, String::new());
    for (line, number) in script.lines().chain(["GO"]).zip(1..) {
        if line.trim().eq_ignore_ascii_case("GO") {
            let whole = std::mem::take(&mut batch);
            if !whole.trim().is_empty() {
                batches.push((start, whole));
            }
            start = number + 1;
        } else {
            batch.push_str(line);
            batch.push('\n');
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::batches;

    #[test]
    fn lines_of_go_part_batches() {
        let parts = batches("CREATE DATABASE a;\n go \n\nGO\nUSE a\nSELECT 'GO'\n");
        assert_eq!(parts, [(1, "CREATE DATABASE a;\n".to_owned()), (5, "USE a\nSELECT 'GO'\n".to_owned())]);
    }
}
