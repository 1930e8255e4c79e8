//! Generations that are not recycled, and the losses of a refusal.

use super::*;

#[test]
fn a_spare_whose_folders_are_others_is_only_removed() {
    for what in ["gone", "link", "mode", "moved", "file"] {
        let place = Place::new();
        drop(place.publish(&tree_a()));
        drop(place.publish(&tree_b()));
        let folder = place.tree(1).join("d/deep");
        match what {
            "mode" => {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                fs::set_permissions(&folder, mode).unwrap();
            }
            // The entries below it look the same.
            "moved" => {
                fs::rename(place.tree(1).join("d"), place.tree(1).join("aside")).unwrap();
                symlink("aside", place.tree(1).join("d")).unwrap();
            }
            // There is nothing below it.
            "file" => {
                fs::remove_dir(place.tree(1).join("hollow")).unwrap();
                fs::write(place.tree(1).join("hollow"), "").unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                fs::set_permissions(place.tree(1).join("hollow"), mode).unwrap();
            }
            what => {
                fs::remove_dir_all(&folder).unwrap();
                if what == "link" {
                    symlink("..", &folder).unwrap();
                }
            }
        }
        let calls = Faults::record();
        let source = place.0.path().join("source");
        write_tree(&source, &tree_c());
        let done = publish_with(&open(&place.store(), calls.clone()), &source, Some(LAST), || ()).unwrap();
        assert_eq!(done.recycled.map(GenerationId::get), Some(1), "{what}");
        assert!(!calls.seen().iter().any(|call| call.ends_with("/placed")), "{what}: assembled");
        assert!(!place.store().join("generations/1").exists());
        assert!(place.open().verify(None, Depth::Full).unwrap().is_clean(), "{what}");
        assert_eq!(debris(&place.store()), [""; 0]);
    }
}

#[test]
fn what_something_keeps_is_not_recycled() {
    let keeps = |what: &str, keep: &dyn Fn(&Place) -> Option<genstore::Generation>, rule: Retention| {
        let place = Place::new();
        drop(place.publish(&tree_a()));
        drop(place.publish(&tree_b()));
        let kept = keep(&place);
        let done = place.publish_by(&tree_c(), Some(rule));
        assert_eq!(done.recycled, None, "{what}");
        assert!(place.tree(1).exists(), "{what}");
        drop(kept);
    };
    let lease = |place: &Place| Some(place.open().open_generation(&"1".parse().unwrap()).unwrap());
    let pin = |place: &Place| {
        place.open().pin(&"1".parse().unwrap(), &"keep".parse().unwrap(), None, None).unwrap();
        None
    };
    keeps("lease", &lease, LAST);
    keeps("pin", &pin, LAST);
    keeps("last two", &|_| None, LAST.keep_last(2));
    keeps("grace", &|_| None, LAST.grace(Duration::from_secs(1)));
    keeps(
        "no record",
        &|place| fs::remove_file(place.tree(1).with_file_name("sealed")).map_or(None, |()| None),
        LAST,
    );
    let damage = |place: &Place| {
        let sealed = place.tree(1).with_file_name("sealed");
        let mut bytes = fs::read(&sealed).unwrap();
        bytes[100] ^= 1;
        fs::write(&sealed, bytes).unwrap();
        None
    };
    keeps("damaged record", &damage, LAST);
    let suspect = |place: &Place| {
        fs::write(place.store().join("suspects/generation-9"), "").unwrap();
        None
    };
    keeps("suspects", &suspect, LAST);
    let rotated = |place: &Place| {
        fs::write(place.store().join("rotations"), "..").unwrap();
        None
    };
    keeps("an object was rotated", &rotated, LAST);
}

#[test]
fn where_objects_were_healed_nothing_older_is_recycled() {
    for way in Way::ALL.into_iter().filter(|way| way.recycle) {
        let place = Place::new();
        let publish = |things: &Things| {
            let source = place.0.path().join("source");
            write_tree(&source, things);
            let done = publish_in(&place.open(), &source, way);
            assert_eq!(done.warnings, [], "{way}");
            done
        };
        drop(publish(&tree_a()));
        drop(publish(&tree_b()));
        let path = place.tree(2).join("d/b.txt");
        fs::write(&path, "damaged, through the link").unwrap();
        assert_eq!(publish(&tree_c()).healed, 1, "{way}");
        drop(publish(&tree_a()));
        assert!(place.tree(1).exists() && place.tree(2).exists() && place.tree(3).exists(), "{way}");
        assert!(place.open().verify(None, Depth::Full).unwrap().is_clean(), "{way}");
        // Generations made since then are good again.
        assert_eq!(place.publish_and_compare(&tree_c()), None, "{way}");
        assert_eq!(place.publish_and_compare(&tree_a()), Some(4), "{way}");
    }
}

#[test]
fn a_refused_audit_loses_only_what_was_given_up() {
    let place = Place::new();
    drop(place.publish(&tree_a()));
    drop(place.publish(&tree_b()));
    write_tree(&place.0.path().join("source"), &tree_c());
    let plan = Plan::scan(&place.0.path().join("source"), &ScanRules::default()).unwrap();
    let store = place.open();
    let staged = store.stage(&plan, StageOptions::default().recycle(LAST)).unwrap();
    match staged.audit(&AuditRules::default().max_total(1)).unwrap() {
        Judged::Rejected(rejected) => drop(rejected),
        Judged::Accepted(_) => panic!("more than a byte is refused"),
    }
    assert_eq!(store.current().unwrap().map(GenerationId::get), Some(2));
    assert!(!place.tree(1).exists());
    assert_eq!(debris(&place.store()), [""; 0]);
    assert_clean(&store);
    assert_eq!(place.publish(&tree_c()).generation.get(), 3);
}
