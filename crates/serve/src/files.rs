//! Responses with a file of a generation: validators, ranges, codings, caching.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::time::SystemTime;

use genstore::tree::{FileNode, Node};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use rustix::fs::OFlags;

use crate::body::{Body, CHUNK, Reading};
use crate::conditions::{self, Outcome, Validators};
use crate::encoding::{Accepted, Coding};
use crate::generations::Missing;
use crate::held::{Held, Lease};
use crate::range::{self, Wanted};
use crate::site::Site;
use crate::{answers, kind, squeeze};

/// The number of the generation of a response.
pub(crate) const GENERATION: HeaderName = HeaderName::from_static("genstore-generation");

/// The method and headers of a request.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'r> {
    pub(crate) method: &'r Method,
    pub(crate) headers: &'r HeaderMap,
}

/// A file that answers a request.
pub(crate) struct Serving<'a> {
    pub(crate) lease: &'a Arc<Lease>,
    /// The generation's tree, in which compressed forms may lie beside the file.
    pub(crate) held: Option<&'a Held>,
    pub(crate) path: &'a [u8],
    pub(crate) file: FileNode,
    /// 200, or the status of an error page.
    pub(crate) status: StatusCode,
    /// Bytes that are put into an HTML page.
    pub(crate) insert: Option<String>,
}

/// A chosen representation of the file.
struct Chosen {
    coding: Option<Coding>,
    /// The content: bytes in memory, or the file at another path.
    form: Form,
    tag: String,
}

enum Form {
    Plain,
    Bytes(Bytes),
    Beside(Vec<u8>, FileNode),
    /// The client has it already; it was not made.
    Unmade,
}

/// Creates the response.
pub(crate) async fn respond(site: &Site, asked: Asked<'_>, serving: &Serving<'_>) -> Response<Body> {
    match try_respond(site, asked, serving).await {
        Ok(response) => response,
        Err(error) => {
            if let Err(lost) = tokio::task::block_in_place(|| site.generations.reopen()) {
                return answers::missing(asked.headers, &Missing::Broken(lost));
            }
            let path = genstore::tree::show_path(serving.path);
            let message = format!("cannot read {path} of generation {}: {error}", serving.lease.id());
            site.problem("unreadable-file", message);
            let text = "this file cannot be read; `genstore verify` shows what is damaged";
            answers::plain(StatusCode::INTERNAL_SERVER_ERROR, asked.headers, text)
        }
    }
}

async fn try_respond(site: &Site, asked: Asked<'_>, serving: &Serving<'_>) -> io::Result<Response<Body>> {
    let kind = kind::of(serving.path);
    let is_page = serving.status == StatusCode::OK;
    let inserts = serving.insert.as_ref().filter(|_| kind::is_html(&kind));
    // A range is one of the plain form.
    let ranged = *asked.method == Method::GET && is_page && asked.headers.contains_key(header::RANGE);
    let shrinks = kind::shrinks(&kind) && inserts.is_none();
    let chosen = match shrinks && !ranged {
        true => choose(site, asked, serving).await?,
        false => plain(serving, inserts.is_some()),
    };
    let mut validators = Validators { tag: chosen.tag.clone(), modified: None };
    let mut opened = None;
    if conditions::needs_time(asked.headers) || ranged {
        let (file, modified) = open(serving.lease, serving.path, serving.file)?;
        validators.modified = Some(modified);
        opened = Some((file, modified));
    }
    let outcome = match is_page {
        true => conditions::evaluate(asked.method, asked.headers, &validators),
        false => Outcome::Send,
    };
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    caching(site, serving, headers);
    if kind::shrinks(&kind) {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if is_page && let Ok(tag) = HeaderValue::from_str(&chosen.tag) {
        headers.insert(header::ETAG, tag);
    }
    match outcome {
        Outcome::NotModified => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Outcome::Failed => {
            let text = "the file has changed";
            return Ok(answers::plain(StatusCode::PRECONDITION_FAILED, asked.headers, text));
        }
        Outcome::Send => *response.status_mut() = serving.status,
    }
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(coding) = chosen.coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    } else if inserts.is_none() {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    let (file, modified) = match opened {
        Some(opened) => opened,
        None => open(serving.lease, serving.path, serving.file)?,
    };
    if is_page {
        date(headers, modified);
    }
    if let Some(script) = inserts {
        let page = with_script(&read(&file, serving.file.size)?, script);
        return Ok(with_bytes(response, asked, page));
    }
    match chosen.form {
        Form::Bytes(bytes) => Ok(with_bytes(response, asked, bytes)),
        Form::Beside(path, node) => {
            let (file, _) = open(serving.lease, &path, node)?;
            with_file(response, asked, serving.lease, file, (0, node.size))
        }
        Form::Plain | Form::Unmade => {
            let range =
                ranged && conditions::allows_range(asked.headers, &validators, (site.options.clock)());
            let wanted = match range {
                true => range::parse(first(asked.headers, &header::RANGE), serving.file.size),
                false => Wanted::Whole,
            };
            part(response, asked, serving, file, wanted)
        }
    }
}

/// Sends the wanted part of a file.
fn part(
    mut response: Response<Body>,
    asked: Asked<'_>,
    serving: &Serving<'_>,
    file: File,
    wanted: Wanted,
) -> io::Result<Response<Body>> {
    let size = serving.file.size;
    let (status, shown, part) = match wanted {
        Wanted::Whole => return with_file(response, asked, serving.lease, file, (0, size)),
        Wanted::Part(start, end) => {
            (StatusCode::PARTIAL_CONTENT, format!("bytes {start}-{}/{size}", end - 1), (start, end))
        }
        Wanted::Unsatisfiable => {
            let text = format!("the file has {size} bytes");
            let mut response = answers::plain(StatusCode::RANGE_NOT_SATISFIABLE, asked.headers, &text);
            let range = HeaderValue::from_str(&format!("bytes */{size}")).map_err(io::Error::other)?;
            response.headers_mut().insert(header::CONTENT_RANGE, range);
            return Ok(response);
        }
    };
    *response.status_mut() = status;
    let range = HeaderValue::from_str(&shown).map_err(io::Error::other)?;
    response.headers_mut().insert(header::CONTENT_RANGE, range);
    with_file(response, asked, serving.lease, file, part)
}

fn plain(serving: &Serving<'_>, inserts: bool) -> Chosen {
    // A page with the script of another generation would take every event for one that it missed.
    let coding = if inserts { format!("-live-{}", serving.lease.id()) } else { String::new() };
    Chosen { coding: None, form: Form::Plain, tag: tag(serving.file, &coding) }
}

/// Chooses a compressed form by `Accept-Encoding`, or the plain one.
async fn choose(site: &Site, asked: Asked<'_>, serving: &Serving<'_>) -> io::Result<Chosen> {
    let accepted = Accepted::parse(first(asked.headers, &header::ACCEPT_ENCODING));
    let known = first(asked.headers, &header::IF_NONE_MATCH).unwrap_or_default();
    for coding in accepted.preferred() {
        let tag = tag(serving.file, &format!("-{}", coding.name()));
        if known.contains(&tag) {
            return Ok(Chosen { coding: Some(coding), form: Form::Unmade, tag });
        }
        if let Some(held) = serving.held {
            let beside = [serving.path, coding.ending().as_bytes()].concat();
            if let Some(Node::File(node)) = held.tree.find(&beside) {
                return Ok(Chosen { coding: Some(coding), form: Form::Beside(beside, node), tag });
            }
        }
        if !coding.is_made() || !squeeze::SIZES.contains(&serving.file.size) {
            continue;
        }
        let (lease, path, file) = (Arc::clone(serving.lease), serving.path.to_vec(), serving.file);
        let bytes = move || {
            let (handle, _) = open(&lease, &path, file)?;
            read(&handle, file.size).map(|bytes| bytes.to_vec())
        };
        if let Some(bytes) = site.squeezer.get(serving.file.digest, coding, bytes).await {
            return Ok(Chosen { coding: Some(coding), form: Form::Bytes(bytes), tag });
        }
    }
    Ok(plain(serving, false))
}

/// Sets the headers for caches, and the number of the generation.
fn caching(site: &Site, serving: &Serving<'_>, headers: &mut HeaderMap) {
    let (path, digest) = (serving.path, serving.file.digest);
    let rule = site.options.cache.iter().find(|(paths, _)| paths.matches(path, false));
    let rule = rule.and_then(|(_, value)| HeaderValue::from_str(value).ok());
    let value = match rule {
        Some(rule) => rule,
        None if serving.status == StatusCode::OK && site.generations.is_immutable(path, digest) => {
            HeaderValue::from_static("public, max-age=31536000, immutable")
        }
        None => HeaderValue::from_static("no-cache"),
    };
    headers.insert(header::CACHE_CONTROL, value);
    headers.insert(GENERATION, HeaderValue::from(serving.lease.id().get()));
}

fn with_bytes(mut response: Response<Body>, asked: Asked<'_>, bytes: Bytes) -> Response<Body> {
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if *asked.method != Method::HEAD {
        *response.body_mut() = Body::Full(bytes);
    }
    response
}

fn with_file(
    mut response: Response<Body>,
    asked: Asked<'_>,
    lease: &Arc<Lease>,
    file: File,
    (at, end): (u64, u64),
) -> io::Result<Response<Body>> {
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(end - at));
    *response.body_mut() = match *asked.method == Method::HEAD {
        true => Body::Empty,
        false if end - at <= CHUNK => {
            let mut bytes = vec![0; (end - at) as usize];
            file.read_exact_at(&mut bytes, at)?;
            Body::Full(bytes.into())
        }
        false => Body::File(Reading { file, at, end, _lease: Arc::clone(lease) }),
    };
    Ok(response)
}

/// Opens a file of a generation, and checks that it is as recorded, except for its bytes.
pub(crate) fn open(lease: &Lease, path: &[u8], node: FileNode) -> io::Result<(File, SystemTime)> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let place = lease.root.join(std::ffi::OsStr::from_bytes(path));
    let file = OpenOptions::new().read(true).custom_flags(flags).open(place)?;
    let data = file.metadata()?;
    if !data.is_file() || data.len() != node.size {
        return Err(io::Error::other("it is not as recorded"));
    }
    Ok((file, data.modified()?))
}

/// Reads a whole file.
pub(crate) fn read(file: &File, size: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes.into())
}

/// Puts a script at the end of the body of a page.
fn with_script(page: &[u8], script: &str) -> Bytes {
    let end = b"</body>";
    let at = page.windows(end.len()).rposition(|part| part.eq_ignore_ascii_case(end)).unwrap_or(page.len());
    [&page[..at], script.as_bytes(), &page[at..]].concat().into()
}

/// Creates the entity tag of a form of a file: 128 bits of its digest, and the coding.
fn tag(file: FileNode, coding: &str) -> String {
    let digest = file.digest.to_string();
    format!("\"{}{coding}\"", &digest[..32])
}

fn date(headers: &mut HeaderMap, modified: SystemTime) {
    if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(modified)) {
        headers.insert(header::LAST_MODIFIED, value);
    }
}

/// Returns a header as text, if it is there once.
pub(crate) fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
