//! Why a scan failed, as the server tells it: the cause, and what it led to.

use crate::error::SqlError;

pub type ScanResult<T> = Result<T, Failure>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    pub cause: SqlError,
    consequences: Vec<SqlError>,
}

impl Failure {
    /// Adds what the server says after all that it has said.
    pub fn led_to(mut self, consequence: SqlError) -> Self {
        self.consequences.push(consequence);
        self
    }

    /// In the order in which `sys.dm_cdc_errors` has them.
    pub fn errors(&self) -> impl Iterator<Item = &SqlError> {
        std::iter::once(&self.cause).chain(&self.consequences)
    }
}

impl From<SqlError> for Failure {
    fn from(cause: SqlError) -> Self {
        Self { cause, consequences: Vec::new() }
    }
}
