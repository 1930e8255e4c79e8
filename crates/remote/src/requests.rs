//! A remote, and requests that are repeated while their answers are ambiguous.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genstore::tree::Digest;

use crate::cache::Cache;
use crate::codec::{Bad, names};
use crate::error::{Error, Result};
use crate::report::{Report, Way};
use crate::signing::{Sign, Verify};
use crate::transport::{Counted, Created, Failure, Traffic, Transport};

/// The number of attempts of a request, and the pauses between them.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The number of attempts, at least 1.
    pub attempts: u32,
    /// The first pause. Each later one is twice as long.
    pub pause: Duration,
}

impl Default for Patience {
    /// Six attempts within six seconds.
    fn default() -> Patience {
        Patience { attempts: 6, pause: Duration::from_millis(200) }
    }
}

/// A rule that is switched off.
#[cfg(feature = "controls")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A writer does not look for barriers.
    NoWriterCheck,
    /// gc removes files without a barrier.
    Grace,
    /// gc removes old records.
    Compact,
}

/// The options with which a remote is used.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The time.
    pub clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// The repetition of requests.
    pub patience: Patience,
    /// The folder for copies of metadata, and for the newest record that was seen.
    pub cache: Option<Cache>,
    /// The key that signs records.
    pub sign: Option<Arc<dyn Sign>>,
    /// The signers that are trusted. `None`: signatures are not checked.
    pub trust: Option<Arc<dyn Verify>>,
    /// The time after which readers refuse a record as the newest one. Zero: none.
    pub best_before: Duration,
    /// Hears of transfers while they run.
    pub report: Option<Arc<dyn Report>>,
    /// The place of the remote, for messages.
    pub place: String,
    /// The rule that is switched off.
    #[cfg(feature = "controls")]
    pub control: Option<Control>,
}

impl Options {
    /// Creates options without a cache.
    pub fn new(clock: Arc<dyn Fn() -> SystemTime + Send + Sync>, place: impl Into<String>) -> Options {
        Options {
            clock,
            patience: Patience::default(),
            cache: None,
            sign: None,
            trust: None,
            best_before: Duration::ZERO,
            report: None,
            place: place.into(),
            #[cfg(feature = "controls")]
            control: None,
        }
    }

    /// Sets how often a request is repeated.
    pub fn patience(mut self, patience: Patience) -> Options {
        self.patience = patience;
        self
    }

    /// Sets the key that signs records.
    pub fn sign(mut self, sign: Arc<dyn Sign>) -> Options {
        self.sign = Some(sign);
        self
    }

    /// Sets the signers that are trusted.
    pub fn trust(mut self, trust: Arc<dyn Verify>) -> Options {
        self.trust = Some(trust);
        self
    }

    /// Sets the time after which readers refuse a record as the newest one.
    pub fn best_before(mut self, time: Duration) -> Options {
        self.best_before = time;
        self
    }

    /// Sets the folder for copies.
    pub fn cache(mut self, cache: Cache) -> Options {
        self.cache = Some(cache);
        self
    }
}

/// A remote.
pub struct Remote {
    pub(crate) transport: Counted,
    pub(crate) options: Options,
}

impl Remote {
    /// Uses a remote. No request is made.
    pub fn new(transport: Box<dyn Transport>, options: Options) -> Remote {
        Remote { transport: Counted::new(transport), options }
    }

    /// Remembers each request, for tests.
    pub fn logged(self) -> Remote {
        Remote { transport: self.transport.logged(), options: self.options }
    }

    /// Returns the requests so far, if they are remembered.
    pub fn log_of_requests(&self) -> Vec<String> {
        self.transport.log()
    }

    /// Returns the numbers of requests and bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.transport.traffic()
    }

    pub(crate) fn begin(&self, way: Way, bytes: u64) {
        if let Some(report) = &self.options.report {
            report.begin(way, bytes);
        }
    }

    pub(crate) fn advance(&self, bytes: u64) {
        if let Some(report) = &self.options.report {
            report.advance(bytes);
        }
    }

    pub(crate) fn report_traffic(&self) {
        if let Some(report) = &self.options.report {
            report.traffic(self.traffic());
        }
    }

    pub(crate) fn now(&self) -> i64 {
        let since = (self.options.clock)().duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs() as i64)
    }

    /// Repeats a request while its answer is ambiguous. The last argument of `request` is the number of
    /// earlier attempts.
    pub(crate) fn repeat<T>(
        &self,
        (op, key): (&'static str, &str),
        mut request: impl FnMut(u32) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let mut pause = self.options.patience.pause;
        let mut earlier = 0;
        loop {
            match request(earlier) {
                Err(cause) if cause.is_ambiguous && earlier + 1 < self.options.patience.attempts => {}
                Err(cause) => return Err(Error::Request { op, key: key.to_owned(), cause }),
                Ok(done) => {
                    self.report_traffic();
                    return Ok(done);
                }
            }
            std::thread::sleep(pause);
            pause *= 2;
            earlier += 1;
        }
    }

    /// Reads a whole file and checks it. Bytes that were cut off on the way are read again.
    pub(crate) fn get<T>(
        &self,
        key: &str,
        limit: u64,
        check: impl Fn(Vec<u8>) -> std::result::Result<T, Bad>,
    ) -> Result<Option<T>> {
        let mut bad = None;
        let read = self.repeat(("read", key), |_| {
            // Only the last answer counts.
            bad = None;
            let Some(bytes) = self.transport.get(key, limit)? else { return Ok(None) };
            match check(bytes) {
                Ok(value) => Ok(Some(value)),
                Err(why) => {
                    let failure = Failure::ambiguous(why.to_string());
                    bad = Some(why);
                    Err(failure)
                }
            }
        });
        match (read, bad) {
            (Err(_), Some(why)) => Err(Error::bad(key, why)),
            (read, _) => read,
        }
    }

    /// Reads a part of a file that must exist, and checks it. Some stores deny for a while that a file
    /// exists.
    pub(crate) fn must_get<T>(
        &self,
        (key, start, len): (&str, u64, u64),
        check: impl Fn(Vec<u8>) -> std::result::Result<T, Bad>,
    ) -> Result<T> {
        let (mut bad, mut is_missing) = (None, false);
        let read = self.repeat(("read", key), |_| {
            // Only the last answer counts.
            (bad, is_missing) = (None, false);
            let Some(bytes) = self.transport.get_range(key, start, len)? else {
                is_missing = true;
                return Err(Failure::ambiguous("there is no such file"));
            };
            check(bytes).map_err(|why| {
                let failure = Failure::ambiguous(why.to_string());
                bad = Some(why);
                failure
            })
        });
        match (read, bad) {
            (Err(_), _) if is_missing => Err(Error::Missing { key: key.to_owned() }),
            (Err(_), Some(why)) => Err(Error::bad(key, why)),
            (read, _) => read,
        }
    }

    /// Creates a file of the caller's own. For tests, which make files of their own kind.
    #[cfg(feature = "controls")]
    pub fn put_own(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.create_own(key, bytes)
    }

    /// Creates a file whose key holds a nonce, so that no other writer creates it (RMT-6).
    pub(crate) fn create_own(&self, key: &str, bytes: &[u8]) -> Result<()> {
        // If it is taken, an earlier attempt has created it.
        self.repeat(("create", key), |_| self.transport.create(key, bytes)).map(drop)
    }

    /// Checks that there is a remote, or creates it if there is nothing yet.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::NotARemote`].
    pub(crate) fn check_format(&self, create: bool) -> Result<()> {
        let check = |bytes: Vec<u8>| names::check_format(&bytes);
        if self.get(names::FORMAT, 4096, check)?.is_some() {
            return Ok(());
        }
        if !create {
            return Err(Error::NotARemote { place: self.options.place.clone() });
        }
        let made = self
            .repeat(("create", names::FORMAT), |_| self.transport.create(names::FORMAT, names::FORMAT_1))?;
        match made {
            Created::New => Ok(()),
            // Another writer was faster.
            Created::Taken => self.must_get((names::FORMAT, 0, 4096), check),
        }
    }
}

/// Checks bytes by their digest.
pub(crate) fn has_digest(bytes: &[u8], digest: Digest) -> std::result::Result<(), Bad> {
    match Digest::of(bytes) == digest {
        true => Ok(()),
        false => Err(Bad::Malformed("its hash differs")),
    }
}
