//! Stages that other programs write to: their owners, their end, and their contents.

use std::io::Write;

use genstore::publish::{Stage, StageId, Staged};

use crate::prelude::*;

struct Place {
    dir: TempDir,
    now: Arc<AtomicU64>,
}

impl Place {
    fn new() -> Place {
        Place { dir: scratch(), now: Arc::new(AtomicU64::new(1_000_000)) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Opens it with a clock that stands still until the test moves it.
    fn open(&self) -> Store {
        let now = Arc::clone(&self.now);
        let mut options = Options::new(Arc::new(move || at(now.load(Ordering::Relaxed))));
        options.lock_timeout = Duration::from_millis(50);
        Store::init(&self.path(), options).unwrap().store
    }

    fn wait(&self, secs: u64) {
        self.now.fetch_add(secs, Ordering::Relaxed);
    }

    fn debris(&self) -> Vec<String> {
        debris(&self.path())
    }
}

fn seal(stage: Stage<'_>) -> Staged<'_> {
    stage.seal(&ScanRules::default(), StageOptions::default()).unwrap()
}

fn commit(staged: Staged<'_>) -> Publication {
    staged.unaudited().commit(&CommitOptions::default()).unwrap()
}

fn publish(store: &Store, content: &str) -> Publication {
    genstore_testkit::commit(store, &plan_of(&[("file", &format!("={content}"))])).unwrap()
}

/// Writes as an external program does.
fn shell(dir: &Path, script: &str) {
    let status = Command::new("sh").args(["-ec", script]).current_dir(dir).status().unwrap();
    assert!(status.success(), "{script}");
}

#[track_caller]
fn refused<T>(result: genstore::Result<T>, code: &str, why: &str) {
    match result.err().expect("it is refused") {
        Error::Refused { kind, why: text } => {
            assert_eq!((kind.code(), text.contains(why)), (code, true), "{text}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_program_writes_is_moved_in() {
    let place = Place::new();
    let store = place.open();
    let stage = store.begin().unwrap();
    shell(
        stage.path(),
        "umask 077; mkdir -p bin sub/deep; echo one > a; cp a sub/deep/b; printf '#!' > bin/run; chmod 700 bin/run; ln -s a l; : > empty",
    );
    // Of two files with the same bytes one is moved in, and the other becomes a link to it.
    let inodes = ["a", "sub/deep/b"].map(|path| fs::metadata(stage.path().join(path)).unwrap().ino());
    let done = commit(seal(stage));
    let current = place.path().join("current");
    let expected =
        [("a", "=one\n"), ("bin/run", "!#!"), ("empty", "="), ("l", ">a"), ("sub/deep/b", "=one\n")];
    assert!(same_content(&read_tree(&current).unwrap(), &things(0, &expected)));
    assert!(inodes.contains(&fs::metadata(current.join("a")).unwrap().ino()), "moved, not copied");
    for (path, mode) in [("a", 0o444), ("bin/run", 0o555), ("bin", 0o755), ("sub/deep", 0o755)] {
        assert_eq!(fs::metadata(current.join(path)).unwrap().permissions().mode() & 0o7777, mode, "{path}");
    }
    assert_eq!(place.debris(), [""; 0]);
    // The same as a plan in memory.
    let memory = Plan::builder()
        .file("a", Source::Bytes(b"one\n".to_vec()))
        .executable("bin/run", Source::Bytes(b"#!".to_vec()))
        .file("empty", Source::Bytes(vec![]))
        .symlink("l", "a")
        .file("sub/deep/b", Source::Bytes(b"one\n".to_vec()));
    assert_eq!(store.preview(&memory.build().unwrap()).unwrap().id(), done.tree);
    assert_eq!((done.written, done.files), (2, 4), "`one` and the tool; the empty file has no object");
}

#[test]
fn streams_are_spooled_and_named_by_a_plan() {
    let place = Place::new();
    let store = place.open();
    let stage = store.begin().unwrap();
    let big = vec![7; 3 << 20];
    let spooled = stage.spool(&mut big.as_slice(), Some(at(77))).unwrap();
    let Source::Spooled(twin) = &spooled else { panic!("{spooled:?}") };
    let twin = Source::Spooled(twin.clone());
    let plan = Plan::builder()
        .file("a/big", spooled)
        .executable("b", stage.spool(&mut &b"tool"[..], None).unwrap())
        .file("twin", twin)
        .build()
        .unwrap();
    let done = commit(stage.seal_plan(&plan, StageOptions::default()).unwrap());
    let current = place.path().join("current");
    assert_eq!(fs::read(current.join("twin")).unwrap(), big);
    let (big, twin) = (current.join("a/big").metadata().unwrap(), current.join("twin").metadata().unwrap());
    assert_eq!((big.mtime(), big.ino()), (77, twin.ino()));
    assert_eq!(current.join("b").metadata().unwrap().permissions().mode() & 0o777, 0o555);
    assert_eq!((done.files, done.new_objects), (3, 2));
    assert_eq!(place.debris(), [""; 0]);
}

#[test]
fn dropping_a_stage_removes_it() {
    let place = Place::new();
    let store = place.open();
    let stage = store.begin().unwrap();
    // Folders that may not even be listed are removed, too.
    shell(stage.path(), "mkdir -p x/y; echo z > x/y/z; chmod 000 x/y");
    drop(stage);
    assert_eq!(place.debris(), [""; 0]);
    // A plan with problems removes the stage.
    let stage = store.begin().unwrap();
    shell(stage.path(), "mkfifo pipe; ln -s /etc/passwd out");
    let Err(Error::BadPlan { problems }) = stage.seal(&ScanRules::default(), StageOptions::default())
    else {
        panic!("a FIFO cannot be published");
    };
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert_eq!(place.debris(), [""; 0]);
}

/// INV-10.
#[test]
fn nobody_touches_a_stage_that_is_held() {
    let place = Place::new();
    let store = place.open();
    let stage = store.begin().unwrap();
    shell(stage.path(), "echo kept > file");
    let other = place.open();
    assert!(publish(&other, "of another").changed);
    drop(other.collect(&other.plan_gc(&Retention::default()).unwrap()).unwrap());
    assert!(matches!(other.resume(&stage.id()), Err(Error::Locked { .. })));
    assert!(commit(seal(stage)).changed);
    assert_eq!(fs::read_to_string(place.path().join("current/file")).unwrap(), "kept\n");
}

#[test]
fn a_stage_that_was_left_is_its_owners() {
    let place = Place::new();
    let store = place.open();
    let mut owner = Command::new("sleep").arg("1000").spawn().unwrap();
    let left = |owner: Owner| -> StageId {
        let stage = store.begin().unwrap();
        shell(stage.path(), "echo mine > file");
        stage.leave_to(owner).unwrap()
    };
    let (mine, timed) = (left(Owner::Process(owner.id())), left(Owner::Until(at(1_000_060))));
    place.wait(59);
    assert!(publish(&store, "sweeps").changed);
    assert_eq!(place.debris().len(), 6, "two folders, claims and locks: {:?}", place.debris());
    for id in [&mine, &timed] {
        let stage = store.resume(id).unwrap();
        assert_eq!(fs::read_to_string(stage.path().join("file")).unwrap(), "mine\n");
        assert_eq!(stage.id(), *id);
        // If it is dropped, its owner keeps it.
    }
    place.wait(1);
    refused(store.resume(&timed), "stage-expired", "expired 0 s ago");
    owner.kill().unwrap();
    owner.wait().unwrap();
    refused(store.resume(&mine), "stage-expired", &format!("process {}, has ended", owner.id()));
    refused(store.resume(&mine), "stage-unknown", "never existed");
    assert_eq!(place.debris(), [""; 0]);
    // The next writer removes the stages that nobody resumed.
    left(Owner::Until(at(1_000_061)));
    place.wait(1);
    assert!(publish(&store, "sweeps again").changed);
    assert_eq!(place.debris(), [""; 0]);
    let stage = store.begin().unwrap();
    refused(
        stage.leave_to(Owner::Process(1 << 30)),
        "no-such-process",
        "process 1073741824 does not exist",
    );
    assert_eq!(place.debris(), [""; 0]);
}

#[test]
fn builds_share_one_path_one_at_a_time() {
    let place = Place::new();
    let store = place.open();
    let first = store.begin_build().unwrap();
    let path = first.path().to_owned();
    assert!(first.has_path_of_builds());
    let beside = store.begin_build().unwrap();
    assert!(!beside.has_path_of_builds() && beside.path() != path);
    shell(&path, "echo first > file");
    assert!(commit(seal(first)).changed);
    // The lock of a killed build may be inherited. The stage is not debris until the heir ends.
    let killed = store.begin_build().unwrap();
    assert_eq!(killed.path(), path);
    shell(&path, "echo half > file");
    let inherited = killed.lock().try_clone_to_owned().unwrap();
    std::mem::forget(killed);
    assert!(!store.begin_build().unwrap().has_path_of_builds());
    assert!(path.join("file").exists());
    // `forget` keeps this process's own descriptor open, so the lock itself is released.
    fs::File::from(inherited).unlock().unwrap();
    let next = store.begin_build().unwrap();
    assert_eq!((next.path(), fs::read_dir(&path).unwrap().count()), (path.as_path(), 0));
    // Its id is used again, so no claim may name it.
    refused(next.leave_to(Owner::Until(at(2_000_000))), "stage-of-build", "cannot be left to an owner");
    assert!(store.begin_build().unwrap().has_path_of_builds());
    drop(beside);
    assert_eq!(place.debris(), [""; 0]);
}

#[test]
fn whoever_begins_a_stage_removes_what_nobody_owns_first() {
    let place = Place::new();
    let store = place.open();
    let left = store.begin().unwrap().leave_to(Owner::Until(at(1_000_001))).unwrap();
    place.wait(1);
    let stage = store.begin().unwrap();
    let names = place.debris();
    assert!(names.iter().all(|name| !name.contains(left.as_str())), "{names:?}");
    drop(stage);
    assert_eq!(place.debris(), [""; 0]);
}

#[test]
fn a_commit_that_fails_leaves_the_stage_for_another_try() {
    let place = Place::new();
    let store = place.open();
    assert!(publish(&store, "first").changed);
    let stage = store.begin().unwrap();
    shell(stage.path(), "echo second > file");
    let id = stage.leave_to(Owner::Process(std::process::id())).unwrap();
    let staged = seal(store.resume(&id).unwrap());
    let lost = CommitOptions::default().expect(Expect::Unborn);
    assert!(matches!(staged.unaudited().commit(&lost), Err(Error::Lost { .. })));
    let done = commit(seal(store.resume(&id).unwrap()));
    assert_eq!(done.generation.get(), 2);
    assert_eq!(place.debris(), [""; 0]);
    refused(store.resume(&id), "stage-committed", "it is generation 2");
    // Also if it is only kept.
    let stage = store.begin().unwrap();
    shell(stage.path(), "echo third > file");
    let id = stage.leave_to(Owner::Process(std::process::id())).unwrap();
    let kept = CommitOptions::default().activate(Activate::Never);
    assert!(seal(store.resume(&id).unwrap()).unaudited().commit(&kept).unwrap().changed);
    refused(store.resume(&id), "stage-committed", "it is generation 3");
    assert_clean(&store);
}

#[test]
fn a_refused_stage_is_told_so() {
    let place = Place::new();
    let store = place.open();
    let stage = store.begin().unwrap();
    shell(stage.path(), "echo bad > file");
    let id = stage.leave_to(Owner::Process(std::process::id())).unwrap();
    let rules = AuditRules::default().max_total(1);
    let Judged::Rejected(rejected) = seal(store.resume(&id).unwrap()).audit(&rules).unwrap() else {
        panic!("it is too large");
    };
    let kept = rejected.keep(KeepFailed::default()).unwrap();
    assert_eq!(fs::read_to_string(kept.path.join("tree/file")).unwrap(), "bad\n");
    assert_eq!(place.debris(), [""; 0]);
    refused(store.resume(&id), "stage-refused", "kept as failed/1");
}

#[test]
fn the_log_of_a_build_stays_with_what_it_made() {
    let place = Place::new();
    let store = place.open();
    let write = |stage: &Stage<'_>, text: &str| stage.log().unwrap().write_all(text.as_bytes()).unwrap();
    let stage = store.begin().unwrap();
    write(&stage, "built\n");
    write_tree(stage.path(), &things(0, &[("a", "=1")]));
    drop(commit(seal(stage)));
    let generation = place.path().join("generations/1");
    assert_eq!(fs::read_to_string(generation.join("build.log")).unwrap(), "built\n");
    assert_clean(&store);
    for number in 1..=3 {
        let stage = store.begin().unwrap();
        write(&stage, "broken\n");
        let failed = stage.fail("exit status 7", KeepFailed::default().count(2).bytes(100)).unwrap();
        assert_eq!(failed.number, number);
        assert_eq!(fs::read_to_string(failed.path.join("build.log")).unwrap(), "broken\n");
    }
    let mut left: Vec<_> =
        fs::read_dir(place.path().join("failed")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["2", "3"], "the newest two");
    assert_eq!(place.debris(), [""; 0]);
}

/// The directory that the store created for a program, and the entry that the program put in its place.
#[test]
fn what_takes_the_place_of_the_output_is_refused_and_not_touched() {
    for script in [
        "ln -s \"$OUTSIDE\" out",
        "ln -s ../../generations/1/tree out",
        "ln -s .. out",
        "mv \"$OUTSIDE/../given\" out",
        "mv ../../generations/2 out",
        "echo 1 > out",
        "mkfifo out",
        "true",
    ] {
        for resumed in [false, true] {
            let place = Place::new();
            let store = place.open();
            for content in ["1", "2", "3"] {
                drop(publish(&store, content));
            }
            let bystanders = Bystanders::make(&place.dir.path().join("outside"));
            drop(Bystanders::make(&place.dir.path().join("given")));
            settle(place.dir.path());
            let first = Bystanders::watch(&place.path().join("generations/1"));
            let stage = store.begin().unwrap();
            let folder = stage.path().parent().unwrap().to_owned();
            let replace = || {
                let script = format!("OUTSIDE={}; rmdir out; {script}", bystanders.path().display());
                shell(&folder, &script);
            };
            let stage = match resumed {
                false => stage,
                true => {
                    let id = stage.leave_to(Owner::Process(std::process::id())).unwrap();
                    replace();
                    store.resume(&id).unwrap()
                }
            };
            if !resumed {
                replace();
            }
            assert_eq!(stage.path(), folder.join("out"));
            let moved = script.contains("given").then(|| Bystanders::watch(&folder.join("out")));
            refused(stage.scan(&ScanRules::default()), "stage-output-replaced", "is not the directory");
            if let Some(moved) = moved {
                moved.check(script);
            }
            let sealed = stage.seal(&ScanRules::default(), StageOptions::default());
            refused(sealed.map(drop), "stage-output-replaced", "is not the directory");
            bystanders.check(script);
            first.check(script);
            assert_eq!(folder.try_exists().unwrap(), resumed, "{script}: it is its owner's");
        }
    }
}

#[test]
fn a_program_may_make_the_output_anew() {
    for resumed in [false, true] {
        let place = Place::new();
        let store = place.open();
        let stage = store.begin().unwrap();
        shell(stage.path().parent().unwrap(), "rm -r out; mkdir out; echo 1 > out/file");
        let stage = match resumed {
            false => stage,
            true => {
                let id = stage.leave_to(Owner::Process(std::process::id())).unwrap();
                store.resume(&id).unwrap()
            }
        };
        drop(commit(seal(stage)));
        assert_eq!(fs::read(place.path().join("current/file")).unwrap(), b"1\n");
    }
}

#[test]
fn a_claim_of_an_older_program_says_nothing_of_the_output() {
    let place = Place::new();
    let store = place.open();
    let stage = store.begin().unwrap();
    fs::write(stage.path().join("file"), "1").unwrap();
    let id = stage.leave_to(Owner::Process(std::process::id())).unwrap();
    let claim = place.path().join(format!("staging/s-{id}.claim"));
    let text = fs::read_to_string(&claim).unwrap();
    let (line, _) = text.split_once('\n').unwrap();
    let (before, after) = line.split_once(",\"out\":{").expect("a claim names the directory");
    let line = format!("{before}{}", &after[after.find('}').unwrap() + 1..].trim_start_matches('}'));
    let line = if line.ends_with('}') { line } else { format!("{line}}}") };
    fs::write(&claim, format!("{line}\n{}\n", Digest::of(line.as_bytes()))).unwrap();
    drop(commit(seal(store.resume(&id).unwrap())));
    assert_eq!(fs::read(place.path().join("current/file")).unwrap(), b"1");
}

#[test]
fn a_claim_that_a_power_loss_tore_is_over() {
    let place = Place::new();
    let store = place.open();
    // Claims are not flushed, so all bytes of a claim may be missing or zeros, or its stage may be
    // missing.
    type Tear = fn(&Path);
    let torn: [(&str, Tear); 3] = [
        ("empty", |claim| fs::write(claim, "").unwrap()),
        ("zeros", |claim| fs::write(claim, [0; 300]).unwrap()),
        ("alone", |claim| {
            fs::remove_dir_all(claim.with_extension("")).unwrap();
            fs::remove_file(claim.with_extension("lock")).unwrap();
        }),
    ];
    for (what, tear) in torn {
        let owner = Owner::Process(std::process::id());
        let [resumed, swept] = [(); 2].map(|()| store.begin().unwrap().leave_to(owner).unwrap());
        for id in [&resumed, &swept] {
            tear(&place.path().join(format!("staging/s-{id}.claim")));
        }
        if what != "alone" {
            refused(store.resume(&resumed), "stage-expired", "the system was rebooted");
        }
        assert!(publish(&store, what).changed);
        assert_eq!(place.debris(), [""; 0], "{what}");
    }
    // A claim with other content is left to its owner.
    let id = store.begin().unwrap().leave_to(Owner::Process(std::process::id())).unwrap();
    fs::write(place.path().join(format!("staging/s-{id}.claim")), "{}\n").unwrap();
    assert!(publish(&store, "beside a damaged claim").changed);
    assert_eq!(place.debris().len(), 3);
}

#[test]
fn beginning_and_leaving_a_stage_flushes_nothing() {
    let place = Place::new();
    assert!(publish(&place.open(), "first").changed);
    let faults = genstore::faults::Faults::record();
    let mut options = Options::new(Arc::new(|| at(1_000_000)));
    options.faults = faults.clone();
    let store = Store::open(&place.path(), options).unwrap();
    let id = store.begin().unwrap().leave_to(Owner::Until(at(2_000_000))).unwrap();
    store.resume(&id).unwrap().abort().unwrap();
    let calls = faults.seen();
    assert!(calls.iter().any(|call| call.starts_with("mkdir ")), "{calls:#?}");
    // Files in staging under the name of a temporary record are for the holder of the commit lock.
    assert!(!calls.iter().any(|call| call.contains("/tmp-")), "{calls:#?}");
    let flushes: Vec<_> = calls.iter().filter(|call| call.contains("sync")).collect();
    assert_eq!(flushes, [""; 0], "{calls:#?}");
}
