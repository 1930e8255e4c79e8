//! Rescans only folders that may have changed since an older scan.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use crate::scan::Scan;
use crate::sources::Sources;
use crate::touched::Touched;
use crate::walk::Unlisted;

/// If more than one in this many folders is named, a full walk by all threads is as fast.
const SHARE: usize = 4;
/// This many folders are always rescanned one by one.
const FEW: usize = 16;

/// The older scan cannot be updated: a full scan is needed.
struct Whole;

impl Sources {
    /// Rescans what may have changed since an older scan of the same sources, and keeps the rest. The
    /// result equals [`Sources::scan`], if `touched` names every change since then.
    ///
    /// A folder is listed without its subfolders; a new folder is walked with everything below it.
    pub fn scan_again(&self, older: &Scan, touched: &Touched) -> Scan {
        self.mend(older, touched).unwrap_or_else(|Whole| self.scan())
    }

    fn mend(&self, older: &Scan, touched: &Touched) -> Result<Scan, Whole> {
        let frame = self.frame();
        if touched.is_everything() || frame.is_none() || frame != older.frame {
            return Err(Whole);
        }
        let repos = older.repos.iter().map(|(top, repo)| Ok((top.clone(), repo.again().ok_or(Whole)?)));
        let repos = repos.collect::<Result<_, Whole>>()?;
        let (folders, above) = (older.folders.clone(), older.above.clone());
        let mut scan = Scan { folders, above, repos, frame, ..Scan::default() };
        self.look_at_singles(&mut scan);
        let mut listed: BTreeSet<&OsStr> = touched.inside().iter().map(OsString::as_os_str).collect();
        for path in touched.replaced().iter().filter(|path| scan.forget(path)) {
            let parent = Path::new(path).parent().ok_or(Whole)?.as_os_str();
            if !older.folders.contains_key(parent) {
                // The path itself is a watched one.
                return Err(Whole);
            }
            listed.insert(parent);
        }
        listed.retain(|path| scan.folders.contains_key(*path));
        if listed.len() > FEW.max(scan.folders.len() / SHARE) {
            return Err(Whole);
        }
        let mut new = Vec::new();
        // A folder comes before its subfolders.
        for folder in listed {
            if scan.folders.contains_key(folder) {
                self.list(folder, &mut scan, &mut new)?;
            }
        }
        self.walk_all(new, &mut scan);
        if scan.problems.is_empty() { Ok(scan) } else { Err(Whole) }
    }

    /// Lists one folder, and adds its unknown subfolders to `new`.
    fn list(&self, path: &OsStr, scan: &mut Scan, new: &mut Vec<Unlisted>) -> Result<(), Whole> {
        let parent = Path::new(path).parent().and_then(|parent| scan.folders.get(parent.as_os_str()));
        let above = scan.above.get(path).or(parent.map(|parent| &parent.rules)).ok_or(Whole)?.clone();
        let listed = self.list_folder((path.to_owned(), above), &scan.repos);
        if !listed.problems.is_empty() || listed.repo.is_some() {
            return Err(Whole);
        }
        let Some(folder) = listed.folder else {
            // It vanished during the scan: its parent folder shows that, now or with the next events.
            scan.forget(path);
            return Ok(());
        };
        // It must be known as a folder, because its parent was listed before.
        if scan.folders.get(path).is_none_or(|known| known.inode != folder.inode) {
            return Err(Whole);
        }
        let mut gone: BTreeSet<OsString> = scan.inner(path).cloned().collect();
        for (inner, inode) in listed.folders {
            gone.remove(&inner);
            if scan.folders.get(&inner).is_none_or(|known| known.inode != inode) {
                scan.forget(&inner);
                new.push((inner, folder.rules.clone()));
            }
        }
        for inner in &gone {
            scan.forget(inner);
        }
        scan.folders.insert(path.to_owned(), Arc::new(folder));
        Ok(())
    }
}

#[cfg(test)]
#[path = "again_tests.rs"]
mod tests;
