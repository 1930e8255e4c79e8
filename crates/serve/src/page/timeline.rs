//! The timeline: all generations, newest first.

use std::fmt::Write;
use std::time::SystemTime;

use genstore::generation::{Listed, Mark};
use genstore::{Error, GenerationId, Store};

use super::layout::{Live, address, ago, page, size};
use crate::answers::escape;

/// The number of generations on the page.
const MOST: usize = 200;
/// The number of bars in the chart.
const BARS: usize = 60;

/// The look of rows.
struct Rows<'a> {
    now: SystemTime,
    /// The port of permalinks, with its colon.
    port: &'a str,
    /// Whether there are actions.
    acts: bool,
}

/// Creates the page. `acts`: it leads to actions.
pub(super) fn timeline(store: &Store, now: SystemTime, port: &str, acts: bool) -> Result<String, Error> {
    let current = store.current()?;
    let all = store.list()?.generations;
    let live = Live::Follows(current);
    if all.is_empty() {
        return Ok(page("Timeline", live, "<p class=\"dim\">Nothing is published yet.</p>"));
    }
    let rows = Rows { now, port, acts };
    let mut body = rows.head(&all);
    body.push_str(&charts(&all));
    body.push_str("<ol class=\"timeline\">");
    for (nth, listed) in all.iter().take(MOST).enumerate() {
        body.push_str(&rows.row(listed, all.get(nth + 1)));
    }
    body.push_str("</ol>");
    if all.len() > MOST {
        write!(body, "<p class=\"dim\">{} older ones are not shown.</p>", all.len() - MOST).ok();
    }
    Ok(page("Timeline", live, &body))
}

impl Rows<'_> {
    /// Creates the part above the list: the current generation, and the way back.
    fn head(&self, all: &[Listed]) -> String {
        let Some(current) = all.iter().find(|listed| listed.current) else { return String::new() };
        let (id, port) = (current.id, self.port);
        let note = current.head.note.lines().next().unwrap_or_default();
        let back = match self.acts && all.len() > 1 {
            true => "<a class=\"button\" href=\"/@genstore/act/rollback\">Roll back…</a>",
            false => "",
        };
        format!(
            "<section class=\"card now\" aria-label=\"The current generation\"><div><p class=\"dim\">Visitors see</p>\
             <p class=\"big\">{id} <span>{}</span></p></div><div class=\"row\">\
             <a class=\"button\" href=\"http://localhost{port}/\">Open the site</a>{back}</div></section>",
            escape(note)
        )
    }

    fn row(&self, listed: &Listed, older: Option<&Listed>) -> String {
        let (id, head) = (listed.id, &listed.head);
        let mut badges = String::new();
        if listed.current {
            badges.push_str("<span class=\"badge current\">current</span>");
        }
        if listed.mark.mark == Mark::Bad {
            let why = listed.mark.why.as_deref().map_or(String::new(), |why| format!(": {}", escape(why)));
            write!(badges, "<span class=\"badge bad\">bad{why}</span>").ok();
        }
        for pin in &listed.pins {
            write!(badges, "<span class=\"badge pin\">{}</span>", escape(&pin.name)).ok();
        }
        let note = match head.note.is_empty() {
            true => "<span class=\"dim\">no note</span>".to_owned(),
            false => escape(&head.note),
        };
        let by = listed.history.by.as_deref().map_or(String::new(), |by| format!(" · {}", escape(by)));
        let facts: String =
            head.facts.iter().map(|(key, value)| format!(" · {}={}", escape(key), escape(value))).collect();
        let difference = older.map_or(String::new(), |older| {
            format!("<a href=\"/@genstore/diff/{}/{id}\">Changes</a>", older.id)
        });
        let class = if listed.current { " class=\"current\"" } else { "" };
        let actions = if self.acts { actions(listed) } else { String::new() };
        format!(
            "<li{class}><div class=\"number\">{id}</div><div><div class=\"note\">{badges}{note}</div>\
             <div class=\"meta\">{} · {} · {} files · {} · +{}{by}{facts}</div></div>\
             <div class=\"links\">{difference}<a href=\"/@genstore/g/{id}\">Files</a>\
             <a href=\"http://g{id}.localhost{}/\">Open</a>{actions}</div></li>\n",
            head.tree.short(),
            ago(head.created.into(), self.now),
            head.files,
            size(head.bytes),
            size(listed.added_bytes),
            self.port,
        )
    }
}

/// Creates the menu of a generation's actions. Each leads to a page that shows what it will do.
fn actions(listed: &Listed) -> String {
    let id = listed.id;
    let to =
        |verb: &str, text: &str| format!("<a href=\"/@genstore/act/{verb}?generation={id}\">{text}</a>");
    let mut links = match listed.current {
        true => String::new(),
        false => to("switch", "Switch to it…"),
    };
    links.push_str(&match listed.mark.mark {
        Mark::Bad => to("good", "Mark as good…"),
        _ => to("bad", "Mark as bad…"),
    });
    links.push_str(&to("pin", "Pin…"));
    for pin in &listed.pins {
        let name = escape(&pin.name);
        let address = address(pin.name.as_bytes());
        write!(links, "<a href=\"/@genstore/act/unpin?name={address}\">Unpin {name}…</a>").ok();
    }
    format!(
        "<details id=\"more-{id}\"><summary aria-label=\"More for {id}\">More</summary><div>{links}</div></details>"
    )
}

/// Creates the charts of the newest generations, the oldest on the left: sizes with the bytes that each added, and
/// numbers of files.
fn charts(all: &[Listed]) -> String {
    let shown: Vec<&Listed> = all.iter().take(BARS).rev().collect();
    let sizes: Vec<Bar> = shown
        .iter()
        .map(|listed| Bar {
            id: listed.id,
            whole: listed.head.bytes.max(listed.added_bytes),
            part: listed.added_bytes,
            text: format!("{}, +{}", size(listed.head.bytes), size(listed.added_bytes)),
        })
        .collect();
    let files: Vec<Bar> = shown
        .iter()
        .map(|listed| Bar {
            id: listed.id,
            whole: listed.head.files,
            part: 0,
            text: format!("{} files", listed.head.files),
        })
        .collect();
    let keys = "<span class=\"key size\">size</span><span class=\"key added\">added to the store</span>";
    let most = |bars: &[Bar]| bars.iter().map(|bar| bar.whole).max().unwrap_or(0);
    let (bytes, count) = (size(most(&sizes)), most(&files));
    format!(
        "<div class=\"charts\"><figure><figcaption>{keys}<span class=\"dim\">up to {bytes}</span></figcaption>{}</figure>\
         <figure><figcaption><span class=\"key size\">files</span><span class=\"dim\">up to {count}</span></figcaption>\
         {}</figure></div>",
        chart("Sizes of the generations, and the bytes that each added", &sizes),
        chart("Files of the generations", &files)
    )
}

/// A bar of a chart.
struct Bar {
    id: GenerationId,
    whole: u64,
    /// The part that stands out.
    part: u64,
    text: String,
}

fn chart(label: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.whole).max().unwrap_or(1).max(1);
    let step = 100.0 / bars.len().max(8) as f64;
    let mut out = String::new();
    for (nth, bar) in bars.iter().enumerate() {
        let (x, width) = (nth as f64 * step, step * 0.8);
        write!(out, "<g><title>{}: {}</title>", bar.id, bar.text).ok();
        for (class, value) in [("size", bar.whole), ("added", bar.part)] {
            let height = value as f64 / most as f64 * 100.0;
            let y = 100.0 - height;
            write!(
                out,
                "<rect class=\"{class}\" x=\"{x:.2}%\" y=\"{y:.2}%\" width=\"{width:.2}%\" height=\"{height:.2}%\"/>"
            )
            .ok();
        }
        out.push_str("</g>");
    }
    format!("<svg class=\"chart\" role=\"img\" aria-label=\"{label}\">{out}</svg>")
}
