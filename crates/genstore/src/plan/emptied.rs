//! Refuses to replace entries by an empty input: the generator may have died, or a disk may not be
//! mounted.

use crate::error::{Error, RefusedKind, Result};
use crate::model::ids::GenerationId;
use crate::model::tree::{Entry, Node, Tree};
use crate::model::{relpath, shared};
use crate::plan::builder::Plan;

/// Whether an empty tree may replace a non-empty current one.
///
/// A tree is empty if it contains neither a file nor a symlink. Each root of
/// [`crate::plan::PlanBuilder::root`] is checked separately: an empty one must not replace the current
/// entries at its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Emptying {
    /// Refuse it, with the code `empty-input`.
    #[default]
    Refuse,
    /// Allow it.
    Allow,
}

impl Plan {
    /// Checks that a commit of this plan, whose tree is `tree`, would not empty generation `id`, whose tree
    /// is `current`.
    ///
    /// # Errors
    /// [`Error::Refused`], as the commit would; see [`Emptying::Refuse`].
    pub fn check_emptying(&self, tree: &Tree, id: GenerationId, current: &Tree) -> Result<()> {
        check(self.roots.names(), tree, id, current)
    }
}

/// Checks that `tree`, whose roots are `parts`, empties nothing of `current`.
pub(crate) fn check(parts: &[Vec<u8>], tree: &Tree, id: GenerationId, current: &Tree) -> Result<()> {
    let whole: &[u8] = b"";
    let parts = std::iter::once(whole).chain(parts.iter().map(Vec::as_slice));
    for part in parts {
        if !holds_nothing(tree, part) || holds_nothing(current, part) {
            continue;
        }
        let files = current.below(part).filter(|entry| !says_nothing(entry)).count();
        let at = match part {
            b"" => String::new(),
            part => format!(" at {}", relpath::show(part)),
        };
        let entries = if files == 1 { "one entry".to_owned() } else { format!("{files} entries") };
        let why = format!("the input is empty{at}, where generation {id} has {entries}");
        return Err(Error::refused(RefusedKind::EmptyInput, why));
    }
    Ok(())
}

fn holds_nothing(tree: &Tree, part: &[u8]) -> bool {
    tree.below(part).all(|entry| says_nothing(&entry))
}

/// Returns whether an entry does not come from an input that was created.
fn says_nothing(entry: &Entry<'_>) -> bool {
    matches!(entry.node, Node::EmptyDir) || shared::is_shared(entry.path, &entry.node)
}
