//! Responses that are no files: errors, redirects, and the words in them.

use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use crate::body::Body;
use crate::generations::Missing;

/// Creates a response with a short text: a small page for browsers, plain text for others.
pub(crate) fn plain(status: StatusCode, asked: &HeaderMap, text: &str) -> Response<Body> {
    let wants_html = asked
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let (kind, body) = match wants_html {
        true => ("text/html; charset=utf-8", page(status, text)),
        false => ("text/plain; charset=utf-8", format!("{text}\n")),
    };
    let mut response = Response::new(Body::Full(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn page(status: StatusCode, text: &str) -> String {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>:root{{color-scheme:light dark}}\
         body{{font:1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto;padding:0 1.5rem}}\
         h1{{font-size:1.1rem;opacity:.65;font-weight:600}}</style><h1>{title}</h1><p>{}</p></html>",
        escape(text)
    )
}

/// Escapes text for HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Creates a redirect.
pub(crate) fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Creates the response for a generation that is missing.
pub(crate) fn missing(asked: &HeaderMap, missing: &Missing) -> Response<Body> {
    let kept = |near: &[String]| match near {
        [] => String::new(),
        near => format!("; the nearest that are kept: {}", near.join(", ")),
    };
    let (status, text) = match missing {
        Missing::Nothing => (StatusCode::SERVICE_UNAVAILABLE, "nothing is published yet".to_owned()),
        Missing::Gone(near) => (StatusCode::GONE, format!("this generation was removed{}", kept(near))),
        Missing::Unknown(near) => {
            (StatusCode::NOT_FOUND, format!("there is no such generation{}", kept(near)))
        }
        // The error names paths of this machine. It goes to the program's own output alone.
        Missing::Broken(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be read".to_owned()),
    };
    let mut response = plain(status, asked, &text);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
