//! Tests of the library's promises, one module per subject.
//!
//! They are one program: nextest runs each test in a process of its own, and a program is linked once.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests read clocks, make and break files, and talk"
)]

mod audits;
mod crash;
mod crash_mirror;
mod crash_views;
mod damage;
mod delta;
mod ended;
mod faults;
mod filesystems;
mod grains;
mod hold;
mod holes;
mod index;
mod mounts;
mod naming;
mod order;
mod owed;
mod owners;
mod power;
mod prelude;
mod receive;
mod recycle;
mod scan_memory;
mod shared;
mod stages;
mod store;
