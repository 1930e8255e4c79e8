//! Location tables: where the bytes of a generation's objects lie.
//!
//! The objects are those of the manifest, each once, in the order in which the paths name them first. Mostly
//! objects that follow one another there do so in a pack as well. So a table is a list of such runs, and it
//! holds neither digests nor sizes: the manifest has them.

use std::collections::HashMap;

use genstore::tree::{Digest, Node, Tree};

use super::wire::{Reader, Writer};
use super::{Bad, Nonce, names};

const MAX_PACKS: u32 = 1 << 20;
const MAX_RUNS: u32 = 1 << 26;
/// The longest table, in bytes.
pub const MAX_TABLE: u64 = 1 << 31;

/// The place of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a bundle. `None`: in the bundle of the table.
    Bundle(Option<Digest>),
    /// A file of its own.
    Pack(Digest, Nonce),
    /// A large file.
    Big(Digest, Nonce),
}

/// A pack that a table names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackRef {
    /// The place.
    pub place: Place,
    /// Where in the file the pack begins. In the bundle of the table: 0, as the header knows it.
    pub offset: u64,
    /// The length of the pack in bytes.
    pub stored: u64,
}

impl PackRef {
    /// Returns the same pack, as every other table names it. `own` is the bundle of this table, and `start`
    /// is where its pack begins.
    pub fn from_elsewhere(self, own: Digest, start: u64) -> PackRef {
        match self.place {
            Place::Bundle(None) => PackRef { place: Place::Bundle(Some(own)), offset: start, ..self },
            _ => self,
        }
    }

    /// Returns the key of the file that holds it. `own` is the bundle of the table.
    pub fn key(&self, own: Digest) -> String {
        match &self.place {
            Place::Bundle(bundle) => names::bundle(bundle.unwrap_or(own)),
            Place::Pack(digest, nonce) => names::pack(*digest, nonce),
            Place::Big(digest, nonce) => names::big(*digest, nonce),
        }
    }
}

/// The location of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackRef,
    /// Where in its run the object begins.
    pub start: u64,
}

/// Objects that follow one another in a pack as they do in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    pack: u32,
    start: u64,
    count: u32,
}

/// A location table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    packs: Vec<PackRef>,
    runs: Vec<Run>,
}

/// Lists the objects of a tree with their sizes, each once, in the order of the paths. Empty files have none.
///
/// # Errors
/// [`Bad`] if two files with one digest have different sizes.
pub fn objects(tree: &Tree) -> Result<Vec<(Digest, u64)>, Bad> {
    let mut seen: HashMap<Digest, u64> = HashMap::new();
    let mut objects = vec![];
    for entry in tree.iter() {
        let Node::File(file) = entry.node else { continue };
        if (file.size == 0) != (file.digest == Digest::of(b"")) {
            return Err(Bad::Malformed("a size does not fit its digest"));
        }
        match seen.insert(file.digest, file.size) {
            Some(size) if size != file.size => return Err(Bad::Malformed("an object has two sizes")),
            None if file.size > 0 => objects.push((file.digest, file.size)),
            _ => {}
        }
    }
    Ok(objects)
}

impl Table {
    /// Creates the table of objects whose locations are given.
    ///
    /// # Errors
    /// [`Bad`] if one is missing.
    pub fn of(objects: &[(Digest, u64)], at: &HashMap<Digest, Location>) -> Result<Table, Bad> {
        let mut table = Table::default();
        let mut numbers: HashMap<PackRef, u32> = HashMap::new();
        let mut next = 0;
        for (digest, size) in objects {
            let found = at.get(digest).ok_or(Bad::Malformed("an object has no location"))?;
            let pack = *numbers.entry(found.pack).or_insert_with(|| {
                table.packs.push(found.pack);
                table.packs.len() as u32 - 1
            });
            match table.runs.last_mut() {
                Some(run) if (run.pack, next) == (pack, found.start) => run.count += 1,
                _ => table.runs.push(Run { pack, start: found.start, count: 1 }),
            }
            next = found.start + size;
        }
        Ok(table)
    }

    /// Returns the packs.
    pub fn packs(&self) -> &[PackRef] {
        &self.packs
    }

    /// Returns the location of each object. `own` is the bundle of the table, and `start` is where its own
    /// pack begins.
    ///
    /// # Errors
    /// [`Bad`] if the number of objects differs.
    pub fn locations(
        &self,
        objects: &[(Digest, u64)],
        (own, start): (Digest, u64),
    ) -> Result<HashMap<Digest, Location>, Bad> {
        let mut all = HashMap::with_capacity(objects.len());
        let mut objects = objects.iter();
        for run in &self.runs {
            let pack = self.packs[run.pack as usize].from_elsewhere(own, start);
            let mut start = run.start;
            for (digest, size) in objects.by_ref().take(run.count as usize) {
                all.insert(*digest, Location { pack, start });
                start = start.checked_add(*size).ok_or(Bad::Malformed("a location is out of range"))?;
            }
        }
        let count: u64 = self.runs.iter().map(|run| u64::from(run.count)).sum();
        match objects.next().is_none() && count == all.len() as u64 {
            true => Ok(all),
            false => Err(Bad::Malformed("a table of another manifest")),
        }
    }

    /// Encodes it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u32(self.packs.len() as u32);
        for PackRef { place, offset, stored } in &self.packs {
            let (kind, digest, nonce) = match place {
                Place::Bundle(bundle) => (0, *bundle, Nonce::default()),
                Place::Pack(digest, nonce) => (1, Some(*digest), *nonce),
                Place::Big(digest, nonce) => (2, Some(*digest), *nonce),
            };
            out.u8(kind);
            out.maybe(digest);
            out.bytes(&nonce);
            out.u64(*offset);
            out.u64(*stored);
        }
        out.u32(self.runs.len() as u32);
        for Run { pack, start, count } in &self.runs {
            out.u32(*pack);
            out.u64(*start);
            out.u32(*count);
        }
        out.0
    }

    /// Decodes it.
    ///
    /// # Errors
    /// [`Bad`] if it differs from the output of [`Table::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Table, Bad> {
        let mut from = Reader::new(bytes);
        let packs = from.u32()?;
        if packs > MAX_PACKS || packs as usize > from.left() / 65 {
            return Err(Bad::Malformed("a table names too many packs"));
        }
        let mut table = Table::default();
        for _ in 0..packs {
            let (kind, digest, nonce) = (from.u8()?, from.maybe()?, from.nonce()?);
            let place = match (kind, digest) {
                (0, bundle) if nonce == Nonce::default() => Place::Bundle(bundle),
                (1, Some(digest)) => Place::Pack(digest, nonce),
                (2, Some(digest)) => Place::Big(digest, nonce),
                _ => return Err(Bad::Malformed("a table names no pack")),
            };
            table.packs.push(PackRef { place, offset: from.u64()?, stored: from.u64()? });
        }
        let runs = from.u32()?;
        if runs > MAX_RUNS || runs as usize != from.left() / 16 {
            return Err(Bad::Malformed("a table has another number of runs"));
        }
        for _ in 0..runs {
            let run = Run { pack: from.u32()?, start: from.u64()?, count: from.u32()? };
            if run.pack >= packs || run.count == 0 {
                return Err(Bad::Malformed("a run is in no pack"));
            }
            table.runs.push(run);
        }
        from.end()?;
        Ok(table)
    }
}
