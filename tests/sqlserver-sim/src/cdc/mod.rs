//! Change data capture: its procedures, functions, jobs and catalog, and the process that reads the log.

pub mod agent;
mod agent_procedures;
mod change_table;
mod changes;
pub mod cleanup;
pub mod disable;
mod enable;
pub mod errors;
mod failure;
mod functions;
pub mod guard;
mod help;
mod job_procedures;
pub mod jobs;
mod log_stats;
mod net_changes;
pub mod registry;
mod relations;
mod request;
pub mod scan;
pub mod state;
mod system_table;
mod target;
#[cfg(test)]
mod tests;
mod wrapper;

pub use relations::relations;
