//! The responses of pages, with the headers that keep them apart from other pages.

use genstore::Error;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use crate::answers;
use crate::body::Body;
use crate::site::Site;

/// The only sources that the pages may use. Frames show generations by their permalinks, each an origin of its own.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
                      frame-src http://*.localhost:*; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Creates the response for an error of the store.
pub(super) fn unreadable(site: &Site, error: &Error, headers: &HeaderMap) -> Response<Body> {
    if let Error::UnknownRev { .. } = error {
        return answers::plain(StatusCode::NOT_FOUND, headers, "this generation is not kept");
    }
    // The message may name paths of this machine.
    site.problem("unreadable-store", error.to_string());
    answers::plain(StatusCode::SERVICE_UNAVAILABLE, headers, "the store cannot be read")
}

/// Creates the response with a page.
pub(super) fn html(status: StatusCode, page: String) -> Response<Body> {
    response(status, "text/html; charset=utf-8", page)
}

/// Creates the response with a style sheet, a script or an image of the pages.
pub(super) fn asset(kind: &'static str, text: &'static str) -> Response<Body> {
    response(StatusCode::OK, kind, text.to_owned())
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Forms need the origin of the page, which `no-referrer` hides.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    // A page of the site that opens this one cannot reach into it.
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}
