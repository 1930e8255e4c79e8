//! The inputs and the results of a publication.

use super::*;

/// The same content has the same id, from any kind of source (INV-18).
#[test]
fn memory_disk_and_stream_give_one_tree() {
    let dir = scratch();
    let big = "x".repeat(3 << 20);
    let source = things(
        1_000,
        &[
            ("a", "=one"),
            ("bin/tool", "!two"),
            ("big", &format!("={big}")),
            ("empty", "="),
            ("l", ">a"),
            ("void", "/"),
        ],
    );
    let on_disk = publish_things(&open(dir.path()), dir.path(), &source).tree;
    let build = |wrap: fn(&[u8]) -> Source| {
        let plan = Plan::builder()
            .file("big", wrap(big.as_bytes()))
            .file("a", wrap(b"one"))
            .executable("bin/tool", wrap(b"two"))
            .file("empty", wrap(b""))
            .symlink("l", "a")
            .dir("void");
        plan.build().unwrap()
    };
    for (name, plan) in [
        ("memory", build(|bytes| Source::Bytes(bytes.to_vec()))),
        ("stream", build(|bytes| Source::Reader(Box::new(std::io::Cursor::new(bytes.to_vec()))))),
    ] {
        let store = Store::init(&dir.path().join(name), ticking(5_000)).unwrap().store;
        assert_eq!(store.preview(&build(|b| Source::Bytes(b.to_vec()))).unwrap().id(), on_disk);
        let published = commit(&store, &plan).unwrap();
        assert_eq!(published.tree, on_disk, "{name}");
        let shown = read_tree(&store.path().join("current")).unwrap();
        assert!(same_content(&shown, &source), "{name}");
        assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{name}");
    }
}

#[test]
fn files_are_copied_and_never_linked_from_the_source() {
    let dir = scratch();
    let store = open(dir.path());
    drop(publish_things(&store, dir.path(), &things(1_000, &[("a", "=one")])));
    fs::write(dir.path().join("source/a"), "ONE").unwrap();
    assert_eq!(fs::read(store.path().join("current/a")).unwrap(), b"one");
}

#[test]
fn consume_moves_what_is_ours_alone_and_removes_the_rest() {
    let dir = scratch();
    let store = open(dir.path());
    drop(publish_things(&store, dir.path(), &things(1_000, &[("known", "=k")])));
    let source = dir.path().join("source");
    write_tree(&source, &things(1_000, &[("known", "=k"), ("mine", "=m"), ("shared", "=s"), ("d/e", "=")]));
    fs::hard_link(source.join("shared"), dir.path().join("other")).unwrap();
    let inode = |path: &Path| path.metadata().unwrap().ino();
    let (mine, shared) = (inode(&source.join("mine")), inode(&source.join("shared")));
    let plan = Plan::scan(&source, &ScanRules::default()).unwrap();
    let options = StageOptions::default().consume();
    let done = store.stage(&plan, options).unwrap().unaudited().commit(&CommitOptions::default()).unwrap();
    assert_eq!(done.warnings, []);
    assert_eq!(inode(&store.path().join("current/mine")), mine, "moved");
    assert_ne!(inode(&store.path().join("current/shared")), shared, "another name leads to it: copied");
    assert_eq!(fs::read(dir.path().join("other")).unwrap(), b"s");
    let left: Vec<_> = read_tree(&source)
        .unwrap()
        .into_iter()
        .filter(|(_, t)| *t != genstore_testkit::Thing::Dir)
        .collect();
    assert_eq!(left, [], "no file is left");
    assert_clean(&store);
}

/// INV-15.
#[test]
fn an_unchanged_path_keeps_inode_and_mtime_and_a_changed_one_moves_forward() {
    let dir = scratch();
    let store = open(dir.path());
    let stat = |path: &str| {
        let meta = store.path().join("current").join(path).metadata().unwrap();
        (meta.ino(), meta.mtime())
    };
    drop(publish_things(
        &store,
        dir.path(),
        &things(5_000, &[("same", "=1"), ("older", "=1"), ("newer", "=1"), ("empty", "=")]),
    ));
    let (same, older, newer, empty) = (stat("same"), stat("older"), stat("newer"), stat("empty"));
    let mut next = things(4_000, &[("older", "=2 older"), ("same", "=1"), ("empty", "=")]);
    next.extend(things(6_000, &[("newer", "=2 newer")]));
    let published = publish_things(&store, dir.path(), &next);
    assert_eq!(published.refreshed, 1);
    assert_eq!(stat("same"), same);
    assert!(stat("older").1 > older.1, "older bytes are shown with a newer mtime");
    assert_eq!(stat("newer").1, 6_000, "a newer source keeps its mtime");
    assert!(newer.1 < 6_000);
    assert_eq!(stat("empty").1, empty.1);
    assert_clean(&store);
    // Back and forth: at every path the mtime only increases.
    let mut last = stat("older").1;
    for _ in 0..3 {
        for rev in ["1", "2"] {
            drop(store.activate(&rev.parse().unwrap(), Expect::Any).unwrap());
            let now = stat("older").1;
            assert!(now > last, "generation {rev}");
            last = now;
            assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "generation {rev}");
        }
    }
}

#[test]
fn names_are_bytes() {
    let dir = scratch();
    let store = open(dir.path());
    let long = [b'n'; 255];
    let names: [&[u8]; 7] = [b"-rf", b"a\nb", b"\x1b[31m", b"\xff\xfe", "grüße".as_bytes(), b" ", &long];
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in names {
        fs::write(source.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name)), name)
            .unwrap();
    }
    drop(publish(&store, &source));
    let mut found: Vec<Vec<u8>> = fs::read_dir(store.path().join("current"))
        .unwrap()
        .map(|e| std::os::unix::ffi::OsStringExt::into_vec(e.unwrap().file_name()))
        .collect();
    let mut expected: Vec<Vec<u8>> = names.iter().map(|n| n.to_vec()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let generation = store.open_generation(&"@".parse().unwrap()).unwrap();
    for name in names {
        let mut bytes = Vec::new();
        generation.cat(name, &mut bytes).unwrap();
        assert_eq!(bytes, name);
    }
}

#[test]
fn a_stage_that_is_dropped_leaves_nothing() {
    let dir = scratch();
    let store = open(dir.path());
    let staged = store.stage(&plan_of(&[("a", "=1")]), StageOptions::default()).unwrap();
    let path = staged.path().expect("a new tree has a directory");
    assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
    assert_eq!(debris(store.path()).len(), 2, "the stage and its lock");
    // Another writer leaves a living stage alone.
    drop(commit(&store, &plan_of(&[("b", "=2")])).unwrap());
    assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
    drop(staged);
    assert_eq!(debris(store.path()), [""; 0]);
    assert_eq!(store.current().unwrap(), Some(id(1)));
}
