//! The order of a commit, read from the calls that change the disk: nothing gets a name before it is
//! durable, and `current` moves last (`store-layout.md`, "Commit").

use crate::prelude::*;

fn publish(store: &Path, source: &Path, faults: Faults, durability: Durability, way: Way) -> Publication {
    let mut options = options(faults);
    options.durability = durability;
    genstore_testkit::publish(way, &Store::init(store, options).unwrap().store, source).unwrap()
}

/// Publishes twice, and returns the calls of the second publication.
fn calls(second: &[(&str, &str)], durability: Durability) -> Vec<String> {
    let first = things(1_000, &[("a", "=one"), ("b/c", "=two"), ("keep", "=k")]);
    calls_of_last(&[first, things(2_000, second)], durability, Way::PLAIN)
}

/// Publishes one tree after the other, and returns the calls of the last publication.
fn calls_of_last(trees: &[Things], durability: Durability, way: Way) -> Vec<String> {
    let dir = scratch();
    let (store, source) = (dir.path().join("store"), dir.path().join("source"));
    let mut faults = Faults::default();
    for tree in trees {
        write_tree(&source, tree);
        faults = Faults::record();
        drop(publish(&store, &source, faults.clone(), durability, way));
    }
    genstore_testkit::calls(&faults, &store)
}

fn position(calls: &[String], what: impl Fn(&str) -> bool) -> usize {
    calls.iter().position(|call| what(call)).unwrap_or_else(|| panic!("not among {calls:#?}"))
}

fn last(calls: &[String], what: impl Fn(&str) -> bool) -> usize {
    calls.iter().rposition(|call| what(call)).unwrap_or_else(|| panic!("not among {calls:#?}"))
}

fn check_order(calls: &[String]) {
    check_order_of(calls, 2);
}

fn check_order_of(calls: &[String], generation: u64) {
    // The intent is in `sequence`: it is durable before the first step of the change (INV-8). `shown`
    // is written, durably, once the objects have their names (step 4). The others are caches, which are
    // not flushed, and so is `naming`.
    let caches = ["/shown", "/sealed", "/index", "/delta", "/naming"];
    let is_later = |call: &str| caches.iter().any(|name| call.ends_with(name));
    let in_stage = |call: &str| call.contains("staging/s-") && !is_later(call);
    let is_flush = |call: &str| call.starts_with("fsync staging/") || call.starts_with("syncfs staging/");
    let first_name = position(calls, |c| c.starts_with("link objects/"));
    let last_data = last(calls, |c| in_stage(c) && (c.starts_with("write ") || c.starts_with("link ")));
    let flushed = last(&calls[..first_name], is_flush);
    let last_name = last(calls, |c| c.starts_with("link objects/"));
    let names_flushed = last(calls, |c| c.starts_with("fsync objects") || c.starts_with("syncfs objects"));
    let number = position(calls, |c| c == "rename sequence");
    let number_flushed = number + position(&calls[number..], |c| c == "fsync .");
    let placed = position(calls, |c| c == format!("rename generations/{generation}"));
    let placed_flushed = placed + position(&calls[placed..], |c| c == "fsync generations");
    let pointer = position(calls, |c| c == "rename current");
    let sealed = pointer + position(&calls[pointer..], |c| c == "fsync .");
    let notice = position(calls, |c| c == "write notice");
    let order = [
        last_data,
        flushed,
        first_name,
        last_name,
        names_flushed,
        number,
        number_flushed,
        placed,
        placed_flushed,
        pointer,
        sealed,
        notice,
    ];
    assert!(order.is_sorted(), "{order:?} in {calls:#?}");
    for (number, call) in calls.iter().enumerate().take(first_name).filter(|(_, call)| in_stage(call)) {
        let Some(path) = call.strip_prefix("write ") else { continue };
        let is_flush = |c: &str| c.starts_with("syncfs staging/") || c.strip_prefix("fsync ") == Some(path);
        assert!(calls[number..first_name].iter().any(|c| is_flush(c)), "{path} in {calls:#?}");
    }
}

#[test]
fn a_small_commit_flushes_file_by_file_and_in_order() {
    let calls = calls(&[("a", "=changed"), ("b/c", "=two"), ("new", "=n")], Durability::Full);
    check_order(&calls);
    assert!(!calls.iter().any(|call| call.starts_with("syncfs")), "{calls:#?}");
    // Every new file and every folder of the tree is flushed by name.
    for path in ["tree/a", "tree/new", "tree/b", "tree", "manifest"] {
        let wanted = format!("generation/{path}");
        assert!(
            calls.iter().any(|c| c.starts_with("fsync ") && c.ends_with(&wanted)),
            "{path}: {calls:#?}"
        );
    }
}

/// Each tree is mostly the same as the one before.
fn three_trees() -> [Things; 3] {
    let base = [("a", "=one"), ("b/c", "=two"), ("d/x", "=x"), ("d/y", "=y"), ("e", "="), ("f/g", "=g")];
    let mut trees = [things(1_000, &base), things(1_000, &base), things(1_000, &base)];
    trees[1].extend(things(1_000, &[("a", "=second")]));
    trees[2].extend(things(2_000, &[("a", "=third"), ("new/n", "=n")]));
    trees[2].remove("f/g");
    trees
}

#[test]
fn in_every_way_the_order_is_the_same_and_sources_are_consumed_last() {
    for way in Way::ALL {
        let calls = calls_of_last(&three_trees(), Durability::Full, way);
        check_order_of(&calls, 3);
        let retired = calls.iter().any(|c| c.starts_with("rename ") && c.ends_with("/retired"));
        assert_eq!(retired, way.recycle, "{way}: {calls:#?}");
        let consumed: Vec<usize> = (0..calls.len())
            .filter(|&n| calls[n].starts_with("unlink /") && calls[n].contains("/source/"))
            .collect();
        assert_eq!(
            consumed.len(),
            if way.consume { three_trees()[2].len() } else { 0 },
            "{way}: {calls:#?}"
        );
        let pointer = position(&calls, |c| c == "rename current");
        let durable = pointer + position(&calls[pointer..], |c| c == "fsync .");
        assert!(consumed.iter().all(|&n| n > durable), "{way}: {consumed:?} in {calls:#?}");
    }
}

#[test]
fn a_recycled_tree_is_retired_durably_before_it_is_changed() {
    let calls = calls_of_last(&three_trees(), Durability::Full, Way { recycle: true, ..Way::PLAIN });
    check_order_of(&calls, 3);
    let retired = position(&calls, |c| c.starts_with("rename staging/s-") && c.ends_with("/retired"));
    let durable = position(&calls, |c| c == "fsync generations");
    let taken = position(&calls, |c| c.starts_with("rename ") && c.ends_with("/generation/tree"));
    let removed = position(&calls, |c| c.starts_with("unlink ") && c.contains("/generation/tree/"));
    let order = [retired, durable, taken, removed];
    assert!(order.is_sorted(), "{order:?} in {calls:#?}");
    // Only the changes are flushed, by name.
    let fsyncs = |path: &str| calls.iter().any(|c| c.starts_with("fsync ") && c.ends_with(path));
    for path in ["tree/a", "tree/new/n", "tree/new", "generation/tree", "manifest"] {
        assert!(fsyncs(path), "{path}: {calls:#?}");
    }
    assert!(!fsyncs("tree/b") && !calls.iter().any(|c| c.starts_with("syncfs")), "{calls:#?}");
}

#[test]
fn a_large_commit_flushes_once_and_in_order() {
    let many: Vec<(String, String)> =
        (0..200).map(|n| (format!("d{}/f{n}", n % 9), format!("={n}"))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let calls = calls(&many, Durability::Full);
    check_order(&calls);
    let heavy = calls.iter().filter(|call| call.starts_with("syncfs")).count();
    assert_eq!(heavy, 2, "data once, names once: {calls:#?}");
}

#[test]
fn without_durability_the_order_is_the_same_and_nothing_is_flushed() {
    let full = calls(&[("a", "=changed"), ("b/c", "=two")], Durability::Full);
    let none = calls(&[("a", "=changed"), ("b/c", "=two")], Durability::None);
    // Nonces differ from run to run.
    let plain = |calls: &[String]| -> Vec<String> {
        let is_flush = |call: &&String| !call.starts_with("fsync") && !call.starts_with("syncfs");
        calls
            .iter()
            .filter(is_flush)
            .map(|call| match call.find("s-") {
                Some(at) if call.contains("staging/s-") => {
                    format!("{}{}", &call[..at], &call[at + 8..])
                }
                _ if call.contains("staging/tmp-") => call[..call.find("tmp-").unwrap()].to_owned(),
                _ => call.clone(),
            })
            .collect()
    };
    let (mut full_plain, mut none_plain) = (plain(&full), plain(&none));
    // Threads take the files in any order.
    full_plain.sort();
    none_plain.sort();
    assert_eq!(full_plain, none_plain);
    assert_eq!(none.iter().filter(|call| call.contains("sync")).count(), 0, "{none:#?}");
}

/// Publishing the current tree changes nothing (INV-18) but `sealed`, a cache. Whether that is written
/// depends on how soon the publication comes after the first one.
#[test]
fn publishing_what_is_current_makes_no_call() {
    let calls = calls(&[("a", "=one"), ("b/c", "=two"), ("keep", "=k")], Durability::Full);
    let is_cache = |call: &String| call.ends_with("/sealed") || call.starts_with("create staging/tmp-");
    assert!(calls.iter().all(is_cache), "{calls:#?}");
}

#[test]
fn what_a_rollback_shows_is_durable_before_it_is_current() {
    let dir = scratch();
    let (store, source) = (dir.path().join("store"), dir.path().join("source"));
    for content in ["=one", "=two"] {
        write_tree(&source, &things(1_000, &[("b/a", content), ("keep", "=k")]));
        drop(publish(&store, &source, Faults::default(), Durability::Full, Way::PLAIN));
    }
    let faults = Faults::record();
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.faults = faults.clone();
    let done = Store::open(&store, options).unwrap().rollback(1, MarkLeft::Bad).unwrap();
    assert_eq!(done.refreshed, 1);
    let calls = genstore_testkit::calls(&faults, &store);
    let after = |from: usize, what: &str| from + position(&calls[from..], |c| c == what);
    let noted = after(after(0, "rename sequence"), "fsync .");
    let pointer = after(0, "rename current");
    // Before the intent nothing in the kept generation changes, and the new inodes are durable.
    let made = position(&calls, |c| c.starts_with("fsync staging/s-") && c.ends_with("/fresh-0"));
    for (path, folder) in
        [("generations/1/tree/b/a", "generations/1/tree/b"), ("generations/1/shown", "generations/1")]
    {
        let placed = after(0, &format!("rename {path}"));
        let flushed = after(placed, &format!("fsync {folder}"));
        let order = [made, noted, placed, flushed, pointer];
        assert!(order.is_sorted(), "{path}: {order:?} in {calls:#?}");
    }
    assert!(calls[..noted].contains(&"fsync generations/1/shown".to_owned()), "{calls:#?}");
}
