//! Events for the program around the server, and counters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genstore::GenerationId;

/// An event of the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server accepts connections.
    Listening {
        /// The address.
        address: SocketAddr,
        /// The generation that it serves; `None` if nothing is published yet.
        generation: Option<GenerationId>,
    },
    /// Another generation is served from now on.
    Moved {
        /// The new one.
        generation: GenerationId,
        /// The one before.
        previous: Option<GenerationId>,
    },
    /// A request was answered.
    Request(Answered),
    /// Something that an administrator must know.
    Problem {
        /// A stable name.
        code: &'static str,
        /// One sentence.
        message: String,
    },
    /// All connections are closed.
    Stopped,
}

/// A request that was answered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answered {
    /// The method.
    pub method: String,
    /// The path and query.
    pub target: String,
    /// The status.
    pub status: u16,
    /// The generation of the response.
    pub generation: Option<GenerationId>,
    /// The time until the head of the response was ready.
    pub took: Duration,
}

/// A receiver of events. It must return at once.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// Counters since the start.
#[derive(Default, Debug)]
pub(crate) struct Counters {
    /// Answered requests.
    pub(crate) requests: AtomicU64,
    /// Requests that an older generation of the window answered.
    pub(crate) skewed: AtomicU64,
    /// Responses without a body, as the client had it.
    pub(crate) not_modified: AtomicU64,
    /// Open connections.
    pub(crate) connections: AtomicU64,
}

impl Counters {
    /// Adds one.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
