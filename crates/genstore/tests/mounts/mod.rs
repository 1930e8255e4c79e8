//! Mounts inside a store, a stage, a mirror and a source: no removal, link or change enters them, paths
//! that cannot be removed are reported and left, and no user is kept out.

mod cut;
mod outside;

use genstore::verify::TreeFaultKind;

use crate::prelude::*;

struct Site {
    dir: TempDir,
    store: Store,
    outside: Bystanders,
}

impl Site {
    fn new() -> Site {
        let dir = scratch();
        let store = open(dir.path());
        let outside = Bystanders::make(&dir.path().join("outside"));
        Site { dir, store, outside }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn tree(&self, id: u64, below: &str) -> PathBuf {
        self.path(&format!("store/generations/{id}/tree/{below}"))
    }

    fn publish(&self, content: &str) -> Publication {
        self.publish_with(content, StageOptions::default())
    }

    fn publish_with(&self, content: &str, options: StageOptions) -> Publication {
        let dist = self.path("dist");
        let content = format!("={content}");
        write_tree(&dist, &things(1_000, &[("a", &content), ("up/b", "=b"), ("up/c/d", "=d"), ("v", "/")]));
        let plan = Plan::scan(&dist, &ScanRules::default()).unwrap();
        self.store.stage(&plan, options).unwrap().unaudited().commit(&CommitOptions::default()).unwrap()
    }

    fn gc(&self) -> genstore::gc::Collected {
        let plan = self.store.plan_gc(&keep_one()).unwrap();
        self.store.collect(&plan).unwrap()
    }

    fn generations(&self) -> Vec<String> {
        names(&self.path("store/generations"))
    }
}

fn open(dir: &Path) -> Store {
    Store::init(&dir.join("store"), Options::new(Arc::new(SystemTime::now))).unwrap().store
}

fn keep_one() -> Retention {
    Retention::only_last(1)
}

#[track_caller]
fn names_mount(left: &[genstore::error::Leftover], end: &str) {
    let told: Vec<_> = left.iter().map(|left| (left.path.display().to_string(), &*left.why)).collect();
    assert!(
        matches!(&*told, [(path, "something is mounted there")] if path.ends_with(end)),
        "{told:?}, {end}"
    );
}

#[test]
fn gc_leaves_what_is_mounted_in_a_generation_and_goes_on() {
    needs!(in_own_mounts(gc_leaves_what_is_mounted_in_a_generation_and_goes_on));
    let site = Site::new();
    // On a folder of the tree, on one that is in no manifest, on a file, and on the tree itself.
    for place in ["up/c", "uploads", "a", ""] {
        let id = site.publish(&format!("one{place}")).generation.get();
        let at = site.tree(id, place);
        let outside = match place {
            "a" => site.outside.path().join("a"),
            "uploads" => {
                fs::create_dir(&at).unwrap();
                site.outside.path().to_owned()
            }
            _ => site.outside.path().to_owned(),
        };
        bind(&outside, &at);
        drop(site.publish(&format!("two{place}")));
        let done = site.gc();
        names_mount(&done.left, format!("/tree/{place}").trim_end_matches('/'));
        assert_eq!((done.spared.len(), site.generations().len()), (0, 1), "{place}");
        site.outside.check(place);
        // Everything except the path to the mount is removed, and each later gc reports it again.
        let grave = site.path(&format!("store/staging/s-gone-{id}"));
        assert_eq!(names(&grave), ["tree"], "{place}");
        drop(site.publish(&format!("three{place}")));
        names_mount(&site.gc().left, format!("/tree/{place}").trim_end_matches('/'));
        site.outside.check(place);
        unmount(&grave.join("tree").join(place));
        drop(site.publish(&format!("four{place}")));
        assert_eq!(debris(site.store.path()), [""; 0], "{place}: the next writer removes the rest");
        assert_eq!(site.gc().left, []);
    }
    assert_clean(&site.store);
}

#[test]
fn a_stage_with_a_mount_is_left_and_retried() {
    needs!(in_own_mounts(a_stage_with_a_mount_is_left_and_retried));
    let site = Site::new();
    let begin = || {
        let stage = site.store.begin().unwrap();
        let at = stage.path().join("deep/dev");
        fs::create_dir_all(&at).unwrap();
        fs::write(stage.path().join("deep/file"), "1").unwrap();
        bind(site.outside.path(), &at);
        (stage, at)
    };
    // Aborted.
    let (stage, at) = begin();
    let Err(Error::Left { left }) = stage.abort() else { panic!("nothing is left") };
    names_mount(&left, "/out/deep/dev");
    assert_eq!(names(at.parent().unwrap()), ["dev"], "all around it is gone");
    site.outside.check("abort");
    drop(site.publish("after abort"));
    names_mount(&site.gc().left, "/out/deep/dev");
    unmount(&at);
    drop(site.publish("after the unmount"));
    assert_eq!(debris(site.store.path()), [""; 0]);
    // Failed: the log is kept, and the remaining paths are reported.
    let (stage, at) = begin();
    let failed = stage.fail("exit status 1", KeepFailed::default()).unwrap();
    names_mount(&failed.left, "/out/deep/dev");
    assert_eq!(names(&failed.path), ["report.json", "tree"]);
    unmount(&at);
    // Dropped.
    let (stage, at) = begin();
    drop(stage);
    site.outside.check("drop");
    unmount(&at);
    // Expired: its claim is over.
    let (stage, at) = begin();
    let id = stage.leave_to(Owner::Until(SystemTime::now())).unwrap();
    drop(site.publish("after the expiry"));
    site.outside.check("expiry");
    assert!(at.try_exists().unwrap());
    assert!(site.store.resume(&id).is_err());
    unmount(&at);
    drop(site.publish("after the last unmount"));
    assert_eq!(debris(site.store.path()), [""; 0]);
}

#[test]
fn a_build_that_leaves_a_mount_is_refused_before_anything_is_linked() {
    needs!(in_own_mounts(a_build_that_leaves_a_mount_is_refused_before_anything_is_linked));
    let site = Site::new();
    let stage = site.store.begin().unwrap();
    fs::create_dir_all(stage.path().join("sub/a b")).unwrap();
    fs::write(stage.path().join("sub/file"), "").unwrap();
    fs::write(stage.path().join("mine"), "mine").unwrap();
    bind(site.outside.path(), &stage.path().join("sub/a b"));
    bind(&site.outside.path().join("file"), &stage.path().join("sub/file"));
    let Err(Error::BadPlan { problems }) = stage.scan(&ScanRules::default()) else { panic!("not refused") };
    let told: Vec<_> =
        problems.iter().map(|p| (String::from_utf8_lossy(&p.path).into_owned(), &*p.what)).collect();
    let expected = ["sub/a b", "sub/file"].map(|path| (path.to_owned(), "is a mount point"));
    assert_eq!(told, expected);
    assert_eq!(fs::metadata(stage.path().join("mine")).unwrap().nlink(), 1);
    site.outside.check("refused");
    unmount(&stage.path().join("sub/a b"));
    unmount(&stage.path().join("sub/file"));
    // Mounted on the directory itself.
    bind(site.outside.path(), stage.path());
    let Err(Error::Refused { kind, why }) = stage.scan(&ScanRules::default()) else {
        panic!("not refused")
    };
    assert_eq!(kind, RefusedKind::StageOutputReplaced, "{why}");
    assert!(why.ends_with("something is mounted there"), "{why}");
    let path = stage.path().to_owned();
    let Err(Error::Left { left }) = stage.abort() else { panic!("nothing is left") };
    names_mount(&left, "/out");
    site.outside.check("on the directory itself");
    unmount(&path);
}

#[test]
fn what_is_mounted_in_current_hinders_no_writer() {
    needs!(in_own_mounts(what_is_mounted_in_current_hinders_no_writer));
    let site = Site::new();
    let recycle = || StageOptions::default().recycle(keep_one());
    for round in 0..4 {
        let id = site.publish_with(&format!("round {round}"), recycle()).generation.get();
        bind(site.outside.path(), &site.tree(id, "up"));
        bind(&site.outside.path().join("a"), &site.tree(id, "a"));
        let report = site.store.verify(None, Depth::Full).unwrap();
        let mounted: Vec<_> =
            report.faults.iter().filter(|found| found.fault.kind == TreeFaultKind::Mounted).collect();
        assert_eq!(mounted.iter().filter(|found| found.fault.path == b"up").count(), round + 1);
        site.store.repair().unwrap();
        site.outside.check("verify and repair");
    }
    assert_eq!(site.generations().len(), 4, "none with a mount is recycled");
    // Hidden files cannot be renewed for readers of the older generation.
    let Err(error) = site.store.rollback(1, MarkLeft::Unchanged) else {
        panic!("it went back to hidden files")
    };
    assert!(error.to_string().starts_with("cannot cross the mount point"), "{error}");
    site.outside.check("rollback");
    assert_eq!(site.store.list().unwrap().generations.len(), 4);
    assert_eq!(site.gc().left.len(), 6, "two in each of three");
    site.outside.check("gc");
    assert_eq!(fs::read(site.path("store/current/v/../a")).unwrap(), b"bystander a");
}

#[test]
fn refused_ones_are_evicted_around_what_is_mounted_in_them() {
    needs!(in_own_mounts(refused_ones_are_evicted_around_what_is_mounted_in_them));
    let site = Site::new();
    let keep = KeepFailed::default().count(1).bytes(1 << 30);
    let fail = || site.store.begin().unwrap().fail("exit status 1", keep).unwrap();
    let first = fail();
    bind(site.outside.path(), &first.path.join("tree"));
    names_mount(&fail().left, "/tree");
    assert_eq!(names(&site.path("store/failed")), ["2"]);
    // Something is mounted on one of them.
    let third = fail();
    bind(site.outside.path(), &third.path);
    names_mount(&fail().left, "/failed/3");
    site.outside.check("eviction");
    unmount(&third.path);
    assert_eq!(fail().left, []);
    assert_eq!(names(&site.path("store/failed")), ["5"]);
}

/// Not a separate test: the code of a child.
#[test]
fn child() {
    let Some((place, words, faults)) = child_task() else { return };
    cut::act(&words[0], &place, faults).expect("the verb itself works");
}
