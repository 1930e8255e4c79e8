//! The shared parts of verbs: the context of a run, and the steps from running a command to a commit.

pub(crate) mod advice;
pub(crate) mod before;
pub(crate) mod building;
pub(crate) mod checks;
pub(crate) mod choice;
pub(crate) mod compare;
pub(crate) mod context;
pub(crate) mod control;
pub(crate) mod declared;
pub(crate) mod hooks;
pub(crate) mod kept;
pub(crate) mod notice;
pub(crate) mod place;
pub(crate) mod publishing;
pub(crate) mod pushing;
pub(crate) mod recent;
pub(crate) mod refs;
pub(crate) mod remotes;
pub(crate) mod reserve;
pub(crate) mod running;
pub(crate) mod secrets;
pub(crate) mod signing;
pub(crate) mod stages;
pub(crate) mod stale;
