//! Under the commit lock, before a commit: heals damage with files of the candidate.

use crate::error::{Error, RefusedKind, Result};
use crate::fs::dir::open_parent;
use crate::model::records::Sequence;
use crate::model::tree::Node;
use crate::parts::locks::CommitLock;
use crate::parts::stage_dir::StageDir;
use crate::parts::suspects;
use crate::repair::rescue::{self, GoodFile, Healer};
use crate::verbs::publish::candidate::Candidate;

/// Heals damage for which this tree has the right bytes.
pub(super) fn heal(
    candidate: &mut Candidate<'_>,
    stage: Option<&StageDir>,
    lock: &CommitLock,
    sequence: &mut Sequence,
) -> Result<u64> {
    if sequence.heals != candidate.heals_seen {
        return Err(Error::refused(
            RefusedKind::HealedMeanwhile,
            "another process healed damaged objects while this tree was staged; publish again",
        ));
    }
    let mut healed = u64::from(candidate.healed_base) + candidate.ingested.restored;
    let suspects = suspects::suspects(candidate.store)?;
    let healer = Healer { store: candidate.store, guard: &candidate.guard, objects: &candidate.objects };
    for &id in &candidate.ingested.damaged {
        let Some(stage) = stage else { break };
        let entry = candidate.ingested.placed[&id];
        let entry = candidate.ingested.tree.get(entry as usize);
        let Node::File(file) = entry.node else {
            continue;
        };
        let (dir, name) = open_parent(stage.tree(), entry.path)?;
        let good = GoodFile { dir: &dir, name, node: file };
        healer.heal(lock, sequence, id, Some(good))?;
        healed += 1;
    }
    for &id in suspects.objects.iter().filter(|id| !candidate.ingested.damaged.contains(id)) {
        // The process that replaced it was interrupted before all of its paths were repaired.
        if candidate.objects.is_intact(id)? {
            healer.heal(lock, sequence, id, None)?;
            healed += 1;
        }
    }
    for id in suspects.generations {
        healed += u64::from(rescue::heal_generation(candidate.store, lock, id).is_ok());
    }
    if candidate.heals_seen != sequence.heals {
        // Healed objects are copies of the files in this tree.
        candidate.objects.set_apart();
    }
    candidate.heals_seen = sequence.heals;
    Ok(healed)
}
