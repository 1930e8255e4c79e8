//! Floor 0: values and pure functions. No disk, no clock, no environment.
//! Only `codec` touches bincode, and decodes only slices whose length and digest were checked. Nothing that
//! comes from the disk can panic: damage is an error that says what, and where it is used. `retention::judge`,
//! `diff` and `fresh::plan` take values and return values; the verbs gather before and act after. The only
//! threads are rayon's, which share out pure work on what is large.

pub(crate) mod audit;
pub(crate) mod codec;
pub(crate) mod delta;
pub(crate) mod diff;
pub(crate) mod digest;
pub(crate) mod fresh;
pub(crate) mod grain;
pub(crate) mod ids;
pub(crate) mod index;
pub(crate) mod inventory;
pub(crate) mod links;
pub(crate) mod mirror;
pub(crate) mod nearest;
pub(crate) mod notice;
pub(crate) mod object_map;
pub(crate) mod object_name;
pub(crate) mod pairs;
pub(crate) mod patch;
pub(crate) mod records;
pub(crate) mod relpath;
pub(crate) mod retention;
pub(crate) mod sealed;
pub(crate) mod tree;
pub(crate) mod view;
