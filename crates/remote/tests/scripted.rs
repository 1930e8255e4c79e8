//! A scripted store: clients take turns at requests, by seed, and requests fail in every way.
//!
//! One client runs at a time. When all of them wait, the seed picks the next one, or a request that is late:
//! one whose client stopped for ever after sending it. So a seed is one schedule, each time.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use genstore_remote::transport::{Created, Failure, Listed, Transport};

/// Random numbers of a seed.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// Returns whether something with this chance in a thousand happens.
    pub fn happens(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }
}

/// The chances in a thousand of what goes wrong at a request.
#[derive(Clone, Copy, Default)]
pub struct Chances {
    /// The request is lost, or its answer is: a time-out, 409, 500 or 503.
    pub lost: u64,
    /// A file that is there is denied.
    pub stale: u64,
    /// The end of the bytes is cut off.
    pub cut: u64,
    /// The client stops for ever, and its request may still come.
    pub stop: u64,
}

enum Late {
    Create(String, Vec<u8>),
    Put(String, Vec<u8>),
    Delete(String),
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    dice: Dice,
    waiting: Vec<usize>,
    turn: Option<usize>,
    clients: usize,
    late: Vec<Late>,
}

/// The store, and the order of turns.
pub struct Scripted {
    state: Mutex<State>,
    turned: Condvar,
}

/// One client's connection.
pub struct Client {
    store: Arc<Scripted>,
    id: usize,
    chances: Chances,
    stopped: Mutex<bool>,
}

impl Scripted {
    pub fn new(seed: u64, clients: usize) -> Arc<Scripted> {
        let dice = Dice::new(seed);
        let (waiting, late, files) = (vec![], vec![], BTreeMap::new());
        let state = State { files, dice, waiting, turn: None, clients, late };
        Arc::new(Scripted { state: Mutex::new(state), turned: Condvar::new() })
    }

    pub fn client(self: &Arc<Scripted>, id: usize, chances: Chances) -> Client {
        Client { store: Arc::clone(self), id, chances, stopped: Mutex::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Returns the files, once all clients have ended and all late requests have come.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut state = self.lock();
        while state.land() {}
        state.files.clone()
    }

    /// Returns the files at this moment.
    pub fn now(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().files.clone()
    }

    /// A client has ended. The others go on.
    pub fn end(&self) {
        let mut state = self.lock();
        state.clients -= 1;
        state.pick();
        self.turned.notify_all();
    }
}

impl State {
    /// Carries out one late request. Returns `false` if there is none.
    fn land(&mut self) -> bool {
        if self.late.is_empty() {
            return false;
        }
        let at = self.dice.below(self.late.len() as u64) as usize;
        match self.late.swap_remove(at) {
            Late::Create(key, bytes) => drop(self.files.entry(key).or_insert(bytes)),
            Late::Put(key, bytes) => drop(self.files.insert(key, bytes)),
            Late::Delete(key) => drop(self.files.remove(&key)),
        }
        true
    }

    /// Picks the next client, if all of them wait.
    fn pick(&mut self) {
        if self.turn.is_some() || self.waiting.len() < self.clients || self.clients == 0 {
            return;
        }
        if self.dice.happens(100) {
            self.land();
        }
        self.waiting.sort_unstable();
        let at = self.dice.below(self.waiting.len() as u64) as usize;
        self.turn = Some(self.waiting.remove(at));
    }
}

impl Client {
    /// Waits for this client's turn.
    fn turn(&self) -> MutexGuard<'_, State> {
        let mut state = self.store.lock();
        state.waiting.push(self.id);
        state.pick();
        self.store.turned.notify_all();
        while state.turn != Some(self.id) {
            let waited = self.store.turned.wait(state);
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        state.turn = None;
        state
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap()
    }

    fn stop(&self) -> Failure {
        *self.stopped.lock().unwrap() = true;
        Failure::final_one("stopped for ever")
    }

    /// Reads, with what goes wrong.
    fn read(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Vec<u8>>, Failure> {
        if self.is_stopped() {
            return Err(self.stop());
        }
        let mut state = self.turn();
        let chances = self.chances;
        if state.dice.happens(chances.stop) {
            return Err(self.stop());
        }
        if state.dice.happens(chances.lost) {
            return Err(Failure::ambiguous("503"));
        }
        let is_stale = state.dice.happens(chances.stale);
        let is_cut = state.dice.happens(chances.cut);
        let Some(bytes) = state.files.get(key).filter(|_| !is_stale) else { return Ok(None) };
        let (start, len) = range.unwrap_or((0, u64::MAX));
        let start = (start as usize).min(bytes.len());
        let end = start.saturating_add(len as usize).min(bytes.len());
        let mut bytes = bytes[start..end].to_vec();
        if is_cut {
            bytes.truncate(bytes.len() / 2);
        }
        Ok(Some(bytes))
    }

    /// Writes, with what goes wrong.
    fn write<T>(
        &self,
        late: impl FnOnce() -> Late,
        act: impl FnOnce(&mut State) -> T,
    ) -> Result<T, Failure> {
        if self.is_stopped() {
            return Err(self.stop());
        }
        let mut state = self.turn();
        if state.dice.happens(self.chances.stop) {
            match state.dice.below(3) {
                0 => {}
                1 => drop(act(&mut state)),
                _ => state.late.push(late()),
            }
            return Err(self.stop());
        }
        if state.dice.happens(self.chances.lost) {
            match state.dice.below(3) {
                0 => return Err(Failure::ambiguous("409")),
                1 => {
                    // The time-out comes first, and then the request.
                    state.late.push(late());
                    return Err(Failure::ambiguous("timed out"));
                }
                _ => drop(act(&mut state)),
            }
            return Err(Failure::ambiguous("500"));
        }
        Ok(act(&mut state))
    }
}

impl Transport for Client {
    fn get(&self, key: &str, _: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.read(key, None)
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.read(key, Some((start, len)))
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        let file = || (key.to_owned(), bytes.to_vec());
        let late = || Late::Create(file().0, file().1);
        self.write(late, |state| match state.files.contains_key(key) {
            true => Created::Taken,
            false => {
                state.files.insert(file().0, file().1);
                Created::New
            }
        })
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        let file = || (key.to_owned(), bytes.to_vec());
        self.write(|| Late::Put(file().0, file().1), |state| drop(state.files.insert(file().0, file().1)))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        self.write(
            || Late::Delete(String::new()),
            |state| {
                let listed = |(key, bytes): (&String, &Vec<u8>)| Listed {
                    key: key.clone(),
                    bytes: bytes.len() as u64,
                };
                state.files.iter().filter(|(key, _)| key.starts_with(prefix)).map(listed).collect()
            },
        )
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        self.write(|| Late::Delete(key.to_owned()), |state| drop(state.files.remove(key)))
    }
}
