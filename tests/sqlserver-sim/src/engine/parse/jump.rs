//! Whether every GOTO finds its label.

use crate::error::{SqlError, SqlResult};
use crate::value::collation::folded;

use super::super::statement::{Kind, Statement};

/// Checks a batch or a body. A jump goes to a label of the block that it stands in, or of one around it.
///
/// # Errors
/// 132 for a label that is there twice, 133 for one that isn't there.
pub fn check(statements: &[Statement]) -> SqlResult<()> {
    let mut all = Vec::new();
    collect(statements, &mut all)?;
    if all.is_empty() {
        return walk(statements, &[], &[]);
    }
    walk(statements, &[], &all)
}

fn collect(statements: &[Statement], all: &mut Vec<String>) -> SqlResult<()> {
    for statement in statements {
        if let Kind::Label(label) = &statement.kind {
            let label = folded(label);
            if all.contains(&label) {
                let text = format!(
                    "The label '{label}' has already been declared. Label names must be unique within a query batch or stored procedure."
                );
                return Err(SqlError::new(132, 15, text).at_line(statement.line));
            }
            all.push(label);
        }
        for inner in blocks(statement) {
            collect(inner, all)?;
        }
    }
    Ok(())
}

fn walk(statements: &[Statement], around: &[String], all: &[String]) -> SqlResult<()> {
    let own = statements.iter().filter_map(|statement| match &statement.kind {
        Kind::Label(label) => Some(folded(label)),
        _ => None,
    });
    let reachable: Vec<String> = around.iter().cloned().chain(own).collect();
    for statement in statements {
        if let Kind::Goto(label) = &statement.kind {
            let wanted = folded(label);
            if !all.contains(&wanted) {
                let text =
                    format!("A GOTO statement references the label '{label}' but the label has not been declared.");
                return Err(SqlError::new(133, 15, text).at_line(statement.line));
            }
            if !reachable.contains(&wanted) {
                return Err(SqlError::unsupported("GOTO into a block").at_line(statement.line));
            }
        }
        for inner in blocks(statement) {
            walk(inner, &reachable, all)?;
        }
    }
    Ok(())
}

/// The statements within a statement.
fn blocks(statement: &Statement) -> Vec<&[Statement]> {
    match &statement.kind {
        Kind::If { then, otherwise, .. } => {
            let mut all = vec![std::slice::from_ref(then.as_ref())];
            all.extend(otherwise.as_deref().map(std::slice::from_ref));
            all
        }
        Kind::While { body, .. } => vec![std::slice::from_ref(body.as_ref())],
        Kind::Block(statements) => vec![statements],
        Kind::TryCatch { body, handler } => vec![body, handler],
        _ => Vec::new(),
    }
}
