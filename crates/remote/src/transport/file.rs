//! `file://`: a directory in the layout of a remote. A web server can serve it as it is.
//!
//! A file is written under a temporary name, flushed, and then gets its key by link(2), which never
//! replaces, or by rename(2), which does. So a key names a whole file, also after a crash.
#![allow(
    clippy::disallowed_methods,
    reason = "a remote is no store: this module alone changes its directory"
)]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Created, Failure, Listed, Parts, Transport};
use crate::nonce::random;

/// The folder for files on their way. Its name is no prefix of a key.
const TEMPORARY: &str = "tmp";

/// A remote in a directory.
pub struct FileTransport {
    root: PathBuf,
}

impl FileTransport {
    /// Uses a directory. The first write creates it, if its parent exists.
    pub fn new(root: &Path) -> FileTransport {
        FileTransport { root: root.to_owned() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn open(&self, key: &str) -> Result<Option<File>, Failure> {
        match File::open(self.path(key)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if is_absence(&e) => Ok(None),
            Err(e) => Err(self.failed("open", key, &e)),
        }
    }

    fn failed(&self, op: &str, key: &str, error: &io::Error) -> Failure {
        let message = format!("cannot {op} {}: {error}", self.path(key).display());
        // A disk error is no reason to try again. An interrupted call is.
        match error.kind() {
            ErrorKind::Interrupted | ErrorKind::TimedOut | ErrorKind::StaleNetworkFileHandle => {
                Failure::ambiguous(message)
            }
            _ => Failure::final_one(message),
        }
    }

    /// Writes parts to a temporary file, durably.
    fn write(&self, parts: &mut Parts<'_>) -> io::Result<PathBuf> {
        let folder = self.root.join(TEMPORARY);
        match fs::create_dir(&self.root) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        fs::create_dir_all(&folder)?;
        let name: String = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(name);
        let mut file = File::create_new(&path)?;
        let mut write = || -> io::Result<()> {
            while let Some(part) = parts()? {
                file.write_all(&part)?;
            }
            file.sync_all()
        };
        if let Err(e) = write() {
            // The caller reports why it was not written.
            drop(fs::remove_file(&path));
            return Err(e);
        }
        Ok(path)
    }

    /// Creates the folder of a key, and returns it.
    fn folder(&self, key: &str) -> io::Result<PathBuf> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|folder| matches!(folder.try_exists(), Ok(false)) && folder.starts_with(&self.root))
            .collect();
        fs::create_dir_all(&folder)?;
        for made in missing {
            made.parent().map_or(Ok(()), flush)?;
        }
        Ok(folder)
    }

    fn place(&self, key: &str, parts: &mut Parts<'_>, link: bool) -> io::Result<Created> {
        let temporary = self.write(parts)?;
        let folder = self.folder(key)?;
        let placed = match link {
            true => fs::hard_link(&temporary, self.path(key)),
            false => fs::rename(&temporary, self.path(key)),
        };
        if link {
            fs::remove_file(&temporary)?;
        }
        match placed {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Created::Taken),
            placed => placed.and_then(|()| flush(&folder)).map(|()| Created::New),
        }
    }

    fn list_folder(&self, folder: &str, found: &mut Vec<Listed>) -> io::Result<()> {
        let entries = match fs::read_dir(self.path(folder)) {
            Err(e) if is_absence(&e) => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && key != TEMPORARY {
                self.list_folder(&key, found)?;
            } else if kind.is_file() {
                match entry.metadata() {
                    Ok(data) => found.push(Listed { key, bytes: data.len() }),
                    // Another gc removed it.
                    Err(e) if is_absence(&e) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

/// Makes one part.
fn one(bytes: &[u8]) -> impl FnMut() -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Some(bytes.to_vec());
    move || Ok(bytes.take())
}

fn is_absence(error: &io::Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind())
}

fn flush(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Transport for FileTransport {
    fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some(file) = self.open(key)? else { return Ok(None) };
        let mut bytes = vec![];
        let read = file.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|e| self.failed("read", key, &e))?;
        match bytes.len() as u64 > limit {
            true => Err(Failure::final_one(format!("{key} is longer than {limit} bytes"))),
            false => Ok(Some(bytes)),
        }
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some(mut file) = self.open(key)? else { return Ok(None) };
        let mut bytes = vec![];
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.take(len).read_to_end(&mut bytes));
        read.map_err(|e| self.failed("read", key, &e))?;
        Ok(Some(bytes))
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created, Failure> {
        self.place(key, &mut one(bytes), true).map_err(|e| self.failed("create", key, &e))
    }

    fn create_long(&self, key: &str, parts: &mut Parts<'_>) -> Result<u64, Failure> {
        self.place(key, parts, true).map(|_| 1).map_err(|e| self.failed("create", key, &e))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.place(key, &mut one(bytes), false).map(drop).map_err(|e| self.failed("write", key, &e))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, Failure> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut found = vec![];
        self.list_folder(folder, &mut found).map_err(|e| self.failed("list", folder, &e))?;
        found.retain(|listed| listed.key.starts_with(prefix));
        found.sort();
        Ok(found)
    }

    fn delete(&self, key: &str) -> Result<(), Failure> {
        match fs::remove_file(self.path(key)) {
            Err(e) if !is_absence(&e) => Err(self.failed("remove", key, &e)),
            _ => Ok(()),
        }
    }
}
