//! The SQL Server connector: row changes and schema changes from change data capture, rows by keyset reads.

