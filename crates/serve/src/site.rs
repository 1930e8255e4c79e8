//! The site: what a path of a generation is answered with.

use std::sync::Arc;

use genstore::tree::FileNode;
use tokio::sync::watch;

use crate::desk::Desk;
use crate::events::{Counters, Event};
use crate::generations::Generations;
use crate::held::{Found, Held, Lease, join};
use crate::kind;
use crate::live::Live;
use crate::netlify::Redirected;
use crate::options::Options;
use crate::squeeze::Squeezer;
use crate::target::Target;

/// The parts that all requests share.
pub(crate) struct Site {
    pub(crate) options: Arc<Options>,
    pub(crate) generations: Generations,
    pub(crate) squeezer: Squeezer,
    pub(crate) live: Live,
    /// Whether the server stops.
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) counters: Counters,
    /// Runs verbs.
    pub(crate) desk: Desk,
}

/// The answer to a path.
pub(crate) enum Route {
    /// A file of the generation.
    File(Vec<u8>, FileNode, u16),
    /// A file of an older generation, which is in the window.
    Older(Arc<Lease>, Vec<u8>, FileNode),
    /// Another address.
    Elsewhere(u16, String),
    Nothing,
}

/// Files of a site that are rules, and no content.
const RULES: [&[u8]; 2] = [b"_headers", b"_redirects"];

impl Site {
    /// Reports a problem.
    pub(crate) fn problem(&self, code: &'static str, message: String) {
        (self.options.events)(Event::Problem { code, message });
    }

    /// Finds the answer to a path of a generation.
    pub(crate) fn route(&self, held: &Held, target: &Target, asks_for_page: bool) -> Route {
        let shown = format!("/{}", String::from_utf8_lossy(&target.path));
        if let Some(route) = self.redirected(held, target, &shown, true) {
            return route;
        }
        match self.existing(held, &target.path, target.is_folder) {
            Existing::File(path, file) => return Route::File(path, file, 200),
            Existing::Move(path) => return Route::Elsewhere(301, address(target, &path)),
            Existing::Nothing => {}
        }
        if let Some(route) = self.redirected(held, target, &shown, false) {
            return route;
        }
        let full = self.full(&target.path);
        // A page that was removed stays removed: only the files that open pages load are carried.
        if target.which.is_none()
            && !target.is_folder
            && !kind::is_html(&kind::of(&full))
            && let Some((lease, file)) = self.generations.in_window(&full)
        {
            return Route::Older(lease, full, file);
        }
        let name = target.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if self.options.spa
            && asks_for_page
            && !name.contains(&b'.')
            && let Found::File(path, file) = held.find(&self.full(b"index.html"))
        {
            return Route::File(path, file, 200);
        }
        self.error_page(held)
    }

    /// Finds the page for paths that do not exist.
    fn error_page(&self, held: &Held) -> Route {
        match held.find(&self.full(b"404.html")) {
            Found::File(path, file) => Route::File(path, file, 404),
            _ => Route::Nothing,
        }
    }

    fn redirected(&self, held: &Held, target: &Target, shown: &str, only_forced: bool) -> Option<Route> {
        match held.rules.redirect(shown, only_forced)? {
            Redirected::Elsewhere(status, to) => {
                let inside = to.strip_prefix('/').map(|path| format!("{}{path}", target.base));
                Some(Route::Elsewhere(status, inside.unwrap_or(to)))
            }
            Redirected::Rewritten(status, to) => {
                let path = to.trim_start_matches('/').as_bytes();
                let is_folder = path.is_empty() || path.ends_with(b"/");
                let path = path.strip_suffix(b"/").unwrap_or(path);
                match self.existing(held, path, is_folder) {
                    Existing::File(path, file) => Some(Route::File(path, file, status)),
                    _ => None,
                }
            }
        }
    }

    fn existing(&self, held: &Held, path: &[u8], is_folder: bool) -> Existing {
        if RULES.contains(&path) {
            return Existing::Nothing;
        }
        let full = self.full(path);
        match (held.find(&full), is_folder) {
            (Found::File(path, file), false) => Existing::File(path, file),
            (Found::Folder(folder), true) => match held.find(&join(&folder, b"index.html")) {
                Found::File(path, file) => Existing::File(path, file),
                _ => Existing::Nothing,
            },
            (Found::Folder(folder), false) => match held.find(&join(&folder, b"index.html")) {
                Found::File(..) => Existing::Move([path, b"/"].concat()),
                _ => self.with_ending(held, &full),
            },
            (Found::Nothing, false) => self.with_ending(held, &full),
            (_, true) => Existing::Nothing,
        }
    }

    /// Finds `about.html` for `about`.
    fn with_ending(&self, held: &Held, full: &[u8]) -> Existing {
        match held.find(&[full, b".html"].concat()) {
            Found::File(path, file) => Existing::File(path, file),
            _ => Existing::Nothing,
        }
    }

    /// Returns the path in the generation.
    fn full(&self, path: &[u8]) -> Vec<u8> {
        join(self.generations.site(), path)
    }
}

enum Existing {
    File(Vec<u8>, FileNode),
    /// Another path has it.
    Move(Vec<u8>),
    Nothing,
}

/// Creates the address of a path.
fn address(target: &Target, path: &[u8]) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    format!("{}{}", target.base, percent_encode(path, KEPT))
}
