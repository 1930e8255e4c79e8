//! The API under `/@genstore/api/`: the documents of the program's verbs, for programs.

use std::sync::Arc;
use std::time::Duration;

use genstore::GenerationId;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::asker;
use crate::body::Body;
use crate::desk::Failed;
use crate::form::Fields;
use crate::live;
use crate::site::Site;

/// The prefix of the API.
pub(crate) const API: &str = "/@genstore/api/";
/// The time for a document.
const LIMIT: Duration = Duration::from_secs(60);

/// Answers a path of the API.
pub(crate) async fn answer(
    site: &Arc<Site>,
    path: &str,
    query: &str,
    headers: &HeaderMap,
) -> Response<Body> {
    if !asker::is_same_site(headers) {
        let document = error("forbidden", "pages of other sites may not ask");
        return response(StatusCode::FORBIDDEN, &document);
    }
    let path = path.strip_prefix(API).unwrap_or_default();
    if path.is_empty() {
        return response(StatusCode::OK, &index());
    }
    let Some(args) = verb(path, &Fields::parse(query)) else {
        return response(StatusCode::NOT_FOUND, &error("unknown-address", "the API has no such address"));
    };
    match site.desk.run(&site.generations.store(), args, LIMIT).await {
        Ok(document) => response(StatusCode::OK, &document),
        Err(failed) => response(status(&failed), &failed.document),
    }
}

/// Returns the addresses.
fn index() -> Value {
    json!({
        "version": 1,
        "addresses": {
            "timeline": {"address": format!("{API}timeline{{?limit}}"), "schema": "genstore.list/1"},
            "generation": {"address": format!("{API}generation/{{number}}"), "schema": "genstore.show/1"},
            "difference": {"address": format!("{API}difference/{{from}}/{{to}}"), "schema": "genstore.diff/1"},
            "path": {"address": format!("{API}path{{?path}}"), "schema": "genstore.log/1"},
            "status": {"address": format!("{API}health/status"), "schema": "genstore.status/1"},
            "space": {"address": format!("{API}health/space"), "schema": "genstore.du/1"},
            "gc": {"address": format!("{API}health/gc"), "schema": "genstore.gc/1"},
            "verify": {"address": format!("{API}health/verify"), "schema": "genstore.verify/1"},
        },
        "events": live::EVENTS,
    })
}

/// Returns the verb of an address.
fn verb(path: &str, query: &Fields) -> Option<Vec<String>> {
    let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
    let number = |text: &str| GenerationId::parse(text).map(|id| id.to_string());
    match path.split_once('/') {
        None if path == "timeline" => match query.get("limit") {
            None => words(&["list"]),
            Some(limit) => words(&["list", "-n", &limit.parse::<u64>().ok()?.max(1).to_string()]),
        },
        // A `--` ends the options: a path may begin with a dash.
        None if path == "path" => words(&["log", "--", query.get("path")?]),
        Some(("generation", id)) => words(&["show", "--tree", &number(id)?]),
        Some(("difference", both)) => {
            let (from, to) = both.split_once('/')?;
            words(&["diff", "--stat", &number(from)?, &number(to)?])
        }
        Some(("health", "status")) => words(&["status"]),
        Some(("health", "space")) => words(&["du"]),
        Some(("health", "gc")) => words(&["gc", "-n"]),
        Some(("health", "verify")) => words(&["verify", "--quick"]),
        _ => None,
    }
}

/// Returns the status for a failure.
pub(crate) fn status(failed: &Failed) -> StatusCode {
    match (failed.code.as_str(), failed.document["exit"].as_u64()) {
        ("unknown-ref" | "no-such-file", _) => StatusCode::NOT_FOUND,
        ("no-verbs", _) => StatusCode::NOT_IMPLEMENTED,
        // The exit statuses of errors in arguments, and of refusals.
        (_, Some(2)) => StatusCode::BAD_REQUEST,
        (_, Some(1 | 5 | 6)) => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn error(code: &str, message: &str) -> Value {
    json!({"schema": "genstore.error/1", "code": code, "message": message})
}

fn response(status: StatusCode, document: &Value) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::from(format!("{document}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
