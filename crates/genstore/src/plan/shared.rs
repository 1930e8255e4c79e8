//! The shared paths of a plan: their links, and the entries that the plan has at them.
//!
//! A shared path is in every tree as a link (`model/shared`), whatever the input has there. Entries of the input at
//! or below it are not published: they are refused, or become the first content of a place that is made, or are
//! left out if they say nothing (an empty folder, the link itself).

use crate::error::{Problem, ProblemKind};
use crate::model::relpath;
use crate::model::shared::{self, SharedKind, SharedPath, SharedPaths};
use crate::plan::builder::PlanBuilder;
use crate::plan::item::{Item, What};
use crate::plan::planned::Seed;

impl PlanBuilder {
    /// Adds shared paths: each becomes a link in the tree.
    pub fn shared(mut self, paths: &SharedPaths) -> PlanBuilder {
        self.shared.paths = paths.clone();
        self
    }

    /// Takes the entries at shared paths out of the plan, and adds the links.
    pub(super) fn settle_shared(&mut self) {
        let paths = self.shared.paths.clone();
        let mut taken: Vec<Vec<Item>> = paths.iter().map(|_| vec![]).collect();
        let mut kept = Vec::with_capacity(self.items.len());
        for item in std::mem::take(&mut self.items) {
            match paths.around(self.path(&item)) {
                Some(nth) => taken[nth].push(item),
                None => kept.push(item),
            }
        }
        self.items = kept;
        for (one, items) in paths.iter().zip(taken) {
            self.settle_one(one, items);
            let link = What::Symlink(shared::target_of(one.path.as_bytes()).into());
            self.add_checked(b"", one.path.as_bytes(), link);
        }
        self.shared.seeds.sort_by(|a, b| relpath::compare(&a.path, &b.path));
    }

    /// Decides about the entries at one shared path.
    fn settle_one(&mut self, one: &SharedPath, items: Vec<Item>) {
        let top = one.path.as_bytes();
        let says_nothing = |item: &Item| match &item.what {
            What::Dir => !one.seed || self.path(item) == top,
            What::Symlink(target) => self.path(item) == top && shared::is_link(top, target),
            What::File { .. } => false,
        };
        let count = items.iter().filter(|item| !says_nothing(item)).count();
        if count == 0 {
            return;
        }
        let is_file = items.iter().any(|item| self.path(item) == top && !matches!(item.what, What::Dir));
        let what = match (one.seed, is_file, one.kind) {
            (false, ..) => {
                let entries = if count == 1 { "an entry".to_owned() } else { format!("{count} entries") };
                format!("is a shared path, and the input has {entries} there")
            }
            (true, true, SharedKind::Folder) => {
                "is a shared folder, and not a folder in the input".to_owned()
            }
            (true, false, SharedKind::File) => "is a shared file, and a folder in the input".to_owned(),
            (true, ..) => {
                let seeds =
                    items.into_iter().map(|item| Seed { path: self.path(&item).to_vec(), what: item.what });
                let seeds: Vec<Seed> = seeds.collect();
                self.shared.seeds.extend(seeds);
                return;
            }
        };
        self.problems(&[Problem::new(top, ProblemKind::Shared, what)]);
    }
}
