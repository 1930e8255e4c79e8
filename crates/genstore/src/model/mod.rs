//! Floor 0: values and pure functions. No disk, no clock, no environment.
//!
//! Only `codec` uses bincode. It decodes only slices whose length and digest were checked. No input
//! from the disk can cause a panic: damage is an error that names the problem, also where a value is
//! used later. `retention::judge`, `diff` and `fresh::plan` take values and return values: the verbs
//! read before and act after. The only threads are rayon's, for pure work on large values.

pub(crate) mod audit;
pub(crate) mod calendar;
pub(crate) mod codec;
pub(crate) mod delta;
pub(crate) mod diff;
pub(crate) mod digest;
pub(crate) mod folder_stamps;
pub(crate) mod fresh;
pub(crate) mod grain;
pub(crate) mod ids;
pub(crate) mod index;
pub(crate) mod inventory;
pub(crate) mod links;
pub(crate) mod little_endian;
pub(crate) mod mirror;
pub(crate) mod nearest;
pub(crate) mod notice;
pub(crate) mod object_map;
pub(crate) mod object_name;
pub(crate) mod pairs;
pub(crate) mod patch;
pub(crate) mod pattern;
pub(crate) mod records;
pub(crate) mod relpath;
pub(crate) mod retention;
pub(crate) mod shared;
pub(crate) mod tree;
pub(crate) mod view;
