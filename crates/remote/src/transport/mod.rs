//! The requests that a remote must answer, and the counting of them.

pub mod file;
#[cfg(feature = "web")]
pub mod http;
pub(crate) mod pipe;
#[cfg(feature = "web")]
pub mod s3;
pub mod ssh;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

/// The result of a create-only put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The file is new.
    New,
    /// There was a file with this key, and it is unchanged.
    Taken,
}

/// A file in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// The length in bytes.
    pub bytes: u64,
}

/// The kind of a failure with a remedy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Another one.
    Other,
    /// The transport, the key or the account may only read.
    ReadOnly,
    /// The server does not accept the keys.
    Credentials,
    /// The server's clock and this machine's are too far apart.
    Clock,
    /// There is no such bucket.
    NoBucket,
    /// The bucket is in another region.
    Region,
    /// A page for people came in place of a file.
    Page,
    /// The connection is not secure: the server's certificate is not trusted.
    Certificate,
    /// The other side has no genstore.
    NoProgram,
    /// The genstore of the other side is too old.
    OldProgram,
    /// The genstore of the other side is newer than this one.
    NewProgram,
    /// ssh was refused: by the key, by the account, or because the host is unknown.
    Login,
}

/// A request without a usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the request may have had its effect, or may have it later: a time-out, a lost connection, or
    /// an answer such as 409, 500 or 503. It may be sent again.
    pub is_ambiguous: bool,
    /// The cause, for people.
    pub message: String,
    /// The kind of the cause.
    pub reason: Reason,
}

impl Failure {
    /// Creates a failure that another attempt cannot mend.
    pub fn final_one(message: impl Into<String>) -> Failure {
        Failure { is_ambiguous: false, message: message.into(), reason: Reason::Other }
    }

    /// Creates a failure that another attempt may mend.
    pub fn ambiguous(message: impl Into<String>) -> Failure {
        Failure { is_ambiguous: true, message: message.into(), reason: Reason::Other }
    }

    /// Creates the failure of a part that cannot be made.
    pub(crate) fn of_part(error: std::io::Error) -> Failure {
        Failure::final_one(format!("a part cannot be made: {error}"))
    }

    /// Sets the kind of its cause.
    pub fn because(self, reason: Reason) -> Failure {
        Failure { reason, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Makes the next part of a long file.
pub type Parts<'a> = dyn FnMut() -> std::io::Result<Option<Vec<u8>>> + 'a;

/// The answer to a request for a file.
pub type Got = Result<Option<Vec<u8>>, Failure>;

/// Reads two files at once, with a thread for the second one.
pub(crate) fn get_at_once(transport: &dyn Transport, keys: [&str; 2], limit: u64) -> [Got; 2] {
    thread::scope(|scope| {
        let second = thread::Builder::new().spawn_scoped(scope, || transport.get(keys[1], limit));
        let first = transport.get(keys[0], limit);
        // If the system refuses a thread, one comes after the other.
        let second = second.ok().and_then(|thread| thread.join().ok());
        [first, second.unwrap_or_else(|| transport.get(keys[1], limit))]
    })
}

/// The requests to a remote. All of them block. A key is a relative path of ASCII characters.
pub trait Transport: Send + Sync {
    /// Returns a file, or `None` if there is none. A file longer than `limit` is a failure.
    ///
    /// # Errors
    /// [`Failure`].
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure>;

    /// Returns a part of a file: fewer bytes than `len` where the file ends, and none after its end.
    ///
    /// # Errors
    /// [`Failure`].
    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure>;

    /// Returns two files, in one round trip if the transport can.
    fn get_two(&self, keys: [&str; 2], limit: u64) -> [Got; 2] {
        keys.map(|key| self.get(key, limit))
    }

    /// Creates a file, all at once, if there is none with this key.
    ///
    /// # Errors
    /// [`Failure`].
    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure>;

    /// Creates a file from parts, one after the other, until there is none. Nobody else creates a file with
    /// this key. Returns the number of requests.
    ///
    /// # Errors
    /// [`Failure`], also if a part cannot be made.
    fn create_long(&self, key: &str, parts: &mut Parts<'_>) -> Result<u64, Failure> {
        let mut all = vec![];
        while let Some(part) = parts().map_err(Failure::of_part)? {
            all.extend(part);
        }
        self.create(key, &all).map(|_| 1)
    }

    /// Creates or replaces a file, all at once.
    ///
    /// # Errors
    /// [`Failure`].
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure>;

    /// Creates or replaces a file whose loss is harmless. A transport need not await the answer.
    fn put_unheard(&self, key: &str, bytes: &[u8]) {
        drop(self.put(key, bytes));
    }

    /// Lists the files whose keys begin with a prefix.
    ///
    /// # Errors
    /// [`Failure`].
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure>;

    /// Removes a file. A missing file is no failure.
    ///
    /// # Errors
    /// [`Failure`].
    fn delete(&self, key: &str) -> Result<(), Failure>;
}

/// The number of requests and of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that read.
    pub gets: u64,
    /// Requests that write.
    pub puts: u64,
    /// Listings.
    pub lists: u64,
    /// Removals.
    pub deletes: u64,
    /// Bytes of files that were read.
    pub received: u64,
    /// Bytes of files that were written.
    pub sent: u64,
}

impl Traffic {
    /// Returns the number of all requests.
    pub fn requests(&self) -> u64 {
        self.gets + self.puts + self.lists + self.deletes
    }
}

/// A transport that counts its requests.
pub struct Counted {
    inner: Box<dyn Transport>,
    gets: AtomicU64,
    puts: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    log: Option<Mutex<Vec<String>>>,
}

impl Counted {
    /// Counts the requests of a transport.
    pub fn new(inner: Box<dyn Transport>) -> Counted {
        let zero = || AtomicU64::new(0);
        Counted {
            inner,
            gets: zero(),
            puts: zero(),
            lists: zero(),
            deletes: zero(),
            received: zero(),
            sent: zero(),
            log: None,
        }
    }

    /// Remembers each request, for tests.
    pub fn logged(mut self) -> Counted {
        self.log = Some(Mutex::default());
        self
    }

    /// Returns the requests so far, if they are remembered.
    pub fn log(&self) -> Vec<String> {
        let log = self.log.as_ref().map(|log| log.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        log.map_or_else(Vec::new, |log| log.clone())
    }

    /// Returns the counts so far.
    pub fn traffic(&self) -> Traffic {
        let of = |count: &AtomicU64| count.load(Relaxed);
        Traffic {
            gets: of(&self.gets),
            puts: of(&self.puts),
            lists: of(&self.lists),
            deletes: of(&self.deletes),
            received: of(&self.received),
            sent: of(&self.sent),
        }
    }

    fn note(&self, count: &AtomicU64, verb: &str, key: &str) {
        count.fetch_add(1, Relaxed);
        if let Some(log) = &self.log {
            log.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(format!("{verb} {key}"));
        }
    }

    fn received(&self, bytes: Got) -> Got {
        if let Ok(Some(bytes)) = &bytes {
            self.received.fetch_add(bytes.len() as u64, Relaxed);
        }
        bytes
    }
}

impl Transport for Counted {
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.note(&self.gets, "GET", key);
        self.received(self.inner.get(key, limit))
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        self.note(&self.gets, "GET", key);
        self.received(self.inner.get_range(key, start, len))
    }

    fn get_two(&self, keys: [&str; 2], limit: u64) -> [Got; 2] {
        keys.iter().for_each(|key| self.note(&self.gets, "GET", key));
        self.inner.get_two(keys, limit).map(|got| self.received(got))
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        self.note(&self.puts, "PUT", key);
        self.sent.fetch_add(bytes.len() as u64, Relaxed);
        self.inner.create(key, bytes)
    }

    fn create_long(&self, key: &str, parts: &mut Parts<'_>) -> Result<u64, Failure> {
        let mut counted = || {
            let part = parts()?;
            self.sent.fetch_add(part.as_ref().map_or(0, Vec::len) as u64, Relaxed);
            Ok(part)
        };
        self.note(&self.puts, "PUT", key);
        let requests = self.inner.create_long(key, &mut counted)?;
        self.puts.fetch_add(requests.saturating_sub(1), Relaxed);
        Ok(requests)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.note(&self.puts, "PUT", key);
        self.sent.fetch_add(bytes.len() as u64, Relaxed);
        self.inner.put(key, bytes)
    }

    fn put_unheard(&self, key: &str, bytes: &[u8]) {
        self.note(&self.puts, "PUT", key);
        self.sent.fetch_add(bytes.len() as u64, Relaxed);
        self.inner.put_unheard(key, bytes);
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        self.note(&self.lists, "LIST", prefix);
        self.inner.list(prefix)
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        self.note(&self.deletes, "DELETE", key);
        self.inner.delete(key)
    }
}
