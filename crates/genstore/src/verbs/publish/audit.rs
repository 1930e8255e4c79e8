//! Audits: a staged tree is checked before it is committed.
//!
//! The rules use the tree as a value. Other programs read it on the disk, where every file has its
//! final relative path. They must not change it, and this is checked afterwards.

use std::path::Path;
use std::time::Instant;

use crate::change::recover;
use crate::error::{Error, Result};
use crate::fs::fault::FaultStage;
use crate::model::audit::{self, AuditRules, Finding, LastGood, Severity};
use crate::model::records::Mark;
use crate::model::tree::{Node, Tree};
use crate::parts::current::Current;
use crate::parts::failed::{Cause, Failed, FailedBuilds, KeepFailed};
use crate::parts::generations::Generations;
use crate::parts::layout::StoreDir;
use crate::parts::records::Records;
use crate::parts::stage_dir::tolerate;
use crate::parts::suspects;
use crate::verbs::publish::footprint::Footprint;
use crate::verbs::publish::staged::Staged;

/// A staged tree that may be committed. Dropping it removes the stage.
#[must_use]
pub struct Audited<'s> {
    staged: Staged<'s>,
    findings: Vec<Finding>,
}

/// A staged tree that was refused. Dropping it removes the stage.
#[must_use]
pub struct Rejected<'s> {
    staged: Staged<'s>,
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

/// The rule that an audit must not change the tree.
const UNCHANGED: &str = "unchanged-by-audit";

impl<'s> Staged<'s> {
    /// Checks the tree by rules alone.
    ///
    /// # Errors
    /// Only if the check cannot be done.
    pub fn audit(self, rules: &AuditRules) -> Result<Judged<'s>> {
        self.begin_audit()?;
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
        self.begin_audit()?;
        self.judge(rules, Some(look))
    }

    /// Accepts the tree without an audit.
    pub fn unaudited(self) -> Audited<'s> {
        Audited { staged: self, findings: vec![] }
    }

    fn begin_audit(&self) -> Result<()> {
        self.store.fs.enter(FaultStage::Audit, &self.store.dir)
    }

    fn judge<E: From<Error>>(
        mut self,
        rules: &AuditRules,
        look: Option<impl FnOnce(&Path) -> Result<Vec<Finding>, E>>,
    ) -> Result<Judged<'s>, E> {
        let start = Instant::now();
        if self.is_current() && !self.always {
            self.audit_skipped = !rules.is_empty() || look.is_some();
            return Ok(Judged::Accepted(self.unaudited()));
        }
        let mut findings = audit::judge(rules, self.tree(), last_good(self.store)?);
        let mut changed = false;
        if let (Some(look), Some(stage)) = (look, &self.stage) {
            let root = stage.tree();
            let before = Footprint::take(root, self.tree())?;
            findings.extend(look(root.path())?);
            let differences = before.differences(root, self.tree())?;
            changed = !differences.is_empty();
            if changed {
                self.suspect(&differences)?;
            }
            let finding = |(path, what): (Vec<u8>, &str)| {
                Finding::error(UNCHANGED, Some(&path), format!("{what} by an audit"))
            };
            findings.extend(differences.into_iter().map(finding));
        }
        self.times.audit = start.elapsed();
        Ok(match findings.iter().any(|finding| finding.severity == Severity::Error) {
            true => Judged::Rejected(Rejected { staged: self, findings, changed }),
            false => Judged::Accepted(Audited { staged: self, findings }),
        })
    }

    /// Records the objects of kept generations that an audit may have written to.
    fn suspect(&self, differences: &[(Vec<u8>, &'static str)]) -> Result<()> {
        let (lock, _) = recover::lock_and_recover(self.store)?;
        for (path, _) in differences {
            if let Some(Node::File(file)) = self.tree().find(path)
                && file.size > 0
                && self.objects.stat(file.object())?.is_some()
                && !self.objects.is_intact(file.object())?
            {
                suspects::suspect_object(self.store, &lock, file.object())?;
            }
        }
        Ok(())
    }
}

/// Checks a tree without a stage, by rules alone.
pub(crate) fn judge(store: &StoreDir, tree: &Tree, rules: &AuditRules) -> Result<Vec<Finding>> {
    Ok(audit::judge(rules, tree, last_good(store)?))
}

/// Finds the generation that a new tree is compared with: the current one, or if that is marked as bad
/// or unreadable, the newest one that is neither.
fn last_good(store: &StoreDir) -> Result<Option<LastGood>> {
    let marks = Records::of(store).marks()?;
    let mut ids = Generations::of(store).ids()?;
    ids.extend(Current::of(store).id()?);
    for id in ids.into_iter().rev() {
        if marks.get(&id).is_some_and(|mark| mark.mark == Mark::Bad) {
            continue;
        }
        let head = match Generations::of(store).find(id)? {
            Some(generation) => generation.head(),
            None => continue,
        };
        match head {
            Ok(head) => {
                return Ok(Some(LastGood { generation: id, files: head.files, bytes: head.bytes }));
            }
            Err(Error::Damaged { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

impl<'s> Audited<'s> {
    /// Returns the findings, none of which refuses the tree.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the staged tree.
    pub fn tree(&self) -> &Tree {
        self.staged.tree()
    }

    pub(crate) fn into_staged(self) -> Staged<'s> {
        self.staged
    }
}

impl<'s> Rejected<'s> {
    /// Returns the findings. At least one of them refuses the tree.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the staged tree.
    pub fn tree(&self) -> &Tree {
        self.staged.tree()
    }

    /// Returns the staged tree, to be checked by other rules. `None` if an audit changed it.
    pub fn into_staged(self) -> Option<Staged<'s>> {
        (!self.changed).then_some(self.staged)
    }

    /// Keeps the tree for inspection under `failed/` in the store, and ends the stage.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Locked`].
    pub fn keep(mut self, keep: KeepFailed) -> Result<Failed> {
        let store = self.staged.store;
        let (lock, _) = recover::lock_and_recover(store)?;
        let stage = self.staged.stage.take().expect("a refused tree has a stage");
        let (tree, bytes) = (self.tree().id(), self.staged.ingested.new_bytes);
        let cause = Cause::Audit { tree, bytes, findings: self.findings };
        let kept = FailedBuilds::of(store).keep(&lock, &stage, cause, keep);
        drop(lock);
        let removed = tolerate(stage.remove(store));
        let mut kept = kept?;
        kept.left.extend(removed?);
        Ok(kept)
    }
}
