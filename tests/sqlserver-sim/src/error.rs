//! Errors as clients see them.
