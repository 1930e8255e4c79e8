//! The inputs of retention, and its results.
