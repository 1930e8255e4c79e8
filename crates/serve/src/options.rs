//! The settings of a server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genstore::audit::Patterns;
use genstore::tree::RelPath;
use genstore::{Clock, Store};

use crate::events::Sink;
use crate::target::Hosts;
use crate::verbs::Verbs;

/// Opens the store, also again after it vanished.
pub type Opener = Arc<dyn Fn() -> genstore::Result<Store> + Send + Sync>;

/// The settings of a server.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The clock.
    pub clock: Clock,
    /// Opens the store.
    pub open: Opener,
    /// The receiver of events.
    pub events: Sink,
    /// Whether each request is an event.
    pub tell_requests: bool,
    /// The host names that it answers to.
    pub hosts: Hosts,
    /// The folder of the generation that is the site's root.
    pub root: Option<RelPath>,
    /// Whether pages that do not exist are answered by `index.html`.
    pub spa: bool,
    /// Whether pages follow the store: they get a script.
    pub live: bool,
    /// Origins whose pages may read responses; `*` for all.
    pub cors: Vec<String>,
    /// The time for which paths of generations that were current are still answered.
    pub skew: Duration,
    /// `Cache-Control` of paths, the first match first.
    pub cache: Vec<(Patterns, String)>,
    /// The folder of compressed forms, which are kept between runs.
    pub kept: Option<PathBuf>,
    /// Runs verbs of the program around; `None` for a server without actions and API.
    pub verbs: Option<Verbs>,
    /// The limits for slow clients.
    pub limits: Limits,
}

impl Options {
    /// Creates settings with the defaults.
    pub fn new(clock: Clock, open: Opener, events: Sink) -> Options {
        Options {
            clock,
            open,
            events,
            tell_requests: false,
            hosts: Hosts::default(),
            root: None,
            spa: false,
            live: false,
            cors: vec![],
            skew: Duration::from_secs(24 * 3600),
            cache: vec![],
            kept: None,
            verbs: None,
            limits: Limits::default(),
        }
    }
}

/// Limits that keep slow and hostile clients from using the server up.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The time for the head of a request, and between two requests of a connection.
    pub head: Duration,
    /// The time without any progress after which a response is given up.
    pub stalled: Duration,
    /// The time for open connections after a signal to stop.
    pub stop: Duration,
    /// The number of open connections.
    pub connections: usize,
    /// The time without a connection after which the server ends; `None` to stay.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: Duration::from_secs(30),
            stalled: Duration::from_secs(60),
            stop: Duration::from_secs(10),
            connections: 16_384,
            idle: None,
        }
    }
}
