//! `forget`: takes a leaked file out of every generation.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use genstore::GenerationId;
use genstore::forget::Remembering;
use genstore::tree::{Digest, RelPath, show_path};
use serde::Serialize;

use crate::command::context::Context;
use crate::command::hooks::{self, HooksEnded};
use crate::errors::Fail;
use crate::exit;
use crate::render::json::{PathField, WarningDoc};
use crate::text::human;
use crate::text::style::GOOD;

#[derive(Args)]
pub(crate) struct Forget {
    /// A path, for each content that a generation has there, or a digest (64 hex digits); may be repeated
    #[arg(value_name = "PATH|DIGEST", required = true)]
    what: Vec<String>,
    /// Show which generations would be replaced, and which paths they would lose
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Allow these contents again (digests only)
    #[arg(long, conflicts_with = "dry_run")]
    allow: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ForgotDoc {
    schema: &'static str,
    dry_run: bool,
    /// Whether the contents were allowed again.
    allowed: bool,
    /// The contents: BLAKE3 of the bytes, 64 hexadecimal digits each.
    digests: Vec<String>,
    /// The generations that had them.
    generations: Vec<ReplacedDoc>,
    /// Removed objects.
    objects: u64,
    /// Copies that were removed from quarantine and from refused builds.
    copies: u64,
    /// Generations that still have one: in use, or another user's.
    left: Vec<GenerationId>,
    warnings: Vec<WarningDoc>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct ReplacedDoc {
    generation: GenerationId,
    /// Whether it was current.
    current: bool,
    /// The paths that had one of the contents.
    paths: Vec<PathField>,
    /// The new generation, which has the same without these paths.
    replaced_by: Option<GenerationId>,
}

impl Forget {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        let store = context.open()?;
        let mut digests: BTreeSet<Digest> = BTreeSet::new();
        for what in &self.what {
            match what.parse::<Digest>() {
                Ok(digest) => drop(digests.insert(digest)),
                Err(_) if self.allow => {
                    let message = format!("{} is not a digest", show_path(what.as_bytes()));
                    return Err(Fail::usage("bad-digest", message).into());
                }
                Err(_) => digests.extend(contents(&store, what)?),
            }
        }
        let mut document = ForgotDoc {
            schema: "genstore.forget/1",
            dry_run: self.dry_run,
            allowed: self.allow,
            digests: digests.iter().map(Digest::to_string).collect(),
            generations: vec![],
            objects: 0,
            copies: 0,
            left: vec![],
            warnings: vec![],
        };
        if self.allow {
            let allowed = store.allow_again(&digests)?;
            context
                .out
                .confirm(&document, || format!("Allowed {} again\n", human::count(allowed, "content")));
            return Ok(exit::DONE);
        }
        let found = store.remembering(&digests)?;
        document.generations = found.iter().map(|one| replaced(one, None)).collect();
        if self.dry_run {
            context.progress.finish();
            context.out.emit(&document, || preview(&found));
            return Ok(exit::DONE);
        }
        if found.iter().any(|one| one.current) {
            context.check_hooks()?;
        }
        let previous = store.current()?;
        let done = store.forget(&digests)?;
        context.out.has_changed("a content was forgotten");
        context.progress.finish();
        let by = |id| done.replaced.iter().find(|(old, _)| *old == id).map(|(_, new)| *new);
        document.generations = found.iter().map(|one| replaced(one, by(one.generation))).collect();
        (document.objects, document.copies) = (done.objects, done.copies);
        document.left.clone_from(&done.left);
        context.out.confirm_text(|| {
            let line = |(old, new): &(GenerationId, GenerationId)| {
                format!("{GOOD}Replaced{GOOD:#} generation {old} by {new}\n")
            };
            let lines: String = done.replaced.iter().map(line).collect();
            let objects = human::count(done.objects, "object");
            format!("{lines}Forgot {}: {objects} removed\n", human::count(digests.len() as u64, "content"))
        });
        let now = store.current()?;
        let ended = match now.filter(|now| Some(*now) != previous) {
            Some(id) => hooks::post_commit(context, &store, id, previous),
            None => HooksEnded::without(now),
        };
        let mut status = ended.status(context, context.warn_of(&done.warnings));
        if !done.left.is_empty() {
            let left = human::generations(&done.left);
            context.out.warn(&format!(
                "the content is still in {left}: a process uses it, or it is another user's"
            ));
            context.out.hint("end that process, then run the same command again");
            status = exit::PARTLY;
        }
        document.warnings = WarningDoc::all(&done.warnings);
        document.warnings.extend(WarningDoc::take(context.out));
        context.out.confirm_document(&document);
        Ok(status)
    }
}

/// Returns the contents that generations have at a path.
fn contents(store: &genstore::Store, what: &str) -> Result<Vec<Digest>> {
    let unknown = || {
        let message = format!("no generation has a file at {}", show_path(what.as_bytes()));
        Fail::new("no-such-file", message, "`genstore show REF --tree` lists the paths of a generation")
    };
    let path = RelPath::new(what.as_bytes().to_vec()).map_err(|_| unknown())?;
    let found = store.contents_at(path.as_bytes())?;
    if found.is_empty() {
        return Err(unknown().into());
    }
    Ok(found.into_keys().collect())
}

fn replaced(one: &Remembering, by: Option<GenerationId>) -> ReplacedDoc {
    ReplacedDoc {
        generation: one.generation,
        current: one.current,
        paths: one.paths.iter().map(|path| PathField::of(path)).collect(),
        replaced_by: by,
    }
}

fn preview(found: &[Remembering]) -> String {
    let line = |one: &Remembering| {
        let paths: Vec<String> = one.paths.iter().map(|path| show_path(path)).collect();
        let current = if one.current { " (current)" } else { "" };
        format!("replace  {}{current}  without {}\n", one.generation, paths.join(", "))
    };
    let lines: String = found.iter().map(line).collect();
    format!("{lines}Would replace {}\n", human::count(found.len() as u64, "generation"))
}
