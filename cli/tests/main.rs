//! The `millstream` command on real servers, as a user runs it.

mod faults;
mod first_steps;
mod help;
mod interruptions;
mod running;
mod workspace;
