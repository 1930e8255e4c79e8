//! Requests to a running `watch`, over a local socket: its name is made from the store's device
//! and inode. Only requests and answers of the same user and of root are accepted.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::Result;
use genstore::Store;
use rustix::net::{Shutdown, shutdown};
use rustix::process::getuid;
use serde::{Deserialize, Serialize};

use crate::command::running;
use crate::errors::Fail;
use crate::system::{self, LocalName};

/// The time after which the connection to a silent peer is closed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest request or answer.
const LONGEST: u64 = 1 << 16;

/// A request to a watch.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub(crate) enum Request {
    /// Build, even if no source changed.
    Rebuild,
    /// Only answer.
    Look,
    /// Restart a program.
    Restart { name: String },
}

/// The state of the build of a watch.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BuildState {
    /// It runs.
    Building,
    /// It has ended, and its result is published or kept.
    #[default]
    Done,
    /// The last one failed.
    Failed,
}

/// The answer of a watch.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Answer {
    /// Whether the watch accepted the request.
    pub(crate) done: bool,
    /// The pid of the watch.
    pub(crate) pid: u32,
    /// The names of its programs, if none has the requested name.
    pub(crate) names: Vec<String>,
    /// The state of the build.
    #[serde(default)]
    pub(crate) build: BuildState,
}

/// A client that waits for the answer.
pub(crate) struct Asker(UnixStream);

impl Asker {
    /// Sends the answer. It is no failure if the client is gone.
    pub(crate) fn answer(self, answer: &Answer) {
        send(&self.0, answer).unwrap_or_default();
    }
}

/// Sends a request to the watch of this store.
///
/// # Errors
/// If no watch runs, or if it does not answer.
pub(crate) fn ask(store: &Store, request: &Request) -> Result<Answer> {
    let asked = (|| {
        let stream = name(store)?.connect()?;
        check_peer(&stream)?;
        send(&stream, request)?;
        receive(&stream)
    })();
    asked.map_err(|error| {
        let hint = "start one with `genstore watch`, as the same user and on the same machine";
        anyhow::Error::from(error).context(Fail::new("no-watch", "no watch of this store answers", hint))
    })
}

/// Receives requests until it is dropped.
pub(crate) struct Listener(UnixListener);

impl Listener {
    /// Starts to receive requests; `heard` is called in another thread.
    ///
    /// # Errors
    /// If the socket or the thread cannot be created.
    pub(crate) fn begin(
        store: &Store,
        heard: impl Fn(Request, Asker) + Send + 'static,
    ) -> Result<Listener> {
        let listener = name(store)?.listen()?;
        let ours = Listener(listener.try_clone()?);
        running::spawn("receives requests to the watch", move || {
            while let Ok((stream, _)) = listener.accept() {
                if check_peer(&stream).is_ok()
                    && let Ok(request) = receive(&stream)
                {
                    heard(request, Asker(stream));
                }
            }
        })?;
        Ok(ours)
    }
}

impl Drop for Listener {
    /// Ends the thread, which frees the name.
    fn drop(&mut self) {
        shutdown(&self.0, Shutdown::Both).unwrap_or_default();
    }
}

fn name(store: &Store) -> io::Result<LocalName> {
    let meta = std::fs::metadata(store.path())?;
    Ok(LocalName::new(format!("genstore-watch-{}-{}", meta.dev(), meta.ino())))
}

fn check_peer(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = system::peer(stream)?;
    match peer == getuid().as_raw() || peer == 0 {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn send(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(format!("{}\n", serde_json::to_string(message)?).as_bytes())
}

fn receive<M: for<'de> Deserialize<'de>>(stream: &UnixStream) -> io::Result<M> {
    let mut line = String::new();
    BufReader::new(io::Read::take(stream, LONGEST)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
