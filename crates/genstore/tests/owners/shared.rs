//! Stores for a group, and for their owner alone.

use super::*;

/// The environment variable for a member of the group: an act, its number, a place.
pub(super) const AS_MEMBER: &str = "GENSTORE_OWNERS_AS_MEMBER";

/// Runs an act of one of two members of the group in a place, with a umask that removes all rights of others.
fn member(user: u32, place: &Path, what: &str, nth: usize) {
    let ids = [format!("--reuid={user}"), format!("--regid={user}"), format!("--groups={GROUP}")];
    let output = Command::new("setpriv")
        .args(ids)
        .args(["/bin/sh", "-c", "umask 077; exec \"$@\"", "sh"])
        .args(itself(child))
        .env(AS_MEMBER, format!("{what} {nth} {}", place.display()))
        .current_dir("/")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("the member acted"), "{user} {what}: {text}");
}

pub(super) fn member_acts(words: &str) {
    let words: Vec<&str> = words.splitn(3, ' ').collect();
    let (nth, place) = (words[1], Path::new(words[2]));
    let mut options = Options::new(Arc::new(|| at(5_000)));
    options.lock_timeout = Duration::from_secs(5);
    let store = match words[0] {
        "init" => Store::init_for(&place.join("store"), options, Audience::Group).unwrap().store,
        _ => open(place, Faults::default()),
    };
    match words[0] {
        "init" => {}
        "publish" => {
            let published = publish(&store, nth, 4);
            assert_eq!((published.changed, published.warnings), (true, vec![]));
        }
        "recycle" => {
            // A tree with copies of another member's objects is not recycled, and a new one is
            // assembled.
            let published = publish(&store, nth, 1);
            assert_eq!((published.changed, published.warnings), (true, vec![]));
        }
        "rollback" => assert_eq!(store.rollback(1, MarkLeft::Bad).unwrap().warnings, []),
        "unmark" => {
            let id = store.current().unwrap().unwrap().to_string();
            store.mark(&id.parse().unwrap(), Mark::Good, None).unwrap();
            store.pin(&id.parse().unwrap(), &"both".parse().unwrap(), None, None).unwrap();
        }
        "watch" => drop(store.lock_watch().unwrap()),
        "begin" => {
            let stage = store.begin().unwrap();
            // The output of programs keeps the modes that they set.
            let readable = |path: PathBuf, text: &str| {
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            };
            readable(stage.path().join("a"), &format!("staged {nth}"));
            drop(stage.log().unwrap());
            let id = stage.leave_to(Owner::Until(at(9_000))).unwrap();
            readable(place.join("stage-id"), id.as_str());
        }
        "commit" => {
            let id = fs::read_to_string(place.join("stage-id")).unwrap();
            fs::remove_file(place.join("stage-id")).unwrap();
            let stage = store.resume(&id.parse().unwrap()).unwrap();
            let staged = stage.seal(&ScanRules::default(), StageOptions::default()).unwrap();
            assert_eq!(staged.unaudited().commit(&CommitOptions::default()).unwrap().warnings, []);
        }
        "mirror" => {
            let mirror = ViewOptions::mirror();
            assert_eq!(store.add_view(&place.join("mirror"), &mirror).unwrap().warnings, []);
        }
        name => act(name, &store, place),
    }
    assert_clean(&store);
    println!("the member acted");
}

#[test]
fn a_shared_store_works_for_all_members_of_its_group() {
    needs!(is_root() || !has_program("setpriv"));
    const BOTH: [u32; 2] = [61_002, 61_003];
    let dir = scratch();
    lchown(dir.path(), Some(BOTH[0]), Some(GROUP)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    let acts = [
        "init", "publish", "publish", "mirror", "publish", "publish", "rollback", "unmark", "publish",
        "failed", "failed", "begin", "commit", "watch", "watch", "gc", "gc", "publish", "publish",
        "recycle", "recycle", "recycle", "repair", "publish",
    ];
    for (nth, what) in acts.into_iter().enumerate() {
        match what {
            // By root: everything that root creates belongs to the owner of the store's folder.
            "repair" => act(what, &open(dir.path(), Faults::default()), dir.path()),
            _ => member(BOTH[nth % 2], dir.path(), what, nth),
        }
    }
    let store = dir.path().join("store");
    let modes = all(&store).into_iter().filter(|path| !path.symlink_metadata().unwrap().is_symlink());
    for (path, meta) in modes.map(|path| (path.clone(), path.metadata().unwrap())) {
        let for_ever = ["objects", "generations"].iter().any(|part| path.starts_with(store.join(part)));
        let expected = match meta.is_dir() {
            true => 0o2775,
            false if for_ever => meta.mode() & 0o7755,
            false => meta.mode() & 0o7777,
        };
        assert_eq!((meta.gid(), meta.mode() & 0o7777), (GROUP, expected), "{}", path.display());
    }
    for name in ["log", "notice"] {
        assert_eq!(store.join(name).metadata().unwrap().mode() & 0o7777, 0o664, "{name}");
    }
}

#[test]
fn a_private_store_is_its_owners_alone() {
    let dir = scratch();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let options = || Options::new(Arc::new(|| at(5_000)));
    let path = dir.path().join("store");
    let made = Store::init_for(&path, options(), Audience::Owner).unwrap();
    assert!(made.is_new);
    let store = made.store;
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode(&path), 0o700);
    let mirror = ViewOptions::mirror();
    drop(store.add_view(&dir.path().join("mirror"), &mirror).unwrap());
    drop(publish(&store, "one", 9));
    assert!(dir.path().join("mirror/a").exists());
    assert_eq!((mode(&dir.path().join("mirror")), mode(&path)), (0o700, 0o700));
    // An entry called `shared` beside it has nothing to do with it.
    fs::create_dir(dir.path().join("shared")).unwrap();
    let beside = dir.path().join("beside");
    drop(Store::init(&beside, options()).unwrap());
    assert_eq!((mode(&beside), mode(&beside.join("objects"))), (0o755, 0o755));
    // An existing store is closed, unless it is shared.
    let other = dir.path().join("other");
    drop(Store::init(&other, options()).unwrap());
    assert!(!Store::init_for(&other, options(), Audience::Owner).unwrap().is_new);
    assert_eq!(mode(&other), 0o700);
    let code = |result: genstore::Result<genstore::Initialized>| result.err().map(|error| error.code());
    assert_eq!(code(Store::init_for(&other, options(), Audience::Group)), Some("store-not-shared"));
    let group = dir.path().join("group");
    assert!(Store::init_for(&group, options(), Audience::Group).unwrap().is_new);
    assert!(!Store::init_for(&group, options(), Audience::Group).unwrap().is_new);
    assert_eq!(code(Store::init_for(&group, options(), Audience::Owner)), Some("store-shared"));
}

/// Folders of a group inherit the set-group-id bit, which is not a fault.
#[test]
fn the_set_group_id_bit_of_a_folder_says_nothing() {
    let dir = scratch();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    if dir.path().metadata().unwrap().mode() & 0o2000 == 0 {
        skip_on_this_machine("this user cannot set the set-group-id bit");
        return;
    }
    let store = open(dir.path(), Faults::default());
    for text in ["one", "two"] {
        drop(publish(&store, text, 9));
    }
    let tree = store.path().join("generations/2/tree");
    assert_eq!(tree.join("d1").metadata().unwrap().mode() & 0o7777, 0o2755);
    assert_clean(&store);
    // A stage that is checked before and after an audit; a tree that is recycled; a mirror.
    let mirror = ViewOptions::mirror();
    assert_eq!(store.add_view(&dir.path().join("mirror"), &mirror).unwrap().warnings, []);
    settle(dir.path());
    let published = publish(&store, "three", 1);
    assert_eq!((published.recycled.map(|id| id.get()), published.warnings), (Some(1), vec![]));
    assert_clean(&store);
    // Any other bit is a fault.
    fs::set_permissions(tree.join("d1"), fs::Permissions::from_mode(0o2775)).unwrap();
    assert_eq!(store.verify(None, Depth::Quick).unwrap().faults.len(), 1);
    write_tree(&dir.path().join("dist"), &things(1_000, &[("a/b", "=1")]));
    drop(store.repair().unwrap());
    assert_clean(&store);
    let modes: BTreeMap<PathBuf, u32> = all(&store.path().join("generations"))
        .into_iter()
        .filter(|path| path.symlink_metadata().unwrap().is_dir())
        .map(|path| (path.clone(), path.metadata().unwrap().mode() & 0o777))
        .collect();
    assert!(modes.values().all(|mode| *mode == 0o755), "{modes:#?}");
}
