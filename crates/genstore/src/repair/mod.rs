//! Floor 5: mending what differs from what it ought to be.
//!
//! `mend` replaces single paths, `rescue` puts right objects and manifests, `rebuild` makes lost parts anew,
//! `relink` gives back what a copy lost, `owners` gives back what belongs to others. `second_look` sees that
//! `verify` reports nothing that a writer was just doing. `verbs/verify` drives all of them.

pub(crate) mod mend;
pub(crate) mod owners;
pub(crate) mod rebuild;
pub(crate) mod relink;
pub(crate) mod rescue;
pub(crate) mod second_look;
