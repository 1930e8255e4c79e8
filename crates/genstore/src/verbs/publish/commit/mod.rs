//! Commit: makes a staged tree a generation, and the current one.
//!
//! The order of a commit, which may be interrupted after each step (`store-layout.md`, "Commit"):
//! 1. New objects, the tree and the manifest are written in the stage (`ingest`, `assemble`).
//! 2. One flush makes all of that durable.
//! 3. The new objects get their names: an object with a name is durable.
//! 4. Paths that need a newer mtime get inodes of their own, durably (`change/freshen`).
//! 5. Under the commit lock, the intent and the number are made durable.
//! 6. The stage becomes `generations/<id>`, and the folders with new names are flushed.
//! 7. `current` is replaced by a rename, which is the commit, and the store's folder is flushed.
//! 8. The log, the notice and the end of the intent follow. If these fail, the commit stands.
//!
//! Each value proves that the steps before it are done: [`Flushed`](durable::Flushed) (4),
//! [`Locked`](locked::Locked) (the lock is held and the current generation is known),
//! [`Placed`](place::Placed) (7).

mod describe;
mod durable;
mod finish;
mod heal;
mod locked;
mod place;

use std::time::{Instant, SystemTime};

use self::durable::Flushing;
use self::finish::{Ended, end_unchanged, finish, take_back};
use self::locked::{Remaining, lock};
use self::place::place;
use crate::error::{Error, RefusedKind, Result};
use crate::fs::folders::Folders;
use crate::model::codec::{MAX_FACTS_LEN, MAX_NOTE_LEN};
use crate::model::tree::ObjectId;
use crate::parts::hold::{Activate, HoldFile};
use crate::parts::stage_dir::OwnStage;
use crate::publication::Publication;
use crate::repair::owners;
use crate::threads;
use crate::verbs::publish::built::{Built, Files, build};
use crate::verbs::publish::candidate::Candidate;
use crate::verbs::publish::options::CommitOptions;
use crate::views::{refresh, shared};
use crate::warning::AfterCommit;

/// The treatment of a tree that was current at its audit, and is not any more at its commit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfOvertaken {
    /// The tree is built.
    Build,
    /// The commit fails, as the audit was skipped.
    Refuse,
}

/// Makes a staged tree a generation, unless it is the current one.
pub(crate) fn commit<'s>(
    mut candidate: Candidate<'s>,
    files: Files<'s>,
    if_overtaken: IfOvertaken,
    options: &CommitOptions,
) -> Result<Publication> {
    check_texts(options)?;
    let warnings = [
        candidate.ingested.losses.warnings(),
        owners::check_owners(candidate.store),
        refresh::check_written_to(candidate.store, candidate.base.as_ref()),
    ];
    let after = AfterCommit::new(warnings.concat());
    let created = candidate.store.now();
    let built = match files {
        Files::Built(built) => built,
        Files::Current(stage) => match lock(&mut candidate, stage.as_deref(), options)? {
            Remaining::Nothing(locked, looked) => {
                let ended = end_unchanged(&candidate, None, locked, looked, 0, after)?;
                return Ok(ended.clear_up(candidate, stage));
            }
            Remaining::Commit(locked) => {
                drop(locked);
                build_overtaken(&mut candidate, stage, if_overtaken)?
            }
        },
    };
    let mut named = Vec::new();
    match commit_built(&mut candidate, &built, options, created, &mut named, after) {
        Ok(ended) => Ok(ended.clear_up(candidate, Some(built.stage))),
        Err(error) => {
            take_back(candidate, built.stage, &named);
            Err(error)
        }
    }
}

/// Builds a tree that was the current one until the commit.
fn build_overtaken<'s>(
    candidate: &mut Candidate<'s>,
    stage: Option<OwnStage<'s>>,
    if_overtaken: IfOvertaken,
) -> Result<Built<'s>> {
    if if_overtaken == IfOvertaken::Refuse {
        return Err(Error::refused(
            RefusedKind::MovedMeanwhile,
            "this tree was current and so was not audited, but now it no longer is; publish again",
        ));
    }
    let tree = candidate.ingested.tree.clone();
    build(candidate, stage, &Folders::of((0..tree.len()).map(|index| tree.path(index))))
}

/// Does steps 2 to 8. Adds to `named` the objects whose names it creates.
fn commit_built<'s>(
    candidate: &mut Candidate<'s>,
    built: &Built<'s>,
    options: &CommitOptions,
    created: SystemTime,
    named: &mut Vec<ObjectId>,
    mut after: AfterCommit,
) -> Result<Ended> {
    let start = Instant::now();
    let flushing = Flushing { candidate, built, options };
    // It costs nothing while the disk is waited for. A generation that is only kept takes nothing out of sight.
    let look = || match options.activate {
        Activate::Never => vec![],
        _ => refresh::check_strays(flushing.candidate.store, flushing.candidate.base.as_ref()),
    };
    let (flushed, strays) = threads::join(|| flushing.flush(created, named), look);
    let mut flushed = flushed?;
    after.warnings.extend(strays);
    candidate.times.sync = start.elapsed();
    let locked = match lock(candidate, Some(&built.stage), options)? {
        Remaining::Nothing(locked, looked) => {
            return end_unchanged(candidate, Some(built), locked, looked, flushed.refreshed, after);
        }
        Remaining::Commit(locked) => locked,
    };
    if locked.is_overtaken {
        Flushing { candidate, built, options }.flush_again(&mut flushed)?;
    }
    let activate = HoldFile::of(candidate.store).activates(&locked.lock, options.activate)?;
    if activate {
        candidate.check_emptying(options.emptying)?;
    }
    shared::provide(candidate.store, &locked.lock, &candidate.shared)?;
    let placed = place(candidate, built, locked, flushed, options, activate)?;
    Ok(finish(candidate, built, placed, after))
}

fn check_texts(options: &CommitOptions) -> Result<()> {
    let facts: usize = options.facts.iter().map(|(key, value)| key.len() + value.len()).sum();
    if options.note.len() > MAX_NOTE_LEN {
        return Err(Error::refused(
            RefusedKind::NoteTooLong,
            format!("the note is longer than {MAX_NOTE_LEN} bytes"),
        ));
    }
    if facts > MAX_FACTS_LEN {
        return Err(Error::refused(
            RefusedKind::FactsTooLong,
            format!("the facts are longer than {MAX_FACTS_LEN} bytes"),
        ));
    }
    Ok(())
}
