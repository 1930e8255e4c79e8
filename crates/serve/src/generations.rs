//! The generations of a store, as the server sees them: the current one, those of the window, and others
//! that permalinks name. Every call blocks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use genstore::tree::{Digest, FileNode};
use genstore::{Error, GenerationId, Rev, Store};

use crate::events::Event;
use crate::hashed::Names;
use crate::held::{Held, Lease};
use crate::live::Live;
use crate::options::Options;
use crate::target::Which;
use crate::window::{self, Window};

/// The number of generations of permalinks that are held.
const MOST_OTHERS: usize = 8;
/// The number of attempts if a current generation is gone already.
const ATTEMPTS: usize = 100;

/// The reason why no generation can answer.
#[derive(Debug)]
pub(crate) enum Missing {
    /// Nothing was published yet.
    Nothing,
    /// The generation was removed; the nearest that are kept.
    Gone(Vec<String>),
    /// There never was such a generation.
    Unknown(Vec<String>),
    /// The store cannot be read.
    Broken(Error),
}

/// The generations of a store.
pub(crate) struct Generations {
    options: Arc<Options>,
    live: Live,
    store: RwLock<Store>,
    current: RwLock<Option<Arc<Held>>>,
    others: Mutex<Vec<Arc<Held>>>,
    window: RwLock<Window>,
    names: RwLock<Names>,
    /// Whether the names of all kept generations were read.
    knows_names: AtomicBool,
    /// Whether there was no store at its path at the last look.
    is_lost: AtomicBool,
    /// Held while the current generation is replaced.
    moving: Mutex<()>,
}

impl Generations {
    /// Opens the store.
    pub(crate) fn new(options: Arc<Options>, live: Live) -> Result<Generations, Error> {
        let store = (options.open)()?;
        let generations = Generations {
            options,
            live,
            store: RwLock::new(store),
            current: RwLock::default(),
            others: Mutex::default(),
            window: RwLock::default(),
            names: RwLock::default(),
            knows_names: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
            moving: Mutex::default(),
        };
        generations.fill_window()?;
        Ok(generations)
    }

    /// Returns the store.
    pub(crate) fn store(&self) -> Store {
        read(&self.store).clone()
    }

    /// Returns the current generation. It is resolved now: by one readlink, unless it has changed.
    pub(crate) fn current(&self) -> Result<Arc<Held>, Missing> {
        self.current_or(|resolve| resolve())
    }

    /// Does the same, and passes the work after a change to `blocking`, as it takes longer.
    pub(crate) fn current_or(
        &self,
        blocking: impl FnOnce(&dyn Fn() -> Result<Arc<Held>, Missing>) -> Result<Arc<Held>, Missing>,
    ) -> Result<Arc<Held>, Missing> {
        let id = read(&self.store).current();
        if let Ok(Some(id)) = id
            && !self.is_lost.load(Ordering::Relaxed)
            && let Some(held) = read(&self.current).as_ref().filter(|held| held.id() == id)
        {
            return Ok(Arc::clone(held));
        }
        blocking(&|| self.resolve())
    }

    /// Returns the generation that was current when it was last resolved.
    pub(crate) fn last(&self) -> Option<Arc<Held>> {
        read(&self.current).clone()
    }

    /// Returns a generation that a request names.
    pub(crate) fn get(&self, which: &Which) -> Result<Arc<Held>, Missing> {
        let rev = match which {
            Which::Current => return self.current(),
            Which::Number(id) => Rev::Number(*id),
            Which::Pin(name) => Rev::Name(name.clone()),
        };
        let store = self.store();
        let id = store.resolve(&rev).map_err(|error| missing(&store, which, error))?;
        if let Which::Number(wanted) = which
            && *wanted != id
        {
            return Err(missing(&store, which, Error::UnknownRev { rev: rev.to_string(), near: vec![] }));
        }
        if let Some(held) = self.last().filter(|held| held.id() == id) {
            return Ok(held);
        }
        let mut others = lock(&self.others);
        if let Some(at) = others.iter().position(|held| held.id() == id) {
            let held = others.remove(at);
            others.push(Arc::clone(&held));
            return Ok(held);
        }
        drop(others);
        let held = Arc::new(self.load(&store, id).map_err(|error| missing(&store, which, error))?);
        let mut others = lock(&self.others);
        others.push(Arc::clone(&held));
        if others.len() > MOST_OTHERS {
            others.remove(0);
        }
        Ok(held)
    }

    /// Finds a file that the current generation lacks in the window.
    pub(crate) fn in_window(&self, path: &[u8]) -> Option<(Arc<Lease>, FileNode)> {
        read(&self.window).find(path)
    }

    /// Returns whether a name carries a hash, and had this content in all kept generations.
    pub(crate) fn is_immutable(&self, path: &[u8], digest: Digest) -> bool {
        self.knows_names.load(Ordering::Acquire) && read(&self.names).is_immutable(path, digest)
    }

    /// Reads the names of all kept generations. It takes a while, and is done beside the work.
    pub(crate) fn learn_names(&self) -> Result<(), Error> {
        let store = self.store();
        for listed in store.list()?.generations {
            match store.open_generation(&Rev::Number(listed.id)) {
                Ok(generation) => {
                    let tree = generation.manifest()?.tree;
                    write(&self.names).add(&tree);
                }
                Err(Error::UnknownRev { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.knows_names.store(true, Ordering::Release);
        Ok(())
    }

    /// Looks at the store, once in a while and after each notice.
    pub(crate) fn refresh(&self) {
        if self.reopen().is_err() {
            return;
        }
        let now = (self.options.clock)();
        write(&self.window).expire(now, self.options.skew);
        // A failure is the answer to the next request.
        drop(self.current());
    }

    /// Opens the store again, and returns whether another one is at its path. If there is none, requests are
    /// refused until there is one.
    pub(crate) fn reopen(&self) -> Result<bool, Error> {
        let opened = (self.options.open)().and_then(|store| Ok((store.identity()?, store)));
        self.is_lost.store(opened.is_err(), Ordering::Relaxed);
        let (identity, store) = opened?;
        let is_other = read(&self.store).identity().ok() != Some(identity);
        if is_other {
            self.replace_store(store);
        }
        Ok(is_other)
    }

    /// Finds the current generation, and replaces the held one.
    fn resolve(&self) -> Result<Arc<Held>, Missing> {
        let _moving = lock(&self.moving);
        for _ in 0..ATTEMPTS {
            if self.reopen().map_err(Missing::Broken)? {
                continue;
            }
            let store = self.store();
            let id = match store.current() {
                Ok(Some(id)) => id,
                Ok(None) => return Err(Missing::Nothing),
                Err(error) => return Err(Missing::Broken(error)),
            };
            let last = self.last();
            if let Some(held) = last.as_ref().filter(|held| held.id() == id) {
                return Ok(Arc::clone(held));
            }
            let held = match self.load(&store, id) {
                Ok(held) => Arc::new(held),
                // It was current, and gc removed it before the lease: another one is current by now.
                Err(Error::UnknownRev { .. }) => continue,
                Err(error) => return Err(Missing::Broken(error)),
            };
            self.moved(last.as_deref(), &held);
            return Ok(held);
        }
        Err(Missing::Nothing)
    }

    /// Makes a generation the one that is served.
    fn moved(&self, last: Option<&Held>, held: &Arc<Held>) {
        write(&self.names).add(&held.tree);
        {
            let mut window = write(&self.window);
            if let Some(last) = last {
                window.leave(last, (self.options.clock)());
            }
            window.enter(&held.tree, held.id());
        }
        *write(&self.current) = Some(Arc::clone(held));
        if let Some(last) = last {
            let previous = Some(last.id());
            (self.options.events)(Event::Moved { generation: held.id(), previous });
            self.live.moved(last, held, self.site());
        }
    }

    fn load(&self, store: &Store, id: GenerationId) -> Result<Held, Error> {
        let generation = store.open_generation(&Rev::Number(id))?;
        if generation.id() != id {
            return Err(Error::UnknownRev { rev: id.to_string(), near: vec![] });
        }
        Held::load(generation, self.site())
    }

    /// Returns the folder of the site in a generation.
    pub(crate) fn site(&self) -> &[u8] {
        self.options.root.as_ref().map_or(b"", |root| root.as_bytes())
    }

    fn replace_store(&self, store: Store) {
        *write(&self.store) = store;
        *write(&self.current) = None;
        lock(&self.others).clear();
        *write(&self.window) = Window::default();
        // The new store has names of its own. Without a scan none of them is known.
        *write(&self.names) = Names::default();
        let message = "another store is at the path of the store; it is served from now on".to_owned();
        (self.options.events)(Event::Problem { code: "other-store", message });
    }

    /// Finds the generations that were current within the window, by the log.
    fn fill_window(&self) -> Result<(), Error> {
        let store = self.store();
        let now = (self.options.clock)();
        let mut active: Vec<(SystemTime, GenerationId)> = store
            .list()?
            .generations
            .iter()
            .filter_map(|listed| Some((listed.history.activated?, listed.id)))
            .collect();
        active.sort();
        // Each was left when the next one became current. The current one was not left.
        let current = store.current()?;
        let next = active.iter().skip(1).map(|(at, _)| *at).chain(active.last().map(|(at, _)| *at));
        let left: Vec<(GenerationId, SystemTime)> =
            active.iter().map(|(_, id)| *id).zip(next).filter(|(id, _)| Some(*id) != current).collect();
        let is_recent = |at: &SystemTime| now.duration_since(*at).unwrap_or_default() < self.options.skew;
        let recent = left.iter().filter(|(_, at)| is_recent(at));
        let recent: Vec<_> = recent.rev().take(window::MOST).collect();
        for (id, at) in recent.into_iter().rev() {
            match self.load(&store, *id) {
                Ok(held) => write(&self.window).leave(&held, *at),
                // An older generation that cannot be read is no reason to refuse to serve.
                Err(error) => (self.options.events)(Event::Problem {
                    code: "unreadable-generation",
                    message: format!("generation {id} cannot answer for open pages: {error}"),
                }),
            }
        }
        Ok(())
    }
}

/// Converts the error of a generation that was not found.
fn missing(store: &Store, which: &Which, error: Error) -> Missing {
    let Error::UnknownRev { near, .. } = error else { return Missing::Broken(error) };
    let current = store.current().ok().flatten();
    let newest = near.iter().filter_map(|name| GenerationId::parse(name)).chain(current).max();
    match which {
        Which::Number(id) if newest.is_some_and(|newest| *id < newest) => Missing::Gone(near),
        _ => Missing::Unknown(near),
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
