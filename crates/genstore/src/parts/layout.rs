//! Every name in a store, and the handle that all parts share.
//!
//! Owns `format` and `.gitignore`. See `store-layout.md`.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use crate::error::{Error, RefusedKind, Result, show_path};
use crate::fs::copy::fill;
use crate::fs::errno::is_errno;
use crate::fs::fault::Faults;
use crate::fs::{Dir, Durability, Fs, Kind, Stat};
use crate::model::ids::GenerationId;
use crate::progress::{Progress, Silent};

pub(crate) const FORMAT: &[u8] = b"format";
pub(crate) const OBJECTS: &[u8] = b"objects";
pub(crate) const GENERATIONS: &[u8] = b"generations";
pub(crate) const STAGING: &[u8] = b"staging";
pub(crate) const PINS: &[u8] = b"pins";
pub(crate) const MARKS: &[u8] = b"marks";
pub(crate) const VIEWS: &[u8] = b"views";
pub(crate) const SUSPECTS: &[u8] = b"suspects";
pub(crate) const QUARANTINE: &[u8] = b"quarantine";
pub(crate) const LOCKS: &[u8] = b"locks";
pub(crate) const CURRENT: &[u8] = b"current";
pub(crate) const NOTICE: &[u8] = b"notice";
pub(crate) const HOLD: &[u8] = b"hold";
pub(crate) const SEQUENCE: &[u8] = b"sequence";
pub(crate) const LOG: &[u8] = b"log";
pub(crate) const MANIFEST: &[u8] = b"manifest";
pub(crate) const FAILED: &[u8] = b"failed";
pub(crate) const FORGOTTEN: &[u8] = b"forgotten";
pub(crate) const BUILD_LOG: &[u8] = b"build.log";
pub(crate) const INDEX: &[u8] = b"index";
pub(crate) const DELTA: &[u8] = b"delta";
pub(crate) const SEALED: &[u8] = b"sealed";
pub(crate) const SHOWN: &[u8] = b"shown";
pub(crate) const ROTATIONS: &[u8] = b"rotations";
pub(crate) const UNFLUSHED: &[u8] = b"unflushed";
pub(crate) const UNFLUSHING: &[u8] = b"unflushing";
pub(crate) const TREE: &[u8] = b"tree";
/// Exists in a store that a group shares.
const SHARED: &[u8] = b"shared";
const GITIGNORE: &[u8] = b".gitignore";
/// Empty: a module of its own, so that `go vet ./...` of a module around the store does not walk into it.
const GO_MOD: &[u8] = b"go.mod";
pub(crate) const STORE_LOCK: &[u8] = b"locks/store";
pub(crate) const COMMIT_LOCK: &[u8] = b"locks/commit";
pub(crate) const WATCH_LOCK: &[u8] = b"locks/watch";

const MARKER: &[u8] = b"genstore 1\n";

/// The formats of stores that this library reads and writes.
pub const STORE_FORMATS: &[u32] = &[1];
/// The prefix of the marker of every format.
const MAGIC: &[u8; 9] = b"genstore ";

/// The folders that every store has.
const FOLDERS: [&[u8]; 9] =
    [OBJECTS, GENERATIONS, STAGING, PINS, MARKS, VIEWS, SUSPECTS, QUARANTINE, LOCKS];

/// Returns the time. The library has no clock of its own.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The options with which a store is opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The clock: `Arc::new(SystemTime::now)`.
    pub clock: Clock,
    /// The actor, for the log and for messages to others who lose a race: `build bot, process 4711`.
    pub actor: String,
    /// The changes that must be durable before a commit reports success.
    pub durability: Durability,
    /// The longest wait for a lock.
    pub lock_timeout: Duration,
    /// The number of bytes that publishing leaves free on the store's filesystem; 0 for no reserve.
    pub min_free_bytes: u64,
    /// Receives the progress of long work.
    pub progress: Arc<dyn Progress>,
    /// Fails or kills at a call that changes the disk.
    #[cfg(feature = "faults")]
    pub faults: Faults,
}

impl Options {
    /// Full durability, a lock timeout of one minute, no progress.
    pub fn new(clock: Clock) -> Options {
        Options {
            clock,
            actor: format!("process {}", std::process::id()),
            durability: Durability::Full,
            lock_timeout: Duration::from_secs(60),
            min_free_bytes: 0,
            progress: Arc::new(Silent),
            #[cfg(feature = "faults")]
            faults: Faults::default(),
        }
    }

    /// Sets who acts.
    pub fn actor(mut self, actor: impl Into<String>) -> Options {
        self.actor = actor.into();
        self
    }

    /// Sets what a commit waits for before it reports success.
    pub fn durability(mut self, durability: Durability) -> Options {
        self.durability = durability;
        self
    }

    /// Sets how long to wait for a lock.
    pub fn lock_timeout(mut self, timeout: Duration) -> Options {
        self.lock_timeout = timeout;
        self
    }

    /// Sets how many bytes publishing leaves free on the store's filesystem.
    pub fn min_free_bytes(mut self, bytes: u64) -> Options {
        self.min_free_bytes = bytes;
        self
    }

    /// Sets the receiver of progress.
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Options {
        self.progress = progress;
        self
    }

    /// Sets which calls that change the disk fail or are cut short.
    #[cfg(feature = "faults")]
    pub fn faults(mut self, faults: Faults) -> Options {
        self.faults = faults;
        self
    }
}

/// The users of a new store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Audience {
    /// Its owner writes to it, everybody may read.
    #[default]
    Everybody,
    /// The members of its directory's group write to it, everybody may read.
    Group,
    /// Only its owner may enter it, so only the owner reads through its views.
    Owner,
}

/// The state of the parts that every store has.
#[derive(Default, Debug)]
pub(crate) struct LayoutState {
    pub(crate) missing: Vec<&'static [u8]>,
    /// Names whose entry has another kind, with the problem.
    pub(crate) replaced: Vec<(&'static [u8], &'static str)>,
}

/// An open store, as its parts see it.
pub(crate) struct StoreDir {
    /// A directory that is restricted to its mount: nothing beyond a mount point is opened from it.
    pub(crate) dir: Dir,
    pub(crate) fs: Fs,
    pub(crate) options: Options,
}

impl StoreDir {
    /// Opens a store and changes nothing, so it works on a read-only mount.
    pub(crate) fn open(path: &Path, options: Options) -> Result<StoreDir> {
        let not_a_store = || Error::NotAStore { path: path.to_owned() };
        let dir = match Dir::open(&absolute(path)?) {
            Ok(dir) => dir,
            Err(Error::Io { source, .. })
                if [std::io::ErrorKind::NotFound, std::io::ErrorKind::NotADirectory]
                    .contains(&source.kind()) =>
            {
                return Err(not_a_store());
            }
            Err(e) => return Err(e),
        };
        let dir = dir.staying()?;
        let marker = match dir.read(FORMAT) {
            // Another directory, with a folder of this name.
            Err(Error::Damaged { .. }) => return Err(not_a_store()),
            marker => marker?.ok_or_else(not_a_store)?,
        };
        check_marker(&marker, dir.path())?.ok_or_else(not_a_store)?;
        StoreDir::new(dir, options)?.with_group()
    }

    /// Uses a directory that need not be a store: the folder above a new one may have an entry of any name.
    fn new(dir: Dir, options: Options) -> Result<StoreDir> {
        #[cfg(feature = "faults")]
        let faults = options.faults.clone();
        #[cfg(not(feature = "faults"))]
        let faults = Faults;
        let fs = Fs::new(faults, options.durability).within(&dir)?;
        Ok(StoreDir { dir, fs, options })
    }

    /// Checks whether a group shares it. If so, created inodes are shared, too.
    fn with_group(mut self) -> Result<StoreDir> {
        let group = self.dir.stat(SHARED)?.is_some().then(|| self.dir.stat_self()).transpose()?;
        self.fs = self.fs.within(&self.dir)?.shared_with(group.map(|stat| stat.gid));
        Ok(self)
    }

    /// Returns whether only its owner may enter it, by the mode of its directory.
    pub(crate) fn is_private(&self) -> Result<bool> {
        Ok(self.dir.stat_self()?.mode & 0o077 == 0)
    }

    /// Creates a store in an absent or empty directory, or opens an existing one.
    ///
    /// The marker is written first. From then on every writer completes missing parts, so the creation
    /// may be interrupted anywhere.
    pub(crate) fn create(path: &Path, options: Options, audience: Audience) -> Result<(StoreDir, bool)> {
        let path = absolute(path)?;
        let parent = Dir::open(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().map(std::os::unix::ffi::OsStrExt::as_bytes).unwrap_or(b".");
        // If root creates it, it gets the owner of the folder above.
        let mut store = StoreDir::new(parent, options)?;
        match Dir::open(&path) {
            Ok(dir) => store.dir = dir,
            Err(e) if e.is_not_found() => {
                refuse_within_a_store(&path)?;
                store.fs.make_dir(&store.dir, name)?;
                store.fs.sync_dir(&store.dir)?;
                store.dir = Dir::open(&path)?;
            }
            Err(e) => return Err(e),
        }
        store.dir = store.dir.staying()?;
        let mut store = store.with_group()?;
        let is_new = store.dir.read(FORMAT)?.is_none();
        if is_new {
            refuse_within_a_store(store.dir.path())?;
        }
        match audience {
            Audience::Everybody => {}
            Audience::Group if store.dir.stat(SHARED)?.is_some() => {}
            Audience::Group if is_new && store.dir.list()?.is_empty() => {
                store = store.share_with_group()?
            }
            Audience::Group => return Err(not_shared(store.dir.path())),
            Audience::Owner if store.dir.stat(SHARED)?.is_some() => {
                let why = format!("the store {} is shared with a group", show_path(store.dir.path()));
                return Err(Error::refused(RefusedKind::StoreShared, why));
            }
            Audience::Owner => store.close()?,
        }
        let made = store.write_marker()?;
        store.complete()?;
        Ok((store, made))
    }

    /// Shares an empty directory that becomes a store with its group. The file `shared` is written
    /// before the marker, so no store is half shared.
    fn share_with_group(self) -> Result<StoreDir> {
        self.fs.set_own_mode(&self.dir, 0o2775)?;
        // The system drops the bit silently if the user is not a member of the group.
        if self.dir.stat_self()?.mode & 0o2000 == 0 {
            let why = format!("only a member of its group can share {}", show_path(self.dir.path()));
            return Err(Error::refused(RefusedKind::NotAMember, why));
        }
        drop(self.fs.open_or_create(&self.dir, SHARED)?);
        self.fs.sync_dir(&self.dir)?;
        self.with_group()
    }

    /// Closes it to all users except its owner.
    fn close(&self) -> Result<()> {
        self.fs.set_own_mode(&self.dir, 0o700)?;
        self.fs.sync_dir(&self.dir)
    }

    fn write_marker(&self) -> Result<bool> {
        let marker = match self.dir.read(FORMAT) {
            Err(Error::Damaged { .. }) => Some(vec![]),
            marker => marker?,
        };
        match marker {
            // A prefix of the marker alone in the directory: its writer was interrupted.
            Some(start) if start != MARKER && MARKER.starts_with(&start) && self.dir.list()?.len() == 1 => {
            }
            Some(marker) if check_marker(&marker, self.dir.path())?.is_some() => return Ok(false),
            None if self.dir.list()?.iter().all(|(name, _)| name == SHARED) => {}
            _ => {
                return Err(Error::NotEmpty { path: self.dir.path().to_owned() });
            }
        }
        let file = self.fs.open_or_create(&self.dir, FORMAT)?;
        let path = self.dir.join(FORMAT);
        self.fs.write_at(&file, &path, MARKER, 0)?;
        self.fs.sync_file(&file, &path)?;
        self.fs.sync_dir(&self.dir)?;
        Ok(true)
    }

    /// Creates missing parts of the layout: in a store whose creation was interrupted, or that lost its
    /// empty folders when it was copied. Needs no lock: each step has the same result for every
    /// process.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a part has the wrong kind.
    pub(crate) fn complete(&self) -> Result<()> {
        let state = self.layout_state()?;
        if let Some((name, cause)) = state.replaced.first() {
            return Err(Error::damaged_file(&self.dir.join(name), cause));
        }
        if state.missing.is_empty() {
            return Ok(());
        }
        for name in FOLDERS {
            self.fs.make_dir(&self.dir, name)?;
        }
        if state.missing.contains(&COMMIT_LOCK) {
            let ignore = self.fs.open_or_create(&self.dir, GITIGNORE)?;
            self.fs.write_at(&ignore, &self.dir.join(GITIGNORE), b"*\n", 0)?;
            drop(self.fs.open_or_create(&self.dir, GO_MOD)?);
        }
        // Its content is written under the commit lock: another process may publish meanwhile.
        drop(self.fs.open_or_create(&self.dir, NOTICE)?);
        let lock = self.fs.open_or_create(&self.dir, STORE_LOCK)?;
        self.close_to_readers(&lock, STORE_LOCK)?;
        self.fs.sync_dir(&self.dir)?;
        let lock = self.fs.open_or_create(&self.dir, COMMIT_LOCK)?;
        self.close_to_readers(&lock, COMMIT_LOCK)?;
        self.fs.sync_dir(&self.sub(LOCKS)?)
    }

    /// Restricts a lock file to users who may write to the store. flock needs only an open file, so a
    /// user who may open it can block writers. Older programs created lock files that everybody may
    /// open.
    pub(crate) fn close_to_readers(&self, file: &File, name: &[u8]) -> Result<()> {
        let (path, store) = (self.dir.join(name), self.dir.stat_self()?);
        let (stat, wanted) = (Stat::of(file, &path)?, lock_mode(store.mode));
        let is_group = store.mode & 0o020 != 0 && stat.gid == store.gid;
        // If another user created the file, this user must still be able to open it.
        if stat.mode == wanted || (stat.uid != store.uid && !is_group) {
            return Ok(());
        }
        match self.fs.set_mode(file, &path, wanted) {
            // Another writer owns it, or the filesystem has no modes.
            Err(e) if is_errno(&e, Errno::PERM) || is_errno(&e, Errno::OPNOTSUPP) => Ok(()),
            done => done,
        }
    }

    /// Compares the parts that every store has with the disk: one listing and two stats.
    pub(crate) fn layout_state(&self) -> Result<LayoutState> {
        let found: HashMap<Vec<u8>, Kind> = self.dir.list()?.into_iter().collect();
        let mut state = LayoutState::default();
        let mut look = |name: &'static [u8], kind: Option<Kind>, wanted: Kind| match kind {
            None => state.missing.push(name),
            Some(kind) if kind == wanted => {}
            Some(_) if wanted == Kind::Dir => state.replaced.push((name, "it is not a directory")),
            Some(_) => state.replaced.push((name, "it is not a regular file")),
        };
        for name in FOLDERS {
            look(name, found.get(name).copied(), Kind::Dir);
        }
        look(NOTICE, found.get(NOTICE).copied(), Kind::File);
        let has_locks = found.get(LOCKS) == Some(&Kind::Dir);
        for name in [STORE_LOCK, COMMIT_LOCK] {
            let stat = if has_locks { self.dir.stat(name)? } else { None };
            look(name, stat.map(|stat| stat.kind), Kind::File);
        }
        Ok(state)
    }

    /// Checks that the store's filesystem has more free space than the reserve.
    ///
    /// # Errors
    /// Code `reserve`.
    pub(crate) fn check_reserve(&self) -> Result<()> {
        let reserve = self.options.min_free_bytes;
        let free = if reserve == 0 { 0 } else { self.dir.free_bytes()? };
        if free >= reserve {
            return Ok(());
        }
        let why = format!("the store's filesystem has {free} bytes free, and the reserve is {reserve}");
        Err(Error::refused(RefusedKind::Reserve, why))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.options.clock)()
    }

    /// Opens one of the store's own directories.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the entry is not a directory.
    pub(crate) fn sub(&self, name: &[u8]) -> Result<Dir> {
        self.dir.open_dir(name).map_err(|e| match e {
            e if is_errno(&e, Errno::NOTDIR) || is_errno(&e, Errno::LOOP) => {
                Error::damaged_file(&self.dir.join(name), "it is not a directory")
            }
            e => e,
        })
    }

    /// Lists one of the store's own directories. A missing one, as in an incomplete store, is empty.
    pub(crate) fn list(&self, name: &[u8]) -> Result<Vec<(Vec<u8>, Kind)>> {
        match self.sub(name) {
            Ok(dir) => dir.list(),
            Err(e) if e.is_not_found() => Ok(vec![]),
            Err(e) => Err(e),
        }
    }
}

/// Returns the path of a generation's directory of files, as in `current`.
pub(crate) fn tree_path(id: GenerationId) -> Vec<u8> {
    [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", TREE].concat()
}

fn not_shared(path: &Path) -> Error {
    let why = format!("{} exists already and is not shared with a group", show_path(path));
    Error::refused(RefusedKind::StoreNotShared, why)
}

/// Checks the marker. Returns `None` if it is not a marker of genstore.
fn check_marker(marker: &[u8], path: &Path) -> Result<Option<()>> {
    let text = String::from_utf8_lossy(marker);
    let Some(rest) = text.strip_prefix("genstore ") else {
        return Ok(None);
    };
    if marker == MARKER {
        return Ok(Some(()));
    }
    let version = rest.lines().next().unwrap_or_default();
    match version.parse::<u32>() {
        // A newer number, or features after our own number.
        Ok(number) if number > 1 || (number == 1 && rest.lines().count() > 1) => {
            let found = format!("format {}", rest.split_whitespace().collect::<Vec<_>>().join(" "));
            Err(Error::NewerFormat { path: path.to_owned(), found })
        }
        _ => Err(Error::damaged_file(&path.join("format"), "its format number is unknown")),
    }
}

/// Refuses to create a store inside another one, where `verify` would report it as unknown.
fn refuse_within_a_store(path: &Path) -> Result<()> {
    let real = |path: &Path| std::fs::canonicalize(path).map_err(|e| Error::io("find", path, e));
    // If the path exists it may be a symlink. Otherwise only the folders above it count.
    let real = match real(path) {
        Err(e) if e.is_not_found() => real(path.parent().unwrap_or(path))?.join("store"),
        real => real?,
    };
    for above in real.ancestors().skip(1) {
        let start = |dir: Dir| {
            let mut start = [0; MAGIC.len()];
            let mut marker = dir.open_file(FORMAT)?;
            let read = fill(&mut marker, &mut start);
            read.map(|_| start).map_err(|e| Error::io("read", dir.join(FORMAT), e))
        };
        // An unreadable folder is not a store that this user may write to.
        if Dir::open(above).and_then(start).is_ok_and(|start| start == *MAGIC) {
            let (path, above) = (show_path(path), show_path(above));
            return Err(Error::refused(
                RefusedKind::StoreInStore,
                format!("{path} lies in the store {above}"),
            ));
        }
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io("find", path, e))?;
    match std::fs::canonicalize(&absolute) {
        Ok(real) => Ok(real),
        // Absent: then only its parent must exist.
        Err(_) => Ok(absolute),
    }
}

/// Returns the mode of lock files in a store whose directory has this mode: every user who may write to
/// the directory may open them.
pub(crate) fn lock_mode(store: u32) -> u32 {
    0o600 | if store & 0o020 == 0 { 0 } else { 0o060 } | if store & 0o002 == 0 { 0 } else { 0o006 }
}
