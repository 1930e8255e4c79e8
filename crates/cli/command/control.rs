//! What is asked of a running `watch`, over a socket that has no file: its name is made of the store's device
//! and inode. Only the same user and root are heard, and believed.

use std::io::{self, BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use anyhow::Result;
use genstore::Store;
use rustix::net::{Shutdown, shutdown, sockopt::socket_peercred};
use rustix::process::getuid;
use serde::{Deserialize, Serialize};

use crate::command::running;
use crate::errors::Fail;

/// Who has said nothing after so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request, or an answer, is no longer than this.
const LONGEST: u64 = 1 << 16;

/// What is asked of a watch.
#[derive(Serialize, Deserialize, Debug)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub(crate) enum Request {
    /// To build, though no source changed.
    Rebuild,
    /// To start a program anew.
    Restart { name: String },
}

/// What it says to that.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Answer {
    /// It does it.
    pub(crate) done: bool,
    /// The number of its process.
    pub(crate) pid: u32,
    /// The names of its programs, where it has none of the name that was asked for.
    pub(crate) names: Vec<String>,
}

/// Who asked, waiting for the answer.
pub(crate) struct Asker(UnixStream);

impl Asker {
    /// Answers. That nobody waits for it any more is no failure.
    pub(crate) fn answer(self, answer: &Answer) {
        send(&self.0, answer).unwrap_or_default();
    }
}

/// Asks the watch of this store.
///
/// # Errors
/// Where none runs, or none that answers.
pub(crate) fn ask(store: &Store, request: &Request) -> Result<Answer> {
    let asked = (|| {
        let stream = UnixStream::connect_addr(&address(store)?)?;
        check_peer(&stream)?;
        send(&stream, request)?;
        receive(&stream)
    })();
    asked.map_err(|error| {
        let hint = "start one with `genstore watch`, as the same user and on the same machine";
        anyhow::Error::from(error).context(Fail::new("no-watch", "no watch of this store answers", hint))
    })
}

/// Hears what is asked, as long as it lives.
pub(crate) struct Listener(UnixListener);

impl Listener {
    /// Begins to hear; `heard` is called in another thread.
    ///
    /// # Errors
    /// Where there can be no such socket, or no thread.
    pub(crate) fn begin(
        store: &Store,
        heard: impl Fn(Request, Asker) + Send + 'static,
    ) -> Result<Listener> {
        let listener = UnixListener::bind_addr(&address(store)?)?;
        let ours = Listener(listener.try_clone()?);
        running::spawn("hears what is asked of the watch", move || {
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
    /// Ends the thread, which gives the name free.
    fn drop(&mut self) {
        shutdown(&self.0, Shutdown::Both).unwrap_or_default();
    }
}

fn address(store: &Store) -> io::Result<SocketAddr> {
    let meta = std::fs::metadata(store.path())?;
    SocketAddr::from_abstract_name(format!("genstore-watch-{}-{}", meta.dev(), meta.ino()))
}

fn check_peer(stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = socket_peercred(stream)?.uid;
    match peer == getuid() || peer.is_root() {
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
