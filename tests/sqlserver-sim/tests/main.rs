//! The simulator, through clients that know nothing of it.

mod client;
mod login;
