//! A store that was copied without its links, times and modes, or without its objects.

use super::lost::{drop_empty_folders, files, repair, verify};
use super::*;

/// Copies a store with `cp` and these flags.
fn copied(store: &Store, dir: &Path, flags: &[&str]) -> Store {
    let to = dir.join("copied");
    let status = Command::new("cp").arg("-r").args(flags).arg(store.path()).arg(&to).status().unwrap();
    assert!(status.success());
    Store::open(&to, super::ticking(2_000_000)).unwrap()
}

/// Returns the sum of the sizes of all regular files below a folder, each inode once.
fn inode_bytes(dir: &Path, seen: &mut BTreeSet<u64>) -> u64 {
    let files = below(dir).into_iter().map(|path| path.symlink_metadata().unwrap());
    files.filter(|meta| meta.is_file() && seen.insert(meta.ino())).map(|meta| meta.len()).sum()
}

fn real_bytes(store: &Store) -> u64 {
    let mut seen = BTreeSet::new();
    let objects = store.path().join("objects");
    let mut bytes = if objects.exists() { inode_bytes(&objects, &mut seen) } else { 0 };
    for generation in fs::read_dir(store.path().join("generations")).unwrap() {
        bytes += inode_bytes(&generation.unwrap().path().join("tree"), &mut seen);
    }
    bytes
}

/// Makes a store whose current generation has renewed inodes, and which shares much.
fn shared(dir: &Path) -> Store {
    let store = open(dir);
    let big = "=".to_owned() + &"0123456789".repeat(100);
    let tree =
        |a: &str| things(1_000, &[("a", a), ("big", &big), ("d/big", &big), ("e", "="), ("x", "!run")]);
    drop(publish_things(&store, dir, &tree("=one")));
    drop(publish_things(&store, dir, &tree("=two")));
    drop(publish_things(&store, dir, &things(1_000, &[("a", "=one"), ("big", &big), ("v", "/")])));
    drop(store.rollback(1, MarkLeft::Unchanged).unwrap());
    assert!(verify(&store).is_clean());
    store
}

#[test]
fn a_copy_is_given_back_its_links_times_and_modes() {
    let dir = scratch();
    let store = shared(dir.path());
    assert_eq!((verify(&store).unshared.files, real_bytes(&store)), (0, store.stored_bytes().unwrap()));
    let expected = read_tree(&store.path().join("current")).unwrap();
    for flags in [
        &["--preserve=timestamps,mode"][..],
        &["--preserve=links"],
        &["--preserve=mode", "--no-preserve=links"],
        &[],
    ] {
        let copy = copied(&store, dir.path(), flags);
        if flags == ["--preserve=links"] {
            let chmod = ["-R", "u+w", copy.path().to_str().unwrap()];
            assert!(Command::new("chmod").args(chmod).status().unwrap().success());
        }
        let report = verify(&copy);
        assert!(!report.is_clean(), "{flags:?}: the loss is named");
        assert_eq!(copy.stored_bytes().unwrap(), real_bytes(&copy), "{flags:?}");
        assert_eq!(copy.usage().unwrap().store_bytes, real_bytes(&copy), "{flags:?}");
        drop(repair(&copy));
        assert_eq!(verify(&copy).unshared.files, 0, "{flags:?}");
        assert_eq!(real_bytes(&copy), real_bytes(&store), "{flags:?}");
        // Mtimes, too.
        assert_eq!(read_tree(&copy.path().join("current")).unwrap(), expected, "{flags:?}");
        fs::remove_dir_all(copy.path()).unwrap();
    }
}

#[test]
fn objects_that_are_gone_are_the_files_of_generations_again() {
    for is_copied in [false, true] {
        let dir = scratch();
        let original = shared(dir.path());
        let store = if is_copied { copied(&original, dir.path(), &[]) } else { original };
        let bytes = real_bytes(&open(dir.path()));
        fs::remove_dir_all(store.path().join("objects")).unwrap();
        assert_eq!(verify(&store).objects.len(), 4);
        assert_eq!(store.usage().unwrap().store_bytes, real_bytes(&store));
        assert_eq!(repair(&store).objects.len(), 4);
        if is_copied {
            assert_eq!(real_bytes(&store), real_bytes(&open(dir.path())));
        } else {
            assert!(real_bytes(&store) <= bytes, "links, not copies");
        }
        drop(collect(&store, 0));
        assert!(verify(&store).is_clean());
    }
}

#[test]
fn everything_at_once_takes_one_run() {
    let dir = scratch();
    let store = copied(&shared(dir.path()), dir.path(), &[]);
    drop_empty_folders(store.path());
    fs::remove_dir_all(store.path().join("objects")).unwrap();
    fs::remove_dir_all(store.path().join("locks")).unwrap();
    for name in ["current", "log", "sequence", "notice"] {
        fs::remove_file(store.path().join(name)).unwrap();
    }
    let found = repair(&store);
    for name in ["current", "log", "sequence", "notice", "objects", "pins", "locks"] {
        assert!(files(&store, &found).contains(&name.to_owned()), "{name}: {found:#?}");
    }
    assert_eq!(store.current().unwrap(), Some(id(2)), "the hold tells");
    assert_eq!(commit(&store, &plan_of(&[("n", "=4")])).unwrap().generation, id(4));
}

#[test]
fn an_object_that_ran_out_of_links_is_no_loss() {
    let dir = scratch();
    let store = shared(dir.path());
    // Like a rotation: the name passes to a copy, and the old inode keeps its links.
    let hex = Digest::of("0123456789".repeat(100).as_bytes()).to_string();
    let object = store.path().join("objects").join(&hex[..2]).join(&hex[2..]);
    let copy = dir.path().join("copy");
    copy_exactly(&object, &copy);
    fs::rename(&copy, &object).unwrap();
    drop(commit(&store, &plan_of(&[("n", "=4")])).unwrap());
    fs::hard_link(&object, dir.path().join("another")).unwrap();
    assert_eq!(verify(&store).unshared.files, 0);
    assert_eq!(store.usage().unwrap().store_bytes, real_bytes(&store));
    let inode = object.metadata().unwrap().ino();
    assert!(repair(&store).is_clean());
    assert_eq!(object.metadata().unwrap().ino(), inode);
    let path = store.path().join("generations/1/tree/big");
    assert_ne!(path.metadata().unwrap().ino(), inode, "it is not relinked");
}
