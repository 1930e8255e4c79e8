//! Plans and their builder: the wanted entries, sorted and checked, with the sources of their bytes.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::error::{Error, Problem, ProblemKind, Result};
use crate::model::links::{self, At, Leads};
use crate::model::tree::FileNode;
use crate::model::{relpath, shared};
use crate::plan::item::{Given, Item, ItemSource, Source, Symlinks, What};
use crate::plan::kept::Base;
use crate::plan::planned::PlannedShared;
use crate::plan::sources::Roots;
use crate::threads::prelude::*;

/// The wanted entries, sorted, with their sources.
#[derive(Debug)]
#[must_use]
pub struct Plan {
    /// Every path, each followed by a NUL. The tree made from the plan shares these bytes.
    pub(crate) paths: Bytes,
    /// The end of each path.
    ends: Vec<u32>,
    /// The entry at each path.
    pub(crate) what: Vec<What>,
    /// The roots of the sources.
    pub(crate) roots: Roots,
    /// Whether it was made by a [`crate::plan::ScanMemory`], which must know the sources with several names.
    pub(crate) remembered: bool,
    /// The shared paths. Their links are among the entries.
    pub(crate) shared: Arc<PlannedShared>,
}

impl Plan {
    /// Returns an empty plan's builder.
    pub fn builder() -> PlanBuilder {
        PlanBuilder::default()
    }

    /// Checks that no source of the plan is inside another, so that each file is moved in once, and
    /// that no source contains a mount point: a mounted filesystem is not removed.
    ///
    /// # Errors
    /// [`Error::BadPlan`] with every overlap and every mount point.
    pub fn check_consume(&self) -> Result<()> {
        let mut problems = [self.roots.overlaps(), self.roots.mounts()].concat();
        problems.sort_by(|a, b| relpath::compare(&a.path, &b.path));
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::BadPlan { problems }),
        }
    }

    /// Returns whether the plan is empty, apart from the links of shared paths.
    pub fn is_empty(&self) -> bool {
        self.what.len() == self.shared.paths.iter().len()
    }

    /// Returns the number of files.
    pub fn files(&self) -> usize {
        self.what.iter().filter(|what| matches!(what, What::File { .. })).count()
    }

    pub(crate) fn len(&self) -> usize {
        self.what.len()
    }

    /// Returns the path of an entry, by its index.
    pub(crate) fn path(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize + 1 };
        &self.paths[start..self.ends[index] as usize]
    }

    /// Returns the paths of some entries, with a NUL between two.
    pub(crate) fn paths_of(&self, entries: Range<usize>) -> &[u8] {
        let start = if entries.start == 0 { 0 } else { self.ends[entries.start - 1] as usize + 1 };
        &self.paths[start..self.ends[entries.end - 1] as usize]
    }

    /// Returns all paths, in order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.path(index))
    }
}

/// Collects the entries of a plan, in any order.
#[derive(Default, Debug)]
#[must_use]
pub struct PlanBuilder {
    /// Every path that was added, each followed by a NUL.
    paths: Vec<u8>,
    pub(super) items: Vec<Item>,
    problems: Vec<Problem>,
    symlinks: Symlinks,
    pub(crate) roots: Roots,
    /// See [`Plan::remembered`].
    pub(crate) remembered: bool,
    pub(super) shared: PlannedShared,
    pub(super) base: Option<Base>,
}

impl PlanBuilder {
    /// Sets which symlinks may be in the plan.
    pub fn symlinks(mut self, symlinks: Symlinks) -> PlanBuilder {
        self.symlinks = symlinks;
        self
    }

    /// Adds a file. Its folders need not be added.
    pub fn file(self, path: impl Into<Vec<u8>>, source: Source) -> PlanBuilder {
        self.add_file(path.into(), source, false)
    }

    /// Adds a file that may be executed.
    pub fn executable(self, path: impl Into<Vec<u8>>, source: Source) -> PlanBuilder {
        self.add_file(path.into(), source, true)
    }

    /// Adds a file whose bytes the store has already: see [`crate::Store::receive`]. Its mtime counts only
    /// if it is empty. Any other has the mtime of its object.
    pub fn stored(mut self, path: impl Into<Vec<u8>>, file: FileNode) -> PlanBuilder {
        let source = ItemSource::Given(Box::new(Given::Stored(file)));
        self.add(path.into(), What::File { source, executable: file.executable });
        self
    }

    fn add_file(mut self, path: Vec<u8>, source: Source, executable: bool) -> PlanBuilder {
        let source = match source {
            Source::Bytes(bytes) => Given::Bytes(bytes),
            Source::File(path) => Given::File(path),
            Source::Reader(reader) => Given::Reader(Mutex::new(Some(reader))),
            Source::Spooled(spooled) => Given::Spooled(spooled),
        };
        let source = ItemSource::Given(Box::new(source));
        self.add(path, What::File { source, executable });
        self
    }

    /// Adds a symbolic link.
    pub fn symlink(mut self, path: impl Into<Vec<u8>>, target: impl Into<Vec<u8>>) -> PlanBuilder {
        self.add(path.into(), What::Symlink(target.into().into()));
        self
    }

    /// Adds a directory. It has an effect only if it stays empty.
    pub fn dir(mut self, path: impl Into<Vec<u8>>) -> PlanBuilder {
        self.add(path.into(), What::Dir);
        self
    }

    pub(crate) fn add(&mut self, path: Vec<u8>, what: What) {
        match relpath::check(&path) {
            Ok(()) => self.add_checked(b"", &path, what),
            Err(why) => self.problem(&path, ProblemKind::Unfit, why.to_string()),
        }
    }

    /// Adds an entry of a folder whose path was checked.
    pub(crate) fn add_checked(&mut self, folder: &[u8], name: &[u8], what: What) {
        let start = self.paths.len();
        relpath::push_joined(&mut self.paths, folder, name);
        self.items.push(Item { start, end: self.paths.len(), what });
        self.paths.push(0);
    }

    /// Adds a problem that the caller found, to be reported with the others. `what` completes a
    /// sentence that begins with the path.
    pub fn problem(&mut self, path: &[u8], kind: ProblemKind, what: impl Into<String>) {
        self.problems.push(Problem::new(path, kind, what));
    }

    /// Adds problems.
    pub(crate) fn problems(&mut self, problems: &[Problem]) {
        self.problems.extend_from_slice(problems);
    }

    /// Returns the number of entries and of problems, for [`PlanBuilder::cut_back`].
    pub(crate) fn lengths(&self) -> (usize, usize) {
        (self.items.len(), self.problems.len())
    }

    /// Removes all later additions.
    pub(crate) fn cut_back(&mut self, (items, problems): (usize, usize)) {
        self.items.truncate(items);
        self.paths.truncate(self.items.last().map_or(0, |item| item.end + 1));
        self.problems.truncate(problems);
    }

    /// Sorts and checks the entries.
    ///
    /// # Errors
    /// [`Error::BadPlan`] with every problem of the plan.
    pub fn build(mut self) -> Result<Plan> {
        if !self.shared.paths.is_empty() {
            self.settle_shared();
        }
        self.sort();
        if self.base.is_some() {
            self.settle_base();
            self.sort();
        }
        self.check_places();
        self.check_links();
        if self.paths.len() > u32::MAX as usize {
            self.problem(b".", ProblemKind::Unfit, "contains more than 4 GiB of paths");
        }
        if self.problems.is_empty() {
            self.line_up();
            let ends = self.items.iter().map(|item| item.end as u32).collect();
            let what = self.items.into_iter().map(|item| item.what).collect();
            let (paths, roots, shared) = (self.paths.into(), self.roots, Arc::new(self.shared));
            return Ok(Plan { paths, ends, what, roots, remembered: self.remembered, shared });
        }
        self.problems.sort_by(|a, b| relpath::compare(&a.path, &b.path));
        self.problems.dedup();
        Err(Error::BadPlan { problems: self.problems })
    }

    /// Sorts the entries by their paths.
    fn sort(&mut self) {
        let is_less = |pair: &[Item]| relpath::compare(self.path(&pair[0]), self.path(&pair[1])).is_lt();
        let in_order = self.items.par_windows(2).all(is_less);
        if !in_order {
            let paths = &self.paths;
            let path = |item: &Item| &paths[item.start..item.end];
            self.items.sort_by(|a, b| relpath::compare(path(a), path(b)));
        }
    }

    pub(super) fn path(&self, item: &Item) -> &[u8] {
        &self.paths[item.start..item.end]
    }

    /// Brings the paths into the order of the items, unless they are sorted already, as after a scan.
    fn line_up(&mut self) {
        let starts = self.items.iter().map(|item| item.start).chain([self.paths.len()]);
        let ends = self.items.iter().map(|item| item.end + 1);
        if starts.eq(std::iter::once(0).chain(ends)) {
            return;
        }
        let mut paths = Vec::with_capacity(self.paths.len());
        for item in &mut self.items {
            let start = paths.len();
            paths.extend(&self.paths[item.start..=item.end]);
            (item.start, item.end) = (start, paths.len() - 1);
        }
        self.paths = paths;
    }

    /// Finds paths that occur twice or below a file, and removes folders that have entries.
    fn check_places(&mut self) {
        let mut problems = Vec::new();
        let mut last_other: Option<&Item> = None;
        let mut keep: Vec<bool> = vec![true; self.items.len()];
        for (index, item) in self.items.iter().enumerate() {
            let (path, next) = (self.path(item), self.items.get(index + 1));
            if matches!(item.what, What::Dir)
                && next.is_some_and(|n| relpath::is_within(self.path(n), path))
            {
                // The next entry is inside it, or is the same path again: as a folder, or as a
                // conflict.
                keep[index] = false;
            }
            if let Some(other) = last_other
                && relpath::is_within(path, self.path(other))
            {
                let same = path == self.path(other);
                let is_dir = |item: &Item| matches!(item.what, What::Dir);
                let clash = match (same, is_dir(other), is_dir(item)) {
                    (true, true, true) | (false, true, _) => None,
                    (true, false, false) => Some("stands twice"),
                    (true, ..) => Some("is both a directory and something else"),
                    (false, false, _) => Some("lies below something that is not a directory"),
                };
                if let Some(what) = clash {
                    problems.push(Problem::new(path, ProblemKind::Unfit, what));
                    continue;
                }
            }
            last_other = Some(item);
        }
        self.problems.append(&mut problems);
        let mut keep = keep.into_iter();
        self.items.retain(|_| keep.next().unwrap_or(true));
    }

    fn check_links(&mut self) {
        let mut problems = Vec::new();
        for item in &self.items {
            let What::Symlink(target) = &item.what else {
                continue;
            };
            let what = if target.is_empty() || target.contains(&0) {
                // No filesystem has these, whatever is allowed.
                "is a symlink without a target"
            } else if self.symlinks == Symlinks::Any || self.is_shared(self.path(item), target) {
                continue;
            } else if target.starts_with(b"/") {
                "is an absolute symlink"
            } else if self.escapes(self.path(item), target) {
                "is a symlink that leaves the tree"
            } else {
                continue;
            };
            let what = format!("{what} (to {})", relpath::show(target));
            problems.push(Problem::new(self.path(item), ProblemKind::Symlink, what));
        }
        self.problems.append(&mut problems);
    }

    /// Returns whether a link is that of a shared path of the plan.
    fn is_shared(&self, path: &[u8], target: &[u8]) -> bool {
        !self.shared.paths.is_empty()
            && self.shared.paths.around(path).is_some()
            && shared::is_link(path, target)
    }

    /// Returns whether a link ever leaves the top. Only names and the links on the way decide that.
    fn escapes(&self, link: &[u8], target: &[u8]) -> bool {
        let at = |path: &[u8]| {
            let found = self.items.binary_search_by(|item| relpath::compare(self.path(item), path));
            match found.map(|index| &self.items[index].what) {
                // It leads to a folder of the project, in which every name may be.
                Ok(What::Symlink(next)) if self.is_shared(path, next) => At::Dir,
                Ok(What::Symlink(next)) => At::Link(next),
                _ => At::Dir,
            }
        };
        // A link to an absolute path is reported at that link. A loop leads nowhere.
        links::follow(link, target, at) == Leads::Outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Source {
        Source::Bytes(text.into())
    }

    fn problems(builder: PlanBuilder) -> Vec<String> {
        match builder.build() {
            Ok(_) => vec![],
            Err(Error::BadPlan { problems }) => {
                problems.iter().map(|p| format!("{} {}", relpath::show(&p.path), p.what)).collect()
            }
            Err(e) => panic!("{e}"),
        }
    }

    #[test]
    fn all_problems_come_together() {
        let plan = Plan::builder()
            .file("a", bytes(""))
            .file("a", bytes("2"))
            .file("a/b", bytes(""))
            .file("../up", bytes(""))
            .symlink("c", "/etc")
            .symlink("d", "x/../../y");
        assert_eq!(
            problems(plan),
            [
                "../up the path contains `..`",
                "a stands twice",
                "a/b lies below something that is not a directory",
                "c is an absolute symlink (to /etc)",
                "d is a symlink that leaves the tree (to x/../../y)",
            ]
        );
    }

    #[test]
    fn a_folder_counts_only_while_it_is_empty() {
        let plan = Plan::builder().dir("a").dir("a").file("b/c", bytes("")).dir("b").dir("a/d");
        let plan = plan.build().unwrap();
        let paths: Vec<_> = plan.paths().map(String::from_utf8_lossy).collect();
        assert_eq!(paths, ["a/d", "b/c"]);
        let clash = Plan::builder().dir("a").file("a", bytes(""));
        assert_eq!(problems(clash), ["a is both a directory and something else"]);
    }

    #[test]
    fn links_are_followed_by_what_they_are_not_by_how_they_read() {
        let inside = Plan::builder().dir("x/y").symlink("a/l", "../x/y/../..").symlink("loop", "loop");
        assert_eq!(problems(inside), [""; 0]);
        // `here` is the top, so `here/..` leaves the tree. As text it would stay inside.
        let outside = Plan::builder().symlink("here", ".").symlink("l", "here/../z");
        assert_eq!(problems(outside), ["l is a symlink that leaves the tree (to here/../z)"]);
        let any = Plan::builder().symlinks(Symlinks::Any).symlink("c", "/etc").symlink("d", "../..");
        assert_eq!(problems(any), [""; 0]);
        let none = Plan::builder().symlinks(Symlinks::Any).symlink("c", "").symlink("d", *b"a\0b");
        assert_eq!(
            problems(none),
            ["c is a symlink without a target (to )", "d is a symlink without a target (to a\\u{0}b)"]
        );
    }
}
