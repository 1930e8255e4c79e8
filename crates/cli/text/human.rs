//! Formats numbers, sizes, reasons and tables for people.

use std::collections::BTreeMap;

use anstyle::Style;
use genstore::error::ObjectUse;
use genstore::gc::{Reason, Verdict};
use genstore::generation::{Mark, Marking, Pin};
use genstore::{GenerationId, Retention};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::text::time;

/// Formats a number with a comma between each three digits.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats `1 file` or `1,284 files`.
pub(crate) fn count(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{} {}", number(count), plural(what)),
    }
}

/// Returns the plural: files, processes, directories.
fn plural(what: &str) -> String {
    let ends = |ends: &[&str]| ends.iter().any(|end| what.ends_with(end));
    match what.strip_suffix('y') {
        Some(stem) if !ends(&["ay", "ey", "oy", "uy"]) => format!("{stem}ies"),
        _ if ends(&["s", "x", "z", "ch", "sh"]) => format!("{what}es"),
        _ => format!("{what}s"),
    }
}

/// Returns the number of columns that a text takes on a terminal.
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// Returns the start of a text that takes at most this many columns.
fn first_columns(text: &str, most: usize) -> &str {
    let mut taken = 0;
    let fits = |c: char| {
        taken += c.width().unwrap_or(0);
        taken <= most
    };
    let end = text.char_indices().map(|(at, _)| at).zip(text.chars().map(fits)).find(|(_, fits)| !fits);
    end.map_or(text, |(at, _)| &text[..at])
}

/// Formats a size: bytes below 1 KiB, otherwise one decimal of the largest fitting unit.
pub(crate) fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        // A value that rounds to 1024.0 is 1.0 of the next unit.
        if size < 1023.95 {
            return format!("{size:.1} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} EiB")
}

/// Formats a difference of sizes with its sign; zero is `=`.
pub(crate) fn delta(delta: i64) -> String {
    match delta {
        0 => "=".to_owned(),
        1.. => format!("+{}", bytes(delta.unsigned_abs())),
        _ => format!("-{}", bytes(delta.unsigned_abs())),
    }
}

/// Formats foreign text on one line, shortened to this many columns.
pub(crate) fn line(text: &str, width: usize) -> String {
    let words: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
    let shown = genstore::tree::show_path(words.join(" ").as_bytes());
    let more = text.trim_end().lines().count() > 1;
    if columns(&shown) <= width && !more {
        return shown;
    }
    format!("{}…", first_columns(&shown, width - 1))
}

/// Describes why a generation is kept.
pub(crate) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Current => "current".to_owned(),
        Reason::Pinned(name) => format!("pinned: {name}"),
        Reason::Leased => "leased".to_owned(),
        Reason::Last(count) => format!("last {count}"),
        Reason::Within(within) => format!("within {}", time::duration(*within)),
        Reason::Grace(grace) => format!("was current less than {} ago", time::duration(*grace)),
        Reason::Daily(count) => format!("newest of its day, {}", human_last(*count, "day")),
        Reason::Weekly(count) => format!("newest of its week, {}", human_last(*count, "week")),
        Reason::Monthly(count) => format!("newest of its month, {}", human_last(*count, "month")),
        Reason::NotChosen => "not chosen".to_owned(),
        Reason::Enough(wanted) => format!("{} are freed without it", bytes(*wanted)),
        _ => "kept".to_owned(),
    }
}

fn human_last(number: usize, what: &str) -> String {
    format!("last {}", count(number as u64, what))
}

/// Describes why a generation is kept or removed.
pub(crate) fn reasons(verdict: &Verdict, rule: &Retention) -> Vec<String> {
    let Retention { keep_last, keep_within, chosen, .. } = rule;
    match verdict.keeps() {
        true => verdict.reasons.iter().map(reason).collect(),
        false if chosen.is_some() => vec!["chosen".to_owned()],
        false if !verdict.good => vec!["marked as bad".to_owned()],
        false if *keep_last == 0 => match keep_within {
            Some(within) => vec![format!("older than {}", time::duration(*within))],
            None => vec!["not kept by any rule".to_owned()],
        },
        false => vec![format!("older than last {keep_last}")],
    }
}

/// Returns the tags of a generation in a list.
pub(crate) fn tags(current: bool, mark: &Marking, pins: &[Pin]) -> String {
    let mut tags = Vec::new();
    if current {
        tags.push("(current)".to_owned());
    }
    if mark.mark == Mark::Bad {
        tags.push(mark.why.as_ref().map_or("bad".to_owned(), |why| format!("bad: {}", line(why, 40))));
    }
    if !pins.is_empty() {
        let names: Vec<&str> = pins.iter().map(|pin| pin.name.as_str()).collect();
        tags.push(format!("pinned: {}", names.join(", ")));
    }
    tags.join("; ")
}

/// Lists the paths that use an object, one line per path.
pub(crate) fn uses(uses: &[ObjectUse]) -> Vec<String> {
    let mut by_path: BTreeMap<&[u8], Vec<GenerationId>> = BTreeMap::new();
    for found in uses {
        by_path.entry(&found.path).or_default().push(found.generation);
    }
    let line = |(path, ids): (&[u8], Vec<GenerationId>)| {
        format!("in {} at {}", generations(&ids), genstore::tree::show_path(path))
    };
    by_path.into_iter().map(line).collect()
}

/// Lists generations: `generations 41, 42`.
pub(crate) fn generations(ids: &[GenerationId]) -> String {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let word = if ids.len() == 1 { "generation" } else { "generations" };
    format!("{word} {}", names.join(", "))
}

/// Returns the name of an actor in the log, without the process and the verb.
pub(crate) fn who(by: Option<&str>) -> String {
    let by = by.unwrap_or_default();
    line(by.split_once(", process ").map_or(by, |(who, _)| who), 40)
}

/// A cell of a table.
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

/// Creates a cell that is aligned to the left.
pub(crate) fn left(text: impl Into<String>) -> Cell {
    Cell { text: text.into(), style: Style::new(), right: false }
}

/// Creates a cell that is aligned to the right.
pub(crate) fn right(text: impl Into<String>) -> Cell {
    Cell { right: true, ..left(text) }
}

impl Cell {
    pub(crate) fn styled(self, style: Style) -> Cell {
        Cell { style, ..self }
    }
}

/// A wider cell exceeds its column rather than widening it for all rows.
const WIDEST: usize = 64;

/// Aligns rows. Columns are two spaces apart, and lines have no trailing spaces.
pub(crate) fn table(rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        cells.map(|cell| cell.text.width()).filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let last = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |at| at + 1);
        let mut gap = 0;
        for (cell, width) in row[..last].iter().zip(&widths) {
            let space = width.saturating_sub(cell.text.width());
            let (before, after) = if cell.right { (space, 0) } else { (0, space) };
            let style = cell.style;
            out.push_str(&format!("{:1$}{style}{2}{style:#}", "", gap + before, cell.text));
            // A column that is empty in every row takes no space.
            gap = after + if *width == 0 && cell.text.is_empty() { 0 } else { 2 };
        }
        out.push('\n');
    }
    out
}

/// The rules by which a table becomes narrower.
pub(crate) struct Fit<'a> {
    /// The columns of the terminal.
    pub(crate) width: usize,
    /// The column whose text is cut.
    pub(crate) cut: usize,
    /// The columns that are left out if that is not enough, the first one first.
    pub(crate) drop: &'a [usize],
}

/// The least columns of a text that is cut.
const CUT_TO: usize = 12;

/// Aligns rows in a terminal: one column is cut at the edge, and others are left out if there is no room.
pub(crate) fn table_within(mut rows: Vec<Vec<Cell>>, fit: &Fit<'_>) -> String {
    let width = |rows: &[Vec<Cell>], at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text.width()).max().unwrap_or(0)
    };
    let all = rows.iter().map(Vec::len).max().unwrap_or(0);
    let total = |rows: &[Vec<Cell>]| -> usize {
        let widths = (0..all).map(|at| width(rows, at)).filter(|width| *width > 0);
        widths.map(|width| width + 2).sum::<usize>().saturating_sub(2)
    };
    let mut drop = fit.drop.iter();
    loop {
        let over = total(&rows).saturating_sub(fit.width);
        if over == 0 {
            break;
        }
        let widest = width(&rows, fit.cut);
        let dropped = if widest.saturating_sub(over) < CUT_TO.min(widest) { drop.next() } else { None };
        if let Some(dropped) = dropped {
            rows.iter_mut().filter_map(|row| row.get_mut(*dropped)).for_each(|cell| cell.text.clear());
            continue;
        }
        let to = widest.saturating_sub(over).max(1);
        for cell in rows.iter_mut().filter_map(|row| row.get_mut(fit.cut)) {
            if cell.text.width() > to {
                cell.text = format!("{}…", first_columns(&cell.text, to - 1).trim_end());
            }
        }
        break;
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers_and_sizes() {
        let check = |n: u64, with_commas: &str, size: &str| {
            assert_eq!((number(n), bytes(n)), (with_commas.to_owned(), size.to_owned()));
        };
        check(0, "0", "0 B");
        check(217, "217", "217 B");
        check(1023, "1,023", "1023 B");
        check(1024, "1,024", "1.0 KiB");
        check(1_048_524, "1,048,524", "1023.9 KiB");
        check(1_048_575, "1,048,575", "1.0 MiB");
        check(50_436_096, "50,436,096", "48.1 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(
            (delta(0), delta(6758), delta(-9318)),
            ("=".into(), "+6.6 KiB".into(), "-9.1 KiB".into())
        );
        assert_eq!((count(1, "file"), count(1284, "file")), ("1 file".into(), "1,284 files".into()));
    }

    #[test]
    fn plurals_are_those_of_the_language() {
        let check = |what: &str, many: &str| {
            assert_eq!(
                (count(0, what), count(1, what), count(2, what)),
                (format!("0 {many}"), format!("1 {what}"), format!("2 {many}"))
            );
        };
        check("directory", "directories");
        check("entry", "entries");
        check("process", "processes");
        check("stage", "stages");
        check("key", "keys");
        check("new object", "new objects");
        check("damaged object or generation", "damaged object or generations");
        check("hash", "hashes");
    }

    #[test]
    fn shortens_by_columns() {
        assert_eq!(line("日本語日本語", 12), "日本語日本語");
        assert_eq!(line("日本語日本語", 11), "日本語日本…");
        assert_eq!(line("日本語日本語", 10), "日本語日…");
        assert_eq!(line("a👩🏽b", 20), "a👩🏽b");
        assert!(columns(&line("🚀🚀🚀🚀🚀", 6)) <= 6);
    }

    #[test]
    fn shortens_to_one_line() {
        assert_eq!(line("a  b\x1b", 10), "a b\\u{1b}");
        assert_eq!(line("one\ntwo", 10), "one…");
        assert_eq!(line("0123456789", 5), "0123…");
        assert_eq!(line("one\n", 10), "one");
        assert_eq!(line("", 10), "");
    }

    #[test]
    fn aligns_columns() {
        let rows = [
            vec![right("9"), left("日本"), left(""), left("x")],
            vec![right("10"), left("a"), left(""), left("")],
        ];
        assert_eq!(table(&rows), " 9  日本  x\n10  a\n");
    }

    #[test]
    fn a_table_fits_its_terminal() {
        let check = |width: usize, expected: &str| {
            let rows = vec![
                vec![
                    right("42"),
                    left("9f3ac1d2"),
                    left("2 min ago"),
                    left("a note for people 日本"),
                    left("(x)"),
                ],
                vec![right("9"), left("77b0e6aa"), left("1 h ago"), left("short"), left("")],
            ];
            let text = table_within(rows, &Fit { width, cut: 3, drop: &[1, 2] });
            assert_eq!(text.lines().next().unwrap(), expected, "{width}");
            assert!(text.lines().all(|line| columns(line) <= width.max(8)), "{text}");
        };
        check(80, "42  9f3ac1d2  2 min ago  a note for people 日本  (x)");
        check(48, "42  9f3ac1d2  2 min ago  a note for people…  (x)");
        check(40, "42  2 min ago  a note for people…  (x)");
        check(30, "42  a note for people 日…  (x)");
        check(20, "42  a note for…  (x)");
        check(12, "42  a…   (x)");
    }

    #[test]
    fn lists_uses_by_path() {
        let id = |n| GenerationId::new(n).unwrap();
        let list = [(41, "a"), (42, "a"), (42, "b\n")].map(|(n, path)| ObjectUse::new(id(n), path));
        assert_eq!(uses(&list), ["in generations 41, 42 at a", "in generation 42 at b\\n"]);
    }
}
