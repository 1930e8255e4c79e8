//! A tree in the store that readers do not see yet, from its audit to its commit.

use std::path::Path;
use std::time::Instant;

use crate::change::recover;
use crate::error::{Error, Result};
use crate::fs::fault::FaultStage;
use crate::model::audit::{AuditRules, Finding, Severity};
use crate::model::tree::Tree;
use crate::parts::failed::{Cause, Failed, FailedBuilds, KeepFailed};
use crate::parts::stage_debris::tolerate;
use crate::publication::Publication;
use crate::verbs::publish::audit;
use crate::verbs::publish::built::{Built, Files};
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::commit::{self, IfOvertaken};
use crate::verbs::publish::options::CommitOptions;

/// A tree in the store that readers do not see yet. Dropping it removes the stage.
#[must_use]
pub struct Staged<'s> {
    // Dropped before the candidate, which has the store lock.
    pub(crate) files: Files<'s>,
    pub(crate) candidate: Candidate<'s>,
}

/// A staged tree that may be committed. Dropping it removes the stage.
#[must_use]
pub struct Audited<'s> {
    staged: Staged<'s>,
    findings: Vec<Finding>,
    if_overtaken: IfOvertaken,
}

/// A staged tree that was refused. Dropping it removes the stage.
#[must_use]
pub struct Rejected<'s> {
    built: Built<'s>,
    candidate: Candidate<'s>,
    findings: Vec<Finding>,
    /// Whether an audit changed the staged tree.
    changed: bool,
}

/// The result of an audit.
#[must_use]
pub enum Judged<'s> {
    /// The tree may be committed. There may be warnings.
    Accepted(Audited<'s>),
    /// The tree is refused.
    Rejected(Rejected<'s>),
}

impl<'s> Staged<'s> {
    /// Returns the staged tree.
    pub fn tree(&self) -> &Tree {
        &self.candidate.ingested.tree
    }

    /// Returns the directory with the tree's files at their final relative paths. `None` if the tree is
    /// the current one: then read that one.
    pub fn path(&self) -> Option<&Path> {
        match &self.files {
            Files::Current(_) => None,
            Files::Built(built) => Some(built.stage.tree().path()),
        }
    }

    /// Returns whether the tree is the one that was current when it was staged.
    pub fn is_current(&self) -> bool {
        self.candidate.is_current()
    }

    /// Checks the tree by rules alone.
    ///
    /// # Errors
    /// Only if the check cannot be done.
    pub fn audit(self, rules: &AuditRules) -> Result<Judged<'s>> {
        self.judge(rules, None::<fn(&Path) -> Result<Vec<Finding>>>)
    }

    /// Checks the tree by rules, and by the findings of `look` in its directory, where every file has
    /// its final relative path. `look` must not change the tree: a change refuses the tree. If it wrote
    /// to objects that kept generations share, they are recorded for the next publish to heal. A tree
    /// that is current already is not checked again.
    ///
    /// # Errors
    /// The errors of `look`, and those that prevent the check.
    pub fn audit_with<E: From<Error>>(
        self,
        rules: &AuditRules,
        look: impl FnOnce(&Path) -> Result<Vec<Finding>, E>,
    ) -> Result<Judged<'s>, E> {
        self.judge(rules, Some(look))
    }

    /// Accepts the tree without an audit.
    pub fn unaudited(self) -> Audited<'s> {
        self.accepted(vec![], IfOvertaken::Build)
    }

    fn accepted(self, findings: Vec<Finding>, if_overtaken: IfOvertaken) -> Audited<'s> {
        Audited { staged: self, findings, if_overtaken }
    }

    fn judge<E: From<Error>>(
        self,
        rules: &AuditRules,
        look: Option<impl FnOnce(&Path) -> Result<Vec<Finding>, E>>,
    ) -> Result<Judged<'s>, E> {
        let Staged { mut candidate, files } = self;
        let store = candidate.store;
        store.fs.enter(FaultStage::Audit, &store.dir)?;
        let start = Instant::now();
        let built = match files {
            Files::Built(built) => built,
            Files::Current(_) => {
                let is_skipped = !rules.is_empty() || look.is_some();
                let if_overtaken = if is_skipped { IfOvertaken::Refuse } else { IfOvertaken::Build };
                let staged = Staged { files, candidate };
                return Ok(Judged::Accepted(staged.accepted(vec![], if_overtaken)));
            }
        };
        let mut findings = audit::judge(store, &candidate.ingested.tree, rules)?;
        let mut changed = false;
        if let Some(look) = look {
            let watched = audit::watch(&candidate, built.stage.tree(), look)?;
            changed = watched.changed;
            findings.extend(watched.findings);
        }
        candidate.times.audit = start.elapsed();
        Ok(match findings.iter().any(|finding| finding.severity == Severity::Error) {
            true => Judged::Rejected(Rejected { built, candidate, findings, changed }),
            false => {
                let staged = Staged { files: Files::Built(built), candidate };
                Judged::Accepted(staged.accepted(findings, IfOvertaken::Build))
            }
        })
    }
}

impl Audited<'_> {
    /// Returns the findings, none of which refuses the tree.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the staged tree.
    pub fn tree(&self) -> &Tree {
        self.staged.tree()
    }

    /// Makes the tree a generation, and current.
    ///
    /// # Errors
    /// [`Error::Refused`] if the tree is empty and the current one is not: see
    /// [`crate::publish::Emptying`]. [`Error::Lost`] if the current generation is not the expected one.
    /// On any error `current` is unchanged, and a resumed stage still exists, for another try.
    ///
    /// # Durability
    /// On return the generation survives a power loss, unless a warning says otherwise.
    ///
    /// # Locks
    /// Takes the commit lock.
    pub fn commit(self, options: &CommitOptions) -> Result<Publication> {
        let Staged { candidate, files } = self.staged;
        commit::commit(candidate, files, self.if_overtaken, options)
    }
}

impl<'s> Rejected<'s> {
    /// Returns the findings. At least one of them refuses the tree.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the staged tree.
    pub fn tree(&self) -> &Tree {
        &self.candidate.ingested.tree
    }

    /// Returns the staged tree, to be checked by other rules. `None` if an audit changed it.
    pub fn into_staged(self) -> Option<Staged<'s>> {
        let Rejected { built, candidate, changed, .. } = self;
        (!changed).then_some(Staged { files: Files::Built(built), candidate })
    }

    /// Keeps the tree for inspection under `failed/` in the store, and ends the stage.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Locked`].
    pub fn keep(self, keep: KeepFailed) -> Result<Failed> {
        let Rejected { candidate, built: Built { stage, .. }, findings, .. } = self;
        let (store, ingested) = (candidate.store, &candidate.ingested);
        let (lock, _) = recover::lock_and_recover(store)?;
        let cause = Cause::Audit { tree: ingested.tree.id(), bytes: ingested.new_bytes, findings };
        let kept = FailedBuilds::of(store).keep(&lock, &stage, cause, keep);
        drop(lock);
        let removed = tolerate(stage.remove());
        let mut kept = kept?;
        kept.left.extend(removed?);
        Ok(kept)
    }
}
