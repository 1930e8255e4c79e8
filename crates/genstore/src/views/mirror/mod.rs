//! Mirrors: views that are directories of real files.
//!
//! An update, under the commit lock:
//! 1. The mirror is compared with the current generation (`compare`). If nothing differs, the update
//!    ends.
//! 2. The next inventory is made durable, beside the present one. After an interruption both together
//!    list all entries that are ours.
//! 3. The changes are applied (`apply`) and flushed.
//! 4. One rename makes the next inventory the present one.
//!
//! After an interruption at any point, the next command that writes begins again at 1.

pub(crate) mod apply;
pub(crate) mod compare;
pub(crate) mod earlier;
pub(crate) mod plan;
pub(crate) mod target;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::error::Result;
use crate::fs::Dir;
use crate::fs::errno::{is_absence, is_not_empty};
use crate::model::digest::Digest;
use crate::model::inventory::{Inventory, Shows};
use crate::model::tree::builder::TreeBuilder;
use crate::model::tree::{Entry, FileNode, Node};
use crate::model::view::ViewKind;
use crate::model::{patch, relpath, shared};
use crate::parts::current::Current;
use crate::parts::generations::Generations;
use crate::parts::layout::StoreDir;
use crate::parts::locks::CommitLock;
use crate::parts::places::Places;
use crate::parts::records::Records;
use crate::parts::view_records::{PendingView, ViewRecord, ViewRecords, follow, relative};
use crate::views::mirror::apply::Hand;
use crate::views::mirror::compare::MirrorComparison;
use crate::views::mirror::earlier::Earlier;
use crate::views::mirror::plan::Found;
use crate::views::mirror::target::MirrorTarget;
use crate::views::place::{self, ViewLocation};

/// The results of an update.
#[derive(Default, Debug)]
pub(crate) struct MirrorDelta {
    /// Foreign entries, which were left alone.
    pub(crate) strangers: Vec<Vec<u8>>,
    /// Entries that had been removed, and were restored.
    pub(crate) put_back: Vec<Vec<u8>>,
}

/// A mirror's directory, and its recorded entries.
struct MirrorState {
    root: Dir,
    root_inode: u64,
    now: Option<Inventory>,
    /// The next inventory of an interrupted update.
    next: Option<Inventory>,
}

impl MirrorState {
    fn look<'a>(&'a self, wanted: &'a MirrorTarget) -> MirrorComparison<'a> {
        let inventories = self.now.iter().chain(&self.next).collect();
        MirrorComparison { root: &self.root, root_inode: self.root_inode, inventories, wanted }
    }
}

fn what_is_there(
    store: &StoreDir,
    record: &ViewRecord,
    (parent, name): (&Dir, &[u8]),
) -> Result<MirrorState> {
    let key = record.key();
    let (now, next) =
        (ViewRecords::of(store).inventory(&key)?, ViewRecords::of(store).next_inventory(&key)?);
    let root = parent.staying()?.open_dir(name)?;
    Ok(MirrorState { root_inode: root.stat_self()?.ino, root, now, next })
}

/// Updates an existing mirror to the current generation.
pub(crate) fn update_mirror(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Result<MirrorDelta> {
    let there = what_is_there(store, record, (place.parent()?, place.name()))?;
    if there.next.is_some() {
        store.fs.remove_all(place.parent()?, &spare_name(store, record))?;
    }
    let wanted = wanted(store, record)?;
    let look = there.look(&wanted);
    let mut found = look.take()?;
    let mut strangers = std::mem::take(&mut found.strangers);
    if found.work.len() > 0 || there.now.as_ref() != Some(&found.next) || there.next.is_some() {
        strangers.extend(do_work(store, lock, record, place, &look, &mut found)?);
        // For paths hidden by a mount, the last inventory stays valid.
        if !found.hidden {
            ViewRecords::of(store).promote_inventory(lock, &record.key())?;
        }
    }
    Ok(MirrorDelta { strangers: strangers.into_iter().collect(), put_back: found.gone })
}

/// Does steps 2 and 3. Returns the entries that turned out to be foreign.
fn do_work(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
    look: &MirrorComparison<'_>,
    found: &mut Found,
) -> Result<BTreeSet<Vec<u8>>> {
    let spare = spare_name(store, record);
    let fs = store.fs.within(look.root)?;
    let mut unlinkable = BTreeSet::new();
    loop {
        ViewRecords::of(store).write_next_inventory(lock, &record.key(), &found.next)?;
        let beside = (place.parent()?, spare.as_slice());
        let hand = Hand { fs: &fs, look, beside, unlinkable: &unlinkable };
        let done = hand.work(&found.work)?;
        if done.unlinkable.is_subset(&unlinkable) {
            return Ok(done.strangers);
        }
        // A copy is recognised by other values than a link, so the inventory is changed before the copy
        // is made.
        unlinkable.extend(done.unlinkable);
        let paths = unlinkable.iter().map(|index| look.wanted.tree.path(*index));
        for index in paths.filter_map(|path| found.next.tree.index_of(path)) {
            if let Some(rank) = found.next.tree.file_rank(index) {
                found.next.inodes[rank] = 0;
            }
        }
        found.work = std::mem::take(&mut found.work).only(&unlinkable);
    }
}

/// Creates a new mirror under its temporary name.
pub(crate) fn build_mirror(
    store: &StoreDir,
    lock: &CommitLock,
    pending: &mut PendingView,
    place: &ViewLocation,
) -> Result<()> {
    let parent = place.parent()?;
    store.fs.within(parent)?.make_dir(parent, &pending.temp.0)?;
    let root = parent.staying()?.open_dir(&pending.temp.0)?;
    if store.is_private()? {
        // Its files are the store's own inodes, or copies of them.
        store.fs.set_own_mode(&root, 0o700)?;
    }
    let there = MirrorState { root_inode: root.stat_self()?.ino, root, now: None, next: None };
    pending.root = Some(there.root_inode);
    ViewRecords::of(store).write_pending(lock, pending)?;
    let wanted = wanted(store, &pending.view)?;
    let look = there.look(&wanted);
    let mut found = look.take()?;
    do_work(store, lock, &pending.view, place, &look, &mut found).map(drop)
}

/// Checks an existing mirror and changes nothing. Returns whether it is out of date, and the foreign
/// entries.
pub(crate) fn look_at_mirror(
    store: &StoreDir,
    record: &ViewRecord,
    place: &ViewLocation,
) -> Result<(bool, Vec<Vec<u8>>)> {
    let there = what_is_there(store, record, (place.parent()?, place.name()))?;
    let found = there.look(&wanted(store, record)?).take()?;
    Ok((found.work.len() > 0, found.strangers.into_iter().collect()))
}

/// Updates mirrors whose last update was interrupted or skipped. Failures are reported by the check
/// after the next commit.
pub(crate) fn settle_mirrors(store: &StoreDir, lock: &CommitLock) -> Result<()> {
    for key in ViewRecords::of(store).mirrors()? {
        drop(settle_mirror(store, lock, &key));
    }
    Ok(())
}

fn settle_mirror(store: &StoreDir, lock: &CommitLock, key: &[u8]) -> Result<()> {
    let Some(record) = ViewRecords::of(store).read(key)?.filter(|record| record.kind == ViewKind::Mirror)
    else {
        return Ok(());
    };
    let is_current = ViewRecords::of(store).mirror_shows(key)? == Some(ought_to_show(store, &record)?);
    let place = place::place(store, &record)?;
    if is_current || ViewRecords::of(store).read_pending(key)?.is_some() || !place.is_directory()? {
        return Ok(());
    }
    update_mirror(store, lock, &record, &place).map(drop)
}

/// Removes the entries of a mirror from a directory that is not a view any more. Returns the foreign
/// entries, which stay.
pub(crate) fn clear_mirror(
    store: &StoreDir,
    lock: &CommitLock,
    record: &ViewRecord,
    place: &ViewLocation,
    name: &[u8],
) -> Result<Vec<Vec<u8>>> {
    let (parent, spare) = (place.parent()?, spare_name(store, record));
    let there = what_is_there(store, record, (parent, name))?;
    store.fs.remove_all(parent, &spare)?;
    let wanted = MirrorTarget::nothing(Records::of(store).sequence()?.heals);
    let look = there.look(&wanted);
    let found = look.take()?;
    let hand = Hand { fs: &store.fs, look: &look, beside: (parent, &spare), unlinkable: &BTreeSet::new() };
    let mut strangers = found.strangers;
    strangers.extend(hand.work(&found.work)?.strangers);
    match store.fs.remove_dir(parent, name) {
        Ok(_) => {}
        Err(e) if is_not_empty(&e) => {}
        Err(e) => return Err(e),
    }
    store.fs.sync_dir(parent)?;
    ViewRecords::of(store).forget_inventory(lock, &record.key(), true)?;
    Ok(strangers.into_iter().collect())
}

fn ought_to_show(store: &StoreDir, record: &ViewRecord) -> Result<Shows> {
    let from = record.from().map(<[u8]>::to_vec);
    Ok(Shows { generation: Current::of(store).id()?, from, copies: record.copy })
}

/// Reads the wanted state of a mirror.
fn wanted(store: &StoreDir, record: &ViewRecord) -> Result<MirrorTarget> {
    let shows = ought_to_show(store, record)?;
    let nothing = MirrorTarget { shows, ..MirrorTarget::nothing(Records::of(store).sequence()?.heals) };
    let Some(id) = nothing.shows.generation else { return Ok(nothing) };
    let generation = Generations::of(store).open(id)?;
    let (tree, shown) = (generation.manifest()?.tree, generation.published_mtimes()?);
    let from = record.from().unwrap_or_default();
    let is_below = |path: &&[u8]| *path != from && (from.is_empty() || relpath::is_within(path, from));
    let folders = patch::folders(&tree).into_iter().filter(is_below);
    let mut folders: BTreeSet<_> = folders.map(|path| relpath::after(path, from.len()).to_vec()).collect();
    let earlier = match record.keep_removed() {
        Some(keep) => Earlier::find(store, keep, (id, &tree), from)?,
        None => Earlier::default(),
    };
    let mut builder = TreeBuilder::default();
    let mut removed = earlier.files.iter().peekable();
    for entry in tree.below(from).filter(|entry| entry.path != from) {
        let path = relpath::after(entry.path, from.len());
        while let Some((path, file)) =
            removed.next_if(|(removed, _)| relpath::compare(removed, path).is_lt())
        {
            builder.append(Entry { path, node: Node::File(*file) });
        }
        let place;
        let node = match entry.node {
            Node::Symlink(target) if shared::is_link(entry.path, target) => {
                place = link_from(store, record, path, entry.path)?;
                Node::Symlink(&place)
            }
            Node::File(file) => Node::File(FileNode { mtime: shown.mtime(entry.path, &file), ..file }),
            Node::EmptyDir => continue,
            node => node,
        };
        builder.append(Entry { path, node });
    }
    for (path, file) in removed {
        builder.append(Entry { path, node: Node::File(*file) });
    }
    let source = match generation.tree_dir()?.open_dir(from) {
        Ok(dir) => Some((generation, dir)),
        // There is no such path, or it is a file.
        Err(e) if is_absence(&e) && folders.is_empty() => None,
        Err(e) => return Err(e),
    };
    folders.extend(earlier.folders.iter().cloned());
    Ok(MirrorTarget { tree: builder.finish(), folders, source, earlier, ..nothing })
}

/// Returns the target of a shared path's link in a mirror: from its folder to the link in the store.
fn link_from(store: &StoreDir, record: &ViewRecord, path: &[u8], shared: &[u8]) -> Result<Vec<u8>> {
    let mirror = follow(&place::real_path(store)?, &record.path.0);
    let folder = mirror.join(OsStr::from_bytes(relpath::split(path).0));
    Ok(relative(&folder, &Places::of(store).link_of(shared)?))
}

/// Returns the name of the directory beside a mirror in which files are prepared. No other store uses
/// it.
pub(crate) fn spare_name(store: &StoreDir, record: &ViewRecord) -> Vec<u8> {
    name_beside(store, record, ".genstore-mirror-")
}

/// Returns a name beside a view that no other store uses. It is derived from the path from the store to
/// the view, and from one directory this path leads back to only one store. It is the same after a
/// reboot, when devices have other numbers.
pub(crate) fn name_beside(_store: &StoreDir, record: &ViewRecord, prefix: &str) -> Vec<u8> {
    format!("{prefix}{}", Digest::of(&record.path.0).short()).into_bytes()
}
