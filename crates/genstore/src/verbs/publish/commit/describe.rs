//! The description of a publication.

use super::durable::is_empty_file;
use crate::model::diff::diff;
use crate::model::ids::GenerationId;
use crate::model::tree::Tree;
use crate::publication::Publication;
use crate::verbs::publish::built::Built;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::ingest::context::{EntrySource, Ingested};

/// Describes a publication that created no generation.
pub(super) fn describe(
    candidate: &Candidate<'_>,
    built: Option<&Built<'_>>,
    previous: Option<GenerationId>,
    refreshed: u64,
    healed: u64,
) -> Publication {
    let tree = &candidate.ingested.tree;
    let empty = Tree::empty();
    let old = candidate.base.as_ref().map_or(&empty, |base| &base.tree);
    let summary = diff(old, tree).summary;
    Publication {
        generation: previous.unwrap_or(GenerationId::FIRST),
        tree: tree.id(),
        previous,
        changed: false,
        current: true,
        durable: false,
        files: tree.files(),
        bytes: tree.bytes(),
        written: written_files(&candidate.ingested),
        unchanged: tree.len() as u64 - summary.added - summary.modified - summary.renamed,
        new_objects: candidate.ingested.placed.len() as u64,
        new_bytes: candidate.ingested.new_bytes,
        diff: summary,
        refreshed,
        healed,
        recycled: built.and_then(|built| built.origin.unlisted()),
        times: candidate.times,
        linked: candidate.ingested.linked.clone(),
        warnings: vec![],
    }
}

/// Returns the number of files whose bytes were written. Empty files have none.
fn written_files(ingested: &Ingested) -> u64 {
    let Ingested { tree, how, .. } = ingested;
    let is_written =
        |entry: &usize| how[*entry] == EntrySource::Placed && !is_empty_file(tree, *entry as u32);
    (0..how.len()).filter(is_written).count() as u64
}
