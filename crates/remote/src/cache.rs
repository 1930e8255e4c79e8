//! The copies of a remote's metadata on this machine.
//!
//! Every copy is checked when it is read, and all may be deleted at any time. The newest record that was seen
//! is more than a copy: with it a remote that goes back is noticed (RMT-8).
#![allow(clippy::disallowed_methods, reason = "a cache is no store: this module alone changes its folder")]

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use genstore::tree::Digest;

use crate::error::{Error, Result};
use crate::nonce::random;

/// The number of bundles whose copies are kept.
const KEPT: usize = 8;
/// The file of the newest record.
const SEEN: &str = "seen";
/// The file that says that the server was checked.
const PROBED: &str = "probed";

/// A folder for the copies of one remote.
#[derive(Clone, Debug)]
pub struct Cache {
    dir: PathBuf,
    /// Whether copies are used, and not only the newest record.
    copies: bool,
}

/// A part of a bundle that is copied.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Header,
    Manifest,
    Table,
    /// A list of forgotten contents, by its own digest.
    Forgotten,
}

impl Part {
    fn ending(self) -> &'static str {
        match self {
            Part::Header => "header",
            Part::Manifest => "manifest",
            Part::Table => "table",
            Part::Forgotten => "forgotten",
        }
    }
}

impl Cache {
    /// Uses a folder, which is created when it is needed.
    pub fn new(dir: &Path) -> Cache {
        Cache { dir: dir.to_owned(), copies: true }
    }

    /// Uses no copies: everything is read from the remote.
    pub fn without_copies(self) -> Cache {
        Cache { copies: false, ..self }
    }

    /// Reads the newest record that was seen.
    pub(crate) fn seen(&self) -> Result<Option<Vec<u8>>> {
        read(&self.dir.join(SEEN)).map_err(Error::local("read the newest record that was seen"))
    }

    /// Replaces the newest record that was seen.
    pub(crate) fn set_seen(&self, bytes: &[u8]) -> Result<()> {
        self.write(SEEN, bytes, true).map_err(Error::local("keep the newest record that was seen"))
    }

    /// Returns whether the server was checked from here.
    pub(crate) fn is_probed(&self) -> bool {
        read(&self.dir.join(PROBED)).is_ok_and(|probed| probed.is_some())
    }

    /// Keeps that the server was checked. If this fails, it is checked once more.
    pub(crate) fn set_probed(&self) {
        drop(self.write(PROBED, b"", false));
    }

    /// Returns whether this is the first call with this word on this machine. If that cannot be kept, it is.
    pub fn is_first(&self, word: &str) -> bool {
        let name = format!("said-{word}");
        let was_said = read(&self.dir.join(&name)).is_ok_and(|said| said.is_some());
        if !was_said {
            drop(self.write(&name, b"", false));
        }
        !was_said
    }

    /// Reads a copy. One that cannot be read counts as missing.
    pub(crate) fn part(&self, bundle: Digest, part: Part) -> Option<Vec<u8>> {
        let path = self.dir.join(format!("{bundle}.{}", part.ending()));
        if self.copies { read(&path).ok().flatten() } else { None }
    }

    /// Keeps a copy. A failure is no error, as the copy can be read from the remote again.
    pub(crate) fn keep(&self, bundle: Digest, part: Part, bytes: &[u8]) {
        drop(self.write(&format!("{bundle}.{}", part.ending()), bytes, false));
    }

    /// Removes the copies of all bundles but the newest and this one: the checkpoint, from which further manifests
    /// will differ.
    pub(crate) fn prune(&self, checkpoint: Option<Digest>) {
        let checkpoint = checkpoint.map(|id| id.to_string());
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let manifest = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let bundle = name.strip_suffix(".manifest")?.to_owned();
            Some((entry.metadata().ok()?.modified().ok()?, bundle))
        };
        let mut bundles: Vec<(SystemTime, String)> =
            entries.filter_map(|entry| manifest(entry.ok()?)).collect();
        bundles.retain(|(_, bundle)| Some(bundle) != checkpoint.as_ref());
        bundles.sort();
        let old = bundles.len().saturating_sub(KEPT);
        for (_, bundle) in &bundles[..old] {
            for part in [Part::Header, Part::Table, Part::Manifest] {
                // The next pruning tries again.
                drop(fs::remove_file(self.dir.join(format!("{bundle}.{}", part.ending()))));
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let nonce: String = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let temporary = self.dir.join(format!("{name}.{nonce}.tmp"));
        let written = fs::write(&temporary, bytes).and_then(|()| match durable {
            true => fs::File::open(&temporary)?.sync_all(),
            false => Ok(()),
        });
        let placed = written.and_then(|()| fs::rename(&temporary, self.dir.join(name)));
        if placed.is_err() {
            drop(fs::remove_file(&temporary));
        }
        placed
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}
