//! The changes to a mirror, derived from the verdicts about its paths.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::inventory::Inventory;
use crate::model::relpath;
use crate::views::mirror::target::MirrorTarget;

/// The verdict about a path.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// With its present inode; 0 for a copy.
    Keep(usize, u64),
    /// With its future inode.
    Add(usize, u64),
    AddLate(usize, u64),
    Replace(usize, u64),
    Delete,
    KeepFolder,
    MakeFolder,
    MakeFolderLate,
    /// A folder that is not wanted any more.
    LeaveFolder,
    Stranger,
    /// A mount point: everything below it is hidden.
    Mount,
    Gone,
}

pub(crate) type Verdicts = Vec<(Vec<u8>, Verdict)>;

/// The changes to a mirror. Paths are relative to it, and each list is in the order of execution.
#[derive(Default, Debug)]
pub(crate) struct Work {
    pub(crate) folders: Vec<Vec<u8>>,
    /// Entries of the wanted tree.
    pub(crate) added: Vec<usize>,
    pub(crate) replaced: Vec<usize>,
    pub(crate) deleted: Vec<Vec<u8>>,
    pub(crate) emptied: Vec<Vec<u8>>,
    /// Entries whose place one of ours occupies until it is deleted.
    pub(crate) late_folders: Vec<Vec<u8>>,
    pub(crate) late: Vec<usize>,
}

impl Work {
    pub(crate) fn len(&self) -> usize {
        let Work { folders, added, replaced, deleted, emptied, late_folders, late } = self;
        let paths = [folders, deleted, emptied, late_folders].map(Vec::len);
        let entries = [added, replaced, late].map(Vec::len);
        paths.into_iter().chain(entries).sum()
    }

    /// Keeps only the work of creating these entries.
    pub(crate) fn only(mut self, entries: &BTreeSet<usize>) -> Work {
        for list in [&mut self.added, &mut self.replaced, &mut self.late] {
            list.retain(|index| entries.contains(index));
        }
        let Work { added, replaced, late, .. } = self;
        Work { added, replaced, late, ..Work::default() }
    }
}

/// The result of a comparison.
pub(crate) struct Found {
    pub(crate) work: Work,
    /// The inventory of the mirror after the changes.
    pub(crate) next: Inventory,
    /// Foreign entries, and entries of ours that were changed.
    pub(crate) strangers: BTreeSet<Vec<u8>>,
    /// Entries that genstore created and that are now missing.
    pub(crate) gone: Vec<Vec<u8>>,
    /// Whether something is mounted in it, so that it could not be compared fully.
    pub(crate) hidden: bool,
}

/// Turns the verdicts into changes and a list of foreign entries.
pub(crate) fn sum_up(wanted: &MirrorTarget, root: u64, mut verdicts: Verdicts) -> Result<Found> {
    verdicts.sort_by(|a, b| relpath::compare(&a.0, &b.0));
    let is = |wanted: Verdict| {
        let paths = verdicts.iter().filter(move |(_, verdict)| *verdict == wanted);
        paths.map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let mounts: BTreeSet<Vec<u8>> = is(Verdict::Mount).into_iter().collect();
    let strangers: BTreeSet<Vec<u8>> = is(Verdict::Stranger).into_iter().chain(mounts.clone()).collect();
    // The order is by bytes, so entries below a path need not follow it directly.
    let holds_strangers = |path: &[u8]| {
        let below = [path, b"/"].concat();
        strangers.range(below.clone()..).next().is_some_and(|first| first.starts_with(&below))
    };
    let mut work = Work { folders: is(Verdict::MakeFolder), ..Work::default() };
    let mut blocked = BTreeSet::new();
    let mut inodes = vec![None; wanted.tree.len()];
    for (path, verdict) in &verdicts {
        match *verdict {
            Verdict::Keep(index, inode) => inodes[index] = Some(inode),
            Verdict::Add(index, inode) => {
                inodes[index] = Some(inode);
                work.added.push(index);
            }
            Verdict::Replace(index, inode) => {
                inodes[index] = Some(inode);
                work.replaced.push(index);
            }
            Verdict::AddLate(..) if holds_strangers(path) => blocked.extend([path.clone()]),
            Verdict::AddLate(index, inode) => {
                inodes[index] = Some(inode);
                work.late.push(index);
            }
            _ => {}
        }
    }
    work.deleted = is(Verdict::Delete);
    work.late_folders = is(Verdict::MakeFolderLate);
    let (stay, emptied): (Vec<_>, Vec<_>) = is(Verdict::LeaveFolder)
        .into_iter()
        .partition(|path| holds_strangers(path) || mounts.contains(path));
    work.emptied = emptied;
    work.emptied.reverse();
    let folders = [&is(Verdict::KeepFolder), &work.folders, &work.late_folders, &stay];
    let folders = folders.into_iter().flatten().cloned().collect();
    let tree = wanted.tree.part(|index| inodes[index].is_some());
    let is_file = |index: &usize| wanted.tree.file_rank(*index).is_some();
    let files = (0..wanted.tree.len()).filter(is_file);
    let next = Inventory {
        shows: wanted.shows.clone(),
        heals: wanted.heals,
        root,
        tree,
        inodes: files.filter_map(|index| inodes[index]).collect(),
        folders,
    };
    let gone = is(Verdict::Gone);
    let strangers = strangers.into_iter().chain(blocked).collect();
    Ok(Found { work, next, strangers, gone, hidden: !mounts.is_empty() })
}
