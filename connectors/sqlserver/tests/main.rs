//! The connector on a simulated SQL Server.

mod check;
mod conformance;
mod database;
mod discovery;
mod faults;
mod reads;
mod scenarios;
mod values;
