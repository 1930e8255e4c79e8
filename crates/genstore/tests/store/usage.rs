//! The disk usage of one generation, by its links, compared with the usage that all manifests show.

use genstore::generation::Usage;

use super::*;

fn by_links(store: &Store, number: u64) -> Usage {
    store.usage_of(id(number)).unwrap().unwrap()
}

/// Compares both for all generations, except one.
fn assert_same(store: &Store, except: Option<GenerationId>, what: &str) {
    let all = store.usage().unwrap().generations;
    assert!(!all.is_empty(), "{what}");
    for usage in all.into_iter().filter(|usage| Some(usage.id) != except) {
        assert_eq!(by_links(store, usage.id.get()), usage, "{what}");
    }
}

#[test]
fn links_show_what_a_generation_shares() {
    for way in Way::ALL {
        let dir = scratch();
        let store = open(dir.path());
        let what = format!("{way}");
        let first = [("a", "=one"), ("both", "=both"), ("d/both", "=both"), ("e", "="), ("l", ">a")];
        drop(publish_in(way, &store, dir.path(), &things(1_000, &first)));
        assert_eq!((by_links(&store, 1).exclusive, by_links(&store, 1).shared), (7, 0), "{what}");
        let second = [("a", "=other"), ("both", "=both"), ("new", "=both"), ("more", "=more")];
        drop(publish_in(way, &store, dir.path(), &things(2_000, &second)));
        assert_same(&store, None, &what);
        // A file with the same mtime gets an inode of its own. The next generation links it.
        let third = [("a", "=third"), ("both", "=both"), ("more", "=more")];
        drop(publish_in(way, &store, dir.path(), &things(2_000, &third)));
        assert_same(&store, None, &what);
        drop(publish_in(way, &store, dir.path(), &things(2_000, &[("a", "=third"), ("more", "=1")])));
        assert_same(&store, None, &what);
        // `more` gets an inode of its own in generation 3, so its links do not show generation 2.
        drop(store.rollback(1, MarkLeft::Unchanged).unwrap());
        assert_same(&store, Some(id(2)), &what);
        assert_eq!(store.usage_of(id(9)).unwrap(), None, "{what}");
    }
}

/// This limit is described at `Store::usage_of`.
#[test]
fn links_do_not_show_equal_bytes_in_an_inode_of_another_generation() {
    let dir = scratch();
    let store = open(dir.path());
    for (text, mtime) in [("=one", 1_000), ("=two", 1_000), ("=one", 1_000)] {
        drop(publish_in(Way::PLAIN, &store, dir.path(), &things(mtime, &[("a", text)])));
    }
    assert_same(&store, Some(id(1)), "generation 3 has an inode of its own");
    assert_eq!(by_links(&store, 1).exclusive, 3);
}

#[test]
fn a_store_without_its_links_is_counted_by_its_inodes() {
    let dir = scratch();
    let store = open(dir.path());
    drop(publish_in(Way::PLAIN, &store, dir.path(), &things(1_000, &[("a", "=one"), ("b", "=one")])));
    let tree = store.path().join("generations/1/tree");
    for name in ["a", "b"] {
        fs::copy(tree.join(name), tree.join("copy")).unwrap();
        fs::rename(tree.join("copy"), tree.join(name)).unwrap();
    }
    assert_same(&store, None, "every path has an inode of its own");
    assert_eq!(by_links(&store, 1).exclusive, 9);
}
