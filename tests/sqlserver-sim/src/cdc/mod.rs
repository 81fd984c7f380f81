//! Change data capture.
mod change_table;
mod errors;
pub mod guard;
mod system_table;
mod disable {
    pub fn instances(_: &mut crate::storage::Transaction, _: crate::storage::DatabaseId, _: crate::storage::ObjectId, _: Option<&str>) -> crate::error::SqlResult<()> { Ok(()) }
}
