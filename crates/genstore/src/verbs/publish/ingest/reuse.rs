//! Decides whether a source file must be read: it may be unchanged since the current generation, or the
//! store may already have its bytes.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::errno::is_absence;
use crate::fs::{Dir, Kind, Stat};
use crate::model::fresh::PublishedMtimes;
use crate::model::index::{SourceIndex, SourceStat};
use crate::model::object_map::ObjectMap;
use crate::model::object_name;
use crate::model::tree::{FileNode, Mtime, Node, ObjectId, Tree};
use crate::parts::objects::Objects;
use crate::threads;
use crate::verbs::publish::ingest::context::{EntrySource, Ingest};
use crate::verbs::publish::ingest::previous::{NO_ENTRY, entries_before};

/// The file that the current generation has at the path of an entry.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    /// Its index among the entries of the current generation.
    entry: usize,
    pub(crate) node: FileNode,
    /// The stat values of its source, if the index has them.
    pub(crate) source: Option<SourceStat>,
}

/// The object with the bytes of a file.
pub(crate) enum InStore {
    /// The store has it, with this mtime.
    Intact(Mtime),
    /// The store has an object of that name with other bytes, or of another size.
    Damaged,
    Absent,
}

/// The files of the current generation and of the store that a plan may reuse.
pub(crate) struct Reuse<'a> {
    objects: &'a Objects<'a>,
    /// The current generation's tree if it can be read, otherwise the empty tree.
    base: &'a Tree,
    /// The directory of its files, and the mtimes that they show there.
    standing: Option<(&'a Dir, &'a PublishedMtimes)>,
    index: Option<&'a SourceIndex>,
    /// Objects that `verify` found wrong.
    suspects: &'a [ObjectId],
    /// Whether every source and every object is read, even if it is known.
    rehash: bool,
    /// Whether modes and mtimes of objects may be restored.
    may_restore: bool,
    /// For each entry of the plan the entry of the current generation with the same path, or
    /// [`NO_ENTRY`].
    old: Vec<u32>,
    /// The files of the current generation, by their objects.
    recorded: ObjectMap,
    /// For each entry of the current generation: whether its object is in the store and has the
    /// recorded metadata.
    intact: Vec<AtomicBool>,
    /// The number of objects whose mode or mtime was restored.
    restored: AtomicU64,
}

impl<'a> Reuse<'a> {
    pub(crate) fn of(ingest: &Ingest<'a>, base: &'a Tree) -> Reuse<'a> {
        let (old, recorded) = threads::join(|| entries_before(ingest.plan, base), || ObjectMap::of(base));
        Reuse {
            objects: ingest.objects,
            base,
            standing: ingest.standing,
            index: ingest.index,
            suspects: ingest.suspects,
            rehash: ingest.rehash,
            may_restore: ingest.stage.is_some(),
            old,
            recorded,
            intact: (0..base.len()).map(|_| AtomicBool::new(false)).collect(),
            restored: AtomicU64::new(0),
        }
    }

    /// Returns the current generation's tree.
    pub(crate) fn base(&self) -> &'a Tree {
        self.base
    }

    /// Returns the number of objects whose mode or mtime was restored.
    pub(crate) fn restored(&self) -> u64 {
        self.restored.load(Relaxed)
    }

    /// Returns the index of the entry with the same path in the current generation.
    pub(crate) fn entry_before(&self, entry: usize) -> Option<usize> {
        self.old.get(entry).filter(|old| **old != NO_ENTRY).map(|old| *old as usize)
    }

    /// Returns the file that the current generation has at the path of an entry.
    pub(crate) fn before(&self, entry: usize) -> Option<Before> {
        let entry = self.entry_before(entry)?;
        match self.base.get(entry).node {
            Node::File(node) => Some(Before { entry, node, source: self.source_of(entry) }),
            _ => None,
        }
    }

    /// Returns the indexed stat values of the source of an entry of the current generation.
    pub(crate) fn source_of(&self, entry: usize) -> Option<SourceStat> {
        let source = self.index?.files[self.base.file_rank(entry)?];
        (source.ino != 0).then_some(source)
    }

    /// Returns whether a source need not be read, provided that the store has its bytes. Either it is
    /// unchanged since the current generation was made from it, or it is the object's own inode, as
    /// linked from the previous tree by an incremental builder.
    pub(crate) fn is_unchanged(&self, before: &Before, stat: &Stat, executable: bool) -> Result<bool> {
        let old = &before.node;
        if stat.kind != Kind::File || (stat.size, executable) != (old.size, old.executable) {
            return Ok(false);
        }
        let is_indexed = self
            .index
            .is_some_and(|index| (stat.dev, Some(source_stat(stat))) == (index.dev, before.source));
        Ok(is_indexed || self.is_object(old.object(), stat)?)
    }

    /// Returns whether a source is an object's own inode.
    fn is_object(&self, id: ObjectId, stat: &Stat) -> Result<bool> {
        if stat.links < 2 || stat.size == 0 {
            return Ok(false);
        }
        Ok(self.objects.stat(id)?.is_some_and(|object| object.same_inode(stat)))
    }

    /// Returns the entry of an unchanged file, if the store still has its bytes.
    pub(crate) fn as_before(&self, before: &Before) -> Result<Option<(FileNode, EntrySource)>> {
        if before.node.size == 0 {
            return Ok(Some((before.node, EntrySource::Made)));
        }
        // Checked once for all files with the same object and mtime.
        let intact = &self.intact[self.recorded.first(before.entry)];
        if intact.load(Relaxed) {
            return Ok(Some((before.node, EntrySource::Object)));
        }
        let InStore::Intact(mtime) = self.in_store(Some(before), &before.node)? else { return Ok(None) };
        if mtime == before.node.mtime {
            intact.store(true, Relaxed);
        }
        Ok(Some((FileNode { mtime, ..before.node }, EntrySource::Object)))
    }

    /// Looks up the object with a file's bytes.
    pub(crate) fn in_store(&self, before: Option<&Before>, node: &FileNode) -> Result<InStore> {
        let id = node.object();
        let Some(stat) = self.objects.stat(id)? else { return Ok(InStore::Absent) };
        // Other bytes, whatever their digest is; or the size of the entry is wrong.
        if stat.size != node.size {
            return Ok(InStore::Damaged);
        }
        let recorded = self.recorded(before, id);
        let is_mode = stat.mode == object_name::mode(node.executable);
        let has_mtime = recorded.is_some_and(|mtime| stat.has_mtime(mtime));
        let as_recorded = stat.kind == Kind::File && is_mode && has_mtime;
        if let Some(mtime) = recorded
            && as_recorded
            && !self.rehash
            && !self.suspects.contains(&id)
        {
            return Ok(InStore::Intact(mtime));
        }
        // Root can write through a read-only file, and every path leads to the same inode.
        if !self.objects.is_intact(id)? {
            return Ok(InStore::Damaged);
        }
        // A preview writes nothing.
        if self.may_restore {
            let mtime = recorded.filter(|mtime| !stat.has_mtime(*mtime));
            let mtime = if mtime.is_some() && self.is_standing(id, &stat)? { mtime } else { None };
            let is_restored = self.objects.restore(id, (!is_mode).then_some(node.executable), mtime)?;
            if is_restored {
                self.restored.fetch_add(1, Relaxed);
                return Ok(InStore::Intact(mtime.or(recorded).unwrap_or(stat.mtime)));
            }
        }
        Ok(InStore::Intact(recorded.filter(|mtime| stat.has_mtime(*mtime)).unwrap_or(stat.mtime)))
    }

    /// Returns whether the store should have an object.
    pub(crate) fn is_expected(&self, before: Option<&Before>, id: ObjectId) -> bool {
        self.recorded(before, id).is_some() || self.suspects.contains(&id)
    }

    /// Returns whether the current generation has the object's own inode at this path, with the manifest's
    /// mtime. Another publisher may have added the object with another mtime at the same time. Then the
    /// inode at the path is a copy, or it is the object's and `shown` records the object's mtime.
    fn is_standing(&self, id: ObjectId, object: &Stat) -> Result<bool> {
        let Some((tree, shown)) = self.standing else { return Ok(false) };
        let Some(path) = self.recorded.path(self.base, id) else { return Ok(false) };
        if shown.fresh.contains_key(path) {
            return Ok(false);
        }
        let at = match open_parent(tree, path) {
            Err(e) if is_absence(&e) => return Ok(false),
            at => at?,
        };
        Ok(at.0.stat(at.1)?.is_some_and(|stat| stat.same_inode(object)))
    }

    /// Returns the mtime that the current generation's manifest records for an object.
    pub(crate) fn recorded(&self, before: Option<&Before>, id: ObjectId) -> Option<Mtime> {
        match before {
            Some(before) if before.node.object() == id => Some(before.node.mtime),
            _ => self.recorded.find(self.base, id).map(|file| file.mtime),
        }
    }
}

pub(crate) fn source_stat(stat: &Stat) -> SourceStat {
    SourceStat::new(stat.ino, stat.mtime, stat.ctime)
}
