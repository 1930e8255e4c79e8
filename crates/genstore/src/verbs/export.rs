//! Export: a plain private copy of a generation's tree.

use std::path::Path;

use crate::error::{Error, RefusedKind, Result};
use crate::fs::folders::Folders;
use crate::fs::{Dir, Fs};
use crate::model::relpath;
use crate::model::tree::Node;
use crate::parts::generations::Generation;
use crate::parts::layout::StoreDir;
use crate::parts::objects;
use crate::progress::Phase;
use crate::threads::prelude::*;
use crate::views::place;

/// The result of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Exported {
    /// The number of files.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

/// Copies a generation's tree to `to`, which must be absent or empty, and outside the store and all
/// views. No inode is shared, files are writable by their owner, and mtimes are the published ones. The
/// copy appears atomically.
pub(crate) fn export(store: &StoreDir, generation: &Generation, to: &Path) -> Result<Exported> {
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

fn copy_out(store: &StoreDir, fs: &Fs, generation: &Generation, target: &Dir) -> Result<Exported> {
    let (tree, shown) = (generation.manifest()?.tree, generation.published_mtimes()?);
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
                        generation.check_file(entry.path, file, objects::hash(&bytes, &path)?.0)?;
                        fs.set_mode(&copy, &path, if file.executable { 0o755 } else { 0o644 })?;
                        fs.set_mtime(&copy, &path, shown.mtime(entry.path, &file))?;
                    }
                }
            }
            store.options.progress.advance(members.len() as u64);
            Ok(())
        },
    )?;
    Ok(Exported { files: tree.files(), bytes: tree.bytes() })
}
