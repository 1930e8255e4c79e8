//! The server: it accepts connections until its handle stops it.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, watch};

use crate::asker::Asker;
use crate::connection::Patient;
use crate::desk::Desk;
use crate::error::Error;
use crate::events::{Counters, Event};
use crate::generations::Generations;
use crate::handle::handle;
use crate::live::Live;
use crate::options::Options;
use crate::site::Site;
use crate::squeeze::Squeezer;

/// The interval of looks at the store without a notice.
const LOOK: Duration = Duration::from_secs(1);
/// The largest head of a request, in bytes.
const HEAD: usize = 32 << 10;
/// The pause after a failure to accept, for example at the limit of descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Wakes and stops a running server, from any thread.
#[derive(Clone)]
pub struct Handle {
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    live: Live,
}

impl Handle {
    /// Creates a handle for a server that does not run yet.
    #[must_use]
    pub fn new() -> Handle {
        Handle { wake: Arc::default(), stop: watch::Sender::new(false), live: Live::new() }
    }

    /// Makes the server look at the store now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Shows the message of a failed build over open pages, until a build succeeds.
    pub fn build_failed(&self, message: &str) {
        self.live.failed(message);
    }

    /// Takes the message of a failed build away.
    pub fn build_succeeded(&self) {
        self.live.mended();
    }

    /// Stops the server: no new connections, and the open ones end after their present response.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Default for Handle {
    fn default() -> Handle {
        Handle::new()
    }
}

/// Runs a server on these sockets until the handle stops it.
///
/// # Errors
/// If the store cannot be opened, or the system refuses threads or sockets.
pub fn run(options: Options, listeners: Vec<TcpListener>, handle: &Handle) -> Result<(), Error> {
    let options = Arc::new(options);
    let live = handle.live.clone();
    let generations = Generations::new(Arc::clone(&options), live.clone())?;
    let squeezer = Squeezer::new(options.kept.clone());
    let (stop, counters) = (handle.stop.subscribe(), Counters::default());
    let desk = Desk::new(options.verbs.clone(), Arc::clone(&options.events)).map_err(Error::Start)?;
    let site = Arc::new(Site { options, generations, squeezer, live, stop, counters, desk });
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get() * 2).clamp(4, 16);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(8)
        .thread_stack_size(512 << 10)
        .enable_io()
        .enable_time()
        .build()
        .map_err(Error::Start)?;
    let served = runtime.block_on(serve(&site, listeners, handle));
    runtime.shutdown_timeout(Duration::from_millis(100));
    (site.options.events)(Event::Stopped);
    served.map_err(Error::Start)
}

async fn serve(site: &Arc<Site>, listeners: Vec<TcpListener>, handle: &Handle) -> io::Result<()> {
    let generation = tokio::task::block_in_place(|| site.generations.current()).ok().map(|held| held.id());
    let slots = Arc::new(Semaphore::new(site.options.limits.connections));
    let mut accepting = vec![];
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        (site.options.events)(Event::Listening { address, generation });
        let (site, slots, stop) = (Arc::clone(site), Arc::clone(&slots), handle.stop.subscribe());
        accepting.push(tokio::spawn(accept(site, listener, slots, stop)));
    }
    let looking = tokio::spawn(look(Arc::clone(site), Arc::clone(&handle.wake)));
    let idling = tokio::spawn(end_when_idle(Arc::clone(site), handle.clone()));
    let learning = {
        let site = Arc::clone(site);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = site.generations.learn_names() {
                site.problem("unreadable-generation", format!("no file is cached for ever: {error}"));
            }
        })
    };
    let mut stop = handle.stop.subscribe();
    // The sender lives as long as the handle.
    stop.wait_for(|stop| *stop).await.ok();
    for accepting in accepting {
        accepting.await.ok();
    }
    looking.abort();
    idling.abort();
    learning.abort();
    let all = site.options.limits.connections as u32;
    // Each connection has one permit until it ends.
    tokio::time::timeout(site.options.limits.stop, slots.acquire_many(all)).await.ok();
    Ok(())
}

/// Looks at the store after each notice, and once in a while.
async fn look(site: Arc<Site>, wake: Arc<Notify>) {
    loop {
        tokio::time::timeout(LOOK, wake.notified()).await.ok();
        let site = Arc::clone(&site);
        tokio::task::spawn_blocking(move || site.generations.refresh()).await.ok();
    }
}

/// Stops the server when it had no connection for the time in the settings.
async fn end_when_idle(site: Arc<Site>, handle: Handle) {
    let Some(idle) = site.options.limits.idle else { return };
    let seen = |site: &Site| {
        let counters = &site.counters;
        (counters.connections.load(Ordering::Relaxed), counters.requests.load(Ordering::Relaxed))
    };
    let mut last = seen(&site);
    loop {
        tokio::time::sleep(idle).await;
        let now = seen(&site);
        if now.0 == 0 && now == last {
            return handle.stop();
        }
        last = now;
    }
}

async fn accept(
    site: Arc<Site>,
    listener: tokio::net::TcpListener,
    slots: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        // At the limit, clients wait in the system's queue until a connection ends.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (site, stop) = (Arc::clone(&site), stop.clone());
                tokio::spawn(async move {
                    connection(&site, stream, stop).await;
                    drop(slot);
                });
            }
            Err(error) => {
                let is_of_client = error.kind() == io::ErrorKind::ConnectionAborted;
                if !is_of_client {
                    site.problem("cannot-accept", error.to_string());
                }
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

async fn connection(site: &Arc<Site>, stream: TcpStream, mut stop: watch::Receiver<bool>) {
    // Without it the end of a small response may wait for an acknowledgement of the client.
    stream.set_nodelay(true).ok();
    site.counters.connections.fetch_add(1, Ordering::Relaxed);
    let limits = site.options.limits;
    let asker = Asker::of(stream.peer_addr().ok(), stream.local_addr().ok());
    let io = TokioIo::new(Patient::new(stream, limits.stalled));
    let service =
        service_fn(|request| async move { Ok::<_, Infallible>(handle(site, request, asker).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let stops = tokio::select! {
        // An error: the client went away, was too slow, or sent something else than HTTP.
        _ = connection.as_mut() => false,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stops {
        connection.as_mut().graceful_shutdown();
        connection.await.ok();
    }
    site.counters.connections.fetch_sub(1, Ordering::Relaxed);
}
