//! Checks the store after each step by reading the disk.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use genstore::tree::Digest;
use genstore::verify::Depth;
use genstore_testkit::{Thing, debris, read_tree};

use crate::model::Seen;
use crate::seen::VIEWS;
use crate::tree::undated;
use crate::world::{World, fail};

/// Dates that lie further ahead of the clock than this were given while a clock ran ahead.
const AHEAD: u64 = 24 * 60 * 60;

impl World {
    /// Compares trees, mtimes, views and objects with the model, and has the store verify itself.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if self.model.damage.any {
            // The log knows what was current last, and the next generation is newer.
            if !self.model.damage.other {
                self.check_times()?;
            }
            return self.check_damaged();
        }
        let differing = self.differing();
        if let Some(first) = differing.first() {
            let found = read_tree(&self.tree(*first));
            fail!("generations {differing:?} do not hold what was published; the first has {found:?}");
        }
        self.check_pointer()?;
        self.check_times()?;
        self.check_views()?;
        self.check_objects()?;
        let report = self.store.verify(None, Depth::Full).map_err(|e| format!("verify: {e}"))?;
        if !report.is_clean() {
            fail!("verify: {report:?}");
        }
        let left = debris(self.store.path());
        if !left.is_empty() {
            fail!("debris is left: {left:?}");
        }
        Ok(())
    }

    /// Lists the generations whose trees are not what was published.
    pub(crate) fn differing(&self) -> BTreeSet<u64> {
        let differs = |id: u64| {
            let tree = &self.model.generations[&id].tree;
            !read_tree(&self.tree(id)).is_ok_and(|found| undated(&found) == *tree)
        };
        self.model.generations.keys().copied().filter(|id| differs(*id)).collect()
    }

    fn check_pointer(&self) -> Result<(), String> {
        let wanted = self.model.current.map(|id| format!("generations/{id}/tree"));
        let found = fs::read_link(self.at("current")).ok().map(|path| path.to_string_lossy().into_owned());
        if wanted != found {
            fail!("INV-1: current is {found:?}, not {wanted:?}");
        }
        let notice = fs::read_to_string(self.at("notice")).map_err(|e| format!("notice: {e}"))?;
        let told = notice.split(' ').next().and_then(|number| number.parse().ok());
        if told != Some(self.model.current.unwrap_or(0)) {
            fail!("the notice is {notice:?}, and {wanted:?} is current");
        }
        Ok(())
    }

    /// INV-15: where the bytes at a path of `current` change, the mtime moves forward by a second or more.
    pub(crate) fn check_times(&mut self) -> Result<(), String> {
        let Ok(found) = read_tree(&self.at("current")) else { return Ok(()) };
        let shown = match self.store.open_generation(&"@".parse().expect("the revision @")) {
            Ok(generation) => generation.published_mtimes().map_err(|e| format!("shown: {e}"))?,
            Err(_) => return Ok(()),
        };
        for (path, thing) in found {
            let Thing::File(bytes, _, secs) = thing else { continue };
            if let Some(last) = self.model.seen.get(&path) {
                let is_newer = if last.bytes == bytes { secs >= last.secs } else { secs > last.secs };
                let is_ahead =
                    last.is_given && last.secs > self.model.now + AHEAD && last.secs <= self.model.latest;
                if !is_newer && !is_ahead {
                    fail!(
                        "INV-15: {path} had the mtime {}, and has {secs} with {} bytes",
                        last.secs,
                        bytes.len()
                    );
                }
            }
            let is_given = shown.fresh.contains_key(path.as_bytes());
            self.model.seen.insert(path, Seen { secs, is_given, bytes });
        }
        Ok(())
    }

    /// Each view shows what is current.
    fn check_views(&self) -> Result<(), String> {
        let Some(current) = self.model.tree_of_current() else { return Ok(()) };
        for n in &self.model.views {
            let name = VIEWS[usize::from(*n)];
            match read_tree(&self.place().join(name)) {
                Ok(found) if undated(&found) == *current => {}
                found => fail!("the view {name} shows {found:?}, not {current:?}"),
            }
        }
        Ok(())
    }

    /// INV-2, INV-5: each file that is not empty has its object, of the right name and mode.
    fn check_objects(&self) -> Result<(), String> {
        let trees = self.model.generations.values().map(|one| &one.tree);
        for (path, thing) in trees.flatten() {
            let Thing::File(bytes, executable, _) = thing else { continue };
            if bytes.is_empty() {
                continue;
            }
            let object = self.object(bytes, *executable);
            let meta = fs::symlink_metadata(&object).map_err(|e| format!("the object of {path}: {e}"))?;
            let mode = if *executable { 0o555 } else { 0o444 };
            if meta.permissions().mode() & 0o777 != mode || fs::read(&object).ok().as_ref() != Some(bytes) {
                fail!("INV-2: the object of {path} is not what its name says");
            }
        }
        Ok(())
    }

    /// The path of an object.
    pub(crate) fn object(&self, bytes: &[u8], executable: bool) -> std::path::PathBuf {
        let hex = Digest::of(bytes).to_string();
        let end = if executable { ".x" } else { "" };
        self.at(&format!("objects/{}/{}{end}", &hex[..2], &hex[2..]))
    }
}
