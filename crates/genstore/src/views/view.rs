//! Views in the public API.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::error::show_path;
use crate::model::relpath::RelPath;
use crate::model::view::{ViewChange, ViewKind};
use crate::warning::Warning;

/// The options of a new view.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ViewOptions {
    /// The part of the tree that it shows. `None`: the whole tree.
    pub from: Option<RelPath>,
    /// Its kind.
    pub kind: ViewKind,
    /// For a mirror: create private copies, which its readers may write to.
    pub copy: bool,
    /// For a mirror: the time for which it still shows files that a commit removed, in whole seconds. It
    /// shows them as long as a generation is kept that has them. Pages (`.html`) are removed at once.
    pub keep_removed: Option<Duration>,
    /// Replace a directory or a foreign symlink.
    pub replace: bool,
    /// Create missing directories above it.
    pub parents: bool,
}

impl ViewOptions {
    /// Creates the options of a symlink.
    pub fn link() -> ViewOptions {
        ViewOptions::default()
    }

    /// Creates the options of a mirror: a directory that each commit updates.
    pub fn mirror() -> ViewOptions {
        ViewOptions { kind: ViewKind::Mirror, ..ViewOptions::default() }
    }

    /// Shows a part of the tree.
    pub fn from(mut self, from: RelPath) -> ViewOptions {
        self.from = Some(from);
        self
    }

    /// Creates private copies in a mirror, which its readers may write to.
    pub fn copy(mut self) -> ViewOptions {
        self.copy = true;
        self
    }

    /// Goes on showing removed files in a mirror for some time, since open pages still ask for them.
    pub fn keep_removed(mut self, time: Duration) -> ViewOptions {
        self.keep_removed = Some(time);
        self
    }

    /// Replaces a directory or a foreign symlink.
    pub fn replace(mut self) -> ViewOptions {
        self.replace = true;
        self
    }

    /// Creates missing directories above it.
    pub fn parents(mut self) -> ViewOptions {
        self.parents = true;
        self
    }
}

/// A view, with the state of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// Its path.
    pub path: PathBuf,
    /// Its kind.
    pub kind: ViewKind,
    /// The part of the tree that it shows.
    pub from: Option<RelPath>,
    /// For a mirror: whether its files are private copies.
    pub copy: bool,
    /// For a mirror: the time for which it still shows files that a commit removed.
    pub keep_removed: Option<Duration>,
    /// The target of its link; empty for a mirror.
    pub target: Vec<u8>,
    /// The time of its creation.
    pub made: SystemTime,
    /// The state of its path.
    pub state: ViewState,
}

impl View {
    /// Returns the command that adds the view as it was added.
    pub fn command(&self) -> String {
        let mut command = format!("genstore view add {}", show_path(&self.path));
        if self.kind == ViewKind::Mirror {
            command.push_str(" --as mirror");
        }
        if self.copy {
            command.push_str(" --copy");
        }
        if let Some(keep) = self.keep_removed {
            command.push_str(&format!(" --keep-removed {}s", keep.as_secs()));
        }
        if let Some(from) = &self.from {
            command.push_str(&format!(" --from {from}"));
        }
        command
    }
}

/// The state of a view's path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewState {
    /// The link, with an existing target; or the mirror of the current generation, without foreign
    /// files.
    Ok,
    /// The link or the mirror, but the current generation has no such path, or no generation is
    /// current.
    Dangling,
    /// The mirror, of something other than the current generation. The next command that writes updates
    /// it.
    Behind,
    /// The mirror of the current generation, with these foreign paths in it.
    Strangers(Vec<Vec<u8>>),
    /// No entry.
    Missing,
    /// A symlink to another target.
    Elsewhere(Vec<u8>),
    /// A directory.
    Directory,
    /// A file, or anything else that is not a directory.
    File,
    /// Not even its parent directory exists.
    NoParent,
    /// A directory on which something is mounted.
    Mounted,
    /// Unknown: the filesystem of the view is not mounted.
    Unmounted,
}

/// A view that was added.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct ViewAdded {
    /// The view.
    pub view: View,
    /// The change.
    pub change: ViewChange,
    /// The new path of the entry that was replaced.
    pub kept: Option<PathBuf>,
    /// Failures after the view was in place. The next writer retries them.
    pub warnings: Vec<Warning>,
}

/// A view that was removed.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct ViewRemoved {
    /// The view, with the state of its path.
    pub view: View,
    /// Whether there was a link or a mirror of ours to remove.
    pub unlinked: bool,
    /// The foreign files in a mirror, which are still there.
    pub strangers: Vec<Vec<u8>>,
}
