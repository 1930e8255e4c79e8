//! Finds the folders of a directory in which nothing happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::queue::{Heard, Queue, What};
use crate::wake::{NoEvents, WHOLE};

/// Receives events in the folders of one directory, and reports folders without any. It wakes no thread:
/// events are read on request.
///
/// Folders are named by their paths below the directory, which itself is the empty path.
pub struct Witness {
    dir: PathBuf,
    /// The real path, device and inode of the directory at the last query.
    seen: Option<(PathBuf, u64, u64)>,
    queue: Queue,
    folders: BTreeMap<Vec<u8>, Watched>,
    paths: HashMap<i32, Vec<u8>>,
    /// The number of queries.
    asked: u64,
    /// The time at which nothing is trusted once.
    whole_at: Option<Instant>,
}

struct Watched {
    watch: i32,
    /// The number of the query before which the last event came.
    stirred: u64,
}

impl Witness {
    /// Starts without watching any folder.
    ///
    /// # Errors
    /// If the system gives no events.
    pub fn begin(dir: &Path) -> Result<Witness, NoEvents> {
        Ok(Witness {
            dir: dir.to_owned(),
            seen: None,
            queue: Queue::new()?,
            folders: BTreeMap::new(),
            paths: HashMap::new(),
            asked: 0,
            whole_at: None,
        })
    }

    /// Reads the events since the last call. The returned function tells for each folder whether nothing
    /// happened: neither in it, nor to it or its parents. The caller then scans all others.
    pub fn ask(&mut self, now: Instant) -> impl Fn(&[u8]) -> bool {
        self.asked += 1;
        let seen = std::fs::canonicalize(&self.dir)
            .and_then(|real| std::fs::metadata(&real).map(|meta| (real, meta.dev(), meta.ino())))
            .ok();
        let mut lost = self.seen != seen;
        self.seen = seen;
        let mut all = Vec::new();
        lost |= !self.queue.read(|heard| all.push(heard));
        all.into_iter().for_each(|heard| self.take(heard));
        if lost {
            self.forget(b"");
        }
        if self.whole_at.is_none_or(|at| at <= now) {
            // Some changes cause no event.
            self.whole_at = Some(now + WHOLE);
            self.stir(b"");
        }
        |folder| self.folders.get(folder).is_some_and(|watched| watched.stirred < self.asked)
    }

    /// Watches these folders, and no others. A newly watched folder may have changed before, so the next
    /// query reports it as changed.
    ///
    /// # Errors
    /// If not all can be watched.
    pub fn watch<'a>(&mut self, folders: impl IntoIterator<Item = &'a [u8]>) -> Result<(), NoEvents> {
        let Some((real, ..)) = &self.seen else { return Ok(()) };
        let real = real.clone();
        let wanted: BTreeSet<&[u8]> = folders.into_iter().collect();
        let unwanted = |path: &&Vec<u8>| !wanted.contains(path.as_slice());
        for path in self.folders.keys().filter(unwanted).cloned().collect::<Vec<_>>() {
            self.forget_one(&path);
        }
        for folder in wanted {
            if self.folders.contains_key(folder) {
                continue;
            }
            // A missing folder is reported by its parent.
            let place = if folder.is_empty() { real.clone() } else { real.join(OsStr::from_bytes(folder)) };
            let Some(watch) = self.queue.add(&place)? else { continue };
            // The folder moved here, and no event has reported that yet: so it is known by neither path.
            if let Some(other) = self.paths.get(&watch).cloned() {
                self.forget(&other);
                continue;
            }
            self.paths.insert(watch, folder.to_vec());
            self.folders.insert(folder.to_vec(), Watched { watch, stirred: self.asked + 1 });
        }
        Ok(())
    }

    fn take(&mut self, Heard { watch, what }: Heard) {
        let Some(path) = self.paths.get(&watch).cloned() else { return };
        match what {
            What::Inside => {}
            What::Folder(name) => {
                let inner = if path.is_empty() { name } else { [&path[..], b"/", &name].concat() };
                self.forget(&inner);
            }
            What::Itself => self.stir(&path),
            What::Gone => return self.forget(&path),
        }
        if let Some(watched) = self.folders.get_mut(&path) {
            watched.stirred = self.asked;
        }
    }

    /// Records an event of a folder that may matter for everything below it.
    fn stir(&mut self, folder: &[u8]) {
        let asked = self.asked;
        self.folders.range_mut(below(folder)).for_each(|(_, watched)| watched.stirred = asked);
        if let Some(watched) = self.folders.get_mut(folder) {
            watched.stirred = asked;
        }
    }

    /// Stops watching a folder and everything below it.
    fn forget(&mut self, folder: &[u8]) {
        let inner: Vec<Vec<u8>> = self.folders.range(below(folder)).map(|(path, _)| path.clone()).collect();
        inner.iter().for_each(|path| self.forget_one(path));
        self.forget_one(folder);
    }

    fn forget_one(&mut self, folder: &[u8]) {
        if let Some(Watched { watch, .. }) = self.folders.remove(folder) {
            self.paths.remove(&watch);
            self.queue.remove(watch);
        }
    }
}

/// Returns the range of all paths below one.
fn below(folder: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    match folder {
        b"" => (Bound::Excluded(vec![]), Bound::Unbounded),
        // `0` comes right after `/`.
        _ => (Bound::Excluded([folder, b"/"].concat()), Bound::Excluded([folder, b"0"].concat())),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests write files")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Place {
        temp: tempfile::TempDir,
        witness: Witness,
        start: Instant,
    }

    const FOLDERS: [&str; 7] = ["", "a", "a/b", "a/b/c", "a-b", "a-b/b", "d"];

    impl Place {
        fn new() -> Place {
            let temp = tempfile::tempdir().unwrap();
            for folder in FOLDERS {
                fs::create_dir_all(temp.path().join("out").join(folder)).unwrap();
                fs::write(temp.path().join("out").join(folder).join("file"), "1").unwrap();
            }
            let witness = Witness::begin(&temp.path().join("out")).unwrap();
            let mut place = Place { temp, witness, start: Instant::now() };
            assert_eq!(place.stirred(), FOLDERS.join(" "), "nothing is watched");
            place.watch();
            assert_eq!(place.stirred(), FOLDERS.join(" "), "it is watched from now on");
            assert_eq!(place.stirred(), "");
            place
        }

        fn watch(&mut self) {
            self.witness.watch(FOLDERS.map(str::as_bytes)).unwrap();
        }

        /// Returns the folders with events, and watches all of them again.
        fn stirred(&mut self) -> String {
            let same = self.witness.ask(self.start);
            let stirred: Vec<&str> =
                FOLDERS.into_iter().filter(|folder| !same(folder.as_bytes())).collect();
            drop(same);
            stirred.join(" ")
        }

        fn path(&self, path: &str) -> PathBuf {
            self.temp.path().join("out").join(path)
        }
    }

    #[test]
    fn what_happens_in_a_folder_stirs_it_once() {
        let mut place = Place::new();
        let check = |place: &mut Place, expected: &str| {
            assert_eq!(place.stirred(), expected);
            assert_eq!(place.stirred(), "", "after {expected}");
        };
        fs::write(place.path("a/b/file"), "22").unwrap();
        check(&mut place, "a/b");
        fs::write(place.path("d/new"), "1").unwrap();
        fs::remove_file(place.path("a-b/file")).unwrap();
        check(&mut place, "a-b d");
        fs::set_permissions(place.path("a/file"), fs::Permissions::from_mode(0o600)).unwrap();
        check(&mut place, "a");
        fs::rename(place.path("a/file"), place.path("d/file")).unwrap();
        check(&mut place, "a d");
        fs::read(place.path("a/b/file")).unwrap();
        check(&mut place, "");
        // A user who may not enter a folder cannot reach those in it.
        fs::set_permissions(place.path("a"), fs::Permissions::from_mode(0o700)).unwrap();
        check(&mut place, " a a/b a/b/c");
    }

    #[test]
    fn another_folder_in_its_place_is_not_known_with_all_below_it() {
        let mut place = Place::new();
        fs::rename(place.path("a"), place.path("elsewhere")).unwrap();
        fs::create_dir_all(place.path("a/b/c")).unwrap();
        assert_eq!(place.stirred(), " a a/b a/b/c");
        assert_eq!(place.stirred(), "a a/b a/b/c", "they are not watched");
        place.watch();
        fs::write(place.path("elsewhere/b/file"), "22").unwrap();
        assert_eq!(place.stirred(), "a a/b a/b/c");
        assert_eq!(place.stirred(), "");
        fs::write(place.path("a/b/file"), "22").unwrap();
        assert_eq!(place.stirred(), "a/b");

        fs::remove_dir_all(place.path("a-b")).unwrap();
        fs::create_dir_all(place.path("a-b/b")).unwrap();
        assert_eq!(place.stirred(), " a-b a-b/b");
        place.watch();
        assert_eq!(place.stirred(), "a-b a-b/b");
        assert_eq!(place.stirred(), "");
    }

    #[test]
    fn a_folder_that_moved_unheard_is_known_by_neither_path() {
        let mut place = Place::new();
        fs::rename(place.path("a/b/c"), place.path("d/c")).unwrap();
        place.witness.watch(["", "a", "a/b", "a/b/c", "d", "d/c"].map(str::as_bytes)).unwrap();
        let same = place.witness.ask(place.start);
        assert!(!same(b"a/b/c") && !same(b"d/c"));
        drop(same);
        assert!(!place.witness.ask(place.start)(b"d/c"));
    }

    #[test]
    fn another_directory_is_not_known_at_all() {
        let mut place = Place::new();
        // Nothing reports changes of a directory above.
        let (above, old) = (place.temp.path().to_owned(), place.temp.path().join("old"));
        fs::create_dir(&old).unwrap();
        fs::rename(above.join("out"), old.join("out")).unwrap();
        fs::create_dir_all(place.path("a/b/c")).unwrap();
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        fs::remove_dir_all(above.join("out")).unwrap();
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        fs::rename(old.join("out"), above.join("out")).unwrap();
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        place.watch();
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        assert_eq!(place.stirred(), "");
    }

    #[test]
    fn now_and_then_nothing_is_believed_and_nor_is_it_where_events_were_lost() {
        let mut place = Place::new();
        place.start += WHOLE;
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        assert_eq!(place.stirred(), "");
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: usize = most.trim().parse().unwrap();
        // Two equal events in a row count as one.
        for n in 0..=most {
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(place.path(["a/file", "d/file"][n % 2]), mode).unwrap();
        }
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        place.watch();
        assert_eq!(place.stirred(), FOLDERS.join(" "));
        assert_eq!(place.stirred(), "");
    }
}
