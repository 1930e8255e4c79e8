//! The search for origins: from a generation back to the ones that brought what it has.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::Result;
use genstore::diff::{Change, diff};
use genstore::generation::Listed;
use genstore::tree::{Entry, Node, RelPath, Tree};

use super::lines::Lines;
use crate::command::compare::Side;
use crate::command::kept::{Kept, Step};
use crate::render::patch::Content;

/// A generation that brought something.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) listed: Rc<Listed>,
    /// The path in that generation, which a rename may have changed since.
    pub(super) path: Vec<u8>,
    /// Whether it is the oldest one that is kept: an older one may have brought it.
    pub(super) oldest: bool,
}

impl Origin {
    fn of(step: &Step, path: &[u8]) -> Origin {
        Origin { listed: Rc::clone(&step.listed), path: path.to_owned(), oldest: step.old.is_none() }
    }
}

/// The origins of one file.
pub(super) struct Traced {
    /// The generation that brought the content as it is, then older ones that brought lines of it.
    pub(super) origins: Vec<Origin>,
    /// For each line of a text, the number of its origin.
    pub(super) lines: Option<Vec<usize>>,
}

/// Finds the origin of a file or a symlink, and of each line of a text. `kept` begins with the generation that
/// has it.
pub(super) fn file(kept: &mut Kept<'_>, path: &RelPath) -> Result<Traced> {
    let mut path = path.as_bytes().to_owned();
    let (mut origins, mut lines) = (Vec::new(), None);
    while let Some(step) = kept.next()? {
        let before =
            step.old.as_deref().map_or(Before::Absent, |old| before(&old.tree, &step.new.tree, &path));
        let from = match before {
            Before::Same(from) => {
                path = from;
                continue;
            }
            Before::Other(entry) => Some(entry),
            Before::Absent => None,
        };
        let now = step.new.tree.find(&path).map(|node| Entry { path: &path, node });
        let new = text_of(&step.new, now)?;
        if origins.is_empty() {
            lines = new.as_deref().map(Lines::new);
        }
        let version = origins.len();
        origins.push(Origin::of(&step, &path));
        let old = match (from, step.old.as_deref()) {
            (Some(node), Some(side)) => text_of(side, Some(Entry { path: &path, node }))?,
            _ => None,
        };
        match (&mut lines, old, new) {
            (Some(lines), Some(old), Some(new)) => lines.step(&old, &new, version),
            // The rest of the lines came with this version.
            _ => break,
        }
        if lines.as_ref().is_none_or(Lines::is_done) {
            break;
        }
    }
    let last = origins.len().saturating_sub(1);
    Ok(Traced { lines: lines.map(|lines| lines.finish(last)), origins })
}

/// The content of a path in the generation before.
enum Before<'t> {
    /// The same content, at this path.
    Same(Vec<u8>),
    /// Something else.
    Other(Node<'t>),
    /// Nothing.
    Absent,
}

fn before<'t>(old: &'t Tree, new: &Tree, path: &[u8]) -> Before<'t> {
    match (old.find(path), new.find(path)) {
        // The executable bit is no part of the content.
        (Some(Node::File(old)), Some(Node::File(new))) if old.digest == new.digest => {
            Before::Same(path.to_owned())
        }
        (Some(old), Some(new)) if old == new => Before::Same(path.to_owned()),
        (Some(old), _) => Before::Other(old),
        (None, _) => {
            let all = diff(old, new);
            let renamed = all.changes.iter().find_map(|change| match change {
                Change::Renamed(from, to) if to.path == path => Some(from.path.to_owned()),
                _ => None,
            });
            renamed.map_or(Before::Absent, Before::Same)
        }
    }
}

/// Returns the bytes of a file that is text.
fn text_of(side: &Side, entry: Option<Entry<'_>>) -> Result<Option<Vec<u8>>> {
    let Some(entry @ Entry { node: Node::File(_), .. }) = entry else { return Ok(None) };
    Ok(match side.content(Some(entry))? {
        content if content.text().is_none() => None,
        Content::Bytes(bytes) => Some(bytes),
        Content::Absent | Content::TooLarge => None,
    })
}

/// An entry directly in a folder.
pub(super) struct Child {
    pub(super) path: Vec<u8>,
    /// Its kind; `None` for a folder that is not empty.
    pub(super) node: Option<ChildNode>,
    /// The sum of the sizes of its files.
    pub(super) bytes: u64,
    /// The generation that last changed it.
    pub(super) origin: Option<Origin>,
}

/// The kind of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildNode {
    File,
    Symlink,
    EmptyDir,
}

/// Finds the generations that last changed the entries of a folder. The empty folder is the whole tree. `kept`
/// begins with the generation that has it.
pub(super) fn folder(kept: &mut Kept<'_>, folder: Option<&RelPath>) -> Result<Vec<Child>> {
    let at = folder.map_or(&b""[..], RelPath::as_bytes);
    let mut children: BTreeMap<Vec<u8>, Child> = BTreeMap::new();
    let mut is_first = true;
    while let Some(step) = kept.next()? {
        if std::mem::take(&mut is_first) {
            children = children_of(&step.new.tree, at);
        }
        let nothing = Side::nothing();
        let mut found = diff(&step.old.as_deref().unwrap_or(&nothing).tree, &step.new.tree);
        if let Some(folder) = folder {
            found.keep_within(std::slice::from_ref(folder));
        }
        for change in &found.changes {
            for entry in [change.to(), change.from()].into_iter().flatten() {
                let Some(child) = child_path(at, entry.path).and_then(|path| children.get_mut(path)) else {
                    continue;
                };
                if child.origin.is_none() {
                    child.origin = Some(Origin::of(&step, &child.path));
                }
            }
        }
        if children.values().all(|child| child.origin.is_some()) {
            break;
        }
    }
    Ok(children.into_values().collect())
}

fn children_of(tree: &Tree, folder: &[u8]) -> BTreeMap<Vec<u8>, Child> {
    let mut children: BTreeMap<Vec<u8>, Child> = BTreeMap::new();
    for entry in tree.below(folder) {
        let Some(path) = child_path(folder, entry.path) else { continue };
        let child = children.entry(path.to_owned()).or_insert_with(|| Child {
            path: path.to_owned(),
            node: (path == entry.path).then_some(match entry.node {
                Node::File(_) => ChildNode::File,
                Node::Symlink(_) => ChildNode::Symlink,
                Node::EmptyDir => ChildNode::EmptyDir,
            }),
            bytes: 0,
            origin: None,
        });
        if let Node::File(file) = entry.node {
            child.bytes += file.size;
        }
    }
    children
}

/// Returns the path of the entry directly in `folder` through which `path` leads.
fn child_path<'p>(folder: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let below = if folder.is_empty() { 0 } else { folder.len() + 1 };
    if below > 0 && (!path.starts_with(folder) || path.get(folder.len()) != Some(&b'/')) {
        return None;
    }
    let rest = path.get(below..)?;
    let end = rest.iter().position(|byte| *byte == b'/').map_or(path.len(), |slash| below + slash);
    Some(&path[..end])
}
