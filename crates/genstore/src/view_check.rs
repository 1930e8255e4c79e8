//! The look at views that each publish and activation takes: are they still ours, and did a program
//! write through one. What is found is a warning; a link that is gone is made again. Floor 3.

use crate::activate::{AfterCommit, Base, Warning, chain};
use crate::check::{FaultKind, check_stats};
use crate::error::{Result, show_path};
use crate::layout::{CommitLock, Home};
use crate::model::relpath::show;
use crate::view::{View, ViewState};
use crate::view_place::Place;
use crate::views::ViewRecord;

/// So many paths are named in a warning; the rest is counted.
const NAMED: usize = 10;

impl Home {
    /// Looks at every view, under the lock that moves `current`, and makes links again that are
    /// gone. Nothing of it is an error: what is current is current.
    pub(crate) fn check_views(&self, _: &CommitLock) -> Vec<Warning> {
        let mut after = AfterCommit::default();
        let records = self.view_records();
        match records {
            Ok(records) => {
                for record in records {
                    match record.and_then(|record| self.check_view(&record)) {
                        Ok(None) => {}
                        Ok(Some(message)) => after.warn(message),
                        Err(error) => after.warn_of("could not look at a view", &error),
                    }
                }
            }
            Err(error) => after.warn_of("could not look at the views", &error),
        }
        // Recovery has run: what is still there it could not finish.
        for key in self.pending_views().unwrap_or_default() {
            let place = self
                .pending_view(&key)
                .and_then(|pending| pending.map(|pending| self.place(&pending.view)).transpose());
            match place {
                Ok(Some(place)) => {
                    let path = show_path(&place.path);
                    after.warn(format!(
                        "the view {path} could not be put in place for good yet; \
                         `genstore view rm {path}` gives it up"
                    ));
                }
                Ok(None) => {}
                Err(error) => after.warn_of("a view could not be put in place for good yet", &error),
            }
        }
        after.warnings
    }

    /// Gives the warning about one view.
    fn check_view(&self, record: &ViewRecord) -> Result<Option<String>> {
        let (view, place) = self.look_at_view(record)?;
        let path = show_path(&view.path);
        let again = add_again(&view);
        Ok(Some(match &view.state {
            ViewState::Ok => return Ok(None),
            ViewState::Missing => self.restore(&place),
            ViewState::Dangling => {
                let from = view.from.map_or("the tree".to_owned(), |from| from.to_string());
                format!("the view {path} shows nothing: what is current has no {from}")
            }
            ViewState::Elsewhere(target) => format!(
                "the view {path} was replaced by a symlink to {}; `{again} --replace` mends it",
                show(target)
            ),
            ViewState::Directory => {
                format!("the view {path} was replaced by a directory; `{again} --replace` mends it")
            }
            ViewState::File => {
                format!("the view {path} was replaced by a file; move it away, then `{again}` mends it")
            }
            ViewState::NoParent => format!(
                "the view {path} cannot be there, for the directory it was in is gone; \
                 `genstore view rm {path}` forgets it"
            ),
        }))
    }

    fn restore(&self, place: &Place) -> String {
        let path = show_path(&place.path);
        match place.make_again(self) {
            Ok(()) => format!("the view {path} was removed; it was made again"),
            Err(error) => {
                format!("the view {path} was removed, and could not be made again: {}", chain(&error))
            }
        }
    }

    /// Tells what was done to the current generation since it was published: build tools write
    /// through links. Only where there is a view; a stat for each of its files.
    pub(crate) fn check_written_to(&self, base: Option<&Base>) -> Vec<Warning> {
        let mut after = AfterCommit::default();
        let found = match (self.has_views(), base) {
            (Ok(true), Some(base)) => written_to(base),
            (Err(error), _) => Err(error),
            _ => Ok(None),
        };
        match found {
            Ok(None) => {}
            Ok(Some(message)) => after.warn(message),
            Err(error) => after.warn_of("could not look at what is current", &error),
        }
        after.warnings
    }
}

fn written_to(base: &Base) -> Result<Option<String>> {
    let mut faults = check_stats(base)?;
    // One path may differ in mode and mtime.
    faults.dedup_by(|a, b| a.path == b.path);
    if faults.is_empty() {
        return Ok(None);
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
    let id = base.generation.id();
    let what = groups.join("; ");
    Ok(Some(format!("generation {id} was written to: {what}; `genstore verify --repair` mends it")))
}

/// The tree's own directory has no name.
fn name(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { show(path) }
}

/// Writes the command that adds a view as it was added.
fn add_again(view: &View) -> String {
    let from = view.from.as_ref().map_or(String::new(), |from| format!(" --from {from}"));
    format!("genstore view add {}{from}", show_path(&view.path))
}
