//! Values and types.
