//! Views: paths outside the store that show the current generation.
//!
//! A link is a relative symlink `…/current[/SUBDIR]`, created once. A commit moves `current`, and so
//! changes what the view shows. A mirror is a directory of real files, which each commit updates
//! (`mirror`). The previous entry at a view's path is kept beside it, never deleted (`install`).

use crate::error::Result;
use crate::fs::errno::is_absence;
use crate::model::relpath::RelPath;
use crate::model::view::ViewKind;
use crate::parts::current::Current;
use crate::parts::layout::StoreDir;
use crate::parts::view_records::ViewRecord;
use crate::views::mirror;
use crate::views::place::{self, ViewLocation};
use crate::views::view::{View, ViewState};

pub(crate) fn look_at_view(store: &StoreDir, record: &ViewRecord) -> Result<(View, ViewLocation)> {
    let place = place::place(store, record)?;
    let state = match place.standing()? {
        ViewState::Directory if record.kind == ViewKind::Mirror => mirror_state(store, record, &place)?,
        // A link is not a mirror any more.
        ViewState::Ok if record.kind == ViewKind::Mirror => ViewState::Elsewhere(place.target.clone()),
        ViewState::Ok if !shows_something(store, record)? => ViewState::Dangling,
        state => state,
    };
    Ok((view(record, &place, state), place))
}

pub(crate) fn mirror_state(
    store: &StoreDir,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Result<ViewState> {
    let (behind, strangers) = mirror::look_at_mirror(store, record, place)?;
    Ok(match (behind, strangers.is_empty()) {
        (true, _) => ViewState::Behind,
        (false, false) => ViewState::Strangers(strangers),
        _ if !shows_something(store, record)? => ViewState::Dangling,
        _ => ViewState::Ok,
    })
}

pub(crate) fn shows_something(store: &StoreDir, record: &ViewRecord) -> Result<bool> {
    let Some(id) = Current::of(store).id()? else {
        return Ok(false);
    };
    let tree = crate::parts::layout::tree_path(id);
    let path = record.from().map_or(tree.clone(), |from| [&tree, &b"/"[..], from].concat());
    match store.dir.stat(&path) {
        Ok(stat) => Ok(stat.is_some()),
        Err(e) if is_absence(&e) => Ok(false),
        Err(e) => Err(e),
    }
}

pub(crate) fn view(record: &ViewRecord, place: &ViewLocation, state: ViewState) -> View {
    View {
        path: place.path.clone(),
        kind: record.kind,
        copy: record.copy,
        keep_removed: record.keep_removed(),
        from: record.from().and_then(|from| RelPath::new(from).ok()),
        target: if record.kind == ViewKind::Link { place.target.clone() } else { vec![] },
        made: record.made.into(),
        state,
    }
}
