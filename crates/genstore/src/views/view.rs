//! What a view is, as callers see it.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::model::relpath::RelPath;
use crate::model::view::{ViewChange, ViewKind};
use crate::warning::Warning;

/// What a view shows, and how it comes to its place.
#[derive(Clone, Debug, Default)]
pub struct ViewOptions {
    /// The part of the tree that it shows; all of it, if there is none.
    pub from: Option<RelPath>,
    /// How it shows it.
    pub kind: ViewKind,
    /// Of a mirror: make private copies, which its readers may write to.
    pub copy: bool,
    /// Take the place of a directory or of somebody else's symlink.
    pub replace: bool,
    /// Make the directories above it that are not there.
    pub parents: bool,
}

/// A view, with what stands at its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Where it is.
    pub path: PathBuf,
    /// How it shows what is current.
    pub kind: ViewKind,
    /// The part of the tree that it shows.
    pub from: Option<RelPath>,
    /// Of a mirror: its files are private copies.
    pub copy: bool,
    /// What its link holds; nothing for a mirror.
    pub target: Vec<u8>,
    /// When it was made.
    pub made: SystemTime,
    /// What stands there.
    pub state: ViewState,
}

/// What stands at a view's path.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ViewState {
    /// The link, and it leads to something; or the mirror of what is current, and nothing else.
    Ok,
    /// The link or the mirror, but what is current has no such path, or nothing is current.
    Dangling,
    /// The mirror, of something else than what is current. The next command that writes mends it.
    Behind,
    /// The mirror of what is current, and these paths in it that are not ours.
    Strangers(Vec<Vec<u8>>),
    /// Nothing.
    Missing,
    /// A symlink that leads elsewhere.
    Elsewhere(Vec<u8>),
    /// A directory.
    Directory,
    /// A file, or whatever else is no directory.
    File,
    /// Not even the directory that it was in.
    NoParent,
    /// A directory on which something is mounted.
    Mounted,
    /// Nothing that counts: the filesystem that it is on is not mounted.
    Unmounted,
}

/// A view that was added.
#[derive(Clone, Debug)]
#[must_use]
pub struct ViewAdded {
    /// The view.
    pub view: View,
    /// What was done.
    pub change: ViewChange,
    /// Where that is now which stood at its path.
    pub kept: Option<PathBuf>,
    /// What went wrong once the view was in place; the next writer takes it up.
    pub warnings: Vec<Warning>,
}

/// A view that was removed.
#[derive(Clone, Debug)]
#[must_use]
pub struct ViewRemoved {
    /// The view, with what stood at its path.
    pub view: View,
    /// Whether there was a link or a mirror of ours to remove.
    pub unlinked: bool,
    /// What was in a mirror, is not ours, and is still there.
    pub strangers: Vec<Vec<u8>>,
}
