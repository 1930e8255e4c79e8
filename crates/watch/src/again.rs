//! Looking again: only at what may have changed since an older scan.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::scan::{Folder, Scan, Stamp};
use crate::sources::{Sources, is_gone};
use crate::touched::Touched;

/// Where more than one in so many folders is named, a walk by all threads is as fast.
const SHARE: usize = 4;
/// So few are always looked at by themselves.
const FEW: usize = 16;

/// What keeps a scan from being mended.
struct Whole;

impl Sources {
    /// Looks again at what may have changed since an older scan of the same sources, and keeps the rest:
    /// so it gives what [`Sources::scan`] would give, if all that happened since then was told.
    ///
    /// A folder is listed without those in it; one that was not there before is walked with all below.
    pub fn scan_again(&self, older: &Scan, touched: &Touched) -> Scan {
        self.mend(older, touched).unwrap_or_else(|Whole| self.scan())
    }

    fn mend(&self, older: &Scan, touched: &Touched) -> Result<Scan, Whole> {
        let frame = self.frame();
        if touched.is_everything() || frame.is_none() || frame != older.frame {
            return Err(Whole);
        }
        let mut scan = Scan { folders: older.folders.clone(), frame, ..Scan::default() };
        self.look_at_singles(&mut scan);
        let mut listed: BTreeSet<&OsStr> = touched.inside().iter().map(OsString::as_os_str).collect();
        for path in touched.replaced().iter().filter(|path| scan.forget(path)) {
            let parent = Path::new(path).parent().ok_or(Whole)?.as_os_str();
            if !older.folders.contains_key(parent) {
                // It is itself what is watched.
                return Err(Whole);
            }
            listed.insert(parent);
        }
        listed.retain(|path| scan.folders.contains_key(*path));
        if listed.len() > FEW.max(scan.folders.len() / SHARE) {
            return Err(Whole);
        }
        let mut new = Vec::new();
        // A folder comes before those in it.
        for folder in listed {
            if scan.folders.contains_key(folder) {
                self.list(folder, &mut scan, &mut new)?;
            }
        }
        self.walk_all(&new, &mut scan);
        if scan.problems.is_empty() { Ok(scan) } else { Err(Whole) }
    }

    /// Looks into one folder, and names those in it that are not known.
    fn list(&self, path: &OsStr, scan: &mut Scan, new: &mut Vec<OsString>) -> Result<(), Whole> {
        let mut gone: BTreeSet<OsString> = scan.inner(path).cloned().collect();
        let mut files = Vec::new();
        let mut inode = None;
        for entry in self.walk(path.as_ref()).max_depth(Some(1)).build() {
            let looked = entry.and_then(|entry| {
                let meta = entry.metadata()?;
                Ok((entry.depth(), entry.into_path(), meta))
            });
            let (depth, entry, meta) = match looked {
                Ok(looked) => looked,
                Err(error) => match error.io_error() {
                    // It is a bad line of rules, or vanished while we looked.
                    None => continue,
                    Some(error) if is_gone(error) => continue,
                    Some(_) => return Err(Whole),
                },
            };
            match (depth, meta.is_dir()) {
                // It is known as a folder, and the folder that it lies in is listed before.
                (0, _) if scan.folders.get(path).is_none_or(|known| known.inode != meta.ino()) => {
                    return Err(Whole);
                }
                (0, _) => inode = Some(meta.ino()),
                (_, true) => {
                    let inner = entry.into_os_string();
                    gone.remove(&inner);
                    if scan.folders.get(&inner).is_none_or(|known| known.inode != meta.ino()) {
                        scan.forget(&inner);
                        new.push(inner);
                    }
                }
                (_, false) if self.has_extension(&entry) => {
                    files.push((entry.file_name().unwrap_or_default().to_owned(), Stamp::of(&meta)));
                }
                (_, false) => {}
            }
        }
        for inner in &gone {
            scan.forget(inner);
        }
        match inode {
            // The folder that it lies in tells, now or with the next events.
            None => {
                scan.forget(path);
            }
            Some(inode) => {
                files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
                scan.folders.insert(path.to_owned(), Arc::new(Folder { inode, files }));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "again_tests.rs"]
mod tests;
