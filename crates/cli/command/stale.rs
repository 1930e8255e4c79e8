//! Stale outputs: files of a kept output folder that the last build did not write, such as those of a
//! deleted or renamed source.
//!
//! A file was written by a build if its ctime is not earlier than the start of the build, by the clock of
//! the filesystem. Other files are known to be stale only after a full run: one that wrote more than half
//! of the files. An incremental compiler may write more than half and leave out files that are right, so its
//! output (TypeScript's has a `.tsbuildinfo`) is never judged.

#![allow(clippy::disallowed_methods, reason = "the output folder is the builder's and no part of a store")]

use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use genstore::plan::ScanRules;

use crate::errors::Fail;
use crate::text::escape::show;
use crate::text::human;

/// The most stale files that are listed on a line.
const NAMED: usize = 5;

/// The start of a build, by the clock of a filesystem.
#[derive(Clone, Copy)]
pub(crate) struct Began {
    dev: u64,
    ctime: (i64, i64),
}

impl Began {
    /// Reads the time from a file that was just created.
    pub(crate) fn at(file: &File) -> Option<Began> {
        let meta = file.metadata().ok()?;
        Some(Began { dev: meta.dev(), ctime: ctime(&meta) })
    }
}

fn ctime(meta: &Metadata) -> (i64, i64) {
    (meta.ctime(), meta.ctime_nsec())
}

/// The treatment of stale outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Prune {
    /// They are listed.
    Name,
    /// They are removed.
    Remove,
}

impl Prune {
    /// Interprets `[build] prune`. Returns `None` if stale outputs are ignored.
    ///
    /// # Errors
    /// Fails if the output folder contains the project, or is outside it: its files may be others' then.
    pub(crate) fn read(wanted: Option<bool>, output: &Path, root: &Path) -> Result<Option<Prune>> {
        match wanted {
            None => Ok(Some(Prune::Name)),
            Some(false) => Ok(None),
            Some(true) => {
                let (root, real_output) = (real(root), real(output));
                let why = match () {
                    () if root.starts_with(&real_output) => "contains the project",
                    () if !real_output.starts_with(&root) => "is outside the project",
                    () => return Ok(Some(Prune::Remove)),
                };
                let message =
                    format!("`prune` under [build] cannot remove files of {}: it {why}", show(output));
                let fail = Fail::usage("bad-prune", message);
                let hint = "name a folder of the project as `output` that only the build writes to";
                Err(Fail { hint: hint.to_owned(), ..fail }.into())
            }
        }
    }
}

fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| match (path.parent(), path.file_name()) {
        // The folder does not exist yet.
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => path.to_owned(),
    })
}

/// Stale outputs, by their paths below the output folder.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Stale {
    pub(crate) paths: Vec<PathBuf>,
    /// Whether they were removed.
    pub(crate) removed: bool,
}

impl Stale {
    /// Lists them on one line.
    pub(crate) fn line(&self, output: &Path) -> String {
        let named: Vec<String> = self.paths.iter().take(NAMED).map(|path| show(path)).collect();
        let more = match self.paths.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let files = human::count(self.paths.len() as u64, "file");
        let (files, output) =
            (format!("{files} of {}", show(output)), format!("{}{more}", named.join(", ")));
        match self.removed {
            true => format!("removed {files} that the build did not write: {output}"),
            false => format!("the build did not write {files}: {output}"),
        }
    }

    /// Returns whether one of them is in this folder. The empty path stands for the whole output.
    pub(crate) fn touches(&self, folder: &[u8]) -> bool {
        let folder = Path::new(std::ffi::OsStr::from_bytes(folder));
        self.paths.iter().any(|path| path.starts_with(folder))
    }

    /// The hint for listed files.
    pub(crate) const HINT: &str = "remove them if no source produces them any more; `prune = true` under [build] \
         removes files that a full run does not write, `prune = false` hides this note";
}

/// Finds the files that a build since `began` did not write, and removes them with [`Prune::Remove`]. Finds
/// nothing if the build was no full run, if an incremental compiler made it, or if the folder's filesystem has
/// another clock.
pub(crate) fn find(output: &Path, rules: &ScanRules, began: Option<Began>, prune: Prune) -> Result<Stale> {
    let Some(began) = began else { return Ok(Stale::default()) };
    let mut look = Look { rules, began, written: 0, unwritten: vec![], is_incremental: false };
    let meta = std::fs::metadata(output);
    if !meta.is_ok_and(|meta| meta.is_dir() && meta.dev() == began.dev) {
        return Ok(Stale::default());
    }
    look.folder(output, Path::new(""))?;
    if look.unwritten.len() >= look.written || look.is_incremental {
        return Ok(Stale::default());
    }
    let mut paths = look.unwritten;
    paths.sort();
    if prune == Prune::Remove {
        for path in &paths {
            remove(output, path)?;
        }
    }
    Ok(Stale { removed: prune == Prune::Remove && !paths.is_empty(), paths })
}

/// Removes a file, and the folders that become empty.
fn remove(output: &Path, path: &Path) -> Result<()> {
    let place = output.join(path);
    match std::fs::remove_file(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(genstore::Error::Io { op: "remove", path: place, source: error }.into());
        }
        _ => {}
    }
    let above = path.ancestors().skip(1).take_while(|above| !above.as_os_str().is_empty());
    // The first folder that is not empty ends the loop.
    above.map(|above| std::fs::remove_dir(output.join(above))).take_while(Result::is_ok).for_each(drop);
    Ok(())
}

struct Look<'a> {
    rules: &'a ScanRules,
    began: Began,
    written: usize,
    unwritten: Vec<PathBuf>,
    /// Whether it has the notes of an incremental compiler.
    is_incremental: bool,
}

impl Look<'_> {
    fn folder(&mut self, output: &Path, below: &Path) -> Result<()> {
        let place = output.join(below);
        let fail = |source| genstore::Error::Io { op: "read", path: place.clone(), source };
        for entry in std::fs::read_dir(&place).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let path = below.join(entry.file_name());
            // A file that vanishes was removed by another program.
            let Ok(meta) = entry.metadata() else { continue };
            let bytes = path.as_os_str().as_bytes();
            self.is_incremental |= bytes.ends_with(b".tsbuildinfo");
            if self.rules.exclude.as_ref().is_some_and(|globs| globs.matches(bytes, meta.is_dir())) {
                continue;
            }
            if meta.is_dir() {
                if meta.dev() == self.began.dev {
                    self.folder(output, &path)?;
                }
                continue;
            }
            if self.rules.include.as_ref().is_some_and(|globs| !globs.matches_or_above(bytes, false)) {
                continue;
            }
            match ctime(&meta) >= self.began.ctime {
                true => self.written += 1,
                false => self.unwritten.push(path),
            }
        }
        Ok(())
    }
}
