//! What a test drives.
