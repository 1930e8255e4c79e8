//! The result of a commit, and its last steps.

use super::durable::is_empty_file;
use super::place::Placed;
use crate::change::announce;
use crate::model::diff::diff;
use crate::model::ids::GenerationId;
use crate::model::tree::Tree;
use crate::parts::current::Current;
use crate::parts::hold::HoldFile;
use crate::parts::log::{Event, Log};
use crate::parts::record;
use crate::publication::Publication;
use crate::verbs::publish::ingest::context::{EntrySource, Ingested};
use crate::verbs::publish::staged::Staged;
use crate::warning::{AfterCommit, Warning};

impl Staged<'_> {
    /// Does step 8. A failure is only a warning now.
    pub(super) fn finish(&mut self, placed: Placed<'_>, mut after: AfterCommit) -> Publication {
        let Placed { start, lock, stage, mut publication, untold } = placed;
        let (store, id, previous) = (self.store, publication.generation, publication.previous);
        after.warnings.append(&mut publication.warnings);
        if let Some((event, end)) = untold {
            after.sealed(Current::of(store).make_durable(&lock));
            after.must_finish("write the log", Log::of(store).append(&lock, id, event));
            after.record("end the stage's claim", stage.end_claim(store));
            let event = Event::Activate { previous };
            after.must_finish("write the log", Log::of(store).append(&lock, id, event));
            after.must_finish("end the hold", HoldFile::of(store).remove(&lock));
            after.must_finish("make the log durable", announce::sync_told(store, false));
            announce::tell(store, &lock, &mut after, id, publication.tree, end);
        } else {
            after.sealed(record::make_end_durable(store, &lock));
        }
        drop(lock);
        self.stage = Some(stage);
        after.warnings.extend(self.clear_up());
        publication.times.commit = start.elapsed();
        publication.durable = announce::is_durable(store, &after.warnings);
        publication.warnings = after.warnings;
        publication
    }

    pub(super) fn describe(
        &self,
        previous: Option<GenerationId>,
        refreshed: u64,
        healed: u64,
    ) -> Publication {
        let tree = &self.ingested.tree;
        let empty = Tree::empty();
        let old = self.base.as_ref().map_or(&empty, |base| &base.tree);
        let summary = diff(old, tree).summary;
        Publication {
            generation: previous.unwrap_or_else(|| GenerationId::new(1).expect("one is not zero")),
            tree: tree.id(),
            previous,
            changed: false,
            current: true,
            durable: false,
            files: tree.files(),
            bytes: tree.bytes(),
            written: self.written_files(),
            unchanged: tree.len() as u64 - summary.added - summary.modified - summary.renamed,
            new_objects: self.ingested.placed.len() as u64,
            new_bytes: self.ingested.new_bytes,
            diff: summary,
            refreshed,
            healed,
            recycled: self.retired,
            times: self.times,
            linked: self.ingested.linked.clone(),
            warnings: vec![],
        }
    }

    /// Returns the number of files whose bytes were written. Empty files have none.
    fn written_files(&self) -> u64 {
        let Ingested { tree, how, .. } = &self.ingested;
        let is_written =
            |entry: &usize| how[*entry] == EntrySource::Placed && !is_empty_file(tree, *entry as u32);
        (0..how.len()).filter(is_written).count() as u64
    }

    /// Removes the emptied stage and the consumed sources.
    pub(super) fn clear_up(&mut self) -> Vec<Warning> {
        let mut after = AfterCommit::default();
        if let Some(stage) = self.stage.take() {
            after.record("remove the stage", stage.remove(self.store));
        }
        for file in std::mem::take(&mut self.ingested.consumed) {
            after.record("remove a consumed file", file.remove(&self.store.fs));
        }
        after.warnings
    }
}
