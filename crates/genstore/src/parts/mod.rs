//! Floor 2: the parts of a store, one file per thing in `store-layout.md`.
//!
//! A part owns its names on the disk: no other file builds them. It has a narrow handle
//! (`Log::of(store)`, `Records::of(store)`), so the imports of a verb show which parts it uses. A lock
//! is held by a value, and a method that needs a lock takes that value as an argument. `objects` opens
//! no object for writing: there is no function for it.

pub(crate) mod batch;
pub(crate) mod claim;
pub(crate) mod current;
pub(crate) mod current_generation;
pub(crate) mod deeds;
pub(crate) mod failed;
pub(crate) mod folder_stamps;
pub(crate) mod forgotten;
pub(crate) mod generation_files;
pub(crate) mod generations;
pub(crate) mod hold;
pub(crate) mod layout;
pub(crate) mod locks;
pub(crate) mod log;
pub(crate) mod look;
pub(crate) mod naming;
pub(crate) mod objects;
pub(crate) mod older;
pub(crate) mod pending_write;
pub(crate) mod places;
pub(crate) mod record;
pub(crate) mod records;
pub(crate) mod stage_debris;
pub(crate) mod stage_dir;
pub(crate) mod suspects;
pub(crate) mod view_records;
pub(crate) mod writeback;
