//! The reading of YAML, for whoever has other files beside a sync config: one way to read them all.

use std::rc::Rc;

pub use crate::document::{Content, Node};
pub use crate::scalar::Scalar;

use crate::document;
use crate::fault::{Fault, Faults, Severity};

/// Reads a whole file; an empty one is `None`. `file` is what the fault calls it.
///
/// # Errors
/// The first thing that isn't YAML, or has no meaning here: nothing after it can be trusted.
pub fn read(text: &str, file: &str) -> Result<Option<Rc<Node>>, Fault> {
    let mut faults = Faults::new(file);
    let root = document::read(text, &mut faults);
    match faults.into_list().into_iter().find(|fault| fault.severity == Severity::Error) {
        Some(fault) => Err(fault),
        None => Ok(root),
    }
}
