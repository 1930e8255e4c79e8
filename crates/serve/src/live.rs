//! Live reload: events for open pages, and the script that they load.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use genstore::GenerationId;
use genstore::diff::diff;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, watch};

use crate::body::Body;
use crate::held::Held;

/// The address of the script.
pub(crate) const SCRIPT: &str = "/@genstore/live.js";
/// The address of the events.
pub(crate) const EVENTS: &str = "/@genstore/events";
/// The events that a slow page may miss without a reload.
const WAITING: usize = 64;
/// The most paths in an event. After more, pages reload.
const MOST_PATHS: usize = 1000;
/// The time between two signs of life, without which proxies end connections.
const ALIVE: Duration = Duration::from_secs(15);

/// An event for pages.
#[derive(Serialize, Clone)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Message {
    /// The first one of a connection.
    Hello(Hello),
    /// Another generation is served.
    Moved { generation: GenerationId, previous: GenerationId, changed: Option<Vec<String>> },
    /// A page of the server changed marks or pins, or moved `current`.
    Changed,
    /// A build failed.
    Failed { message: String },
    /// A build succeeded after one that failed.
    Mended,
}

/// The state of the server as a page connects.
#[derive(Serialize, Clone)]
pub(crate) struct Hello {
    /// The current generation.
    generation: Option<GenerationId>,
    /// The message of the last build, if it failed.
    failure: Option<String>,
    /// The generation of the page, if it is another one and can still be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<GenerationId>,
    /// The paths that changed since that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<String>>,
}

/// The channel to open pages.
#[derive(Clone)]
pub(crate) struct Live {
    sender: broadcast::Sender<Message>,
    failure: Arc<Mutex<Option<String>>>,
}

impl Live {
    pub(crate) fn new() -> Live {
        Live { sender: broadcast::Sender::new(WAITING), failure: Arc::default() }
    }

    /// Reports to pages that another generation is served, with the paths below `site` that changed.
    pub(crate) fn moved(&self, previous: &Held, held: &Held, site: &[u8]) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let changed = changed(previous, held, site);
        self.send(Message::Moved { generation: held.id(), previous: previous.id(), changed });
    }

    /// Reports to pages that an action was done.
    pub(crate) fn changed(&self) {
        self.send(Message::Changed);
    }

    /// Reports to pages that a build failed.
    pub(crate) fn failed(&self, message: &str) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(message.to_owned());
        self.send(Message::Failed { message: message.to_owned() });
    }

    /// Reports to pages that builds succeed again.
    pub(crate) fn mended(&self) {
        if self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.send(Message::Mended);
        }
    }

    fn send(&self, message: Message) {
        // Without a page there is no receiver.
        self.sender.send(message).ok();
    }

    /// Creates the response of a page that listens, until the server stops. `held` reads the current generation,
    /// and the one that the page shows.
    ///
    /// A page is loaded before it listens, and a generation may be published in between. So the first message
    /// compares the two.
    pub(crate) fn listen(
        &self,
        held: impl FnOnce() -> (Option<Arc<Held>>, Option<Arc<Held>>),
        site: &[u8],
        mut stop: watch::Receiver<bool>,
    ) -> Response<Body> {
        let mut messages = self.sender.subscribe();
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (send, body) = mpsc::channel(4);
        // It is read after the subscription, so that no move is lost in between.
        let (current, shown) = held();
        let mut hello = Hello {
            generation: current.as_ref().map(|held| held.id()),
            failure,
            previous: None,
            changed: None,
        };
        if let (Some(current), Some(shown)) = (current, shown)
            && current.id() != shown.id()
        {
            hello.previous = Some(shown.id());
            hello.changed = changed(&shown, &current, site);
        }
        let hello = frame(&Message::Hello(hello));
        tokio::spawn(async move {
            let mut next = Some(hello);
            loop {
                if let Some(bytes) = next.take()
                    && send.send(bytes).await.is_err()
                {
                    return;
                }
                next = tokio::select! {
                    message = messages.recv() => match message {
                        Ok(message) => Some(frame(&message)),
                        // The page missed something: it connects again, and compares.
                        Err(_) => return,
                    },
                    () = tokio::time::sleep(ALIVE) => Some(Bytes::from_static(b":\n\n")),
                    _ = stop.wait_for(|stop| *stop) => return,
                    () = send.closed() => return,
                };
            }
        });
        let mut response = Response::new(Body::Stream(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Creates the response with the script.
pub(crate) fn script() -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::from_static(include_bytes!("live.js"))));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Returns the element that a page of a generation gets.
pub(crate) fn element(generation: GenerationId) -> String {
    format!("<script src=\"{SCRIPT}\" data-generation=\"{generation}\"></script>")
}

fn frame(message: &Message) -> Bytes {
    let text = serde_json::to_string(message).unwrap_or_default();
    Bytes::from(format!("data: {text}\n\n"))
}

/// Returns the paths below `site` that differ, or `None` if they are too many.
fn changed(previous: &Held, held: &Held, site: &[u8]) -> Option<Vec<String>> {
    let mut paths: Vec<String> = vec![];
    for change in diff(&previous.tree, &held.tree).changes {
        let both = [change.from(), change.to()].into_iter().flatten().map(|entry| entry.path);
        paths.extend(both.filter_map(|path| below(path, site)));
        if paths.len() > MOST_PATHS {
            break;
        }
    }
    paths.dedup();
    (paths.len() <= MOST_PATHS).then_some(paths)
}

/// Returns a path below the site's root, as text.
fn below(path: &[u8], site: &[u8]) -> Option<String> {
    let path = match site.is_empty() {
        true => path,
        false => path.strip_prefix(site)?.strip_prefix(b"/")?,
    };
    Some(String::from_utf8_lossy(path).into_owned())
}
