//! The frame of all pages, and how values are shown.

use std::time::{Duration, SystemTime};

use genstore::GenerationId;
use genstore::tree::show_path;

use crate::answers::escape;

/// The attributes of a part that scrolls by itself, and is reached by the keyboard for that.
pub(super) const REGION: &str = "class=\"scroll\" tabindex=\"0\" role=\"region\"";

/// The behaviour of a page when the store changes.
#[derive(Clone, Copy)]
pub(super) enum Live {
    /// It shows what does not change.
    Still,
    /// It is loaded again if another generation is current than this one, or something else changed.
    Follows(Option<GenerationId>),
    /// It tells that another generation is current than this one.
    Tells(Option<GenerationId>),
}

/// Creates a page.
pub(super) fn page(title: &str, live: Live, body: &str) -> String {
    let title = escape(title);
    let current = |id: Option<GenerationId>| id.map_or(String::new(), |id| id.to_string());
    let (live, note) = match live {
        Live::Still => (String::new(), ""),
        Live::Follows(id) => (format!(" data-live=\"follows\" data-current=\"{}\"", current(id)), ""),
        Live::Tells(id) => (
            format!(" data-live=\"tells\" data-current=\"{}\"", current(id)),
            "<p id=\"moved\" class=\"card warn\" role=\"status\" hidden>The store has changed since this page was \
             loaded: load it again.</p>",
        ),
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} · genstore</title>\n<link rel=\"icon\" href=\"/@genstore/icon.svg\">\
         <link rel=\"stylesheet\" href=\"/@genstore/page.css\">\n<script src=\"/@genstore/page.js\" defer></script>\n\
         <header><div><a class=\"brand\" href=\"/@genstore/\">genstore</a>\
         <nav><a href=\"/@genstore/\">Timeline</a><a href=\"/@genstore/health\">Health</a>\
         <a href=\"/\">The site</a></nav></div></header>\n<main{live}>\n<h1>{title}</h1>\n{note}{body}\n</main>\n</html>\n"
    )
}

/// Formats a time as RFC 3339.
pub(super) fn rfc3339(time: SystemTime) -> String {
    // Times of records are within the calendar.
    jiff::Timestamp::try_from(time).map_or(String::new(), |time| time.to_string())
}

/// Shows a size.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit < units.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// Shows the time since then, and the time itself as a title.
pub(super) fn ago(then: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(then).unwrap_or(Duration::ZERO).as_secs();
    let text = match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    };
    format!("<time title=\"{}\">{text}</time>", httpdate::fmt_http_date(then))
}

/// Shows a path of a tree.
pub(super) fn path(bytes: &[u8]) -> String {
    escape(&show_path(bytes))
}

/// Encodes a path for an address.
pub(super) fn address(bytes: &[u8]) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    percent_encode(bytes, KEPT).to_string()
}
