//! The difference of two generations: what grew, the list of changes, and the changed files side by side.

use std::fmt::Write;

use genstore::diff::{Change, diff};
use genstore::tree::{Entry, FileNode, Node};
use genstore::{Error, Generation, GenerationId, Store};

use super::generation::open;
use super::layout::{Live, REGION, address, page, path, size};
use super::lines::{self, Sides};
use super::treemap::{Tile, treemap};
use crate::kind;

/// The number of rows of a list.
const MOST_ROWS: usize = 5000;
/// The largest text that is compared line by line.
const MOST_TEXT: u64 = 256 << 10;
/// The number of files whose content is shown.
const MOST_SHOWN: usize = 40;
/// The classes of changes, with their names.
const CLASSES: [(&str, &str); 4] =
    [("grew", "Grew"), ("came", "Added"), ("shrank", "Shrank"), ("went", "Removed")];

/// The page of a difference.
pub(super) struct Comparison<'a> {
    pub(super) from: GenerationId,
    pub(super) to: GenerationId,
    pub(super) sides: Sides,
    /// The port of permalinks, with its colon.
    pub(super) port: &'a str,
}

impl Comparison<'_> {
    /// Creates the page.
    pub(super) fn page(&self, store: &Store) -> Result<String, Error> {
        let (from, to) = (self.from, self.to);
        let ((old, old_tree), (new, new_tree)) = (open(store, from)?, open(store, to)?);
        let all = diff(&old_tree, &new_tree);
        let counts = all.summary;
        let growth = if counts.bytes < 0 { "smaller" } else { "larger" };
        let mut body = format!(
            "<p class=\"dim\">{} added, {} removed, {} changed, {} renamed; {} {growth}</p>",
            counts.added,
            counts.removed,
            counts.modified,
            counts.renamed,
            size(counts.bytes.unsigned_abs())
        );
        if all.changes.is_empty() {
            body.push_str("<p class=\"card\">Both have the same files.</p>");
            return Ok(page(&self.title(), Live::Still, &body));
        }
        let tiles = all.changes.iter().filter_map(tile).collect();
        body.push_str(&treemap(
            "Files that grew and shrank, each by its difference in bytes",
            tiles,
            &CLASSES,
        ));
        write!(
            body,
            "<div {REGION} aria-label=\"Changes\"><table><tr><th><span class=\"hide\">Change</span></th><th>Path</th>\
             <th class=\"n\">Before</th><th class=\"n\">After</th></tr>"
        )
        .ok();
        for change in all.changes.iter().take(MOST_ROWS) {
            body.push_str(&row(change));
        }
        body.push_str("</table></div>");
        if all.changes.len() > MOST_ROWS {
            write!(body, "<p class=\"dim\">{} more are not shown.</p>", all.changes.len() - MOST_ROWS).ok();
        }
        body.push_str(&self.switch());
        let mut shown = all.changes.iter().filter_map(both_files);
        for both in shown.by_ref().take(MOST_SHOWN) {
            body.push_str(&self.content(&old, &new, &both)?);
        }
        let rest = shown.count();
        if rest > 0 {
            write!(body, "<p class=\"dim\">The content of {rest} more is not shown.</p>").ok();
        }
        Ok(page(&self.title(), Live::Still, &body))
    }

    fn title(&self) -> String {
        format!("Changes from {} to {}", self.from, self.to)
    }

    /// Creates the links between the two ways to show text.
    fn switch(&self) -> String {
        let (from, to) = (self.from, self.to);
        let link = |sides: Sides, query: &str, name: &str| {
            let current = if self.sides == sides { " aria-current=\"true\"" } else { "" };
            format!("<a class=\"button\" href=\"/@genstore/diff/{from}/{to}{query}\"{current}>{name}</a>")
        };
        format!(
            "<nav class=\"row ways\" aria-label=\"Text\">{}{}<a class=\"button\" href=\"/@genstore/diff/{to}/{from}\">\
             The other way round</a></nav>",
            link(Sides::One, "", "One column"),
            link(Sides::Two, "?sides=2", "Side by side")
        )
    }

    /// Shows the change of one file.
    fn content(&self, old: &Generation, new: &Generation, both: &Both<'_>) -> Result<String, Error> {
        let (at, before, after) = (both.path, both.before.size, both.after.size);
        let title = format!("<h2>{}</h2>", path(at));
        let kind = kind::of(at);
        if kind.starts_with("image/") {
            return Ok(format!("{title}{}", self.images(both)));
        }
        let mut out = title;
        let is_text = kind::shrinks(&kind) && before.max(after) <= MOST_TEXT;
        let text = match is_text {
            true => texts(old, new, both)?,
            false => None,
        };
        match text {
            Some((a, b)) => out.push_str(&lines::show(&a, &b, &kind, self.sides)),
            None => {
                let sign = if after < before { "−" } else { "+" };
                write!(
                    out,
                    "<p class=\"card\">{} → {} ({sign}{})</p>",
                    size(before),
                    size(after),
                    size(after.abs_diff(before))
                )
                .ok();
            }
        }
        if kind::is_html(&kind) {
            out.push_str(&self.frames(at));
        }
        Ok(out)
    }

    /// Shows two pages beside each other. Each is of its permalink, so that absolute paths are of its generation.
    fn frames(&self, at: &[u8]) -> String {
        let at = address(at);
        let frame = |id: GenerationId| {
            format!(
                "<figure><figcaption>{id}</figcaption><iframe loading=\"lazy\" sandbox=\"allow-scripts\" \
                 title=\"The page of generation {id}\" src=\"http://g{id}.localhost{}/{at}\"></iframe></figure>",
                self.port
            )
        };
        format!(
            "<details class=\"log\"><summary>Both pages</summary><div class=\"pair\">{}{}</div></details>",
            frame(self.from),
            frame(self.to)
        )
    }

    /// Shows two images beside each other, and over each other. The script of the pages adds a slider.
    fn images(&self, both: &Both<'_>) -> String {
        let at = address(both.path);
        let image = |id: GenerationId, alt: &str| format!("<img src=\"/@gen/{id}/{at}\" alt=\"{alt}\">");
        let (before, after) = (image(self.from, "before"), image(self.to, "after"));
        format!(
            "<div class=\"pair images\"><figure><figcaption>{}, {}</figcaption>{before}</figure>\
             <figure><figcaption>{}, {}</figcaption>{after}</figure>\
             <figure class=\"over\" data-slider><figcaption>One over the other</figcaption><div>{before}{after}</div></figure>\
             <figure class=\"over blend\"><figcaption>Difference: black is equal</figcaption><div>{before}{after}</div>\
             </figure></div>",
            self.from,
            size(both.before.size),
            self.to,
            size(both.after.size)
        )
    }
}

/// A file whose content changed.
struct Both<'c> {
    path: &'c [u8],
    before: FileNode,
    after: FileNode,
}

fn both_files<'c>(change: &Change<'c>) -> Option<Both<'c>> {
    match change {
        Change::Modified(Entry { node: Node::File(a), .. }, Entry { node: Node::File(b), path }) => {
            Some(Both { path, before: *a, after: *b })
        }
        _ => None,
    }
}

/// Reads both contents. Returns `None` if one is no text.
fn texts(old: &Generation, new: &Generation, both: &Both<'_>) -> Result<Option<(String, String)>, Error> {
    let (mut a, mut b) = (vec![], vec![]);
    old.copy_file(both.path, both.before, &mut a)?;
    new.copy_file(both.path, both.after, &mut b)?;
    Ok(String::from_utf8(a).ok().zip(String::from_utf8(b).ok()))
}

fn file_size(entry: Option<Entry<'_>>) -> Option<u64> {
    match entry?.node {
        Node::File(file) => Some(file.size),
        _ => None,
    }
}

/// Returns the tile of a change, by its difference in size.
fn tile(change: &Change<'_>) -> Option<Tile> {
    let (before, after) = (file_size(change.from()), file_size(change.to()));
    let (old, new) = (before.unwrap_or(0), after.unwrap_or(0));
    let class = match (before, after) {
        (None, _) => "came",
        (_, None) => "went",
        _ if new > old => "grew",
        _ => "shrank",
    };
    let sign = if new < old { "−" } else { "+" };
    let bytes = new.abs_diff(old);
    let path = change.path().to_vec();
    (bytes > 0).then(|| Tile { path, bytes, class, text: format!("{sign}{}", size(bytes)) })
}

fn row(change: &Change<'_>) -> String {
    let (op, word) = match change {
        Change::Added(_) => ("A", "added"),
        Change::Removed(_) => ("D", "removed"),
        Change::Modified(..) => ("M", "changed"),
        Change::Renamed(..) => ("R", "renamed"),
    };
    let shown = |entry: Option<Entry<'_>>| match entry.map(|entry| entry.node) {
        Some(Node::File(file)) => size(file.size),
        Some(_) => "-".to_owned(),
        None => String::new(),
    };
    let name = match change {
        Change::Renamed(from, to) => format!("{} → {}", path(from.path), path(to.path)),
        _ => path(change.path()),
    };
    format!(
        "<tr><td class=\"op {op}\"><abbr title=\"{word}\">{op}</abbr></td><td class=\"path\">\
         <a href=\"/@genstore/path/{}\">{name}</a></td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        address(change.path()),
        shown(change.from()),
        shown(change.to())
    )
}
