//! Objects of the local store, as a remote needs them.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;

use genstore::Store;
use genstore::error::Damaged;
use genstore::tree::{Digest, Node, ObjectId, Tree};

use crate::codec::{Bad, table};
use crate::error::{Error, Result};

/// The digest and the size of an object.
pub(crate) type Object = (Digest, u64);

/// Returns the objects on both sides of a patch: those that make the prefix, and those that the patch brings.
///
/// The patch brings the objects that the parent lacks. The prefix is the parent's objects that are most like
/// them: those that the child lacks, and those at the paths of new ones. A file that changed often has a copy
/// elsewhere that did not.
///
/// # Errors
/// [`Bad`] if two files with one digest have different sizes.
pub(crate) fn sides(parent: &Tree, child: &Tree) -> std::result::Result<(Vec<Object>, Vec<Object>), Bad> {
    let (mut before, mut after) = (table::objects(parent)?, table::objects(child)?);
    let digests = |objects: &[Object]| objects.iter().map(|(digest, _)| *digest).collect::<HashSet<_>>();
    let (had, has) = (digests(&before), digests(&after));
    after.retain(|(digest, _)| !had.contains(digest));
    let is_new = |path: &[u8]| match child.find(path) {
        Some(Node::File(file)) => file.size > 0 && !had.contains(&file.digest),
        _ => false,
    };
    let replaced: HashSet<Digest> =
        parent.iter_files().filter(|(path, _)| is_new(path)).map(|(_, file)| file.digest).collect();
    before.retain(|(digest, _)| !has.contains(digest) || replaced.contains(digest));
    Ok((before, after))
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
