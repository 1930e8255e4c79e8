//! Objects of the local store, as a remote needs them.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;

use genstore::Store;
use genstore::error::Damaged;
use genstore::tree::{Digest, ObjectId};

use crate::error::{Error, Result};

/// The digest and the size of an object.
pub(crate) type Object = (Digest, u64);

/// Returns the objects that only the first generation has, and those that only the second has.
pub(crate) fn sides(first: &[Object], second: &[Object]) -> (Vec<Object>, Vec<Object>) {
    let only = |some: &[Object], others: &[Object]| {
        let others: HashSet<Digest> = others.iter().map(|(digest, _)| *digest).collect();
        some.iter().filter(|(digest, _)| !others.contains(digest)).copied().collect()
    };
    (only(first, second), only(second, first))
}

/// Reads an object of the store, and checks its bytes.
pub(crate) fn read_object(store: &Store, (digest, size): Object) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    let read = open_object(store, digest)?.take(size + 1).read_to_end(&mut bytes);
    read.map_err(Error::local("read an object"))?;
    match Digest::of(&bytes) == digest {
        true => Ok(bytes),
        false => Err(damaged(digest)),
    }
}

/// Opens an object of the store.
pub(crate) fn open_object(store: &Store, digest: Digest) -> Result<File> {
    store.open_object(digest)?.ok_or_else(|| damaged(digest))
}

/// Returns the error of an object that is missing or has other bytes.
pub(crate) fn damaged(digest: Digest) -> Error {
    Error::Store(genstore::Error::Damaged {
        what: Damaged::Object(ObjectId { digest, executable: false }),
        cause: "it is missing, or its hash differs".to_owned(),
        uses: vec![],
    })
}
