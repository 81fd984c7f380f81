//! The simulator, through clients that know nothing of it.

mod client;
mod login;
mod other_clients;
mod other_systems;
mod programs;
mod requests;
mod types;
