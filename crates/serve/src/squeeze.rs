//! Compressed forms of objects. Each is made once, by digest, and kept in memory and in a folder, both of
//! bounded size.
#![allow(clippy::disallowed_methods, reason = "a cache is no store: this module alone changes its folder")]

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, process};

use flate2::Compression;
use flate2::write::GzEncoder;
use genstore::tree::Digest;
use hyper::body::Bytes;
use tokio::sync::{OnceCell, Semaphore};

use crate::encoding::Coding;

/// Sizes of files that are compressed.
pub(crate) const SIZES: std::ops::RangeInclusive<u64> = 256..=16 << 20;
/// Bytes of compressed forms in memory.
const MOST_MEMORY: usize = 8 << 20;
/// Bytes of compressed forms in the folder.
const MOST_KEPT: u64 = 256 << 20;
/// The number of new forms after which the folder is pruned.
const PRUNE_EVERY: u64 = 256;
/// The number of files that are compressed at the same time.
const AT_ONCE: usize = 2;
/// The level of zstd: about 100 MB/s.
const ZSTD_LEVEL: i32 = 6;

/// A form: `None` if it is not smaller than the file.
type Form = Option<Bytes>;

/// A form that is made once, and the time of its last use.
struct Slot {
    cell: Arc<OnceCell<Form>>,
    used: u64,
}

/// The compressed forms.
pub(crate) struct Squeezer {
    folder: Option<PathBuf>,
    memory: Mutex<HashMap<(Digest, Coding), Slot>>,
    clock: AtomicU64,
    made: AtomicU64,
    slots: Semaphore,
}

impl Squeezer {
    /// Uses a folder, which is created when it is needed.
    pub(crate) fn new(folder: Option<PathBuf>) -> Squeezer {
        if let Some(folder) = &folder {
            prune(folder);
        }
        Squeezer {
            folder,
            memory: Mutex::default(),
            clock: AtomicU64::new(0),
            made: AtomicU64::new(0),
            slots: Semaphore::new(AT_ONCE),
        }
    }

    /// Returns the form of an object, whose bytes are read by `read` if it has to be made. Returns `None`
    /// if the plain form is as good, or the bytes are not those of the digest.
    pub(crate) async fn get(
        &self,
        digest: Digest,
        coding: Coding,
        read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
    ) -> Form {
        let cell = self.slot(digest, coding);
        if let Some(form) = cell.get() {
            return form.clone();
        }
        let make = || async {
            let _slot = self.slots.acquire().await.map_err(io::Error::other)?;
            let folder = self.folder.clone();
            let make = move || form_of(folder.as_deref(), digest, coding, read);
            let made = tokio::task::spawn_blocking(make).await.map_err(io::Error::other)??;
            if self.made.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1
                && let Some(folder) = &self.folder
            {
                prune(folder);
            }
            Ok::<Form, io::Error>(made)
        };
        let form = cell.get_or_try_init(make).await.ok().cloned().flatten();
        self.bound();
        form
    }

    fn slot(&self, digest: Digest, coding: Coding) -> Arc<OnceCell<Form>> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let used = self.clock.fetch_add(1, Ordering::Relaxed);
        let slot = memory.entry((digest, coding)).or_insert_with(|| Slot { cell: Arc::default(), used });
        slot.used = used;
        Arc::clone(&slot.cell)
    }

    /// Drops the forms that were not used for the longest time.
    fn bound(&self) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // A form that is not smaller takes a place, too.
        let size = |slot: &Slot| slot.cell.get().map_or(0, |form| form.as_ref().map_or(64, Bytes::len));
        let mut total: usize = memory.values().map(size).sum();
        if total <= MOST_MEMORY {
            return;
        }
        let mut all: Vec<_> = memory.iter().map(|(key, slot)| (slot.used, *key, size(slot))).collect();
        all.sort_by_key(|(used, _, _)| *used);
        for (_, key, size) in all {
            if total <= MOST_MEMORY / 2 {
                break;
            }
            memory.remove(&key);
            total -= size;
        }
    }
}

fn form_of(
    folder: Option<&Path>,
    digest: Digest,
    coding: Coding,
    read: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<Form> {
    let path = folder.map(|folder| folder.join(format!("{digest}-{}", coding.name())));
    if let Some(form) = path.as_deref().and_then(kept) {
        return Ok(form);
    }
    let bytes = read()?;
    if Digest::of(&bytes) != digest {
        return Err(io::Error::other("the bytes are not those of the digest"));
    }
    let form = compress(&bytes, coding)?;
    let form = Some(form).filter(|form| form.len() < bytes.len() - bytes.len() / 16).map(Bytes::from);
    if let Some(path) = path {
        // It is made again if it could not be kept.
        drop(keep(&path, form.as_deref().unwrap_or_default()));
    }
    Ok(form)
}

fn compress(bytes: &[u8], coding: Coding) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL),
        _ => {
            let mut encoder = GzEncoder::new(vec![], Compression::new(6));
            encoder.write_all(bytes)?;
            encoder.finish()
        }
    }
}

/// Reads a kept form: its digest in hexadecimal digits, then its bytes. A damaged one counts as missing.
fn kept(path: &Path) -> Option<Form> {
    let bytes = fs::read(path).ok()?;
    let (digest, form) = bytes.split_at_checked(64)?;
    if Digest::of(form).to_string().as_bytes() != digest {
        return None;
    }
    Some((!form.is_empty()).then(|| Bytes::copy_from_slice(form)))
}

fn keep(path: &Path, form: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", process::id()));
    let bytes = [Digest::of(form).to_string().as_bytes(), form].concat();
    let placed = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if placed.is_err() {
        drop(fs::remove_file(&temporary));
    }
    placed
}

/// Removes the oldest forms beyond the bound.
fn prune(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let file = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        let data = entry.metadata().ok()?;
        Some((data.modified().unwrap_or(SystemTime::UNIX_EPOCH), data.len(), entry.path()))
    };
    let mut files: Vec<_> = entries.filter_map(file).collect();
    files.sort();
    let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in files {
        if total <= MOST_KEPT {
            return;
        }
        // The next pruning tries again.
        drop(fs::remove_file(path));
        total -= size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn each_object_is_compressed_once_ever() {
        let dir = tempfile::tempdir().unwrap();
        let text = b"the same words again and again ".repeat(50);
        let digest = Digest::of(&text);
        let reads = Arc::new(AtomicU64::new(0));
        let get = |squeezer: &Squeezer, coding| {
            let (reads, text) = (Arc::clone(&reads), text.clone());
            run(squeezer.get(digest, coding, move || {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok(text)
            }))
        };
        let squeezer = Squeezer::new(Some(dir.path().join("kept")));
        let first = get(&squeezer, Coding::Zstd).unwrap();
        assert_eq!(zstd::bulk::decompress(&first, 10_000).unwrap(), text);
        assert_eq!(get(&squeezer, Coding::Zstd).unwrap(), first);
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        // Another run finds it in the folder, unless it is damaged.
        let another = Squeezer::new(Some(dir.path().join("kept")));
        assert_eq!(get(&another, Coding::Zstd).unwrap(), first);
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        fs::write(dir.path().join("kept").join(format!("{digest}-zstd")), [b'x'; 100]).unwrap();
        let third = Squeezer::new(Some(dir.path().join("kept")));
        assert_eq!(get(&third, Coding::Zstd).unwrap(), first);
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        assert!(get(&third, Coding::Gzip).unwrap().starts_with(&[0x1f, 0x8b]));
    }

    #[test]
    fn wrong_bytes_are_not_kept() {
        let squeezer = Squeezer::new(None);
        let digest = Digest::of(b"right");
        assert_eq!(run(squeezer.get(digest, Coding::Gzip, || Ok(b"wrong".repeat(100)))), None);
        let bytes: Vec<u8> =
            (0..2000u32).flat_map(|n| Digest::of(&n.to_le_bytes()).short().into_bytes()).collect();
        let random = blake(&bytes);
        assert_eq!(run(squeezer.get(Digest::of(&random), Coding::Zstd, move || Ok(random))), None);
    }

    /// Returns bytes that do not shrink.
    fn blake(bytes: &[u8]) -> Vec<u8> {
        let hex = |n: usize| Digest::of(&bytes[n..]).to_string();
        (0..64)
            .map(hex)
            .flat_map(|hex| {
                let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                (0..32).map(|at| byte(at * 2)).collect::<Vec<u8>>()
            })
            .collect()
    }
}
