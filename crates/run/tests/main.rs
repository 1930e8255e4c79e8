//! The crate, used as a program uses it; `helper` is that program.
//!
//! What is alive is known by a FIFO: every process of a run holds it open for writing, so its end
//! is their end, however far they have wandered.

mod ends;
mod nothing_left;
mod output;
mod support;
