//! Concurrent publishers that recycle, readers, and gc.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use super::*;

/// Checks a generation, which a lease keeps meanwhile.
fn check_whole(generation: &genstore::Generation) {
    let tree = generation.manifest().unwrap().tree;
    let shown = read_tree(&generation.path()).unwrap();
    assert_eq!(shown.len(), tree.len(), "{}", generation.id());
    for (path, file) in tree.iter_files() {
        let path = std::str::from_utf8(path).unwrap();
        match &shown[path] {
            Thing::File(bytes, _, _) => assert_eq!(Digest::of(bytes), file.digest, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// Decrements a counter, also if its thread panics: others wait for it.
struct AtEnd<'a>(&'a AtomicUsize);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[test]
fn publishers_collectors_and_readers_get_along() {
    const ROUNDS: u64 = 25;
    let place = Place::new();
    let _outside = Bystanders::make(&place.0.path().join("outside"));
    drop(place.publish(&tree_a()));
    let recycled = AtomicUsize::new(0);
    let publishing = AtomicUsize::new(2);
    let at_work = || publishing.load(Relaxed) > 0;
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let (place, recycled, publishing) = (&place, &recycled, &publishing);
            scope.spawn(move || {
                let _end = AtEnd(publishing);
                let source = place.0.path().join(format!("source-{publisher}"));
                fs::create_dir(source.with_extension("wait")).unwrap();
                let mut last = None;
                // Any way in turn. A source that is not consumed is changed in place.
                for (round, way) in (0..ROUNDS).zip(Way::ALL.into_iter().cycle()) {
                    let mut tree = if round % 3 == 0 { tree_a() } else { tree_c() };
                    let text = format!("={publisher} {round}");
                    tree.extend(things(2_000 + round, &[("mine/a", &text), ("d/mine", &text)]));
                    match &last {
                        Some(last) => change_tree(&source, last, &tree),
                        None => write_tree(&source, &tree),
                    }
                    if last.is_none() && !way.consume {
                        settle(&source.with_extension("wait"));
                    }
                    let done = publish_in(&place.open(), &source, way);
                    assert!(done.changed && done.warnings.is_empty(), "{way}: {done:?}");
                    last = (!way.consume).then_some(tree);
                    recycled.fetch_add(usize::from(done.recycled.is_some()), Relaxed);
                }
            });
        }
        for nth in 0..2 {
            let (place, at_work) = (&place, &at_work);
            scope.spawn(move || {
                let store = place.open();
                while at_work() {
                    let ids: Vec<_> = store.list().unwrap().generations.iter().map(|g| g.id).collect();
                    // One reads the current generation, the other one that is about to be removed.
                    let id = if nth == 0 { ids.first() } else { ids.last() };
                    match store.open_generation(&Rev::Number(*id.unwrap())) {
                        Ok(generation) => check_whole(&generation),
                        Err(Error::UnknownRev { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            let store = place.open();
            while at_work() {
                let plan = store.plan_gc(&LAST.keep_last(3)).unwrap();
                drop(store.collect(&plan).unwrap());
                let report = store.verify(None, Depth::Quick).unwrap();
                assert!(report.is_clean(), "{report:#?}");
            }
        });
    });
    let store = place.open();
    assert!(recycled.load(Relaxed) > 0, "nothing was recycled");
    let plan = store.plan_gc(&LAST).unwrap();
    drop(store.collect(&plan).unwrap());
    assert_clean(&store);
    assert_eq!(debris(&place.store()), [""; 0]);
}
