//! Notes and warnings of `verify`: findings that are no damage.

use anyhow::Result;
use genstore::verify::{Foreign, SharedFault, Unshared, VerifyReport};
use genstore::{GenerationId, Store};

use crate::command::context::Context;
use crate::text::human;
use crate::verbs::doctor;

/// Notes files that use extra space although the store already has their bytes.
pub(super) fn print_unshared(context: &Context<'_>, report: &VerifyReport) {
    let Unshared { files, bytes, .. } = report.unshared;
    if files > 0 {
        let (files, bytes) = (human::count(files, "file"), human::bytes(bytes));
        context.out.note(&format!("{files} could share inodes with other files, to save {bytes}"));
        context.out.hint("run `genstore verify --relink` to link them");
    }
}

/// Warns of files that do not belong to the store's owner. This is no damage, but the owner may not be able
/// to change them.
pub(super) fn warn_of_owners(context: &Context<'_>, foreign: &Foreign) {
    if foreign.count > 0 {
        context.out.warn(&doctor::owners_text(foreign));
        context.out.hint("`sudo genstore doctor --fix` gives them back");
    }
}

/// Warns of shared paths that lead to nothing. The places do not belong to the store.
pub(super) fn warn_of_shared(context: &Context<'_>, report: &VerifyReport) {
    for SharedFault { path, cause, generations, .. } in &report.shared {
        let path = genstore::tree::show_path(path);
        let of = human::generations(generations);
        context.out.warn(&format!("the shared path {path} of {of} leads to nothing: {cause}"));
    }
    if !report.shared.is_empty() {
        context.out.hint("a publish with these paths under [shared] makes what is missing");
    }
}

/// Warns of generations that have a content that was to be forgotten.
pub(super) fn warn_of_forgotten(context: &Context<'_>, store: &Store) -> Result<()> {
    let digests = store.forgotten()?;
    // Damage is in the report.
    let found = if digests.is_empty() { vec![] } else { store.remembering(&digests).unwrap_or_default() };
    if !found.is_empty() {
        let ids: Vec<GenerationId> = found.iter().map(|one| one.generation).collect();
        let of = human::generations(&ids);
        context.out.warn(&format!("a content that was to be forgotten is still in {of}"));
        context.out.hint("run the same `genstore forget` again");
    }
    Ok(())
}
