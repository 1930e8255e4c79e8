//! Damage at rest, of every kind, and `verify` beside every writer.
//!
//! `GENSTORE_DAMAGES=1000` and `GENSTORE_BESIDE=2000` make the two long tests longer (`scripts/soak`).

mod beside;
mod kinds;
mod place;
mod rest;
mod settled;
