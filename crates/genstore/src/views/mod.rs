//! Floor 3: views, the paths outside the store that show what is current.
//!
//! `place` finds a view's path and what stands there, `state` names it, `install` puts a view in place,
//! `refresh` runs after each commit. `mirror` keeps views that are directories of real files.
//! Outside the store nothing is removed but a symlink that leads to its own `current`, an empty directory in a
//! link's place, and what an inventory names in a mirror, looked at right before. What else a view takes the
//! place of is renamed.

pub(crate) mod disk;
pub(crate) mod install;
pub(crate) mod mirror;
pub(crate) mod parents;
pub(crate) mod place;
pub(crate) mod refresh;
pub(crate) mod state;
pub(crate) mod view;
