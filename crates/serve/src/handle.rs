//! From a request to a response.

use std::sync::Arc;
use std::time::Instant;

use genstore::GenerationId;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::answers;
use crate::api;
use crate::asker::Asker;
use crate::body::Body;
use crate::events::{Answered, Counters, Event};
use crate::files::{self, Asked, GENERATION, Serving, first};
use crate::form::Fields;
use crate::generations::Missing;
use crate::held::Held;
use crate::live;
use crate::page;
use crate::site::{Route, Site};
use crate::target::{self, BadPath, Which};

/// The methods that files answer to.
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// Answers a request of a connection.
pub(crate) async fn handle(site: &Arc<Site>, request: Request<Incoming>, asker: Asker) -> Response<Body> {
    let start = Instant::now();
    Counters::count(&site.counters.requests);
    let (head, sent) = request.into_parts();
    let request = Request::from_parts(head, ());
    let mut response = respond(site, &request, (asker, sent)).await;
    // Pages elsewhere never read the server's own.
    if !request.uri().path().starts_with(target::OWN) {
        cors(site, &request, response.headers_mut());
    }
    if response.status() == StatusCode::NOT_MODIFIED {
        Counters::count(&site.counters.not_modified);
    }
    if site.options.tell_requests {
        let generation = response.headers().get(GENERATION).and_then(|value| value.to_str().ok());
        (site.options.events)(Event::Request(Answered {
            method: request.method().to_string(),
            target: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
            status: response.status().as_u16(),
            generation: generation.and_then(GenerationId::parse),
            took: start.elapsed(),
        }));
    }
    response
}

async fn respond(site: &Arc<Site>, request: &Request<()>, sent: (Asker, Incoming)) -> Response<Body> {
    let headers = request.headers();
    // The address of the request takes precedence over the header (RFC 9112, 3.2.2).
    let named = request.uri().authority().map(|authority| authority.as_str());
    let only = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_none();
    let host = named.or_else(|| first(headers, &header::HOST)).unwrap_or("localhost");
    let Some(by_host) = site.options.hosts.which(host).filter(|_| only(&header::HOST)) else {
        let text = "this server does not answer to that host name";
        return answers::plain(StatusCode::MISDIRECTED_REQUEST, headers, text);
    };
    let path = request.uri().path();
    let is_own = path.starts_with(target::OWN) && target::parse(path).is_ok();
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return options(),
        Method::POST if is_own && path.starts_with(page::ACT) => {
            return match sent.0.is_here(headers, host) {
                true => page::act(site, request, host, sent).await.unwrap_or_else(|| not_found(headers)),
                false => {
                    answers::plain(StatusCode::FORBIDDEN, headers, "actions are for this machine alone")
                }
            };
        }
        _ => {
            let text = "only GET and HEAD are possible here";
            let mut response = answers::plain(StatusCode::METHOD_NOT_ALLOWED, headers, text);
            response.headers_mut().insert(header::ALLOW, ALLOWED);
            return response;
        }
    }
    if is_own {
        return own(site, request, host, sent.0).await;
    }
    visit(site, request, by_host).await
}

/// Answers a path of a generation.
async fn visit(site: &Arc<Site>, request: &Request<()>, by_host: Which) -> Response<Body> {
    let headers = request.headers();
    let path = request.uri().path();
    let mut target = match target::parse(path) {
        Ok(target) => target,
        Err(BadPath::Malformed) => {
            return answers::plain(StatusCode::BAD_REQUEST, headers, "this is not a path of the site");
        }
        Err(BadPath::Nowhere) => return not_found(headers),
        Err(BadPath::NeedsSlash) => {
            return answers::redirect(StatusCode::MOVED_PERMANENTLY, &format!("{path}/"));
        }
    };
    let which = target.which.get_or_insert(by_host).clone();
    let is_permalink = which != Which::Current;
    let held = match held(site, &which) {
        Ok(held) => held,
        Err(missing) => {
            if let Missing::Broken(error) = &missing {
                site.problem("unreadable-store", error.to_string());
            }
            return answers::missing(headers, &missing);
        }
    };
    if !is_permalink {
        target.which = None;
    }
    let asked = Asked { method: request.method(), headers };
    let asks_for_page = first(headers, &header::ACCEPT).is_none_or(|accept| accept.contains("text/html"));
    let insert = (site.options.live && !is_permalink).then(|| live::element(held.id()));
    let route = site.route(&held, &target, asks_for_page);
    let mut response = match route {
        Route::File(path, file, status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let (lease, held) = (&held.lease, Some(&*held));
            let serving = Serving { lease, held, path: &path, file, status, insert };
            files::respond(site, asked, &serving).await
        }
        Route::Older(lease, path, file) => {
            Counters::count(&site.counters.skewed);
            let (lease, status) = (&lease, StatusCode::OK);
            let serving = Serving { lease, held: None, path: &path, file, status, insert: None };
            files::respond(site, asked, &serving).await
        }
        Route::Elsewhere(status, to) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
            answers::redirect(status, &with_query(&to, request.uri().query()))
        }
        Route::Nothing => not_found(headers),
    };
    own_headers(&held, &target.path, response.headers_mut());
    if is_permalink {
        response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
    }
    response
}

/// Answers a path of the server itself.
async fn own(site: &Arc<Site>, request: &Request<()>, host: &str, asker: Asker) -> Response<Body> {
    let (path, headers) = (request.uri().path(), request.headers());
    // Visitors of a site need not see notes and names of publishers.
    let is_here = asker.is_here(headers, host);
    match path {
        live::SCRIPT if site.options.live => live::script(),
        live::EVENTS if site.options.live || is_here => {
            let shown = Fields::parse(request.uri().query().unwrap_or_default());
            let shown = shown.get("from").and_then(GenerationId::parse).map(Which::Number);
            let get = |which: &Which| tokio::task::block_in_place(|| site.generations.get(which).ok());
            let held = || (get(&Which::Current), shown.as_ref().and_then(get));
            site.live.listen(held, site.generations.site(), site.stop.clone())
        }
        _ if !is_here => not_found(headers),
        _ if path.starts_with(api::API) => {
            api::answer(site, path, request.uri().query().unwrap_or_default(), headers).await
        }
        _ => page::answer(site, request, host, asker).await.unwrap_or_else(|| not_found(headers)),
    }
}

/// Returns the generation of a request. A current one that is held costs one readlink; reading another one
/// blocks, so other requests move to other threads meanwhile.
fn held(site: &Arc<Site>, which: &Which) -> Result<Arc<Held>, Missing> {
    match which {
        Which::Current => site.generations.current_or(|resolve| tokio::task::block_in_place(resolve)),
        which => tokio::task::block_in_place(|| site.generations.get(which)),
    }
}

/// Adds the headers of the site's `_headers`.
fn own_headers(held: &Held, path: &[u8], headers: &mut HeaderMap) {
    if !held.rules.have_headers() {
        return;
    }
    for (name, value) in held.rules.headers(&format!("/{}", String::from_utf8_lossy(path))) {
        headers.insert(name.clone(), value.clone());
    }
}

fn with_query(to: &str, query: Option<&str>) -> String {
    match query {
        Some(query) if !to.contains('?') => format!("{to}?{query}"),
        _ => to.to_owned(),
    }
}

fn not_found(headers: &HeaderMap) -> Response<Body> {
    answers::plain(StatusCode::NOT_FOUND, headers, "there is nothing at this path")
}

fn options() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, ALLOWED);
    response
}

/// Allows pages of other origins to read the response, if the settings say so.
fn cors(site: &Site, request: &Request<()>, headers: &mut HeaderMap) {
    let allowed = &site.options.cors;
    if allowed.is_empty() {
        return;
    }
    let origin = request.headers().get(header::ORIGIN);
    let is_any = allowed.iter().any(|own| own == "*");
    if is_any {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        let is_listed =
            |origin: &&HeaderValue| allowed.iter().any(|own| own.as_bytes() == origin.as_bytes());
        if let Some(origin) = origin.filter(is_listed) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
    if *request.method() == Method::OPTIONS {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    let exposed = HeaderValue::from_static("etag, genstore-generation");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}
