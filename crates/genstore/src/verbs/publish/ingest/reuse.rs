//! What is known of a file before it is taken in: that its source is as it was, that the store has
//! its bytes, that this stage has. Floor 3.

use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::fs::dir::open_parent;
use crate::fs::errno::is_absence;
use crate::fs::{Dir, Kind, Stat};
use crate::model::index::SourceStat;
use crate::model::object_name;
use crate::model::tree::{FileNode, Mtime, Node, ObjectId};
use crate::plan::item::ScannedRoot;
use crate::threads::lock;
use crate::verbs::publish::ingest::context::{Claim, EntrySource};
use crate::verbs::publish::ingest::lossy::Lossy;
use crate::verbs::publish::ingest::previous::NO_ENTRY;
use crate::verbs::publish::ingest::task::{Intake, ObjectLocation, SourceOwnership};

impl Intake<'_, '_> {
    /// Takes in a file unread: one that is as it was when what is current was made of it, or that is
    /// the object's own inode, as an incremental builder links it from the previous tree.
    pub(crate) fn unread(
        &mut self,
        from: (&Dir, &[u8]),
        executable: Option<bool>,
    ) -> Result<Option<(FileNode, EntrySource)>> {
        let Some((rank, old)) = self.old_file() else { return Ok(None) };
        let Some(stat) = from.0.stat(from.1)? else { return Ok(None) };
        let executable = executable.unwrap_or(stat.mode & 0o100 != 0);
        if stat.kind != Kind::File || (stat.size, executable) != (old.size, old.executable) {
            return Ok(None);
        }
        let known = self.ingest.index.is_some_and(|index| {
            let known = index.files[rank];
            known.ino != 0 && (stat.dev, source_stat(&stat)) == (index.dev, known)
        });
        if !known && !self.is_object(old.object(), &stat)? {
            return Ok(None);
        }
        let done = self.as_before(&old)?;
        if done.is_some() {
            // What is to be refused is looked for in every file.
            let file = match self.ingest.lossy {
                Lossy::Refuse => Some(from.0.open_file(from.1)?),
                _ => None,
            };
            self.note_losses(&stat, file.as_ref());
            self.remember(from, &stat);
        }
        Ok(done)
    }

    /// Takes in a file without a look at it: one of which it was said that nothing happened to it since
    /// the index of what is current was made.
    pub(crate) fn unseen(&mut self, root: &ScannedRoot) -> Result<Option<(FileNode, EntrySource)>> {
        if self.ingest.lossy == Lossy::Refuse || !self.ingest.believes(root) {
            return Ok(None);
        }
        let (SourceOwnership::Copy, Some((rank, old)), Some(index)) =
            (self.give, self.old_file(), self.ingest.index)
        else {
            return Ok(None);
        };
        let known = index.files[rank];
        let dev = *self.shared.dev.get_or_init(|| Some(index.dev));
        if known.ino == 0 || dev != Some(index.dev) {
            return Ok(None);
        }
        let done = self.as_before(&old)?;
        self.source = done.is_some().then_some(known);
        Ok(done)
    }

    /// Takes in bytes that were there before, if the store has them still.
    fn as_before(&self, old: &FileNode) -> Result<Option<(FileNode, EntrySource)>> {
        if old.size == 0 {
            return Ok(Some((*old, EntrySource::Made)));
        }
        let Some(entry) = self.old_entry() else { return Ok(None) };
        // If it lost them, they are needed.
        let found = self.in_store_as_before(entry, old)?;
        Ok(found.map(|mtime| (FileNode { mtime, ..*old }, EntrySource::Object)))
    }

    /// Gives the file of what is current that has this path, with its place among all files.
    fn old_file(&self) -> Option<(usize, FileNode)> {
        let (base, entry) = (self.ingest.base.filter(|_| !self.ingest.rehash)?, self.old_entry()?);
        match base.get(entry).node {
            Node::File(old) => Some((base.file_rank(entry)?, old)),
            _ => None,
        }
    }

    /// Returns whether a source is an object's own inode.
    fn is_object(&self, id: ObjectId, stat: &Stat) -> Result<bool> {
        if stat.links < 2 || stat.size == 0 {
            return Ok(false);
        }
        Ok(self.ingest.objects.stat(id)?.is_some_and(|object| object.same_inode(stat)))
    }

    /// Gives the entry of what is current that has this path.
    fn old_entry(&self) -> Option<usize> {
        let entry = *self.shared.old.get(self.entry as usize)?;
        (entry != NO_ENTRY).then_some(entry as usize)
    }

    pub(crate) fn old_node(&self) -> Option<Node<'_>> {
        let base = self.ingest.base?;
        self.old_entry().map(|entry| base.get(entry).node)
    }

    /// Finds out whether the store or this stage has the bytes; if not, this entry has the claim.
    pub(crate) fn find(&self, node: &FileNode) -> Result<ObjectLocation> {
        let id = node.object();
        let objects = self.ingest.objects;
        if let Some(mtime) = self.in_store(node)? {
            return Ok(ObjectLocation::Store(mtime));
        }
        let mut claims = self.shared.claims_of(id);
        if let Some(claim) = claims.get(&id) {
            return Ok(ObjectLocation::Stage(claim.mtime));
        }
        // The right bytes of a damaged object keep the mtime that the manifests know.
        let mtime = self.recorded(id).unwrap_or(node.mtime);
        claims.insert(id, Claim { entry: self.entry, mtime });
        drop(claims);
        // Its bytes are wrong, or it is missing although a generation needs it.
        let known = self.recorded(id).is_some() || self.ingest.suspects.contains(&id);
        if known || objects.stat(id)?.is_some() {
            lock(&self.shared.damaged).push(id);
        }
        Ok(ObjectLocation::Nowhere)
    }

    /// Does as [`Intake::in_store`] for an entry of what is current: once for all files that are alike.
    fn in_store_as_before(&self, entry: usize, file: &FileNode) -> Result<Option<Mtime>> {
        let intact = &self.shared.intact[self.shared.recorded.first(entry)];
        if intact.load(Relaxed) {
            return Ok(Some(file.mtime));
        }
        let found = self.in_store(file)?;
        if found == Some(file.mtime) {
            intact.store(true, Relaxed);
        }
        Ok(found)
    }

    /// Finds out whether the store has the bytes, and gives the mtime of the object.
    fn in_store(&self, node: &FileNode) -> Result<Option<Mtime>> {
        let id = node.object();
        let objects = self.ingest.objects;
        let Some(stat) = objects.stat(id)? else { return Ok(None) };
        let recorded = self.recorded(id);
        let is_mode = stat.mode == object_name::mode(node.executable);
        let has_mtime = recorded.is_some_and(|mtime| stat.has_mtime(mtime));
        let as_recorded = stat.kind == Kind::File && stat.size == node.size && is_mode && has_mtime;
        if as_recorded && !self.ingest.rehash && !self.ingest.suspects.contains(&id) {
            return Ok(recorded);
        }
        // Root can write through a read-only file, and every path leads to the same inode.
        if !objects.is_intact(id)? {
            return Ok(None);
        }
        // A preview writes nothing.
        if self.ingest.stage.is_some() {
            let mtime = recorded.filter(|mtime| !stat.has_mtime(*mtime));
            let mtime = if mtime.is_some() && self.is_standing(id, &stat)? { mtime } else { None };
            let is_restored = objects.restore(id, (!is_mode).then_some(node.executable), mtime)?;
            if is_restored {
                self.shared.restored.fetch_add(1, Relaxed);
                return Ok(Some(mtime.or(recorded).unwrap_or(stat.mtime)));
            }
        }
        Ok(Some(recorded.filter(|mtime| stat.has_mtime(*mtime)).unwrap_or(stat.mtime)))
    }

    /// Returns whether the current generation shows the object's own inode at this path, so that the
    /// manifest's mtime is the object's. Another publisher may have brought the object with another
    /// mtime at the same moment; then the inode at the path is a copy.
    fn is_standing(&self, id: ObjectId, object: &Stat) -> Result<bool> {
        let (Some(tree), Some(base)) = (self.ingest.standing, self.ingest.base) else { return Ok(false) };
        let Some(path) = self.shared.recorded.path(base, id) else { return Ok(false) };
        let at = match open_parent(tree, path) {
            Err(e) if is_absence(&e) => return Ok(false),
            at => at?,
        };
        Ok(at.0.stat(at.1)?.is_some_and(|stat| stat.same_inode(object)))
    }

    pub(crate) fn forget(&self, node: &FileNode) {
        self.shared.claims_of(node.object()).remove(&node.object());
    }

    /// Gives the mtime that the current generation's manifest records for an object.
    fn recorded(&self, id: ObjectId) -> Option<Mtime> {
        let base = self.ingest.base?;
        if let Some(Node::File(file)) = self.old_node()
            && file.object() == id
        {
            return Some(file.mtime);
        }
        self.shared.recorded.find(base, id).map(|file| file.mtime)
    }
}

pub(crate) fn source_stat(stat: &Stat) -> SourceStat {
    SourceStat::new(stat.ino, stat.mtime, stat.ctime)
}
