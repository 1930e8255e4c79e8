//! Entries of a generation that the plan keeps: the store has their bytes.

use crate::error::{Damaged, Error, ObjectUse, Result};
use crate::model::tree::{FileNode, Node};
use crate::plan::kept::Kept;
use crate::verbs::publish::ingest::context::EntrySource;
use crate::verbs::publish::ingest::reuse::InStore;
use crate::verbs::publish::ingest::task::Intake;

impl Intake<'_, '_> {
    /// Takes over a file of a generation. Its object is checked like that of an unchanged source.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the store does not have its bytes.
    pub(crate) fn kept(&mut self, kept: &Kept, index: usize) -> Result<(FileNode, EntrySource)> {
        let entry = kept.tree.get(index);
        let Node::File(node) = entry.node else {
            return Err(kept.generation.damaged("its entries changed while they were read"));
        };
        if node.size == 0 {
            return Ok((node, EntrySource::Made));
        }
        let before = self.before.filter(|before| before.node == node);
        let found = match &before {
            Some(before) if !self.ingest.rehash => self.reuse.as_before(before)?,
            before => match self.reuse.in_store(before.as_ref(), &node)? {
                InStore::Intact(mtime) => Some((FileNode { mtime, ..node }, EntrySource::Object)),
                InStore::Damaged | InStore::Absent => None,
            },
        };
        if let (Some(before), Some(index)) = (&before, self.ingest.index) {
            // The index of its source stays valid, as long as all sources are on one filesystem.
            let dev = *self.shared.dev.get_or_init(|| Some(index.dev));
            self.source = before.source.filter(|_| found.is_some() && dev == Some(index.dev));
        }
        found.ok_or_else(|| Error::Damaged {
            what: Damaged::Object(node.object()),
            cause: "its bytes are lost".to_owned(),
            uses: vec![ObjectUse::new(kept.generation.id(), entry.path)],
        })
    }
}
