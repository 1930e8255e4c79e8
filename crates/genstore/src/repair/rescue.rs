//! Healing: replaces wrong bytes by right ones.
//!
//! A suspect (`parts/suspects`) is one empty file per object or generation that was found damaged. It is
//! created before the repair starts, and removed when the repair is complete. So the next publish checks damage
//! that `verify` reported, whatever its size and mtime are, and an interrupted repair is resumed.

use std::collections::BTreeMap;

use crate::check::seen::Inodes;
use crate::check::tree::{self, Bytes, Leased, LoadedGeneration, Look};
use crate::error::{Error, Result};
use crate::fs::dir::open_parent;
use crate::fs::{Dir, Kind, Stat};
use crate::model::codec::Manifest;
use crate::model::digest::Digest;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::GenerationId;
use crate::model::records::Sequence;
use crate::model::tree::builder::TreeBuilder;
use crate::model::tree::{Entry, FileNode, Mtime, Node, ObjectId, Tree};
use crate::model::{object_name, relpath};
use crate::parts::current_generation::{self, CurrentGeneration};
use crate::parts::generations::Generations;
use crate::parts::layout::{MANIFEST, StoreDir};
use crate::parts::locks::{CommitLock, StoreShared};
use crate::parts::log::{Event, Log};
use crate::parts::objects::{self, Objects};
use crate::parts::records::Records;
use crate::parts::stage_dir::StageDir;
use crate::parts::suspects;
use crate::repair::mend::Mender;

/// Heals objects. It holds the store lock under which the objects were found.
pub(crate) struct Healer<'a> {
    pub(crate) store: &'a StoreDir,
    pub(crate) guard: &'a StoreShared,
    pub(crate) objects: &'a Objects<'a>,
}

/// A file with the right bytes of a damaged object.
pub(crate) struct GoodFile<'a> {
    pub(crate) dir: &'a Dir,
    pub(crate) name: &'a [u8],
    pub(crate) node: FileNode,
}

impl Healer<'_> {
    /// Replaces a damaged object by a good file, everywhere it is used. The damaged inode goes to
    /// quarantine. Without a good file the object must be intact, and only its uses are repaired.
    ///
    /// # Errors
    /// After an interruption at any point, the mark in `suspects/` remains, and the next repair resumes
    /// it.
    pub(crate) fn heal(
        &self,
        lock: &CommitLock,
        sequence: &mut Sequence,
        id: ObjectId,
        good: Option<GoodFile<'_>>,
    ) -> Result<()> {
        let (store, objects) = (self.store, self.objects);
        suspects::suspect_object(store, lock, id)?;
        let stage = StageDir::create(store)?;
        if let Some(good) = good
            && !objects.is_intact(id)?
        {
            self.replace(lock, &stage, good)?;
            sequence.heals += 1;
            Records::of(store).write_sequence(lock, sequence)?;
        }
        // The process that created this name may have died before it was durable.
        store.fs.sync_dir(&objects.dir().open_dir(&object_name::name(id)[..2])?)?;
        let mender = Mender { store, guard: self.guard, objects, stage: &stage };
        let mut result = Ok(());
        for generation in Generations::of(store).ids()? {
            result = result.and_then(|()| relink(store, lock, &mender, generation, id));
        }
        stage.remove(store)?;
        result?;
        suspects::clear_object_suspect(store, lock, id)
    }

    /// Moves a damaged object's name to a copy of a good file. It is a copy because the file itself may
    /// have another mtime.
    fn replace(&self, lock: &CommitLock, stage: &StageDir, good: GoodFile<'_>) -> Result<()> {
        let (store, objects, node) = (self.store, self.objects, good.node);
        let (id, temp, place) = (node.object(), b"object", stage.dir().join(b"object"));
        let copy = objects::copy_file(store, (good.dir, good.name), (stage.dir(), temp))?;
        store.fs.set_mode(&copy, &place, object_name::mode(node.executable))?;
        store.fs.set_mtime(&copy, &place, node.mtime)?;
        store.fs.sync_file(&copy, &place)?;
        objects.quarantine(lock, id)?;
        objects.insert(self.guard, (stage.dir(), temp), id)?;
        store.fs.sync_dir(&objects.dir().open_dir(&object_name::name(id)[..2])?)
    }
}

/// Returns every path of a generation that uses the object its good inode.
fn relink(
    store: &StoreDir,
    lock: &CommitLock,
    mender: &Mender<'_>,
    id: GenerationId,
    object: ObjectId,
) -> Result<()> {
    let Some(generation) = Generations::of(store).find(id)? else {
        return Ok(());
    };
    let loaded = match LoadedGeneration::read(&generation) {
        Ok(loaded) => loaded,
        // Its damage is separate, and has a mark of its own.
        Err(Error::Damaged { .. }) => return Ok(()),
        Err(e) => return Err(e),
    };
    let leased = Leased { generation, loaded: &loaded };
    let how = Look { only: Some(object), ..Look::new(Inodes::Named(mender.objects), Bytes::All) };
    for fault in tree::look(store, &leased.generation, (&loaded.tree, &loaded.shown), &how)? {
        let is_it =
            matches!(loaded.tree.find(&fault.path), Some(Node::File(file)) if file.object() == object);
        if is_it {
            mender.mend(lock, &leased, &fault)?;
        }
    }
    Ok(())
}

/// Rebuilds a damaged manifest from the generation's files and the log. It is accepted only if it is
/// byte for byte the one that was written.
///
/// # Errors
/// [`Error::Damaged`] if that is impossible.
pub(crate) fn heal_generation(store: &StoreDir, lock: &CommitLock, id: GenerationId) -> Result<()> {
    let generation = match Generations::of(store).find(id)? {
        Some(generation) => generation,
        None => return suspects::clear_generation_suspect(store, lock, id),
    };
    match generation.manifest() {
        Ok(_) => {}
        Err(Error::Damaged { .. }) => rebuild_manifest(store, lock, &generation)?,
        Err(e) => return Err(e),
    }
    generation.published_mtimes()?;
    suspects::clear_generation_suspect(store, lock, id)
}

/// Reads the current generation. A damaged manifest is rebuilt if possible, which the second result
/// reports. Otherwise the entries are read from its files, which is what readers see. `None` if nothing
/// can be read.
pub(crate) fn rescued_base(
    store: &StoreDir,
    lock: &CommitLock,
    current: Option<GenerationId>,
) -> Result<(Option<CurrentGeneration>, bool)> {
    let Some(id) = current else { return Ok((None, false)) };
    match current_generation::load(store, id) {
        Ok(base) => return Ok((Some(base), false)),
        Err(Error::UnknownRev { .. }) => return Ok((None, false)),
        Err(Error::Damaged { .. }) => {}
        Err(e) => return Err(e),
    }
    suspects::suspect_generation(store, lock, id)?;
    match heal_generation(store, lock, id) {
        Ok(()) => return Ok((Some(current_generation::load(store, id)?), true)),
        Err(Error::Damaged { .. }) => {}
        Err(e) => return Err(e),
    }
    let read = || -> Result<Option<CurrentGeneration>> {
        let Some(generation) = Generations::of(store).find(id)? else { return Ok(None) };
        let (tree, fresh) = read_tree(&Objects::new(store)?, &generation)?;
        let shown = PublishedMtimes { fresh, ..PublishedMtimes::default() };
        Ok(Some(CurrentGeneration { generation, tree, body: None, shown, index: None }))
    };
    match read() {
        Err(Error::Damaged { .. }) => Ok((None, false)),
        base => Ok((base?, false)),
    }
}

pub(crate) fn rebuild_manifest(
    store: &StoreDir,
    _: &CommitLock,
    generation: &crate::parts::generations::Generation,
) -> Result<()> {
    let lost = |why: &str| generation.damaged(&format!("its manifest, and it cannot be rebuilt: {why}"));
    let history = Log::of(store).history()?;
    let Some(Event::Publish { manifest: digest, created, note, facts, .. }) =
        history.publication(generation.id())
    else {
        return Err(lost("the log has no line about it"));
    };
    let objects = Objects::new(store)?;
    let (tree, _) = read_tree(&objects, generation)?;
    let rebuilt = Manifest::new(tree, (*created).into(), note.clone(), facts.clone()).encode();
    if Digest::of(&rebuilt).to_string() != *digest {
        return Err(lost("its files have changed"));
    }
    // It is written in place, so that leases, which are locks on this inode, stay valid.
    let path = generation.dir().join(MANIFEST);
    let old = generation.dir().open_file(MANIFEST)?;
    store.fs.set_mode(&old, &path, 0o644)?;
    let file = store.fs.open_or_create(generation.dir(), MANIFEST)?;
    store.fs.set_len(&file, &path, rebuilt.len() as u64)?;
    store.fs.write_at(&file, &path, &rebuilt, 0)?;
    store.fs.set_mode(&file, &path, 0o444)?;
    store.fs.sync_file(&file, &path)
}

/// Reads a generation's tree from its directory, and the mtimes that differ from the objects'.
fn read_tree(
    objects: &Objects<'_>,
    generation: &crate::parts::generations::Generation,
) -> Result<(Tree, BTreeMap<Vec<u8>, Mtime>)> {
    let root = generation.tree_dir()?;
    let mut found: Vec<(Vec<u8>, FoundNode)> = Vec::new();
    let mut folders: Vec<Vec<u8>> = vec![vec![]];
    let mut fresh = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        let dir = root.open_dir(&folder)?;
        let list = dir.list()?;
        if list.is_empty() && !folder.is_empty() {
            found.push((folder.clone(), FoundNode::Dir));
        }
        for (name, kind) in list {
            let path = relpath::join(&folder, &name);
            match kind {
                Kind::Dir => folders.push(path),
                Kind::Symlink => {
                    let target = dir.read_link(&name)?.unwrap_or_default();
                    found.push((path, FoundNode::Link(target)));
                }
                Kind::File => {
                    let (node, mtime) = read_file_node(objects, &dir, &name)?;
                    if mtime != node.mtime {
                        fresh.insert(path.clone(), mtime);
                    }
                    found.push((path, FoundNode::File(node)));
                }
                Kind::Other => return Err(generation.damaged("its tree contains a special file")),
            }
        }
    }
    found.sort_by(|a, b| relpath::compare(&a.0, &b.0));
    let mut tree = TreeBuilder::default();
    for (path, node) in &found {
        let node = match node {
            FoundNode::Dir => Node::EmptyDir,
            FoundNode::Link(target) => Node::Symlink(target),
            FoundNode::File(file) => Node::File(*file),
        };
        tree.push(Entry { path, node }).map_err(|why| generation.damaged(&why.to_string()))?;
    }
    Ok((tree.finish(), fresh))
}

fn read_file_node(objects: &Objects<'_>, dir: &Dir, name: &[u8]) -> Result<(FileNode, Mtime)> {
    let (path, file) = (dir.join(name), dir.open_file(name)?);
    let stat = Stat::of(&file, &path)?;
    let digest = objects::hash(&file, &path)?.0;
    let id = ObjectId { digest, executable: stat.mode & 0o100 != 0 };
    // The manifest has the object's mtime. This inode may be a renewed one.
    let mtime = if stat.size == 0 { None } else { objects.stat(id)?.map(|object| object.mtime) };
    let node =
        FileNode { digest, size: stat.size, executable: id.executable, mtime: mtime.unwrap_or(stat.mtime) };
    Ok((node, stat.mtime))
}

/// Searches for intact bytes of a damaged object: other inodes in generations that use it, its twin
/// with the other mode, and the quarantine. Puts a good copy into the stage.
pub(crate) fn find_intact_copy(
    store: &StoreDir,
    objects: &Objects<'_>,
    stage: &StageDir,
    file: FileNode,
    uses: &[(&LoadedGeneration, Vec<u8>)],
    name: &[u8],
) -> Result<bool> {
    let put = |dir: &Dir, candidate: &[u8]| -> Result<bool> {
        let Ok(handle) = dir.open_file(candidate) else { return Ok(false) };
        if objects::hash(&handle, &dir.join(candidate))?.0 != file.digest {
            return Ok(false);
        }
        store.fs.remove_all(stage.dir(), name)?;
        let copy = objects::copy_file(store, (dir, candidate), (stage.dir(), name))?;
        let place = stage.dir().join(name);
        store.fs.set_mode(&copy, &place, object_name::mode(file.executable))?;
        store.fs.set_mtime(&copy, &place, file.mtime)?;
        Ok(true)
    };
    let twin = ObjectId { executable: !file.executable, ..file.object() };
    if put(objects.dir(), &object_name::name(twin))? {
        return Ok(true);
    }
    // Opened one after the other: it may be used by as many generations as there are.
    for (loaded, path) in uses {
        if let Some(leased) = loaded.lease(store)?
            && let Ok((dir, name)) = leased.generation.tree_dir().and_then(|root| open_parent(&root, path))
            && put(&dir, name)?
        {
            return Ok(true);
        }
    }
    let quarantine = store.sub(crate::parts::layout::QUARANTINE)?;
    let prefix = file.digest.to_string().into_bytes();
    for (name, kind) in quarantine.list()? {
        if kind == Kind::File && name.starts_with(&prefix) && put(&quarantine, &name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

enum FoundNode {
    Dir,
    Link(Vec<u8>),
    File(FileNode),
}
