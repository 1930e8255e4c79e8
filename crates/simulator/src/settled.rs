//! Checks of steps that leave no trace: a publish of the current tree, a step that failed, and a collection,
//! which leaves no object that nothing names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use genstore::verify::Depth;
use genstore_testkit::Thing;

use crate::damage::files;
use crate::step::Act;
use crate::world::{Did, World, fail};

/// Inodes and mtimes by path.
pub(crate) type Standing = BTreeMap<PathBuf, (u64, i64, i64)>;

impl World {
    /// Returns the inodes of what is current, if an action publishes exactly that.
    pub(crate) fn standing(&self, act: &Act) -> Option<Standing> {
        let Act::Publish(publish) = act else { return None };
        let changes = publish.always || publish.meanwhile.is_some() || self.model.damage.any;
        let current = self.model.current.filter(|_| !changes && self.model.is_unchanged())?;
        let mut paths = files(&self.tree(current));
        paths.extend(["current", "notice"].map(|name| self.at(name)));
        let stat = |path: PathBuf| {
            let meta = fs::symlink_metadata(&path).ok()?;
            Some((path, (meta.ino(), meta.mtime(), meta.mtime_nsec())))
        };
        Some(paths.into_iter().filter_map(stat).collect())
    }

    /// INV-18: publishing what is current changes nothing that a reader sees.
    pub(crate) fn check_standing(&self, before: Option<Standing>, did: &Did) -> Result<(), String> {
        let Some(before) = before.filter(|_| did.is_done()) else { return Ok(()) };
        for (path, inode) in before {
            let meta =
                fs::symlink_metadata(&path).map_err(|e| format!("INV-18: {}: {e}", path.display()))?;
            if (meta.ino(), meta.mtime(), meta.mtime_nsec()) != inode {
                fail!("INV-18: {} is another inode, or newer", path.display());
            }
        }
        Ok(())
    }

    /// Lists the objects.
    pub(crate) fn objects(&self) -> BTreeSet<PathBuf> {
        files(&self.at("objects")).into_iter().collect()
    }

    /// A step that failed and could still write has undone all that it began: the next writer has nothing
    /// to recover.
    pub(crate) fn check_undone(&self, act: &Act, objects: &BTreeSet<PathBuf>) -> Result<(), String> {
        let report = self.store.verify(None, Depth::Full).map_err(|e| format!("verify: {e}"))?;
        if !(report.faults.is_empty() && report.generations.is_empty()) {
            fail!("verify: {report:?}");
        }
        let sequence = fs::read(self.at("sequence")).unwrap_or_default();
        if String::from_utf8_lossy(&sequence).contains("\"intent\"") {
            fail!("an intent is left in `sequence`");
        }
        let left: Vec<_> = self.objects().difference(objects).map(|path| name(path)).collect();
        if matches!(act, Act::Publish(_)) && !left.is_empty() {
            fail!("the objects {left:?} are left of what was not published");
        }
        Ok(())
    }

    /// INV-11: after a collection each object is one that a generation has.
    pub(crate) fn check_collected(&self) -> Result<(), String> {
        let trees = self.model.generations.values().flat_map(|one| one.tree.values());
        let wanted: BTreeSet<PathBuf> = trees
            .filter_map(|thing| match thing {
                Thing::File(bytes, executable, _) if !bytes.is_empty() => {
                    Some(self.object(bytes, *executable))
                }
                _ => None,
            })
            .collect();
        let left: Vec<_> = self.objects().difference(&wanted).map(|path| name(path)).collect();
        if !left.is_empty() {
            fail!("the objects {left:?} are left, and no generation has them");
        }
        Ok(())
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
