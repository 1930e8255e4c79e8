//! Creates the directories above a view, if requested.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::parts::layout::StoreDir;
use crate::parts::locks::CommitLock;
use crate::views::place;

/// Creates the missing directories above a path, but none inside the store.
///
/// # Durability
/// On return they are durable.
pub(crate) fn make_parents(store: &StoreDir, _: &CommitLock, path: &Path) -> Result<()> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    let mut missing = Vec::new();
    let mut above = absolute.parent();
    let found = loop {
        let Some(dir) = above else { return Ok(()) };
        match place::open_way(store, dir) {
            Ok(dir) => break dir,
            Err(e) if e.is_not_found() => {
                missing.extend(dir.file_name());
                above = dir.parent();
            }
            // The caller opens the view's path next, and reports this error in its own words.
            Err(_) => return Ok(()),
        }
    };
    if missing.is_empty() || place::lies_in_store(store, found.path())? {
        return Ok(());
    }
    let mut dir = found;
    let fs = store.fs.within(&dir)?;
    for name in missing.iter().rev() {
        fs.make_dir(&dir, name.as_bytes())?;
        fs.sync_dir(&dir)?;
        dir = dir.open_dir(name.as_bytes())?;
    }
    Ok(())
}
