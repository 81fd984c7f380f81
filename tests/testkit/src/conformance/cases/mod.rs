//! The cases, by what they are about. Each is a function of a scene; the list with what each needs stands in
//! [`conformance_suite!`](crate::conformance_suite).

pub mod faults;
pub mod oracle;
pub mod reading;
pub mod reconcile;
pub mod restarts;
pub mod schema_changes;
pub mod set_up;
pub mod sinks;
pub mod stream;
pub mod types;
