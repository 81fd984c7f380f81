//! Databases, tables, transactions and the log.
//!
//! All state lies behind one lock that is held for one short step at a time: reading a batch of rows, writing the rows of
//! a statement, committing. What lasts longer than a step, a transaction's hold on a row or table, is an entry in the
//! state itself, and whoever meets it waits outside the lock.

pub mod alter;
pub mod capture;
pub mod catalog;
pub mod clock;
mod data;
mod database;
mod ddl;
mod dependence;
mod filter;
mod index_data;
pub mod key;
pub mod lock;
pub mod log;
pub mod lsn;
pub mod partition;
pub mod principal;
mod property;
pub mod read;
mod rowset;
mod sequence;
pub mod server;
pub mod settings;
mod signature;
pub mod table;
pub mod transaction;
mod write;

pub use alter::{Alteration, Ddl};
pub use capture::{CaptureInstance, CapturedColumn};
pub use catalog::{Catalog, DatabaseId, Module, ModuleKind, Object, ObjectId, Schema, SchemaId};
pub use clock::Clock;
pub use data::ReadCursor;
pub use filter::{Condition, Filter, Test};
pub use key::RowId;
pub use lock::{LockDuration, LockMode, never_cancelled};
pub use log::{LogChange, LogRecord, LoggedTransaction, Retyped};
pub use lsn::Lsn;
pub use partition::{Part, PartitionFunction, PartitionKey, PartitionScheme};
pub use principal::{Grant, Login, Permission, Principal, PrincipalId, PrincipalKind, Securable};
pub use property::{Property, PropertyClass, PropertyOwner};
pub use read::{KeyRange, ReadRequest, Visibility};
pub use sequence::Sequence;
pub use server::{Backup, DatabaseInfo, Edition, Storage, StorageOptions};
pub use signature::{Parameter, Signature, TriggerEvent};
pub use table::{
    Check, Column, ColumnId, Computed, Constraint, DefaultConstraint, ForeignKey, Identity, Index, IndexId, KeyColumn,
    ReferentialAction, Row, SystemTime, Table,
};
pub use transaction::{Begin, LogPositions, Savepoint, Transaction};
pub use write::{UpdateManner, identical};
