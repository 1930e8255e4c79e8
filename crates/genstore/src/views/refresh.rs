//! The check of views after each publish and activation: are they unchanged, and did a program write
//! through one. Findings are warnings. A missing view is recreated, and mirrors are updated.

use crate::check::strays;
use crate::check::tree::{Fault, FaultKind, check_stats};
use crate::error::{Error, RefusedKind, Result, chain, show_path};
use crate::model::relpath::show;
use crate::model::view::{ViewChange, ViewKind};
use crate::parts::current::Current;
use crate::parts::current_generation::CurrentGeneration;
use crate::parts::layout::StoreDir;
use crate::parts::locks::CommitLock;
use crate::parts::view_records::{ViewRecord, ViewRecords};
use crate::views::place::{self, ViewLocation};
use crate::views::view::{View, ViewState};
use crate::views::{disk, install, mirror, parents, state};
use crate::warning::{AfterCommit, Warning};

/// The number of paths that a warning names. The rest is counted.
const NAMED: usize = 10;

/// Checks every view, under the lock that moves `current`: recreates missing ones and updates mirrors.
/// No failure is an error, as the commit has happened.
pub(crate) fn check_views(store: &StoreDir, lock: &CommitLock) -> Vec<Warning> {
    let mut after = AfterCommit::default();
    let records = ViewRecords::of(store).list();
    match records {
        Ok(records) => {
            for record in records {
                match record.and_then(|record| check_view(store, lock, &record)) {
                    Ok(warnings) => after.warnings.extend(warnings),
                    Err(error) => after.warn_about("cannot check a view", &error),
                }
            }
        }
        Err(error) => after.warn_about("cannot check the views", &error),
    }
    // Recovery has run: it could not complete the remaining ones.
    for key in ViewRecords::of(store).pending_views().unwrap_or_default() {
        let place = ViewRecords::of(store)
            .read_pending(&key)
            .and_then(|pending| pending.map(|pending| place::place(store, &pending.view)).transpose());
        match place {
            Ok(Some(place)) => {
                let path = show_path(&place.path);
                after.warn(format!(
                    "the view {path} is not fully installed yet; \
                     `genstore view rm {path}` cancels it"
                ));
            }
            Ok(None) => {}
            Err(error) => after.warn_about("a view is not fully installed yet", &error),
        }
    }
    after.warnings
}

/// Restores one view as far as it is ours, and returns the warnings about it.
fn check_view(store: &StoreDir, lock: &CommitLock, record: &ViewRecord) -> Result<Vec<Warning>> {
    let mut place = place::place(store, record)?;
    place.check_way()?;
    if let Some(why) = &place.unmounted {
        let mut after = AfterCommit::default();
        let path = show_path(&place.path);
        after.warn(format!("the view {path} was not updated: {why}; it is updated once that is mounted"));
        return Ok(after.warnings);
    }
    if place.parent().is_err() && record.is_beside_store() {
        // A project was cleaned (`rm -rf dist`). At other places a disk may just not be mounted.
        parents::make_parents(store, lock, &place.path)?;
        place = place::place(store, record)?;
    }
    if record.kind == ViewKind::Mirror && place.is_directory()? {
        let mut warnings = refresh_mirror(store, lock, record, &place);
        if let Err(error) = disk::note_disk(store, lock, record, &place) {
            let mut after = AfterCommit::default();
            after.warn_about("cannot record the filesystem of a view", &error);
            warnings.extend(after.warnings);
        }
        return Ok(warnings);
    }
    let (view, place) = state::look_at_view(store, record)?;
    let path = show_path(&view.path);
    let again = view.command();
    let mut after = AfterCommit::default();
    let told = match &view.state {
        ViewState::Missing | ViewState::Directory => {
            restore(store, lock, record, &place, &view, &mut after);
            return Ok(after.warnings);
        }
        ViewState::Dangling => shows_nothing(&view),
        ViewState::Elsewhere(target) => format!(
            "the view {path} was replaced by a symlink to {}; `{again} --replace` repairs it",
            show(target)
        ),
        ViewState::File => {
            format!("the view {path} was replaced by a file; move it away, then `{again}` repairs it")
        }
        ViewState::NoParent => format!(
            "the view {path} cannot be restored, as its parent directory is missing; \
             `genstore view rm {path}` removes its record"
        ),
        ViewState::Mounted => format!(
            "the view {path} was not updated, as something is mounted there; \
             unmount it, or `genstore view rm {path}` removes its record"
        ),
        _ => return Ok(vec![]),
    };
    after.warn(told);
    Ok(after.warnings)
}

/// Recreates a view that was removed, or that a directory replaced. The directory is kept.
fn restore(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
    view: &View,
    after: &mut AfterCommit,
) {
    let path = show_path(&view.path);
    let was = match view.state {
        ViewState::Missing => "removed",
        _ => "replaced by a directory",
    };
    let restored = match (view.state == ViewState::Missing, view.kind) {
        (true, ViewKind::Link) => place.make_again(store).map(|()| None),
        (false, _) if place::holds_store(store, &view.path) => {
            Err(Error::refused(RefusedKind::ViewHoldsStore, format!("{path} contains the store")))
        }
        _ => install::put_in_place(store, lock, record, place, ViewChange::Retargeted, after),
    };
    after.warn(match restored {
        Ok(None) => format!("the view {path} was {was}; it was restored"),
        Ok(Some(kept)) => {
            format!("the view {path} was {was}, which is {} now; it was restored", show_path(&kept))
        }
        Err(error) => {
            format!("the view {path} was {was}, and could not be restored: {}", chain(&error))
        }
    });
}

/// Updates a mirror, and returns the warnings.
fn refresh_mirror(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Vec<Warning> {
    let path = show_path(&place.path);
    let mut after = AfterCommit::default();
    match mirror::update_mirror(store, lock, record, place) {
        Ok(updated) => {
            if !updated.put_back.is_empty() {
                let names = name_some(&updated.put_back);
                after.warn(format!("in the view {path} removed files were restored: {names}"));
            }
            if !updated.strangers.is_empty() {
                let names = name_some(&updated.strangers);
                after.warn(format!(
                    "in the view {path} files that are not genstore's were left alone: {names}"
                ));
            }
            if let (Ok(Some(_)), Ok(false)) =
                (Current::of(store).id(), state::shows_something(store, record))
            {
                after.warn(shows_nothing(&crate::views::state::view(record, place, ViewState::Dangling)));
            }
        }
        Err(error) => {
            let what = format!("the view {path} could not be updated");
            after.warn_about(&what, &error);
        }
    }
    after.warnings
}

/// Restores a mirror after its removal failed.
pub(crate) fn bring_back(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Result<()> {
    match place.standing()? {
        ViewState::Missing => {
            let mut after = AfterCommit::default();
            install::put_in_place(store, lock, record, place, ViewChange::Made, &mut after).map(drop)
        }
        _ => mirror::update_mirror(store, lock, record, place).map(drop),
    }
}

/// Reports changes to the current generation since its publication: build tools write through links.
/// Runs only if there is a view, and takes one stat per file.
pub(crate) fn check_written_to(store: &StoreDir, base: Option<&CurrentGeneration>) -> Vec<Warning> {
    let mut after = AfterCommit::default();
    let found = match (ViewRecords::of(store).any(), base) {
        (Ok(true), Some(base)) => written_to(store, base),
        (Err(error), _) => Err(error),
        _ => Ok(None),
    };
    match found {
        Ok(None) => {}
        Ok(Some(message)) => after.warn(message),
        Err(error) => after.warn_about("cannot check the current generation", &error),
    }
    after.warnings
}

/// Reports files that were written into the current generation, which is about to be left.
pub(crate) fn check_strays(store: &StoreDir, base: Option<&CurrentGeneration>) -> Vec<Warning> {
    let Some(base) = base else { return vec![] };
    let mut after = AfterCommit::default();
    match strays::find(store, &base.generation, &base.tree) {
        Ok(None) => {}
        Ok(Some(strays)) => {
            let (what, id) = (strays.text(), strays.generation);
            after.warn(format!(
                "{what}; they stay in generations/{id}/tree until gc removes it; keep such paths with [shared]"
            ));
        }
        Err(error) => after.warn_about("cannot check the current generation", &error),
    }
    after.warnings
}

/// Describes the damage. Foreign files are the subject of [`check_strays`].
fn written_to(store: &StoreDir, base: &CurrentGeneration) -> Result<Option<String>> {
    let id = base.generation.id();
    let mut faults = check_stats(store, base)?;
    faults.retain(|fault| fault.kind != FaultKind::Stranger);
    Ok(name_faults(faults).map(|what| {
        format!("generation {id} was written to: {what}; `genstore verify --repair` repairs it")
    }))
}

/// Describes the faults of a generation's paths, naming the first few. Returns `None` if there are
/// none.
pub(crate) fn name_faults(mut faults: Vec<Fault>) -> Option<String> {
    // One path may differ in mode and mtime.
    faults.dedup_by(|a, b| a.path == b.path);
    if faults.is_empty() {
        return None;
    }
    let mut groups = Vec::new();
    let is_other = |kind| !matches!(kind, FaultKind::Missing | FaultKind::Stranger);
    let named = &faults[..faults.len().min(NAMED)];
    let mut group = |word: &str, is_it: &dyn Fn(FaultKind) -> bool| {
        let paths: Vec<String> = named.iter().filter(|f| is_it(f.kind)).map(|f| name(&f.path)).collect();
        if !paths.is_empty() {
            groups.push(format!("{word} {}", paths.join(", ")));
        }
    };
    group("changed", &is_other);
    group("added", &|kind| kind == FaultKind::Stranger);
    group("removed", &|kind| kind == FaultKind::Missing);
    match faults.len() - named.len() {
        0 => {}
        1 => groups.push("and 1 more path".to_owned()),
        more => groups.push(format!("and {more} more paths")),
    }
    Some(groups.join("; "))
}

/// The tree's own directory has no name.
fn name(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { show(path) }
}

/// Names the first few paths, and counts the rest.
fn name_some(paths: &[Vec<u8>]) -> String {
    let mut names: Vec<String> = paths.iter().take(NAMED).map(|path| show(path)).collect();
    match paths.len() - names.len() {
        0 => {}
        1 => names.push("and 1 more path".to_owned()),
        more => names.push(format!("and {more} more paths")),
    }
    names.join(", ")
}

fn shows_nothing(view: &View) -> String {
    let from = view.from.as_ref().map_or("the tree".to_owned(), |from| from.to_string());
    format!("the view {} shows nothing: the current generation has no {from}", show_path(&view.path))
}
