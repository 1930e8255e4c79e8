//! A model of a store in memory, and plans of steps that are taken in it and in a real one.
//!
//! After each step the two are compared: what is current and its bytes, which generations are there, marks,
//! pins, the hold, views, objects, mtimes, and that `verify` finds nothing, or finds the damage that was done.
//! A plan follows from its seed; one that fails is made shorter as long as it fails. A step may be killed: its
//! process is the test program once more, in which only the test `kill::child` does something.
//!
//! Dev only.
#![allow(clippy::disallowed_methods, reason = "plans make and break files")]

mod check;
mod damage;
mod kill;
mod model;
mod outcome;
mod perform;
mod plan;
mod seen;
mod settled;
mod step;
mod tree;
mod world;

pub use kill::child;
pub use plan::{Tried, plan, run, shrink, take};
pub use step::{Act, Damage, Edit, Expected, Fault, Keep, Moves, Publish, Step, Way, What};
