//! The look at views that each publish and activation takes: are they still ours, and did a program
//! write through one. What is found is a warning; a view that is gone is made again, and mirrors are
//! brought to what is current.

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

/// So many paths are named in a warning; the rest is counted.
const NAMED: usize = 10;

/// Looks at every view, under the lock that moves `current`: makes again what is gone, and brings
/// mirrors to what is current. Nothing of it is an error: what is current is current.
pub(crate) fn check_views(store: &StoreDir, lock: &CommitLock) -> Vec<Warning> {
    let mut after = AfterCommit::default();
    let records = ViewRecords::of(store).list();
    match records {
        Ok(records) => {
            for record in records {
                match record.and_then(|record| check_view(store, lock, &record)) {
                    Ok(warnings) => after.warnings.extend(warnings),
                    Err(error) => after.warn_about("could not look at a view", &error),
                }
            }
        }
        Err(error) => after.warn_about("could not look at the views", &error),
    }
    // Recovery has run: what is still there it could not finish.
    for key in ViewRecords::of(store).pending_views().unwrap_or_default() {
        let place = ViewRecords::of(store)
            .read_pending(&key)
            .and_then(|pending| pending.map(|pending| place::place(store, &pending.view)).transpose());
        match place {
            Ok(Some(place)) => {
                let path = show_path(&place.path);
                after.warn(format!(
                    "the view {path} could not be put in place for good yet; \
                     `genstore view rm {path}` gives it up"
                ));
            }
            Ok(None) => {}
            Err(error) => after.warn_about("a view could not be put in place for good yet", &error),
        }
    }
    after.warnings
}

/// Gives the warnings about one view, and makes it what it ought to be as far as that is ours.
fn check_view(store: &StoreDir, lock: &CommitLock, record: &ViewRecord) -> Result<Vec<Warning>> {
    let mut place = place::place(store, record)?;
    place.check_way()?;
    if let Some(why) = &place.unmounted {
        let mut after = AfterCommit::default();
        let path = show_path(&place.path);
        after.warn(format!("the view {path} was left as it is: {why}; it follows once that is mounted"));
        return Ok(after.warnings);
    }
    if place.parent().is_err() && record.is_beside_store() {
        // A project was cleaned (`rm -rf dist`). Elsewhere a disk may not be there at the moment.
        parents::make_parents(store, lock, &place.path)?;
        place = place::place(store, record)?;
    }
    if record.kind == ViewKind::Mirror && place.is_directory()? {
        let mut warnings = refresh_mirror(store, lock, record, &place);
        if let Err(error) = disk::note_disk(store, lock, record, &place) {
            let mut after = AfterCommit::default();
            after.warn_about("could not note where a view is", &error);
            warnings.extend(after.warnings);
        }
        return Ok(warnings);
    }
    let (view, place) = state::look_at_view(store, record)?;
    let path = show_path(&view.path);
    let again = add_again(&view);
    let mut after = AfterCommit::default();
    let told = match &view.state {
        ViewState::Missing | ViewState::Directory => {
            restore(store, lock, record, &place, &view, &mut after);
            return Ok(after.warnings);
        }
        ViewState::Dangling => shows_nothing(&view),
        ViewState::Elsewhere(target) => format!(
            "the view {path} was replaced by a symlink to {}; `{again} --replace` mends it",
            show(target)
        ),
        ViewState::File => {
            format!("the view {path} was replaced by a file; move it away, then `{again}` mends it")
        }
        ViewState::NoParent => format!(
            "the view {path} cannot be there, for the directory it was in is gone; \
             `genstore view rm {path}` forgets it"
        ),
        ViewState::Mounted => format!(
            "the view {path} was left as it is, for something is mounted there; \
             unmount it, or `genstore view rm {path}` forgets the view"
        ),
        _ => return Ok(vec![]),
    };
    after.warn(told);
    Ok(after.warnings)
}

/// Makes a view again that was removed, or whose place a directory took, which is kept.
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
            Err(Error::refused(RefusedKind::ViewHoldsStore, format!("{path} holds the store")))
        }
        _ => install::put_in_place(store, lock, record, place, ViewChange::Retargeted, after),
    };
    after.warn(match restored {
        Ok(None) => format!("the view {path} was {was}; it was made again"),
        Ok(Some(kept)) => {
            format!("the view {path} was {was}, which is {} now; it was made again", show_path(&kept))
        }
        Err(error) => {
            format!("the view {path} was {was}, and could not be made again: {}", chain(&error))
        }
    });
}

/// Brings a mirror to what is current, and tells what came up.
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
                after.warn(format!("in the view {path} was removed and is put back: {names}"));
            }
            if !updated.strangers.is_empty() {
                let names = name_some(&updated.strangers);
                after.warn(format!(
                    "in the view {path} is left alone what genstore did not put there: {names}"
                ));
            }
            if let (Ok(Some(_)), Ok(false)) =
                (Current::of(store).id(), state::shows_something(store, record))
            {
                after.warn(shows_nothing(&crate::views::state::view(record, place, ViewState::Dangling)));
            }
        }
        Err(error) => {
            let what = format!("the view {path} could not be brought to what is current");
            after.warn_about(&what, &error);
        }
    }
    after.warnings
}

/// Makes a mirror again what it was, after it could not be removed.
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

/// Tells what was done to the current generation since it was published: build tools write
/// through links. Only where there is a view; a stat for each of its files.
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
        Err(error) => after.warn_about("could not look at what is current", &error),
    }
    after.warnings
}

fn written_to(store: &StoreDir, base: &CurrentGeneration) -> Result<Option<String>> {
    let id = base.generation.id();
    Ok(name_faults(check_stats(store, base)?)
        .map(|what| format!("generation {id} was written to: {what}; `genstore verify --repair` mends it")))
}

/// Names what is wrong with paths of a generation, the first few of them; `None` where nothing is.
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
    format!("the view {} shows nothing: what is current has no {from}", show_path(&view.path))
}

/// Writes the command that adds a view as it was added.
fn add_again(view: &View) -> String {
    let kind = match view.kind {
        ViewKind::Link => "",
        ViewKind::Mirror => " --as mirror",
    };
    let copy = if view.copy { " --copy" } else { "" };
    let from = view.from.as_ref().map_or(String::new(), |from| format!(" --from {from}"));
    format!("genstore view add {}{kind}{copy}{from}", show_path(&view.path))
}
