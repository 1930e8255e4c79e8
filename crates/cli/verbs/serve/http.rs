//! The HTTP server of `serve`: its settings, sockets and events.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::Result;
use genstore::Store;
use genstore::tree::RelPath;
use genstore_serve::{Event, Handle, Hosts, Options};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::again;
use super::arguments::{Serve, ServeDoc, address};
use crate::command::context::Context;
use crate::command::notice;
use crate::errors::{Fail, MORE_PROCESSES};
use crate::exit;
use crate::project::config::ServeSection;
use crate::system::OPENER;
use crate::text::style::DIM;
use crate::text::time;
use crate::watching::{Pages, serving};

/// Events that wait to be printed. More are lost, so that no reader of them delays a request.
const WAITING: usize = 4096;
/// Descriptors that are not for connections.
const OTHER_DESCRIPTORS: u64 = 256;
/// So many connections wait to be accepted, where the system allows it.
const BACKLOG: i32 = 4096;
/// The threads of the server.
const THREADS: usize = 26;

/// Serves until a signal comes.
pub(super) fn serve(args: &Serve, context: &Context<'_>) -> Result<u8> {
    let store = context.open()?;
    let (send, events) = sync_channel(WAITING);
    // An event is lost if too many wait, and after the end.
    let sink = move |event| drop(send.try_send(event));
    let (handle, server, _) = start(args, context, Arc::new(sink))?;
    let waking = handle.clone();
    let _watch = notice::watch(context, &store, move || waking.wake());
    let (signals, stopping) = (Context::catch_signals()?, handle);
    let stop = move || {
        signals.wait_for_more(0);
        stopping.stop();
        // The second signal does not wait for open connections.
        let (signal, _) = signals.wait_for_more(1);
        std::process::exit(128 + signal);
    };
    spawn("signals", stop)?;
    print(context, &events, args.open);
    match server.join() {
        Ok(Ok(())) => Ok(exit::DONE),
        Ok(Err(genstore_serve::Error::Store(error))) => Err(error.into()),
        Ok(Err(error)) => Err(Fail::new("no-thread", error.to_string(), MORE_PROCESSES).into()),
        Err(_) => Err(Fail::new("failed", "the server ended unexpectedly", "report this as a bug").into()),
    }
}

/// A server beside a watch, which ends with it.
pub(in crate::verbs) struct Beside {
    handle: Handle,
    server: Option<Server>,
    address: SocketAddr,
}

impl Beside {
    /// Starts a server of the store, which must exist. Its pages follow the store.
    pub(in crate::verbs) fn start(context: &Context<'_>, addr: Option<SocketAddr>) -> Result<Beside> {
        let args = Serve::beside_watch(addr);
        // The watch reports what happens to the store. Problems of single requests are in their responses.
        let (handle, server, address) = start(&args, context, Arc::new(|_: Event| {}))?;
        Ok(Beside { handle, server: Some(server), address })
    }

    /// Returns the address of the site.
    pub(in crate::verbs) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Returns the function that shows the message of a failed build over open pages, or takes it away. It
    /// also makes the server look at the store.
    pub(in crate::verbs) fn pages(&self) -> Pages {
        let handle = self.handle.clone();
        Box::new(move |message| {
            match message {
                Some(message) => handle.build_failed(message),
                None => handle.build_succeeded(),
            }
            handle.wake();
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.handle.stop();
        // A failure of the server does not change how the watch ended.
        drop(self.server.take().map(Server::join));
    }
}

/// The thread of a server.
type Server = std::thread::JoinHandle<std::result::Result<(), genstore_serve::Error>>;

/// Starts a server in a thread of its own. Returns its first address.
fn start(
    args: &Serve,
    context: &Context<'_>,
    sink: genstore_serve::Sink,
) -> Result<(Handle, Server, SocketAddr)> {
    let default = ServeSection::default();
    let section = context.own_project()?.map_or(&default, |project| &project.config.serve);
    let listeners = listeners(args, section)?;
    let address = listeners.iter().find_map(|socket| socket.local_addr().ok());
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    let options = options(args, section, context, sink)?;
    let handle = Handle::new();
    if !genstore_watch::can_start_threads(THREADS) {
        return Err(Fail::new("no-thread", "cannot start the threads of the server", MORE_PROCESSES).into());
    }
    let running = handle.clone();
    let server = spawn("server", move || genstore_serve::run(options, listeners, &running))?;
    Ok((handle, server, address))
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|error| {
        let fail = Fail::new("no-thread", "cannot start a thread of the server", MORE_PROCESSES);
        anyhow::Error::from(error).context(fail)
    })
}

/// Returns the sockets: those of systemd, or new ones.
fn listeners(args: &Serve, section: &ServeSection) -> Result<Vec<TcpListener>> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut all = vec![];
    for at in 0..passed.len() {
        let bad = |error: std::io::Error| {
            let fail = Fail::new("cannot-listen", "a passed socket cannot be used", "pass TCP sockets");
            anyhow::Error::from(error).context(fail)
        };
        all.extend(passed.take_tcp_listener(at).map_err(bad)?);
    }
    if all.is_empty() {
        let mut addresses = args.addr.clone();
        if addresses.is_empty() {
            let text = section.addr.as_deref().unwrap_or("127.0.0.1:8080");
            let bad =
                |why| Fail { hint: why, ..Fail::usage("bad-listen", "`addr` of [serve] is no address") };
            addresses.push(address(text).map_err(bad)?);
        }
        addresses.iter().try_for_each(|address| bind(*address).map(|bound| all.push(bound)))?;
    }
    let reached = all.iter().filter_map(|socket| socket.local_addr().ok());
    if let Some(address) = reached.clone().find(|address| !address.ip().is_loopback())
        && !args.allow_remote
    {
        let message = format!("other machines reach {address}");
        let hint = "allow this with --allow-remote, or use an address like 127.0.0.1:8080";
        return Err(Fail::new("remote-address", message, hint).with_exit(exit::USAGE).into());
    }
    Ok(all)
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).and_then(|socket| {
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    });
    bound.map_err(|error| {
        let holder = match error.kind() == std::io::ErrorKind::AddrInUse {
            true => serving::holder(address.port()).map(|holder| format!(": {holder} has the port")),
            false => None,
        };
        let message = format!("cannot listen on {address}{}", holder.unwrap_or_default());
        let hint = "end that program, or choose another address with --addr";
        anyhow::Error::from(error).context(Fail::new("cannot-listen", message, hint))
    })
}

/// Returns the settings: flags take precedence over the project's file.
fn options(
    args: &Serve,
    section: &ServeSection,
    context: &Context<'_>,
    events: genstore_serve::Sink,
) -> Result<Options> {
    let path = context.absolute(&context.find_store()?.path);
    let store_options = context.options(None)?;
    let verbs = again::verbs(context, &path);
    let open = move || Store::open(&path, store_options.clone());
    let mut options = Options::new(context.clock(), Arc::new(open), events);
    options.tell_requests = context.out.json() || context.out.is_verbose();
    options.hosts = match (args.allow_remote, section.hosts.is_empty()) {
        (true, true) => Hosts::any(),
        _ => Hosts::of(&section.hosts),
    };
    options.root = match args.root.as_ref().or(section.root.as_ref()) {
        Some(root) => Some(RelPath::new(root.trim_end_matches('/').as_bytes()).map_err(|why| {
            let shown = genstore::tree::show_path(root.as_bytes());
            Fail::usage("bad-path", format!("not a path in a generation: {shown}: {why}"))
        })?),
        None => None,
    };
    options.spa = args.spa || section.spa;
    options.live = args.live;
    options.verbs = Some(verbs);
    options.cors = if args.cors.is_empty() { section.cors.clone() } else { args.cors.clone() };
    options.skew = args.skew.or(section.skew).unwrap_or(options.skew);
    options.limits.idle = args.idle_exit;
    let forever = "public, max-age=31536000, immutable";
    let rules = [(&section.revalidate, "no-cache"), (&section.immutable, forever)];
    let rules = rules.into_iter().filter_map(|(paths, value)| Some((paths.clone()?, value.to_owned())));
    options.cache = rules.collect();
    options.kept = context.cache_home.as_ref().map(|home| home.join("genstore/compressed"));
    let descriptors = more_descriptors();
    options.limits.connections =
        options.limits.connections.min(descriptors.saturating_sub(OTHER_DESCRIPTORS).max(16) as usize);
    Ok(options)
}

/// Raises the limit of descriptors as far as allowed, and returns it.
fn more_descriptors() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => before.unwrap_or(u64::MAX),
    }
}

/// Prints events until the server ends. `opens`: the first address is opened in a browser.
fn print(context: &Context<'_>, events: &Receiver<Event>, mut opens: bool) {
    let print = |event: Event| match context.out.json() {
        true => {
            let time = time::rfc3339(context.now());
            context.out.confirm_document(&ServeDoc { schema: "genstore.serve/1", time, ..document(event) });
        }
        false => say(context, &event),
    };
    while let Ok(event) = events.recv() {
        let address = match &event {
            Event::Listening { address, .. } if std::mem::take(&mut opens) => Some(*address),
            _ => None,
        };
        print(event);
        let failed = address.and_then(|address| open(address).err());
        if let Some(message) = failed {
            print(Event::Problem { code: "cannot-open", message });
        }
    }
}

/// Opens the timeline of the server in the user's browser.
fn open(address: SocketAddr) -> std::result::Result<(), String> {
    let url = format!("http://localhost:{}/@genstore/", address.port());
    let null = std::process::Stdio::null;
    let opened =
        std::process::Command::new(OPENER).arg(&url).stdin(null()).stdout(null()).stderr(null()).spawn();
    let mut opened = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("no browser was opened: there is no {OPENER} here; open {url}")
        }
        _ => format!("no browser was opened: {OPENER}: {error}; open {url}"),
    })?;
    // The opener ends soon. Without a wait it would stay a zombie.
    let waiting = spawn("open", move || opened.wait());
    drop(waiting);
    Ok(())
}

fn document(event: Event) -> ServeDoc {
    let doc = |event| ServeDoc { event, ..ServeDoc::default() };
    match event {
        Event::Listening { address, generation } => {
            ServeDoc { url: Some(format!("http://{address}/")), generation, ..doc("listening") }
        }
        Event::Moved { generation, previous } => {
            ServeDoc { generation: Some(generation), previous, ..doc("moved") }
        }
        Event::Request(request) => ServeDoc {
            generation: request.generation,
            method: Some(request.method),
            target: Some(request.target),
            status: Some(request.status),
            us: Some(request.took.as_micros() as u64),
            ..doc("request")
        },
        Event::Problem { code, message } => {
            ServeDoc { code: Some(code), message: Some(message), ..doc("problem") }
        }
        _ => doc("stopped"),
    }
}

fn say(context: &Context<'_>, event: &Event) {
    match event {
        Event::Listening { address, generation } => {
            let what = generation.map_or("no generation yet".to_owned(), |id| format!("generation {id}"));
            context.out.text(&format!("Serving {what} at http://{address}/\n"));
        }
        Event::Moved { generation, .. } => context.out.note(&format!("Serving generation {generation}")),
        Event::Request(request) => {
            let (status, us) = (request.status, request.took.as_micros());
            let target = genstore::tree::show_path(request.target.as_bytes());
            let line = format!("{status} {} {target} {DIM}{us} us{DIM:#}", request.method);
            context.out.detail(&line);
        }
        Event::Problem { message, .. } => context.out.warn(message),
        _ => context.out.detail("stopped"),
    }
}
