//! The health of the store: checks, space, what gc would free, and what is going on.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use genstore::{Error, Store};
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::layout::{Live, REGION, ago, page, size};
use super::respond;
use crate::answers::escape;
use crate::body::Body;
use crate::desk::{Checked, Failed};
use crate::site::Site;

/// The time for a document of the page.
const LIMIT: Duration = Duration::from_secs(30);
/// The number of generations whose space is shown.
const MOST: usize = 100;
/// The number of faults of a check that are shown.
const MOST_FAULTS: usize = 50;

/// Answers with the page.
pub(super) async fn health(site: &Arc<Site>, headers: &HeaderMap) -> Response<Body> {
    let store = site.generations.store();
    let mut parts = String::new();
    if site.desk.is_open() {
        parts.push_str(&check(site.desk.checked().as_ref(), site));
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let status = site.desk.run(&store, words(&["status"]), LIMIT).await;
        parts.push_str(&status.map_or_else(|failed| problem("Now", &failed), |document| now(&document)));
        let gc = site.desk.run(&store, words(&["gc", "-n"]), LIMIT).await;
        parts.push_str(
            &gc.map_or_else(|failed| problem("Collection", &failed), |document| collection(&document)),
        );
    }
    let made = tokio::task::block_in_place(|| Ok((space(&store)?, store.current()?)));
    match made {
        Ok((space, current)) => {
            let body = format!("<div class=\"cards\">{parts}</div>{space}");
            respond::html(StatusCode::OK, page("Health", Live::Follows(current), &body))
        }
        Err(error) => respond::unreadable(site, &error, headers),
    }
}

fn problem(title: &str, failed: &Failed) -> String {
    format!("<section class=\"card warn\"><h2>{title}</h2><p>{}</p></section>", escape(&failed.message()))
}

/// Shows the last check, and the way to another one.
fn check(checked: Option<&Checked>, site: &Site) -> String {
    let button =
        "<p><a id=\"check\" class=\"button\" href=\"/@genstore/act/verify\">Check all files…</a></p>";
    let (class, text) = match checked {
        None => ("", "<p class=\"dim\">Nothing was checked since this server started.</p>".to_owned()),
        Some(Checked { at, document }) => {
            let number = |name: &str| document["checked"][name].as_u64().unwrap_or(0);
            let (files, bytes) = (number("objects"), size(number("bytes")));
            let when = ago(*at, (site.options.clock)());
            let faults = faults(document);
            let (class, result) = match faults.is_empty() {
                true => ("", "<p class=\"big good\">No damage</p>".to_owned()),
                false => (
                    " warn",
                    format!("<p class=\"big\">{} faults</p><ul>{}</ul>", faults.len(), list(&faults)),
                ),
            };
            (class, format!("{result}<p class=\"dim\">{files} objects, {bytes}, checked {when}</p>"))
        }
    };
    format!("<section class=\"card{class}\"><h2>Integrity</h2>{text}{button}</section>")
}

/// Returns the faults of the document of a check, as sentences.
pub(super) fn faults(document: &Value) -> Vec<String> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or("?").to_owned();
    let all = |name: &str| document[name].as_array().cloned().unwrap_or_default();
    let generation = |value: &Value| value["generation"].as_u64().unwrap_or(0);
    let objects = all("damaged");
    let objects =
        objects.iter().map(|one| format!("object {}: {}", text(one, "digest"), text(one, "cause")));
    let findings = all("findings");
    let findings = findings
        .iter()
        .map(|one| format!("generation {}: {}: {}", generation(one), text(one, "path"), text(one, "rule")));
    let generations = all("generations");
    let generations =
        generations.iter().map(|one| format!("generation {}: {}", generation(one), text(one, "cause")));
    let files = all("files");
    let files = files.iter().map(|one| format!("{}: {}", text(one, "path"), text(one, "cause")));
    objects.chain(findings).chain(generations).chain(files).collect()
}

fn list(texts: &[String]) -> String {
    texts.iter().take(MOST_FAULTS).map(|text| format!("<li>{}</li>", escape(text))).collect()
}

/// Shows what is going on: a hold, stages, and a watch.
fn now(document: &Value) -> String {
    let mut lines = vec![];
    if let Some(id) = document["current"].as_u64() {
        lines.push(format!("Generation {id} is current"));
    }
    if let Some(hold) = document["hold"].as_object() {
        let left = hold.get("left").and_then(Value::as_u64).unwrap_or(0);
        lines
            .push(format!("A rollback from {left} holds it: automatic publications do not become current"));
    }
    match document["stages"].as_array().map_or(0, Vec::len) {
        0 => {}
        1 => lines.push("One stage waits for its commit".to_owned()),
        count => lines.push(format!("{count} stages wait for their commit")),
    }
    match document["watch"].as_object() {
        Some(watch) => {
            let programs = watch.get("programs").and_then(Value::as_array);
            let names: Vec<&str> = programs.into_iter().flatten().filter_map(Value::as_str).collect();
            let with = if names.is_empty() { String::new() } else { format!(" with {}", names.join(", ")) };
            lines.push(format!("A watch is running{with}"));
        }
        None => lines.push("No watch of this user is running".to_owned()),
    }
    if let Some(count) = document["views"].as_array().map(Vec::len).filter(|count| *count > 0) {
        lines.push(format!("{count} views outside the store"));
    }
    format!("<section class=\"card\"><h2>Now</h2><ul>{}</ul></section>", list(&lines))
}

/// Shows what gc would remove.
fn collection(document: &Value) -> String {
    let freed = document["bytes"].as_u64().unwrap_or(0);
    let count = |name: &str| document[name].as_array().map_or(0, Vec::len);
    let ids: Vec<String> = document["remove"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|verdict| verdict["generation"].as_u64())
        .map(|id| id.to_string())
        .collect();
    let which = match ids.as_slice() {
        [] => String::new(),
        few if few.len() <= 12 => format!(": {}", few.join(", ")),
        many => format!(": {} … {}", many[0], many[many.len() - 1]),
    };
    format!(
        "<section class=\"card\"><h2>Collection</h2><p class=\"big\">{}</p><p class=\"dim\">would be freed by \
         <code>genstore gc</code>. It removes {} generations{which}, and keeps {}.</p></section>",
        size(freed),
        count("remove"),
        count("keep")
    )
}

/// Shows the space of each generation.
fn space(store: &Store) -> Result<String, Error> {
    let usage = store.usage()?;
    let most = usage.generations.iter().map(|one| one.exclusive + one.shared).max().unwrap_or(1).max(1);
    let mut rows = String::new();
    for one in usage.generations.iter().take(MOST) {
        let part = |bytes: u64| bytes as f64 / most as f64 * 100.0;
        let (shared, exclusive) = (part(one.shared), part(one.exclusive));
        write!(
            rows,
            "<tr><td><a href=\"/@genstore/g/{0}\">{0}</a></td><td class=\"n\">{1}</td><td class=\"n\">{2}</td>\
             <td class=\"bar\"><svg aria-hidden=\"true\"><rect class=\"size\" width=\"{shared:.2}%\" height=\"100%\"/>\
             <rect class=\"added\" x=\"{shared:.2}%\" width=\"{exclusive:.2}%\" height=\"100%\"/></svg></td></tr>",
            one.id,
            size(one.shared),
            size(one.exclusive)
        )
        .ok();
    }
    if usage.generations.len() > MOST {
        write!(
            rows,
            "<tr><td colspan=\"4\" class=\"dim\">{} older ones</td></tr>",
            usage.generations.len() - MOST
        )
        .ok();
    }
    Ok(format!(
        "<h2>Space</h2><p class=\"dim\">The store takes {} on the disk. Removing a generation frees what only it has.</p>\
         <div {REGION} aria-label=\"Space\"><table><tr><th>Generation</th><th class=\"n\">Shared</th>\
         <th class=\"n\">Only here</th><th class=\"bar\"><span class=\"key size\">shared</span>\
         <span class=\"key added\">only here</span></th></tr>{rows}</table></div>",
        size(usage.store_bytes)
    ))
}
