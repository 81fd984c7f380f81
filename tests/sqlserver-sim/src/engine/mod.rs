//! Parsing and running T-SQL.
