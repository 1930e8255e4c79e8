//! The public API of a store: open it, publish, roll back, collect, verify. Each verb is implemented in
//! the module of its name.

mod care;
mod forget;
mod history;
mod objects;
mod publish;
mod views;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::lost;
use crate::error::Result;
use crate::model::ids::{GenerationId, Rev};
use crate::parts::current::Current;
use crate::parts::generations::Generation;
use crate::parts::layout::{Audience, Options, StoreDir};
use crate::parts::locks::Locks;
use crate::plan::scan::StoreIdentity;
use crate::verbs::inspect;

/// A store of generations, on one filesystem.
///
/// Opening takes no lock and changes nothing. Every method that writes takes the locks it needs, waits
/// for them as long as the options say, and first completes or undoes the unfinished change of a dead
/// process. A store may be open many times, in one process and in many.
#[derive(Clone)]
pub struct Store {
    store: Arc<StoreDir>,
}

/// The result of [`Store::init`].
#[derive(Clone)]
#[non_exhaustive]
pub struct Initialized {
    /// The store.
    pub store: Store,
    /// Whether it is new.
    pub is_new: bool,
}

impl Store {
    /// Opens the store at `path`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use genstore::{Error, Options, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let options = Options::new(Arc::new(std::time::SystemTime::now));
    /// let missing = Store::open(&dir.path().join("nothing"), options);
    /// assert!(matches!(missing, Err(Error::NotAStore { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotAStore`](crate::Error::NotAStore),
    /// [`Error::NewerFormat`](crate::Error::NewerFormat).
    pub fn open(path: &Path, options: Options) -> Result<Store> {
        StoreDir::open(path, options).map(|store| Store { store: Arc::new(store) })
    }

    /// Creates a store at `path`, which must be absent or empty, or opens an existing one. Returns
    /// whether it is new.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use genstore::{Options, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let options = Options::new(Arc::new(std::time::SystemTime::now)).actor("build bot");
    /// let made = Store::init(&dir.path().join("store"), options.clone())?;
    /// assert!(made.is_new);
    /// assert!(!Store::init(made.store.path(), options)?.is_new);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotEmpty`](crate::Error::NotEmpty), [`Error::NewerFormat`](crate::Error::NewerFormat).
    ///
    /// # Durability
    /// The store survives a crash on return. After an interruption, the next call completes it.
    pub fn init(path: &Path, options: Options) -> Result<Initialized> {
        Store::init_for(path, options, Audience::Everybody)
    }

    /// Creates a store for these users at `path`, which must be absent or empty, or opens an existing
    /// one. Returns whether it is new. An existing one is closed for [`Audience::Owner`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use genstore::{Audience, Options, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let options = Options::new(Arc::new(std::time::SystemTime::now));
    /// let store = Store::init_for(&dir.path().join("store"), options, Audience::Owner)?.store;
    /// assert!(store.path().join("format").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::init`]; code `store-not-shared` for [`Audience::Group`] if an existing store is not
    /// shared, `store-shared` for [`Audience::Owner`] if it is.
    ///
    /// # Durability
    /// As [`Store::init`].
    pub fn init_for(path: &Path, options: Options, audience: Audience) -> Result<Initialized> {
        let (store, made) = StoreDir::create(path, options, audience)?;
        // If another process has the lock, that process writes it.
        if made && let Some(lock) = Locks::of(&store).try_commit()? {
            Current::of(&store).restore_notice(&lock)?;
        }
        Ok(Initialized { store: Store { store: Arc::new(store) }, is_new: made })
    }

    /// Returns the real path of the store.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert!(store.path().is_absolute());
    /// assert!(store.path().join("current").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.store.dir.path()
    }

    /// Returns the identity by which scans recognise the store: see [`crate::plan::ScanRules::store`].
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// use genstore::Plan;
    /// use genstore::plan::ScanRules;
    ///
    /// let rules = ScanRules::default().store(store.identity()?);
    /// // The folder around the store is no source for it.
    /// assert!(Plan::scan(dir.path(), &rules).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn identity(&self) -> Result<StoreIdentity> {
        let stat = self.store.dir.stat_self()?;
        Ok(StoreIdentity { dev: stat.dev, ino: stat.ino })
    }

    /// Returns the current generation: one readlink.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert_eq!(store.current()?.map(|id| id.get()), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if `current` is not a symlink of ours.
    pub fn current(&self) -> Result<Option<GenerationId>> {
        Current::of(&self.store).id()
    }

    /// Returns the current generation, and checks that it exists.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert_eq!(store.checked_current()?.map(|id| id.get()), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if `current` is missing although a generation was
    /// current, or names one that does not exist.
    pub fn checked_current(&self) -> Result<Option<GenerationId>> {
        lost::checked_current(&self.store)
    }

    /// Returns the current generation.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let id = store.required_current()?;
    /// assert_eq!(std::fs::read(store.tree_path(id).join("index.html"))?, b"two");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::checked_current`]; codes `no-current` if nothing was published, `not-activated` if
    /// all generations are only kept.
    pub fn required_current(&self) -> Result<GenerationId> {
        lost::required_current(&self.store)
    }

    /// Returns the directory of a generation's files.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let id = store.required_current()?;
    /// assert!(store.tree_path(id).join("index.html").is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tree_path(&self, id: GenerationId) -> PathBuf {
        Current::of(&self.store).tree_path(id)
    }

    /// Returns the file that is written in place after each commit and activation.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// assert!(store.notice_path().is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn notice_path(&self) -> PathBuf {
        self.store.dir.join(crate::parts::layout::NOTICE)
    }

    /// Finds the generation of a reference.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// // The generation before the current one.
    /// assert_eq!(store.resolve(&"@-".parse()?)?.get(), 1);
    /// assert_eq!(store.resolve(&"9".parse()?).unwrap_err().code(), "unknown-ref");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownRev`](crate::Error::UnknownRev) with similar names.
    pub fn resolve(&self, rev: &Rev) -> Result<GenerationId> {
        inspect::resolve(&self.store, rev)
    }

    /// Opens a generation, with a lease on it.
    ///
    /// ```
    /// # let (dir, store) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/store.in"));
    /// let generation = store.open_generation(&"1".parse()?)?;
    /// let mut bytes = Vec::new();
    /// generation.cat(b"index.html", &mut bytes)?;
    /// assert_eq!(bytes, b"one");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownRev`](crate::Error::UnknownRev).
    pub fn open_generation(&self, rev: &Rev) -> Result<Generation> {
        inspect::open_named(&self.store, rev)
    }
}
