//! Each fact of change data capture, by name.
