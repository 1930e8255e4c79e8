//! Export: a plain private copy of a generation's tree.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, RefusedKind, Result};
use crate::fs::folders::Folders;
use crate::fs::{Dir, Fs, Kind, Stat};
use crate::model::shared::SharedKind;
use crate::model::tree::Node;
use crate::model::{relpath, shared};
use crate::parts::generations::Generation;
use crate::parts::layout::StoreDir;
use crate::parts::objects;
use crate::parts::places::{Place, Places};
use crate::parts::view_records::relative;
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

/// The entries of an export at shared paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum SharedExport {
    /// A relative symlink to the place.
    #[default]
    Link,
    /// A copy of what is at the place now.
    Copy,
    /// Nothing.
    Leave,
}

/// Copies a generation's tree to `to`, which must be absent or empty, and outside the store and all
/// views. No inode is shared, files are writable by their owner, and mtimes are the published ones. The
/// copy appears atomically.
pub(crate) fn export(
    store: &StoreDir,
    generation: &Generation,
    to: &Path,
    shared: SharedExport,
) -> Result<Exported> {
    let name = to
        .file_name()
        .ok_or_else(|| Error::refused(RefusedKind::BadTarget, "the target needs a name of its own"))?;
    let name = name.as_bytes();
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
    let target = Target { dir: parent.open_dir(&temp)?.staying()?, to, shared };
    let done = copy_out(store, &fs, generation, &target).and_then(|counts| {
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

/// The new directory.
struct Target<'a> {
    /// Under its temporary name.
    dir: Dir,
    /// Its final path.
    to: &'a Path,
    shared: SharedExport,
}

impl Target<'_> {
    /// Creates the entry of a shared path in its folder.
    fn share(&self, store: &StoreDir, fs: &Fs, path: &[u8], to: &Dir) -> Result<()> {
        if self.shared == SharedExport::Leave {
            return Ok(());
        }
        let place = Places::of(store).find(path)?.ok_or_else(|| {
            let why = format!("the store has no place for the shared path {}", relpath::show(path));
            Error::refused(RefusedKind::SharedUnknown, why)
        })?;
        let name = relpath::split(path).1;
        if self.shared == SharedExport::Copy {
            return copy_place(fs, &place, to, name);
        }
        let parent = self.to.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let parent = std::fs::canonicalize(parent).map_err(|e| Error::io("find", parent, e))?;
        let top = parent.join(self.to.file_name().unwrap_or_default());
        let folder = top.join(OsStr::from_bytes(relpath::split(path).0));
        fs.symlink(&relative(&folder, &place.at), to, name)
    }
}

/// Copies what is at the place of a shared path. Symlinks in it are copied as they are; sockets, FIFOs and devices
/// are left out.
fn copy_place(fs: &Fs, place: &Place, to: &Dir, name: &[u8]) -> Result<()> {
    let copy = |from: &File, to: &Dir, name: &[u8]| -> Result<()> {
        let (file, path) = (fs.create(to, name)?, to.join(name));
        let stat = Stat::of(from, &path)?;
        fs.copy(from, &file, &path)?;
        fs.set_mode(&file, &path, if stat.mode & 0o100 != 0 { 0o755 } else { 0o644 })?;
        fs.set_mtime(&file, &path, stat.mtime).map(drop)
    };
    if place.kind == SharedKind::File {
        let from = File::open(&place.at).map_err(|e| Error::io("open", &place.at, e))?;
        return copy(&from, to, name);
    }
    fs.make_dir(to, name)?;
    let mut todo = vec![(Dir::open(&place.at)?, to.open_dir(name)?)];
    while let Some((from, to)) = todo.pop() {
        for (name, kind) in from.list()? {
            match kind {
                Kind::File => copy(&from.open_file(&name)?, &to, &name)?,
                Kind::Dir => {
                    fs.make_dir(&to, &name)?;
                    todo.push((from.open_dir(&name)?, to.open_dir(&name)?));
                }
                Kind::Symlink => {
                    let target = from.read_link(&name)?.unwrap_or_default();
                    fs.symlink(&target, &to, &name)?;
                }
                Kind::Other => {}
            }
        }
    }
    Ok(())
}

fn copy_out(store: &StoreDir, fs: &Fs, generation: &Generation, target: &Target<'_>) -> Result<Exported> {
    let (tree, shown) = (generation.manifest()?.tree, generation.published_mtimes()?);
    let source = generation.tree_dir()?;
    let folders = Folders::of((0..tree.len()).map(|index| tree.path(index)));
    store.options.progress.begin(Phase::Export, Some(tree.len() as u64));
    let members: Vec<(&[u8], &[u32])> = folders.iter().collect();
    members.into_par_iter().filter(|(_, members)| !members.is_empty()).try_for_each(
        |(folder, members)| -> Result<()> {
            let to = folders.make(fs, &target.dir, members[0])?;
            let from = source.open_dir(folder)?;
            for &entry in members {
                let entry = tree.get(entry as usize);
                let name = relpath::split(entry.path).1;
                match entry.node {
                    Node::Symlink(link) if shared::is_link(entry.path, link) => {
                        target.share(store, fs, entry.path, &to)?
                    }
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
