//! Taking content out: one file's bytes, or a plain private copy of a tree. Floor 3.

use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Damaged, Error, RefusedKind, Result};
use crate::fs::copy::CHUNK;
use crate::fs::dir::open_parent;
use crate::fs::folders::Folders;
use crate::fs::{Dir, Fs};
use crate::model::digest::Digest;
use crate::model::ids::GenerationId;
use crate::model::relpath;
use crate::model::tree::{FileNode, Node};
use crate::parts::generations::Generation;
use crate::parts::layout::StoreDir;
use crate::parts::objects;
use crate::progress::Phase;
use crate::threads::prelude::*;
use crate::views::place;

impl Generation {
    /// Writes the bytes of one file to `out`.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the bytes turn out to be wrong; they are written by then.
    pub fn cat(&self, path: &[u8], out: &mut dyn Write) -> Result<()> {
        let tree = self.manifest()?.tree;
        let file = match tree.find(path) {
            Some(Node::File(file)) => file,
            Some(_) => return Err(refuse(path, "is not a file")),
            None if tree.below(path).next().is_some() => {
                return Err(refuse(path, "is a directory"));
            }
            None => return Err(refuse(path, "is not in this generation")),
        };
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
        check(self.id(), path, file, hasher.finalize().into())
    }
}

fn refuse(path: &[u8], why: &str) -> Error {
    Error::refused(RefusedKind::NoSuchFile, format!("{} {why}", relpath::show(path)))
}

fn check(id: GenerationId, path: &[u8], file: FileNode, found: Digest) -> Result<()> {
    if found == file.digest {
        return Ok(());
    }
    Err(Error::Damaged {
        what: Damaged::Object(file.object()),
        cause: "its hash differs".to_owned(),
        uses: vec![(id, path.to_vec())],
    })
}

/// Copies a generation's tree to `to`, which must be absent or empty, and no part of the store or a view. No inode is shared, files
/// may be written by their owner, and mtimes are as shown. The copy appears whole or not at all.
pub(crate) fn export(store: &StoreDir, generation: &Generation, to: &Path) -> Result<(u64, u64)> {
    let name = to
        .file_name()
        .ok_or_else(|| Error::refused(RefusedKind::BadTarget, "the target needs a name of its own"))?;
    let name = std::os::unix::ffi::OsStrExt::as_bytes(name);
    place::check_target(store, to)?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => Dir::open(parent)?,
        _ => Dir::open(Path::new("."))?,
    };
    let is_there = match parent.stat(name)? {
        None => false,
        Some(_) if parent.open_dir(name)?.list()?.is_empty() => true,
        Some(_) => {
            return Err(Error::NotEmpty { path: to.to_owned() });
        }
    };
    let fs = store.fs.within(&parent)?.shared_with(None);
    let (temp, ()) =
        fs.unique(&parent, ".genstore-export-", "", |temp| fs.make_dir(&parent, temp).map(drop))?;
    let done = copy_out(store, &fs, generation, &parent.open_dir(&temp)?.staying()?).and_then(|counts| {
        if is_there {
            store.fs.remove_dir(&parent, name)?;
        }
        store.fs.rename_to_free((&parent, &temp), (&parent, name))?;
        Ok(counts)
    });
    if done.is_err() {
        store.fs.remove_all(&parent, &temp)?;
    }
    done
}

fn copy_out(store: &StoreDir, fs: &Fs, generation: &Generation, target: &Dir) -> Result<(u64, u64)> {
    let (tree, shown) = (generation.manifest()?.tree, generation.shown()?);
    let source = generation.tree_dir()?;
    let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
    store.options.progress.begin(Phase::Export, Some(tree.len() as u64));
    let members: Vec<(&[u8], &[u32])> = folders.iter().collect();
    members.into_par_iter().filter(|(_, members)| !members.is_empty()).try_for_each(
        |(folder, members)| -> Result<()> {
            let to = folders.make(fs, target, members[0])?;
            let from = source.open_dir(folder)?;
            for &entry in members {
                let entry = tree.get(entry as usize);
                let name = relpath::split(entry.path).1;
                match entry.node {
                    Node::Symlink(link) => fs.symlink(link, &to, name)?,
                    Node::EmptyDir => drop(fs.make_dir(&to, name)?),
                    Node::File(file) => {
                        let copy = fs.create(&to, name)?;
                        let path = to.join(name);
                        fs.copy(&from.open_file(name)?, &copy, &path)?;
                        let bytes = to.open_file(name)?;
                        check(generation.id(), entry.path, file, objects::hash(&bytes, &path)?.0)?;
                        fs.set_mode(&copy, &path, if file.executable { 0o755 } else { 0o644 })?;
                        fs.set_mtime(&copy, &path, shown.mtime(entry.path, &file))?;
                    }
                }
            }
            store.options.progress.advance(members.len() as u64);
            Ok(())
        },
    )?;
    Ok((tree.files(), tree.bytes()))
}
