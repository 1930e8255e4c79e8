//! The memory of shown and trusted files: `$XDG_STATE_HOME/genstore`, one small file per project.
//!
//! `said/NAME` holds the digest of the commands that were last shown, `allowed/NAME` that of the project's
//! file at `genstore trust`. NAME is the digest of the file's path. Only folders of the caller's own are
//! read and written.

#![allow(clippy::disallowed_methods, reason = "the caller's own state is no part of a store")]

use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use genstore::tree::Digest;

use super::bounded;
use super::owners::Owners;

/// The subject of a remembered file.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Said,
    Allowed,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Kind::Said => "said",
            Kind::Allowed => "allowed",
        }
    }
}

/// The folder, if there is a home directory for it.
pub(super) struct Memory {
    folder: Option<PathBuf>,
}

impl Memory {
    pub(super) fn new(folder: Option<PathBuf>) -> Memory {
        Memory { folder }
    }

    pub(super) fn is_there(&self) -> bool {
        self.folder.is_some()
    }

    fn place(&self, kind: Kind, project: &Path) -> io::Result<PathBuf> {
        let none = || io::Error::other("neither XDG_STATE_HOME nor HOME is set");
        let folder = self.folder.as_ref().ok_or_else(none)?.join(kind.folder());
        Ok(folder.join(Digest::of(project.as_os_str().as_bytes()).to_string()))
    }

    /// Returns whether this digest was remembered for a project.
    pub(super) fn knows(&self, kind: Kind, project: &Path, digest: &str, owners: &Owners) -> bool {
        let read = self.place(kind, project).and_then(|place| bounded::read(&place, owners));
        // A file that cannot be read, or that others may have written, does not count.
        read.is_ok_and(|read| {
            read.concern.is_none() && read.bytes.strip_suffix(b"\n") == Some(digest.as_bytes())
        })
    }

    /// Remembers a digest, replacing an earlier one.
    pub(super) fn remember(
        &self,
        kind: Kind,
        project: &Path,
        digest: &str,
        owners: &Owners,
    ) -> io::Result<()> {
        let place = self.place(kind, project)?;
        let folder = place.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if let Some(concern) = bounded::walk(folder, owners)?.1 {
            return Err(io::Error::other(concern.text()));
        }
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{digest}")?;
        file.persist(&place)?;
        Ok(())
    }

    /// Forgets a digest. Returns whether there was one.
    pub(super) fn forget(&self, kind: Kind, project: &Path) -> io::Result<bool> {
        match fs::remove_file(self.place(kind, project)?) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
