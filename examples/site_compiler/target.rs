//! The place of the outputs: in memory, or in a folder on the disk. The results are the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use genstore::{Plan, Source};

use crate::plan::Output;

pub(crate) trait Target {
    /// Writes an output, or replaces it.
    fn write(&mut self, path: &str, output: &Output) -> Result<()>;

    /// Reads an output back.
    fn read(&self, path: &str) -> Result<Output>;

    /// Runs a program that creates an output file.
    fn compile(&mut self, path: &str, program: impl FnOnce(&Path) -> Result<()>) -> Result<()>;
}

/// The outputs, by path.
#[derive(Default)]
pub(crate) struct Memory(BTreeMap<String, Output>);

impl Memory {
    /// Converts the outputs to a plan for the store.
    pub(crate) fn into_plan(self) -> Result<Plan> {
        let add = |plan: genstore::plan::PlanBuilder, (path, output): (String, Output)| {
            let source = Source::Bytes(output.bytes);
            if output.executable { plan.executable(path, source) } else { plan.file(path, source) }
        };
        Ok(self.0.into_iter().fold(Plan::builder(), add).build()?)
    }
}

impl Target for Memory {
    fn write(&mut self, path: &str, output: &Output) -> Result<()> {
        self.0.insert(path.to_owned(), output.clone());
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Output> {
        self.0.get(path).cloned().with_context(|| format!("{path} was not written"))
    }

    fn compile(&mut self, path: &str, program: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut disk = Disk(folder.path());
        disk.compile(path, program)?;
        self.write(path, &disk.read(path)?)
    }
}

/// The folder of the outputs.
pub(crate) struct Disk<'a>(pub(crate) &'a Path);

impl Target for Disk<'_> {
    fn write(&mut self, path: &str, output: &Output) -> Result<()> {
        let to = self.0.join(path);
        let write = || {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&to, &output.bytes)?;
            let mode = if output.executable { 0o755 } else { 0o644 };
            fs::set_permissions(&to, fs::Permissions::from_mode(mode))
        };
        write().with_context(|| format!("cannot write {path}"))
    }

    fn read(&self, path: &str) -> Result<Output> {
        let from = self.0.join(path);
        let read = || {
            let executable = from.metadata()?.permissions().mode() & 0o100 != 0;
            Ok::<_, std::io::Error>(Output { bytes: fs::read(&from)?, executable })
        };
        read().with_context(|| format!("cannot read {path}"))
    }

    fn compile(&mut self, path: &str, program: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let out = self.0.join(path);
        out.parent().map_or(Ok(()), fs::create_dir_all)?;
        program(&out)
    }
}
