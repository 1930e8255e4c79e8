//! Floor 3: views, the paths outside the store that show the current generation.
//!
//! `place` finds a view's path and the entry there, `state` classifies it, `install` installs a view,
//! `refresh` runs after each commit. `mirror` updates views that are directories of real files. Outside
//! the store only these are removed: a symlink to our own `current`, an empty directory that a link
//! replaces, and the entries of a mirror's inventory, each checked right before. Any other entry that a
//! view replaces is renamed. `shared` makes the places of shared paths, and removes nothing.

pub(crate) mod disk;
pub(crate) mod install;
pub(crate) mod mirror;
pub(crate) mod parents;
pub(crate) mod place;
pub(crate) mod refresh;
pub(crate) mod shared;
pub(crate) mod state;
pub(crate) mod view;
