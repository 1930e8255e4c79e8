//! Tests of remotes, one module per subject.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read clocks, make and break files"
)]

mod codec;
mod faults;
mod forged;
mod forget;
mod place;
mod refusals;
mod rounds;
mod schedules;
mod scripted;
mod servers;
mod stalled;
