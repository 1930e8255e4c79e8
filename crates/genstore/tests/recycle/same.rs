//! A recycled tree is the same as an assembled one, at the cost of the changes.

use proptest::prelude::*;

use super::*;

#[test]
fn a_recycled_tree_is_what_assembly_makes() {
    let place = Place::new();
    let recycled: Vec<Option<u64>> = [tree_a(), tree_b(), tree_c(), tree_a(), tree_b(), tree_c(), tree_a()]
        .iter()
        .map(|tree| place.publish_and_compare(tree))
        .collect();
    // Each is made from the one before the last. If everything differs, that one shares too little.
    assert_eq!(recycled, [None, None, Some(1), None, None, Some(4), None]);
}

/// Some paths, with some bytes, mostly the same ones.
fn some_things() -> impl Strategy<Value = Things> {
    // Of several files with the same new bytes any may be the first, so all have one mtime.
    let path = "(a|b|c)(/(a|b|c|d)){0,2}";
    let what = prop::sample::select(vec!["=", "=1", "=1", "=2", "!1", ">a", ">b", "/"]);
    (prop::collection::vec((path, what), 1..14), 1u64..4).prop_map(|(list, secs)| {
        let mut tree = Things::new();
        for (path, what) in list {
            let clashes = |other: &String| {
                other.starts_with(&format!("{path}/")) || path.starts_with(&format!("{other}/"))
            };
            if !tree.keys().any(clashes) {
                tree.extend(things(secs * 1_000, &[(&path, what)]));
            }
        }
        // Enough common files for any two trees.
        let common = (0..14).map(|n| (format!("z/{}/{n}", n % 3), format!("={}", n % 5)));
        let common: Vec<(String, String)> = common.collect();
        let common: Vec<(&str, &str)> = common.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        tree.extend(things(secs * 1_000, &common));
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn any_recycled_tree_is_what_assembly_makes(trees in prop::collection::vec(some_things(), 8)) {
        let place = Place::new();
        let mut recycled = 0;
        for tree in &trees {
            recycled += usize::from(place.publish_and_compare(tree).is_some());
        }
        prop_assert!(recycled > 0 || trees.len() < 4, "nothing was recycled");
    }
}

#[test]
fn the_work_is_that_of_the_changes() {
    let place = Place::new();
    let path = |n: usize| (format!("d{}/e{}/f{n}", n % 7, n % 31), format!("={n}"));
    let list: Vec<(String, String)> = (0..2_000).map(path).collect();
    let list: Vec<(&str, &str)> = list.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let mut tree = things(1_000, &list);
    let source = place.0.path().join("source");
    let mut calls = vec![];
    for n in 0..3 {
        tree.extend(things(2_000 + n, &[("d1/e1/f1", &format!("=changed {n}"))]));
        write_tree(&source, &tree);
        let faults = Faults::record();
        let store = open(&place.store(), faults.clone());
        let done = publish_with(&store, &source, Some(LAST), || settle(place.0.path())).unwrap();
        assert_eq!(done.recycled.is_some(), n == 2);
        calls = faults.seen();
    }
    assert!(calls.len() < 80, "{}: {calls:#?}", calls.len());
    assert!(!calls.iter().any(|call| call.starts_with("syncfs")), "{calls:#?}");
    assert_clean(&place.open());
}

#[test]
fn what_somebody_did_to_the_spare_is_undone() {
    // Folders that had settled when their stamps were taken, and folders that had not.
    for settled in [false, true] {
        let place = Place::new();
        let source = place.0.path().join("source");
        for tree in [tree_a(), tree_c()] {
            write_tree(&source, &tree);
            let wait = || {
                if settled {
                    settle(place.0.path())
                }
            };
            drop(publish_with(&place.open(), &source, Some(LAST), wait).unwrap());
        }
        let spare = place.tree(1);
        fs::write(spare.join("d/stranger"), "mine").unwrap();
        fs::create_dir_all(spare.join("hollow/of/mine")).unwrap();
        fs::write(spare.join("hollow/of/mine/x"), "mine").unwrap();
        fs::remove_file(spare.join("d/deep/z")).unwrap();
        // The same bytes and times in another inode.
        let file = spare.join("d/deep/er/x");
        let mtime = file.metadata().unwrap().modified().unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, "x").unwrap();
        fs::File::options().append(true).open(&file).unwrap().set_modified(mtime).unwrap();
        fs::remove_file(spare.join("link")).unwrap();
        symlink("elsewhere", spare.join("link")).unwrap();
        // An empty file has one name only: writing to it changes nothing in its folder.
        let file = spare.join("e/stays-empty");
        fs::write(&file, "mine").unwrap();
        fs::File::options().append(true).open(&file).unwrap().set_modified(at(1_000)).unwrap();
        assert_eq!(place.publish_and_compare(&tree_a()), Some(1), "settled: {settled}");
    }
}

#[test]
fn going_back_and_forth_leaves_nothing_stale() {
    let place = Place::new();
    for tree in [tree_a(), tree_b(), tree_c()] {
        drop(place.publish_by(&tree, Some(LAST.keep_last(9))));
    }
    drop(place.open().rollback(2, MarkLeft::Unchanged).unwrap());
    drop(place.open().activate(&"3".parse().unwrap(), Expect::Any).unwrap());
    // Generations 1 and 3 have inodes of their own now.
    drop(place.publish_by(&tree_a(), Some(LAST.keep_last(9))));
    assert_eq!(place.publish_and_compare(&tree_c()), Some(3));
    assert_eq!(place.publish_and_compare(&tree_a()), Some(4));
}

#[test]
fn what_was_not_flushed_is_flushed_when_it_is_recycled() {
    let place = Place::new();
    let source = place.0.path().join("source");
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.durability = Durability::None;
    let careless = Store::init(&place.store(), options).unwrap().store;
    for tree in [tree_a(), tree_b()] {
        write_tree(&source, &tree);
        drop(publish_with(&careless, &source, Some(LAST), || ()).unwrap());
    }
    write_tree(&source, &tree_c());
    let faults = Faults::record();
    let done = publish_with(&open(&place.store(), faults.clone()), &source, Some(LAST), || ()).unwrap();
    assert_eq!(done.recycled.map(GenerationId::get), Some(1));
    assert!(faults.seen().iter().any(|call| call.starts_with("syncfs")), "{:#?}", faults.seen());
}
