//! `import`: takes in the generations of an archive that `export --archive` wrote.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use genstore::generation::{Mark, PinName};
use genstore::publish::Expect;
use genstore::{GenerationId, Rev, Store};
use serde::Serialize;

use crate::archives::read::{self, Made, Unpacked};
use crate::command::context::Context;
use crate::command::hooks::{self, HooksEnded};
use crate::inputs::{compressed, source};
use crate::render::json::WarningDoc;
use crate::text::style::{DIM, GOOD};
use crate::text::{human, time};

#[derive(Args)]
pub(crate) struct Import {
    /// The archive; it may be compressed with gzip, zstd or xz
    #[arg(value_name = "FILE|-")]
    archive: PathBuf,
    /// Make the generation current that was current where the archive was made, or else the newest one
    #[arg(long)]
    activate: bool,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct ImportedDoc {
    schema: &'static str,
    /// The generations of the archive, the oldest first.
    generations: Vec<MadeDoc>,
    /// The number of objects that the store did not have.
    objects: u64,
    /// The number of their bytes.
    bytes: u64,
    /// The generation that is current now.
    current: Option<GenerationId>,
    warnings: Vec<WarningDoc>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct MadeDoc {
    /// Its number in the archive.
    from: u64,
    generation: GenerationId,
    tree: String,
    /// Whether the store did not have it.
    changed: bool,
}

impl Import {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        if self.activate {
            context.check_hooks()?;
        }
        let rules = context.scan_rules(None)?;
        let (name, bytes) = source::open(&self.archive)?;
        let mut bytes = compressed::open(bytes, &name)?;
        let store = context.open_or_create(None)?.0;
        let unpacked = read::unpack(&store, &mut bytes, &name)?;
        context.check_interrupted()?;
        let made = unpacked.commit(&store, &rules)?;
        let new = made.iter().filter(|made| made.publication.is_some()).count() as u64;
        if new > 0 {
            context.out.has_changed(format!("{} imported", human::count(new, "generation")));
        }
        restore_records(context, &store, &unpacked, &made)?;
        let activation = match self.activate {
            true => chosen(&unpacked, &made)
                .filter(|id| store.current().is_ok_and(|current| current != Some(*id)))
                .map(|id| store.activate(&Rev::Number(id), Expect::Any))
                .transpose()?,
            false => None,
        };
        context.progress.finish();
        context
            .out
            .confirm_text(|| text(&unpacked, &made, activation.as_ref().map(|done| done.generation)));
        let mut warnings: Vec<_> = made
            .iter()
            .flat_map(|made| made.publication.iter())
            .flat_map(|done| done.warnings.clone())
            .collect();
        warnings.extend(activation.iter().flat_map(|done| done.warnings.clone()));
        let ended = match &activation {
            Some(done) => hooks::post_commit(context, &store, done.generation, done.previous),
            None => HooksEnded::without(store.current()?),
        };
        let status = ended.status(context, context.warn_of(&warnings));
        let mut documents = WarningDoc::all(&warnings);
        documents.extend(WarningDoc::take(context.out));
        let doc = |made: &Made| MadeDoc {
            from: made.from,
            generation: made.generation,
            tree: made.tree.clone(),
            changed: made.publication.is_some(),
        };
        context.out.confirm_document(&ImportedDoc {
            schema: "genstore.import/1",
            generations: made.iter().map(doc).collect(),
            objects: unpacked.objects,
            bytes: unpacked.bytes,
            current: store.current()?,
            warnings: documents,
        });
        Ok(status)
    }
}

/// Returns the generation that is to become current.
fn chosen(unpacked: &Unpacked, made: &[Made]) -> Option<GenerationId> {
    let current = made.iter().find(|made| Some(made.from) == unpacked.index.current);
    current.or(made.last()).map(|made| made.generation)
}

/// Marks and pins the new generations like the old ones. A pin of this store is not moved.
fn restore_records(context: &Context<'_>, store: &Store, unpacked: &Unpacked, made: &[Made]) -> Result<()> {
    for indexed in &unpacked.index.generations {
        let found = made.iter().find(|made| made.from == indexed.generation);
        let Some(made) = found.filter(|made| made.publication.is_some()) else { continue };
        let rev = Rev::Number(made.generation);
        if let Some(why) = &indexed.bad {
            let why = Some(why.clone()).filter(|why| !why.is_empty());
            context.warn_of(&store.mark(&rev, Mark::Bad, why)?.warnings);
        }
        for pin in &indexed.pins {
            let until = pin.until.as_ref().and_then(|until| time::parse_moment(until, context.now()).ok());
            if until.is_some_and(|until| until <= context.now()) {
                continue;
            }
            let done = match pin.name.parse::<PinName>() {
                Ok(name) => {
                    store.pin(&rev, &name, pin.why.clone(), until).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(why) = done {
                let shown = genstore::tree::show_path(pin.name.as_bytes());
                context
                    .out
                    .warn(&format!("generation {} was not pinned as {shown}: {why}", made.generation));
            }
        }
    }
    Ok(())
}

fn text(unpacked: &Unpacked, made: &[Made], activated: Option<GenerationId>) -> String {
    let mut text = String::new();
    for made in made {
        let (from, id, short) = (made.from, made.generation, &made.tree[..8]);
        text.push_str(&match made.publication {
            Some(_) => format!("{GOOD}Imported{GOOD:#} generation {from} {DIM}{short}{DIM:#} as {id}\n"),
            None => format!("Unchanged: generation {from} {DIM}{short}{DIM:#} is {id}\n"),
        });
    }
    let objects = human::count(unpacked.objects, "new object");
    text.push_str(&format!("{objects}, {}\n", human::bytes(unpacked.bytes)));
    if let Some(id) = activated {
        text.push_str(&format!("Switched to generation {id}\n"));
    }
    text
}
