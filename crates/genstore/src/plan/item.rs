//! The entries of a plan, and the sources of their bytes.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::fs::Dir;
use crate::model::ids::GenerationId;
use crate::model::relpath;
use crate::model::tree::FileNode;
use crate::plan::kept::Kept;

/// The source of a file's bytes.
#[non_exhaustive]
pub enum Source {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// A file on disk. It is copied, never linked.
    File(PathBuf),
    /// A stream, read once, while the plan is staged.
    Reader(Box<dyn Read + Send>),
    /// Bytes that a stage has already taken in: see [`crate::publish::Stage::spool`].
    Spooled(Spooled),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Source::File(path) => write!(f, "File({})", path.display()),
            Source::Reader(_) => f.write_str("Reader"),
            Source::Spooled(spooled) => {
                write!(f, "Spooled({})", spooled.dir.join(&spooled.name).display())
            }
        }
    }
}

/// Bytes of a stream that a stage has taken in. They are moved into the store with it. A clone refers
/// to the same bytes, at another path.
#[derive(Clone, Debug)]
pub struct Spooled {
    pub(crate) dir: Arc<Dir>,
    pub(crate) name: Vec<u8>,
}

/// The symlinks that a plan may contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Symlinks {
    /// Relative links that stay inside the tree, also through other links on the way.
    #[default]
    Inside,
    /// All links, unchanged.
    Any,
}

/// An entry that was added to a plan, with the start and end of its path among all paths.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) what: What,
}

pub(crate) enum What {
    File { source: ItemSource, executable: bool },
    Symlink(Box<[u8]>),
    Dir,
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::File { .. } => "file",
            What::Symlink(_) => "symlink",
            What::Dir => "directory",
        })
    }
}

pub(crate) enum ItemSource {
    /// Below a scanned directory, at the item's path without the root's prefix. The executable bit is
    /// read from the file when it is opened.
    Scanned(Arc<ScannedRoot>),
    /// A single source. There are few of these, so they may be large.
    Given(Box<Given>),
    /// An entry of a generation, by its index. Its bytes are not read.
    Kept(Arc<Kept>, u32),
}

/// A source that was added by itself.
pub(crate) enum Given {
    /// A file that is a root. It is treated like a scanned file.
    Root(PathBuf),
    File(PathBuf),
    Spooled(Spooled),
    Bytes(Vec<u8>),
    /// An object of the store.
    Stored(FileNode),
    /// Taken when it is read.
    Reader(Mutex<Option<Box<dyn Read + Send>>>),
}

/// A directory that was scanned into a plan.
#[derive(Clone, Debug)]
pub(crate) struct ScannedRoot {
    pub(crate) dir: Arc<Dir>,
    /// The path of its entries in the plan; empty at the top.
    pub(crate) prefix: Vec<u8>,
    /// Whether it is a stage's own directory: its files are moved in, and are removed with the stage.
    pub(crate) ours: bool,
    /// The generation whose index describes its files, if they are unchanged.
    pub(crate) indexed_by: Option<GenerationId>,
}

impl ScannedRoot {
    /// Creates one whose entries are at the top of the plan.
    pub(crate) fn of(dir: Dir) -> ScannedRoot {
        ScannedRoot { dir: Arc::new(dir), prefix: vec![], ours: false, indexed_by: None }
    }

    /// Returns the part of a plan's path below the directory.
    pub(crate) fn below<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        relpath::after(path, self.prefix.len())
    }
}
