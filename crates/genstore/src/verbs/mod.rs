//! Floor 6: the verbs, one file or folder each. gc is `collect`. `store/` has a thin method for each.

pub(crate) mod activate;
pub(crate) mod collect;
pub(crate) mod export;
pub(crate) mod follow;
pub(crate) mod forget;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod names;
pub(crate) mod publish;
pub(crate) mod receive;
pub(crate) mod rollback;
pub(crate) mod usage;
pub(crate) mod verify;
pub(crate) mod views;
