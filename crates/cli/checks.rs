//! Audit commands: each looks at the staged tree and says what it finds.
//!
//! A command gets the tree's directory as `GENSTORE_STAGED`, and a file to write findings to as
//! `GENSTORE_FINDINGS`: one JSON object per line, `{"rule":…,"path":…,"message":…,"severity":…}`.
//! If it fails without a finding, that it failed is the finding.

use std::path::Path;

use anyhow::Result;
use genstore::Finding;

use crate::config::CommandLine;
use crate::context::Context;

/// The project's audit commands.
pub(crate) struct Checks<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) commands: &'a [CommandLine],
    /// Where they run.
    pub(crate) root: &'a Path,
}

impl Checks<'_> {
    /// Runs all of them on a staged tree.
    pub(crate) fn run(&self, staged: &Path) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for command in self.commands {
            let words = command.words();
            let status = std::process::Command::new(&words[0])
                .args(&words[1..])
                .current_dir(self.root)
                .env("GENSTORE_STAGED", staged)
                .status()?;
            if !status.success() {
                findings.push(Finding::error("run", None, format!("{} failed", command.text())));
            }
        }
        Ok(findings)
    }
}
