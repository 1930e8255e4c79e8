//! Tests of the crate, used like a program uses it; `helper` is that program.
//!
//! A FIFO shows which processes are alive: every process of a run holds it open for writing, so it is
//! closed when all have ended, whatever their group or session is.

mod ends;
mod mounts;
mod nothing_left;
mod output;
mod support;
