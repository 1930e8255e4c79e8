//! The places of shared paths, outside the store: checked, made if they are missing, and recorded.
//!
//! The content of a place is never opened, changed or removed. A place that is missing is prepared whole in a stage of
//! the store (on another filesystem: beside the place), flushed, and renamed to its name, which must be free. So
//! a place appears complete or not at all, and what a killed command had prepared is removed with its stage.
//!
//! Places and missing links are made before `current` moves: readers never see a link that leads nowhere. The link
//! of a place that moved is replaced after it, so a commit that fails changes nothing.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::copy::CHUNK;
use crate::fs::dir::open_parent;
use crate::fs::errno::is_errno;
use crate::fs::folders::Folders;
use crate::fs::{Dir, Fs, Kind, Stat};
use crate::model::relpath;
use crate::model::shared::{SharedKind, SharedPath};
use crate::parts::layout::StoreDir;
use crate::parts::locks::CommitLock;
use crate::parts::places::{Place, Places, standing};
use crate::parts::stage_dir::{OwnStage, StageDir};
use crate::plan::item::{Given, ItemSource, What};
use crate::plan::planned::{PlannedShared, Seed};
use crate::threads::lock;
use crate::views::{parents, place};
use crate::warning::Warning;

/// The name of a place in the stage in which it is prepared.
const PREPARED: &[u8] = b"place";

/// Checks that the places can be used. Changes nothing.
///
/// # Errors
/// Codes `shared-place`, `target-in-store` and `target-in-view`.
pub(crate) fn check(store: &StoreDir, shared: &PlannedShared) -> Result<()> {
    shared.paths.iter().try_for_each(|one| check_one(store, one).map(drop))
}

/// Checks one place. Returns what is there.
fn check_one(store: &StoreDir, one: &SharedPath) -> Result<Option<SharedKind>> {
    let refuse =
        |kind, why: String| Err(Error::refused(kind, format!("the shared path {}: {why}", one.path)));
    let shown = show_path(&one.at);
    if one.at.file_name().is_none() {
        return refuse(RefusedKind::SharedPlace, format!("{shown} does not end with a name"));
    }
    let found = match standing(&one.at) {
        Err(e) if e.is_not_found() => {
            return refuse(RefusedKind::SharedPlace, format!("{shown} is a symlink that leads to nothing"));
        }
        found => found?,
    };
    if let Some(found) = found.filter(|found| *found != one.kind) {
        return refuse(RefusedKind::SharedPlace, format!("{shown} is a {found}, not a {}", one.kind));
    }
    if found.is_some() && is_recorded(store, one)? {
        // It was checked when it was recorded.
        return Ok(found);
    }
    // A symlink there may lead into the store.
    let real = std::fs::canonicalize(&one.at).unwrap_or_else(|_| one.at.clone());
    if place::holds_store(store, &real) {
        return refuse(RefusedKind::SharedPlace, format!("{shown} contains the store"));
    }
    for path in [&real, &one.at] {
        match place::check_target(store, path) {
            Err(Error::Refused { kind, why }) => return refuse(kind, why),
            checked => checked?,
        }
    }
    Ok(found)
}

fn is_recorded(store: &StoreDir, one: &SharedPath) -> Result<bool> {
    let Some(recorded) = Places::of(store).find(one.path.as_bytes())? else { return Ok(false) };
    Ok(recorded == place_of(store, one)?)
}

fn place_of(store: &StoreDir, one: &SharedPath) -> Result<Place> {
    Ok(Place { at: place::real_place(store, &one.at)?, kind: one.kind })
}

/// Makes the places that are missing, and records those that have no record.
pub(crate) fn provide(store: &StoreDir, lock: &CommitLock, shared: &PlannedShared) -> Result<()> {
    for one in shared.paths.iter() {
        if check_one(store, one)?.is_none() {
            make(store, lock, one, shared.seeds_of(one))?;
        }
        if Places::of(store).find(one.path.as_bytes())?.is_none() {
            record(store, lock, one)?;
        }
    }
    Ok(())
}

/// Records the places that moved.
pub(crate) fn retarget(store: &StoreDir, lock: &CommitLock, shared: &PlannedShared) -> Result<()> {
    shared.paths.iter().try_for_each(|one| record(store, lock, one))
}

fn record(store: &StoreDir, lock: &CommitLock, one: &SharedPath) -> Result<()> {
    Places::of(store).set(lock, one.path.as_bytes(), &place_of(store, one)?)
}

/// Makes recorded places again that are missing, empty, for generations that show them. A failure is no reason to
/// refuse a rollback.
pub(crate) fn restore(store: &StoreDir, lock: &CommitLock) -> Vec<Warning> {
    let restore_one = |path: Vec<u8>| -> Result<Option<String>> {
        let Some(Place { at, kind }) = Places::of(store).find(&path)? else { return Ok(None) };
        let shown = show_path(&at);
        match standing(&at) {
            Err(e) if e.is_not_found() => {
                return Ok(Some(format!("{shown} is a symlink that leads to nothing")));
            }
            found => {
                if found?.is_some() {
                    return Ok(None);
                }
            }
        }
        let Ok(path) = relpath::RelPath::new(path) else { return Ok(None) };
        make(store, lock, &SharedPath::new(path, at).kind(kind), &[])?;
        Ok(Some(format!("the {kind} {shown} was missing; it was made again, empty")))
    };
    let mut warnings = Vec::new();
    let listed = Places::of(store).list().unwrap_or_else(|error| vec![Err(error)]);
    for path in listed {
        let shown =
            path.as_ref().map_or_else(|_| String::new(), |path| format!(" {}", relpath::show(path)));
        match path.and_then(restore_one) {
            Ok(None) => {}
            Ok(Some(what)) => warnings.push(Warning::new(format!("the shared path{shown}: {what}"))),
            Err(error) => warnings.push(Warning::new(format!(
                "the shared path{shown} may lead to nothing: {}",
                crate::error::chain(&error)
            ))),
        }
    }
    warnings
}

/// Makes a place, with its first content.
fn make(store: &StoreDir, lock: &CommitLock, one: &SharedPath, seeds: &[Seed]) -> Result<()> {
    parents::make_parents(store, lock, &one.at)?;
    let parent = place::open_way(store, one.at.parent().unwrap_or(Path::new("/")))?;
    let name = one.at.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    let fs = store.fs.within(&parent)?.shared_with(None);
    let stage = OwnStage::new(store, StageDir::create(store)?);
    prepare(&fs, (stage.dir(), PREPARED), one, seeds)?;
    let moved = match store.fs.rename_to_free((stage.dir(), PREPARED), (&parent, name)) {
        Err(e) if is_errno(&e, rustix::io::Errno::XDEV) => beside(&fs, (&parent, name), one, seeds),
        moved => moved,
    };
    match moved {
        // Another program made it meanwhile.
        Err(e) if is_errno(&e, rustix::io::Errno::EXIST) => {}
        moved => moved?,
    }
    store.fs.sync_dir(&parent)?;
    stage.remove()
}

/// Makes a place on another filesystem than the store's.
fn beside(fs: &Fs, (parent, name): (&Dir, &[u8]), one: &SharedPath, seeds: &[Seed]) -> Result<()> {
    let (folder, ()) =
        fs.unique(parent, ".genstore-shared-", "", |temp| fs.make_dir(parent, temp).map(drop))?;
    let temp = parent.open_dir(&folder)?;
    let done = prepare(fs, (&temp, PREPARED), one, seeds)
        .and_then(|()| fs.rename_to_free((&temp, PREPARED), (parent, name)));
    fs.remove_all(parent, &folder)?;
    done
}

/// Creates a place under another name, and flushes it.
fn prepare(fs: &Fs, (dir, name): (&Dir, &[u8]), one: &SharedPath, seeds: &[Seed]) -> Result<()> {
    let path = dir.join(name);
    if one.kind == SharedKind::File {
        let file = fs.create(dir, name)?;
        if let Some(Seed { what: What::File { source, .. }, path: of }) = seeds.first() {
            copy_source(fs, source, of, (&file, &path))?;
        }
        fs.set_mode(&file, &path, one.mode.unwrap_or(0o644))?;
        return fs.sync_file(&file, &path);
    }
    fs.make_dir(dir, name)?;
    let top = dir.open_dir(name)?;
    let below = |seed: &Seed| relpath::after(&seed.path, one.path.as_bytes().len()).to_vec();
    let paths: Vec<Vec<u8>> = seeds.iter().map(below).collect();
    let folders = Folders::of(paths.iter().map(Vec::as_slice));
    for (nth, (seed, path)) in seeds.iter().zip(&paths).enumerate() {
        if path.is_empty() {
            continue;
        }
        let to = folders.make(fs, &top, nth as u32)?;
        let name = relpath::split(path).1;
        match &seed.what {
            What::Dir => drop(fs.make_dir(&to, name)?),
            What::Symlink(target) => fs.symlink(target, &to, name)?,
            What::File { source, executable } => {
                let (file, at) = (fs.create(&to, name)?, to.join(name));
                let executable = copy_source(fs, source, &seed.path, (&file, &at))?.unwrap_or(*executable);
                fs.set_mode(&file, &at, if executable { 0o755 } else { 0o644 })?;
            }
        }
    }
    if let Some(mode) = one.mode {
        fs.set_own_mode(&top, mode)?;
    }
    if seeds.is_empty() { fs.sync_dir(&top) } else { fs.sync_filesystem(&top) }
}

/// Copies the bytes of a source. Returns whether its owner may execute it, if it is a file with a mode of its own.
fn copy_source(
    fs: &Fs,
    source: &ItemSource,
    path: &[u8],
    (to, at): (&File, &Path),
) -> Result<Option<bool>> {
    let open = |path: &Path| File::open(path).map_err(|e| Error::io("open", path, e));
    let from = match source {
        ItemSource::Scanned(root) => {
            let (dir, name) = open_parent(&root.dir, root.below(path))?;
            dir.open_file(name)?
        }
        ItemSource::Kept(kept, index) => {
            let tree = kept.generation.tree_dir()?;
            let (dir, name) = open_parent(&tree, kept.tree.path(*index as usize))?;
            dir.open_file(name)?
        }
        ItemSource::Given(given) => match &**given {
            Given::Root(path) | Given::File(path) => open(path)?,
            Given::Spooled(spooled) => spooled.dir.open_file(&spooled.name)?,
            Given::Bytes(bytes) => return fs.write(to, at, bytes).map(|()| None),
            // A generation that was pulled has a link there, and no entries.
            Given::Stored(_) => {
                let why = format!("the first content of the place of {} is an object", relpath::show(path));
                return Err(Error::refused(RefusedKind::ObjectMissing, why));
            }
            Given::Reader(reader) => {
                let taken = lock(reader).take();
                let mut reader = taken.ok_or_else(|| {
                    let why = format!("the source of {} was read before", relpath::show(path));
                    Error::refused(RefusedKind::ReaderUsedUp, why)
                })?;
                let mut chunk = vec![0; CHUNK];
                loop {
                    match reader.read(&mut chunk).map_err(|e| Error::io("read the stream for", at, e))? {
                        0 => return Ok(None),
                        n => fs.write(to, at, &chunk[..n])?,
                    }
                }
            }
        },
    };
    let stat = Stat::of(&from, at)?;
    if stat.kind != Kind::File {
        return Err(Error::SourceChanged { path: at.to_owned() });
    }
    fs.copy(&from, to, at)?;
    let has_mode = matches!(source, ItemSource::Scanned(_))
        || matches!(source, ItemSource::Given(given) if matches!(**given, Given::Root(_)));
    Ok(has_mode.then_some(stat.mode & 0o100 != 0))
}
