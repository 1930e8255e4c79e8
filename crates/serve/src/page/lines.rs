//! Two texts, compared line by line, with the words that differ.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

use similar::{ChangeTag, InlineChange, TextDiff};

use super::layout::REGION;
use crate::answers::escape;

/// The time for one comparison. After it, the rest is compared coarsely.
const PATIENCE: Duration = Duration::from_millis(500);
/// The number of equal lines around a change.
const AROUND: usize = 3;
/// The number of lines of one file.
const MOST_LINES: usize = 3000;
/// A line of this many bytes is one of a minified file.
const LONG: usize = 400;

/// The way to show two texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sides {
    /// The lines of both in one column.
    One,
    /// Two columns.
    Two,
}

/// Shows the lines that differ. Files for machines are formatted first.
pub(super) fn show(before: &str, after: &str, kind: &str, sides: Sides) -> String {
    let formatted = formatted(before, kind).zip(formatted(after, kind));
    let (note, before, after) = match &formatted {
        Some((a, b)) => ("<p class=\"dim\">Formatted for the comparison.</p>", a.as_str(), b.as_str()),
        None => ("", before, after),
    };
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    let (mut rows, mut count) = (String::new(), 0);
    for (nth, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if nth > 0 {
            rows.push_str("<tr class=\"hunk\"><td colspan=\"4\">⋯</td></tr>");
        }
        let changes: Vec<_> = group.iter().flat_map(|op| diff.iter_inline_changes(op)).collect();
        let changes = &changes[..changes.len().min(MOST_LINES - count)];
        count += changes.len();
        match sides {
            Sides::One => changes.iter().for_each(|change| rows.push_str(&one(change))),
            Sides::Two => two(changes, &mut rows),
        }
    }
    if count == 0 {
        return format!("{note}<p class=\"card\">Only the form differs.</p>");
    }
    let class = if sides == Sides::Two { "lines two" } else { "lines" };
    let cut = match count < MOST_LINES {
        true => "",
        false => "<p class=\"dim\">Later lines are not shown.</p>",
    };
    format!("{note}<div {REGION} aria-label=\"Lines\"><table class=\"{class}\">{rows}</table></div>{cut}")
}

type Line<'a> = InlineChange<'a, str>;

/// Returns the text of a line, with marks around the words that differ.
fn text(change: &Line<'_>) -> String {
    let mut out = String::new();
    for (differs, part) in change.iter_strings_lossy() {
        let part: Cow<'_, str> = part;
        let part = escape(part.trim_end_matches(['\n', '\r']));
        match differs && !part.is_empty() {
            true => write!(out, "<mark>{part}</mark>").ok(),
            false => write!(out, "{part}").ok(),
        };
    }
    out
}

fn number(index: Option<usize>) -> String {
    index.map_or(String::new(), |index| (index + 1).to_string())
}

fn one(change: &Line<'_>) -> String {
    let (class, sign) = match change.tag() {
        ChangeTag::Delete => ("del", '-'),
        ChangeTag::Insert => ("add", '+'),
        ChangeTag::Equal => ("same", ' '),
    };
    format!(
        "<tr class=\"{class}\"><td class=\"no\">{}</td><td class=\"no\">{}</td><td class=\"text\">{sign} {}</td></tr>\n",
        number(change.old_index()),
        number(change.new_index()),
        text(change)
    )
}

/// Shows lines in two columns: removed ones beside those that replace them.
fn two(changes: &[Line<'_>], out: &mut String) {
    let mut rest = changes;
    while let Some(first) = rest.first() {
        let run = |lines: &[Line<'_>], tag| lines.iter().take_while(|line| line.tag() == tag).count();
        if first.tag() == ChangeTag::Equal {
            let same = text(first);
            writeln!(
                out,
                "<tr><td class=\"no\">{}</td><td class=\"text\">{same}</td><td class=\"no\">{}</td>\
                 <td class=\"text\">{same}</td></tr>",
                number(first.old_index()),
                number(first.new_index())
            )
            .ok();
            rest = &rest[1..];
            continue;
        }
        let removed = run(rest, ChangeTag::Delete);
        let added = run(&rest[removed..], ChangeTag::Insert);
        for nth in 0..removed.max(added) {
            let old = rest[..removed].get(nth);
            let new = rest[removed..removed + added].get(nth);
            let cells = |line: Option<&Line<'_>>, class: &str| match line {
                Some(line) => {
                    let index = line.old_index().or(line.new_index());
                    format!(
                        "<td class=\"no\">{}</td><td class=\"text {class}\">{}</td>",
                        number(index),
                        text(line)
                    )
                }
                None => "<td class=\"no\"></td><td class=\"text none\"></td>".to_owned(),
            };
            writeln!(out, "<tr>{}{}</tr>", cells(old, "del"), cells(new, "add")).ok();
        }
        rest = &rest[removed + added..];
    }
}

/// Returns a text for machines with line breaks. Returns `None` if it has enough of them.
fn formatted(text: &str, kind: &str) -> Option<String> {
    let kind = kind.split(';').next().unwrap_or_default();
    if kind == "application/json" || kind.ends_with("+json") {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        return serde_json::to_string_pretty(&value).ok();
    }
    let breaks: &[char] = match kind {
        "text/css" | "text/javascript" | "application/javascript" => &[';', '{', '}'],
        "text/html" | "image/svg+xml" | "application/xml" | "text/xml" => &['>'],
        _ => return None,
    };
    if text.lines().all(|line| line.len() < LONG) {
        return None;
    }
    let mut out = String::with_capacity(text.len() * 5 / 4);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        if breaks.contains(&c) && rest.peek().is_some_and(|next| *next != '\n') {
            out.push('\n');
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_marks_and_numbers() {
        let shown = show("a\nthe old <word>\nb\n", "a\nthe new <word>\nb\n", "text/plain", Sides::One);
        for part in [
            "<tr class=\"del\"><td class=\"no\">2</td><td class=\"no\"></td><td class=\"text\">- the <mark>old</mark> &lt;word&gt;",
            "<tr class=\"add\"><td class=\"no\"></td><td class=\"no\">2</td><td class=\"text\">+ the <mark>new</mark> &lt;word&gt;",
            "<tr class=\"same\"><td class=\"no\">1</td><td class=\"no\">1</td><td class=\"text\">  a</td>",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let shown = show("a\nold\nb\n", "a\nnew\nmore\nb\n", "text/plain", Sides::Two);
        let row = "<td class=\"no\"></td><td class=\"text none\"></td><td class=\"no\">3</td><td class=\"text add\">";
        assert!(shown.contains(row), "{shown}");
        assert_eq!(shown.matches("<td class=\"text del\">").count(), 1);
    }

    #[test]
    fn files_for_machines_get_lines() {
        let check = |text: &str, kind: &str, expected: Option<&str>| {
            assert_eq!(formatted(text, kind).as_deref(), expected, "{text}");
        };
        check("{\"a\":[1]}", "application/json", Some("{\n  \"a\": [\n    1\n  ]\n}"));
        check("{\"a\":", "application/json", None);
        check("a{b:c}", "text/css; charset=utf-8", None);
        let long = format!("a{{b:c;d:{}}}\ne{{}}", "x".repeat(LONG));
        let lines = format!("a{{\nb:c;\nd:{}}}\ne{{\n}}", "x".repeat(LONG));
        check(&long, "text/css; charset=utf-8", Some(&lines));
        check(&long, "text/plain", None);
        let same = show("{\"a\":1}", "{ \"a\": 1 }", "application/json", Sides::One);
        assert!(same.contains("Only the form differs"), "{same}");
    }

    #[test]
    fn many_lines_are_cut() {
        let (before, after) = ("a\n".repeat(4000), "b\n".repeat(4000));
        for sides in [Sides::One, Sides::Two] {
            let shown = show(&before, &after, "text/plain", sides);
            assert!(shown.contains("Later lines are not shown"), "{}", shown.len());
        }
        // Many characters of few lines.
        show(&"ab".repeat(60_000), &"ba".repeat(60_000), "text/plain", Sides::One);
    }
}
