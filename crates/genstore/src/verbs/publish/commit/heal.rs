//! Under the commit lock, before a commit: reads the current generation, and heals damage with files of
//! this tree.

use crate::error::{Error, RefusedKind, Result};
use crate::fs::dir::open_parent;
use crate::model::ids::GenerationId;
use crate::model::records::Sequence;
use crate::model::tree::Node;
use crate::parts::locks::CommitLock;
use crate::parts::look::{self, Quiet};
use crate::parts::suspects;
use crate::repair::rescue::{self, GoodFile, Healer};
use crate::verbs::publish::staged::Staged;

impl Staged<'_> {
    /// Returns until which ctime files of the current generation are known to be unchanged.
    pub(crate) fn quiet(&self) -> Result<Quiet> {
        if self.rehash { Ok(Quiet::Unknown) } else { look::quiet(self.store) }
    }

    /// Reads the current generation under the commit lock. Returns whether it is another one.
    pub(super) fn rebase(&mut self, lock: &CommitLock, current: Option<GenerationId>) -> Result<bool> {
        if self.base.as_ref().map(|base| base.generation.id()) == current {
            return Ok(false);
        }
        self.base = rescue::rescued_base(self.store, lock, current)?.0;
        Ok(true)
    }

    /// Heals damage for which this tree has the right bytes.
    pub(super) fn heal(&mut self, lock: &CommitLock, sequence: &mut Sequence) -> Result<u64> {
        if sequence.heals != self.heals_seen {
            return Err(Error::refused(
                RefusedKind::HealedMeanwhile,
                "another process healed damaged objects while this tree was staged; publish again",
            ));
        }
        let mut healed = u64::from(self.healed_base) + self.ingested.restored;
        let suspects = suspects::suspects(self.store)?;
        let healer = Healer { store: self.store, guard: &self.guard, objects: &self.objects };
        for &id in &self.ingested.damaged {
            let Some(stage) = &self.stage else { break };
            let entry = self.ingested.placed[&id];
            let entry = self.ingested.tree.get(entry as usize);
            let Node::File(file) = entry.node else {
                continue;
            };
            let (dir, name) = open_parent(stage.tree(), entry.path)?;
            let good = GoodFile { dir: &dir, name, node: file };
            healer.heal(lock, sequence, id, Some(good))?;
            healed += 1;
        }
        for &id in suspects.objects.iter().filter(|id| !self.ingested.damaged.contains(id)) {
            // The process that replaced it was interrupted before all of its paths were repaired.
            if self.objects.is_intact(id)? {
                healer.heal(lock, sequence, id, None)?;
                healed += 1;
            }
        }
        for id in suspects.generations {
            healed += u64::from(rescue::heal_generation(self.store, lock, id).is_ok());
        }
        if self.heals_seen != sequence.heals {
            // Healed objects are copies of the files in this tree.
            self.objects.set_apart();
        }
        self.heals_seen = sequence.heals;
        Ok(healed)
    }
}
