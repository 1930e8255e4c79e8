//! Concurrent publishers, readers and gc.

use std::sync::Barrier;

use super::*;

#[test]
fn a_lost_race_says_who_and_when() {
    let (_dir, store, _outside) = guarded();
    drop(commit(&store, &plan_of(&[("a", "=1")])).unwrap());
    let staged = store.stage(&plan_of(&[("a", "=mine")]), StageOptions::default()).unwrap();
    let mut options = ticking(2_000_000);
    options.actor = "somebody else".to_owned();
    let other = Store::open(store.path(), options).unwrap();
    drop(commit(&other, &plan_of(&[("a", "=theirs")])).unwrap());
    let expect = Expect::Current(id(1));
    let lost = staged.unaudited().commit(&CommitOptions::default().expect(expect)).unwrap_err();
    match lost {
        Error::Lost { expected, found, by, at } => {
            assert_eq!((expected, found), (Some(id(1)), Some(id(2))));
            assert_eq!(by.as_deref(), Some("somebody else"));
            assert!(at.unwrap() >= genstore_testkit::at(2_000_000));
        }
        other => panic!("{other}"),
    }
    assert_eq!(debris(store.path()), [""; 0]);
    assert_eq!(store.current().unwrap(), Some(id(2)));
}

#[test]
fn a_rollback_that_was_overtaken_while_it_waited_is_lost() {
    let dir = scratch();
    let store = open(dir.path());
    publish_numbers(&store, 1..=3);
    let lock = |name: &str| fs::File::open(store.path().join(name)).unwrap();
    let writer = lock("locks/commit");
    writer.lock().unwrap();
    let done = std::thread::scope(|scope| {
        let rollback = scope.spawn(|| open(dir.path()).rollback(1, MarkLeft::Bad));
        // It has read the current generation once it holds the store lock, and waits for this writer.
        let exclusive = lock("locks/store");
        while exclusive.try_lock().is_ok() {
            exclusive.unlock().unwrap();
            std::thread::yield_now();
        }
        fs::remove_file(store.path().join("current")).unwrap();
        symlink("generations/2/tree", store.path().join("current")).unwrap();
        drop(writer);
        rollback.join().unwrap()
    });
    assert!(
        matches!(done, Err(Error::Lost { expected, found, .. }) if (expected, found) == (Some(id(3)), Some(id(2))))
    );
    assert_eq!(store.current().unwrap(), Some(id(2)));
    assert_eq!(store.hold().unwrap(), None);
}

#[test]
fn of_publishers_that_expect_the_same_exactly_one_wins() {
    let dir = scratch();
    let _outside = Bystanders::make(&dir.path().join("bystanders"));
    let path = dir.path().join("store");
    let rounds = 12;
    let barrier = Barrier::new(4);
    drop(commit(&open(dir.path()), &plan_of(&[("n", "=start")])).unwrap());
    let (wins, losses): (u64, u64) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (path, barrier) = (&path, &barrier);
                let source = dir.path().join(format!("source-{worker}"));
                scope.spawn(move || {
                    let store = Store::open(path, ticking(1_000_000)).unwrap();
                    // Nothing may panic before the last round: the others wait.
                    let (mut wins, mut losses) = (0, 0);
                    for (round, way) in (0..rounds).zip(Way::ALL.into_iter().cycle().skip(worker)) {
                        barrier.wait();
                        let expect = Expect::Current(store.current().unwrap().unwrap());
                        barrier.wait();
                        let text = format!("={worker} {round}");
                        let tree = things(1_000, &[("n", &text), ("same", "=s"), ("too", "=s")]);
                        write_tree(&source, &tree);
                        let plan = Plan::scan(&source, &ScanRules::default()).unwrap();
                        let options = CommitOptions::default().expect(expect);
                        let staged = store.stage(&plan, way.staging()).unwrap();
                        match staged.unaudited().commit(&options) {
                            Ok(_) => wins += 1,
                            // A publisher that lost the race still has all sources to be consumed.
                            Err(Error::Lost { .. }) => {
                                let left = read_tree(&source).unwrap();
                                losses += u64::from(same_content(&left, &tree));
                            }
                            Err(e) => panic!("{way}: {e}"),
                        }
                    }
                    (wins, losses)
                })
            })
            .collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap());
        ends.fold((0, 0), |sum, end| (sum.0 + end.0, sum.1 + end.1))
    });
    assert_eq!((wins, losses), (rounds, 3 * rounds));
    let store = open(dir.path());
    assert_eq!(store.current().unwrap(), Some(id(1 + rounds)));
    assert_clean(&store);
}

#[test]
fn publishers_readers_and_gc_do_not_harm_each_other() {
    let dir = scratch();
    let _outside = Bystanders::make(&dir.path().join("bystanders"));
    publish_read_and_collect(dir.path());
    let store = open(dir.path());
    drop(collect(&store, 1));
    assert_clean(&store);
}

/// In generations that neither gc's nor the publishers' rules keep, and in a stage without an owner.
#[test]
fn publishers_and_gc_leave_alone_what_is_mounted_inside() {
    needs!(in_own_mounts(publishers_and_gc_leave_alone_what_is_mounted_inside));
    let dir = scratch();
    let outside = Bystanders::make(&dir.path().join("bystanders"));
    let store = open(dir.path());
    for text in ["1", "2", "3"] {
        let done = commit(
            &store,
            &plan_of(&[
                ("a", &format!("={text}")),
                ("b", &format!("={text}")),
                ("d/x", &format!("={text}")),
            ]),
        )
        .unwrap();
        bind(outside.path(), &store.path().join(format!("generations/{}/tree/d", done.generation)));
    }
    let stage = store.begin().unwrap();
    bind(outside.path(), stage.path());
    drop(stage.leave_to(Owner::Until(at(1))).unwrap());
    publish_read_and_collect(dir.path());
    let left = collect(&store, 1).left;
    assert_eq!(left.len(), 4, "one in each: {left:?}");
    outside.check("with all of it mounted");
    unmount_below(dir.path());
    drop(commit(&store, &plan_of(&[("a", "=last"), ("b", "=last")])).unwrap());
    assert_eq!(collect(&store, 1).left, []);
    assert_eq!(debris(store.path()), [""; 0]);
    assert_clean(&store);
}

/// Two publishers, a reader and gc at once.
fn publish_read_and_collect(dir: &Path) {
    let path = dir.join("store");
    drop(commit(&open(dir), &plan_of(&[("a", "=0"), ("b", "=0")])).unwrap());
    let working = AtomicU64::new(2);
    let busy = || working.load(Ordering::Relaxed) > 0;
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (path, working) = (&path, &working);
            let dir = dir.join(format!("publisher-{worker}"));
            fs::create_dir(&dir).unwrap();
            scope.spawn(move || {
                let store = Store::open(path, ticking(1_000_000)).unwrap();
                for (round, way) in (0..40).zip(Way::ALL.into_iter().cycle()) {
                    // Few contents, so that objects are created, removed and created again.
                    let text = format!("={}", (worker + round) % 5);
                    drop(publish_in(way, &store, &dir, &things(1_000, &[("a", &text), ("b", &text)])));
                }
                working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            let store = Store::open(&path, ticking(1_000_000)).unwrap();
            while busy() {
                drop(collect(&store, 1));
            }
        });
        scope.spawn(|| {
            let store = Store::open(&path, ticking(1_000_000)).unwrap();
            while busy() {
                // A leased generation stays complete, although gc tries to remove everything.
                let Ok(generation) = store.open_generation(&"@".parse().unwrap()) else {
                    continue;
                };
                let read = |name: &str| fs::read(generation.path().join(name)).unwrap();
                assert_eq!(read("a"), read("b"), "one generation, one build");
            }
        });
    });
}

#[test]
fn stages_are_begun_left_resumed_and_ended_beside_other_writers() {
    let dir = scratch();
    let path = dir.path().join("store");
    drop(commit(&open(dir.path()), &plan_of(&[("a", "=0")])).unwrap());
    let working = AtomicU64::new(2);
    let busy = || working.load(Ordering::Relaxed) > 0;
    let done: u64 = std::thread::scope(|scope| {
        let owners: Vec<_> = (0..2)
            .map(|_| {
                let (path, working) = (&path, &working);
                scope.spawn(move || {
                    let store = Store::open(path, ticking(1_000_000)).unwrap();
                    let owner = Owner::Process(std::process::id());
                    let round = |number: u64| -> genstore::Result<()> {
                        let stage = store.begin()?;
                        fs::write(stage.path().join("b"), number.to_string()).unwrap();
                        let left = stage.leave_to(owner)?;
                        // Left once more by a process that resumed it.
                        let left = store.resume(&left)?.leave_to(owner)?;
                        let resumed = store.resume(&left)?;
                        match number % 10 {
                            0 => {
                                let sealed =
                                    resumed.seal(&ScanRules::default(), StageOptions::default())?;
                                sealed.unaudited().commit(&CommitOptions::default()).map(drop)
                            }
                            _ => resumed.abort(),
                        }
                    };
                    let results: Vec<_> = (0..20).map(round).collect();
                    working.fetch_sub(1, Ordering::Relaxed);
                    let failed: Vec<_> =
                        results.iter().filter_map(|result| result.as_ref().err()).collect();
                    assert!(failed.is_empty(), "{} of 20: {failed:?}", failed.len());
                    results.len() as u64
                })
            })
            .collect();
        scope.spawn(|| {
            let store = Store::open(&path, ticking(1_000_000)).unwrap();
            while busy() {
                store.mark(&"1".parse().unwrap(), Mark::Good, None).unwrap();
            }
        });
        owners.into_iter().map(|owner| owner.join().unwrap()).sum()
    });
    assert_eq!(done, 40);
    let store = open(dir.path());
    assert_clean(&store);
    assert_eq!(debris(&path), [""; 0]);
}
