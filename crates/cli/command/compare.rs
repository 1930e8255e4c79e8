//! The two sides of a comparison: a generation, a directory, or nothing.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use genstore::error::{Damaged, ObjectUse};
use genstore::plan::ScanRules;
use genstore::tree::{Digest, Entry, FileNode, Node, Tree};
use genstore::{Error, Generation, Plan, Rev, Store};
use rustix::fs::{Mode, OFlags};

use crate::render::patch::Content;
use crate::text::escape::show;

/// Larger files are not compared line by line.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// One side.
pub(crate) struct Side {
    pub(crate) tree: Tree,
    place: Place,
}

enum Place {
    Nothing,
    Generation(Generation),
    Directory(PathBuf),
}

impl Side {
    /// The side before anything was published.
    pub(crate) fn nothing() -> Side {
        Side { tree: Tree::empty(), place: Place::Nothing }
    }

    pub(crate) fn generation(store: &Store, rev: &Rev) -> Result<Side> {
        let generation = store.open_generation(rev)?;
        Ok(Side { tree: generation.manifest()?.tree, place: Place::Generation(generation) })
    }

    /// A directory, in the form in which it would be published.
    pub(crate) fn directory(store: &Store, dir: &Path, rules: &ScanRules) -> Result<Side> {
        let tree = store.preview(&Plan::scan(dir, rules)?)?;
        Ok(Side { tree, place: Place::Directory(dir.to_owned()) })
    }

    /// Returns the generation's number, if the side is a generation.
    pub(crate) fn number(&self) -> Option<genstore::GenerationId> {
        match &self.place {
            Place::Generation(generation) => Some(generation.id()),
            _ => None,
        }
    }

    /// Returns the path, if the side is a directory.
    pub(crate) fn dir(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(dir) => Some(dir),
            _ => None,
        }
    }

    /// Returns the name of the side for a headline.
    pub(crate) fn title(&self) -> String {
        match &self.place {
            Place::Nothing => "nothing".to_owned(),
            Place::Generation(generation) => format!("{} {}", generation.id(), self.tree.id().short()),
            Place::Directory(dir) => show(dir),
        }
    }

    /// Reads the content of an entry of this side.
    pub(crate) fn content(&self, entry: Option<Entry<'_>>) -> Result<Content> {
        Ok(match entry.map(|entry| (entry.path, entry.node)) {
            None | Some((_, Node::EmptyDir)) => Content::Absent,
            Some((_, Node::Symlink(target))) => Content::Bytes(target.to_vec()),
            Some((_, Node::File(file))) if file.size > MAX_TEXT_BYTES => Content::TooLarge,
            Some((path, Node::File(file))) => Content::Bytes(self.read(path, file)?),
        })
    }

    /// Reads a file, and checks that it is the one that was compared.
    fn read(&self, path: &[u8], file: FileNode) -> Result<Vec<u8>> {
        let below = |dir: &Path| dir.join(std::ffi::OsStr::from_bytes(path));
        match &self.place {
            Place::Nothing => Ok(vec![]),
            Place::Generation(generation) => {
                let place = below(&generation.path());
                let bytes = match read_file(&place) {
                    // The path is longer than the system allows: the library opens it folder by folder.
                    Err(e) if is_too_long(&e) => {
                        let mut bytes = Vec::new();
                        generation.cat(path, &mut bytes)?;
                        return Ok(bytes);
                    }
                    done => done.map_err(|source| Error::Io { op: "read", path: place, source })?,
                };
                if Digest::of(&bytes) == file.digest {
                    return Ok(bytes);
                }
                let cause = "its hash differs".to_owned();
                let uses = vec![ObjectUse::new(generation.id(), path)];
                Err(Error::Damaged { what: Damaged::Object(file.object()), cause, uses }.into())
            }
            Place::Directory(dir) => {
                let path = below(dir);
                let bytes = read_file(&path).map_err(|source| Error::Io {
                    op: "read",
                    path: path.clone(),
                    source,
                })?;
                if Digest::of(&bytes) == file.digest {
                    return Ok(bytes);
                }
                Err(Error::SourceChanged { path }.into())
            }
        }
    }
}

fn is_too_long(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidFilename
}

/// Opens a file without following a symlink and without blocking on a FIFO, because the file may have been
/// replaced since the comparison.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no longer a file"));
    }
    let mut bytes = Vec::new();
    // One more byte shows that the file grew; the digest then differs.
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
