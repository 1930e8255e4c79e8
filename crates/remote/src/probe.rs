//! The probe: what a store of files must do for the protocol to hold (`remote-layout.md`, "Requirements").
//!
//! Conditional writes of many servers lie or race, some of them only between connections. No documentation
//! tells which, so the server is asked.

use std::thread;

use crate::check::Check;
use crate::error::{Error, Result};
use crate::nonce::random;
use crate::requests::Remote;
use crate::transport::{Created, Failure, Transport};

/// The number of writers that create one file at once, each with a connection of its own.
const WRITERS: usize = 8;

/// Opens another connection to the remote.
pub type Connect<'a> = dyn Fn() -> std::result::Result<Box<dyn Transport>, String> + 'a;

fn refuse<T>(check: Check, why: impl Into<String>) -> Result<T> {
    Err(Error::Distrusted { check, why: why.into() })
}

impl Remote {
    /// Checks the server, unless it was checked from this machine before.
    ///
    /// # Errors
    /// As [`Remote::probe`].
    pub fn probe_once(&self, connect: &Connect<'_>) -> Result<()> {
        if self.options.cache.as_ref().is_some_and(|cache| cache.is_probed()) {
            return Ok(());
        }
        self.probe(connect)
    }

    /// Checks the server with a few files below `probe/`, which are removed again.
    ///
    /// # Errors
    /// [`Error::Distrusted`] with the check that failed; [`Error::Request`].
    pub fn probe(&self, connect: &Connect<'_>) -> Result<()> {
        let nonce = random().map_err(Error::local("get random bytes"))?;
        let hex: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let (one, raced) = (format!("probe/{hex}/one"), format!("probe/{hex}/raced"));
        let checked = self.probe_one(&one).and_then(|()| self.probe_race(&raced, connect));
        for key in [&one, &raced] {
            let removed = self.repeat(("remove", key), |_| self.transport.delete(key));
            // A server that was refused may refuse this, too.
            checked.as_ref().map_or(Ok(()), |()| removed)?;
        }
        if let (Ok(()), Some(cache)) = (&checked, &self.options.cache) {
            cache.set_probed();
        }
        checked
    }

    fn probe_one(&self, key: &str) -> Result<()> {
        let read = || self.repeat(("read", key), |_| self.transport.get(key, 4096));
        let create = |bytes: &[u8]| self.repeat(("create", key), |_| self.transport.create(key, bytes));
        if read()?.is_some() {
            return refuse(Check::Visible, "a file is there before it was created");
        }
        if create(b"0123456789")? != Created::New {
            return refuse(Check::CreateOnly, "a new file is said to be there already");
        }
        if read()?.as_deref() != Some(b"0123456789") {
            return refuse(Check::Visible, "a file that was created is not there, or is another");
        }
        if create(b"other")? != Created::Taken {
            return refuse(Check::CreateOnly, "a file can be created twice");
        }
        if read()?.as_deref() != Some(b"0123456789") {
            return refuse(Check::CreateOnly, "a refused creation changed the file");
        }
        for (start, len, wanted) in [(3, 4, &b"3456"[..]), (8, 100, b"89"), (20, 5, b"")] {
            let part = self.repeat(("read", key), |_| self.transport.get_range(key, start, len))?;
            if part.as_deref() != Some(wanted) {
                return refuse(Check::Range, format!("bytes {start} to {} are others", start + len));
            }
        }
        let folder = &key[..key.len() - 3];
        let listed = self.repeat(("list", folder), |_| self.transport.list(folder))?;
        match listed.iter().any(|file| file.key == key && file.bytes == 10) {
            true => Ok(()),
            false => refuse(Check::List, "a file that was created is not listed"),
        }
    }

    /// Several writers create one file. Exactly one may succeed, and the file has its bytes.
    fn probe_race(&self, key: &str, connect: &Connect<'_>) -> Result<()> {
        let unfit = |why| Error::Unfit { why };
        let connections = (0..WRITERS).map(|_| connect().map_err(unfit)).collect::<Result<Vec<_>>>()?;
        let lost = || Err(Failure::final_one("no thread could be started, or one ended"));
        let answers: Vec<std::result::Result<Created, Failure>> = thread::scope(|scope| {
            let mut threads = vec![];
            for (number, connection) in connections.iter().enumerate() {
                let create = move || connection.create(key, &[b'a' + number as u8; 100]);
                threads.push(thread::Builder::new().spawn_scoped(scope, create));
            }
            let answer = |thread: std::io::Result<thread::ScopedJoinHandle<'_, _>>| {
                thread.map_or_else(|_| lost(), |thread| thread.join().unwrap_or_else(|_| lost()))
            };
            threads.into_iter().map(answer).collect()
        });
        let won: Vec<usize> = (0..WRITERS).filter(|number| answers[*number] == Ok(Created::New)).collect();
        if won.len() > 1 {
            let why = format!("{} of {WRITERS} writers created the same file", won.len());
            return refuse(Check::CreateOnly, why);
        }
        let found = self.repeat(("read", key), |_| self.transport.get(key, 4096))?.unwrap_or_default();
        // Without any answer nothing is known about the server: a limit of this machine, or the network.
        let failures: Vec<&Failure> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        if let Some(&cause) = failures.first()
            && failures.len() == WRITERS
            && found.is_empty()
        {
            return Err(Error::Request { op: "create", key: key.to_owned(), cause: cause.clone() });
        }
        let is_ambiguous =
            |number: &usize| matches!(&answers[*number], Err(failure) if failure.is_ambiguous);
        let mut may_have_won = won.iter().copied().chain((0..WRITERS).filter(is_ambiguous));
        match may_have_won.any(|number| found == [b'a' + number as u8; 100]) {
            true => Ok(()),
            false => refuse(Check::CreateOnly, "the file has the bytes of none of its writers"),
        }
    }
}
