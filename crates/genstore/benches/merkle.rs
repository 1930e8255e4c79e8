//! The prototype of a study, to be thrown away: directory nodes as a Merkle tree, beside the flat manifest.
//! `docs/internals/directory-nodes.md` has the question, the figures and the recommendation. No store has
//! nodes, and nothing imports this file.
//!
//! cargo bench -p genstore --bench merkle

#![allow(clippy::disallowed_methods, reason = "it measures files, and writes them in a folder of its own")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use genstore::diff::diff;
use genstore::generation::Manifest;
use genstore::plan::{ScanMemory, ScanRules};
use genstore::tree::{Digest, Entry, FileNode, Mtime, Node, TreeBuilder};
use genstore::{CommitOptions, Durability, Options, Retention, StageOptions, Store};

/// The folders of a package of 7 folders, in the order of paths.
const FOLDERS: [&str; 7] =
    ["", "dist/", "dist/cjs/", "dist/esm/", "dist/esm/internal/", "lib/", "lib/util/"];

/// Paths in order.
type Files = [(String, FileNode)];

type Nodes = HashMap<Digest, Vec<u8>>;

/// New nodes, the root last.
type Made = Vec<(Digest, Vec<u8>)>;

/// A parsed entry of a node.
#[derive(Clone, Copy)]
enum Child<'a> {
    File(&'a [u8], FileNode),
    Folder(&'a [u8], Below),
}

/// The part of a node that its parent records.
#[derive(Clone, Copy, PartialEq)]
struct Below {
    /// BLAKE3 of the node.
    node: Digest,
    /// BLAKE3 of its content without mtimes: INV-18 needs it.
    content: Digest,
    files: u64,
    bytes: u64,
}

impl<'a> Child<'a> {
    fn name(&self) -> &'a [u8] {
        match self {
            Child::File(name, _) | Child::Folder(name, _) => name,
        }
    }
}

/// Encodes and hashes a node.
fn encode(children: &[Child<'_>]) -> (Below, Vec<u8>) {
    let (mut bytes, mut content) = (Vec::new(), Vec::new());
    let (mut files, mut sum) = (0, 0);
    for child in children {
        let name = child.name();
        let start = bytes.len();
        let kind = match child {
            Child::File(_, file) => u8::from(file.executable),
            Child::Folder(..) => 4,
        };
        bytes.extend([kind, name.len() as u8]);
        bytes.extend(name);
        match child {
            Child::File(_, file) => {
                bytes.extend(file.size.to_le_bytes());
                bytes.extend(file.digest.as_bytes());
                content.extend(&bytes[start..]);
                bytes.extend(file.mtime.secs.to_le_bytes());
                bytes.extend(file.mtime.nanos.to_le_bytes());
                (files, sum) = (files + 1, sum + file.size);
            }
            Child::Folder(_, below) => {
                content.extend(&bytes[start..]);
                content.extend(below.content.as_bytes());
                bytes.extend(below.node.as_bytes());
                bytes.extend(below.content.as_bytes());
                bytes.extend(below.files.to_le_bytes());
                bytes.extend(below.bytes.to_le_bytes());
                (files, sum) = (files + below.files, sum + below.bytes);
            }
        }
    }
    let below = Below { node: Digest::of(&bytes), content: Digest::of(&content), files, bytes: sum };
    (below, bytes)
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> &'a [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().expect("a node is as it was written");
    *bytes = rest;
    taken
}

/// Parses a node.
fn decode(mut bytes: &[u8]) -> Vec<Child<'_>> {
    let mut children = Vec::new();
    while !bytes.is_empty() {
        let [kind, len] = *take(&mut bytes);
        let (name, rest) = bytes.split_at(len as usize);
        bytes = rest;
        children.push(if kind == 4 {
            let [node, content] = [(); 2].map(|()| Digest::from_bytes(*take(&mut bytes)));
            let [files, sum] = [(); 2].map(|()| u64::from_le_bytes(*take(&mut bytes)));
            Child::Folder(name, Below { node, content, files, bytes: sum })
        } else {
            let size = u64::from_le_bytes(*take(&mut bytes));
            let digest = Digest::from_bytes(*take(&mut bytes));
            let secs = i64::from_le_bytes(*take(&mut bytes));
            let mtime = Mtime { secs, nanos: u32::from_le_bytes(*take(&mut bytes)) };
            Child::File(name, FileNode { digest, size, executable: kind == 1, mtime })
        });
    }
    children
}

/// Groups files by their first name after `skip` bytes, which is a file's whole rest or a folder.
fn groups(files: &Files, skip: usize) -> impl Iterator<Item = (&str, &Files)> {
    let name = move |path: &'_ str| path[skip..].find('/').map_or(path.len(), |end| skip + end);
    let groups = files.chunk_by(move |(a, _), (b, _)| a[skip..name(a)] == b[skip..name(b)]);
    groups.map(move |group| (&group[0].0[skip..name(&group[0].0)], group))
}

/// Encodes and hashes a folder, whose paths begin after `skip` bytes, and all below it.
fn build(files: &Files, skip: usize, nodes: &mut Nodes) -> Below {
    let mut children = Vec::new();
    for (name, files) in groups(files, skip) {
        let (name, end) = (name.as_bytes(), skip + name.len());
        children.push(match files[0].0.len() == end {
            true => Child::File(name, files[0].1),
            false => Child::Folder(name, build(files, end + 1, nodes)),
        });
    }
    let (below, bytes) = encode(&children);
    nodes.insert(below.node, bytes);
    below
}

/// Applies changes of files that exist, in the order of paths.
fn change(nodes: &Nodes, root: Digest, changes: &Files, skip: usize, new: &mut Made) -> Below {
    let mut children = decode(&nodes[&root]);
    for (name, changes) in groups(changes, skip) {
        let at = children.binary_search_by(|child| child.name().cmp(name.as_bytes())).expect("it exists");
        let below = skip + name.len() + 1;
        children[at] = match children[at] {
            Child::File(name, _) => Child::File(name, changes[0].1),
            Child::Folder(name, old) => Child::Folder(name, change(nodes, old.node, changes, below, new)),
        };
    }
    let (below, bytes) = encode(&children);
    new.push((below.node, bytes));
    below
}

/// Counts the files that differ between two trees with the same names.
fn differences(old: (&Nodes, Digest), new: (&Nodes, Digest)) -> usize {
    if old.1 == new.1 {
        return 0;
    }
    let (before, after) = (decode(&old.0[&old.1]), decode(&new.0[&new.1]));
    let of_pair = |pair: (&Child<'_>, &Child<'_>)| match pair {
        (Child::File(_, a), Child::File(_, b)) => usize::from(a != b),
        (Child::Folder(_, a), Child::Folder(_, b)) => differences((old.0, a.node), (new.0, b.node)),
        _ => 1,
    };
    before.iter().zip(&after).map(of_pair).sum()
}

fn file(path: &str, edition: u64) -> FileNode {
    let digest = Digest::of(format!("{path} {edition}").as_bytes());
    let [a, b, c, d, ..] = *digest.as_bytes();
    // Mtimes as package managers and builds write them: all different.
    let nanos = u32::from_le_bytes([a, b, c, d]) % 1_000_000_000;
    let mtime = Mtime { secs: 1_700_000_000 + edition as i64, nanos };
    FileNode { digest, size: 200 + u64::from(a) * 7, executable: false, mtime }
}

/// Makes the files of packages, in the order of paths.
fn files(packages: usize, in_two_folders: usize) -> Vec<(String, FileNode)> {
    let mut files = Vec::new();
    for package in 0..packages {
        for (at, folder) in FOLDERS.iter().enumerate() {
            for number in 0..(in_two_folders + at % 2) / 2 {
                let path = format!("node_modules/package-{package:05}/{folder}file-{number:02}.js");
                let node = file(&path, 1);
                files.push((path, node));
            }
        }
    }
    files.sort_unstable_by(|a, b| a.0.split('/').cmp(b.0.split('/')));
    files
}

fn manifest(files: &Files) -> Manifest {
    let mut builder = TreeBuilder::default();
    for (path, node) in files {
        let entry = Entry { path: path.as_bytes(), node: Node::File(*node) };
        builder.push(entry).expect("the paths are in order");
    }
    let created = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Manifest::new(builder.finish(), created, String::new(), BTreeMap::new())
}

/// Compresses as `crates/remote` does (`codec/squeeze.rs`).
fn compress(prefix: &[u8], payload: &[u8]) -> io::Result<Vec<u8>> {
    let level = if payload.len() >= 4 << 20 { 3 } else { 12 };
    let mut out = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), level, prefix)?;
    if !prefix.is_empty() {
        out.long_distance_matching(true)?;
        out.window_log((prefix.len() + payload.len()).next_power_of_two().ilog2().clamp(10, 27))?;
    }
    out.include_contentsize(true)?;
    out.set_pledged_src_size(Some(payload.len() as u64))?;
    out.write_all(payload)?;
    out.finish()
}

fn compressed(prefix: &[u8], payload: &[u8]) -> usize {
    compress(prefix, payload).expect("zstd").len()
}

fn line(name: &str, value: impl std::fmt::Display) {
    writeln!(io::stdout(), "{name:<58} {value}").expect("stdout");
}

/// Prints the median and the range of some runs, in ms.
fn time<T>(name: &str, runs: usize, mut run: impl FnMut(usize) -> T) {
    let mut took: Vec<f64> = Vec::new();
    for number in 0..runs {
        let begun = Instant::now();
        drop(std::hint::black_box(run(number)));
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_unstable_by(f64::total_cmp);
    line(name, format!("{:.3} ms ({:.3} to {:.3})", took[runs / 2], took[0], took[runs - 1]));
}

fn sync(file: impl AsRef<Path>) {
    File::open(file).and_then(|file| file.sync_all()).expect("fsync");
}

/// The place of a node among the objects.
fn place(objects: &Path, digest: Digest) -> PathBuf {
    let text = digest.to_string();
    objects.join(&text[..2]).join(&text[2..])
}

/// Writes nodes as a commit writes up to 64 new files: fsyncs, names, fsyncs of folders. Returns their number.
fn store(nodes: &[(Digest, Vec<u8>)], stage: &Path, objects: &Path) -> usize {
    fs::create_dir_all(stage).expect("a stage");
    let mut parents = BTreeSet::new();
    for (digest, bytes) in nodes {
        let (from, to) = (stage.join(digest.to_string()), place(objects, *digest));
        let parent = to.parent().expect("it has one");
        fs::create_dir_all(parent).and_then(|()| fs::write(&from, bytes)).expect("a node");
        sync(&from);
        fs::hard_link(&from, &to).expect("a name");
        parents.insert(parent.to_owned());
    }
    parents.iter().for_each(sync);
    nodes.len() + parents.len()
}

/// Reads all nodes below one from the disk, and checks their hashes.
fn read_all(objects: &Path, root: Digest, into: &mut Nodes) {
    let bytes = fs::read(place(objects, root)).expect("a node");
    assert!(Digest::of(&bytes) == root);
    for child in decode(&bytes) {
        if let Child::Folder(_, below) = child {
            read_all(objects, below.node, into);
        }
    }
    into.insert(root, bytes);
}

/// Measures the flat manifest.
fn flat(old: &Files, new: &Files, disk: &Path) {
    time("flat: build and encode all, also for 10 changes", 5, |_| manifest(old).encode());
    let (before, after) = (manifest(old), manifest(new));
    let (parent, bytes) = (before.encode(), after.encode());
    line("flat: bytes of a manifest", bytes.len());
    time("flat: 10 changes, the least: copy, hash tree and body", 7, |_| {
        let copy = parent.clone();
        (Digest::of(&copy[88..]), Digest::of(&copy[88..copy.len() - 12 * old.len()]), copy)
    });
    time("flat: diff of 10", 7, |_| assert_eq!(diff(&before.tree, &after.tree).changes.len(), 10));
    let path = disk.join("manifest");
    time("flat: 10 changes: write and fsync", 7, |number| {
        let path = disk.join(format!("manifest-{number}"));
        fs::write(&path, &bytes).expect("a manifest");
        sync(&path);
    });
    fs::write(&path, &bytes).expect("a manifest");
    time("flat: read and decode all, 1 open", 7, |_| {
        Manifest::decode(&fs::read(&path).expect("a manifest")).expect("a manifest")
    });
    // The library keeps the bytes, the end of each path, and a rank.
    line("flat: bytes of memory when loaded", bytes.len() + 8 * old.len());
    time("flat: compress against the parent", 3, |_| compress(&parent, &bytes));
    line("flat: bytes in a bundle for 10 changes", compressed(&parent, &bytes));
    line("flat: bytes in a checkpoint", compressed(&[], &bytes));
}

/// Returns the files of `of` that differ in `from`.
fn changed(of: &Files, from: &Files) -> Vec<(String, FileNode)> {
    of.iter().zip(from).filter(|(a, b)| a.1 != b.1).map(|(file, _)| file.clone()).collect()
}

fn joined<'a>(nodes: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    nodes.into_iter().flatten().copied().collect()
}

/// Measures nodes.
fn merkle(old: &Files, new: &Files, disk: &Path) {
    time("merkle: build, encode and hash all", 5, |_| build(old, 0, &mut Nodes::new()));
    let mut nodes = Nodes::new();
    let root = build(old, 0, &mut nodes);
    let whole = joined(nodes.values());
    line("merkle: nodes, bytes", format!("{}, {}", nodes.len(), whole.len()));
    let keys = nodes.len() * (size_of::<Digest>() + size_of::<Vec<u8>>());
    line("merkle: bytes of memory when all is loaded", whole.len() + keys);
    let changes = changed(new, old);
    time("merkle: 10 changes", 7, |_| change(&nodes, root.node, &changes, 0, &mut vec![]));
    let mut made = Vec::new();
    let next = change(&nodes, root.node, &changes, 0, &mut made);
    assert!(next == build(new, 0, &mut Nodes::new()) && next.content != root.content);
    let run = joined(made.iter().map(|(_, bytes)| bytes));
    let largest = made.iter().map(|(_, bytes)| bytes.len()).max().expect("the root");
    let counts = format!("{}, {}, {largest}", made.len(), run.len());
    line("merkle: 10 changes: new nodes, bytes, the largest", counts);

    let objects = disk.join("objects");
    time("merkle: first publish: write and name all, one sync", 1, |_| {
        for (digest, bytes) in &nodes {
            let (from, to) = (disk.join("node"), place(&objects, *digest));
            fs::create_dir_all(to.parent().expect("it has one")).expect("a folder");
            fs::write(&from, bytes).and_then(|()| fs::rename(&from, &to)).expect("a node");
        }
        rustix::fs::sync();
    });
    time("merkle: read and check all, an open for each", 5, |_| {
        read_all(&objects, root.node, &mut Nodes::new());
    });
    let mut syncs = 0;
    time("merkle: 10 changes: write, fsync, name, fsync folders", 7, |number| {
        // Other bytes in each run, so that the names are new.
        let unique = made.iter().map(|(_, b)| [&b[..], &[0, number as u8]].concat());
        let unique: Vec<_> = unique.map(|bytes| (Digest::of(&bytes), bytes)).collect();
        syncs = store(&unique, &disk.join(format!("stage-{number}")), &objects);
    });
    line("merkle: 10 changes: fsyncs", syncs);
    let mut later = nodes.clone();
    later.extend(made.iter().cloned());
    assert_eq!(differences((&nodes, root.node), (&later, next.node)), 10);
    time("merkle: diff of 10", 7, |_| differences((&nodes, root.node), (&later, next.node)));

    let alone = zstd::encode_all(&run[..], 3).expect("zstd").len();
    line("merkle: bytes in a bundle, nodes alone, zstd -3", alone);
    let mut replaced = Vec::new();
    change(&later, next.node, &changed(old, new), 0, &mut replaced);
    let prefix = joined(replaced.iter().map(|(_, bytes)| bytes));
    time("merkle: compress against the nodes that they replace", 3, |_| compress(&prefix, &run));
    line("merkle: bytes in a bundle, against those nodes", compressed(&prefix, &run));
    line("merkle: bytes in a checkpoint", compressed(&[], &whole));
}

/// Publishes real files with this library, to show the manifest's share in a publish.
fn publish(files: &Files, disk: &Path) {
    let source = disk.join("source");
    for (path, _) in files {
        let path = source.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(&path, path.as_os_str().as_encoded_bytes()).expect("a file");
    }
    let options = Options::new(Arc::new(SystemTime::now));
    let full = Store::init(&disk.join("store"), options.clone()).expect("a store").store;
    let unflushed =
        Store::open(&disk.join("store"), options.durability(Durability::None)).expect("a store");
    // Of folders without a change no file is checked, as in `watch`.
    let mut memory = ScanMemory::new(&source, ScanRules::default());
    let mut once = |store: &Store, options: &StageOptions, changed: Option<&[&str]>| {
        let is_same = |folder: &[u8]| changed.is_some_and(|all| all.iter().all(|f| f.as_bytes() != folder));
        let plan = memory.scan(is_same).expect("a plan");
        let staged = store.stage(&plan, options.clone()).expect("a stage");
        let done = staged.unaudited().commit(&CommitOptions::default()).expect("a commit");
        assert!(done.changed);
        memory.published(&done);
    };
    let linking = StageOptions::default();
    let recycling = linking.clone().recycle(Retention::default().keep_last(1).grace(Duration::ZERO));
    time("flat: the first publish", 1, |_| once(&full, &linking, None));
    let changed: Vec<&str> = files.iter().step_by(files.len() / 10).take(10).map(|file| &*file.0).collect();
    let folders: Vec<&str> = changed.iter().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    let full_ways = [("linking", &full, &linking, None), ("recycling", &full, &recycling, None)];
    let watch = [("as in watch", &unflushed, &recycling, Some(&folders[..]))];
    for (way, store, options, folders) in full_ways.into_iter().chain(watch) {
        time(&format!("flat: a publish of 10 changes, {way}"), 9, |run| {
            for path in &changed {
                fs::write(source.join(path), format!("{path} {run} {way}")).expect("a file");
            }
            once(store, options, folders);
        });
    }
}

fn main() {
    // Test runners start this program, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for (packages, in_two_folders) in [(857, 20), (5_714, 25)] {
        let old = files(packages, in_two_folders);
        let mut new = old.clone();
        for (path, node) in new.iter_mut().step_by(old.len() / 10 + 7).take(10) {
            *node = file(path, 2);
        }
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        line("\nfiles, folders", format!("{}, {}", old.len(), packages * FOLDERS.len() + 2));
        flat(&old, &new, disk.path());
        merkle(&old, &new, disk.path());
        if old.len() < 100_000 {
            publish(&old, disk.path());
        }
    }
}
