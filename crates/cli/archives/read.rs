//! Reads an archive of generations into a store.
//!
//! Nothing in the archive is trusted: no name in it becomes a path on the disk. The manifests are checked by their own
//! digests, every file by the digest in a manifest before it gets a name in the store, and each tree by its id when it
//! is staged. Until all bytes are there, no generation is made.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use anyhow::Result;
use genstore::generation::Manifest;
use genstore::objects::Receiving;
use genstore::plan::{ScanRules, SharedPaths};
use genstore::publish::Activate;
use genstore::tree::{Node, ObjectId, show_path};
use genstore::{CommitOptions, GenerationId, Plan, Publication, StageOptions, Store};

use super::{GENERATIONS, INDEX, Index, SCHEMA, entry_path, manifest_path};
use crate::errors::Fail;
use crate::inputs::members::{Archive, Kind, Member};

/// The longest index.
const INDEX_MAX: u64 = 64 << 20;
/// The longest manifest. A tree of ten million files has one of this size.
const MANIFEST_MAX: u64 = 1 << 30;
/// The facts of an imported generation: its number and its time where it was published.
const NUMBER: &str = "imported.generation";
const TIME: &str = "imported.time";

/// The content of an archive, whose objects the store has by now.
pub(crate) struct Unpacked {
    pub(crate) index: Index,
    manifests: BTreeMap<u64, Manifest>,
    /// The number of objects that the store did not have, and of their bytes.
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// Reads all of an archive, and stores the bytes of its files.
///
/// # Errors
/// Code `bad-archive` if it is cut short, or is not what `export --archive` writes. Then nothing is kept.
pub(crate) fn unpack(store: &Store, input: &mut dyn Read, name: &str) -> Result<Unpacked> {
    let mut archive = Archive::new(input, name, None);
    let bad = Bad { name };
    let index = match archive.next()? {
        Some(member) if member.path == INDEX.as_bytes() => {
            parse_index(&read(&mut archive, &bad, &member, INDEX_MAX)?, &bad)?
        }
        _ => return Err(bad.archive("does not begin with the index of an archive of genstore")),
    };
    let mut reading = Reading {
        bad,
        receiving: store.receive()?,
        manifests: BTreeMap::new(),
        received: HashSet::new(),
        objects: 0,
    };
    let mut wanted = index.generations.iter();
    let mut now: Option<u64> = None;
    while let Some(member) = archive.next()? {
        if let Some(id) = now.filter(|id| member.path.starts_with(&entry_path(*id, b""))) {
            reading.entry(&mut archive, &member, id)?;
            continue;
        }
        let Some(next) = wanted.next().filter(|next| member.path == manifest_path(next.generation)) else {
            let is_known = member.path.starts_with(format!("{GENERATIONS}/").as_bytes());
            let why =
                if is_known { "is not announced" } else { "does not belong to an archive of genstore" };
            return Err(reading.bad.member(&member.path, why));
        };
        let bytes = read(&mut archive, &reading.bad, &member, MANIFEST_MAX)?;
        let manifest =
            Manifest::decode(&bytes).map_err(|_| reading.bad.member(&member.path, "is damaged"))?;
        if manifest.head.tree.to_string() != next.tree {
            return Err(reading.bad.member(&member.path, "is of another tree than the index says"));
        }
        reading.manifests.insert(next.generation, manifest);
        now = Some(next.generation);
    }
    if wanted.next().is_some() {
        return Err(reading.bad.archive("lacks generations that its index has"));
    }
    reading.finish(store, index)
}

fn read(archive: &mut Archive<'_>, bad: &Bad<'_>, member: &Member, max: u64) -> Result<Vec<u8>> {
    if !matches!(member.kind, Kind::File { .. }) || member.size_bytes > max {
        return Err(bad.member(&member.path, "is not a file of this kind"));
    }
    let mut bytes = Vec::new();
    let read = archive.bytes().read_to_end(&mut bytes);
    read.map_err(|error| archive.failed(error))?;
    Ok(bytes)
}

fn parse_index(bytes: &[u8], bad: &Bad<'_>) -> Result<Index> {
    let index: Index = serde_json::from_slice(bytes).map_err(|_| bad.archive("has a malformed index"))?;
    if index.schema != SCHEMA {
        return Err(bad.archive("is of a newer kind than this program knows"));
    }
    let numbers = index.generations.windows(2).all(|pair| pair[0].generation < pair[1].generation);
    if !numbers || index.generations.iter().any(|one| GenerationId::new(one.generation).is_none()) {
        return Err(bad.archive("has a malformed index"));
    }
    Ok(index)
}

/// Creates errors that name the archive.
struct Bad<'a> {
    name: &'a str,
}

impl Bad<'_> {
    fn archive(&self, why: &str) -> anyhow::Error {
        let hint = "make it again with `genstore export --archive FILE`; no generation was made";
        Fail::new("bad-archive", format!("{} {why}", self.name), hint).into()
    }

    fn member(&self, path: &[u8], why: &str) -> anyhow::Error {
        self.archive(&format!("cannot be imported: the member {} {why}", show_path(path)))
    }
}

struct Reading<'a> {
    bad: Bad<'a>,
    receiving: Receiving<'a>,
    manifests: BTreeMap<u64, Manifest>,
    received: HashSet<ObjectId>,
    objects: u64,
}

impl Reading<'_> {
    /// Takes in the bytes of an entry. The manifest decides, and not the member.
    fn entry(&mut self, archive: &mut Archive<'_>, member: &Member, id: u64) -> Result<()> {
        let path = &member.path[entry_path(id, b"").len()..];
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let Some(node) = self.manifests[&id].tree.find(path) else {
            return Err(self.bad.member(&member.path, "is not in the manifest of its generation"));
        };
        match (node, &member.kind) {
            (Node::File(file), Kind::File { .. }) if file.size == member.size_bytes => {
                if file.size > 0 {
                    let put = self.receiving.put(file.object(), file.mtime, &mut archive.bytes());
                    self.objects += u64::from(put?);
                    self.received.insert(file.object());
                }
                Ok(())
            }
            (Node::File(_), Kind::HardLink(_))
            | (Node::Symlink(_), Kind::Symlink(_))
            | (Node::EmptyDir, Kind::Dir) => Ok(()),
            _ => Err(self.bad.member(&member.path, "is not what the manifest of its generation says")),
        }
    }

    fn finish(self, store: &Store, index: Index) -> Result<Unpacked> {
        for (id, manifest) in &self.manifests {
            for (path, file) in manifest.tree.iter_files() {
                let is_there = file.size == 0 || self.received.contains(&file.object());
                if !is_there && !store.has_object(file.object())? {
                    return Err(self.bad.member(&entry_path(*id, path), "is missing"));
                }
            }
        }
        let bytes = self.receiving.bytes();
        self.receiving.finish()?;
        Ok(Unpacked { index, manifests: self.manifests, objects: self.objects, bytes })
    }
}

/// The generation of this store for one of an archive.
pub(crate) struct Made {
    pub(crate) from: u64,
    pub(crate) generation: GenerationId,
    pub(crate) tree: String,
    /// The new generation. `None`: the store had it from an earlier import.
    pub(crate) publication: Option<Publication>,
}

impl Unpacked {
    /// Makes the generations, the oldest first. None becomes current.
    ///
    /// # Errors
    /// Fails if a tree has links that the rules do not allow.
    pub(crate) fn commit(&self, store: &Store, rules: &ScanRules) -> Result<Vec<Made>> {
        let listing = store.list()?;
        let mut made = Vec::new();
        for indexed in &self.index.generations {
            let manifest = &self.manifests[&indexed.generation];
            let (tree, facts) = (manifest.head.tree, facts(indexed.generation, &indexed.time, manifest));
            let same = listing.generations.iter().find(|listed| {
                listed.head.tree == tree
                    && (listed.head.facts == facts || listed.head.facts == manifest.head.facts)
                    && listed.head.note == manifest.head.note
            });
            let publication = match same {
                Some(_) => None,
                None => Some(publish(store, rules, manifest, facts)?),
            };
            let generation =
                publication.as_ref().map(|done| done.generation).or(same.map(|listed| listed.id));
            let Some(generation) = generation else { continue };
            made.push(Made { from: indexed.generation, generation, tree: tree.to_string(), publication });
        }
        Ok(made)
    }
}

/// Returns the facts of the new generation. A generation that was imported before keeps its first number and time.
fn facts(number: u64, time: &str, manifest: &Manifest) -> BTreeMap<String, String> {
    let mut facts = manifest.head.facts.clone();
    if !facts.contains_key(NUMBER) {
        facts.insert(NUMBER.to_owned(), number.to_string());
        facts.insert(TIME.to_owned(), time.to_owned());
    }
    facts
}

fn publish(
    store: &Store,
    rules: &ScanRules,
    manifest: &Manifest,
    facts: BTreeMap<String, String>,
) -> Result<Publication> {
    let has = |path: &[u8]| matches!(manifest.tree.find(path), Some(Node::Symlink(_)));
    let shared = rules.shared.iter().filter(|shared| has(shared.path.as_bytes())).cloned().collect();
    // A part of paths that fit together fits together.
    let shared = SharedPaths::new(shared).unwrap_or_default();
    let mut plan = Plan::builder().symlinks(rules.symlinks).shared(&shared);
    for entry in manifest.tree.iter() {
        plan = match entry.node {
            Node::File(file) => plan.stored(entry.path, file),
            Node::Symlink(target) => plan.symlink(entry.path, target),
            Node::EmptyDir => plan.dir(entry.path),
        };
    }
    let staged = store.stage(&plan.build()?, StageOptions::default().always())?;
    if staged.tree().id() != manifest.head.tree {
        let hint = "the archive was changed after it was made; the generation was not made";
        return Err(
            Fail::new("bad-archive", "the entries of a manifest are not those of its tree", hint).into()
        );
    }
    let commit =
        CommitOptions::default().note(manifest.head.note.clone()).facts(facts).activate(Activate::Never);
    Ok(staged.unaudited().commit(&commit)?)
}
