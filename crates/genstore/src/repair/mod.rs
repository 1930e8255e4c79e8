//! Floor 3: comparing a store with what it ought to be, and mending what differs.
//!
//! `check` compares one generation, `lost` and `second_look` compare the store; `rescue`, `rebuild`,
//! `relink` and `owners` mend. `verbs/verify` drives all of them.

pub(crate) mod mend;
pub(crate) mod owners;
pub(crate) mod rebuild;
pub(crate) mod relink;
pub(crate) mod rescue;
pub(crate) mod second_look;
