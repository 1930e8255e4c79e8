//! Assembly: creates a generation's tree of hard links, folder by folder and in parallel.

use std::collections::HashMap;
use std::sync::Mutex;

use rustix::io::Errno;

use crate::error::Result;
use crate::fs::Dir;
use crate::fs::dir::open_parent;
use crate::fs::errno::is_errno;
use crate::fs::folders::Folders;
use crate::model::relpath;
use crate::model::tree::{FileNode, Node, ObjectId};
use crate::parts::layout::StoreDir;
use crate::parts::locks::StoreShared;
use crate::parts::objects::{self, Objects, make_empty};
use crate::parts::stage_dir::StageDir;
use crate::progress::Phase;
use crate::threads::lock;
use crate::threads::prelude::*;
use crate::verbs::publish::ingest::context::{EntrySource, Ingested};

/// Completes the tree of a stage: links existing objects, and creates the entries that are never
/// shared.
///
/// On return `ingested.placed` contains for each new object an entry whose inode has links to spare.
pub(crate) fn assemble(
    store: &StoreDir,
    guard: &StoreShared,
    objects: &Objects<'_>,
    folders: &Folders<'_>,
    ingested: &mut Ingested,
    stage: &StageDir,
) -> Result<()> {
    store.options.progress.begin(Phase::Assemble, Some(ingested.tree.len() as u64));
    let assembly = Assembly::new(store, guard, objects, ingested, stage.tree());
    let members: Vec<&[u32]> = folders.members().collect();
    members.into_par_iter().try_for_each(|members| assembly.folder(folders, members))?;
    let rotated = assembly.finish();
    ingested.placed.extend(rotated);
    Ok(())
}

/// A tree that is being assembled.
pub(crate) struct Assembly<'a> {
    pub(crate) store: &'a StoreDir,
    guard: &'a StoreShared,
    pub(crate) objects: &'a Objects<'a>,
    pub(crate) ingested: &'a Ingested,
    pub(crate) tree: &'a Dir,
    /// Entries that replaced the first one after its inode ran out of links.
    primaries: Mutex<HashMap<ObjectId, u32>>,
}

impl<'a> Assembly<'a> {
    /// Starts to assemble the ingested entries in `tree`.
    pub(crate) fn new(
        store: &'a StoreDir,
        guard: &'a StoreShared,
        objects: &'a Objects<'a>,
        ingested: &'a Ingested,
        tree: &'a Dir,
    ) -> Assembly<'a> {
        Assembly { store, guard, objects, ingested, tree, primaries: Mutex::new(HashMap::new()) }
    }

    /// Returns the entries whose inodes become the new objects, instead of the ones that were placed
    /// first.
    pub(crate) fn finish(self) -> HashMap<ObjectId, u32> {
        self.primaries.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn folder(&self, folders: &Folders<'_>, members: &[u32]) -> Result<()> {
        let missing =
            || members.iter().filter(|&&entry| self.ingested.how[entry as usize] != EntrySource::Placed);
        let Some(&first) = missing().next() else {
            return Ok(());
        };
        let dir = folders.make(&self.store.fs, self.tree, first)?;
        for &entry in missing() {
            self.entry(entry, &dir)?;
        }
        self.store.options.progress.advance(members.len() as u64);
        Ok(())
    }

    /// Creates an entry that was not placed, in its folder.
    pub(crate) fn entry(&self, index: u32, dir: &Dir) -> Result<()> {
        let entry = self.ingested.tree.get(index as usize);
        let name = relpath::split(entry.path).1;
        let fs = &self.store.fs;
        match (entry.node, self.ingested.how[index as usize]) {
            (Node::Symlink(target), _) => fs.symlink(target, dir, name),
            (Node::EmptyDir, _) => fs.make_dir(dir, name).map(drop),
            (Node::File(file), EntrySource::Object) => {
                self.objects.link_into(self.guard, file.object(), (dir, name))
            }
            (Node::File(file), EntrySource::Twin) => self.twin(index, file, dir, name),
            (Node::File(file), _) => make_empty(self.store, file, dir, name),
        }
    }

    /// Links an entry to the path where its bytes were placed in this stage. If that inode has no links
    /// left, this entry gets a copy, which later entries are linked to.
    fn twin(&self, index: u32, file: FileNode, dir: &Dir, name: &[u8]) -> Result<()> {
        let id = file.object();
        let link_to = |primary: u32| {
            let (from, from_name) = open_parent(self.tree, self.ingested.tree.path(primary as usize))?;
            self.store.fs.link((&from, from_name), (dir, name))
        };
        let first = self.ingested.placed[&id];
        let primary = lock(&self.primaries).get(&id).copied().unwrap_or(first);
        match link_to(primary) {
            Err(e) if is_errno(&e, Errno::MLINK) => {}
            done => return done,
        }
        let mut primaries = lock(&self.primaries);
        let primary = primaries.get(&id).copied().unwrap_or(first);
        match link_to(primary) {
            Err(e) if is_errno(&e, Errno::MLINK) => {
                let (from, from_name) = open_parent(self.tree, self.ingested.tree.path(primary as usize))?;
                self.objects.set_apart();
                drop(objects::copy_file(self.store, (&from, from_name), (dir, name))?);
                primaries.insert(id, index);
                Ok(())
            }
            done => done,
        }
    }
}
