//! Archives of whole generations: a tar archive (POSIX, pax) that `export --archive` writes and `import` reads.
//!
//! | member | what |
//! |---|---|
//! | `genstore-archive.json` | the first member: the generations with their marks and pins ([`Index`]) |
//! | `generations/N/manifest` | the manifest of a generation, byte for byte |
//! | `generations/N/tree/…` | its entries; bytes that an earlier member has are a hard link to it |
//!
//! A manifest comes before the entries of its tree. Other programs unpack the archive into plain folders.

pub(crate) mod read;
pub(crate) mod write;

use serde::{Deserialize, Serialize};

/// The name of the first member.
const INDEX: &str = "genstore-archive.json";
/// The value of the field `schema` in it.
const SCHEMA: &str = "genstore-archive 1";
/// The folder of the generations.
const GENERATIONS: &str = "generations";

/// The first member.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    schema: String,
    /// The generation that was current, if the archive has it.
    pub(crate) current: Option<u64>,
    /// The oldest first.
    pub(crate) generations: Vec<Indexed>,
}

/// A generation in the index. Its manifest has the rest.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Indexed {
    pub(crate) generation: u64,
    pub(crate) tree: String,
    pub(crate) time: String,
    /// The mark, if it is `bad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bad: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) pins: Vec<IndexedPin>,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexedPin {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<String>,
}

/// Returns the path of the member that holds a generation's manifest.
fn manifest_path(generation: u64) -> Vec<u8> {
    format!("{GENERATIONS}/{generation}/manifest").into_bytes()
}

/// Returns the path of the member of an entry.
fn entry_path(generation: u64, path: &[u8]) -> Vec<u8> {
    [format!("{GENERATIONS}/{generation}/tree/").as_bytes(), path].concat()
}
