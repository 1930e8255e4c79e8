//! Real power loss: a filesystem in a file, and a child killed at every step. The test then uses not
//! the filesystem that the kernel still has in memory, but a copy of its device.
//!
//! Data that was written and never flushed is missing in that copy, as after a power loss. The rest
//! must be the whole old generation or the whole new one, and the next publish must work.
//!
//! A folder of another filesystem is mounted in a stage without an owner before the verb, and in a
//! generation that gc removes after it. Nothing in it may change, nor anything beside the store.

use crate::prelude::*;

fn trees() -> Trees {
    let a = things(
        1_000,
        &[("a", "=first"), ("d/b", "=second"), ("d/same", "=same"), ("e", "="), ("x", "!tool")],
    );
    let b = things(900, &[("a", "=changed"), ("d/same", "=same"), ("n/c", "=third"), ("x", "!tool")]);
    let mut c = a.clone();
    c.extend(things(1_100, &[("a", "=fourth"), ("d/more", "="), ("n/c", "=third")]));
    c.remove("e");
    Trees { a, b, c }
}

fn open(dir: &Path, faults: Faults) -> genstore::Result<Store> {
    try_open(&dir.join("store"), faults)
}

/// Publishes a source. If it is to be consumed, uses one on the same filesystem.
fn publish(store: &Store, dir: &Path, sources: &Path, name: &str, way: Way) -> genstore::Result<()> {
    let mut source = sources.join(name);
    if way.consume {
        source = dir.join("given");
        give(&source, trees().get(name));
    }
    genstore_testkit::publish(way, store, &source).map(drop)
}

fn act(verb: &str, dir: &Path, sources: &Path, way: Way, faults: Faults) -> genstore::Result<()> {
    let store = open(dir, faults)?;
    match verb {
        "publish" => publish(&store, dir, sources, "b", way),
        "publish again" => publish(&store, dir, sources, "c", way),
        "rollback" => store.rollback(1, MarkLeft::Bad).map(drop),
        other => panic!("{other}"),
    }
}

/// Kills a publisher at each `stride`th step, lets a second one reuse its objects, and then cuts the
/// power. Everything that the second one reported must be complete, including the objects that the
/// first one named.
fn cut_after_reuse(kind: &'static str, size_mib: u64, stride: usize) {
    let Some(mut fs) = LoopFs::make(kind, size_mib, &[]) else { return };
    let sources = scratch();
    let trees = trees();
    trees.write(sources.path());
    let (prepared, cut) = (fs.image().with_extension("prepared"), fs.image().with_extension("cut"));
    let outside = Bystanders::make(&fs.path().join("outside"));
    let store = open(&fs.path(), Faults::default()).unwrap();
    publish(&store, &fs.path(), sources.path(), "a", Way::PLAIN).unwrap();
    drop(store);
    fs.unmount();
    fs.copy_image(&prepared);
    let mut points = 0;
    for step in (1..).step_by(stride) {
        let what = format!("{kind}, killed at step {step}, built on, power lost");
        fs.restore_image(&prepared);
        fs.mount(&[]).unwrap();
        let finished = !kill_at(step as u64, &task("publish", &fs, sources.path(), Way::PLAIN));
        let store = open(&fs.path(), Faults::default()).unwrap();
        publish(&store, &fs.path(), sources.path(), "c", Way::PLAIN).unwrap();
        // Before the store is closed.
        fs.copy_image(&cut);
        drop(store);
        fs.unmount();
        fs.restore_image(&cut);
        fs.mount(&[]).unwrap();
        let shown = read_tree(&fs.path().join("store/current")).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(same_content(&shown, &trees.c), "{what}: {shown:#?}");
        let store = open(&fs.path(), Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_clean_for(&store, &what);
        outside.check(&what);
        drop(store);
        fs.unmount();
        if finished {
            break;
        }
        points += 1;
    }
    println!("{kind}: the power was lost after a second publisher at {points} points of the first one");
    assert!(points * stride > 30, "{kind}: {points}");
}

fn task(verb: &str, fs: &LoopFs, sources: &Path, way: Way) -> Task {
    Task::new(child, &fs.path(), &[verb, &way.to_string(), &sources.display().to_string()])
}

/// Not a separate test: the code of a child.
#[test]
fn child() {
    let Some((place, words, faults)) = child_task() else { return };
    let sources = PathBuf::from(&words[2]);
    act(&words[0], &place, &sources, Way::named(&words[1]), faults).expect("the verb itself works");
}

/// Leaves a stage whose claim is over, and returns an empty folder in it.
fn leave_stage(store: &Store) -> PathBuf {
    let stage = store.begin().unwrap();
    let folder = stage.path().join("deep/mounted");
    fs::create_dir_all(&folder).unwrap();
    drop(stage.leave_to(Owner::Until(at(4_000))).unwrap());
    folder
}

/// Mounts a folder on one in a stage. The stage may be lost with the power, as nothing flushed it.
fn mount_in(folder: &Path, mounted: &Bystanders) {
    fs::create_dir_all(folder).unwrap();
    bind(mounted.path(), folder);
}

/// Runs gc with a folder mounted in a generation that is removed.
fn collect_around(store: &Store, mounted: &Bystanders, what: &str) {
    let listed = store.list().unwrap().generations;
    let old = listed.iter().find(|one| !one.current).expect("there is an older one").id;
    bind(mounted.path(), &store.path().join(format!("generations/{old}/tree/d")));
    let done = genstore_testkit::collect(store, 1).unwrap();
    let is_left = |end: &str| done.left.iter().any(|left| left.path.ends_with(end));
    assert!(is_left("tree/d") && is_left("deep/mounted"), "{what}: {:?}", done.left);
    mounted.check(what);
}

/// Publishes and collects after a power loss, and leaves nothing behind.
fn goes_on(store: &Store, dir: &Path, sources: &Path, way: Way, mounted: &Bystanders, what: &str) {
    let publish = |source: &str| {
        publish(store, dir, sources, source, way).unwrap_or_else(|e| panic!("{what}: {e}"));
    };
    for source in ["b", "a", "b"] {
        publish(source);
    }
    assert_clean_for(store, what);
    collect_around(store, mounted, what);
    unmount_below(dir);
    publish("a");
    assert_eq!(debris(store.path()), [""; 0], "{what}");
    assert!(store.verify(None, Depth::Full).unwrap().is_clean(), "{what}: after gc");
}

/// Cuts the power at each `stride`th step of `verb`, and counts the steps.
///
fn cut_everywhere(kind: &'static str, size_mib: u64, verb: &str, way: Way, stride: usize) {
    let Some(mut fs) = LoopFs::make(kind, size_mib, &[]) else { return };
    let sources = scratch();
    let trees = trees();
    trees.write(sources.path());
    settle(sources.path());
    let (prepared, cut) = (fs.image().with_extension("prepared"), fs.image().with_extension("cut"));
    let outside = Bystanders::make(&fs.path().join("outside"));
    let mounted = Bystanders::make(&sources.path().join("mounted"));
    let store = open(&fs.path(), Faults::default()).unwrap();
    let first: &[&str] = if verb == "publish" { &["a"] } else { &["a", "b"] };
    for source in first {
        publish(&store, &fs.path(), sources.path(), source, way).unwrap();
    }
    let (before, after) = match verb {
        "publish" => (&trees.a, &trees.b),
        "rollback" => (&trees.b, &trees.a),
        _ => (&trees.b, &trees.c),
    };
    let given = fs.path().join("given");
    if way.consume {
        give(&given, after);
    }
    let mount_point = leave_stage(&store);
    drop(store);
    fs.unmount();
    fs.copy_image(&prepared);

    let mut points = 0;
    for step in (1..).step_by(stride) {
        let what = format!("{kind}, {verb}, {way}, power lost at step {step}");
        fs.restore_image(&prepared);
        fs.mount(&[]).unwrap();
        mount_in(&mount_point, &mounted);
        let finished = !kill_at(step as u64, &task(verb, &fs, sources.path(), way));
        fs.copy_image(&cut);
        unmount_below(&fs.path());
        fs.unmount();

        fs.restore_image(&cut);
        fs.mount(&[]).unwrap();
        mount_in(&mount_point, &mounted);
        outside.check(&what);
        mounted.check(&what);
        let shown = read_tree(&fs.path().join("store/current")).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (old, new) = (same_content(&shown, before), same_content(&shown, after));
        assert!(old || new, "{what}: {shown:#?}");
        assert!(new || !finished, "{what}: success was reported, and lost");
        if way.consume {
            let is_whole = read_tree(&given).is_ok_and(|found| same_content(&found, after));
            assert!(is_whole || new, "{what}: it is consumed, and nothing was committed");
            assert!(is_nothing_lost(&given, after, &fs.path().join("store")), "{what}: files are lost");
        }
        let store = open(&fs.path(), Faults::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        goes_on(&store, &fs.path(), sources.path(), way, &mounted, &what);
        outside.check(&what);
        mounted.check(&what);
        drop(store);
        fs.unmount();
        if finished {
            break;
        }
        points += 1;
    }
    println!("{kind}: the power was lost at {points} points of {verb}, {way}");
    assert!(points * stride > 30, "{kind}, {verb}, {way}: {points}");
}

/// btrfs flushes each folder separately. The journals of ext4 and xfs also flush earlier changes.
#[test]
fn building_on_what_was_left_on_btrfs() {
    cut_after_reuse("btrfs", 128, 1);
}

#[test]
fn publish_on_ext4() {
    cut_everywhere("ext4", 32, "publish", Way::ALL[0], 1);
}

#[test]
fn rollback_on_ext4() {
    cut_everywhere("ext4", 32, "rollback", Way::PLAIN, 1);
}

#[test]
fn recycling_on_ext4() {
    cut_everywhere("ext4", 32, "publish again", Way::ALL[1], 1);
}

#[test]
fn publish_on_xfs() {
    cut_everywhere("xfs", 320, "publish", Way::ALL[2], 3);
}

#[test]
fn rollback_on_xfs() {
    cut_everywhere("xfs", 320, "rollback", Way::PLAIN, 3);
}

#[test]
fn recycling_on_xfs() {
    cut_everywhere("xfs", 320, "publish again", Way::ALL[3], 3);
}

#[test]
fn publish_on_btrfs() {
    cut_everywhere("btrfs", 128, "publish", Way::ALL[2], 3);
}

#[test]
fn rollback_on_btrfs() {
    cut_everywhere("btrfs", 128, "rollback", Way::PLAIN, 3);
}

#[test]
fn recycling_on_btrfs() {
    cut_everywhere("btrfs", 128, "publish again", Way::ALL[1], 3);
}
