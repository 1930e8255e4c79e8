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
pub(crate) const BUILD_LOG: &[u8] = b"build.log";
pub(crate) const INDEX: &[u8] = b"index";
pub(crate) const DELTA: &[u8] = b"delta";
pub(crate) const SEALED: &[u8] = b"sealed";
pub(crate) const SHOWN: &[u8] = b"shown";
pub(crate) const ROTATIONS: &[u8] = b"rotations";
pub(crate) const UNFLUSHED: &[u8] = b"unflushed";
pub(crate) const UNFLUSHING: &[u8] = b"unflushing";
pub(crate) const TREE: &[u8] = b"tree";
/// There in a store that a group shares.
const SHARED: &[u8] = b"shared";
const GITIGNORE: &[u8] = b".gitignore";
pub(crate) const STORE_LOCK: &[u8] = b"locks/store";
pub(crate) const COMMIT_LOCK: &[u8] = b"locks/commit";
pub(crate) const WATCH_LOCK: &[u8] = b"locks/watch";

const MARKER: &[u8] = b"genstore 1\n";
/// How the marker of every format begins.
const MAGIC: &[u8; 9] = b"genstore ";

/// The folders that every store has.
const FOLDERS: [&[u8]; 9] =
    [OBJECTS, GENERATIONS, STAGING, PINS, MARKS, VIEWS, SUSPECTS, QUARANTINE, LOCKS];

/// Tells the time; the library has no clock of its own.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Tells the time: `Arc::new(SystemTime::now)`.
    pub clock: Clock,
    /// Who acts, for the log and for those who lose a race: `build bot, process 4711`.
    pub actor: String,
    /// What a commit waits for before it reports success.
    pub durability: Durability,
    /// How long to wait for a lock.
    pub lock_timeout: Duration,
    /// Is told how far long work has got.
    pub progress: Arc<dyn Progress>,
    /// Fails or cuts short a call that changes the disk.
    #[cfg(feature = "faults")]
    pub faults: Faults,
}

impl Options {
    /// Full durability, a minute of patience, nobody told about progress.
    pub fn new(clock: Clock) -> Options {
        Options {
            clock,
            actor: format!("process {}", std::process::id()),
            durability: Durability::Full,
            lock_timeout: Duration::from_secs(60),
            progress: Arc::new(Silent),
            #[cfg(feature = "faults")]
            faults: Faults::default(),
        }
    }
}

/// Who a new store is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Audience {
    /// Its owner writes to it, everybody may read.
    #[default]
    Everybody,
    /// The members of its directory's group write to it, everybody may read.
    Group,
    /// Its owner alone may enter it, and so read through its views.
    Owner,
}

/// What became of the parts that every store has.
#[derive(Default, Debug)]
pub(crate) struct LayoutState {
    pub(crate) missing: Vec<&'static [u8]>,
    /// Names that something of another kind has, and what is wrong with it.
    pub(crate) replaced: Vec<(&'static [u8], &'static str)>,
}

/// An open store, as its parts see it.
pub(crate) struct StoreDir {
    /// Nothing behind a mount point is opened from here.
    pub(crate) dir: Dir,
    pub(crate) fs: Fs,
    pub(crate) options: Options,
}

impl StoreDir {
    /// Opens a store and changes nothing, so that it works on a read-only mount.
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
            // Some other directory, which has a folder of this name.
            Err(Error::Damaged { .. }) => return Err(not_a_store()),
            marker => marker?.ok_or_else(not_a_store)?,
        };
        check_marker(&marker, dir.path())?.ok_or_else(not_a_store)?;
        StoreDir::new(dir, options)
    }

    fn new(dir: Dir, options: Options) -> Result<StoreDir> {
        #[cfg(feature = "faults")]
        let faults = options.faults.clone();
        #[cfg(not(feature = "faults"))]
        let faults = Faults;
        let fs = Fs::new(faults, options.durability).within(&dir)?;
        StoreDir { dir, fs, options }.with_group()
    }

    /// Looks whether a group shares it: what is made then is shared, too.
    fn with_group(mut self) -> Result<StoreDir> {
        let group = self.dir.stat(SHARED)?.is_some().then(|| self.dir.stat_self()).transpose()?;
        self.fs = self.fs.within(&self.dir)?.shared_with(group.map(|stat| stat.gid));
        Ok(self)
    }

    /// Returns whether only its owner may enter it: its directory's mode says so.
    pub(crate) fn is_private(&self) -> Result<bool> {
        Ok(self.dir.stat_self()?.mode & 0o077 == 0)
    }

    /// Makes a store in an absent or empty directory, or opens the one that is there.
    ///
    /// The marker comes first: from then on every writer completes what is missing, so this may be
    /// cut anywhere.
    pub(crate) fn create(path: &Path, options: Options, audience: Audience) -> Result<(StoreDir, bool)> {
        let path = absolute(path)?;
        let parent = Dir::open(path.parent().unwrap_or(Path::new("/")))?;
        let name = path.file_name().map(std::os::unix::ffi::OsStrExt::as_bytes).unwrap_or(b".");
        // Made by root, it belongs to whoever the folder above belongs to.
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

    /// Shares an empty directory that becomes a store with its group. The note comes before the marker,
    /// so that no store is half shared.
    fn share_with_group(self) -> Result<StoreDir> {
        self.fs.set_own_mode(&self.dir, 0o2775)?;
        // The system drops the bit without a word where the user is no member.
        if self.dir.stat_self()?.mode & 0o2000 == 0 {
            let why = format!("only a member of its group can share {}", show_path(self.dir.path()));
            return Err(Error::refused(RefusedKind::NotAMember, why));
        }
        drop(self.fs.open_or_create(&self.dir, SHARED)?);
        self.fs.sync_dir(&self.dir)?;
        self.with_group()
    }

    /// Closes it to everybody but its owner.
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
            // A start of the marker alone in the directory: whoever wrote it was cut short.
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

    /// Creates the parts of the layout that are missing: in a store whose making was cut short, or
    /// that lost its empty folders when it was copied. Needs no lock: each step is the same for
    /// everybody.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a part is not of the kind that it must be.
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
        }
        // What it holds is written under the commit lock: somebody else may publish meanwhile.
        drop(self.fs.open_or_create(&self.dir, NOTICE)?);
        let lock = self.fs.open_or_create(&self.dir, STORE_LOCK)?;
        self.close_to_readers(&lock, STORE_LOCK)?;
        self.fs.sync_dir(&self.dir)?;
        let lock = self.fs.open_or_create(&self.dir, COMMIT_LOCK)?;
        self.close_to_readers(&lock, COMMIT_LOCK)?;
        self.fs.sync_dir(&self.sub(LOCKS)?)
    }

    /// Lets only users who may write to the store open a lock file: flock asks for no more than an open
    /// file, so whoever may open it can keep writers out. Stores of older programs let everybody.
    pub(crate) fn close_to_readers(&self, file: &File, name: &[u8]) -> Result<()> {
        let (path, store) = (self.dir.join(name), self.dir.stat_self()?);
        let (stat, wanted) = (Stat::of(file, &path)?, lock_mode(store.mode));
        let is_group = store.mode & 0o020 != 0 && stat.gid == store.gid;
        // What somebody else left there, its own users must be able to open.
        if stat.mode == wanted || (stat.uid != store.uid && !is_group) {
            return Ok(());
        }
        match self.fs.set_mode(file, &path, wanted) {
            // Another writer owns it, or the filesystem keeps no modes.
            Err(e) if is_errno(&e, Errno::PERM) || is_errno(&e, Errno::OPNOTSUPP) => Ok(()),
            done => done,
        }
    }

    /// Compares the parts that every store has with what is there: one listing and two stats.
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

    pub(crate) fn now(&self) -> SystemTime {
        (self.options.clock)()
    }

    /// Opens one of the store's own directories.
    ///
    /// # Errors
    /// [`Error::Damaged`] if something else has its name.
    pub(crate) fn sub(&self, name: &[u8]) -> Result<Dir> {
        self.dir.open_dir(name).map_err(|e| match e {
            e if is_errno(&e, Errno::NOTDIR) || is_errno(&e, Errno::LOOP) => {
                Error::damaged_file(&self.dir.join(name), "it is not a directory")
            }
            e => e,
        })
    }

    /// Lists one of the store's own directories; one that a half-made store lacks is empty.
    pub(crate) fn list(&self, name: &[u8]) -> Result<Vec<(Vec<u8>, Kind)>> {
        match self.sub(name) {
            Ok(dir) => dir.list(),
            Err(e) if e.is_not_found() => Ok(vec![]),
            Err(e) => Err(e),
        }
    }
}

/// Names a generation's directory of files, as `current` does.
pub(crate) fn tree_path(id: GenerationId) -> Vec<u8> {
    [GENERATIONS, b"/", id.to_string().as_bytes(), b"/", TREE].concat()
}

fn not_shared(path: &Path) -> Error {
    let why = format!("{} is there already, and is not shared with a group", show_path(path));
    Error::refused(RefusedKind::StoreNotShared, why)
}

/// Returns whether the marker is ours: `None` for something else.
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
        _ => Err(Error::damaged_file(&path.join("format"), "no format number that was ever used")),
    }
}

/// Refuses to make a store in the folders of another one, where `verify` would call it a stranger.
fn refuse_within_a_store(path: &Path) -> Result<()> {
    let real = |path: &Path| std::fs::canonicalize(path).map_err(|e| Error::io("find", path, e));
    // Where it is there it may be a symlink, else only the folders above it count.
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
        // A folder that we may not read is no store that we may write to.
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
        // Absent: the parent is what must be there.
        Err(_) => Ok(absolute),
    }
}

/// Returns the mode of lock files in a store whose directory has this mode: who may write to the
/// directory may open them.
pub(crate) fn lock_mode(store: u32) -> u32 {
    0o600 | if store & 0o020 == 0 { 0 } else { 0o060 } | if store & 0o002 == 0 { 0 } else { 0o006 }
}
