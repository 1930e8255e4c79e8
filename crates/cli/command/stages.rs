//! The name of a stage on the command line: its id, or the path that `begin` printed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use clap::Args;
use genstore::Store;
use genstore::publish::StageId;

use crate::errors::Fail;

#[derive(Args)]
pub(crate) struct StageArg {
    /// The stage: the id or the path that `begin` printed
    #[arg(value_name = "STAGE")]
    stage: OsString,
}

impl StageArg {
    /// Parses the id.
    pub(crate) fn id(&self, store: &Store) -> Result<StageId> {
        let shown = genstore::tree::show_path(self.stage.as_bytes());
        let bad = |why: String| -> anyhow::Error {
            let hint = "`genstore begin` prints a stage's id and path".to_owned();
            Fail { hint, ..Fail::usage("bad-stage", format!("not a stage: {shown}: {why}")) }.into()
        };
        if !self.stage.as_bytes().contains(&b'/') {
            let text = self.stage.to_str().unwrap_or_default();
            return text.parse().map_err(|e: genstore::publish::NotAStageId| bad(e.to_string()));
        }
        let path = Path::new(&self.stage);
        let absolute = std::path::absolute(path).map_err(|e| bad(e.to_string()))?;
        // The path is STORE/staging/s-ID/out, or the folder above it.
        let stage = match absolute.file_name() == Some(OsStr::new("out")) {
            true => absolute.parent().unwrap_or(&absolute),
            false => &absolute,
        };
        let id = stage.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix("s-"));
        let home = stage.parent().and_then(Path::parent);
        let (Some(id), Some(home)) = (id.and_then(|id| id.parse().ok()), home) else {
            return Err(bad("this is not the path of a stage".to_owned()));
        };
        if std::fs::canonicalize(home).ok().as_deref() != Some(store.path()) {
            let message = format!(
                "the stage {shown} does not belong to the store {}",
                crate::text::escape::show(store.path())
            );
            let hint = "name the stage's own store with --store";
            return Err(Fail::new("stage-foreign", message, hint).into());
        }
        Ok(id)
    }
}
