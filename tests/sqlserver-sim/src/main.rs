//! The simulated server as a program.

fn main() {}
