//! A TCP proxy that breaks connections on purpose.

/// Placeholder of the next change.
#[derive(Debug)]
pub struct FaultProxy {}
