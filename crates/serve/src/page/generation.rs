//! One generation: what is known about it, its sizes, its files, and the log of its build.

use std::fmt::Write;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genstore::tree::{FileNode, Node, Tree};
use genstore::{Error, Generation, GenerationId, Rev, Store};
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::layout::{Live, REGION, address, ago, page, path, size};
use super::respond;
use super::treemap::{Tile, treemap};
use crate::answers::escape;
use crate::body::Body;
use crate::kind;
use crate::site::Site;

/// The number of rows of a list.
const MOST_ROWS: usize = 5000;
/// The part of a build's log that is shown, from its end, in bytes.
const MOST_LOG: u64 = 64 << 10;
/// The time for the reasons that keep it.
const LIMIT: Duration = Duration::from_secs(30);
/// The classes of files, with their names.
const KINDS: [(&str, &str); 6] = [
    ("html", "Pages"),
    ("style", "Style sheets"),
    ("script", "Scripts"),
    ("image", "Images"),
    ("data", "Data and text"),
    ("other", "Others"),
];

/// Opens a generation, and reads its tree.
pub(super) fn open(store: &Store, id: GenerationId) -> Result<(Generation, Tree), Error> {
    let generation = store.open_generation(&Rev::Number(id))?;
    let tree = generation.manifest()?.tree;
    Ok((generation, tree))
}

/// Answers with the page of a generation.
pub(super) async fn generation(site: &Arc<Site>, id: GenerationId, headers: &HeaderMap) -> Response<Body> {
    let store = site.generations.store();
    let words = vec!["show".to_owned(), id.to_string()];
    let shown = site.desk.run(&store, words, LIMIT).await.unwrap_or_default();
    let now = (site.options.clock)();
    match tokio::task::block_in_place(|| show(&store, id, &shown, now)) {
        Ok(page) => respond::html(StatusCode::OK, page),
        Err(error) => respond::unreadable(site, &error, headers),
    }
}

/// Creates the page. `shown`: the document of `show`.
fn show(store: &Store, id: GenerationId, shown: &Value, now: SystemTime) -> Result<String, Error> {
    let (generation, tree) = open(store, id)?;
    let head = generation.head()?;
    let mut body = facts(&generation, shown, now)?;
    let files = tree.iter_files().map(|(path, file)| tile(path, file)).collect();
    let label = format!("Sizes of the {} files of generation {id}, {}", head.files, size(head.bytes));
    body.push_str(&treemap(&label, files, &KINDS));
    if let Some(log) = generation.build_log()? {
        body.push_str(&build_log(log)?);
    }
    body.push_str("<h2>Files</h2>");
    write!(
        body,
        "<div {REGION} aria-label=\"Files\"><table><tr><th>Path</th><th class=\"n\">Size</th><th></th></tr>"
    )
    .ok();
    for entry in tree.iter().take(MOST_ROWS) {
        let shown = match entry.node {
            Node::File(file) => size(file.size),
            Node::Symlink(target) => format!("→ {}", path(target)),
            Node::EmptyDir => "empty folder".to_owned(),
        };
        let to = address(entry.path);
        write!(
            body,
            "<tr><td class=\"path\"><a href=\"/@gen/{id}/{to}\">{}</a></td><td class=\"n\">{shown}</td>\
             <td class=\"n\"><a href=\"/@genstore/path/{to}\">History</a></td></tr>",
            path(entry.path)
        )
        .ok();
    }
    body.push_str("</table></div>");
    if tree.len() > MOST_ROWS {
        write!(body, "<p class=\"dim\">{} more are not shown.</p>", tree.len() - MOST_ROWS).ok();
    }
    Ok(page(&format!("Generation {id}"), Live::Still, &body))
}

/// Shows what is known about a generation, and how to publish it elsewhere.
fn facts(generation: &Generation, shown: &Value, now: SystemTime) -> Result<String, Error> {
    let (id, head) = (generation.id(), generation.head()?);
    let mut rows = String::new();
    let mut row = |name: &str, value: &str| {
        write!(rows, "<dt>{name}</dt><dd>{value}</dd>").ok();
    };
    if !head.note.is_empty() {
        row("Note", &escape(&head.note));
    }
    row("Created", &ago(head.created.into(), now));
    for (key, value) in &head.facts {
        row(&escape(key), &escape(value));
    }
    let text = |name: &str| shown[name].as_str().map(escape);
    if shown["mark"] == "bad" {
        row("Mark", &format!("bad{}", text("mark_why").map_or(String::new(), |why| format!(": {why}"))));
    }
    let kept = shown["kept_by"].as_array();
    if let Some(reasons) = kept {
        let reasons: Vec<String> = reasons.iter().filter_map(Value::as_str).map(escape).collect();
        let nothing = "nothing: the next gc removes it".to_owned();
        row("Kept by", &if reasons.is_empty() { nothing } else { reasons.join("; ") });
    }
    let bytes = |name: &str| shown[name].as_u64().map(size);
    if let (Some(shared), Some(exclusive)) = (bytes("shared_bytes"), bytes("exclusive_bytes")) {
        row("Space", &format!("{exclusive} that only it has, {shared} that others have, too"));
    }
    row("Tree", &format!("<code>{}</code>", head.tree));
    row(
        "Elsewhere",
        &format!(
            "<code>genstore export {id} --archive site-{id}.tar</code> here, and there \
             <code>genstore import site-{id}.tar --activate</code>"
        ),
    );
    Ok(format!("<dl class=\"card facts\">{rows}</dl>"))
}

fn tile(path: &[u8], file: FileNode) -> Tile {
    Tile { path: path.to_vec(), bytes: file.size, class: class(path), text: size(file.size) }
}

/// Returns the class of a file.
fn class(path: &[u8]) -> &'static str {
    let kind = kind::of(path);
    let kind = kind.split(';').next().unwrap_or_default();
    match kind {
        "text/html" | "application/xhtml+xml" => "html",
        "text/css" => "style",
        "text/javascript" | "application/javascript" | "application/wasm" => "script",
        "application/json" | "application/xml" => "data",
        _ if kind.starts_with("image/") || kind.starts_with("font/") => "image",
        _ if kind.starts_with("text/") => "data",
        _ => "other",
    }
}

/// Shows the end of the log of a build.
fn build_log(mut log: std::fs::File) -> Result<String, Error> {
    use std::io::{Seek, SeekFrom};
    let bad = |source| Error::Io { op: "read", path: "build.log".into(), source };
    let length = log.metadata().map_err(bad)?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(MOST_LOG))).map_err(bad)?;
    let mut bytes = vec![];
    log.take(MOST_LOG).read_to_end(&mut bytes).map_err(bad)?;
    let text = String::from_utf8_lossy(&bytes);
    let cut = if length > MOST_LOG { "<p class=\"dim\">The end of it.</p>" } else { "" };
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    Ok(format!(
        "<details class=\"log\"><summary>Build log ({})</summary>{cut}<div {REGION} aria-label=\"Build log\">\
         <pre class=\"text\">{}</pre></div></details>",
        size(length),
        escape(&text)
    ))
}
