//! Sparse files: holes stay holes, wherever the store writes a file.

use std::fs::{self, File};

use filetime::{FileTime, set_file_mtime};

use crate::prelude::*;

/// Name, length, and the positions of bytes: files read at once and in pieces, with holes at the start,
/// in the middle and at the end.
const FILES: [(&str, u64, &[u64]); 6] = [
    ("odd", 70_001, &[0]),
    ("small", 300_000, &[100_000]),
    ("whole", 1 << 20, &[]),
    ("start", 4 << 20, &[(4 << 20) - 9]),
    ("middle", 4 << 20, &[0, 2 << 20, (3 << 20) + 1]),
    ("end", 4 << 20, &[0]),
];
/// The space that each part may take: blocks and metadata.
const ROOM: u64 = 256 << 10;

fn open(dir: &Path) -> Store {
    Store::init(&dir.join("store"), Options::new(Arc::new(SystemTime::now))).unwrap().store
}

fn commit(store: &Store, plan: &Plan) -> Publication {
    genstore_testkit::commit(store, plan).unwrap()
}

fn publish(store: &Store, source: &Path) -> Publication {
    commit(store, &Plan::scan(source, &ScanRules::default()).unwrap())
}

fn write_all(source: &Path, text: &str, secs: i64) {
    fs::create_dir_all(source).unwrap();
    for (name, len, places) in FILES {
        let path = source.join(name);
        let file = File::create(&path).unwrap();
        file.set_len(len).unwrap();
        places.iter().for_each(|at| file.write_all_at(text.as_bytes(), *at).unwrap());
        drop(file);
        set_file_mtime(&path, FileTime::from_unix_time(secs, 0)).unwrap();
    }
}

fn room(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// Checks that a folder has the files of another one, and takes no more space.
fn assert_sparse(found: &Path, expected: &Path) {
    for (name, ..) in FILES {
        let (found, expected) = (found.join(name), expected.join(name));
        assert!(fs::read(&found).unwrap() == fs::read(&expected).unwrap(), "{}", found.display());
        assert!(room(&found) <= room(&expected) + ROOM, "{} takes {}", found.display(), room(&found));
    }
}

/// Tries all the ways in which a file is written.
fn every_way(dir: &Path) {
    let source = dir.join("s");
    write_all(&source, "one", 2_000_000_000);
    assert!(room(&source.join("start")) < ROOM, "no holes here");
    let store = open(dir);
    let current = store.path().join("current");
    drop(publish(&store, &source));
    assert_sparse(&current, &source);

    let mirror = dir.join("mirror");
    let options = ViewOptions::mirror().copy();
    assert_eq!(store.add_view(&mirror, &options).unwrap().warnings, []);
    assert_sparse(&mirror, &source);

    // A file of the same length, older: it is hashed first, then copied, and copied again for the newer
    // mtime.
    write_all(&source, "two", 1_000_000_000);
    let done = publish(&store, &source);
    assert_eq!((done.refreshed, &*done.warnings), (5, &[][..]));
    assert_sparse(&current, &source);
    assert_sparse(&mirror, &source);
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    store.export(&generation, &dir.join("exported")).unwrap();
    assert_sparse(&dir.join("exported"), &source);

    // Healed from the right bytes.
    let spoilt = store.path().join("generations/1/tree/middle");
    fs::set_permissions(&spoilt, fs::Permissions::from_mode(0o644)).unwrap();
    File::options().write(true).open(&spoilt).unwrap().write_all_at(b"xxx", 0).unwrap();
    write_all(&source, "one", 2_100_000_000);
    assert_eq!(store.verify(None, Depth::Full).unwrap().objects.len(), 1);
    assert_eq!(publish(&store, &source).healed, 1);
    assert_clean(&store);
    assert_sparse(&store.path().join("generations/1/tree"), &source);
    assert_sparse(&current, &source);

    // Zeros in memory, in a stream, and in a spooled stream.
    fs::create_dir(dir.join("other")).unwrap();
    let other = open(&dir.join("other"));
    let mut plan = Plan::builder();
    for (name, len, _) in FILES {
        let path = source.join(name);
        plan = plan.file(
            name,
            match len > 1 << 20 {
                true => Source::Reader(Box::new(File::open(path).unwrap())),
                false => Source::Bytes(fs::read(path).unwrap()),
            },
        );
    }
    drop(commit(&other, &plan.build().unwrap()));
    assert_sparse(&other.path().join("current"), &source);

    let stage = store.begin().unwrap();
    let mut plan = Plan::builder();
    for (nth, (name, ..)) in FILES.into_iter().enumerate() {
        let mut bytes = Slow(File::open(source.join(name)).unwrap());
        plan = plan.file(format!("spooled/{name}"), stage.spool(&mut bytes, None).unwrap());
        let spooled = store.path().join(format!("staging/s-{}/spool/{nth}", stage.id()));
        assert!(room(&spooled) <= room(&source.join(name)) + ROOM, "{name} takes {}", room(&spooled));
    }
    let staged = stage.seal_plan(&plan.build().unwrap(), StageOptions::default()).unwrap();
    drop(staged.unaudited().commit(&CommitOptions::default()).unwrap());
    assert_sparse(&current.join("spooled"), &source);
}

/// Reads in pieces that do not end at block boundaries.
struct Slow(File);

impl std::io::Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = buffer.len().min(77_777);
        self.0.read(&mut buffer[..size])
    }
}

#[test]
fn holes_stay_holes_in_memory() {
    every_way(scratch().path());
}

#[test]
fn holes_stay_holes_on_ext4() {
    if let Some(mount) = LoopFs::make("ext4", 64, &[]) {
        every_way(&mount.path());
    }
}

#[test]
fn holes_stay_holes_where_blocks_are_shared() {
    if let Some(mount) = LoopFs::make("xfs", 320, &["-m", "reflink=1"]) {
        every_way(&mount.path());
    }
}
