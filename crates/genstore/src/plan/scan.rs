//! Scans: makes a plan from a directory.
//!
//! Folders are read level by level, the folders of one level in parallel, and then added in the order
//! of a tree. Each is opened below the source, by handles and through no symlink. So no foreign entry
//! gets in if a folder is replaced by another meanwhile.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags};

use crate::error::{BadSourceReason, Error, Problem, ProblemKind, Result};
use crate::fs::mount::{self, is_mount, mounts_below};
use crate::fs::{Dir, Kind};
use crate::model::ids::GenerationId;
use crate::model::pattern::Patterns;
use crate::model::relpath;
use crate::model::shared::SharedPaths;
use crate::plan::builder::{Plan, PlanBuilder};
use crate::plan::item::{ItemSource, ScannedRoot, Symlinks, What};
use crate::threads::prelude::*;

/// From paths of this length on, folders are opened from a nearer folder than the source. So one call
/// resolves not much more than a path of this length, however deep the folder is.
const NEAR: usize = 3500;

/// The rules of a scan.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ScanRules {
    /// The allowed symlinks.
    pub symlinks: Symlinks,
    /// If set: only files and links that match, or a folder above them does, by path below the directory.
    pub include: Option<Patterns>,
    /// Paths that are left out, with everything below them.
    pub exclude: Option<Patterns>,
    /// The store that is published to, which must not be in the source: see [`crate::Store::identity`].
    pub store: Option<StoreIdentity>,
    /// The shared paths, by path in the whole plan.
    pub shared: SharedPaths,
}

impl ScanRules {
    /// Sets the shared paths: each becomes a link in the tree.
    pub fn shared(mut self, paths: SharedPaths) -> ScanRules {
        self.shared = paths;
        self
    }

    /// Sets the allowed symlinks.
    pub fn symlinks(mut self, symlinks: Symlinks) -> ScanRules {
        self.symlinks = symlinks;
        self
    }

    /// Leaves out files and links that do not match.
    pub fn include(mut self, patterns: Patterns) -> ScanRules {
        self.include = Some(patterns);
        self
    }

    /// Leaves out the paths that match, with everything below them.
    pub fn exclude(mut self, patterns: Patterns) -> ScanRules {
        self.exclude = Some(patterns);
        self
    }

    /// Refuses a source that holds this store: see [`crate::Store::identity`].
    pub fn store(mut self, store: StoreIdentity) -> ScanRules {
        self.store = Some(store);
        self
    }
}

/// Device and inode of a store's directory, by which it is recognised under any path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreIdentity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl Plan {
    /// Makes a plan from all entries of `dir`.
    ///
    /// # Errors
    /// [`Error::BadSource`] for the directory itself, [`Error::BadPlan`] for its entries.
    pub fn scan(dir: &Path, rules: &ScanRules) -> Result<Plan> {
        let mut builder = Plan::builder().rules(rules);
        builder.scan(b"", dir, rules)?;
        builder.build()
    }
}

impl PlanBuilder {
    /// Sets which symlinks may be in the plan, and its shared paths, as these rules do.
    pub fn rules(self, rules: &ScanRules) -> PlanBuilder {
        self.symlinks(rules.symlinks).shared(&rules.shared)
    }

    /// Adds all entries of `dir`, below `prefix`.
    ///
    /// # Errors
    /// [`Error::BadSource`]. Problems of its entries are reported by [`PlanBuilder::build`].
    pub fn scan(&mut self, prefix: &[u8], dir: &Path, rules: &ScanRules) -> Result<()> {
        scan(self, prefix, dir, rules)
    }

    /// Adds all entries of a stage's own directory, below `prefix`.
    pub(crate) fn scan_ours(&mut self, prefix: &[u8], dir: &Dir, rules: &ScanRules) -> Result<()> {
        scan_ours(self, prefix, dir, rules)
    }
}

fn scan(plan: &mut PlanBuilder, prefix: &[u8], dir: &Path, rules: &ScanRules) -> Result<()> {
    let (real, meta) = find_source(dir, rules.store)?;
    if !meta.is_dir() {
        return Err(Error::BadSource { path: dir.to_owned(), reason: BadSourceReason::NotADirectory });
    }
    scan_real(plan, prefix, dir, real, rules)
}

/// Scans a directory whose real path is known.
pub(crate) fn scan_real(
    plan: &mut PlanBuilder,
    prefix: &[u8],
    dir: &Path,
    real: PathBuf,
    rules: &ScanRules,
) -> Result<()> {
    plan.roots.came_from(prefix, &real);
    let root = ScannedRoot { prefix: prefix.to_vec(), ..ScannedRoot::of(Dir::open(&real)?) };
    walk(plan, dir, root, rules, &RememberedFolders::default()).map(drop)
}

/// Scans a stage's own directory, which is in the store and belongs to the stage alone. A mount that a
/// build left in it is a problem of the plan: the files are moved in, and a mounted file is not in the
/// directory.
fn scan_ours(plan: &mut PlanBuilder, prefix: &[u8], dir: &Dir, rules: &ScanRules) -> Result<()> {
    for point in mounts_below(dir.path()) {
        let below = relpath::join(prefix, &mount::below(dir.path(), &point));
        plan.problem(&below, ProblemKind::MountPoint, MOUNT_POINT);
    }
    let root = ScannedRoot { ours: true, prefix: prefix.to_vec(), ..ScannedRoot::of(dir.staying()?) };
    walk(plan, dir.path(), root, rules, &RememberedFolders::default()).map(drop)
}

/// The problem of a path where something is mounted.
pub(crate) const MOUNT_POINT: &str = "is a mount point";

/// A scan in progress.
struct Walk<'a> {
    /// The path as the caller gave it.
    source: &'a Path,
    root: Arc<ScannedRoot>,
    /// The same directory, for files that are as the index of a generation describes.
    indexed: Arc<ScannedRoot>,
    rules: &'a ScanRules,
    remembered: &'a RememberedFolders,
    /// Whether read access must be checked. Root may read everything.
    asks: bool,
}

/// A folder that must be read.
struct Folder {
    /// Its path in the plan; empty only at the top.
    path: Vec<u8>,
    /// An open folder above it, and the length of the part of the path that leads there.
    near: Arc<Dir>,
    led: usize,
}

/// Folders that are unchanged since an earlier scan of the same directory.
#[derive(Default)]
pub(crate) struct RememberedFolders {
    pub(crate) folders: HashMap<Vec<u8>, KnownFolder>,
    /// The generation that was made from the last scan.
    pub(crate) published: Option<GenerationId>,
}

impl RememberedFolders {
    /// Takes over new listings that have no problems.
    pub(crate) fn renew(&mut self, found: Vec<Found>) {
        let fine = found.into_iter().filter(|found| found.listing.problems.is_empty());
        let remembered = |Found { listing, indexed, .. }: Found| {
            (listing.path.clone(), KnownFolder { listing, indexed })
        };
        self.folders = fine.map(remembered).collect();
    }
}

pub(crate) struct KnownFolder {
    listing: Arc<Listing>,
    /// Whether its files are as they were when that generation was made from them.
    pub(crate) indexed: bool,
}

/// The entries of a folder, in a compact form: there may be half a million names.
#[derive(Default)]
struct Listing {
    /// The folder's path in the plan.
    path: Vec<u8>,
    /// The names in it, sorted, each followed by a NUL; and the kind of each.
    names: Vec<u8>,
    kinds: Vec<Kind>,
    /// The targets of its symlinks, in order.
    targets: Vec<Vec<u8>>,
    problems: Vec<Problem>,
}

/// A folder from which the folders of a folder can be opened, and the length of the part of their paths
/// that leads there.
type Near = (Arc<Dir>, usize);

/// A folder that was read or is remembered.
pub(crate) struct Found {
    listing: Arc<Listing>,
    indexed: bool,
    near: Option<Near>,
    /// The index of the listing of its first folder. The others follow.
    folders_from: usize,
}

/// Adds all entries of a directory to a plan. Returns its folders.
pub(crate) fn walk(
    plan: &mut PlanBuilder,
    source: &Path,
    root: ScannedRoot,
    rules: &ScanRules,
    remembered: &RememberedFolders,
) -> Result<Vec<Found>> {
    let asks = !rustix::process::geteuid().is_root();
    let indexed = Arc::new(ScannedRoot { indexed_by: remembered.published, ..root.clone() });
    let walk = Walk { source, root: Arc::new(root), indexed, rules, remembered, asks };
    let found = walk.all()?;
    walk.tell(&found, plan);
    Ok(found)
}

impl Walk<'_> {
    /// Reads all folders. The first listing is the source's, and the listings of one level are in the
    /// order of their folders.
    fn all(&self) -> Result<Vec<Found>> {
        let near = Arc::new(self.root.dir.open_dir(b"")?);
        let led = self.root.prefix.len();
        let mut level = vec![Folder { path: self.root.prefix.clone(), near, led }];
        let mut all: Vec<Found> = Vec::new();
        while !level.is_empty() {
            let mut found: Vec<Found> =
                level.par_iter().map(|folder| self.look(folder)).collect::<Result<_>>()?;
            level.clear();
            let from = all.len() + found.len();
            for found in &mut found {
                found.folders_from = from + level.len();
                let Some((near, led)) = found.near.take() else { continue };
                let listing = &found.listing;
                let folders = listing.found().filter(|(_, kind)| *kind == Kind::Dir);
                let path = |name| relpath::join(&listing.path, name);
                level.extend(folders.map(|(name, _)| Folder { path: path(name), near: near.clone(), led }));
            }
            all.append(&mut found);
        }
        Ok(all)
    }

    /// Takes a folder from the remembered ones, or reads it.
    fn look(&self, folder: &Folder) -> Result<Found> {
        let (near, led) = (&folder.near, folder.led);
        match self.remembered.folders.get(&folder.path).filter(|_| folder.path.len() - led <= NEAR) {
            Some(KnownFolder { listing, indexed }) => Ok(Found {
                listing: listing.clone(),
                indexed: *indexed,
                near: Some((near.clone(), led)),
                folders_from: 0,
            }),
            None => {
                let (listing, near) = self.read(folder)?;
                Ok(Found { listing: Arc::new(listing), indexed: false, near, folders_from: 0 })
            }
        }
    }

    /// Reads one folder. Returns its listing and the folder from which its folders can be opened. Its
    /// problems are reported with all others.
    fn read(&self, folder: &Folder) -> Result<(Listing, Option<Near>)> {
        let mut listing = Listing { path: folder.path.clone(), ..Listing::default() };
        let open = || {
            let mut dir = folder.near.open_dir(relpath::after(&folder.path, folder.led))?;
            let stat = dir.stat_self()?;
            let mut names = Vec::new();
            dir.each(|name, kind| names.push((name.to_vec(), kind)))?;
            Ok((dir, stat, names))
        };
        let (dir, stat, mut names) = match open() {
            Ok(opened) => opened,
            Err(e) if is_mount(&e) => {
                listing.problems.push(Problem::new(&folder.path, ProblemKind::MountPoint, MOUNT_POINT));
                return Ok((listing, None));
            }
            Err(Error::Io { source, .. }) => {
                let what = format!("cannot be read: {source}");
                listing.problems.push(Problem::new(&folder.path, ProblemKind::Unfit, what));
                return Ok((listing, None));
            }
            Err(other) => return Err(other),
        };
        if self.rules.store.is_some_and(|store| (stat.dev, stat.ino) == (store.dev, store.ino)) {
            return Err(Error::BadSource {
                path: self.source.to_owned(),
                reason: BadSourceReason::HoldsStore,
            });
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in names {
            self.take(&mut listing, &dir, &name, kind)?;
        }
        let near = match folder.path.len() - folder.led > NEAR {
            true => (Arc::new(dir), folder.path.len()),
            false => (folder.near.clone(), folder.led),
        };
        Ok((listing, Some(near)))
    }

    /// Adds one name of a folder, if the rules allow it.
    fn take(&self, listing: &mut Listing, dir: &Dir, name: &[u8], kind: Kind) -> Result<()> {
        // Foreign filesystems may have longer names.
        if let Err(why) = relpath::check(name) {
            listing.problem(name, why.to_string());
            return Ok(());
        }
        let path = || relpath::join(&listing.path, name);
        // Nothing below a folder that is left out is looked at.
        let excluded = |patterns: &Patterns| patterns.matches(self.root.below(&path()), kind == Kind::Dir);
        if self.rules.exclude.as_ref().is_some_and(excluded) {
            return Ok(());
        }
        let included = |patterns: &Patterns| patterns.matches_or_above(self.root.below(&path()), false);
        if kind != Kind::Dir && self.rules.include.as_ref().is_some_and(|patterns| !included(patterns)) {
            return Ok(());
        }
        match kind {
            Kind::Dir => {}
            Kind::Symlink => match dir.read_link(name)? {
                Some(target) => listing.targets.push(target),
                None => {
                    listing.problem(name, "vanished while it was read");
                    return Ok(());
                }
            },
            Kind::File => {
                if let Some(why) = self.refusal(dir, name) {
                    listing.problem(name, format!("cannot be read: {why}"));
                    return Ok(());
                }
            }
            Kind::Other => {
                let found = std::fs::symlink_metadata(dir.join(name));
                let what = found.map_or("file of an unknown kind", |meta| kind_name(meta.file_type()));
                listing.problem(name, format!("is a {what}"));
                return Ok(());
            }
        }
        listing.names.extend(name);
        listing.names.push(0);
        listing.kinds.push(kind);
        Ok(())
    }

    /// Returns why a file cannot be read, so that all unreadable files are reported together.
    fn refusal(&self, dir: &Dir, name: &[u8]) -> Option<std::io::Error> {
        let may_read = || rustix::fs::accessat(dir, name, Access::READ_OK, AtFlags::EACCESS);
        if self.asks { may_read().err().map(std::io::Error::from) } else { None }
    }

    /// Adds the listings to the plan, in the order of a tree.
    fn tell(&self, all: &[Found], plan: &mut PlanBuilder) {
        all.iter().for_each(|found| plan.problems(&found.listing.problems));
        let enter = |number: usize| {
            let found = &all[number];
            let root = if found.indexed { &self.indexed } else { &self.root };
            let listing = &*found.listing;
            (listing, root, listing.found(), listing.targets.iter(), found.folders_from)
        };
        let mut around = vec![enter(0)];
        while let Some((listing, root, found, targets, next)) = around.last_mut() {
            let Some((name, kind)) = found.next() else {
                around.pop();
                continue;
            };
            match kind {
                Kind::Dir => {
                    let inner = *next;
                    *next += 1;
                    // With `include`, folders exist only through their entries.
                    if all[inner].listing.kinds.is_empty() && self.rules.include.is_none() {
                        plan.add_checked(&listing.path, name, What::Dir);
                    }
                    around.push(enter(inner));
                }
                Kind::Symlink => {
                    let target = targets.next().expect("each has one").clone();
                    plan.add_checked(&listing.path, name, What::Symlink(target.into()));
                }
                Kind::File | Kind::Other => {
                    let source = ItemSource::Scanned(root.clone());
                    plan.add_checked(&listing.path, name, What::File { source, executable: false });
                }
            }
        }
    }
}

impl Listing {
    fn found(&self) -> impl Iterator<Item = (&[u8], Kind)> {
        self.names.split(|byte| *byte == 0).zip(self.kinds.iter().copied())
    }

    fn problem(&mut self, name: &[u8], what: impl Into<String>) {
        let path = relpath::join(&self.path, name);
        self.problems.push(Problem::new(&path, ProblemKind::Unfit, what));
    }
}

/// Finds a source, which must not be inside the store, and returns its real path.
pub(crate) fn find_source(dir: &Path, store: Option<StoreIdentity>) -> Result<(PathBuf, Metadata)> {
    let bad = |reason| Error::BadSource { path: dir.to_owned(), reason };
    let real = match std::fs::canonicalize(dir) {
        Ok(real) => real,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(bad(BadSourceReason::Absent));
        }
        Err(e) => return Err(Error::io("find", dir, e)),
    };
    let found = std::fs::metadata(&real).map_err(|e| Error::io("stat", dir, e))?;
    if let Some(store) = store {
        for (steps, ancestor) in real.ancestors().enumerate() {
            let meta = std::fs::metadata(ancestor).map_err(|e| Error::io("stat", ancestor, e))?;
            if (meta.dev(), meta.ino()) == (store.dev, store.ino) {
                return Err(bad(match steps {
                    0 => BadSourceReason::IsStore,
                    _ => BadSourceReason::InStore,
                }));
            }
        }
    }
    Ok((real, found))
}

pub(crate) fn kind_name(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "device"
    } else {
        "file of an unknown kind"
    }
}
