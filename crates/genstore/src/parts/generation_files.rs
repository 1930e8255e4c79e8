//! The files of a generation: `generations/<id>/tree/`, read and checked.

use std::io::{Read, Write};

use crate::error::{Damaged, Error, ObjectUse, RefusedKind, Result};
use crate::fs::copy::CHUNK;
use crate::fs::dir::open_parent;
use crate::model::digest::Digest;
use crate::model::relpath;
use crate::model::tree::{FileNode, Node};
use crate::parts::generations::Generation;
use crate::parts::layout::BUILD_LOG;

impl Generation {
    /// Writes the bytes of one file to `out`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the bytes are wrong. They have been written by then.
    pub fn cat(&self, path: &[u8], out: &mut dyn Write) -> Result<()> {
        let refuse =
            |why| Error::refused(RefusedKind::NoSuchFile, format!("{} {why}", relpath::show(path)));
        let tree = self.manifest()?.tree;
        let file = match tree.find(path) {
            Some(Node::File(file)) => file,
            Some(_) => return Err(refuse("is not a file")),
            None if tree.below(path).next().is_some() => return Err(refuse("is a directory")),
            None => return Err(refuse("is not in this generation")),
        };
        self.copy_file(path, file, out)
    }

    /// Opens the log of the build that made it: text, with what the build printed. Returns `None` if no build of
    /// this program made it.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn build_log(&self) -> Result<Option<std::fs::File>> {
        match self.dir().open_file(BUILD_LOG) {
            Err(error) if error.is_not_found() => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Writes the bytes of a file of its manifest to `out`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the bytes are wrong. They have been written by then.
    pub fn copy_file(&self, path: &[u8], file: FileNode, out: &mut dyn Write) -> Result<()> {
        let (dir, name) = open_parent(&self.tree_dir()?, path)?;
        let mut source = dir.open_file(name)?;
        let mut hasher = blake3::Hasher::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = source.read(&mut chunk).map_err(|e| Error::io("read", dir.join(name), e))?;
            if read == 0 {
                break;
            }
            hasher.update(&chunk[..read]);
            out.write_all(&chunk[..read]).map_err(|e| Error::io("write to", "the output", e))?;
        }
        self.check_file(path, file, hasher.finalize().into())
    }

    /// Checks the digest of the bytes that were found at `path`.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(crate) fn check_file(&self, path: &[u8], file: FileNode, found: Digest) -> Result<()> {
        if found == file.digest {
            return Ok(());
        }
        Err(Error::Damaged {
            what: Damaged::Object(file.object()),
            cause: "its hash differs".to_owned(),
            uses: vec![ObjectUse::new(self.id(), path)],
        })
    }
}
