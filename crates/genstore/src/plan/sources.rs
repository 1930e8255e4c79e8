//! The directories and files from which a plan was made, by their real paths.

use std::path::{Path, PathBuf};

use crate::error::{Problem, ProblemKind, show_path};
use crate::fs::mount;
use crate::model::relpath;

/// The roots of a plan so far.
#[derive(Default, Debug)]
pub(crate) struct Roots {
    /// The names given to [`PlanBuilder::root`](crate::plan::PlanBuilder::root), valid or not.
    pub(crate) names: Vec<Vec<u8>>,
    /// Every scanned directory and every file that is a root, by name and real path.
    sources: Vec<(Vec<u8>, PathBuf)>,
}

impl Roots {
    /// Records the source of the entries below `name`.
    pub(crate) fn came_from(&mut self, name: &[u8], real: &Path) {
        self.sources.push((name.to_vec(), real.to_owned()));
    }

    /// Returns the names of the roots.
    pub(crate) fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    /// Finds the sources that are inside an earlier or a later one.
    pub(crate) fn overlaps(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for (at, (name, real)) in self.sources.iter().enumerate() {
            let others = self.sources.iter().enumerate().filter(|(other, _)| *other != at);
            // Of two identical sources, the later one is reported.
            let mut outer =
                others.filter(|(other, (_, o))| real.starts_with(o) && (real != o || *other < at));
            if let Some((_, (other, _))) = outer.next() {
                let what = format!(
                    "cannot be moved in: its files ({}) are also files of {}",
                    show_path(real),
                    relpath::show(other)
                );
                found.push(Problem::new(name, ProblemKind::NotMovable, what));
            }
        }
        found.sort_by(|a, b| relpath::compare(&a.path, &b.path));
        found
    }

    /// Finds the mount points inside the sources.
    pub(crate) fn mounts(&self) -> Vec<Problem> {
        let below = |(name, real): &(Vec<u8>, PathBuf)| {
            let problem = |point: PathBuf| {
                let below = mount::below(real, &point);
                let path = if name.is_empty() { below } else { relpath::join(name, &below) };
                Problem::new(&path, ProblemKind::NotMovable, "cannot be moved in: it is a mount point")
            };
            mount::mounts_below(real).into_iter().map(problem).collect::<Vec<_>>()
        };
        self.sources.iter().flat_map(below).collect()
    }
}
