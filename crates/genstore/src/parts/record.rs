//! The file of a record: a line of JSON with its hash, replaced as a whole. Each part that owns a record uses
//! it; the values stand in `model/records`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::model::digest::Digest;
use crate::parts::layout::{STAGING, StoreDir};
use crate::parts::locks::CommitLock;

/// Encodes a value as a line without its end.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("records have no other keys than texts, and always encode")
}

pub(crate) fn wrap(value: &impl Serialize) -> Vec<u8> {
    let line = to_json(value);
    format!("{line}\n{}\n", Digest::of(line.as_bytes())).into_bytes()
}

pub(crate) fn unwrap<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let (line, rest) = text.split_once('\n').ok_or("it is cut short")?;
    if rest != format!("{}\n", Digest::of(line.as_bytes())) {
        return Err("the hash differs");
    }
    serde_json::from_str(line).map_err(|_| "it is not a record of this kind")
}

pub(crate) fn read<T: DeserializeOwned>(store: &StoreDir, path: &[u8]) -> Result<Option<T>> {
    let Some(bytes) = store.dir.read(path)? else {
        return Ok(None);
    };
    unwrap(&bytes).map(Some).map_err(|why| Error::damaged_file(&store.dir.join(path), why))
}

/// Writes a file of the store to `folder/name` atomically and durably.
pub(crate) fn replace(
    store: &StoreDir,
    _: &CommitLock,
    folder: &[u8],
    name: &[u8],
    bytes: &[u8],
) -> Result<()> {
    let (staging, dir) = (store.sub(STAGING)?, store.sub(folder)?);
    store.fs.replace_file(&staging, &dir, name, bytes)?;
    store.fs.sync_dir(&dir)
}

/// Makes the end of the last change durable. Otherwise a power loss may bring back its intent, and
/// recovery would write its records again.
pub(crate) fn make_end_durable(store: &StoreDir, _: &CommitLock) -> Result<()> {
    store.fs.sync_dir(&store.dir)
}
