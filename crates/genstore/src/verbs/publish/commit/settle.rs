//! Under the commit lock, before a commit: what is current now, and damage that this tree heals.

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
    /// Returns how far ctimes of the current generation's files are believed.
    pub(crate) fn quiet(&self) -> Result<Quiet> {
        if self.rehash { Ok(Quiet::Unknown) } else { look::quiet(self.store) }
    }

    /// Looks at what is current now, under the commit lock; tells whether it is another one.
    pub(super) fn rebase(&mut self, lock: &CommitLock, current: Option<GenerationId>) -> Result<bool> {
        if self.base.as_ref().map(|base| base.generation.id()) == current {
            return Ok(false);
        }
        self.base = rescue::rescued_base(self.store, lock, current)?.0;
        Ok(true)
    }

    /// Heals what was found damaged and is in this tree with the right bytes.
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
            // Whoever replaced it was cut short before all paths that show it were mended.
            if self.objects.is_intact(id)? {
                healer.heal(lock, sequence, id, None)?;
                healed += 1;
            }
        }
        for id in suspects.generations {
            healed += u64::from(rescue::heal_generation(self.store, lock, id).is_ok());
        }
        if self.heals_seen != sequence.heals {
            // Objects that were made good are copies of the files in this tree.
            self.objects.set_apart();
        }
        self.heals_seen = sequence.heals;
        Ok(healed)
    }
}
