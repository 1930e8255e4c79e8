//! Losses: parts that a store had and lost, for example in a copy that dropped empty folders, links or
//! single files; and records that cannot be read. Finds them and changes nothing. [`crate::repair::rebuild`] recreates them.
//!
//! Absence alone is not a loss: a new store has neither `current` nor `sequence` nor `log`. The
//! remaining parts decide: an activation in the log, or an existing generation.

use crate::check::report::DamagedFile;
use crate::error::{Damaged, Error, RefusedKind, Result};
use crate::fs::Kind;
use crate::model::ids::GenerationId;
use crate::model::notice::NOTICE_LEN;
use crate::model::records::{Intent, Sequence};
use crate::parts::current::Current;
use crate::parts::generations::Generations;
use crate::parts::hold::HoldFile;
use crate::parts::layout::{
    BUILD_LOG, CURRENT, DELTA, GENERATIONS, INDEX, LOG, NOTICE, ROTATIONS, SEALED, SEQUENCE, StoreDir,
    VIEWS,
};
use crate::parts::log::Log;
use crate::parts::record;
use crate::parts::records::Records;
use crate::parts::view_records::ViewRecords;

/// Returns the current generation, which exists.
///
/// # Errors
/// [`Error::Damaged`] if `current` names a generation that does not exist, or if `current` is missing
/// although a generation was current.
pub(crate) fn checked_current(store: &StoreDir) -> Result<Option<GenerationId>> {
    loop {
        let Some(id) = Current::of(store).id()? else {
            return lost_current(store).map_or(Ok(None), Err);
        };
        if store.dir.stat(&[GENERATIONS, b"/", id.to_string().as_bytes()].concat())?.is_some() {
            return Ok(Some(id));
        }
        // Another process may have moved `current`, and a third one collected the old generation.
        if Current::of(store).id()? == Some(id) {
            let cause = format!("it names generation {id}, which does not exist");
            return Err(Error::damaged_file(&store.dir.join(CURRENT), cause));
        }
    }
}

/// Returns the current generation.
///
/// # Errors
/// As [`checked_current`]. Code `no-current` if nothing was published, `not-activated` if generations
/// are kept but none was activated.
pub(crate) fn required_current(store: &StoreDir) -> Result<GenerationId> {
    if let Some(id) = checked_current(store)? {
        return Ok(id);
    }
    Err(match Generations::of(store).ids()?.len() {
        0 => Error::refused(RefusedKind::NoCurrent, "nothing has been published to this store yet"),
        1 => Error::refused(
            RefusedKind::NotActivated,
            "no generation is current: the only one was kept, not activated",
        ),
        n => Error::refused(
            RefusedKind::NotActivated,
            format!("no generation is current: all {n} were kept, not activated"),
        ),
    })
}

/// Returns the error for a missing `current`. `None` if no generation was current yet.
fn lost_current(store: &StoreDir) -> Option<Error> {
    let lost = |cause: String| Some(Error::damaged_file(&store.dir.join(CURRENT), cause));
    let (history, ids) = match (Log::of(store).history(), settled_ids(store)) {
        (Ok(history), Ok(ids)) => (history, ids),
        (Err(e), _) | (_, Err(e)) => return Some(e),
    };
    match history.last_activation().map(|line| line.generation) {
        Some(id) => lost(format!("it is missing, and generation {id} was current last")),
        None if ids.is_empty() || !history.lines.is_empty() => None,
        None => lost("it is missing, and so is the log that would name the generation".to_owned()),
    }
}

/// Lists the generations without the one in progress, which recovery may undo.
fn settled_ids(store: &StoreDir) -> Result<Vec<GenerationId>> {
    let mut ids = Generations::of(store).ids()?;
    // Unreadable records are reported elsewhere.
    if let Ok(Some(sequence)) = record::read::<Sequence>(store, SEQUENCE)
        && let Some(Intent::Publish { generation, .. }) = sequence.intent
    {
        ids.retain(|id| *id != generation);
    }
    Ok(ids)
}

/// Lists the missing or replaced parts of the layout and files at the top. A store without publications
/// has lost nothing.
pub(crate) fn lost_parts(store: &StoreDir) -> Result<Vec<DamagedFile>> {
    let state = store.layout_state()?;
    let mut lost: Vec<DamagedFile> =
        state.replaced.iter().map(|(name, why)| DamagedFile::new(store.dir.join(name), *why)).collect();
    let ids = if state.replaced.is_empty() { settled_ids(store)? } else { vec![] };
    let is_used = |name| Ok::<bool, Error>(store.dir.stat(name)?.is_some());
    if ids.is_empty() && !is_used(SEQUENCE)? && !is_used(LOG)? && !is_used(CURRENT)? {
        return Ok(lost);
    }
    let mut missing = |name: &[u8]| lost.push(DamagedFile::new(store.dir.join(name), "it is missing"));
    // The first programs of this format did not create `views`.
    state.missing.iter().filter(|name| **name != VIEWS).for_each(|name| missing(name));
    for name in [SEQUENCE, LOG] {
        if !ids.is_empty() && !is_used(name)? {
            missing(name);
        }
    }
    if let Ok(Some(sequence)) = record::read::<Sequence>(store, SEQUENCE)
        && let taken = ids.last().map_or(0, |id| id.get())
        && taken > sequence.high
    {
        lost.push(DamagedFile::new(store.dir.join(SEQUENCE), too_low(sequence.high, taken)));
    }
    if let Some(stat) = store.dir.stat(NOTICE)?
        && stat.kind == Kind::File
        && stat.size > NOTICE_LEN
    {
        lost.push(DamagedFile::new(
            store.dir.join(NOTICE),
            format!("it is longer than {NOTICE_LEN} bytes"),
        ));
    }
    Ok(lost)
}

/// Lists the records that are damaged or replaced by something else.
pub(crate) fn damaged_records(store: &StoreDir) -> Result<Vec<DamagedFile>> {
    let mut found = Vec::new();
    let mut note = |result: Result<()>| match result {
        Err(Error::Damaged { what: Damaged::File(path), cause, .. }) => {
            found.push(DamagedFile { path, cause });
            Ok(())
        }
        other => other,
    };
    let sequence = record::read::<Sequence>(store, SEQUENCE);
    note(sequence.map(drop))?;
    for damage in Records::of(store)
        .readable_pins()?
        .damage
        .into_iter()
        .chain(Records::of(store).readable_marks()?.damage)
    {
        note(Err(damage))?;
    }
    note(HoldFile::of(store).read().map(drop))?;
    note(Log::of(store).history().map(drop))?;
    for view in ViewRecords::of(store).list()? {
        note(view.map(drop))?;
    }
    for key in ViewRecords::of(store).pending_views()? {
        note(ViewRecords::of(store).read_pending(&key).map(drop))?;
    }
    for key in ViewRecords::of(store).mirrors()? {
        note(ViewRecords::of(store).inventory(&key).map(drop))?;
        note(ViewRecords::of(store).next_inventory(&key).map(drop))?;
    }
    if store.dir.stat(ROTATIONS)?.is_some_and(|stat| stat.kind != Kind::File) {
        found.push(DamagedFile::new(store.dir.join(ROTATIONS), "it is not a regular file"));
    }
    for id in Generations::of(store).ids()? {
        for name in [INDEX, DELTA, SEALED, BUILD_LOG] {
            let path = [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", name].concat();
            if store.dir.stat(&path)?.is_some_and(|stat| stat.kind != Kind::File) {
                found.push(DamagedFile::new(store.dir.join(&path), "it is not a regular file"));
            }
        }
    }
    Ok(found)
}

/// Returns the message for a `sequence` whose highest number is too low.
pub(crate) fn too_low(high: u64, taken: u64) -> String {
    format!("its highest number is {high}, but {taken} was taken")
}
