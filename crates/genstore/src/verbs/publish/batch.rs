//! Batches: several writers put roots into one stage, and one commit publishes all of them.
//!
//! A root is copied when it is put, so its source may change afterwards. It takes no lock of the store: the
//! lock of the stage, shared, keeps commits and removals away until the root is complete.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use crate::error::{Error, RefusedKind, Result};
use crate::fs::folders::Folders;
use crate::fs::{Dir, Stat};
use crate::model::ids::StageId;
use crate::model::relpath::{self, RelPath};
use crate::parts::batch::{Batch, TREE};
use crate::parts::layout::StoreDir;
use crate::plan::Plan;
use crate::plan::item::{Given, ItemSource, What};
use crate::plan::scan::ScanRules;
use crate::progress::Phase;
use crate::threads::lock;
use crate::threads::prelude::*;
use crate::verbs::publish::ingest::lossy::{Losses, Lossy};
use crate::verbs::publish::stage;
use crate::warning::Warning;

/// A root that was put into a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PutRoot {
    /// The number of its files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// The losses of its files: see [`Lossy`].
    pub warnings: Vec<Warning>,
}

/// Copies a directory or file into a batch, as the root `name`. It replaces a root of that name which was put
/// before.
pub(crate) fn put(
    store: &StoreDir,
    id: &StageId,
    (name, source): (&RelPath, &Path),
    rules: &ScanRules,
    lossy: Lossy,
) -> Result<PutRoot> {
    store.complete()?;
    store.check_reserve()?;
    let stage = stage::join(store, id)?;
    let Some(batch) = Batch::of(&stage.dir)? else {
        let why = format!("the stage {id} was not begun as a batch");
        return Err(Error::refused(RefusedKind::StageNotBatch, why));
    };
    let name = name.as_bytes();
    let mut plan = Plan::builder().symlinks(rules.symlinks);
    // It must not lie in another root, nor another one in it.
    plan.roots.names =
        batch.roots()?.into_iter().map(|root| root.name).filter(|other| other != name).collect();
    plan.root(name, source, rules)?;
    let plan = plan.build()?;
    let losses = Mutex::new(Losses::default());
    let bytes = batch.add(&store.fs, name, |dir| {
        let copy =
            Copy { store, plan: &plan, name, dir, lossy, is_private: store.is_private()?, losses: &losses };
        let bytes = copy.run()?;
        match lossy {
            Lossy::Refuse => lock(&losses).refuse().map(|()| bytes),
            _ => Ok(bytes),
        }
    })?;
    let warnings = lock(&losses).warnings();
    Ok(PutRoot { files: plan.files() as u64, bytes, warnings })
}

/// The copy of a root.
struct Copy<'a> {
    store: &'a StoreDir,
    plan: &'a Plan,
    /// The path of the root in the plan.
    name: &'a [u8],
    /// The directory of [`TREE`].
    dir: &'a Dir,
    lossy: Lossy,
    is_private: bool,
    losses: &'a Mutex<Losses>,
}

impl Copy<'_> {
    /// Copies everything, and returns the number of bytes.
    fn run(&self) -> Result<u64> {
        let progress = &self.store.options.progress;
        progress.begin(Phase::Store, Some(self.plan.files() as u64));
        if let [What::File { source: ItemSource::Given(given), .. }] = self.plan.what.as_slice()
            && let Given::Root(path) = &**given
        {
            let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
            return self.file(&file, path, (self.dir, TREE), self.name);
        }
        self.store.fs.make_dir(self.dir, TREE)?;
        let tree = self.dir.open_dir(TREE)?;
        let below = |entry: usize| relpath::after(self.plan.path(entry), self.name.len());
        let folders = Folders::of((0..self.plan.len()).map(below));
        let members: Vec<&[u32]> = folders.members().filter(|members| !members.is_empty()).collect();
        let sizes = members.into_par_iter().map(|members| -> Result<u64> {
            let to = folders.make(&self.store.fs, &tree, members[0])?;
            let mut bytes = 0;
            for &entry in members {
                bytes += self.entry(entry as usize, below(entry as usize), &to)?;
            }
            progress.advance(members.len() as u64);
            Ok(bytes)
        });
        sizes.sum()
    }

    /// Copies one entry into its folder.
    fn entry(&self, entry: usize, below: &[u8], to: &Dir) -> Result<u64> {
        let (fs, name) = (&self.store.fs, relpath::split(below).1);
        match &self.plan.what[entry] {
            // The root itself, if it is empty.
            What::Dir if below.is_empty() => Ok(0),
            What::Dir => fs.make_dir(to, name).map(|_| 0),
            What::Symlink(target) => fs.symlink(target, to, name).map(|()| 0),
            What::File { source: ItemSource::Scanned(root), .. } => {
                let path = self.plan.path(entry);
                let below_source = root.below(path);
                let file = root.dir.open_file(below_source)?;
                self.file(&file, &root.dir.join(below_source), (to, name), path)
            }
            // A root has no other sources.
            What::File { .. } => Ok(0),
        }
    }

    /// Copies a file with its mode and mtime. A change meanwhile is detected by its size, mtime and ctime.
    fn file(&self, from: &File, source: &Path, to: (&Dir, &[u8]), path: &[u8]) -> Result<u64> {
        let fs = &self.store.fs;
        let before = Stat::of(from, source)?;
        let (copy, target) = (fs.create(to.0, to.1)?, to.0.join(to.1));
        fs.copy(from, &copy, &target)?;
        let after = Stat::of(from, source)?;
        if (after.size, after.mtime, after.ctime) != (before.size, before.mtime, before.ctime) {
            return Err(Error::SourceChanged { path: source.to_owned() });
        }
        if self.lossy != Lossy::Allow {
            lock(self.losses).add(Losses::of(&before, Some(from), self.is_private), path);
        }
        // Readers of the stage are the store's own: what the file loses was said here.
        fs.set_mode(&copy, &target, if before.mode & 0o100 != 0 { 0o755 } else { 0o644 })?;
        fs.set_mtime(&copy, &target, before.mtime)?;
        Ok(before.size)
    }
}
