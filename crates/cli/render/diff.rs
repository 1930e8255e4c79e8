//! Formats differences of two trees as lists for people.

use genstore::diff::{Change, Diff, DiffSummary};
use genstore::tree::{Entry, Node};

use super::patch::Lines;
use crate::text::human::{self, Cell, left, right};
use crate::text::style::{BAD, CARE, GOOD};

pub(crate) fn letter(change: &Change<'_>) -> (&'static str, anstyle::Style) {
    match change {
        Change::Added(_) => ("A", GOOD),
        Change::Removed(_) => ("D", BAD),
        Change::Modified(..) => ("M", CARE),
        Change::Renamed(..) => ("R", CARE),
    }
}

pub(crate) fn path(change: &Change<'_>) -> String {
    let shown = genstore::tree::show_path(change.path());
    match change {
        Change::Renamed(from, _) => format!("{} -> {shown}", genstore::tree::show_path(from.path)),
        _ => shown,
    }
}

fn kind(entry: Entry<'_>) -> &'static str {
    match entry.node {
        Node::File(_) => "file",
        Node::Symlink(_) => "symlink",
        Node::EmptyDir => "directory",
    }
}

/// Returns the columns of the sizes and of their difference.
pub(crate) fn sizes(change: &Change<'_>) -> (String, String) {
    let size = |entry: Option<Entry<'_>>| match entry.map(|entry| entry.node) {
        Some(Node::File(file)) => Some(file.size),
        _ => None,
    };
    let (old, new) = (size(change.from()), size(change.to()));
    let growth = new.unwrap_or(0) as i64 - old.unwrap_or(0) as i64;
    let what = match *change {
        Change::Added(entry) | Change::Removed(entry) => match entry.node {
            // An empty file adds nothing, which must not look like "unchanged".
            Node::File(file) if file.size == 0 => return ("empty".to_owned(), String::new()),
            Node::File(_) => String::new(),
            _ => return (kind(entry).to_owned(), String::new()),
        },
        Change::Renamed(..) => String::new(),
        Change::Modified(from, to) => match (from.node, to.node) {
            (Node::File(old), Node::File(new)) if old.digest == new.digest => {
                let mode = |executable| if executable { "0555" } else { "0444" };
                format!("mode {} -> {}", mode(old.executable), mode(new.executable))
            }
            (Node::File(old), Node::File(new)) if old.size == new.size => human::bytes(new.size),
            (Node::File(old), Node::File(new)) => {
                format!("{} -> {}", human::bytes(old.size), human::bytes(new.size))
            }
            (Node::Symlink(_), Node::Symlink(_)) => return ("symlink".to_owned(), String::new()),
            _ => format!("{} -> {}", kind(from), kind(to)),
        },
    };
    (what, human::delta(growth))
}

/// Lists every path with its sizes.
pub(crate) fn list(diff: &Diff<'_>) -> String {
    let row = |change: &Change<'_>| -> Vec<Cell> {
        let (letter, style) = letter(change);
        let (sizes, growth) = sizes(change);
        vec![left(letter).styled(style), left(path(change)), right(sizes), right(growth)]
    };
    human::table(&diff.changes.iter().map(row).collect::<Vec<_>>())
}

/// Lists every path with its numbers of added and removed lines.
pub(crate) fn stat(diff: &Diff<'_>, lines: &[Lines]) -> String {
    let row = |(change, lines): (&Change<'_>, &Lines)| -> Vec<Cell> {
        let (letter, style) = letter(change);
        let (added, removed) = match lines {
            Lines::Text { added: 0, removed: 0 } => (String::new(), String::new()),
            Lines::Text { added, removed } => {
                (format!("+{}", human::number(*added)), format!("-{}", human::number(*removed)))
            }
            Lines::Binary => ("binary".to_owned(), sizes(change).1),
        };
        vec![left(letter).styled(style), left(path(change)), right(added), right(removed)]
    };
    human::table(&diff.changes.iter().zip(lines).map(row).collect::<Vec<_>>())
}

/// Lists letters and paths, separated by tabs, for programs.
pub(crate) fn name_status(diff: &Diff<'_>) -> String {
    let line = |change: &Change<'_>| {
        let from = match change {
            Change::Renamed(from, _) => format!("{}\t", genstore::tree::show_path(from.path)),
            _ => String::new(),
        };
        format!("{}\t{from}{}\n", letter(change).0, genstore::tree::show_path(change.path()))
    };
    diff.changes.iter().map(line).collect()
}

/// Returns the totals: `4 paths: 1 added, 1 removed, 1 changed, 1 renamed; +11.7 KiB`.
pub(crate) fn totals(diff: &Diff<'_>) -> String {
    let DiffSummary { added, removed, modified, renamed, bytes, .. } = diff.summary;
    let all = added + removed + modified + renamed;
    if all == 0 {
        return "no differences\n".to_owned();
    }
    let parts: Vec<String> =
        [(added, "added"), (removed, "removed"), (modified, "changed"), (renamed, "renamed")]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{} {word}", human::number(number)))
            .collect();
    format!("{}: {}; {}\n", human::count(all, "path"), parts.join(", "), human::delta(bytes))
}

/// Returns the size of the change in a few characters: `+3 ~14 -1`.
pub(crate) fn brief(summary: &DiffSummary) -> String {
    let moved = match summary.renamed {
        0 => String::new(),
        renamed => format!(", {} renamed", human::number(renamed)),
    };
    format!("+{} ~{} -{}{moved}", summary.added, summary.modified, summary.removed)
}
