//! Mtimes on filesystems that round them to whole seconds or clamp them to a range: the records match
//! the files, and an mtime that a filesystem cannot store is not damage.

use filetime::{FileTime, set_file_mtime};
use genstore::tree::{Mtime, Node};
use genstore::verify::TreeFaultKind;

use crate::prelude::*;

/// A filesystem with its properties: its name, its size, the arguments of mkfs, whether it stores
/// fractions, and the range of its mtimes.
type Filesystem = (&'static str, u64, &'static [&'static str], bool, [i64; 2]);

const WHOLE_SECONDS: Filesystem = ("ext4", 24, &["-I", "128"], false, [i32::MIN as i64, i32::MAX as i64]);
const ALL: [Filesystem; 5] = [
    WHOLE_SECONDS,
    ("ext4", 24, &["-I", "256"], true, [i32::MIN as i64, 15_032_385_535]),
    ("xfs", 320, &["-m", "bigtime=0"], true, [i32::MIN as i64, i32::MAX as i64]),
    ("xfs", 320, &["-m", "bigtime=1"], true, [i32::MIN as i64, 16_299_260_424]),
    ("btrfs", 128, &[], true, [i64::MIN, i64::MAX]),
];

/// Between the years -1199 and 17000, with and without fractions.
const TIMES: [(i64, u32); 9] = [
    (1_000_000_000, 123_456_789),
    (1_000_000_001, 0),
    (-5, 999_999_999),
    (0, 0),
    (-3_000_000_000, 1),
    (-100_000_000_000, 0),
    (3_000_000_000, 5),
    (20_000_000_000, 0),
    (474_000_000_000, 7),
];

fn open(dir: &Path) -> Store {
    Store::init(&dir.join("store"), Options::new(Arc::new(SystemTime::now))).unwrap().store
}

fn publish(store: &Store, source: &Path) -> Publication {
    genstore_testkit::publish(Way::PLAIN, store, source).unwrap()
}

fn write(path: &Path, text: &str, (secs, nanos): (i64, u32)) {
    fs::write(path, text).unwrap();
    set_file_mtime(path, FileTime::from_unix_time(secs, nanos)).unwrap();
}

/// For each time a file, another one with the same bytes, and an empty one.
fn write_all(source: &Path, version: &str) {
    fs::create_dir_all(source).unwrap();
    for (nth, time) in TIMES.into_iter().enumerate() {
        write(&source.join(format!("file-{nth}")), &format!("{version} {nth}"), time);
        write(&source.join(format!("twin-{nth}")), &format!("{version} {nth}"), time);
        write(&source.join(format!("empty-{nth}")), "", time);
    }
}

fn mtime_of(path: &Path) -> Mtime {
    let meta = fs::symlink_metadata(path).unwrap();
    Mtime { secs: meta.mtime(), nanos: meta.mtime_nsec() as u32 }
}

/// Compares the recorded mtimes of the current generation with the files.
fn assert_recorded(store: &Store) {
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    let (tree, shown) = (generation.manifest().unwrap().tree, generation.published_mtimes().unwrap());
    for entry in tree.iter() {
        let Node::File(file) = entry.node else { continue };
        let path = std::str::from_utf8(entry.path).unwrap();
        assert_eq!(shown.mtime(entry.path, &file), mtime_of(&generation.path().join(path)), "{path}");
    }
}

fn assert_clean(store: &Store) {
    for depth in [Depth::Full, Depth::Quick] {
        let report = store.verify(None, depth).unwrap();
        assert!(report.is_clean(), "{report:?}");
    }
}

fn in_current(store: &Store, name: &str) -> Mtime {
    mtime_of(&store.path().join("current").join(name))
}

fn round_trip((kind, size, extra, fractions, [first, last]): Filesystem) {
    let Some(mut mount) = LoopFs::make(kind, size, extra) else { return };
    println!("{kind} {extra:?}");
    let scratch = scratch();
    let source = scratch.path().join("s");
    write_all(&source, "one");
    let store = open(&mount.path());
    assert!(publish(&store, &source).changed);
    assert_recorded(&store);
    assert_clean(&store);
    for (nth, (secs, nanos)) in TIMES.into_iter().enumerate() {
        let kept = match secs {
            secs if secs <= first => Mtime { secs: first, nanos: 0 },
            secs if secs >= last => Mtime { secs: last, nanos: 0 },
            secs => Mtime { secs, nanos: if fractions { nanos } else { 0 } },
        };
        for name in ["file", "twin", "empty"] {
            assert_eq!(in_current(&store, &format!("{name}-{nth}")), kept, "{name}-{nth}");
        }
    }

    // If bytes change, the mtime advances by a whole second, even if the source's is older.
    let before: Vec<Mtime> = (0..4).map(|nth| in_current(&store, &format!("file-{nth}"))).collect();
    let empty = in_current(&store, "empty-0");
    write_all(&source, "two");
    fs::write(source.join("empty-0"), "not any more").unwrap();
    set_file_mtime(source.join("empty-0"), FileTime::from_unix_time(5, 5)).unwrap();
    assert!(publish(&store, &source).refreshed > 0);
    let moved_on = |before: Mtime, name: &str| {
        let after = in_current(&store, name);
        assert!(after.secs > before.secs, "{name}: {before:?} {after:?}");
    };
    before.iter().enumerate().for_each(|(nth, before)| moved_on(*before, &format!("file-{nth}")));
    moved_on(empty, "empty-0");
    assert_recorded(&store);
    assert!(!publish(&store, &source).changed);
    let before: Vec<Mtime> = (0..4).map(|nth| in_current(&store, &format!("file-{nth}"))).collect();
    drop(store.rollback(1, MarkLeft::Bad).unwrap());
    before.iter().enumerate().for_each(|(nth, before)| moved_on(*before, &format!("file-{nth}")));
    assert_recorded(&store);
    assert_clean(&store);
    drop(store);

    // After a remount the disk has the same values as the memory had.
    mount.unmount();
    mount.mount(&["ro"]).unwrap();
    let store = Store::open(&mount.path().join("store"), Options::new(Arc::new(SystemTime::now))).unwrap();
    assert_recorded(&store);
    assert_clean(&store);
    drop(store);
    mount.unmount();
}

#[test]
fn what_is_recorded_is_what_stands() {
    ALL.into_iter().for_each(round_trip);
}

fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

#[test]
fn a_store_that_is_copied_to_a_coarser_filesystem_is_undamaged() {
    let Some(mount) = LoopFs::make(WHOLE_SECONDS.0, WHOLE_SECONDS.1, WHOLE_SECONDS.2) else { return };
    let scratch = scratch();
    let source = scratch.path().join("s");
    write_all(&source, "one");
    let first = open(scratch.path());
    drop(publish(&first, &source));
    write(&source.join("file-0"), "changed", (1_000_000_000, 5));
    drop(publish(&first, &source));
    assert_clean(&first);
    copy(first.path(), &mount.path());

    let store = Store::open(&mount.path().join("store"), Options::new(Arc::new(SystemTime::now))).unwrap();
    assert_clean(&store);
    // None of it is read or written again.
    assert!(!publish(&store, &source).changed);
    write(&source.join("file-0"), "changed again", (2_100_000_000, 5));
    let done = publish(&store, &source);
    assert_eq!((done.new_objects, done.refreshed, done.healed), (1, 0, 0), "{done:?}");
    assert_clean(&store);
    drop(store.rollback(2, MarkLeft::Bad).unwrap());
    assert_clean(&store);
    let Repaired { before, after, .. } = store.repair().unwrap();
    assert!(before.is_clean() && after.is_clean(), "{before:?}");

    // The part of an mtime that it can store is still checked.
    let path = store.path().join("current/file-1");
    set_file_mtime(&path, FileTime::from_unix_time(1_000_000_000, 0)).unwrap();
    let faults = store.verify(None, Depth::Quick).unwrap().faults;
    assert!(!faults.is_empty() && faults.iter().all(|found| found.fault.kind == TreeFaultKind::Mtime));
    assert!(store.repair().unwrap().after.is_clean());
    assert_eq!(in_current(&store, "file-1").secs, 1_000_000_001);
}

#[test]
fn a_lost_fraction_is_told_where_the_filesystem_keeps_fractions() {
    let scratch = scratch();
    let source = scratch.path().join("s");
    write_all(&source, "one");
    let store = open(scratch.path());
    drop(publish(&store, &source));
    // As after a copy by a program that supports only whole seconds.
    set_file_mtime(store.path().join("current/file-0"), FileTime::from_unix_time(1_000_000_000, 0))
        .unwrap();
    let faults = store.verify(None, Depth::Quick).unwrap().faults;
    // The twin is the same inode.
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(store.repair().unwrap().after.is_clean());
    assert_eq!(in_current(&store, "file-0").nanos, 123_456_789);
}

/// A mirror of copies on the coarse filesystem, from a store on a fine one; and a mirror of links
/// within the coarse one.
#[test]
fn a_mirror_on_a_coarser_filesystem_is_known_again() {
    let Some(mount) = LoopFs::make(WHOLE_SECONDS.0, WHOLE_SECONDS.1, WHOLE_SECONDS.2) else { return };
    let scratch = scratch();
    for (dir, copy) in [(scratch.path(), true), (&mount.path(), false)] {
        let source = scratch.path().join("s");
        write_all(&source, "one");
        let store = open(dir);
        drop(publish(&store, &source));
        let site = mount.path().join(format!("site-{copy}"));
        let mut options = ViewOptions::mirror();
        options.copy = copy;
        assert_eq!(store.add_view(&site, &options).unwrap().warnings, []);
        let state = || store.views().unwrap().remove(0).state;
        for round in 0..3 {
            assert_eq!(state(), ViewState::Ok);
            write(&source.join("file-1"), &format!("{round}"), (1_000_000_000, 5));
            write(&source.join("empty-0"), &"x".repeat(round), (1_000_000_000, 5));
            assert_eq!(publish(&store, &source).warnings, []);
            assert_eq!(fs::read_to_string(site.join("file-1")).unwrap(), format!("{round}"));
            for name in ["file-0", "file-1", "file-4", "file-7", "empty-0"] {
                assert_eq!(mtime_of(&site.join(name)).secs, kept_secs(&store, name), "{name}");
            }
        }
        // A file that was written to is still reported, also if its length is the same.
        let path = site.join("file-0");
        let old = mtime_of(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "own x").unwrap();
        assert_ne!(mtime_of(&path).secs, old.secs);
        match copy {
            true => assert_eq!(state(), ViewState::Strangers(vec![b"file-0".to_vec()])),
            false => assert!(!store.verify(None, Depth::Quick).unwrap().is_clean()),
        }
    }
}

/// Returns a published mtime as a filesystem with 32-bit seconds stores it.
fn kept_secs(store: &Store, name: &str) -> i64 {
    in_current(store, name).secs.clamp(i32::MIN.into(), i32::MAX.into())
}
