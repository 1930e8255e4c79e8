//! Real filesystems: ext4, xfs, btrfs; full ones, ones without inodes, and read-only mounts.

use crate::prelude::*;

fn open(dir: &Path) -> genstore::Result<Store> {
    Store::init(&dir.join("store"), Options::new(Arc::new(SystemTime::now))).map(|made| made.store)
}

fn some_tree() -> Things {
    let big: String = (0..300_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    things(
        1_000,
        &[
            ("a", "=one"),
            ("bin/x", "!two"),
            ("big", &format!("={big}")),
            ("e", "="),
            ("l", ">a"),
            ("v", "/"),
        ],
    )
}

/// Publishes sources on the store's own filesystem, where they can be moved in, and on another one,
/// alternately.
fn publish_in(way: Way, dir: &Path) {
    let elsewhere = scratch();
    let store = open(dir).unwrap();
    let mut tree = some_tree();
    for (round, source) in [elsewhere.path(), dir, dir, dir, elsewhere.path()].into_iter().enumerate() {
        let source = source.join("given");
        tree.extend(things(1_000, &[("a", &format!("={round}"))]));
        // An unchanged source that is not consumed stays, and is indexed.
        match round {
            3 if !way.consume => fs::write(source.join("a"), "3").unwrap(),
            _ => write_tree(&source, &tree),
        }
        settle(elsewhere.path());
        let done = publish(way, &store, &source).unwrap();
        assert_eq!((done.changed, &*done.warnings), (true, &[][..]), "{way}");
        assert_eq!(done.recycled.is_some(), way.recycle && round >= 2, "{way}, {round}: {done:?}");
        assert!(same_content(&read_tree(&store.path().join("current")).unwrap(), &tree), "{way}");
        assert_eq!(source.join("a").try_exists().unwrap(), !way.consume, "{way}");
    }
    assert_eq!(debris(store.path()), [""; 0], "{way}");
    assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{way}");
}

/// All operations of a store, on a filesystem of its own, from a source on another one.
fn round_trip(kind: &'static str, size_mib: u64) {
    let Some(mut mount) = LoopFs::make(kind, size_mib, &[]) else { return };
    for (nth, way) in Way::ALL.into_iter().enumerate() {
        let dir = mount.path().join(format!("way-{nth}"));
        fs::create_dir(&dir).unwrap();
        publish_in(way, &dir);
    }
    let source = scratch();
    let store = open(&mount.path()).unwrap();
    write_tree(&source.path().join("s"), &some_tree());
    drop(publish(Way::PLAIN, &store, &source.path().join("s")).unwrap());
    let mut next = some_tree();
    next.extend(things(500, &[("a", "=older"), ("new", "=n")]));
    next.remove("bin/x");
    write_tree(&source.path().join("s"), &next);
    // Also from the same filesystem, where it can share blocks.
    write_tree(&mount.path().join("s"), &next);
    let published = publish(Way::PLAIN, &store, &mount.path().join("s")).unwrap();
    assert_eq!(published.refreshed, 1, "the older file needs a newer mtime");
    assert!(!publish(Way::PLAIN, &store, &source.path().join("s")).unwrap().changed);
    assert!(same_content(&read_tree(&store.path().join("current")).unwrap(), &next));
    drop(store.rollback(1, MarkLeft::Bad).unwrap());
    assert!(same_content(&read_tree(&store.path().join("current")).unwrap(), &some_tree()));
    assert_clean(&store);
    let rule = Retention::only_last(0);
    assert_eq!(store.collect(&store.plan_gc(&rule).unwrap()).unwrap().generations.len(), 1);
    assert_clean(&store);
    drop(store);

    mount.unmount();
    mount.mount(&["ro"]).unwrap();
    let store = Store::open(&mount.path().join("store"), Options::new(Arc::new(SystemTime::now))).unwrap();
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    assert_eq!(generation.manifest().unwrap().tree.files(), 4);
    assert_eq!(store.list().unwrap().generations.len(), 1);
    assert_clean(&store);
    let plan = Plan::scan(&source.path().join("s"), &ScanRules::default()).unwrap();
    assert_eq!(store.preview(&plan).unwrap().len(), next.len());
    assert!(store.plan_gc(&rule).unwrap().removed().is_empty());
    match store.stage(&plan, StageOptions::default()).map(drop).unwrap_err() {
        Error::Io { source, .. } => {
            assert_eq!(source.kind(), std::io::ErrorKind::ReadOnlyFilesystem)
        }
        other => panic!("{other}"),
    }
    drop((generation, store));
    mount.unmount();
}

#[test]
fn ext4() {
    round_trip("ext4", 32);
}

#[test]
fn xfs() {
    round_trip("xfs", 320);
}

#[test]
fn btrfs() {
    round_trip("btrfs", 128);
}

/// Fills a filesystem with publications until one fails, and checks that other commands still work.
fn fill(mount: &LoopFs, plan: impl Fn(u64) -> Plan) {
    let store = open(&mount.path()).unwrap();
    let mut last = None;
    let failure = loop {
        let round = last.map_or(1, |(round, _)| round + 1);
        let staged = store.stage(&plan(round), StageOptions::default());
        match staged.and_then(|staged| staged.unaudited().commit(&CommitOptions::default())) {
            Ok(published) => last = Some((round, published.generation)),
            Err(e) => break e,
        }
        assert!(round < 10_000, "it is never full");
    };
    match &failure {
        Error::Io { source, .. } => {
            assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{failure}")
        }
        other => panic!("{other}"),
    }
    let (round, generation) = last.expect("one fits");
    println!("full after {round} publications: {failure}");
    assert_eq!(store.current().unwrap(), Some(generation));
    assert_eq!(debris(store.path()), [""; 0]);
    assert_clean(&store);
    // gc needs no free space to start, and frees some.
    let done = genstore_testkit::collect(&store, 0).unwrap();
    assert_eq!(done.generations.len() as u64, round - 1);
    let published = store.stage(&plan(round + 1), StageOptions::default()).unwrap();
    assert!(published.unaudited().commit(&CommitOptions::default()).unwrap().changed);
    assert_clean(&store);
}

#[test]
fn a_disk_without_space() {
    let Some(mount) = LoopFs::make("ext4", 16, &["-m", "0"]) else { return };
    fill(&mount, |round| {
        let mut plan = Plan::builder();
        for n in 0..4u64 {
            // Noise, so that nothing is shared.
            let mut state = round * 31 + n + 1;
            let bytes = (0..300_000).map(|_| {
                state =
                    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            });
            plan = plan.file(format!("f{n}"), Source::Bytes(bytes.collect()));
        }
        plan.build().unwrap()
    });
}

#[test]
fn a_disk_without_inodes() {
    let Some(mount) = LoopFs::make("ext4", 32, &["-N", "900", "-m", "0"]) else { return };
    fill(&mount, |round| {
        let mut plan = Plan::builder();
        for n in 0..40 {
            plan = plan.file(format!("d{n}/f"), Source::Bytes(format!("{round} {n}").into_bytes()));
        }
        plan.build().unwrap()
    });
}

#[test]
fn objects_share_blocks_with_the_source_where_the_filesystem_can() {
    let Some(mount) = LoopFs::make("xfs", 320, &["-m", "reflink=1"]) else { return };
    let bytes: Vec<u8> = (0..64u32 << 20).map(|n| (n >> 8) as u8).collect();
    fs::create_dir(mount.path().join("s")).unwrap();
    fs::write(mount.path().join("s/large"), &bytes).unwrap();
    let used = || -> u64 {
        let output = Command::new("df").args(["--output=used", "-B1"]).arg(mount.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().last().unwrap().trim().parse().unwrap()
    };
    assert!(Command::new("sync").status().unwrap().success());
    let before = used();
    let store = open(&mount.path()).unwrap();
    drop(publish(Way::PLAIN, &store, &mount.path().join("s")).unwrap());
    let grown = used().saturating_sub(before);
    println!("64 MiB published, {} KiB more used", grown >> 10);
    assert!(grown < 16 << 20, "{grown}");
    // It has its own inode nevertheless: the source may change.
    fs::write(mount.path().join("s/large"), "other").unwrap();
    assert_eq!(fs::metadata(store.path().join("current/large")).unwrap().size(), bytes.len() as u64);
    assert_clean(&store);
}
