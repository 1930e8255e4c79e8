//! Freshness: the mtime at a path moves forward by a second or more whenever its bytes change.
//!
//! File servers compare whole seconds of Last-Modified. Objects are shared between generations, so a
//! return to older bytes would return to an older mtime. A client that has cached the newer bytes would
//! then get "304 Not Modified" (seen with the file servers of Go, Python and Express). So each
//! activation compares the files that it will show with the files shown last, and gives some paths an
//! inode of their own.
//!
//! Two facts are not in the two manifests and are kept beside them ([`PublishedMtimes`]): the paths whose inode
//! is not their object's, and the paths that were shown once and are now absent. Each current
//! generation passes this list on to the next, so a comparison with the last one alone covers the whole
//! history.

use std::collections::{BTreeMap, HashSet};

use super::digest::Digest;
use super::pairs::pairs;
use super::tree::{Entry, FileNode, Mtime, Node, Tree};

/// The largest number of retired paths, or the number of files of the larger of the two trees if that
/// is larger. Beyond it the oldest are folded into [`PublishedMtimes::floor`]. So the list becomes short again
/// after a tree was published by mistake, however large the right tree is.
const MAX_RETIRED: usize = 20_000;

/// If a renewed mtime is further ahead of now than this, in seconds, it came from a clock that ran
/// ahead. It is then ignored, so that once the clock is right, mtimes are not years ahead.
const AHEAD: i64 = 24 * 60 * 60;

/// The mtimes that readers of a generation were shown, where they are not in its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedMtimes {
    /// Paths without a record count as shown up to this second.
    pub floor: i64,
    /// Files of this generation whose mtime is not the manifest's.
    pub fresh: BTreeMap<Vec<u8>, Mtime>,
    /// Paths that earlier generations showed and this one does not contain.
    pub retired: BTreeMap<Vec<u8>, Retired>,
}

/// The last shown state of a path that is now absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Its mtime in whole seconds.
    pub secs: i64,
    /// Its bytes.
    pub digest: Digest,
}

impl Default for PublishedMtimes {
    fn default() -> PublishedMtimes {
        PublishedMtimes { floor: i64::MIN, fresh: BTreeMap::new(), retired: BTreeMap::new() }
    }
}

impl PublishedMtimes {
    /// Returns whether nothing need be kept beside the manifest.
    pub fn is_empty(&self) -> bool {
        *self == PublishedMtimes::default()
    }

    /// Returns the mtime of `path` in the generation's directory.
    pub fn mtime(&self, path: &[u8], file: &FileNode) -> Mtime {
        self.fresh.get(path).copied().unwrap_or(file.mtime)
    }

    /// Returns the second that counts as shown at `path`. An mtime given by a clock that ran ahead
    /// counts as now. An mtime from a source counts as it is, and so does one that is a little ahead.
    fn secs(&self, path: &[u8], file: &FileNode, now: Mtime) -> i64 {
        if self.is_ahead(path, now) { now.secs } else { self.mtime(path, file).secs }
    }

    /// Returns whether a clock that ran ahead gave `path` its mtime. Only a clock gives an mtime with a part
    /// below the second: the whole second after another mtime may follow a source that was dated ahead.
    fn is_ahead(&self, path: &[u8], now: Mtime) -> bool {
        let is_ahead = |given: &Mtime| given.nanos > 0 && given.secs > now.secs.saturating_add(AHEAD);
        self.fresh.get(path).is_some_and(is_ahead)
    }

    fn retire(&mut self, path: &[u8], last: Retired) {
        self.retired.insert(path.to_vec(), last);
    }

    /// Bounds the list: the oldest entries are removed, and the floor stands for all of them.
    fn fold_oldest(&mut self, files: u64) {
        let most = usize::try_from(files).unwrap_or(usize::MAX).max(MAX_RETIRED);
        if self.retired.len() <= most {
            return;
        }
        let mut ages: Vec<i64> = self.retired.values().map(|last| last.secs).collect();
        ages.sort_unstable();
        // Of many with the same mtime all are removed, so that fewer than the limit remain.
        let cut = ages[self.retired.len() - most / 2];
        self.retired.retain(|_, last| last.secs > cut);
        self.floor = self.floor.max(cut);
    }
}

/// A way to give a file of the next generation the right mtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Link the inode that is shown now: it has the same bytes, and this mtime.
    Keep(Mtime),
    /// Create an inode with this mtime, executable or not.
    Renew(Mtime, bool),
}

/// The work to be done on a generation before it may become current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// Paths of the next generation that get another inode, in path order.
    pub(crate) touches: Vec<(Vec<u8>, Touch)>,
    /// The file of each of these paths.
    pub(crate) files: Vec<FileNode>,
    /// Files of the next generation that readers are not shown now, and that need no change, with their
    /// mtimes.
    pub(crate) stays: Vec<(Vec<u8>, FileNode, Mtime)>,
    /// The record to be kept beside the next generation's manifest.
    pub(crate) shown: PublishedMtimes,
}

/// Compares the files that are shown now with the files that will be shown next.
///
/// `next_shown` holds the changes that an earlier activation made to the next generation.
pub(crate) fn plan(
    current: (&Tree, &PublishedMtimes),
    next: (&Tree, &PublishedMtimes),
    now: Mtime,
) -> Freshness {
    plan_with(current, next, current.0.files().max(next.0.files()), now)
}

/// Does it with `files`, the number of files in the larger of the two generations.
fn plan_with(
    current: (&Tree, &PublishedMtimes),
    next: (&Tree, &PublishedMtimes),
    files: u64,
    now: Mtime,
) -> Freshness {
    let ((tree, shown), (next_tree, next_shown)) = (current, next);
    let mut out = Freshness {
        touches: Vec::new(),
        files: Vec::new(),
        stays: Vec::new(),
        shown: PublishedMtimes {
            floor: shown.floor,
            fresh: next_shown.fresh.clone(),
            retired: shown.retired.clone(),
        },
    };
    let renew = |file: &FileNode, after| Touch::Renew(later(now, after), file.executable);
    let no_exceptions = shown.fresh.is_empty() && next_shown.fresh.is_empty();
    // Most files of two generations are the same, and are shown as the manifests say.
    let is_exception = |j: usize| {
        let path = next_tree.path(j);
        !no_exceptions && (shown.fresh.contains_key(path) || next_shown.fresh.contains_key(path))
    };
    for pair in pairs(tree, next_tree, is_exception) {
        let before = pair.base().map(|i| tree.get(i));
        let after = pair.next().map(|j| next_tree.get(j));
        let file = |entry: Option<Entry<'_>>| match entry?.node {
            Node::File(file) => Some(file),
            _ => None,
        };
        let path = pair.path(tree, next_tree);
        match (file(before), file(after)) {
            (Some(old), Some(new)) => {
                let last = shown.mtime(path, &old);
                let (mtime, is_ahead) = (next_shown.mtime(path, &new), next_shown.is_ahead(path, now));
                let touch = if old.object() == new.object() {
                    // Empty files are never shared between generations (see `objects`).
                    let keep =
                        if new.size == 0 { Touch::Renew(last, new.executable) } else { Touch::Keep(last) };
                    (mtime != last).then_some(keep)
                } else if old.digest == new.digest {
                    (mtime < last || is_ahead).then(|| renew(&new, shown.secs(path, &old, now)))
                } else {
                    (mtime.secs <= last.secs || is_ahead).then(|| renew(&new, shown.secs(path, &old, now)))
                };
                if touch.is_none() && old.object() != new.object() {
                    out.stays.push((path.to_vec(), new, mtime));
                }
                out.touch(path, &new, touch);
            }
            (Some(old), None) => {
                let secs = shown.secs(path, &old, now);
                out.shown.retire(path, Retired { secs, digest: old.digest });
                out.shown.fresh.remove(path);
            }
            (None, Some(new)) => {
                let (mtime, is_ahead) = (next_shown.mtime(path, &new), next_shown.is_ahead(path, now));
                let touch = match out.shown.retired.remove(path) {
                    Some(last) if last.digest == new.digest => {
                        (mtime.secs < last.secs || is_ahead).then(|| renew(&new, last.secs))
                    }
                    Some(last) => (mtime.secs <= last.secs || is_ahead).then(|| renew(&new, last.secs)),
                    None => (mtime.secs <= shown.floor || is_ahead).then(|| renew(&new, shown.floor)),
                };
                if touch.is_none() {
                    out.stays.push((path.to_vec(), new, mtime));
                }
                out.touch(path, &new, touch);
            }
            (None, None) => {}
        }
    }
    out.shown.fold_oldest(files);
    out
}

/// Does the same with trees that hold only the differing files. `files` is the number of files in the
/// larger of the two generations. Returns `None` if the difference is insufficient: if a file that is
/// the same in both generations is shown with another mtime.
pub(crate) fn plan_by_difference(
    current: (&Tree, &PublishedMtimes),
    next: (&Tree, &PublishedMtimes),
    files: u64,
    now: Mtime,
) -> Option<Freshness> {
    let is_told = |path: &[u8]| current.0.find(path).is_some() || next.0.find(path).is_some();
    let covers = |one: &PublishedMtimes, other: &PublishedMtimes| {
        one.fresh.iter().all(|(path, mtime)| other.fresh.get(path) == Some(mtime) || is_told(path))
    };
    (covers(current.1, next.1) && covers(next.1, current.1)).then(|| plan_with(current, next, files, now))
}

impl Freshness {
    /// Adds to `stays` the files that have an inode of their own and that readers are shown now, too.
    pub(crate) fn add_own(&mut self, (next, shown): (&Tree, &PublishedMtimes)) {
        let touched = self.touches.iter().map(|(path, _)| path);
        let compared: HashSet<&Vec<u8>> = touched.chain(self.stays.iter().map(|(path, ..)| path)).collect();
        let own = shown.fresh.iter().filter(|(path, _)| !compared.contains(path));
        let own = own.filter_map(|(path, mtime)| match next.find(path)? {
            Node::File(file) => Some((path.clone(), file, *mtime)),
            _ => None,
        });
        let own: Vec<_> = own.collect();
        self.stays.extend(own);
    }

    fn touch(&mut self, path: &[u8], file: &FileNode, touch: Option<Touch>) {
        if let Some(touch) = touch {
            let (Touch::Keep(mtime) | Touch::Renew(mtime, _)) = touch;
            self.shown.fresh.insert(path.to_vec(), mtime);
            self.touches.push((path.to_vec(), touch));
            self.files.push(*file);
        }
    }
}

/// Returns now, or the next whole second after `shown_secs` if the clock is behind it.
fn later(now: Mtime, shown_secs: i64) -> Mtime {
    let next = Mtime { secs: shown_secs.saturating_add(1), nanos: 0 };
    now.max(next)
}

#[cfg(test)]
#[path = "fresh_tests.rs"]
mod tests;
