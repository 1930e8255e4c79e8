//! Recovery: the next writer completes or undoes a change that was interrupted. No command is needed
//! for it.
//!
//! The intent in `sequence` is durable before the first step of a change, and `current` alone shows
//! whether the change happened. So the next holder of the commit lock completes or undoes the change,
//! and reaches the same state wherever it was interrupted.

use rustix::io::Errno;

use crate::error::{Damaged, Error, Result};
use crate::fs::dir::open_parent;
use crate::fs::errno::{is_errno, is_refused};
use crate::fs::{Dir, Kind, Stat};
use crate::model::digest::Digest;
use crate::model::fresh::PublishedMtimes;
use crate::model::ids::{GenerationId, StageId};
use crate::model::records::{Intent, Moving, Sequence};
use crate::model::tree::{FileNode, Mtime, Node};
use crate::parts::current::Current;
use crate::parts::generations::Generations;
use crate::parts::hold::HoldFile;
use crate::parts::layout::{GENERATIONS, LOG, STAGING, StoreDir};
use crate::parts::locks::{CommitLock, Locks};
use crate::parts::log::{Event, Log};
use crate::parts::naming::Naming;
use crate::parts::objects::Objects;
use crate::parts::records::Records;
use crate::parts::stage_debris::{remove_committed, sweep, tolerate};
use crate::parts::stage_dir::grave;
use crate::parts::suspects;
use crate::views::install;

/// Takes the commit lock and settles the last holder's change.
pub(crate) fn lock_and_recover(store: &StoreDir) -> Result<(CommitLock, Sequence)> {
    let lock = Locks::of(store).commit()?;
    let sequence = recover(store, &lock)?;
    Ok((lock, sequence))
}

/// Completes or undoes the change in the sequence's intent, and removes all debris.
pub(crate) fn recover(store: &StoreDir, lock: &CommitLock) -> Result<Sequence> {
    Current::of(store).remove_temps(lock)?;
    sweep(store, lock)?;
    Current::of(store).restore_notice(lock)?;
    Naming::of(store).settle_unflushed(lock)?;
    install::settle_views(store, lock)?;
    let mut sequence = Records::of(store).sequence()?;
    let Some(intent) = sequence.intent.take() else {
        return Ok(sequence);
    };
    let current = Current::of(store).id()?;
    // If `current` was lost, only the log can show the activation, and a missing line does not undo
    // anything.
    let shown = match current {
        Some(id) => Some(id),
        None => Log::of(store).history()?.last_activation().map(|line| line.generation),
    };
    let is_lost = shown != current;
    let moved = match &intent {
        Intent::Publish { generation, activate, .. } => *activate && shown == Some(*generation),
        Intent::Activate { generation, .. } => shown == Some(*generation),
    };
    let settled = match intent {
        Intent::Publish { .. } if !moved && is_lost => Ok(()),
        Intent::Publish { generation, .. } if !moved => take_back(store, lock, generation),
        Intent::Publish { generation, stage, by, .. } => {
            if let Some(id) = &stage {
                remove_committed(store, lock, id)?;
            }
            HoldFile::of(store).set(lock, None)?;
            finish(store, lock, generation, Telling { stage, by, moving: Moving::default() })
        }
        Intent::Activate { generation, marks, hold, cause, by } if moved => {
            HoldFile::of(store).set(lock, hold.as_ref())?;
            // gc may have removed them before a power loss brought the intent back.
            let ids = Generations::of(store).ids()?;
            for (id, mark) in &marks {
                if ids.contains(id) {
                    Records::of(store).write_mark(lock, *id, mark)?;
                }
            }
            let marked = marks.into_iter().map(|(id, record)| (id, record.mark)).collect();
            finish(store, lock, generation, Telling { stage: None, by, moving: Moving { cause, marked } })
        }
        Intent::Activate { generation, .. } => reread_shown(store, lock, generation),
    };
    match settled {
        // `verify` and the next publish handle the damage. It must not block all writers.
        Err(Error::Damaged { what: Damaged::Generation(id), .. }) => {
            suspects::suspect_generation(store, lock, id)?
        }
        // The change has happened. Its records still need space, and gc must not fail for want of
        // space. So the intent stays for the next writer.
        Err(e) if moved && (is_errno(&e, Errno::NOSPC) || is_errno(&e, Errno::DQUOT)) => {
            return Ok(sequence);
        }
        // An entry that replaced the log must not block all writers either: `verify` reports it.
        Err(Error::Damaged { what: Damaged::File(path), .. }) if moved && path == store.dir.join(LOG) => {
            return Ok(sequence);
        }
        settled => settled?,
    }
    Records::of(store).write_sequence(lock, &sequence)?;
    Ok(sequence)
}

/// Removes a generation that never became current.
fn take_back(store: &StoreDir, lock: &CommitLock, id: GenerationId) -> Result<()> {
    let (generations, staging) = (store.sub(GENERATIONS)?, store.sub(STAGING)?);
    let name = id.to_string().into_bytes();
    if generations.stat(&name)?.is_none() {
        return Ok(());
    }
    let grave = grave(id);
    match store.fs.rename_to_free((&generations, &name), (&staging, &grave)) {
        Err(e) if is_errno(&e, Errno::XDEV) => {
            Generations::of(store).mark_unlisted(lock, id)?;
            return tolerate(Generations::of(store).remove_unlisted(lock, id)).map(drop);
        }
        moved => moved?,
    }
    store.fs.sync_dir(&generations)?;
    tolerate(store.fs.remove_all(&staging, &grave)).map(drop)
}

/// The content of the log's missing lines.
struct Telling {
    stage: Option<StageId>,
    /// The actor of the change.
    by: Option<String>,
    moving: Moving,
}

/// Does the steps after the move of `current`: makes it durable and records it.
fn finish(store: &StoreDir, lock: &CommitLock, id: GenerationId, telling: Telling) -> Result<()> {
    let Telling { stage, by, moving } = telling;
    let by = by.as_deref().unwrap_or(&store.options.actor);
    Current::of(store).make_durable(lock)?;
    let generation = Generations::of(store).open(id)?;
    let history = Log::of(store).history()?;
    if history.publication(id).is_none() {
        Log::of(store).append_for(lock, by, id, publication(&generation, stage, None)?)?;
    }
    let last = history.last_activation();
    if last.is_none_or(|line| line.generation != id) {
        let previous = last.map(|line| line.generation);
        Log::of(store).append_for(lock, by, id, Event::Activate { previous, moving })?;
    }
    Log::of(store).sync()?;
    Current::of(store).write_notice(lock, id, generation.head()?.tree)
}

/// Creates the log's line about a generation.
pub(crate) fn publication(
    generation: &crate::parts::generations::Generation,
    stage: Option<StageId>,
    new_bytes: Option<u64>,
) -> Result<Event> {
    let head = generation.head()?;
    Ok(Event::Publish {
        manifest: Digest::of(&generation.manifest_bytes()?).to_string(),
        created: crate::model::records::Moment { secs: head.created.secs, nanos: head.created.nanos },
        note: head.note,
        facts: head.facts,
        stage,
        new_bytes,
    })
}

/// After an interrupted activation, reads from the inodes which paths got new ones.
fn reread_shown(store: &StoreDir, lock: &CommitLock, id: GenerationId) -> Result<()> {
    let Some(generation) = Generations::of(store).find(id)? else {
        return Ok(());
    };
    let (tree, old) = (generation.manifest()?.tree, generation.published_mtimes()?);
    let objects = Objects::new(store)?;
    let dir = match generation.tree_dir() {
        // No path in it was renewed.
        Err(e) if is_refused(&e) => return Ok(()),
        dir => dir?,
    };
    let mut shown = PublishedMtimes { fresh: Default::default(), ..old.clone() };
    let mut folder: Option<(&[u8], Option<Dir>)> = None;
    for entry in tree.iter() {
        let Node::File(file) = entry.node else {
            continue;
        };
        let (parent, name) = crate::model::relpath::split(entry.path);
        if folder.as_ref().is_none_or(|(path, _)| *path != parent) {
            let opened = match open_parent(&dir, entry.path) {
                Err(e) if is_refused(&e) => None,
                opened => Some(opened?.0),
            };
            folder = Some((parent, opened));
        }
        let own = match folder.as_ref().and_then(|(_, dir)| dir.as_ref()) {
            Some(dir) => own_mtime(&objects, dir, name, &file),
            None => Ok(old.fresh.get(entry.path).copied()),
        };
        let own = match own {
            // Something is mounted there, or it is unreadable. It was not renewed, so its recorded
            // mtime is still valid.
            Err(e) if is_refused(&e) => old.fresh.get(entry.path).copied(),
            own => own?,
        };
        if let Some(mtime) = own {
            shown.fresh.insert(entry.path.to_vec(), mtime);
        }
    }
    if shown != old {
        Generations::of(store).write_shown(lock, id, &shown)?;
    }
    Ok(())
}

/// Returns the mtime of a file that has an inode of its own, and another mtime than its object.
fn own_mtime(objects: &Objects<'_>, dir: &Dir, name: &[u8], file: &FileNode) -> Result<Option<Mtime>> {
    let is_other = |stat: &Stat| stat.kind == Kind::File && !stat.has_mtime(file.mtime);
    let Some(stat) = dir.stat(name)?.filter(is_other) else { return Ok(None) };
    // Fails if another file is mounted on it.
    drop(dir.open_file(name)?);
    // The object's own inode is never renewed: another mtime of it is damage.
    let object = if file.size > 0 { objects.stat(file.object())? } else { None };
    Ok(object.is_none_or(|object| !object.same_inode(&stat)).then_some(stat.mtime))
}
