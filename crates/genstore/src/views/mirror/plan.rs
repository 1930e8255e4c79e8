//! What is to be done about a mirror, put together from what was found path by path.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::model::inventory::Inventory;
use crate::model::relpath;
use crate::views::mirror::target::MirrorTarget;

/// What is found of a path.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// With the inode that it has; 0 for a copy.
    Keep(usize, u64),
    /// With the inode that it will have.
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
    /// A mount point: what is below it is hidden.
    Mount,
    Gone,
}

pub(crate) type Verdicts = Vec<(Vec<u8>, Verdict)>;

/// What is to be done about a mirror; paths in it, each list in the order in which it is done.
#[derive(Default, Debug)]
pub(crate) struct Work {
    pub(crate) folders: Vec<Vec<u8>>,
    /// Entries of the wanted tree.
    pub(crate) added: Vec<usize>,
    pub(crate) replaced: Vec<usize>,
    pub(crate) deleted: Vec<Vec<u8>>,
    pub(crate) emptied: Vec<Vec<u8>>,
    /// What something of ours is in the way of, until it is deleted.
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

    /// Leaves nothing to do but to put these entries in their places.
    pub(crate) fn only(mut self, entries: &BTreeSet<usize>) -> Work {
        for list in [&mut self.added, &mut self.replaced, &mut self.late] {
            list.retain(|index| entries.contains(index));
        }
        let Work { added, replaced, late, .. } = self;
        Work { added, replaced, late, ..Work::default() }
    }
}

/// What the look found.
pub(crate) struct Found {
    pub(crate) work: Work,
    /// What the mirror has in it when that is done.
    pub(crate) next: Inventory,
    /// What was not put there, or is not any more what was.
    pub(crate) strangers: BTreeSet<Vec<u8>>,
    /// What was put there, and is gone.
    pub(crate) gone: Vec<Vec<u8>>,
    /// Something is mounted in it, so not all of it could be looked at.
    pub(crate) hidden: bool,
}

/// Sorts what was found into work, and into what is not ours.
pub(crate) fn sum_up(wanted: &MirrorTarget, root: u64, mut verdicts: Verdicts) -> Result<Found> {
    verdicts.sort_by(|a, b| relpath::compare(&a.0, &b.0));
    let is = |wanted: Verdict| {
        let paths = verdicts.iter().filter(move |(_, verdict)| *verdict == wanted);
        paths.map(|(path, _)| path.clone()).collect::<Vec<_>>()
    };
    let mounts: BTreeSet<Vec<u8>> = is(Verdict::Mount).into_iter().collect();
    let strangers: BTreeSet<Vec<u8>> = is(Verdict::Stranger).into_iter().chain(mounts.clone()).collect();
    // Sorted by bytes, what is below a path may stand apart from it.
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
