//! The generations that a rollback and gc skip, keep and remove.

use genstore::gc::Reason;
use genstore::plan::Symlinks;

use super::*;

/// Current, pinned, leased and retained generations are not collected (INV-13).
#[test]
fn rollback_passes_over_what_is_marked_and_gc_keeps_what_it_must() {
    let (_dir, store, _outside) = guarded();
    publish_numbers(&store, 1..=5);
    store.mark(&"4".parse().unwrap(), Mark::Bad, None).unwrap();
    let back = store.rollback(1, MarkLeft::Bad).unwrap();
    assert_eq!((back.generation, back.previous), (id(3), Some(id(5))));
    store.pin(&"1".parse().unwrap(), &"first".parse().unwrap(), None, None).unwrap();
    let lease = store.open_generation(&"4".parse().unwrap()).unwrap();
    let rule = Retention::only_last(1);
    let plan = store.plan_gc(&rule).unwrap();
    let done = store.collect(&plan).unwrap();
    assert_eq!(plan.removed(), done.generations);
    assert_eq!(done.generations, [id(5), id(2)], "4 is leased, 3 is current, 1 is pinned");
    assert_eq!((plan.objects(), plan.freed_bytes), (done.objects, done.freed_bytes));
    assert_eq!(object_inodes(store.path()).len(), 3);
    drop(lease);
    assert_eq!(collect(&store, 0).generations, [id(4)]);
    // Numbers are never used again.
    assert_eq!(commit(&store, &plan_of(&[("n", "=6")])).unwrap().generation, id(6));
    assert!(matches!(
        store.rollback(9, MarkLeft::Bad),
        Err(Error::Refused { kind: RefusedKind::NothingOlder, .. })
    ));
}

/// Publishes contents, one after the other. A content that ends with `-` is only kept.
fn publish_all(store: &Store, contents: &[&str]) {
    for content in contents {
        let publish = if content.ends_with('-') { keep } else { commit };
        drop(publish(store, &plan_of(&[("n", &format!("={content}"))])).unwrap());
    }
}

#[test]
fn rollback_goes_to_what_was_current_whatever_is_left_of_the_log() {
    type Harm = Box<dyn Fn(&Path)>;
    fn is_of(line: &str, number: u64) -> bool {
        line.contains(&format!("\"generation\":{number},"))
    }
    let log = |change: fn(&str) -> String| {
        move |store: &Path| {
            let path = store.join("log");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, change(&text)).unwrap();
        }
    };
    let without_deltas = |store: &Path| {
        fs::remove_file(store.join("log")).unwrap();
        for number in 1..=5 {
            drop(fs::remove_file(store.join(format!("generations/{number}/delta"))));
        }
    };
    let without_activation = |number: u64| {
        move |store: &Path| {
            let path = store.join("log");
            let text = fs::read_to_string(&path).unwrap();
            let is_it = |line: &&str| is_of(line, number) && line.contains("\"event\":\"activate\"");
            let left = text.lines().filter(|line| !is_it(line)).map(|line| format!("{line}\n"));
            fs::write(&path, left.collect::<String>()).unwrap();
        }
    };
    let harms: [(&str, Harm, u64); 9] = [
        ("none", Box::new(|_: &Path| {}), 2),
        ("no log", Box::new(|store: &Path| fs::remove_file(store.join("log")).unwrap()), 2),
        ("an empty log", Box::new(log(|_| String::new())), 2),
        ("a log of zeros", Box::new(log(|text| "\0".repeat(text.len()))), 2),
        // The activation after 2 shows that 2 was current. If that line is lost, its own line shows it.
        ("no activation of 2", Box::new(without_activation(2)), 2),
        ("no activation of 5", Box::new(without_activation(5)), 2),
        // The activation after it shows that it was current. No line shows it for 3 and 4.
        (
            "no line of 2",
            Box::new(log(|text| {
                text.lines().filter(|line| !is_of(line, 2)).map(|line| format!("{line}\n")).collect()
            })),
            2,
        ),
        (
            "no line before 5",
            Box::new(log(|text| {
                text.lines().filter(|line| is_of(line, 5)).map(|line| format!("{line}\n")).collect()
            })),
            2,
        ),
        // Then every generation counts as having been current.
        ("neither log nor differences", Box::new(without_deltas), 4),
    ];
    for (what, harm, expected) in harms {
        let dir = scratch();
        let store = open(dir.path());
        publish_all(&store, &["1", "2", "3-", "4-", "5"]);
        harm(store.path());
        assert_eq!(store.rollback(1, MarkLeft::Bad).unwrap().generation, id(expected), "{what}");
    }
}

#[test]
fn what_is_named_by_its_number_needs_no_other_generation() {
    let dir = scratch();
    let store = open(dir.path());
    publish_all(&store, &["1", "2", "3", "4", "5"]);
    for number in [1, 2, 5] {
        fs::remove_file(store.path().join(format!("generations/{number}/manifest"))).unwrap();
    }
    let rule = Retention::only_last(2);
    assert_eq!(store.open_generation(&"3".parse().unwrap()).unwrap().id(), id(3));
    assert_eq!(store.resolve(&"@".parse().unwrap()).unwrap(), id(5));
    let reasons = |number| store.verdict(id(number), &rule).unwrap().unwrap().reasons;
    assert_eq!((reasons(3), reasons(4)), (vec![], vec![Reason::Last(2)]));
    assert!(store.plan_gc(&rule).is_err());
}

/// Returns the number of bytes that this thread has read. `None` if the system does not report it.
fn bytes_read() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

#[test]
fn a_rollback_reads_two_manifests_and_the_end_of_the_log() {
    let dir = scratch();
    let store = open(dir.path());
    publish_all(&store, &["1", "2", "3-", "4", "5"]);
    for number in [1, 3] {
        fs::remove_file(store.path().join(format!("generations/{number}/manifest"))).unwrap();
    }
    let log = store.path().join("log");
    let lines = fs::read_to_string(&log).unwrap();
    fs::write(&log, "an older line\n".repeat(1 << 20) + &lines).unwrap();
    let before = bytes_read();
    for expected in [4, 2] {
        assert_eq!(store.rollback(1, MarkLeft::Bad).unwrap().generation, id(expected));
    }
    match bytes_read().zip(before) {
        Some((after, before)) => assert!(after - before < 1 << 20, "{} bytes were read", after - before),
        None => skip_on_this_machine("the system does not count what is read"),
    }
}

#[test]
fn gc_drops_the_lines_of_generations_that_are_gone_once_the_log_is_long() {
    let dir = scratch();
    let store = open(dir.path());
    publish_all(&store, &["1", "2", "3"]);
    let log = store.path().join("log");
    let lines = || -> Vec<(u64, bool)> {
        let text = fs::read_to_string(&log).unwrap();
        let number = |line: &str| -> u64 {
            let (_, rest) = line.split_once("\"generation\":").unwrap();
            rest.split_once(',').unwrap().0.parse().unwrap()
        };
        let of_one = text.lines().filter(|line| line.contains("\"generation\":"));
        of_one.map(|line| (number(line), line.contains("\"event\":\"publish\""))).collect()
    };
    let collections = || {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.contains("\"event\":\"gc\"")).count()
    };
    store.pin(&"1".parse().unwrap(), &"gone".parse().unwrap(), None, None).unwrap();
    store.unpin(&"gone".parse().unwrap()).unwrap();
    assert_eq!(collect(&store, 2).generations, [id(1)]);
    let made = [(1, true), (1, false), (2, true), (2, false), (3, true), (3, false)];
    let all = [&made[..], &[(1, false), (1, false)]].concat();
    assert_eq!(lines(), all, "it is short");
    let text = fs::read_to_string(&log).unwrap();
    let long = text.lines().next().unwrap().to_owned() + "\n";
    fs::write(&log, long.repeat((1 << 20) / long.len() + 1) + &text).unwrap();
    drop(collect(&store, 2));
    assert_eq!(lines(), made[2..]);
    assert_eq!(collections(), 1, "the lines about no single generation stay");
    assert_eq!(store.list().unwrap().generations.len(), 2);
    assert_eq!(store.rollback(1, MarkLeft::Bad).unwrap().generation, id(2));
}

#[test]
fn one_verdict_is_that_of_all() {
    let dir = scratch();
    let (store, now) = with_clock(dir.path(), 10_000);
    // The clock runs years ahead for two publications, and is set back a long time for one.
    for (secs, contents) in [
        (10_000, &["1", "2-"][..]),
        (1 << 33, &["3", "4-"]),
        (10_100, &["5"]),
        (10, &["6"]),
        (10_200, &["7", "8-"]),
    ] {
        now.store(secs, Ordering::Relaxed);
        publish_all(&store, contents);
    }
    store.mark(&"7".parse().unwrap(), Mark::Bad, None).unwrap();
    store.pin(&"1".parse().unwrap(), &"first".parse().unwrap(), None, None).unwrap();
    let lease = store.open_generation(&"4".parse().unwrap()).unwrap();
    let mut kept = Vec::new();
    for harm in ["", "log"] {
        if !harm.is_empty() {
            fs::remove_file(store.path().join(harm)).unwrap();
        }
        for (last, secs, grace) in [(0, 0, 0), (2, 0, 0), (0, 150, 0), (0, 0, 150), (9, 1 << 34, 1 << 34)] {
            let (within, grace) = (Duration::from_secs(secs), Duration::from_secs(grace));
            let rule = Retention::only_last(last).keep_within(within).grace(grace);
            let all = store.plan_gc(&rule).unwrap().verdicts;
            for verdict in &all {
                assert_eq!(
                    store.verdict(verdict.id, &rule).unwrap().as_ref(),
                    Some(verdict),
                    "{harm} {rule:?}"
                );
            }
            let ids = all.iter().filter(|verdict| verdict.keeps()).map(|verdict| verdict.id.get());
            kept.push((harm, last, secs, ids.collect::<Vec<_>>()));
        }
    }
    drop(lease);
    // Without the lease and the pin, a generation from the clock that ran ahead is kept no longer than
    // the next one.
    store.unpin(&"first".parse().unwrap()).unwrap();
    assert_eq!(kept[2], ("", 0, 150, vec![8, 7, 5, 4, 3, 1]));
    now.store(10_251, Ordering::Relaxed);
    let rule = Retention::only_last(0).keep_within(Duration::from_secs(150));
    assert_eq!(store.plan_gc(&rule).unwrap().removed(), [id(6), id(5), id(4), id(3), id(2), id(1)]);
}

#[test]
fn what_was_left_while_a_clock_ran_ahead_has_no_grace_for_years() {
    let dir = scratch();
    let (store, now) = with_clock(dir.path(), 10_000);
    for (secs, content) in [(10_000, "1"), (1 << 33, "2"), (10_100, "3")] {
        now.store(secs, Ordering::Relaxed);
        publish_all(&store, &[content]);
    }
    let rule = Retention::default().keep_last(0).grace(Duration::from_secs(100));
    assert_eq!(store.plan_gc(&rule).unwrap().removed(), []);
    now.store(10_200, Ordering::Relaxed);
    assert_eq!(store.plan_gc(&rule).unwrap().removed(), [id(2), id(1)]);
}

#[test]
fn what_was_made_while_a_clock_ran_ahead_is_as_old_as_what_came_next_though_that_is_gone() {
    let dir = scratch();
    let (store, now) = with_clock(dir.path(), 10_000);
    for (secs, content) in [(10_000, "1"), (1 << 33, "2-"), (10_100, "3")] {
        now.store(secs, Ordering::Relaxed);
        publish_all(&store, &[content]);
    }
    drop(store.activate(&"1".parse().unwrap(), Expect::Any).unwrap());
    let within = |secs| Retention::only_last(0).keep_within(Duration::from_secs(secs));
    store.pin(&"2".parse().unwrap(), &"meanwhile".parse().unwrap(), None, None).unwrap();
    now.store(20_000, Ordering::Relaxed);
    let done = store.collect(&store.plan_gc(&within(150)).unwrap()).unwrap();
    assert_eq!(done.generations, [id(3)]);
    store.unpin(&"meanwhile".parse().unwrap()).unwrap();
    assert_eq!(store.plan_gc(&within(9_900)).unwrap().removed(), []);
    assert_eq!(store.plan_gc(&within(9_899)).unwrap().removed(), [id(2)]);
}

#[test]
fn what_the_log_lost_has_its_grace_all_the_same() {
    type Harm = fn(&str) -> String;
    let harms: [(&str, Harm); 2] = [
        ("all of it", |_| String::new()),
        ("its last line", |text| text.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n"),
    ];
    for (what, harm) in harms {
        let dir = scratch();
        let store =
            Store::init(&dir.path().join("store"), Options::new(Arc::new(SystemTime::now))).unwrap().store;
        publish_all(&store, &["1", "2"]);
        let log = store.path().join("log");
        let left = harm(&fs::read_to_string(&log).unwrap());
        fs::write(&log, left).unwrap();
        let grace = Duration::from_secs(3600);
        let rule = Retention::default().keep_last(0).grace(grace);
        let all = store.plan_gc(&rule).unwrap().verdicts;
        let reasons: Vec<_> = all.iter().map(|verdict| &*verdict.reasons).collect();
        assert_eq!(reasons, [[Reason::Current], [Reason::Grace(grace)]], "{what}");
        for verdict in &all {
            assert_eq!(store.verdict(verdict.id, &rule).unwrap().as_ref(), Some(verdict), "{what}");
        }
    }
}

#[test]
fn gc_does_no_more_than_its_plan_and_less_if_it_must() {
    let (_dir, store, _outside) = guarded();
    publish_numbers(&store, 1..=3);
    let rule = Retention::only_last(1);
    let plan = store.plan_gc(&rule).unwrap();
    assert_eq!(plan.removed(), [id(2), id(1)]);
    store.pin(&"2".parse().unwrap(), &"late".parse().unwrap(), None, None).unwrap();
    drop(commit(&store, &plan_of(&[("n", "=4")])).unwrap());
    let done = store.collect(&plan).unwrap();
    assert_eq!((done.generations, done.spared), (vec![id(1)], vec![id(2)]));
    assert_eq!(store.list().unwrap().generations.len(), 3, "3 was in no plan");
    assert_clean(&store);
}

#[test]
fn gc_leaves_the_objects_of_generations_that_are_in_no_plan() {
    let (_dir, store, _outside) = guarded();
    for text in ["old", "new"] {
        drop(commit(&store, &plan_of(&[("n", &format!("={text}"))])).unwrap());
    }
    let rule = Retention::only_last(1);
    let plan = store.plan_gc(&rule).unwrap();
    assert_eq!((plan.removed(), plan.objects()), (vec![id(1)], 1));
    // The bytes are published again, and unreferenced again, by a generation that is not in the plan.
    for text in ["old", "newest"] {
        drop(commit(&store, &plan_of(&[("n", &format!("={text}"))])).unwrap());
    }
    let done = store.collect(&plan).unwrap();
    assert_eq!((done.generations, done.objects), (vec![id(1)], 0));
    assert_clean(&store);
    assert_eq!(collect(&store, 1).generations, [id(3), id(2)]);
    assert_eq!(object_inodes(store.path()).len(), 1);
}

/// Wide enough to be shared among threads, with entries at every level.
#[test]
fn gc_removes_a_wide_tree_and_nothing_that_its_symlinks_lead_to() {
    let (dir, store, _outside) = guarded();
    let outside = dir.path().join("outside");
    write_tree(&outside, &things(1_000, &[("kept", "=1"), ("below/kept", "=2")]));
    let mut plan = Plan::builder().symlinks(Symlinks::Any).file("file", Source::Bytes(b"0".to_vec()));
    for folder in (0..12).flat_map(|a| (0..12).map(move |b| format!("{a}/{b}"))) {
        let bytes = Source::Bytes(folder.clone().into_bytes());
        plan = plan.file(format!("{folder}/c/file"), bytes).dir(format!("{folder}/c/empty"));
        for level in [folder.clone(), format!("{folder}/c")] {
            plan = plan.symlink(format!("{level}/link"), outside.to_str().unwrap());
        }
    }
    drop(commit(&store, &plan.build().unwrap()).unwrap());
    // Folders that nobody may list or change do not hinder gc.
    let tree = store.path().join("generations/1/tree");
    for folder in ["3", "3/3", "3/3/c"] {
        fs::set_permissions(tree.join(folder), fs::Permissions::from_mode(0o000)).unwrap();
    }
    drop(commit(&store, &plan_of(&[("flat", "=1")])).unwrap());
    let done = collect(&store, 1);
    assert_eq!((done.generations, done.objects), (vec![id(1)], 145));
    assert_eq!(debris(store.path()), [""; 0]);
    assert_eq!(read_tree(&outside).unwrap().len(), 2);
    assert_clean(&store);
}
