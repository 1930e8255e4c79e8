//! Audits: a staged tree is checked before it is committed.
//!
//! The rules use the tree as a value. Other programs read it on the disk, where every file has its
//! final relative path. They must not change it, and this is checked afterwards.

use std::path::Path;

use crate::change::{recover, retain};
use crate::error::{Error, Result};
use crate::fs::Dir;
use crate::model::audit::{self, AuditRules, Finding, LastGood};
use crate::model::records::Mark;
use crate::model::tree::{Node, Tree};
use crate::parts::current::Current;
use crate::parts::generations::Generations;
use crate::parts::layout::StoreDir;
use crate::parts::records::Records;
use crate::parts::suspects;
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::footprint::Footprint;

/// The rule that an audit must not change the tree.
const UNCHANGED: &str = "unchanged-by-audit";

/// The result of a check by other programs.
pub(crate) struct Watched {
    pub(crate) findings: Vec<Finding>,
    /// Whether the tree was changed.
    pub(crate) changed: bool,
}

/// Checks a tree by rules alone.
pub(crate) fn judge(store: &StoreDir, tree: &Tree, rules: &AuditRules) -> Result<Vec<Finding>> {
    Ok(audit::judge(rules, tree, last_good(store)?))
}

/// Finds the generation that a new tree is compared with: the current one, or if that is marked as bad
/// or unreadable, the newest one that is neither.
fn last_good(store: &StoreDir) -> Result<Option<LastGood>> {
    let marks = Records::of(store).marks()?;
    let current = Current::of(store).id()?;
    for id in current.map(Ok).into_iter().chain(retain::newest_first(store)?) {
        let id = id?;
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

/// Returns the findings of `look` in the tree's directory, and a finding for each change that was made
/// there meanwhile. Records the objects of kept generations that were written to.
pub(crate) fn watch<E: From<Error>>(
    candidate: &Candidate<'_>,
    root: &Dir,
    look: impl FnOnce(&Path) -> Result<Vec<Finding>, E>,
) -> Result<Watched, E> {
    let tree = &candidate.ingested.tree;
    let before = Footprint::take(root, tree)?;
    let mut findings = look(root.path())?;
    let differences = before.differences(root, tree)?;
    let changed = !differences.is_empty();
    if changed {
        suspect(candidate, &differences)?;
    }
    let finding = |(path, what): (Vec<u8>, &str)| {
        Finding::error(UNCHANGED, Some(&path), format!("{what} by an audit"))
    };
    findings.extend(differences.into_iter().map(finding));
    Ok(Watched { findings, changed })
}

/// Records the objects of kept generations that an audit may have written to.
fn suspect(candidate: &Candidate<'_>, differences: &[(Vec<u8>, &'static str)]) -> Result<()> {
    let Candidate { store, objects, ingested, .. } = candidate;
    let (lock, _) = recover::lock_and_recover(store)?;
    for (path, _) in differences {
        if let Some(Node::File(file)) = ingested.tree.find(path)
            && file.size > 0
            && objects.stat(file.object())?.is_some()
            && !objects.is_intact(file.object())?
        {
            suspects::suspect_object(store, &lock, file.object())?;
        }
    }
    Ok(())
}
