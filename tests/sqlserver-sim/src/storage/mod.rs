//! Databases, tables, transactions and the log.
