//! `put`: copies roots into a batch, which one commit publishes.

use anyhow::Result;
use clap::Args;
use genstore::tree::RelPath;
use serde::Serialize;

use crate::command::choice::Choice;
use crate::command::context::Context;
use crate::command::publishing::lossy;
use crate::command::stages::StageArg;
use crate::errors::Fail;
use crate::inputs::roots::{self, Root};
use crate::render::json::{PathField, WarningDoc};
use crate::text::human;

#[derive(Args)]
pub(crate) struct Put {
    #[command(flatten)]
    stage: StageArg,
    /// Put a directory or a single file at NAME
    #[arg(required = true, value_name = "NAME=PATH", value_parser = roots::parser())]
    roots: Vec<Root>,
    #[command(flatten)]
    choice: Choice,
}

/// The document `genstore.put/1`.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
pub(crate) struct PutDoc {
    schema: &'static str,
    /// The id of the stage.
    stage: String,
    /// The roots, in the order of the arguments.
    roots: Vec<RootDoc>,
    /// The losses of files, for example of access rights.
    warnings: Vec<WarningDoc>,
}

/// A root that was put.
#[derive(Serialize)]
#[cfg_attr(feature = "testing", derive(schemars::JsonSchema))]
struct RootDoc {
    #[serde(flatten)]
    path: PathField,
    /// The number of files.
    files: u64,
    /// The sum of their sizes.
    bytes: u64,
}

impl Put {
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<u8> {
        context.choose(&self.choice);
        let store = context.open()?;
        let (id, rules, lossy) =
            (self.stage.id(&store)?, context.scan_rules(Some(&store))?, lossy(context)?);
        let names = self.roots.iter().map(name_of).collect::<Result<Vec<RelPath>>>()?;
        let (mut docs, mut text, mut warnings) = (vec![], String::new(), vec![]);
        for (root, name) in self.roots.iter().zip(&names) {
            let put = store.put(&id, (name, &root.path), &rules, lossy)?;
            text += &format!(
                "Put {}: {}, {}\n",
                genstore::tree::show_path(name.as_bytes()),
                human::count(put.files, "file"),
                human::bytes(put.bytes),
            );
            docs.push(RootDoc { path: PathField::of(name.as_bytes()), files: put.files, bytes: put.bytes });
            warnings.extend(put.warnings);
        }
        context.progress.finish();
        let status = context.warn_of(&warnings);
        let warnings = WarningDoc::all(&warnings);
        let document = PutDoc { schema: "genstore.put/1", stage: id.to_string(), roots: docs, warnings };
        context.out.confirm(&document, || text);
        Ok(status)
    }
}

/// Returns the path of a root in the generation.
fn name_of(root: &Root) -> Result<RelPath> {
    RelPath::new(root.name.clone()).map_err(|why| {
        let shown = genstore::tree::show_path(&root.name);
        let hint = "a root's name is a relative path in the generation, for example apps/web".to_owned();
        Fail { hint, ..Fail::usage("bad-root", format!("not the name of a root: {shown}: {why}")) }.into()
    })
}
